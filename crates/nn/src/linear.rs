//! The fully connected layer.

use std::borrow::Borrow;

use wgrad_core::{Init, Tensor, Var, Vars};

use crate::Module;
use crate::init::{Fan, Nonlinearity, kaiming_uniform, uniform};

/// x·Wᵀ + b over the last axis: `[…, in]` becomes `[…, out]` (PyTorch's `Linear`).
///
/// Variables: `weight` \[out, in\] and `bias` \[out\], both uniform in ±1/√in unless configured.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Linear, Module};
/// let vars = Vars::new();
/// let fc1 = Linear::new(vars.sub("fc1"), 1600, 128);
/// let graph = Graph::new(Mode::Eval);
/// assert_eq!(*fc1.forward(&graph.input("x", [64, 1600], F32)).shape(), [64, 128]);
/// assert!(vars.get("fc1.weight").is_some() && vars.get("fc1.bias").is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    /// The matrix, \[out, in\].
    pub weight: Var,
    /// What is added, \[out\].
    pub bias: Option<Var>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features, with a bias.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize) -> Self {
        LinearConfig::new(inputs, outputs).build(vars)
    }

    /// A layer that only multiplies.
    #[track_caller]
    pub fn no_bias(vars: impl Borrow<Vars>, inputs: usize, outputs: usize) -> Self {
        LinearConfig::new(inputs, outputs).no_bias().build(vars)
    }
}

impl Module for Linear {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// x·Wᵀ + b over the last axis of x, with variables.
#[track_caller]
pub(crate) fn linear(x: &Tensor, weight: &Var, bias: Option<&Var>) -> Tensor {
    let graph = x.graph();
    let bias = bias.map(|bias| graph.var(bias));
    project(x, &graph.var(weight), bias.as_ref(), weight.name())
}

/// x·Wᵀ + b over the last axis of x; `name` is the weight's in errors.
#[track_caller]
pub(crate) fn project(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, name: &str) -> Tensor {
    let (shape, weights) = (x.shape(), weight.shape());
    let Some((_, lead)) = shape.split_last().filter(|&(last, _)| weights.get(1) == Some(last)) else {
        let inputs = weight.dim(1);
        let message = format!("`{name}` needs {inputs} features along the last axis, got {}", x.spec());
        return x.fail("linear", message);
    };
    let flat = x.reshape([lead.iter().product(), weights[1]]);
    let product = flat.einsum(weight, "ni,oi->no");
    let sum = match bias {
        Some(bias) => product + bias,
        None => product,
    };
    if sum.is_valid() { sum.reshape([lead, &weights[..1]].concat()) } else { sum }
}

/// The choices of a [`Linear`] layer, made before its variables are declared.
///
/// ```
/// use wgrad_core::Vars;
/// use wgrad_nn::{LinearConfig, init};
/// let vars = Vars::new();
/// let layer = LinearConfig::new(64, 10).weight_init(init::xavier_normal(1.0)).no_bias().build(&vars);
/// ```
#[derive(Clone, Debug)]
pub struct LinearConfig {
    inputs: usize,
    outputs: usize,
    weight: Init,
    bias: Option<Init>,
}

impl LinearConfig {
    /// PyTorch's defaults.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, weight: default_weight(), bias: Some(default_bias(inputs)) }
    }

    /// How the weight starts.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight = init;
        self
    }

    /// How the bias starts.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias = Some(init);
        self
    }

    /// A layer that only multiplies.
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// Declares the variables.
    #[track_caller]
    pub fn build(self, vars: impl Borrow<Vars>) -> Linear {
        let (vars, Self { inputs, outputs, weight, bias }) = (vars.borrow(), self);
        let mut layer = Linear { weight: vars.var("weight", [outputs, inputs], weight), bias: None };
        if let Some(init) = bias {
            layer.bias = Some(vars.var("bias", [outputs], init));
        }
        layer
    }
}

/// PyTorch writes it as He's uniform distribution for a leaky slope of √5, which is ±1/√fan_in.
pub(crate) fn default_weight() -> Init {
    kaiming_uniform(Fan::In, Nonlinearity::LeakyRelu(5f64.sqrt()))
}

/// Uniform in ±1/√fan_in of the layer's weight.
pub(crate) fn default_bias(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    uniform(-bound, bound)
}
