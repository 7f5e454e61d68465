//! The building blocks of residual networks.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::init::{Fan, Nonlinearity, kaiming_normal};
use crate::{BatchNorm2d, Conv2d, Conv2dConfig, Module};

/// A convolution without a bias and the norm behind it; around their initializers as in torchvision's models:
/// He's, for the outputs.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNorm {
    #[track_caller]
    pub(crate) fn new(config: Conv2dConfig, outputs: usize, conv: Vars, norm: Vars) -> Self {
        let config = config.no_bias().weight_init(kaiming_normal(Fan::Out, Nonlinearity::Relu));
        Self { conv: config.build(conv), norm: BatchNorm2d::new(norm, outputs) }
    }
}

impl Module for ConvNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x))
    }
}

/// The shortcut of a block: x itself, or where the shape changes, x through a 1×1 convolution and a norm.
#[track_caller]
fn shortcut(vars: &Vars, inputs: usize, outputs: usize, stride: usize) -> Option<ConvNorm> {
    if stride == 1 && inputs == outputs {
        return None;
    }
    let (vars, project) = (vars.sub("downsample"), Conv2dConfig::new(inputs, outputs, 1).stride(stride));
    Some(ConvNorm::new(project, outputs, vars.sub(0), vars.sub(1)))
}

#[track_caller]
fn add_shortcut(residual: &Tensor, x: &Tensor, shortcut: Option<&ConvNorm>) -> Tensor {
    match shortcut {
        Some(project) => residual + project.forward(x),
        None => residual + x,
    }
}

/// relu(F(x) + x) with F = conv 3×3, norm, relu, conv 3×3, norm: the basic block of He et al., 2016
/// (torchvision's `BasicBlock`). Where the shape changes, x passes through a 1×1 convolution and a norm.
///
/// Variables: `conv1`, `bn1`, `conv2`, `bn2`, and `downsample.0`, `downsample.1` on the shortcut.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, ResidualBlock};
/// let block = ResidualBlock::new(Vars::new(), 16, 32, 2);
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(*block.forward(&x).shape(), [8, 32, 5, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl ResidualBlock {
    /// A block from `inputs` to `outputs` channels; the first convolution has the stride.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize, stride: usize) -> Self {
        let vars = vars.borrow();
        let first = Conv2dConfig::new(inputs, outputs, 3).stride(stride).padding(1);
        let second = Conv2dConfig::new(outputs, outputs, 3).padding(1);
        Self {
            first: ConvNorm::new(first, outputs, vars.sub("conv1"), vars.sub("bn1")),
            second: ConvNorm::new(second, outputs, vars.sub("conv2"), vars.sub("bn2")),
            shortcut: shortcut(vars, inputs, outputs, stride),
        }
    }
}

impl Module for ResidualBlock {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let residual = self.second.forward(&self.first.forward(x).relu());
        add_shortcut(&residual, x, self.shortcut.as_ref()).relu()
    }
}

/// relu(F(x) + x) with F = conv 1×1, norm, relu, conv 3×3, norm, relu, conv 1×1, norm: the deep block of He et
/// al., 2016, with the stride in the middle (torchvision's `Bottleneck`).
///
/// Variables: `conv1`, `bn1`, `conv2`, `bn2`, `conv3`, `bn3`, and `downsample.0`, `downsample.1` on the shortcut.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Bottleneck, Module};
/// let block = Bottleneck::new(Vars::new(), 64, 32, 2);
/// let x = Graph::new(Mode::Train).input("image", [8, 64, 10, 10], F32);
/// assert_eq!(*block.forward(&x).shape(), [8, 128, 5, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct Bottleneck {
    first: ConvNorm,
    second: ConvNorm,
    third: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Bottleneck {
    /// The channels of the result for each channel in the middle.
    pub const EXPANSION: usize = 4;

    /// A block from `inputs` channels over `width` in the middle to 4 · `width`.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, width: usize, stride: usize) -> Self {
        let (vars, outputs) = (vars.borrow(), width * Self::EXPANSION);
        let first = Conv2dConfig::new(inputs, width, 1);
        let second = Conv2dConfig::new(width, width, 3).stride(stride).padding(1);
        let third = Conv2dConfig::new(width, outputs, 1);
        Self {
            first: ConvNorm::new(first, width, vars.sub("conv1"), vars.sub("bn1")),
            second: ConvNorm::new(second, width, vars.sub("conv2"), vars.sub("bn2")),
            third: ConvNorm::new(third, outputs, vars.sub("conv3"), vars.sub("bn3")),
            shortcut: shortcut(vars, inputs, outputs, stride),
        }
    }
}

impl Module for Bottleneck {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.second.forward(&self.first.forward(x).relu()).relu();
        add_shortcut(&self.third.forward(&hidden), x, self.shortcut.as_ref()).relu()
    }
}

/// Widens with a 1×1 convolution, filters each channel with a depthwise 3×3 one, narrows with a 1×1 one, a norm
/// behind each and ReLU6 behind the first two; beside a shortcut where the shape stays (torchvision's
/// `InvertedResidual`; Sandler et al., 2018).
///
/// Variables: `conv.0.0`, `conv.0.1` (widening convolution and norm), `conv.1.0`, `conv.1.1` (depthwise), `conv.2`,
/// `conv.3` (narrowing); without a widening one (`expand` 1), each number is one less.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{InvertedResidual, Module};
/// let block = InvertedResidual::new(Vars::new(), 16, 24, 2, 6);
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(*block.forward(&x).shape(), [8, 24, 5, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct InvertedResidual {
    widen: Option<ConvNorm>,
    filter: ConvNorm,
    narrow: ConvNorm,
    residual: bool,
}

impl InvertedResidual {
    /// A block from `inputs` to `outputs` channels with `expand` · `inputs` in the middle.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize, stride: usize, expand: usize) -> Self {
        let (vars, width) = (vars.borrow().sub("conv"), inputs * expand);
        let mut next = 0;
        let mut widen = None;
        if expand != 1 {
            let config = Conv2dConfig::new(inputs, width, 1);
            widen = Some(ConvNorm::new(config, width, vars.sub(0).sub(0), vars.sub(0).sub(1)));
            next = 1;
        }
        let filter = Conv2dConfig::new(width, width, 3).stride(stride).padding(1).groups(width);
        let narrow = Conv2dConfig::new(width, outputs, 1);
        Self {
            widen,
            filter: ConvNorm::new(filter, width, vars.sub(next).sub(0), vars.sub(next).sub(1)),
            narrow: ConvNorm::new(narrow, outputs, vars.sub(next + 1), vars.sub(next + 2)),
            residual: stride == 1 && inputs == outputs,
        }
    }
}

impl Module for InvertedResidual {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let wide = match &self.widen {
            Some(widen) => widen.forward(x).relu6(),
            None => x.clone(),
        };
        let y = self.narrow.forward(&self.filter.forward(&wide).relu6());
        if self.residual { y + x } else { y }
    }
}
