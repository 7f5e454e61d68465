//! Scaled dot-product attention.

use std::panic::Location;

use super::{Attention, AttentionPart, Contract, Offer, Pass, Rule};
use crate::case::Case;
use crate::op::{Cotangent, Vjp};
use crate::{DType, Graph, Tensor};

impl Tensor {
    /// softmax(q·kᵀ / √d) · v (PyTorch's `scaled_dot_product_attention`; Vaswani et al., 2017): q is
    /// \[…, T, D\], k is \[…, S, D\], v is \[…, S, E\] with the same leading axes (batch, heads); the
    /// result is \[…, T, E\]. With `causal`, position t sees the positions s ≤ t.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, Tensor};
    /// let g = Graph::new(Mode::Eval);
    /// let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, [2, 4, 16, 8], F32));
    /// assert_eq!(*Tensor::scaled_dot_product_attention(&q, &k, &v, true).shape(), [2, 4, 16, 8]);
    /// ```
    #[track_caller]
    pub fn scaled_dot_product_attention(q: &Self, k: &Self, v: &Self, causal: bool) -> Self {
        if !q.is_valid() || !k.is_valid() || !v.is_valid() {
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
        let scores = Scores::new(qs.rank(), qs[rank - 1], causal);
        let define =
            |x: &[Self]| scores.product("ts", "se", "te", &scores.of(&x[0], &x[1]).softmax(-1), &x[2]);
        let rule = Rule::new(move |cx| scores.gradients(cx));
        scores.record("scaled_dot_product_attention", &[q, k, v], define, Some(rule), Pass::Forward, 0)
    }
}

/// Attention of operands of some rank and width: its definition, by which scores are a tensor \[…, T, S\], and
/// the passes that do without one.
#[derive(Clone, Copy)]
struct Scores {
    leading: usize,
    scale: f64,
    causal: bool,
    /// Where the user called it: gradients stand there too.
    location: &'static Location<'static>,
}

impl Scores {
    #[track_caller]
    fn new(rank: usize, width: usize, causal: bool) -> Self {
        let scale = 1.0 / (width as f64).sqrt();
        Self { leading: rank - 2, scale, causal, location: Location::caller() }
    }

    /// A product over the last two axes, with the others in common.
    #[track_caller]
    fn product(self, a: &str, b: &str, out: &str, x: &Tensor, y: &Tensor) -> Tensor {
        let lead: Vec<u8> = (0..self.leading).map(|axis| b'A' + axis as u8).collect();
        let labels = |own: &str| [&lead, own.as_bytes()].concat();
        x.graph().record(Contract { a: labels(a), b: labels(b), out: labels(out) }, &[x, y])
    }

    #[track_caller]
    fn of(self, q: &Tensor, k: &Tensor) -> Tensor {
        let scores = self.product("td", "sd", "ts", q, k) * self.scale;
        if !self.causal {
            return scores;
        }
        let grid = [q.dim(-2), k.dim(-2)];
        let (row, column) = (q.graph().iota(grid, 0, DType::U32), q.graph().iota(grid, 1, DType::U32));
        // Far below any score, yet far enough from overflow that subtracting the maximum is safe.
        scores.masked_fill(&column.gt(&row), q.dtype().lowest() / 2.0)
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
        let offer = AttentionPart { attention: Attention { pass, causal: self.causal }, part };
        let offer = |_: &Graph, _: &Tensor| Ok(Some(Offer::Attention(offer)));
        crate::custom::record(name, self.location, operands, define, gradient, offer)
    }

    /// The gradients, from scores that are computed again (Dao et al., 2022, appendix B.2).
    fn gradients(self, cx: &Vjp<'_>) -> Vec<Cotangent> {
        let [q, k, v] = [&cx.inputs[0], &cx.inputs[1], &cx.inputs[2]];
        let sum = |x: &[Tensor]| self.of(&x[0], &x[1]).logsumexp(-1);
        let sums = self.record("attention_sums", &[q, k, v], sum, None, Pass::Forward, 1);
        let products = (cx.cotangent * cx.output).sum(-1);
        let weights = |x: &[Tensor]| (self.of(&x[0], &x[1]) - x[3].unsqueeze(-1)).exp();
        let slopes = |x: &[Tensor]| {
            let of_weights = self.product("te", "se", "ts", &x[5], &x[2]);
            weights(x) * (of_weights - x[4].unsqueeze(-1)) * self.scale
        };
        let operands = [q, k, v, &sums, &products, cx.cotangent];
        let of_queries = |x: &[Tensor]| self.product("ts", "sd", "td", &slopes(x), &x[1]);
        let of_keys = |x: &[Tensor]| self.product("ts", "td", "sd", &slopes(x), &x[0]);
        let of_values = |x: &[Tensor]| self.product("ts", "te", "se", &weights(x), &x[5]);
        let own = |define: &dyn Fn(&[Tensor]) -> Tensor, pass, part| {
            self.record("attention_gradient", &operands, define, None, pass, part).into()
        };
        vec![
            own(&of_queries, Pass::Queries, 0),
            own(&of_keys, Pass::KeysAndValues, 0),
            own(&of_values, Pass::KeysAndValues, 1),
        ]
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let attend = |name: &str, causal: bool| {
        let build = move |t: &[Tensor]| Tensor::scaled_dot_product_attention(&t[0], &t[1], &t[2], causal);
        Case::new(&format!("scaled_dot_product_attention{name}"), build)
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
    ]
}
