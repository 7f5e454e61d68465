//! Ready models: their published parameter counts, their names, and that every parameter takes part.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, run, scrambled};
use wgrad_core::{Array, F32, Graph, Mode, Tensor, U32, Vars};
use wgrad_nn::Module;
use wgrad_nn::models::{
    Autoencoder, Bert, BertConfig, Gpt, GptConfig, LeNet, Mlp, MobileNetV2, ResNet, UNet, Vae, Vit, VitConfig,
};

fn parameters(vars: &Vars) -> usize {
    vars.check().expect("no name is used twice");
    vars.parameters().iter().map(|var| var.shape().numel()).sum()
}

fn shape(vars: &Vars, name: &str) -> Vec<usize> {
    vars.get(name).unwrap_or_else(|| panic!("there is no `{name}`")).shape().to_vec()
}

/// The model's output has the expected shape, and its gradient reaches every parameter.
fn trains(vars: &Vars, model: &dyn Fn(&Graph) -> Tensor, expected: &[usize]) {
    let graph = Graph::new(Mode::Train);
    let y = model(&graph);
    assert_eq!(*y.shape(), *expected);
    assert_eq!(y.square().mean(..).backward(vars).len(), vars.parameters().len());
    graph.recording().check().expect("every parameter has a gradient");
}

fn images(graph: &Graph, side: usize) -> Tensor {
    graph.input("image", [2, 3, side, side], F32)
}

#[test]
fn resnets() {
    type Build = fn(&Vars) -> ResNet;
    let models: [(Build, usize); 3] = [
        (|vars| ResNet::resnet18(vars, 1000), 11_689_512),
        (|vars| ResNet::resnet34(vars, 1000), 21_797_672),
        (|vars| ResNet::resnet50(vars, 1000), 25_557_032),
    ];
    for (build, count) in models {
        let vars = Vars::new();
        let model = build(&vars);
        assert_eq!(parameters(&vars), count);
        trains(&vars, &|graph| model.forward(&images(graph, 64)), &[2, 1000]);
    }
    let vars = Vars::new();
    ResNet::resnet50(&vars, 10);
    assert_eq!(shape(&vars, "conv1.weight"), [64, 3, 7, 7]);
    assert_eq!(shape(&vars, "layer1.0.downsample.0.weight"), [256, 64, 1, 1]);
    assert_eq!(shape(&vars, "layer3.5.conv3.weight"), [1024, 256, 1, 1]);
    assert_eq!(shape(&vars, "layer4.2.bn2.running_var"), [512]);
    assert_eq!(shape(&vars, "fc.bias"), [10]);
    // torchvision's state dict: 53 norms of 5 entries, 53 convolutions, 2 of the classifier.
    assert_eq!(vars.all().len(), 53 * 6 + 2);
}

#[test]
fn mobilenet_v2() {
    let vars = Vars::new();
    let model = MobileNetV2::new(&vars, 1000);
    assert_eq!(parameters(&vars), 3_504_872);
    trains(&vars, &|graph| model.forward(&images(graph, 64)), &[2, 1000]);
    assert_eq!(shape(&vars, "features.0.0.weight"), [32, 3, 3, 3]);
    assert_eq!(shape(&vars, "features.1.conv.1.weight"), [16, 32, 1, 1]);
    assert_eq!(shape(&vars, "features.2.conv.1.0.weight"), [96, 1, 3, 3]);
    assert_eq!(shape(&vars, "features.17.conv.3.num_batches_tracked"), []);
    assert_eq!(shape(&vars, "features.18.1.running_mean"), [1280]);
    assert_eq!(shape(&vars, "classifier.1.weight"), [1000, 1280]);
    // torchvision's state dict has 314 entries.
    assert_eq!(vars.all().len(), 314);
}

/// A model small enough for the interpreter.
fn small_gpt(vars: &Vars) -> Gpt {
    let config =
        GptConfig { vocabulary: 7, context: 6, layers: 2, heads: 2, width: 4, ..GptConfig::default() };
    Gpt::new(vars, config)
}

#[test]
fn gpt() {
    let vars = Vars::new();
    let model = Gpt::new(&vars, GptConfig::default());
    // GPT-2 as published: the head shares the token embedding.
    assert_eq!(parameters(&vars), 124_439_808);
    trains(&vars, &|graph| model.forward(&graph.input("tokens", [1, 5], U32)), &[1, 5, 50257]);
    assert_eq!(shape(&vars, "transformer.wpe.weight"), [1024, 768]);
    assert_eq!(shape(&vars, "transformer.h.11.attn.c_attn.weight"), [2304, 768]);
    assert_eq!(shape(&vars, "transformer.h.0.mlp.c_proj.weight"), [768, 3072]);
    assert_eq!(shape(&vars, "transformer.ln_f.bias"), [768]);
    let vars = Vars::new();
    Gpt::new(&vars, GptConfig { tied: false, bias: false, ..GptConfig::default() });
    assert_eq!(shape(&vars, "lm_head.weight"), [50257, 768]);
    assert!(vars.get("transformer.ln_f.bias").is_none());
}

#[test]
fn gpt_generates_what_it_computes_at_once() {
    let vars = Vars::new();
    let model = small_gpt(&vars);
    let cache = model.cache(vars.sub("cache"), 2);
    let mut state = scrambled(&vars);
    let tokens = Array::new(U32, [2, 6], vec![3.0, 1.0, 4.0, 1.0, 5.0, 6.0, 2.0, 6.0, 5.0, 3.0, 5.0, 0.0]);
    let whole = run(Mode::Eval, &model, &tokens, &mut state.clone());
    for t in 0..6 {
        let token = Array::new(U32, [2, 1], vec![tokens.at(&[0, t]), tokens.at(&[1, t])]);
        let next = run(Mode::Eval, &|x: &Tensor| model.forward_cached(x, &cache), &token, &mut state);
        let expected = array([2, 1, 7], |index| whole.at(&[index[0], t, index[2]]));
        assert_close(&next, &expected, 1e-12);
    }
}

#[test]
fn gpt_refuses_what_is_too_long() {
    let model = small_gpt(&Vars::new());
    let graph = Graph::new(Mode::Train);
    model.forward(&graph.input("tokens", [1, 7], U32));
    let error = graph.recording().check().expect_err("the context is 6");
    assert!(error.to_string().contains("T up to 6, got u32[1, 7]"), "{error}");
}

#[test]
fn bert() {
    let vars = Vars::new();
    let model = Bert::new(&vars, BertConfig::default());
    // bert-base-uncased as published, with its pooler.
    assert_eq!(parameters(&vars), 109_482_240);
    trains(&vars, &|graph| model.pool(&model.forward(&graph.input("tokens", [2, 5], U32))), &[2, 768]);
    assert_eq!(shape(&vars, "embeddings.token_type_embeddings.weight"), [2, 768]);
    assert_eq!(shape(&vars, "encoder.layer.11.attention.self.key.bias"), [768]);
    assert_eq!(shape(&vars, "encoder.layer.0.attention.output.LayerNorm.weight"), [768]);
    assert_eq!(shape(&vars, "encoder.layer.0.intermediate.dense.weight"), [3072, 768]);
    assert_eq!(shape(&vars, "pooler.dense.weight"), [768, 768]);
    let vars = Vars::new();
    let model = Bert::new(&vars, BertConfig { pooler: false, ..BertConfig::default() });
    trains(&vars, &|graph| model.forward(&graph.input("tokens", [2, 5], U32)), &[2, 5, 768]);
}

/// What stands behind padding changes nothing in front of it.
#[test]
fn bert_does_not_see_padding() {
    let vars = Vars::new();
    let config = BertConfig {
        vocabulary: 9,
        context: 6,
        layers: 2,
        heads: 2,
        width: 4,
        feedforward: 8,
        ..BertConfig::default()
    };
    let model = Bert::new(&vars, config);
    let mut state = scrambled(&vars);
    let hidden: Vec<f64> = (0..6).map(|t| f64::from(t >= 4)).collect();
    state.insert("padding".into(), Array::new(wgrad_core::Bool, [1, 6], hidden));
    let features = |end: [f64; 2], padded: bool| {
        let tokens = Array::new(U32, [1, 6], [vec![3.0, 1.0, 4.0, 1.0], end.to_vec()].concat());
        let module = |x: &Tensor| {
            let padding = x.graph().input("padding", [1, 6], wgrad_core::Bool);
            model.encode(x, None, padded.then_some(&padding)).slice(1, 0..4)
        };
        reference::eval(&module, &tokens, &state)
    };
    assert_eq!(features([5.0, 8.0], true), features([0.0, 2.0], true));
    assert_ne!(features([5.0, 8.0], false), features([0.0, 2.0], false));
}

#[test]
fn vit() {
    let vars = Vars::new();
    let model = Vit::new(&vars, VitConfig::default());
    assert_eq!(parameters(&vars), 5_717_416);
    trains(&vars, &|graph| model.forward(&images(graph, 224)), &[2, 1000]);
    assert_eq!(shape(&vars, "pos_embed"), [1, 197, 192]);
    assert_eq!(shape(&vars, "patch_embed.proj.weight"), [192, 3, 16, 16]);
    assert_eq!(shape(&vars, "blocks.11.attn.qkv.weight"), [576, 192]);
    assert_eq!(shape(&vars, "blocks.0.mlp.fc1.bias"), [768]);
    assert_eq!(shape(&vars, "head.weight"), [1000, 192]);
    let graph = Graph::new(Mode::Eval);
    assert!(!model.forward(&images(&graph, 200)).is_valid());
    let error = graph.recording().check().expect_err("the side is 224");
    assert!(error.to_string().contains("[N, 3, 224, 224]"), "{error}");
}

#[test]
fn unet() {
    let vars = Vars::new();
    let model = UNet::new(&vars, 3, 2);
    assert_eq!(parameters(&vars), 31_037_698);
    trains(&vars, &|graph| model.forward(&images(graph, 37)), &[2, 2, 37, 37]);
    assert_eq!(shape(&vars, "inc.double_conv.3.weight"), [64, 64, 3, 3]);
    assert_eq!(shape(&vars, "down4.maxpool_conv.1.double_conv.0.weight"), [1024, 512, 3, 3]);
    assert_eq!(shape(&vars, "up1.up.weight"), [1024, 512, 2, 2]);
    assert_eq!(shape(&vars, "up4.conv.double_conv.0.weight"), [64, 128, 3, 3]);
    assert_eq!(shape(&vars, "outc.conv.bias"), [2]);
}

#[test]
fn small_models() {
    let vars = Vars::new();
    let model = LeNet::new(&vars, 10);
    assert_eq!(parameters(&vars), 61_706);
    trains(&vars, &|graph| model.forward(&graph.input("image", [2, 1, 28, 28], F32)), &[2, 10]);

    let vars = Vars::new();
    let model = Mlp::new(&vars, &[784, 512, 512, 10]).dropout(0.5);
    assert_eq!(parameters(&vars), 669_706);
    trains(&vars, &|graph| model.forward(&graph.input("x", [2, 784], F32)), &[2, 10]);
    assert_eq!(shape(&vars, "6.weight"), [10, 512]);

    let vars = Vars::new();
    let model = Autoencoder::new(&vars, &[784, 128, 32]);
    trains(&vars, &|graph| model.forward(&graph.input("x", [2, 784], F32)), &[2, 784]);
    assert_eq!(
        (shape(&vars, "encoder.2.weight"), shape(&vars, "decoder.2.weight")),
        (vec![32, 128], vec![784, 128])
    );

    let vars = Vars::new();
    let model = Vae::new(&vars, 784, 400, 20);
    assert_eq!(parameters(&vars), 652_824);
    trains(&vars, &|graph| model.forward(&graph.input("x", [2, 784], F32)), &[2, 784]);
    assert_eq!(shape(&vars, "fc22.weight"), [20, 400]);
}

#[test]
fn vae_draws_in_training_alone() {
    let sample = |x: &Tensor| Vae::sample(x, &(x * 0.0 - 4.0));
    let x = reference::noise([20_000], 1);
    assert_eq!(reference::eval(&sample, &x, &Default::default()), x);
    let drawn = run(Mode::Train, &sample, &x, &mut reference::initial(&Vars::new()));
    // ln σ² = −4.
    let noise: Vec<f64> = drawn.data.iter().zip(&x.data).map(|(y, x)| (y - x) * 2f64.exp()).collect();
    let count = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / count;
    let variance = noise.iter().map(|e| e * e).sum::<f64>() / count;
    assert!(mean.abs() < 5.0 / count.sqrt() && (variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt());
    // Of N(1, e²) from N(0, 1): −½(1 + 2 − 1 − e²).
    let divergence = |x: &Tensor| Vae::divergence(&x.ones_like(), &(x.zeros_like() + 2.0));
    let value = reference::eval(&divergence, &reference::noise([1, 1], 1), &Default::default()).item();
    assert!((value - 0.5 * (2f64.exp() - 2.0)).abs() < 1e-12);
}
