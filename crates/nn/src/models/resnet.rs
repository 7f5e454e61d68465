//! Residual networks, in the layout of torchvision.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::blocks::ConvNorm;
use crate::{Bottleneck, Conv2dConfig, Linear, MaxPool2d, Module, ResidualBlock};

/// Images \[N, 3, H, W\] to logits \[N, classes\] (torchvision's `resnet18`, `resnet34`, `resnet50`; He et al.,
/// 2016). Made for 224×224.
///
/// Variables: `conv1`, `bn1`, `layer1.0` to `layer4.…` as in [`ResidualBlock`] or [`Bottleneck`], `fc`. With 1000
/// classes, 11,689,512, 21,797,672 and 25,557,032 parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::ResNet};
/// let model = ResNet::resnet18(Vars::new(), 10);
/// let image = Graph::new(Mode::Train).input("image", [4, 3, 64, 64], F32);
/// assert_eq!(*model.forward(&image).shape(), [4, 10]);
/// ```
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: ConvNorm,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    fc: Linear,
}

#[derive(Clone, Debug)]
enum Block {
    Basic(ResidualBlock),
    Deep(Bottleneck),
}

impl ResNet {
    /// 18 layers: two basic blocks in each of the four stages.
    #[track_caller]
    pub fn resnet18(vars: impl Borrow<Vars>, classes: usize) -> Self {
        Self::new(vars.borrow(), [2, 2, 2, 2], false, classes)
    }

    /// 34 layers: 3, 4, 6 and 3 basic blocks.
    #[track_caller]
    pub fn resnet34(vars: impl Borrow<Vars>, classes: usize) -> Self {
        Self::new(vars.borrow(), [3, 4, 6, 3], false, classes)
    }

    /// 50 layers: 3, 4, 6 and 3 bottlenecks.
    #[track_caller]
    pub fn resnet50(vars: impl Borrow<Vars>, classes: usize) -> Self {
        Self::new(vars.borrow(), [3, 4, 6, 3], true, classes)
    }

    #[track_caller]
    fn new(vars: &Vars, stages: [usize; 4], deep: bool, classes: usize) -> Self {
        let stem = Conv2dConfig::new(3, 64, 7).stride(2).padding(3);
        let stem = ConvNorm::new(stem, 64, vars.sub("conv1"), vars.sub("bn1"));
        let (mut blocks, mut channels) = (vec![], 64);
        for (stage, count) in stages.into_iter().enumerate() {
            let (width, layer) = (64 << stage, vars.sub(format!("layer{}", stage + 1)));
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                if deep {
                    blocks.push(Block::Deep(Bottleneck::new(layer.sub(index), channels, width, stride)));
                    channels = width * Bottleneck::EXPANSION;
                } else {
                    blocks.push(Block::Basic(ResidualBlock::new(layer.sub(index), channels, width, stride)));
                    channels = width;
                }
            }
        }
        let fc = Linear::new(vars.sub("fc"), channels, classes);
        Self { stem, pool: MaxPool2d::new(3).stride(2).padding(1), blocks, fc }
    }

    /// What the last layer reads, the mean of the last features over all positions: \[N, 512\], of 50 layers
    /// \[N, 2048\].
    #[track_caller]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let mut x = self.pool.forward(&self.stem.forward(x).relu());
        for block in &self.blocks {
            x = match block {
                Block::Basic(block) => block.forward(&x),
                Block::Deep(block) => block.forward(&x),
            };
        }
        x.global_avg_pool2d()
    }
}

impl Module for ResNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc.forward(&self.features(x))
    }
}
