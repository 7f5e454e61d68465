//! The summary of a model: every parameter, every operation and every layer, once.

use wgrad_core::{F32, Graph, Init, Mode, Tensor, U32, Vars};
use wgrad_nn::models::{Gpt, GptConfig, LeNet, ResNet};
use wgrad_nn::{BatchNorm2d, Conv2d, LayerSummary, Linear, Module, Relu, Sequential, Summary};

fn output(layer: &LayerSummary) -> String {
    layer.output.as_ref().unwrap().to_string()
}

#[test]
fn layers_in_order_with_their_outputs() {
    let vars = Vars::new();
    let model = LeNet::new(&vars, 10);
    vars.freeze("conv1.*");
    let summary =
        Summary::new(&vars, |g| model.forward(&g.input("image", [4, 1, 28, 28], F32)).mean(..)).unwrap();
    println!("{summary}");
    let layers: Vec<_> = summary
        .layers
        .iter()
        .map(|layer| (layer.name.as_str(), output(layer), layer.parameters, layer.frozen))
        .collect();
    let expected = [
        ("conv1", "f32[4, 6, 28, 28]".into(), 156, 156),
        ("conv2", "f32[4, 16, 10, 10]".into(), 2416, 0),
        ("fc1", "f32[4, 120]".into(), 48_120, 0),
        ("fc2", "f32[4, 84]".into(), 10_164, 0),
        ("fc3", "f32[4, 10]".into(), 850, 0),
    ];
    assert_eq!(layers, expected);
    assert_eq!((summary.parameters, summary.frozen), (61_706, 156));
    // Multiplications and additions of the products, and the addition of the bias.
    let products = 4 * (28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 48_000 + 10_080 + 840) * 2;
    let biases = 4 * (28 * 28 * 6 + 10 * 10 * 16 + 120 + 84 + 10);
    let flops: u64 = summary.layers.iter().map(|layer| layer.flops).sum();
    assert_eq!(flops, products + biases);
    assert_eq!(flops + summary.other_flops, summary.flops);
    let text = summary.to_string();
    assert!(text.contains("total") && text.contains("61,706"), "{text}");
}

#[test]
fn layers_of_a_sequence_and_with_statistics() {
    let vars = Vars::new();
    let model = Sequential::new()
        .then(Conv2d::new(vars.sub(0), 3, 8, 3))
        .then(BatchNorm2d::new(vars.sub(1), 8))
        .then(Relu)
        .then(|x: &Tensor| x.mean([2, 3]))
        .then(Linear::new(vars.sub(4), 8, 2));
    let summary = Summary::new(&vars, |g| model.forward(&g.input("x", [2, 3, 8, 8], F32))).unwrap();
    println!("{summary}");
    let layers: Vec<_> = summary.layers.iter().map(|layer| (layer.name.as_str(), output(layer))).collect();
    assert_eq!(
        layers,
        [("0", "f32[2, 8, 6, 6]".into()), ("1", "f32[2, 8, 6, 6]".into()), ("4", "f32[2, 2]".to_string())]
    );
    assert!(summary.buffer_bytes >= 64);
    assert!(summary.layers.iter().all(|layer| layer.location.file().ends_with("summary.rs")));
}

#[test]
fn every_parameter_of_larger_models_belongs_to_a_layer() {
    let vars = Vars::new();
    let resnet = ResNet::resnet18(&vars, 1000);
    let image = |g: &Graph| g.input("image", [1, 3, 64, 64], F32);
    let summary = Summary::new(&vars, |g| resnet.forward(&image(g))).unwrap();
    println!("{summary}");
    let sum = |summary: &Summary| summary.layers.iter().map(|layer| layer.parameters).sum::<usize>();
    assert_eq!((summary.parameters, sum(&summary)), (11_689_512, 11_689_512));
    assert!(summary.other_flops * 50 < summary.flops, "{summary}");
    let of = |name: &str| output(summary.layers.iter().find(|layer| layer.name == name).unwrap());
    assert_eq!(of("conv1"), "f32[1, 64, 32, 32]");
    assert_eq!(of("layer2.0.bn2"), "f32[1, 128, 8, 8]");
    assert_eq!(of("layer4.0.downsample.0"), "f32[1, 512, 2, 2]");

    let vars = Vars::new();
    let size =
        GptConfig { vocabulary: 65, context: 32, layers: 2, heads: 2, width: 16, ..GptConfig::default() };
    let gpt = Gpt::new(&vars, size);
    let summary = Summary::new(&vars, |g| gpt.forward(&g.input("tokens", [2, 32], U32))).unwrap();
    println!("{summary}");
    assert_eq!(summary.parameters, sum(&summary));
    let of = |name: &str| output(summary.layers.iter().find(|layer| layer.name == name).unwrap());
    assert_eq!(of("transformer.wte"), "f32[2, 32, 16]");
    assert_eq!(of("transformer.h.1.mlp.c_fc"), "f32[2, 32, 64]");
}

#[test]
fn variables_without_a_layer_and_mistakes() {
    let vars = Vars::new();
    let weight = vars.var("weight", [3], Init::constant(1.0));
    let summary = Summary::new(&vars, |g| g.var(&weight) * 2.0).unwrap();
    let layer = &summary.layers[0];
    assert_eq!((layer.name.as_str(), &layer.output, layer.parameters, layer.flops), ("weight", &None, 3, 3));
    assert_eq!((summary.layers.len(), summary.parameters, summary.flops), (1, 3, 3));
    let error = Summary::new(&vars, |g| g.var(&weight) + g.input("x", [4], F32)).err().unwrap();
    assert!(error.to_string().contains("summary.rs"), "{error}");
    let other = Graph::new(Mode::Eval);
    let elsewhere = Summary::new(&vars, |_| other.var(&weight));
    assert_eq!(elsewhere.unwrap().flops, 0);
}
