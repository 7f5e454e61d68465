//! Rotary position embedding.

use wgrad_core::{Graph, Tensor};

use crate::Module;

/// Turns pairs of features of queries and keys \[…, T, size\] by an angle that grows with the position t, so that
/// their products depend on relative positions alone (Su et al., 2021). Pair i turns by t · base^(−2i/size)
/// with base 10,000.
///
/// Feature i is paired with i + size/2, as in GPT-NeoX, LLaMA and the transformers library;
/// [`interleaved`](Self::interleaved) pairs neighbours, as in the paper. There are no variables.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, MultiHeadAttention, RotaryEmbedding};
/// let attention = MultiHeadAttention::new(Vars::new(), 64, 4).causal().rotary(RotaryEmbedding::new(16, 256));
/// let x = Graph::new(Mode::Train).input("x", [8, 100, 64], F32);
/// assert_eq!(attention.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct RotaryEmbedding {
    size: usize,
    limit: usize,
    base: f64,
    interleaved: bool,
}

impl RotaryEmbedding {
    /// For heads of `size` features, an even number, at positions below `limit`.
    pub fn new(size: usize, limit: usize) -> Self {
        Self { size, limit, base: 10_000.0, interleaved: false }
    }

    /// Another base of the frequencies.
    pub fn base(mut self, base: f64) -> Self {
        self.base = base;
        self
    }

    /// Pairs neighbouring features.
    pub fn interleaved(mut self) -> Self {
        self.interleaved = true;
        self
    }

    /// Turns \[…, T, size\] by the given positions, u32 \[T\], each below the limit.
    #[track_caller]
    pub fn at(&self, x: &Tensor, positions: &Tensor) -> Tensor {
        if let Some(message) = self.refuse(x) {
            return x.fail("rotary", message);
        }
        let [cos, sin] = self.tables(x.graph(), self.limit);
        self.turn(x, &cos.index_select(0, positions), &sin.index_select(0, positions))
    }

    /// cos and sin of the angles at the first positions, \[positions, size/2\].
    #[track_caller]
    fn tables(&self, graph: &Graph, positions: usize) -> [Tensor; 2] {
        let half = self.size / 2;
        let angle =
            |i: usize| (i / half) as f64 * self.base.powf(-((2 * (i % half)) as f64) / self.size as f64);
        let table =
            |f: fn(f64) -> f64| -> Vec<f32> { (0..positions * half).map(|i| f(angle(i)) as f32).collect() };
        [
            graph.constant([positions, half], &table(f64::cos)),
            graph.constant([positions, half], &table(f64::sin)),
        ]
    }

    #[track_caller]
    fn turn(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
        let (shape, half) = (x.shape(), self.size / 2);
        // The pairs' members along an axis of two, before or after the axis of pairs.
        let lead = &shape[..shape.rank() - 1];
        let (pair, axis) = if self.interleaved { ([half, 2], -1) } else { ([2, half], -2) };
        let pairs = x.reshape([lead, &pair].concat());
        let (a, b) = (pairs.select_index(axis, 0), pairs.select_index(axis, 1));
        let (cos, sin) = (cos.cast(x.dtype()), sin.cast(x.dtype()));
        let turned = [&(&a * &cos - &b * &sin), &(&b * &cos + &a * &sin)];
        let joined = Tensor::stack(&turned, axis);
        if joined.is_valid() { joined.reshape(&shape) } else { joined }
    }

    fn refuse(&self, x: &Tensor) -> Option<String> {
        let (shape, size) = (x.shape(), self.size);
        if size == 0 || !size.is_multiple_of(2) {
            return Some(format!("pairs need an even number of features, not {size}"));
        }
        let fits = shape.rank() >= 2 && shape[shape.rank() - 1] == size;
        (!fits).then(|| format!("needs an input […, T, {size}], got {}", x.spec()))
    }
}

impl Module for RotaryEmbedding {
    /// At the positions 0, 1, ….
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if let Some(message) = self.refuse(x) {
            return x.fail("rotary", message);
        }
        let count = x.dim(-2);
        if count > self.limit {
            return x.fail("rotary", format!("{count} positions are more than the limit of {}", self.limit));
        }
        let [cos, sin] = self.tables(x.graph(), count);
        self.turn(x, &cos, &sin)
    }
}
