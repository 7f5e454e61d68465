//! Misuse is an error that names the layer, the shapes and the user's line; never a panic.

use std::panic::Location;

use wgrad_core::{F32, Graph, Mode, Tensor, U32, Vars};
use wgrad_nn::{
    AvgPool2d, BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Embedding, GlobalAvgPool2d, LayerNorm, Linear,
    MaxPool2d, Module, MultiHeadAttention, ResidualBlock, Sequential,
};

#[track_caller]
fn refused(module: &dyn Module, shape: &[usize], parts: &[&str]) {
    let graph = Graph::new(Mode::Train);
    let y = module.forward(&graph.input("x", shape, F32));
    assert!(!y.is_valid(), "at {}", Location::caller());
    // Whatever is done with the result adds no error of its own.
    let _ = Linear::new(Vars::new(), 2, 2).forward(&y.relu()).sum(..);
    let recording = graph.recording();
    assert_eq!(recording.errors.len(), 1, "{:?}", recording.errors);
    let error = recording.errors[0].to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn shapes_that_do_not_fit() {
    let vars = Vars::new();
    let fc = Linear::new(vars.sub("fc"), 5, 3);
    refused(&fc, &[2, 4], &["linear", "`fc.weight` needs 5 features along the last axis", "f32[2, 4]"]);
    refused(&fc, &[], &["linear", "f32[]"]);
    let conv = Conv2d::new(vars.sub("conv"), 3, 8, 3);
    refused(
        &conv,
        &[2, 4, 9, 9],
        &["conv2d", "`conv.weight` needs an input [N, 3, H, W]", "f32[2, 4, 9, 9]"],
    );
    refused(&conv, &[3, 9, 9], &["f32[3, 9, 9]"]);
    refused(&conv, &[2, 3, 2, 9], &["reaches over 3 elements does not fit 2"]);
    let norm = BatchNorm2d::new(vars.sub("bn"), 3);
    refused(&norm, &[2, 4, 9, 9], &["batch_norm", "`bn.weight` needs an input [N, 3, …]", "f32[2, 4, 9, 9]"]);
    refused(&norm, &[1, 3, 1, 1], &["more than one value per channel in training", "f32[1, 3, 1, 1]"]);
    let norm = LayerNorm::new(vars.sub("ln"), [4, 5]);
    refused(&norm, &[2, 5], &["layer_norm", "`ln.weight` needs an input that ends in [4, 5]", "f32[2, 5]"]);
    let attention = MultiHeadAttention::new(vars.sub("mha"), 6, 2);
    refused(&attention, &[4, 6], &["attention", "needs an input [N, T, 6]", "f32[4, 6]"]);
    let block = ResidualBlock::new(vars.sub("block"), 3, 3, 1);
    refused(&block, &[2, 4, 9, 9], &["`block.conv1.weight`"]);
    refused(&Embedding::new(vars.sub("words"), 5, 3), &[2], &["gather", "u32", "f32[2"]);
    refused(&MaxPool2d::new(3), &[2, 2], &["max_pool"]);
    refused(&GlobalAvgPool2d, &[2], &["global_avg_pool2d", "f32[2]"]);
}

#[test]
fn settings_that_make_no_sense() {
    refused(&Dropout::new(1.5), &[2], &["dropout", "the probability is 1.5, but must be in [0, 1]"]);
    refused(&Dropout::new(f64::NAN), &[2], &["the probability is NaN"]);
    refused(&MaxPool2d::new(2).padding(2), &[1, 1, 8, 8], &["padding 2 is more than half of the window's 2"]);
    refused(&AvgPool2d::new(2).padding(2), &[1, 1, 8, 8], &["padding 2 is more than half of the window's 2"]);
    refused(&AvgPool2d::new(2).stride(0), &[1, 1, 8, 8], &["must be at least 1"]);
    refused(&MaxPool2d::new(0), &[1, 1, 8, 8], &["must be at least 1"]);
    for groups in [0, 2, 4] {
        let conv = Conv2dConfig::new(3, 8, 3).groups(groups).build(Vars::new());
        refused(&conv, &[1, 3, 8, 8], &["conv", &format!("{groups} groups")]);
    }
    for heads in [0, 4] {
        let attention = MultiHeadAttention::new(Vars::new(), 6, heads);
        refused(&attention, &[1, 2, 6], &[&format!("cannot be divided among {heads} heads")]);
    }
}

#[test]
fn a_name_used_twice() {
    let vars = Vars::new();
    Linear::new(vars.sub("fc"), 2, 3);
    Linear::new(vars.sub("fc"), 3, 4);
    let line = line!() - 1;
    let error = vars.check().expect_err("the name is used twice");
    assert_eq!((error.location.file(), error.location.line()), (file!(), line));
    assert!(error.to_string().contains("`fc.weight` is already declared"), "{error}");
}

/// A model as users write it; its mistake is in the second layer.
struct Model {
    first: Linear,
    second: Linear,
}

impl Module for Model {
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.first.forward(x);
        self.second.forward(&hidden) // here
    }
}

#[test]
fn the_line_in_the_users_model() {
    let vars = Vars::new();
    let model =
        Model { first: Linear::new(vars.sub("first"), 2, 3), second: Linear::new(vars.sub("second"), 4, 5) };
    let graph = Graph::new(Mode::Train);
    model.forward(&graph.input("x", [1, 2], F32));
    let error = graph.recording().check().expect_err("3 features are not 4");
    let text = include_str!("errors.rs").lines().nth(error.location.line() as usize - 1);
    assert!(text.is_some_and(|line| line.ends_with("// here")), "{error}");
}

#[test]
fn the_line_that_put_a_layer_into_a_sequential() {
    let vars = Vars::new();
    let chain = Sequential::new()
        .then(Linear::new(vars.sub(0), 2, 3))
        .then(Linear::new(vars.sub(1), 4, 5)) // there
        .then(|x: &Tensor| x.relu());
    let graph = Graph::new(Mode::Train);
    chain.forward(&graph.input("x", [1, 2], F32));
    let error = graph.recording().check().expect_err("3 features are not 4");
    let text = include_str!("errors.rs").lines().nth(error.location.line() as usize - 1);
    assert!(text.is_some_and(|line| line.ends_with("// there")), "{error}");
}

#[test]
fn integers_are_no_features() {
    let graph = Graph::new(Mode::Train);
    Linear::new(Vars::new(), 2, 3).forward(&graph.input("x", [1, 2], U32));
    let error = graph.recording().check().expect_err("a matrix of floats").to_string();
    assert!(error.contains("u32[1, 2]"), "{error}");
}
