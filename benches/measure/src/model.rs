//! The five models, as far as they do not depend on a framework: names, sizes, and their batches.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Values};

/// A model whose training steps are measured. All in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Perceptron 2-16-1 with ReLU, batch 8, mean squared error, SGD: the cost of a step itself.
    Tiny,
    /// Perceptron 784-512-512-10 with ReLU, batch 128, cross-entropy, Adam.
    Mlp,
    /// Batch 64 of 1×28×28: twice convolution 3×3 (to 32, to 64 channels, padding 1), ReLU, pooling by 2;
    /// then 3136-128, ReLU, dropout 0.5, 10; cross-entropy, Adam.
    Cnn,
    /// Batch 32 of 3×32×32: convolution 3×3 to 32, residual blocks of 32, 64 (stride 2) and 128 (stride 2)
    /// with 1×1 projections, batch norm, global pooling, 10; cross-entropy, SGD with momentum 0.9.
    Resnet,
    /// The transformer [`GPT`] on a batch of 16: causal, pre-norm, learned positions, GELU, an untied head
    /// without bias; cross-entropy, AdamW 0.01.
    Gpt,
}

/// The sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub struct Gpt {
    /// Different tokens.
    pub vocabulary: usize,
    /// Tokens of a sample.
    pub sequence: usize,
    /// Features of a token.
    pub width: usize,
    /// Blocks of attention and perceptron.
    pub layers: usize,
    /// Heads of an attention.
    pub heads: usize,
}

/// The transformer of [`Model::Gpt`].
pub const GPT: Gpt = Gpt { vocabulary: 65, sequence: 128, width: 128, layers: 4, heads: 4 };

impl Model {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Mlp, Self::Cnn, Self::Resnet, Self::Gpt];

    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
            Self::Resnet => "resnet",
            Self::Gpt => "gpt",
        }
    }

    /// Numbers that the model holds: its parameters, and for [`Model::Resnet`] also the 1,344 running means
    /// and variances of its batch norms.
    pub fn parameters(self) -> usize {
        match self {
            Self::Tiny => 65,
            Self::Mlp => 669_706,
            Self::Cnn => 421_642,
            Self::Resnet => 309_994,
            Self::Gpt => 826_368,
        }
    }

    /// The shape of a batch of inputs, samples first.
    pub fn input_shape(self) -> &'static [usize] {
        match self {
            Self::Tiny => &[8, 2],
            Self::Mlp => &[128, 784],
            Self::Cnn => &[64, 1, 28, 28],
            Self::Resnet => &[32, 3, 32, 32],
            Self::Gpt => &[16, GPT.sequence],
        }
    }

    /// The shape of a batch of targets: numbers for [`Model::Tiny`], else classes.
    pub fn target_shape(self) -> &'static [usize] {
        match self {
            Self::Tiny => &[8, 1],
            Self::Gpt => &[16, GPT.sequence],
            _ => &self.input_shape()[..1],
        }
    }

    /// Samples of a batch.
    pub fn samples(self) -> usize {
        self.input_shape()[0]
    }

    /// A batch: inputs and targets. The same number gives the same batch.
    pub fn batch(self, number: u64) -> (Values, Values) {
        let inputs: usize = self.input_shape().iter().product();
        let targets: usize = self.target_shape().iter().product();
        let (a, b) = (2 * number, 2 * number + 1);
        match self {
            Self::Tiny => (Values::noise(a, inputs), Values::noise(b, targets)),
            Self::Mlp | Self::Cnn | Self::Resnet => (Values::noise(a, inputs), Values::below(10, b, targets)),
            Self::Gpt => {
                let vocabulary = GPT.vocabulary as u32;
                (Values::below(vocabulary, a, inputs), Values::below(vocabulary, b, targets))
            }
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Model {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|model| model.name() == name);
        known.ok_or_else(|| {
            format!("no model is called `{name}`; there are tiny, mlp, cnn, resnet, gpt").into()
        })
    }
}
