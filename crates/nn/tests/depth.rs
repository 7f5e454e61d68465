//! Thirty layers deep: initializers with the gains of the table keep activations and gradients alive.
//!
//! For wide layers the variance q of a layer's outputs and that of gradients follow two recursions (Poole et al.,
//! 2016; Schoenholz et al., 2017): q′ = gain²·E[φ(√q·z)²] for z normal on the way forward, and a factor of
//! gain²·E[φ′(√q·z)²] for each layer on the way back. The tests measure both against them.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::born;
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{Array, F32, Graph, Init, Mode, Tensor};
use wgrad_nn::init::{self, Fan, Nonlinearity};

const LAYERS: usize = 30;
const WIDTH: usize = 256;
const BATCH: usize = 16;

/// The variance of every layer's outputs, and that of the gradients there, where input and gradient of the last
/// outputs have variance 1. The outputs of a layer are what the activation before the next one is given.
fn measure(init: &Init, activation: fn(&Tensor) -> Tensor) -> Vec<(f64, f64)> {
    let graph = Graph::new(Mode::Train);
    let mut state = Environment::new();
    let normal = |name: &str| born(&init::normal(0.0, 1.0), name, F32, &[BATCH, WIDTH].into(), 1);
    state.insert("x".into(), normal("x"));
    let mut outputs: Vec<Tensor> = vec![];
    for layer in 0..LAYERS {
        let name = format!("{layer}.weight");
        state.insert(name.clone(), born(init, &name, F32, &[WIDTH, WIDTH].into(), 1));
        let weight = graph.input(&name, [WIDTH, WIDTH], F32);
        let input = match outputs.last() {
            Some(output) => activation(output),
            None => graph.input("x", [BATCH, WIDTH], F32),
        };
        outputs.push(input.einsum(&weight, "ni,oi->no"));
    }
    let upstream = graph.input("upstream", [BATCH, WIDTH], F32);
    state.insert("upstream".into(), normal("upstream"));
    let gradients = outputs[LAYERS - 1].pull_back(&upstream, &outputs.iter().collect::<Vec<_>>());
    graph.recording().check().expect("the network has gradients");
    let values = evaluate(&graph.recording(), &state);
    let variance = |tensor: &Tensor| {
        let Array { data, .. } = &values[tensor.id().index()];
        data.iter().map(|x| x * x).sum::<f64>() / data.len() as f64
    };
    outputs.iter().zip(&gradients).map(|(output, gradient)| (variance(output), variance(gradient))).collect()
}

/// The expectation of f(z) for z normal, by the midpoint rule over ±8.
fn expectation(f: impl Fn(f64) -> f64) -> f64 {
    let (steps, limit) = (4000, 8.0);
    let h = 2.0 * limit / f64::from(steps);
    let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (0..steps).map(|i| (f64::from(i) + 0.5) * h - limit).map(|z| f(z) * density(z) * h).sum()
}

/// What the recursions say of the outputs' variances and the gradients', for tanh.
fn tanh_theory(gain: f64) -> Vec<(f64, f64)> {
    let mut q = gain * gain;
    let (mut outputs, mut factors) = (vec![], vec![]);
    for _ in 0..LAYERS {
        outputs.push(q);
        let slope = |z: f64| 1.0 - (q.sqrt() * z).tanh().powi(2);
        factors.push(gain * gain * expectation(|z| slope(z).powi(2)));
        q = gain * gain * expectation(|z| (q.sqrt() * z).tanh().powi(2));
    }
    (0..LAYERS).map(|layer| (outputs[layer], factors[layer..LAYERS - 1].iter().product())).collect()
}

/// A measured variance is that of the theory up to a factor.
fn assert_within(measured: f64, theory: f64, factor: f64, what: &str) {
    let ratio = measured / theory;
    assert!(ratio < factor && ratio > 1.0 / factor, "{what}: {measured}, where {theory} is expected");
}

#[test]
fn relu() {
    // Theory says 1 for both throughout. A layer's sample variance is a mean over WIDTH squares of relative
    // variance 5, so its logarithm walks at random with a standard deviation of √(5/WIDTH) a layer, 0.77 over
    // thirty: within a factor of 10 at three deviations.
    let layers = measure(&init::kaiming_normal(Fan::In, Nonlinearity::Relu), Tensor::relu);
    let factor = (3.0 * (5.0 * LAYERS as f64 / WIDTH as f64).sqrt()).exp();
    for (layer, (output, gradient)) in layers.into_iter().enumerate() {
        // The first layer reads a normal input, not one behind ReLU.
        assert_within(output, 2.0, factor, &format!("outputs of layer {layer}"));
        assert_within(gradient, 1.0, factor, &format!("gradient of layer {layer}"));
    }
}

#[test]
fn relu_without_its_gain_dies() {
    // Half of the variance is lost in each of the 29 activations.
    let layers = measure(&init::kaiming_normal(Fan::In, Nonlinearity::Linear), Tensor::relu);
    assert!(layers[LAYERS - 1].0 < 1e-7 && layers[0].1 < 1e-7, "{layers:?}");
}

#[test]
fn tanh() {
    // The table's gain of 5/3 holds outputs at a variance of 1.18, the recursion's fixed point; gradients grow
    // by 21 % a layer there. A gain of 5/4 trades one for the other: both stay within a factor of 4 of 1. Tanh
    // is bounded, so a layer's sample variance is pulled back to the fixed point instead of walking off;
    // gradients walk as they do for ReLU, with a relative variance of at most 5 in a layer.
    let walk = (3.0 * (5.0 * LAYERS as f64 / WIDTH as f64).sqrt()).exp();
    for (gain, range) in [(init::calculate_gain(Nonlinearity::Tanh), 1.0..3.0), (1.25, 0.25..2.0)] {
        let theory = tanh_theory(gain);
        assert!(theory.iter().all(|(output, _)| range.contains(output)), "{theory:?}");
        let measured = measure(&init::xavier_normal(gain), Tensor::tanh);
        for (layer, (measured, theory)) in measured.into_iter().zip(&theory).enumerate() {
            assert_within(measured.0, theory.0, 1.25, &format!("gain {gain}, outputs of layer {layer}"));
            assert_within(measured.1, theory.1, walk, &format!("gain {gain}, gradient of layer {layer}"));
        }
    }
    assert!(tanh_theory(1.25).iter().all(|(_, gradient)| (0.25..4.0).contains(gradient)));
    let growth = tanh_theory(5.0 / 3.0)[LAYERS - 3].1 / tanh_theory(5.0 / 3.0)[LAYERS - 2].1;
    assert!((growth - 1.21).abs() < 0.01, "{growth}");
}
