//! Initializers that are not random: the gain table, and the weights that pass their input on.

use wgrad::core::interpret::{Environment, evaluate};
use wgrad::core::vars::InitContext;
use wgrad::nn::init::{Nonlinearity, calculate_gain, dirac, eye};
use wgrad::prelude::*;

use crate::golden::{Goldens, same_cases};

const GAINS: &[(&str, Nonlinearity)] = &[
    ("linear", Nonlinearity::Linear),
    ("sigmoid", Nonlinearity::Sigmoid),
    ("tanh", Nonlinearity::Tanh),
    ("relu", Nonlinearity::Relu),
    ("leaky_relu", Nonlinearity::LeakyRelu(0.01)),
    ("slope", Nonlinearity::LeakyRelu(0.25)),
    ("selu", Nonlinearity::Selu),
];

#[test]
fn gains_agree() {
    let goldens = Goldens::read("gains");
    for (name, nonlinearity) in GAINS {
        let expected = goldens.array(&format!("gain/{name}")).item();
        assert_eq!(calculate_gain(*nonlinearity) as f32, expected as f32, "{name}");
    }
}

fn weights() -> [(&'static str, Init); 3] {
    [("eye", eye()), ("dirac", dirac(1)), ("dirac/groups", dirac(2))]
}

#[test]
fn weights_agree() {
    let goldens = Goldens::read("gains");
    for (name, init) in weights() {
        let (expected, graph) = (goldens.array(name), Graph::new(Mode::Eval));
        let cx = InitContext { graph: &graph, shape: expected.shape(), dtype: F32, name, seed: 0 };
        let value = init.record(&cx);
        let values = evaluate(&graph.recording(), &Environment::new());
        assert_eq!(values[value.id().index()], expected, "{name}");
    }
}

#[test]
fn every_initializer_is_here() {
    let gains = GAINS.iter().map(|(name, _)| format!("gain/{name}"));
    same_cases("gains", weights().into_iter().map(|(name, _)| name.to_string()).chain(gains));
}
