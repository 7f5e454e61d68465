//! Convolution over one, two or three axes.

use std::borrow::Borrow;

use wgrad_core::ops::Window;
use wgrad_core::{Init, Tensor, Var, Vars};

use crate::Module;
use crate::linear::{default_bias, default_weight};

/// Convolution over D axes: \[N, in, …\] to \[N, out, …\] (PyTorch's `Conv1d`, `Conv2d`, `Conv3d`).
///
/// Variables: `weight` \[out, in/groups, kernel…\] and `bias` \[out\], both uniform in ±1/√fan_in unless
/// configured.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Conv1d, Conv2d, Conv2dConfig, Module};
/// let vars = Vars::new();
/// let conv1 = Conv2d::new(vars.sub("conv1"), 1, 32, 3);
/// let conv2 = Conv2dConfig::new(32, 64, 3).stride(2).padding(1).no_bias().build(vars.sub("conv2"));
/// let graph = Graph::new(Mode::Eval);
/// let x = conv1.forward(&graph.input("image", [64, 1, 28, 28], F32));
/// assert_eq!(*x.shape(), [64, 32, 26, 26]);
/// assert_eq!(*conv2.forward(&x).shape(), [64, 64, 13, 13]);
/// let wave = Conv1d::new(vars.sub("wave"), 12, 16, 5);
/// assert_eq!(*wave.forward(&graph.input("wave", [64, 12, 100], F32)).shape(), [64, 16, 96]);
/// ```
#[derive(Clone, Debug)]
pub struct Conv<const D: usize> {
    /// The kernels, \[out, in/groups, kernel…\].
    pub weight: Var,
    /// What is added, \[out\].
    pub bias: Option<Var>,
    inputs: usize,
    window: Window,
    groups: usize,
}

/// Convolution of sequences \[N, in, L\].
pub type Conv1d = Conv<1>;

/// Convolution of images \[N, in, H, W\].
pub type Conv2d = Conv<2>;

/// Convolution of volumes \[N, in, D, H, W\].
pub type Conv3d = Conv<3>;

impl<const D: usize> Conv<D> {
    /// A convolution from `inputs` to `outputs` channels with a kernel of `kernel` elements along every axis,
    /// stride 1, no padding and a bias.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize, kernel: usize) -> Self {
        ConvConfig::new(inputs, outputs, kernel).build(vars)
    }
}

impl<const D: usize> Module for Conv<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (shape, inputs) = (x.shape(), self.inputs);
        if shape.rank() != D + 2 || shape[1] != inputs {
            let axes = axes(D);
            let message = format!("`{}` needs an input [N, {inputs}, {axes}]", self.weight.name());
            return x.fail(&format!("conv{D}d"), format!("{message}, got {}", x.spec()));
        }
        let graph = x.graph();
        let bias = self.bias.as_ref().map(|bias| graph.var(bias));
        x.conv(&graph.var(&self.weight), bias.as_ref(), &self.window, self.groups)
    }
}

/// The usual names of the axes behind the channels.
pub(crate) fn axes(count: usize) -> &'static str {
    match count {
        1 => "L",
        2 => "H, W",
        _ => "D, H, W",
    }
}

/// The choices of a convolution, made before its variables are declared.
#[derive(Clone, Debug)]
pub struct ConvConfig<const D: usize> {
    inputs: usize,
    outputs: usize,
    window: Window,
    groups: usize,
    weight: Init,
    bias: bool,
    bias_init: Option<Init>,
}

/// The choices of a [`Conv1d`] layer.
pub type Conv1dConfig = ConvConfig<1>;

/// The choices of a [`Conv2d`] layer.
pub type Conv2dConfig = ConvConfig<2>;

/// The choices of a [`Conv3d`] layer.
pub type Conv3dConfig = ConvConfig<3>;

impl<const D: usize> ConvConfig<D> {
    /// PyTorch's defaults: stride 1, no padding, no dilation, one group, a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        let window = Window::new(&[kernel; D]);
        Self { inputs, outputs, window, groups: 1, weight: default_weight(), bias: true, bias_init: None }
    }

    /// The step between neighbouring outputs, along every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window = self.window.stride(stride);
        self
    }

    /// Zeros added on all sides.
    pub fn padding(mut self, padding: usize) -> Self {
        self.window = self.window.padding(padding);
        self
    }

    /// The step between neighbouring kernel elements, along every axis.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.window = self.window.dilation(dilation);
        self
    }

    /// A kernel, stride, padding and dilation that differ between the axes, instead of the equal ones.
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Independent groups of channels; as many as inputs makes it depthwise. Must divide both channel
    /// counts.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// How the weight starts.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight = init;
        self
    }

    /// How the bias starts.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// A layer without a bias, as before a batch norm.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Declares the variables.
    #[track_caller]
    pub fn build(self, vars: impl Borrow<Vars>) -> Conv<D> {
        let (vars, Self { inputs, outputs, window, groups, weight, bias, bias_init }) = (vars.borrow(), self);
        // Groups that do not divide the channels are refused when the layer is called.
        let group = inputs.checked_div(groups).unwrap_or(0);
        let weight = vars.var("weight", [&[outputs, group], &window.size[..]].concat(), weight);
        let mut layer = Conv { weight, bias: None, inputs, window, groups };
        if bias {
            let fan_in = layer.weight.shape()[1..].iter().product();
            let init = bias_init.unwrap_or_else(|| default_bias(fan_in));
            layer.bias = Some(vars.var("bias", [outputs], init));
        }
        layer
    }
}
