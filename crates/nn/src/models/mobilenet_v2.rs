//! MobileNetV2, in the layout of torchvision.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::blocks::ConvNorm;
use crate::init::{normal, zeros};
use crate::{Conv2dConfig, Dropout, InvertedResidual, Linear, LinearConfig, Module};

/// Images \[N, 3, H, W\] to logits \[N, classes\] (torchvision's `mobilenet_v2`; Sandler et al., 2018). Made for
/// 224×224; each side must be at least 1, and 32 or more make sense.
///
/// Variables: `features.0.0`, `features.0.1` (convolution and norm), `features.1` to `features.17` as in
/// [`InvertedResidual`], `features.18.0`, `features.18.1`, `classifier.1`. With 1000 classes, 3,504,872 parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::MobileNetV2};
/// let vars = Vars::new();
/// let model = MobileNetV2::new(&vars, 5);
/// let image = Graph::new(Mode::Eval).input("image", [8, 3, 96, 96], F32);
/// // For transfer learning: everything but the classifier keeps its weights.
/// vars.freeze("features.*");
/// assert_eq!(*model.features(&image).shape(), [8, 1280]);
/// assert_eq!(*model.forward(&image).shape(), [8, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    dropout: Dropout,
    classifier: Linear,
}

/// Expansion, channels, repetitions and stride of each group of blocks: table 2 of the paper.
const GROUPS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

impl MobileNetV2 {
    /// The number of features before the classifier.
    pub const FEATURES: usize = 1280;

    /// A model of width 1 with dropout 0.2 before the classifier.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, classes: usize) -> Self {
        let vars = vars.borrow();
        let features = vars.sub("features");
        let stem = Conv2dConfig::new(3, 32, 3).stride(2).padding(1);
        let stem = ConvNorm::new(stem, 32, features.sub(0).sub(0), features.sub(0).sub(1));
        let (mut blocks, mut channels) = (vec![], 32);
        for (expand, outputs, count, stride) in GROUPS {
            for repetition in 0..count {
                let stride = if repetition == 0 { stride } else { 1 };
                let vars = features.sub(blocks.len() + 1);
                blocks.push(InvertedResidual::new(vars, channels, outputs, stride, expand));
                channels = outputs;
            }
        }
        let last = features.sub(blocks.len() + 1);
        let widen = Conv2dConfig::new(channels, Self::FEATURES, 1);
        let classifier = LinearConfig::new(Self::FEATURES, classes).weight_init(normal(0.0, 0.01));
        Self {
            stem,
            blocks,
            last: ConvNorm::new(widen, Self::FEATURES, last.sub(0), last.sub(1)),
            dropout: Dropout::new(0.2),
            classifier: classifier.bias_init(zeros()).build(vars.sub("classifier").sub(1)),
        }
    }

    /// What the classifier reads: \[N, 1280\], the mean of the last features over all positions.
    #[track_caller]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let mut x = self.stem.forward(x).relu6();
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.last.forward(&x).relu6().global_avg_pool2d()
    }
}

impl Module for MobileNetV2 {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.classifier.forward(&self.dropout.forward(&self.features(x)))
    }
}
