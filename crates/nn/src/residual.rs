//! The building block of residual networks.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::{BatchNorm2d, Conv2d, Conv2dConfig, Module};

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
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    shortcut: Option<(Conv2d, BatchNorm2d)>,
}

impl ResidualBlock {
    /// A block from `inputs` to `outputs` channels; the first convolution has the stride.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, outputs: usize, stride: usize) -> Self {
        let vars = vars.borrow();
        let square = Conv2dConfig::new(inputs, outputs, 3).stride(stride).padding(1).no_bias();
        let mut shortcut = None;
        if stride != 1 || inputs != outputs {
            let vars = vars.sub("downsample");
            let project = Conv2dConfig::new(inputs, outputs, 1).stride(stride).no_bias();
            shortcut = Some((project.build(vars.sub(0)), BatchNorm2d::new(vars.sub(1), outputs)));
        }
        Self {
            conv1: square.build(vars.sub("conv1")),
            norm1: BatchNorm2d::new(vars.sub("bn1"), outputs),
            conv2: Conv2dConfig::new(outputs, outputs, 3).padding(1).no_bias().build(vars.sub("conv2")),
            norm2: BatchNorm2d::new(vars.sub("bn2"), outputs),
            shortcut,
        }
    }
}

impl Module for ResidualBlock {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.norm1.forward(&self.conv1.forward(x)).relu();
        let residual = self.norm2.forward(&self.conv2.forward(&hidden));
        match &self.shortcut {
            Some((project, norm)) => (residual + norm.forward(&project.forward(x))).relu(),
            None => (residual + x).relu(),
        }
    }
}
