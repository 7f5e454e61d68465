//! What a query may not see.

use wgrad_core::{AttentionOptions, DType, Tensor};

/// Which keys are hidden from which queries, in the sense of PyTorch's `MultiheadAttention`: true hides. A query from
/// which everything is hidden has the result 0, as in PyTorch's `scaled_dot_product_attention` since 2.5.
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

    /// What the mask says to queries \[N, heads, T, D\] and keys \[N, heads, S, D\].
    #[track_caller]
    pub(crate) fn options(&self, q: &Tensor, k: &Tensor) -> Result<AttentionOptions, Tensor> {
        let operands = [Some(q), Some(k), self.key_padding.as_ref(), self.pairs.as_ref()];
        if let Some(invalid) = operands.into_iter().flatten().find(|x| !x.is_valid()) {
            return Err(invalid.clone());
        }
        let ([n, heads, t], s) = ([0, 1, 2].map(|axis| q.shape()[axis]), k.shape()[2]);
        let mut options = AttentionOptions::new();
        if self.causal {
            options = options.causal();
        }
        let mut hidden: Option<Tensor> = None;
        if let Some(padding) = &self.key_padding {
            if *padding.shape() != [n, s] || padding.dtype() != DType::Bool {
                let message = format!("a key padding mask is bool [{n}, {s}], got {}", padding.spec());
                return Err(padding.fail("attention", message));
            }
            hidden = Some(padding.reshape([n, 1, 1, s]));
        }
        if let Some(pairs) = &self.pairs {
            let per_head = *pairs.shape() == [n * heads, t, s];
            let dtype = pairs.dtype();
            if !(per_head || *pairs.shape() == [t, s]) || !(dtype == DType::Bool || dtype == q.dtype()) {
                let message = format!("a mask is bool or float, [{t}, {s}] or [{}, {t}, {s}]", n * heads);
                return Err(pairs.fail("attention", format!("{message}, got {}", pairs.spec())));
            }
            let pairs = if per_head { pairs.reshape([n, heads, t, s]) } else { pairs.clone() };
            match dtype {
                DType::Bool => hidden = Some(hidden.map_or(pairs.clone(), |hidden| hidden.or(&pairs))),
                _ => options = options.bias(&pairs),
            }
        }
        Ok(match hidden {
            Some(hidden) => options.hidden(&hidden),
            None => options,
        })
    }
}
