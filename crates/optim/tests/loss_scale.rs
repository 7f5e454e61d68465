//! Loss scaling: the same training as without, until something is not finite.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{initial, problem, trajectory};
use wgrad_core::interpret::{Environment, step};
use wgrad_core::{Array, F32, Graph, Init, Mode, Vars};
use wgrad_optim::{Adam, AdamW, Averaging, LossScale, Optimizer, Sgd};

#[test]
fn a_scaled_loss_trains_like_the_loss() {
    let adam = || AdamW::new(1.0 / 16.0).clip_grad_norm(0.5);
    let plain = trajectory(&adam(), 20);
    for scale in [LossScale::dynamic().growth(2.0, 3), LossScale::fixed(1024.0), LossScale::fixed(1.0)] {
        let scaled = trajectory(&adam().loss_scale(scale), 20);
        for (scaled, plain) in scaled.iter().zip(&plain) {
            assert!((0..3).all(|i| (scaled[i] - plain[i]).abs() < 1e-12), "{scaled:?} is not {plain:?}");
        }
    }
}

/// A step on Σ w·x whose gradient is x; returns the state after.
fn run(graph: &Graph, state: &mut Environment, x: [f64; 2]) {
    state.insert("x".into(), Array::new(F32, [2], x.to_vec()));
    step(&graph.recording(), state, &[]);
}

fn linear(optimizer: &dyn Optimizer) -> (Graph, Environment) {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let w = graph.var(&vars.var("w", [2], Init::constant(1.0)));
    optimizer.minimize(&(w * graph.input("x", [2], F32)).sum(..), &vars);
    graph.recording().check().expect("records without mistakes");
    (graph, initial(&vars))
}

#[test]
fn a_skipped_step_leaves_no_trace_but_its_count() {
    let scales = [LossScale::dynamic().initial(4.0).growth(2.0, 100), LossScale::fixed(1.0)];
    for scale in scales {
        let adam = Adam::new(0.1).averaging(Averaging::ema(0.9)).clip_grad_norm(1.0).loss_scale(scale);
        let (graph, mut state) = linear(&adam);
        run(&graph, &mut state, [0.5, -2.0]);
        for (n, bad) in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN].into_iter().enumerate() {
            let before = state.clone();
            run(&graph, &mut state, [0.5, bad]);
            for (name, value) in &before {
                let of_scale = ["optim.skipped", "optim.loss_scale", "optim.growth_tracker", "x"];
                assert!(of_scale.contains(&name.as_str()) || state[name] == *value, "{name} has changed");
            }
            assert_eq!(state["optim.skipped"].item(), n as f64 + 1.0);
        }
        // And training goes on.
        let before = state["w"].clone();
        run(&graph, &mut state, [0.5, -2.0]);
        assert!(state["w"] != before && state["optim.step"].item() == 2.0);
    }
}

#[test]
fn the_scale_grows_and_shrinks_as_in_pytorch() {
    let scale = LossScale::dynamic().initial(8.0).growth(2.0, 3).backoff(0.25);
    let (graph, mut state) = linear(&Sgd::new(0.1).loss_scale(scale));
    let mut seen = vec![];
    for bad in [false, false, true, false, false, false, false, true, true] {
        run(&graph, &mut state, [1.0, if bad { f64::NAN } else { 1.0 }]);
        seen.push((state["optim.loss_scale"].item(), state["optim.growth_tracker"].item()));
    }
    let expected =
        [(8.0, 1.0), (8.0, 2.0), (2.0, 0.0), (2.0, 1.0), (2.0, 2.0), (4.0, 0.0), (4.0, 1.0), (1.0, 0.0)];
    assert_eq!(seen[..8], expected);
    assert_eq!(seen[8], (0.25, 0.0));
}

#[test]
fn the_scale_does_not_grow_out_of_its_type() {
    let large = 2f64.powi(127);
    let scale = LossScale::dynamic().initial(large).growth(2.0, 1);
    let (graph, mut state) = linear(&Sgd::new(0.0).loss_scale(scale));
    run(&graph, &mut state, [0.0, 0.0]);
    assert_eq!(state["optim.loss_scale"].item(), large);
}

#[test]
fn large_finite_gradients_are_finite() {
    let (graph, mut state) = linear(&Sgd::new(0.0).loss_scale(LossScale::fixed(1.0)));
    run(&graph, &mut state, [3e38, 3e38]);
    assert_eq!(state["optim.skipped"].item(), 0.0);
    run(&graph, &mut state, [4e38, 4e38]);
    assert_eq!(state["optim.skipped"].item(), 1.0);
}

#[test]
fn settings_out_of_range_are_errors() {
    for (scale, expected) in [
        (LossScale::fixed(0.0), "the loss scale is 0"),
        (LossScale::dynamic().growth(0.5, 10), "the growth of the loss scale is 0.5"),
        (LossScale::dynamic().growth(2.0, 0), "grows after 0 updates"),
        (LossScale::dynamic().backoff(1.5), "shrinks by 1.5"),
    ] {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        Sgd::new(0.1).loss_scale(scale).minimize(&problem(&graph, &vars), &vars);
        let error = graph.recording().check().expect_err("the setting is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
