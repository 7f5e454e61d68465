//! Gradients of the layers that are more than one operation, against central differences.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{noise, scrambled};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{Array, F32, Graph, Mode, Tensor, Vars};
use wgrad_nn::{
    AttentionMask, BatchNorm2d, Bottleneck, Conv2dConfig, ConvTranspose2dConfig, Embedding, GroupNorm,
    InvertedResidual, LayerNorm, Linear, Module, MultiHeadAttention, RecurrentConfig, ResidualBlock, RmsNorm,
    RotaryEmbedding, TransformerConfig,
};

/// Compares the gradient of a random projection of the output, with respect to the input and every
/// parameter, with central differences.
fn check(vars: &Vars, module: &dyn Module, x: Array) {
    let graph = Graph::new(Mode::Train);
    let input = graph.input("x", x.shape(), x.spec.dtype);
    let y = module.forward(&input);
    let loss = (&y * graph.constant_array(noise(y.shape(), 50))).sum(..);
    let forward = graph.recording();
    let mut gradients: Vec<(String, _)> =
        loss.backward(vars).into_iter().map(|(var, g)| (var.name().to_string(), g)).collect();
    if x.spec.dtype == F32 {
        gradients.push(("x".into(), loss.gradients(&[&input]).remove(0)));
    }
    graph.recording().check().expect("the module has a gradient");
    let mut state = scrambled(vars);
    state.insert("x".into(), x);
    let values = evaluate(&graph.recording(), &state);
    let at = |state: &Environment| evaluate(&forward, state)[loss.id().index()].item();
    for (name, gradient) in gradients {
        let gradient = &values[gradient.id().index()].data;
        let scale = gradient.iter().fold(1.0, |scale: f64, g| scale.max(g.abs()));
        for (i, g) in gradient.iter().enumerate() {
            let h = 1e-5;
            let moved = |by: f64| {
                let mut moved = state.clone();
                moved.get_mut(&name).expect("the variable has a value").data[i] += by;
                at(&moved)
            };
            let difference = (moved(h) - moved(-h)) / (2.0 * h);
            assert!((g - difference).abs() < 1e-7 * scale, "{name}, element {i}: {g} is not {difference}");
        }
    }
}

#[test]
fn linear() {
    let vars = Vars::new();
    check(&vars, &Linear::new(&vars, 4, 3), noise([2, 2, 4], 1));
}

#[test]
fn convolution() {
    let vars = Vars::new();
    let layer = Conv2dConfig::new(2, 4, 3).stride(2).padding(1).groups(2).build(&vars);
    check(&vars, &layer, noise([2, 2, 4, 5], 2));
}

#[test]
fn embedding() {
    let vars = Vars::new();
    let words = Array::new(wgrad_core::U32, [2, 3], vec![0.0, 3.0, 3.0, 1.0, 0.0, 3.0]);
    check(&vars, &Embedding::new(&vars, 5, 3), words);
}

#[test]
fn batch_norm() {
    let vars = Vars::new();
    check(&vars, &BatchNorm2d::new(&vars, 3), noise([2, 3, 2, 3], 3));
}

#[test]
fn layer_norm() {
    let vars = Vars::new();
    check(&vars, &LayerNorm::new(&vars, [3, 4]), noise([2, 3, 4], 4));
}

#[test]
fn attention() {
    for causal in [false, true] {
        let vars = Vars::new();
        let layer = MultiHeadAttention::new(&vars, 4, 2);
        check(&vars, &if causal { layer.causal() } else { layer }, noise([2, 3, 4], 5));
    }
}

#[test]
fn residual_block() {
    for (outputs, stride) in [(2, 1), (3, 2)] {
        let vars = Vars::new();
        check(&vars, &ResidualBlock::new(&vars, 2, outputs, stride), noise([2, 2, 4, 3], 6));
    }
}

#[test]
fn transposed_convolution() {
    let vars = Vars::new();
    let layer =
        ConvTranspose2dConfig::new(4, 2, 3).stride(2).padding(1).output_padding(1).groups(2).build(&vars);
    check(&vars, &layer, noise([2, 4, 2, 3], 2));
}

#[test]
fn norms_of_groups_and_squares() {
    let vars = Vars::new();
    check(&vars, &GroupNorm::new(&vars, 2, 4), noise([2, 4, 3], 3));
    let vars = Vars::new();
    check(&vars, &RmsNorm::new(&vars, [4]), noise([2, 3, 4], 3));
}

#[test]
fn recurrent_layers() {
    let config = RecurrentConfig::new(2, 3).layers(2).bidirectional();
    let x = noise([2, 3, 2], 4);
    let vars = Vars::new();
    check(&vars, &config.clone().rnn(&vars), x.clone());
    let vars = Vars::new();
    check(&vars, &config.clone().lstm(&vars), x.clone());
    let vars = Vars::new();
    check(&vars, &config.gru(&vars), x);
}

#[test]
fn rotary_attention() {
    let vars = Vars::new();
    let layer = MultiHeadAttention::new(&vars, 4, 2).causal().rotary(RotaryEmbedding::new(2, 3));
    check(&vars, &layer, noise([2, 3, 4], 5));
}

#[test]
fn transformer_blocks() {
    for norm_first in [false, true] {
        let config = TransformerConfig::new(4, 2).feedforward(5).dropout(0.0).activation(Tensor::gelu);
        let config = if norm_first { config.norm_first().final_norm() } else { config };
        let vars = Vars::new();
        let (encoder, decoder) =
            (config.encoder(vars.sub("encoder"), 1), config.decoder(vars.sub("decoder"), 1));
        let both = |x: &Tensor| {
            let memory = encoder.forward(&x.slice(1, 1..3));
            decoder.forward(x, &memory, &AttentionMask::causal(), &AttentionMask::none())
        };
        check(&vars, &both, noise([2, 3, 4], 6));
    }
}

#[test]
fn deep_and_inverted_blocks() {
    let vars = Vars::new();
    check(&vars, &Bottleneck::new(&vars, 2, 2, 2), noise([2, 2, 4, 3], 6));
    for (inputs, expand, variables) in [(3, 2, 9), (2, 1, 6)] {
        let vars = Vars::new();
        let block = InvertedResidual::new(&vars, inputs, 3, 1, expand);
        assert_eq!(vars.parameters().len(), variables);
        check(&vars, &block, noise([2, inputs, 4, 3], 6));
    }
}
