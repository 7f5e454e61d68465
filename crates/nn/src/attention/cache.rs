//! Keys and values of the past, for generation one token at a time.

use std::borrow::Borrow;

use wgrad_core::{DType, F32, Graph, Tensor, TensorSpec, U32, Var, Vars};

use crate::init::zeros;

/// What causal self-attention remembers of earlier positions, as buffers of static shape: each run of a
/// program adds its keys and values behind the others, so that generating a token costs one position and
/// not the whole sequence.
///
/// One cache serves all layers of a model. Declare it in the model's tree before the state is initialized.
/// Positions beyond the capacity are not remembered: generate at most `capacity` tokens, then start again by
/// writing 0 to the state's `position`.
///
/// Variables, all buffers: `position` (u32 scalar, 0), and for each layer `N.key` and `N.value`,
/// \[batch, heads, capacity, size\].
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{KvCache, MultiHeadAttention};
/// let vars = Vars::new();
/// let attention = MultiHeadAttention::new(vars.sub("attn"), 64, 4);
/// let cache = KvCache::new(vars.sub("cache"), 1, [1, 4, 256, 16]);
/// let graph = Graph::new(Mode::Eval);
/// let token = graph.input("token", [1, 1, 64], F32);
/// let y = attention.attend_cached(&token, &cache, 0);
/// cache.advance(&graph, 1);
/// assert_eq!(y.shape(), token.shape());
/// ```
#[derive(Clone, Debug)]
pub struct KvCache {
    /// The number of positions remembered so far.
    pub position: Var,
    layers: Vec<[Var; 2]>,
    shape: [usize; 4],
}

impl KvCache {
    /// A cache for a number of layers, of shape \[batch, heads, capacity, size of a head\].
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, layers: usize, shape: [usize; 4]) -> Self {
        let vars = vars.borrow();
        let position = vars.buffer("position", TensorSpec::new(U32, []), zeros());
        let mut pairs = Vec::with_capacity(layers);
        for layer in 0..layers {
            let vars = vars.sub(layer);
            let spec = TensorSpec::new(F32, shape);
            pairs.push([vars.buffer("key", spec.clone(), zeros()), vars.buffer("value", spec, zeros())]);
        }
        Self { position, layers: pairs, shape }
    }

    /// The number of positions that can be remembered.
    pub fn capacity(&self) -> usize {
        self.shape[2]
    }

    /// The number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The positions of the next `count` tokens, u32 \[count\].
    #[track_caller]
    pub fn positions(&self, graph: &Graph, count: usize) -> Tensor {
        graph.arange(count, U32) + graph.var(&self.position)
    }

    /// Which of all positions the next `count` tokens may not see: bool \[count, capacity\].
    #[track_caller]
    pub fn hidden(&self, graph: &Graph, count: usize) -> Tensor {
        graph.iota([count, self.capacity()], 1, U32).gt(self.positions(graph, count).unsqueeze(1))
    }

    /// Remembers the keys and values of the next tokens, \[batch, heads, T, size\], and returns those of all
    /// positions, \[batch, heads, capacity, size\]; what lies behind the last token is to be hidden.
    #[track_caller]
    pub fn append(&self, layer: usize, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let Some([keys, values]) = self.layers.get(layer) else {
            let message = format!("there is no layer {layer} in a cache of {}", self.layers.len());
            let invalid = key.fail("kv_cache", message);
            return (invalid.clone(), invalid);
        };
        (self.insert(keys, key), self.insert(values, value))
    }

    /// Moves on behind the next `count` tokens, once all layers have remembered them.
    #[track_caller]
    pub fn advance(&self, graph: &Graph, count: usize) {
        graph.assign(&self.position, &(graph.var(&self.position) + count as f64));
    }

    #[track_caller]
    fn insert(&self, var: &Var, new: &Tensor) -> Tensor {
        let (graph, shape, [batch, heads, capacity, size]) = (new.graph(), new.shape(), self.shape);
        let fits = shape.rank() == 4 && [shape[0], shape[1], shape[3]] == [batch, heads, size];
        if !fits || shape[2] == 0 {
            let message = format!("`{}` takes [{batch}, {heads}, T, {size}], got {}", var.name(), new.spec());
            return new.fail("kv_cache", message);
        }
        // Where each position of the cache lies among the new tokens, if it does.
        let position = graph.var(&self.position).cast(DType::I32);
        let token = graph.arange(capacity, DType::I32) - position;
        let fresh = token.ge(0.0).and(&token.lt(shape[2] as f64)).unsqueeze(1);
        let spread = if shape[2] == 1 {
            new.clone()
        } else {
            new.index_select(2, &token.clamp(0.0, (shape[2] - 1) as f64).cast(U32))
        };
        let all = fresh.select(&spread, &graph.var(var));
        graph.assign(var, &all);
        all
    }
}
