//! Mistakes in what is recorded, found when it is compiled.

use wgrad::gpu::Error;
use wgrad::prelude::*;

use crate::{GPU, says};

#[test]
fn wrong_shape() {
    let line = line!() + 1;
    let error = GPU.compile(Mode::Eval, |g| [g.input("a", [3, 5], F32).matmul(&g.input("b", [4, 2], F32))]);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["matmul", "[3, 5]", "[4, 2]", &format!("{}:{line}", file!())]);
}

#[test]
fn wrong_shape_in_a_layer() {
    let vars = Vars::new();
    let conv = Conv2d::new(vars.sub("conv1"), 3, 8, 3);
    let error =
        GPU.compile(Mode::Eval, |g| [conv.forward(&g.input("image", [2, 1, 8, 8], F32))]).unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["`conv1.weight`", "[N, 3, H, W]", "[2, 1, 8, 8]", file!()]);
}

#[test]
fn wrong_dtype() {
    let error = GPU.compile(Mode::Eval, |g| [g.input("x", [3], F32) + g.input("n", [3], I32)]).unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["add", "f32", "i32", file!()]);
}

#[test]
fn wrong_dtype_of_labels() {
    let record = |g: &Graph| [g.input("x", [3, 4], F32).cross_entropy(&g.input("label", [3], F32))];
    let error = GPU.compile(Mode::Eval, record).unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["cross_entropy", "f32[3]", "u32", file!()]);
}

#[test]
fn an_output_of_another_graph() {
    let other = Graph::new(Mode::Eval).input("x", [3], F32);
    let error = GPU.compile(Mode::Eval, |_| [other]).unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["another graph"]);
}

#[test]
fn a_parameter_that_the_loss_does_not_reach() {
    let vars = Vars::new();
    let (used, _unused) = (Linear::new(vars.sub("used"), 4, 2), Linear::new(vars.sub("unused"), 4, 2));
    let error = GPU.compile(Mode::Train, |g| {
        let loss = used.forward(&g.input("x", [3, 4], F32)).mean(..);
        Sgd::new(0.1).minimize(&loss, &vars);
        [loss]
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["unused.weight"]);
}

#[test]
fn two_variables_of_one_name() {
    let vars = Vars::new();
    let layers = [Linear::new(&vars, 4, 2), Linear::new(&vars, 2, 2)];
    assert_eq!(layers.len(), 2);
    let error = GPU.init(&vars, 0).unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["`weight`", "already declared", file!()]);
}

#[test]
fn a_tensor_larger_than_the_adapter_allows() {
    let error = GPU.compile(Mode::Eval, |g| {
        let x = g.input("x", [1 << 20, 1], F32);
        let y = g.input("y", [1, 2000], F32);
        [(x * y).exp()]
    });
    let Err(error @ Error::TooLarge { needed, limit, .. }) = error else { panic!("8 GB fit: {error:?}") };
    assert!(needed >= 8_388_608_000 && limit < needed);
    says(&error, &["exp", "f32[1048576, 2000]", "8388608000 bytes", &GPU.info().name, file!()]);
}

#[test]
fn a_tensor_with_more_elements_than_indices() {
    let error = GPU.compile(Mode::Eval, |g| [g.input("x", [1 << 20, 1], F32).expand([1 << 20, 1 << 20])]);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Record(_)));
    says(&error, &["expand", "[1048576, 1048576]", "2³¹", file!()]);
}
