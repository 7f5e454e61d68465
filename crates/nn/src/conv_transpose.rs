//! Transposed convolution over one, two or three axes.

use std::borrow::Borrow;

use wgrad_core::ops::Window;
use wgrad_core::{Init, Tensor, Var, Vars};

use crate::Module;
use crate::conv::axes;
use crate::linear::{default_bias, default_weight};

/// Transposed convolution over D axes: \[N, in, …\] to \[N, out, …\], where each extent S becomes
/// (S − 1)·stride − 2·padding + dilation·(kernel − 1) + output padding + 1 (PyTorch's `ConvTranspose1d`,
/// `2d`, `3d`). It is the gradient of a convolution in its input, used to enlarge.
///
/// Variables: `weight` \[in, out/groups, kernel…\] and `bias` \[out\], both uniform in ±1/√(out/groups·kernel…)
/// unless configured, as in PyTorch.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{ConvTranspose2dConfig, Module};
/// let up = ConvTranspose2dConfig::new(32, 16, 3).stride(2).padding(1).output_padding(1).build(Vars::new());
/// let x = Graph::new(Mode::Eval).input("x", [8, 32, 7, 7], F32);
/// assert_eq!(*up.forward(&x).shape(), [8, 16, 14, 14]);
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose<const D: usize> {
    /// The kernels, \[in, out/groups, kernel…\].
    pub weight: Var,
    /// What is added, \[out\].
    pub bias: Option<Var>,
    window: Window,
    output_padding: [usize; D],
    groups: usize,
}

/// Transposed convolution of sequences \[N, in, L\].
pub type ConvTranspose1d = ConvTranspose<1>;

/// Transposed convolution of images \[N, in, H, W\].
pub type ConvTranspose2d = ConvTranspose<2>;

/// Transposed convolution of volumes \[N, in, D, H, W\].
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> ConvTranspose<D> {
    /// A transposed convolution from `inputs` to `outputs` channels with a kernel of `kernel` elements along
    /// every axis, stride 1, no padding and a bias.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize, kernel: usize) -> Self {
        ConvTransposeConfig::new(inputs, outputs, kernel).build(vars)
    }
}

impl<const D: usize> Module for ConvTranspose<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (shape, inputs) = (x.shape(), self.weight.shape()[0]);
        if shape.rank() != D + 2 || shape[1] != inputs {
            let message = format!("`{}` needs an input [N, {inputs}, {}]", self.weight.name(), axes(D));
            return x.fail(&format!("conv_transpose{D}d"), format!("{message}, got {}", x.spec()));
        }
        let graph = x.graph();
        let (weight, bias) = (graph.var(&self.weight), self.bias.as_ref().map(|bias| graph.var(bias)));
        x.conv_transpose(&weight, bias.as_ref(), &self.window, &self.output_padding, self.groups)
    }
}

/// The choices of a transposed convolution, made before its variables are declared.
#[derive(Clone, Debug)]
pub struct ConvTransposeConfig<const D: usize> {
    inputs: usize,
    outputs: usize,
    window: Window,
    output_padding: [usize; D],
    groups: usize,
    weight: Init,
    bias: bool,
    bias_init: Option<Init>,
}

/// The choices of a [`ConvTranspose1d`] layer.
pub type ConvTranspose1dConfig = ConvTransposeConfig<1>;

/// The choices of a [`ConvTranspose2d`] layer.
pub type ConvTranspose2dConfig = ConvTransposeConfig<2>;

/// The choices of a [`ConvTranspose3d`] layer.
pub type ConvTranspose3dConfig = ConvTransposeConfig<3>;

impl<const D: usize> ConvTransposeConfig<D> {
    /// PyTorch's defaults: stride 1, no padding, no dilation, one group, a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self {
            inputs,
            outputs,
            window: Window::new(&[kernel; D]),
            output_padding: [0; D],
            groups: 1,
            weight: default_weight(),
            bias: true,
            bias_init: None,
        }
    }

    /// The step between the outputs of neighbouring inputs, along every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window = self.window.stride(stride);
        self
    }

    /// What is left out of the result on all sides: the padding of the convolution that this is the gradient of.
    pub fn padding(mut self, padding: usize) -> Self {
        self.window = self.window.padding(padding);
        self
    }

    /// What the result is longer by at the end of every axis; less than the stride or the dilation.
    pub fn output_padding(mut self, padding: usize) -> Self {
        self.output_padding = [padding; D];
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

    /// Independent groups of channels. Must divide both channel counts.
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
    pub fn build(self, vars: impl Borrow<Vars>) -> ConvTranspose<D> {
        let vars = vars.borrow();
        let Self { inputs, outputs, window, output_padding, groups, weight, bias, bias_init } = self;
        // Groups that do not divide the channels are refused when the layer is called.
        let group = outputs.checked_div(groups).unwrap_or(0);
        let weight = vars.var("weight", [&[inputs, group], &window.size[..]].concat(), weight);
        let mut layer = ConvTranspose { weight, bias: None, window, output_padding, groups };
        if bias {
            let fan_in = layer.weight.shape()[1..].iter().product();
            let init = bias_init.unwrap_or_else(|| default_bias(fan_in));
            layer.bias = Some(vars.var("bias", [outputs], init));
        }
        layer
    }
}
