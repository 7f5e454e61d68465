//! U-Net.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::{BatchNorm2d, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Module};

/// Images \[N, channels, H, W\] to logits of each pixel \[N, classes, H, W\]: four halvings, four doublings, and
/// what was seen on the way down joined in on the way up (Ronneberger et al., 2015, with the padding and the norms
/// of the usual PyTorch version). Each side must be at least 16.
///
/// Variables: `inc.double_conv.{0,1,3,4}` (convolution, norm, twice), `downN.maxpool_conv.1.double_conv`,
/// `upN.up` and `upN.conv.double_conv` for N from 1 to 4, `outc.conv`. With 3 channels and 2 classes, 31,037,698
/// parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::UNet};
/// let model = UNet::new(Vars::new(), 3, 2);
/// let image = Graph::new(Mode::Train).input("image", [1, 3, 70, 64], F32);
/// assert_eq!(*model.forward(&image).shape(), [1, 2, 70, 64]);
/// ```
#[derive(Clone, Debug)]
pub struct UNet {
    start: DoubleConv,
    down: Vec<DoubleConv>,
    up: Vec<(ConvTranspose2d, DoubleConv)>,
    end: Conv2d,
}

impl UNet {
    /// A model with 64 channels at full size and 1024 at the smallest.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, channels: usize, classes: usize) -> Self {
        Self::with_width(vars, channels, classes, 64)
    }

    /// A model with `width` channels at full size and 16 · `width` at the smallest.
    #[track_caller]
    pub fn with_width(vars: impl Borrow<Vars>, channels: usize, classes: usize, width: usize) -> Self {
        let vars = vars.borrow();
        let start = DoubleConv::new(&vars.sub("inc"), channels, width);
        let (mut down, mut up) = (vec![], vec![]);
        for level in 0..4 {
            let vars = vars.sub(format!("down{}", level + 1)).sub("maxpool_conv").sub(1);
            down.push(DoubleConv::new(&vars, width << level, width << (level + 1)));
        }
        for level in (0..4).rev() {
            let vars = vars.sub(format!("up{}", 4 - level));
            let (wide, narrow) = (width << (level + 1), width << level);
            let enlarge = ConvTranspose2dConfig::new(wide, narrow, 2).stride(2).build(vars.sub("up"));
            up.push((enlarge, DoubleConv::new(&vars.sub("conv"), wide, narrow)));
        }
        Self { start, down, up, end: Conv2d::new(vars.sub("outc").sub("conv"), width, classes, 1) }
    }
}

impl Module for UNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut seen = vec![self.start.forward(x)];
        let mut x = seen[0].clone();
        for double in &self.down {
            x = double.forward(&x.max_pool2d(2));
            seen.push(x.clone());
        }
        for ((enlarge, double), skip) in self.up.iter().zip(seen.iter().rev().skip(1)) {
            let enlarged = centre(&enlarge.forward(&x), skip);
            x = double.forward(&Tensor::concat(&[skip, &enlarged], 1));
        }
        self.end.forward(&x)
    }
}

/// x with zeros around it to the size of another image: halving an odd side loses a pixel.
#[track_caller]
fn centre(x: &Tensor, like: &Tensor) -> Tensor {
    if !x.is_valid() || !like.is_valid() {
        return x.clone();
    }
    let missing = |axis: isize| {
        let missing = like.dim(axis).saturating_sub(x.dim(axis));
        (missing / 2, missing - missing / 2)
    };
    x.pad(&[(0, 0), (0, 0), missing(2), missing(3)], 0.0)
}

/// Convolution 3×3, norm, ReLU, twice.
#[derive(Clone, Debug)]
struct DoubleConv([(Conv2d, BatchNorm2d); 2]);

impl DoubleConv {
    #[track_caller]
    fn new(vars: &Vars, inputs: usize, outputs: usize) -> Self {
        let vars = vars.sub("double_conv");
        let first = Conv2dConfig::new(inputs, outputs, 3).padding(1).no_bias().build(vars.sub(0));
        let first = (first, BatchNorm2d::new(vars.sub(1), outputs));
        let second = Conv2dConfig::new(outputs, outputs, 3).padding(1).no_bias().build(vars.sub(3));
        Self([first, (second, BatchNorm2d::new(vars.sub(4), outputs))])
    }
}

impl Module for DoubleConv {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for (conv, norm) in &self.0 {
            x = norm.forward(&conv.forward(&x)).relu();
        }
        x
    }
}
