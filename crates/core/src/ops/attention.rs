//! Scaled dot-product attention.

use std::panic::Location;

use super::{Attention, AttentionPart, Contract, Offer, Pass, Rule};
use crate::case::{Case, Fill};
use crate::op::{Cotangent, Vjp};
use crate::{DType, Graph, Mode, Shape, Tensor, TensorSpec};

/// What attention does beside softmax(q·kᵀ / √d)·v: the other arguments of PyTorch's
/// `scaled_dot_product_attention`.
///
/// ```
/// use wgrad_core::{AttentionOptions, F32, Graph, Mode, Tensor, U32};
/// let g = Graph::new(Mode::Train);
/// let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, [8, 4, 100, 16], F32));
/// // Keys beyond a sequence's length are padding.
/// let lengths = g.input("lengths", [8, 1, 1, 1], U32);
/// let padding = g.iota([8, 1, 1, 100], 3, U32).ge(&lengths);
/// let options = AttentionOptions::new().causal().hidden(&padding).dropout(0.1);
/// let y = Tensor::scaled_dot_product_attention(&q, &k, &v, &options);
/// assert_eq!(y.shape(), q.shape());
/// ```
#[derive(Clone, Debug, Default)]
pub struct AttentionOptions {
    causal: bool,
    hidden: Option<Tensor>,
    bias: Option<Tensor>,
    dropout: f64,
}

impl AttentionOptions {
    /// Every query sees every key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Query t sees the keys s ≤ t.
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// Pairs of a query and a key that it does not see: bool, true hides (PyTorch's function reads a bool mask the other
    /// way round, its `MultiheadAttention` like this), broadcast to \[…, T, S\]. A query that sees nothing has the result 0.
    pub fn hidden(mut self, hidden: &Tensor) -> Self {
        self.hidden = Some(hidden.clone());
        self
    }

    /// What is added to the scores: float, broadcast to \[…, T, S\]. Below a sixteenth of the dtype's lowest number, −∞
    /// included, it hides.
    pub fn bias(mut self, bias: &Tensor) -> Self {
        self.bias = Some(bias.clone());
        self
    }

    /// In training, weights are dropped with this probability, and the others divided by what is left of 1.
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// The tensors that stand beside q, k and v, of the scores' shape.
    fn resolve(&self, q: &Tensor, scores: &Shape) -> Result<Beside, String> {
        let (graph, dtype) = (q.graph(), q.dtype());
        let masks = [("what is hidden", &self.hidden, DType::Bool), ("what is added", &self.bias, dtype)];
        for (name, mask, wanted) in masks {
            let Some(mask) = mask else { continue };
            if mask.dtype() != wanted || mask.shape().broadcast(scores).as_ref() != Ok(scores) {
                let scores = TensorSpec::new(wanted, scores);
                return Err(format!("{name} is {}, which cannot be broadcast to {scores}", mask.spec()));
            }
        }
        let p = self.dropout;
        if !(0.0..=1.0).contains(&p) {
            return Err(format!("the probability of dropout is {p}, but must be in [0, 1]"));
        }
        let number = |value| graph.scalar(value, dtype);
        let hidden = |hidden: &Tensor| {
            let seen = self.bias.clone().unwrap_or_else(|| number(0.0));
            hidden.select(&number(Attention::hidden_score(dtype)), &seen)
        };
        let bias = self.hidden.as_ref().map(hidden).or(self.bias.clone());
        let factor = (p > 0.0 && q.mode() == Mode::Train).then(|| {
            let kept = graph.random_bits(scores).bits_to_uniform().ge(p);
            // With p = 1 nothing is kept, and nothing must be divided by 0.
            let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
            kept.select(&number(scale), &number(0.0))
        });
        Ok(Beside { bias: bias.map(|bias| bias.expand(scores)), factor })
    }
}

/// What is added to scores and what weights are multiplied by, if anything.
struct Beside {
    bias: Option<Tensor>,
    factor: Option<Tensor>,
}

impl Tensor {
    /// softmax(q·kᵀ / √d) · v (PyTorch's `scaled_dot_product_attention`; Vaswani et al., 2017): q is
    /// \[…, T, D\], k is \[…, S, D\], v is \[…, S, E\] with the same leading axes (batch, heads); the
    /// result is \[…, T, E\]. The options say what is hidden, added and dropped.
    ///
    /// ```
    /// use wgrad_core::{AttentionOptions, F32, Graph, Mode, Tensor};
    /// let g = Graph::new(Mode::Eval);
    /// let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, [2, 4, 16, 8], F32));
    /// let y = Tensor::scaled_dot_product_attention(&q, &k, &v, &AttentionOptions::new().causal());
    /// assert_eq!(*y.shape(), [2, 4, 16, 8]);
    /// ```
    #[track_caller]
    pub fn scaled_dot_product_attention(q: &Self, k: &Self, v: &Self, options: &AttentionOptions) -> Self {
        let operands = [Some(q), Some(k), Some(v), options.hidden.as_ref(), options.bias.as_ref()];
        if operands.into_iter().flatten().any(|operand| !operand.is_valid()) {
            return q.invalid();
        }
        let (qs, ks, vs) = (q.shape(), k.shape(), v.shape());
        let rank = qs.rank();
        let fits = rank >= 2
            && (ks.rank(), vs.rank()) == (rank, rank)
            && (qs[..rank - 2] == ks[..rank - 2] && qs[..rank - 2] == vs[..rank - 2])
            && (qs[rank - 1] == ks[rank - 1] && ks[rank - 2] == vs[rank - 2]);
        if !fits {
            let message = format!("q [… T D], k [… S D] and v [… S E] do not fit: {qs}, {ks} and {vs}");
            return q.fail("scaled_dot_product_attention", message);
        }
        let pairs = Shape::from([&qs[..rank - 1], &[ks[rank - 2]]].concat());
        let Beside { bias, factor } =
            match q.graph().located(Location::caller(), || options.resolve(q, &pairs)) {
                Ok(beside) => beside,
                Err(message) => return q.fail("scaled_dot_product_attention", message),
            };
        let attention = Attention {
            pass: Pass::Forward,
            causal: options.causal,
            biased: bias.is_some(),
            dropped: factor.is_some(),
        };
        let scores = Scores::new(attention, rank, qs[rank - 1]);
        let operands: Vec<&Self> = [q, k, v].into_iter().chain(&bias).chain(&factor).collect();
        let rule = Rule::new(move |cx| scores.gradients(cx));
        let define = |x: &[Self]| scores.result(x);
        scores.record("scaled_dot_product_attention", &operands, define, Some(rule), Pass::Forward, 0)
    }
}

/// Attention of operands of some rank and width: its definition, by which scores are a tensor \[…, T, S\], and
/// the passes that do without one.
#[derive(Clone, Copy)]
struct Scores {
    attention: Attention,
    leading: usize,
    scale: f64,
    /// Where the user called it: gradients stand there too.
    location: &'static Location<'static>,
}

impl Scores {
    #[track_caller]
    fn new(attention: Attention, rank: usize, width: usize) -> Self {
        let scale = 1.0 / (width as f64).sqrt();
        Self { attention, leading: rank - 2, scale, location: Location::caller() }
    }

    /// A product over the last two axes, with the others in common.
    #[track_caller]
    fn product(self, a: &str, b: &str, out: &str, x: &Tensor, y: &Tensor) -> Tensor {
        let lead: Vec<u8> = (0..self.leading).map(|axis| b'A' + axis as u8).collect();
        let labels = |own: &str| [&lead, own.as_bytes()].concat();
        x.graph().record(Contract { a: labels(a), b: labels(b), out: labels(out) }, &[x, y])
    }

    /// The scores of a pass's operands.
    #[track_caller]
    fn of(self, pass: Pass, x: &[Tensor]) -> Tensor {
        let (q, k) = (&x[0], &x[1]);
        let attention = Attention { pass, ..self.attention };
        let mut scores = self.product("td", "sd", "ts", q, k) * self.scale;
        if let Some(bias) = attention.bias() {
            scores = scores + &x[bias];
        }
        if !attention.causal {
            return scores;
        }
        let grid = [q.dim(-2), k.dim(-2)];
        let (row, column) = (q.graph().iota(grid, 0, DType::U32), q.graph().iota(grid, 1, DType::U32));
        // Far below any score, yet far enough from overflow that subtracting the maximum is safe.
        scores.masked_fill(&column.gt(&row), q.dtype().lowest() / 2.0)
    }

    /// 0 in the rows of a query that sees nothing. Without a bias it sees a key at least.
    #[track_caller]
    fn unless_blind(self, scores: &Tensor, x: Tensor) -> Tensor {
        if !self.attention.biased {
            return x;
        }
        let blind = scores.max(-1).lt(Attention::blind_below(scores.dtype()));
        let blind = if x.rank() == scores.rank() { blind.unsqueeze(-1) } else { blind };
        x.masked_fill(&blind, 0.0)
    }

    /// Weights as they meet values.
    #[track_caller]
    fn dropped(self, pass: Pass, weights: Tensor, x: &[Tensor]) -> Tensor {
        match (Attention { pass, ..self.attention }).factor() {
            Some(factor) => weights * &x[factor],
            None => weights,
        }
    }

    #[track_caller]
    fn result(self, x: &[Tensor]) -> Tensor {
        let scores = self.of(Pass::Forward, x);
        let weights = self.unless_blind(&scores, scores.softmax(-1));
        self.product("ts", "se", "te", &self.dropped(Pass::Forward, weights, x), &x[2])
    }

    /// Records a definition, and what a compiler may put in its place.
    fn record(
        self,
        name: &'static str,
        operands: &[&Tensor],
        define: impl FnOnce(&[Tensor]) -> Tensor,
        gradient: Option<Rule>,
        pass: Pass,
        part: usize,
    ) -> Tensor {
        let offer = AttentionPart { attention: Attention { pass, ..self.attention }, part };
        let offer = |_: &Graph, _: &Tensor| Ok(Some(Offer::Attention(offer)));
        crate::custom::record(name, self.location, operands, define, gradient, offer)
    }

    /// The gradients, from scores that are computed again (Dao et al., 2022, appendix B.2). That of what is added to
    /// the scores is as large as they are, and no pass gives it.
    fn gradients(self, cx: &Vjp<'_>) -> Vec<Cotangent> {
        let ([q, k, v], beside) = ([0, 1, 2].map(|at| &cx.inputs[at]), &cx.inputs[3..]);
        let sum = |x: &[Tensor]| {
            let scores = self.of(Pass::Forward, x);
            self.unless_blind(&scores, scores.logsumexp(-1))
        };
        let operands: Vec<&Tensor> = cx.inputs.iter().collect();
        let sums = self.record("attention_sums", &operands, sum, None, Pass::Forward, 1);
        let products = (cx.cotangent * cx.output).sum(-1);
        let pass = Pass::Queries;
        let weights = |x: &[Tensor]| (self.of(pass, x) - x[3].unsqueeze(-1)).exp();
        let of_scores = |x: &[Tensor]| {
            let of_weights = self.dropped(pass, self.product("te", "se", "ts", &x[5], &x[2]), x);
            weights(x) * (of_weights - x[4].unsqueeze(-1))
        };
        let slopes = |x: &[Tensor]| of_scores(x) * self.scale;
        let operands: Vec<&Tensor> =
            [q, k, v, &sums, &products, cx.cotangent].into_iter().chain(beside).collect();
        let of_queries = |x: &[Tensor]| self.product("ts", "sd", "td", &slopes(x), &x[1]);
        let of_keys = |x: &[Tensor]| self.product("ts", "td", "sd", &slopes(x), &x[0]);
        let of_values =
            |x: &[Tensor]| self.product("ts", "te", "se", &self.dropped(pass, weights(x), x), &x[5]);
        let own = |define: &dyn Fn(&[Tensor]) -> Tensor, pass, part| {
            self.record("attention_gradient", &operands, define, None, pass, part).into()
        };
        let mut gradients = vec![
            own(&of_queries, Pass::Queries, 0),
            own(&of_keys, Pass::KeysAndValues, 0),
            own(&of_values, Pass::KeysAndValues, 1),
        ];
        if self.attention.biased {
            let owned: Vec<Tensor> = operands.iter().map(|&operand| operand.clone()).collect();
            gradients.push(of_scores(&owned).into());
        }
        if self.attention.dropped {
            gradients.push(Cotangent::Zero);
        }
        gradients
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let attend = |name: &str, causal: bool| {
        let mut options = AttentionOptions::new();
        options.causal = causal;
        let build = move |t: &[Tensor]| Tensor::scaled_dot_product_attention(&t[0], &t[1], &t[2], &options);
        Case::new(&format!("scaled_dot_product_attention{name}"), build)
    };
    let with = |name: &str, options: fn(&[Tensor]) -> AttentionOptions| {
        let build =
            move |t: &[Tensor]| Tensor::scaled_dot_product_attention(&t[0], &t[1], &t[2], &options(&t[3..]));
        Case::new(&format!("scaled_dot_product_attention/{name}"), build)
    };
    vec![
        // Equal scores: the mean of the values, for a causal query that of the values up to it.
        attend("", false)
            .given([2, 1], &[0.0, 0.0])
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 6.0])
            .expect(&[2.0, 4.0, 2.0, 4.0]),
        attend("/causal", true)
            .given([2, 1], &[0.0, 0.0])
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 6.0])
            .expect(&[1.0, 2.0, 2.0, 4.0]),
        attend("/heads", false).random([2, 3, 5, 4]).random([2, 3, 7, 4]).random([2, 3, 7, 3]),
        attend("/causal-heads", true).random([2, 1, 5, 4]).random([2, 1, 5, 4]).random([2, 1, 5, 4]),
        // Wide and long enough for several tiles, with more or fewer keys than queries.
        attend("/long", false).random([2, 37, 12]).random([2, 70, 12]).random([2, 70, 8]),
        attend("/causal-long", true).random([70, 36]).random([37, 36]).random([37, 4]),
        attend("/causal-more-keys", true).random([1, 9, 8]).random([1, 21, 8]).random([1, 21, 8]),
        // The first query sees one value, the second nothing.
        with("hidden", |mask| AttentionOptions::new().hidden(&mask[0]))
            .given([2, 1], &[0.0, 0.0])
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 6.0])
            .operand(DType::Bool, [2, 2], Fill::Given(vec![1.0, 0.0, 1.0, 1.0]))
            .expect(&[3.0, 6.0, 0.0, 0.0]),
        // Of some queries everything that is not in the future is hidden.
        with("causal-hidden", |mask| AttentionOptions::new().causal().hidden(&mask[0]))
            .random([2, 2, 19, 8])
            .random([2, 2, 19, 8])
            .random([2, 2, 19, 4])
            .operand(DType::Bool, [2, 1, 1, 19], Fill::Uniform(0.0, 2.0)),
        with("bias", |bias| AttentionOptions::new().bias(&bias[0]))
            .random([2, 11, 4])
            .random([2, 13, 4])
            .random([2, 13, 8])
            .random([11, 13]),
        with("bias-hidden", |beside| AttentionOptions::new().bias(&beside[0]).hidden(&beside[1]))
            .random([2, 9, 4])
            .random([2, 5, 4])
            .random([2, 5, 4])
            .random([2, 9, 1])
            .operand(DType::Bool, [9, 5], Fill::Uniform(0.0, 2.0)),
        // Words of random blocks of four lie along the keys; in the second case they do not begin with a row.
        with("dropout", |_| AttentionOptions::new().dropout(0.25))
            .random([2, 21, 8])
            .random([2, 40, 8])
            .random([2, 40, 4]),
        with("causal-dropout", |_| AttentionOptions::new().causal().dropout(0.5))
            .random([3, 18, 4])
            .random([3, 18, 4])
            .random([3, 18, 8]),
        with("all", |mask| AttentionOptions::new().causal().hidden(&mask[0]).dropout(0.1))
            .random([2, 36, 8])
            .random([2, 36, 8])
            .random([2, 36, 8])
            .operand(DType::Bool, [2, 1, 36], Fill::Uniform(0.0, 2.0)),
    ]
}
