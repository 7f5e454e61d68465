//! Transformer blocks as compositions of layers that are tested by themselves.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{assert_close, eval, noise, run, scrambled};
use wgrad_core::{F32, Mode, Tensor, Vars};
use wgrad_nn::{AttentionMask, LayerNorm, Linear, Module, MultiHeadAttention, TransformerConfig};

/// Layers with the names of a block, to be applied by hand.
struct Parts {
    attention: MultiHeadAttention,
    cross: MultiHeadAttention,
    linear1: Linear,
    linear2: Linear,
    norms: [LayerNorm; 3],
}

impl Parts {
    fn new() -> Self {
        let vars = Vars::new();
        Self {
            attention: MultiHeadAttention::new(vars.sub("self_attn"), 6, 2),
            cross: MultiHeadAttention::new(vars.sub("multihead_attn"), 6, 2),
            linear1: Linear::new(vars.sub("linear1"), 6, 2048),
            linear2: Linear::new(vars.sub("linear2"), 2048, 6),
            norms: [1, 2, 3].map(|i| LayerNorm::new(vars.sub(format!("norm{i}")), [6])),
        }
    }

    fn feed(&self, x: &Tensor) -> Tensor {
        self.linear2.forward(&self.linear1.forward(x).relu())
    }
}

#[test]
fn encoder_layer() {
    let (parts, x) = (Parts::new(), noise([2, 4, 6], 1));
    let own = |x: &Tensor| parts.attention.attend(x, x, x, &AttentionMask::causal());
    let [norm1, norm2, _] = &parts.norms;
    let behind = |x: &Tensor| {
        let x = norm1.forward(&(x + own(x)));
        norm2.forward(&(&x + parts.feed(&x)))
    };
    let before = |x: &Tensor| {
        let x = x + own(&norm1.forward(x));
        &x + parts.feed(&norm2.forward(&x))
    };
    let config = TransformerConfig::new(6, 2);
    let cases: [(TransformerConfig, &dyn Module); 2] =
        [(config.clone(), &behind), (config.norm_first(), &before)];
    for (config, expected) in cases {
        let vars = Vars::new();
        let block = config.encoder_layer(&vars);
        let state = scrambled(&vars);
        let masked = |x: &Tensor| block.forward_masked(x, &AttentionMask::causal());
        assert_close(&eval(&masked, &x, &state), &eval(expected, &x, &state), 1e-12);
        // Dropout of 0.1 acts in training alone.
        assert_ne!(run(Mode::Train, &masked, &x, &mut state.clone()), eval(&masked, &x, &state));
    }
}

#[test]
fn decoder_layer() {
    let (parts, x, memory) = (Parts::new(), noise([2, 4, 6], 1), noise([2, 3, 6], 2));
    let read = |x: &Tensor| x.graph().input("memory", [2, 3, 6], F32);
    let own = |x: &Tensor| parts.attention.attend(x, x, x, &AttentionMask::causal());
    let cross = |x: &Tensor, memory: &Tensor| parts.cross.attend(x, memory, memory, &AttentionMask::none());
    let [norm1, norm2, norm3] = &parts.norms;
    let behind = |x: &Tensor| {
        let memory = read(x);
        let x = norm1.forward(&(x + own(x)));
        let x = norm2.forward(&(&x + cross(&x, &memory)));
        norm3.forward(&(&x + parts.feed(&x)))
    };
    let before = |x: &Tensor| {
        let memory = read(x);
        let x = x + own(&norm1.forward(x));
        let x = &x + cross(&norm2.forward(&x), &memory);
        &x + parts.feed(&norm3.forward(&x))
    };
    let config = TransformerConfig::new(6, 2);
    let cases: [(TransformerConfig, &dyn Module); 2] =
        [(config.clone(), &behind), (config.norm_first(), &before)];
    for (config, expected) in cases {
        let vars = Vars::new();
        let block = config.decoder_layer(&vars);
        let mut state = scrambled(&vars);
        state.insert("memory".into(), memory.clone());
        let forward =
            |x: &Tensor| block.forward(x, &read(x), &AttentionMask::causal(), &AttentionMask::none());
        assert_close(&eval(&forward, &x, &state), &eval(expected, &x, &state), 1e-12);
    }
}

#[test]
fn stacks_have_pytorchs_names() {
    let vars = Vars::new();
    let config = TransformerConfig::new(6, 2).feedforward(8).final_norm();
    config.encoder(vars.sub("encoder"), 2);
    config.decoder(vars.sub("decoder"), 1);
    let names: Vec<String> = vars.all().iter().map(|var| var.name().to_string()).collect();
    for name in
        ["encoder.layers.1.self_attn.in_proj_weight", "encoder.norm.bias", "decoder.layers.0.norm3.weight"]
    {
        assert!(names.iter().any(|known| known == name), "there is no `{name}` in {names:?}");
    }
    // Attention has 4 variables, the two linear layers 4, each norm 2.
    assert_eq!(names.len(), 2 * (8 + 4) + 2 + (12 + 6) + 2);
}
