//! Multi-head self-attention.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

use crate::init::{xavier_uniform, zeros};
use crate::linear::linear;
use crate::{Linear, LinearConfig, Module};

/// Self-attention in several heads: \[N, T, width\] to the same (PyTorch's `MultiheadAttention` with
/// `batch_first` and one input as query, key and value; Vaswani et al., 2017).
///
/// Variables: `in_proj_weight` \[3·width, width\] (Xavier) and `in_proj_bias` \[3·width\] (0), in the order
/// query, key, value; `out_proj.weight` \[width, width\] and `out_proj.bias` \[width\] (0).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, MultiHeadAttention};
/// let attention = MultiHeadAttention::new(Vars::new(), 64, 4).causal();
/// let x = Graph::new(Mode::Train).input("x", [8, 100, 64], F32);
/// assert_eq!(attention.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    in_weight: Var,
    in_bias: Var,
    out: Linear,
    width: usize,
    heads: usize,
    causal: bool,
}

impl MultiHeadAttention {
    /// `heads` heads of width/heads features each; `heads` must divide the width.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, width: usize, heads: usize) -> Self {
        let vars = vars.borrow();
        Self {
            in_weight: vars.var("in_proj_weight", [3 * width, width], xavier_uniform(1.0)),
            in_bias: vars.var("in_proj_bias", [3 * width], zeros()),
            out: LinearConfig::new(width, width).bias_init(zeros()).build(vars.sub("out_proj")),
            width,
            heads,
            causal: false,
        }
    }

    /// Each position sees itself and those before it only.
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }
}

impl Module for MultiHeadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (shape, width, heads) = (x.shape(), self.width, self.heads);
        let name = self.in_weight.name();
        if shape.rank() != 3 || shape[2] != width {
            let message = format!("`{name}` needs an input [N, T, {width}], got {}", x.spec());
            return x.fail("attention", message);
        }
        if heads == 0 || width % heads != 0 {
            let message = format!("the width {width} of `{name}` cannot be divided among {heads} heads");
            return x.fail("attention", message);
        }
        let projected = linear(x, &self.in_weight, Some(&self.in_bias));
        if !projected.is_valid() {
            return projected;
        }
        // [N, T, 3·width] to query, key and value, [N, heads, T, width/heads] each.
        let parts =
            projected.reshape([shape[0], shape[1], 3, heads, width / heads]).permute(&[2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|part| parts.select_index(0, part));
        let seen = Tensor::scaled_dot_product_attention(&q, &k, &v, self.causal);
        self.out.forward(&seen.transpose(1, 2).reshape(&shape))
    }
}
