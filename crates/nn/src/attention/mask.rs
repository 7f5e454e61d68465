//! What a query may not see.

use wgrad_core::{DType, Tensor};

/// Which keys are hidden from which queries, in the sense of PyTorch's `MultiheadAttention`: true hides. Where
/// everything is hidden from a query, it sees the mean of all values (in PyTorch, NaN).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, U32, Vars};
/// use wgrad_nn::{AttentionMask, MultiHeadAttention};
/// let attention = MultiHeadAttention::new(Vars::new(), 64, 4);
/// let graph = Graph::new(Mode::Train);
/// let x = graph.input("x", [8, 100, 64], F32);
/// let lengths = graph.input("lengths", [8, 1], U32);
/// // Positions beyond a sequence's length are padding.
/// let padding = graph.iota([8, 100], 1, U32).ge(&lengths);
/// let y = attention.attend(&x, &x, &x, &AttentionMask::causal().key_padding(&padding));
/// assert_eq!(y.shape(), x.shape());
/// ```
#[derive(Clone, Debug, Default)]
pub struct AttentionMask {
    causal: bool,
    key_padding: Option<Tensor>,
    pairs: Option<Tensor>,
}

impl AttentionMask {
    /// Everything is seen.
    pub fn none() -> Self {
        Self::default()
    }

    /// Query t sees the keys s ≤ t.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }

    /// Keys that are padding: bool \[N, S\] (PyTorch's `key_padding_mask`).
    pub fn key_padding(mut self, hidden: &Tensor) -> Self {
        self.key_padding = Some(hidden.clone());
        self
    }

    /// Pairs of query and key: bool (true hides) or float (added to the scores), \[T, S\] or
    /// \[N · heads, T, S\] (PyTorch's `attn_mask`).
    pub fn pairs(mut self, hidden: &Tensor) -> Self {
        self.pairs = Some(hidden.clone());
        self
    }

    pub(crate) fn or_causal(&self, causal: bool) -> Self {
        Self { causal: self.causal || causal, ..self.clone() }
    }

    pub(crate) fn is_causal(&self) -> bool {
        self.causal
    }

    pub(crate) fn is_causal_alone(&self) -> bool {
        self.key_padding.is_none() && self.pairs.is_none()
    }

    /// Scores \[N, heads, T, S\] with what is hidden far below the rest.
    #[track_caller]
    pub(crate) fn apply(&self, scores: &Tensor) -> Tensor {
        let (graph, shape) = (scores.graph(), scores.shape());
        if !scores.is_valid() {
            return scores.clone();
        }
        let mut scores = scores.clone();
        if self.causal {
            let (row, column) =
                (graph.iota(&shape[2..], 0, DType::U32), graph.iota(&shape[2..], 1, DType::U32));
            scores = hide(&scores, &column.gt(row));
        }
        if let Some(padding) = &self.key_padding {
            if *padding.shape() != [shape[0], shape[3]] || padding.dtype() != DType::Bool {
                let message = format!("a key padding mask is bool [{}, {}]", shape[0], shape[3]);
                return padding.fail("attention", format!("{message}, got {}", padding.spec()));
            }
            scores = hide(&scores, &padding.reshape([shape[0], 1, 1, shape[3]]));
        }
        match &self.pairs {
            Some(pairs) => hide_pairs(&scores, pairs),
            None => scores,
        }
    }
}

#[track_caller]
fn hide_pairs(scores: &Tensor, pairs: &Tensor) -> Tensor {
    let (shape, given) = (scores.shape(), pairs.shape());
    let per_head = *given == [shape[0] * shape[1], shape[2], shape[3]];
    let dtype = pairs.dtype();
    if !(per_head || given[..] == shape[2..]) || !(dtype == DType::Bool || dtype == scores.dtype()) {
        let (t, s) = (shape[2], shape[3]);
        let message = format!("a mask is bool or float, [{t}, {s}] or [{}, {t}, {s}]", shape[0] * shape[1]);
        return pairs.fail("attention", format!("{message}, got {}", pairs.spec()));
    }
    let pairs = if per_head { pairs.reshape(&shape) } else { pairs.clone() };
    if dtype == DType::Bool { hide(scores, &pairs) } else { scores + pairs }
}

/// Far below any score, yet far enough from overflow that subtracting the maximum is safe.
#[track_caller]
fn hide(scores: &Tensor, hidden: &Tensor) -> Tensor {
    scores.masked_fill(hidden, scores.dtype().lowest() / 2.0)
}
