//! The training steps: five models, and the same architectures in other sizes.

use wgrad::prelude::*;
use wgrad_measure::{GPT, Gpt, Model};

/// A model, its loss, its optimizer, and the batches it takes: a training step that is not yet recorded.
pub struct Training {
    /// The model's variables, later the optimizer's as well.
    pub vars: Vars,
    network: Box<dyn Module>,
    optimizer: Box<dyn Optimizer>,
    input: TensorSpec,
    target: TensorSpec,
}

impl Training {
    /// One of the five models.
    pub fn of(model: Model) -> Self {
        let vars = Vars::new();
        let network: Box<dyn Module> = match model {
            Model::Tiny => Box::new(perceptron(&vars, &[2, 16, 1])),
            Model::Mlp => Box::new(perceptron(&vars, &[784, 512, 512, 10])),
            Model::Cnn => Box::new(cnn(&vars)),
            Model::Resnet => Box::new(resnet(&vars)),
            Model::Gpt => Box::new(Transformer::new(&vars, GPT)),
        };
        let optimizer: Box<dyn Optimizer> = match model {
            Model::Tiny => Box::new(Sgd::new(0.01)),
            Model::Mlp | Model::Cnn => Box::new(Adam::new(1e-3)),
            Model::Resnet => Box::new(Sgd::new(0.01).momentum(0.9)),
            Model::Gpt => Box::new(AdamW::new(3e-4).weight_decay(0.01)),
        };
        let spec = |shape: &[usize], dtype| TensorSpec::new(dtype, shape);
        let input = spec(model.input_shape(), if model == Model::Gpt { U32 } else { F32 });
        let target = spec(model.target_shape(), if model == Model::Tiny { F32 } else { U32 });
        Self { vars, network, optimizer, input, target }
    }

    /// A classifying perceptron with Adam, of layers as wide as given.
    pub fn perceptron(batch: usize, widths: &[usize]) -> Self {
        let vars = Vars::new();
        Self {
            network: Box::new(perceptron(&vars, widths)),
            vars,
            optimizer: Box::new(Adam::new(1e-3)),
            input: TensorSpec::new(F32, [batch, widths[0]]),
            target: TensorSpec::new(U32, [batch]),
        }
    }

    /// A transformer with AdamW.
    pub fn transformer(batch: usize, sizes: Gpt) -> Self {
        let vars = Vars::new();
        Self {
            network: Box::new(Transformer::new(&vars, sizes)),
            vars,
            optimizer: Box::new(AdamW::new(3e-4)),
            input: TensorSpec::new(U32, [batch, sizes.sequence]),
            target: TensorSpec::new(U32, [batch, sizes.sequence]),
        }
    }

    /// The batch of inputs.
    pub fn input(&self) -> &TensorSpec {
        &self.input
    }

    /// The batch of targets.
    pub fn target(&self) -> &TensorSpec {
        &self.target
    }

    /// Numbers that the model holds, running statistics included and counters not; to be asked before the
    /// step is recorded.
    pub fn parameters(&self) -> usize {
        let all = self.vars.all();
        all.iter().filter(|var| var.spec().dtype == F32).map(|var| var.spec().shape.numel()).sum()
    }

    /// Records the step with inputs `input` and `target`; its output is the loss.
    pub fn record(&self, graph: &Graph) -> [Tensor; 1] {
        let input = graph.input("input", &self.input.shape, self.input.dtype);
        let target = graph.input("target", &self.target.shape, self.target.dtype);
        let output = self.network.forward(&input);
        let loss = match self.target.dtype {
            F32 => output.mse_loss(&target),
            _ => output.cross_entropy(&target.reshape([self.target.shape.numel()])),
        };
        self.optimizer.minimize(&loss, &self.vars);
        [loss]
    }
}

/// Linear layers with ReLU between them.
fn perceptron(vars: &Vars, widths: &[usize]) -> Sequential {
    let mut layers = Sequential::new();
    for (index, pair) in widths.windows(2).enumerate() {
        if index > 0 {
            layers = layers.then(Relu);
        }
        layers = layers.then(Linear::new(vars.sub(format!("fc{index}")), pair[0], pair[1]));
    }
    layers
}

fn cnn(vars: &Vars) -> Sequential {
    let conv = |name, from, to| Conv2dConfig::new(from, to, 3).padding(1).build(vars.sub(name));
    Sequential::new()
        .then(conv("conv1", 1, 32))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(conv("conv2", 32, 64))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(|x: &Tensor| x.flatten(1))
        .then(Linear::new(vars.sub("fc1"), 3136, 128))
        .then(Relu)
        .then(Dropout::new(0.5))
        .then(Linear::new(vars.sub("fc2"), 128, 10))
}

fn resnet(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(Conv2dConfig::new(3, 32, 3).padding(1).no_bias().build(vars.sub("conv")))
        .then(BatchNorm2d::new(vars.sub("bn"), 32))
        .then(Relu)
        .then(ResidualBlock::new(vars.sub("layer1"), 32, 32, 1))
        .then(ResidualBlock::new(vars.sub("layer2"), 32, 64, 2))
        .then(ResidualBlock::new(vars.sub("layer3"), 64, 128, 2))
        .then(GlobalAvgPool2d)
        .then(Linear::new(vars.sub("fc"), 128, 10))
}

/// A decoder-only transformer with norms before attention and perceptron (GPT-2; Radford et al., 2019):
/// u32 tokens \[N, T\] to logits \[N·T, vocabulary\].
struct Transformer {
    tokens: Embedding,
    positions: Var,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

struct Block {
    norm1: LayerNorm,
    attention: MultiHeadAttention,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Transformer {
    fn new(vars: &Vars, Gpt { vocabulary, sequence, width, layers, heads }: Gpt) -> Self {
        let start = || init::normal(0.0, 0.02);
        let block = |index| Block::new(&vars.sub("blocks").sub(index), width, heads);
        Self {
            tokens: Embedding::with_init(vars.sub("tokens"), vocabulary, width, start()),
            positions: vars.var("positions", [sequence, width], start()),
            blocks: (0..layers).map(block).collect(),
            norm: LayerNorm::new(vars.sub("norm"), [width]),
            head: Linear::no_bias(vars.sub("head"), width, vocabulary),
        }
    }
}

impl Block {
    fn new(vars: &Vars, width: usize, heads: usize) -> Self {
        Self {
            norm1: LayerNorm::new(vars.sub("norm1"), [width]),
            attention: MultiHeadAttention::new(vars.sub("attention"), width, heads).causal(),
            norm2: LayerNorm::new(vars.sub("norm2"), [width]),
            up: Linear::new(vars.sub("up"), width, 4 * width),
            down: Linear::new(vars.sub("down"), 4 * width, width),
        }
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attention.forward(&self.norm1.forward(x));
        let hidden = self.up.forward(&self.norm2.forward(&x)).gelu();
        x + self.down.forward(&hidden)
    }
}

impl Module for Transformer {
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let x = self.tokens.forward(tokens) + tokens.graph().var(&self.positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
        let logits = self.head.forward(&self.norm.forward(&x));
        logits.reshape([tokens.numel(), self.head.weight.shape()[0]])
    }
}
