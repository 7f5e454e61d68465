//! Attention: the layer, what it may see, positions, and the cache of keys and values for generation.

mod cache;
mod mask;
mod multi_head;
mod rotary;
mod sinusoidal;

pub use cache::KvCache;
pub use mask::AttentionMask;
pub use multi_head::{MultiHeadAttention, MultiHeadAttentionConfig};
pub use rotary::RotaryEmbedding;
pub use sinusoidal::SinusoidalPositions;

use wgrad_core::Tensor;

/// softmax(q·kᵀ/√d)·v for q \[N, heads, T, D\], k \[N, heads, S, D\] and v \[N, heads, S, E\]; hidden scores
/// take no part, and attention weights are dropped with probability `dropout`.
#[track_caller]
pub(crate) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask, dropout: f64) -> Tensor {
    match mask.options(q, k) {
        Ok(options) => Tensor::scaled_dot_product_attention(q, k, v, &options.dropout(dropout)),
        Err(invalid) => invalid,
    }
}

/// \[N, T, heads · D\] to \[N, heads, T, D\].
#[track_caller]
pub(crate) fn split_heads(x: &Tensor, heads: usize) -> Tensor {
    if !x.is_valid() {
        return x.clone();
    }
    let shape = x.shape();
    x.reshape([shape[0], shape[1], heads, shape[2] / heads]).transpose(1, 2)
}

/// \[N, heads, T, D\] to \[N, T, heads · D\].
#[track_caller]
pub(crate) fn merge_heads(x: &Tensor) -> Tensor {
    if x.is_valid() { x.transpose(1, 2).flatten(2) } else { x.clone() }
}

/// Query, key and value of all heads from one projection: \[N, T, 3 · width\] to three times
/// \[N, heads, T, width/heads\].
#[track_caller]
pub(crate) fn split_packed(x: &Tensor, heads: usize) -> [Tensor; 3] {
    if !x.is_valid() {
        return [x.clone(), x.clone(), x.clone()];
    }
    let shape = x.shape();
    let parts = x.reshape([shape[0], shape[1], 3, heads, shape[2] / 3 / heads]).permute(&[2, 0, 3, 1, 4]);
    [parts.select_index(0, 0), parts.select_index(0, 1), parts.select_index(0, 2)]
}

/// Why `heads` cannot share `width`, if so.
pub(crate) fn uneven_heads(name: &str, width: usize, heads: usize) -> Option<String> {
    let uneven = heads == 0 || !width.is_multiple_of(heads);
    uneven.then(|| format!("the width {width} of `{name}` cannot be divided among {heads} heads"))
}
