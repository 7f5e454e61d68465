//! Multi-head attention.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

use super::{
    AttentionMask, KvCache, RotaryEmbedding, attend, merge_heads, split_heads, split_packed, uneven_heads,
};
use crate::init::{xavier_uniform, zeros};
use crate::linear::{linear, project};
use crate::{Linear, LinearConfig, Module};

/// Attention in several heads (PyTorch's `MultiheadAttention` with `batch_first`; Vaswani et al., 2017). As
/// a [`Module`] it is self-attention, \[N, T, width\] to the same; [`attend`](Self::attend) takes query, key,
/// value and masks.
///
/// Variables: `in_proj_weight` \[3·width, width\] (Xavier) and `in_proj_bias` \[3·width\] (0), in the order
/// query, key, value; `out_proj.weight` \[width, width\] and `out_proj.bias` \[width\] (0). Where keys or
/// values have another width, `q_proj_weight`, `k_proj_weight` and `v_proj_weight` instead of the first.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{AttentionMask, Module, MultiHeadAttention};
/// let vars = Vars::new();
/// let graph = Graph::new(Mode::Train);
/// let (x, memory) = (graph.input("x", [8, 100, 64], F32), graph.input("memory", [8, 50, 64], F32));
/// let itself = MultiHeadAttention::new(vars.sub("self"), 64, 4).causal();
/// let cross = MultiHeadAttention::new(vars.sub("cross"), 64, 4).dropout(0.1);
/// let x = &x + itself.forward(&x);
/// let x = &x + cross.attend(&x, &memory, &memory, &AttentionMask::none());
/// assert_eq!(*x.shape(), [8, 100, 64]);
/// ```
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    weights: Weights,
    in_bias: Option<Var>,
    out: Linear,
    width: usize,
    heads: usize,
    causal: bool,
    dropout: f64,
    rotary: Option<RotaryEmbedding>,
}

/// The projections of query, key and value.
#[derive(Clone, Debug)]
enum Weights {
    Packed(Var),
    Separate([Var; 3]),
}

impl MultiHeadAttention {
    /// `heads` heads of width/heads features each; `heads` must divide the width.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, width: usize, heads: usize) -> Self {
        MultiHeadAttentionConfig::new(width, heads).build(vars)
    }

    /// Each position sees itself and those before it only.
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// In training, attention weights are dropped with this probability.
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Queries and keys are turned by their positions.
    pub fn rotary(mut self, rotary: RotaryEmbedding) -> Self {
        self.rotary = Some(rotary);
        self
    }

    /// Attention of queries \[N, T, width\] over keys and values \[N, S, …\]: \[N, T, width\].
    #[track_caller]
    pub fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor, mask: &AttentionMask) -> Tensor {
        let [mut q, mut k, v] = match self.project(query, key, value) {
            Ok(parts) => parts,
            Err(invalid) => return invalid,
        };
        if let Some(rotary) = &self.rotary {
            (q, k) = (rotary.forward(&q), rotary.forward(&k));
        }
        self.finish(&q, &k, &v, &mask.or_causal(self.causal))
    }

    /// Causal self-attention of the next positions \[N, T, width\] over all that came before, whose keys and
    /// values a [`KvCache`] remembers under `layer`. Move the cache on once all layers have been called.
    #[track_caller]
    pub fn attend_cached(&self, x: &Tensor, cache: &KvCache, layer: usize) -> Tensor {
        let [mut q, mut k, v] = match self.project(x, x, x) {
            Ok(parts) => parts,
            Err(invalid) => return invalid,
        };
        if let Some(rotary) = &self.rotary {
            let position = cache.positions(x.graph(), x.dim(1));
            (q, k) = (rotary.at(&q, &position), rotary.at(&k, &position));
        }
        let (k, v) = cache.append(layer, &k, &v);
        let hidden = cache.hidden(x.graph(), x.dim(1));
        self.finish(&q, &k, &v, &AttentionMask::none().pairs(&hidden))
    }

    #[track_caller]
    fn finish(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask) -> Tensor {
        self.out.forward(&merge_heads(&attend(q, k, v, mask, self.dropout)))
    }

    /// Query, key and value of all heads; an invalid tensor where they cannot be.
    #[track_caller]
    fn project(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<[Tensor; 3], Tensor> {
        let inputs = [query, key, value];
        if let Some(invalid) = inputs.iter().find(|input| !input.is_valid()) {
            return Err((*invalid).clone());
        }
        if let Some(message) = self.refuse(inputs) {
            return Err(query.fail("attention", message));
        }
        let same = query.id() == key.id() && key.id() == value.id();
        let parts = match &self.weights {
            Weights::Packed(weight) if same => {
                split_packed(&linear(query, weight, self.in_bias.as_ref()), self.heads)
            }
            _ => [self.part(0, query), self.part(1, key), self.part(2, value)],
        };
        match parts.iter().find(|part| !part.is_valid()) {
            Some(invalid) => Err(invalid.clone()),
            None => Ok(parts),
        }
    }

    /// The query, key or value alone.
    #[track_caller]
    fn part(&self, part: usize, input: &Tensor) -> Tensor {
        let (graph, rows) = (input.graph(), part * self.width..(part + 1) * self.width);
        let bias = self.in_bias.as_ref().map(|bias| graph.var(bias).slice(0, rows.clone()));
        let (weight, var) = match &self.weights {
            Weights::Packed(packed) => (graph.var(packed).slice(0, rows), packed),
            Weights::Separate(separate) => (graph.var(&separate[part]), &separate[part]),
        };
        split_heads(&project(input, &weight, bias.as_ref(), var.name()), self.heads)
    }

    /// What is wrong with query, key and value, if anything.
    fn refuse(&self, inputs: [&Tensor; 3]) -> Option<String> {
        let name = self.out.weight.name();
        let widths = match &self.weights {
            Weights::Packed(_) => [self.width; 3],
            Weights::Separate(weights) => [0, 1, 2].map(|i| weights[i].shape()[1]),
        };
        for (letter, (input, width)) in ["T", "S", "S"].into_iter().zip(inputs.into_iter().zip(widths)) {
            if input.rank() != 3 || input.shape()[2] != width {
                return Some(format!("`{name}` needs an input [N, {letter}, {width}], got {}", input.spec()));
            }
        }
        let [q, k, v] = inputs.map(Tensor::shape);
        if q[0] != k[0] || k[..2] != v[..2] {
            return Some(format!("query {q}, key {k} and value {v} of `{name}` do not fit each other"));
        }
        uneven_heads(name, self.width, self.heads)
    }
}

impl Module for MultiHeadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, &AttentionMask::none())
    }
}

/// The choices of a [`MultiHeadAttention`] layer, made before its variables are declared.
///
/// ```
/// use wgrad_core::Vars;
/// use wgrad_nn::MultiHeadAttentionConfig;
/// let cross = MultiHeadAttentionConfig::new(64, 4).key_width(32).value_width(16).build(Vars::new());
/// ```
#[derive(Clone, Debug)]
pub struct MultiHeadAttentionConfig {
    width: usize,
    heads: usize,
    key_width: usize,
    value_width: usize,
    bias: bool,
}

impl MultiHeadAttentionConfig {
    /// PyTorch's defaults: keys and values as wide as queries, biases.
    pub fn new(width: usize, heads: usize) -> Self {
        Self { width, heads, key_width: width, value_width: width, bias: true }
    }

    /// The width of keys.
    pub fn key_width(mut self, width: usize) -> Self {
        self.key_width = width;
        self
    }

    /// The width of values.
    pub fn value_width(mut self, width: usize) -> Self {
        self.value_width = width;
        self
    }

    /// Projections that only multiply.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Declares the variables.
    #[track_caller]
    pub fn build(self, vars: impl Borrow<Vars>) -> MultiHeadAttention {
        let (vars, Self { width, heads, key_width, value_width, bias }) = (vars.borrow(), self);
        let weights = if key_width == width && value_width == width {
            Weights::Packed(vars.var("in_proj_weight", [3 * width, width], xavier_uniform(1.0)))
        } else {
            Weights::Separate([
                vars.var("q_proj_weight", [width, width], xavier_uniform(1.0)),
                vars.var("k_proj_weight", [width, key_width], xavier_uniform(1.0)),
                vars.var("v_proj_weight", [width, value_width], xavier_uniform(1.0)),
            ])
        };
        let mut in_bias = None;
        let mut out = LinearConfig::new(width, width).bias_init(zeros());
        if bias {
            in_bias = Some(vars.var("in_proj_bias", [3 * width], zeros()));
        } else {
            out = out.no_bias();
        }
        let out = out.build(vars.sub("out_proj"));
        MultiHeadAttention { weights, in_bias, out, width, heads, causal: false, dropout: 0.0, rotary: None }
    }
}
