//! Accumulated gradients: several micro-batches are one large batch.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{initial, problem};
use wgrad_core::interpret::{Environment, step};
use wgrad_core::{Array, F32, Graph, Init, Mode, Tensor, Vars};
use wgrad_optim::{AdamW, Averaging, Cosine, LossScale, Optimizer, Sgd};

const FEATURES: usize = 3;

/// The mean squared error of a linear layer on a batch.
fn loss(graph: &Graph, vars: &Vars, records: usize) -> Tensor {
    let declare = |name: &str, shape: &[usize]| {
        vars.get(name).unwrap_or_else(|| vars.var(name, shape, Init::constant(0.5)))
    };
    let (w, b) = (graph.var(&declare("w", &[FEATURES, 1])), graph.var(&declare("b", &[1])));
    let x = graph.input("x", [records, FEATURES], F32);
    let y = graph.input("y", [records, 1], F32);
    (x.matmul(&w) + b - y).square().mean(..)
}

/// Inputs for records `from..to` of an endless table.
fn batch(state: &mut Environment, from: usize, to: usize) {
    let rows = |width: usize, value: fn(f64) -> f64| {
        let data = (from * width..to * width).map(|i| value(i as f64)).collect();
        Array::new(F32, [to - from, width], data)
    };
    state.insert("x".into(), rows(FEATURES, |i| (i * 0.7).sin()));
    state.insert("y".into(), rows(1, |i| (i * 0.3).cos() + 0.25));
}

fn optimizer() -> AdamW {
    AdamW::new(Cosine::new(0.05, 20)).clip_grad_norm(0.5).averaging(Averaging::ema(0.9))
}

#[test]
fn four_micro_batches_are_one_batch() {
    const LARGE: usize = 24;
    const PARTS: usize = 4;
    let large = {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        optimizer().minimize(&loss(&graph, &vars, LARGE), &vars);
        let mut state = initial(&vars);
        for t in 0..20 {
            batch(&mut state, t * LARGE, (t + 1) * LARGE);
            step(&graph.recording(), &mut state, &[]);
        }
        state
    };
    let vars = Vars::new();
    let [add, apply] = [Graph::new(Mode::Train), Graph::new(Mode::Eval)];
    optimizer().accumulate(&loss(&add, &vars, LARGE / PARTS), &vars);
    optimizer().apply(&apply, &vars);
    for graph in [&add, &apply] {
        graph.recording().check().expect("records without mistakes");
    }
    let mut state = initial(&vars);
    for t in 0..20 {
        for part in 0..PARTS {
            let from = t * LARGE + part * LARGE / PARTS;
            batch(&mut state, from, from + LARGE / PARTS);
            step(&add.recording(), &mut state, &[]);
        }
        step(&apply.recording(), &mut state, &[]);
        assert_eq!(state["w.accumulated"].data, [0.0; FEATURES]);
    }
    for (name, value) in &large {
        if ["x", "y"].contains(&name.as_str()) {
            continue;
        }
        for (found, expected) in state[name].data.iter().zip(&value.data) {
            let allowed = 1e-12 * expected.abs().max(1.0);
            assert!((found - expected).abs() <= allowed, "{name}: {found} is not {expected}");
        }
    }
    assert_eq!(state["optim.step"].item(), 20.0);
}

#[test]
fn the_mean_is_over_what_was_added() {
    let vars = Vars::new();
    let [add, apply] = [Graph::new(Mode::Train), Graph::new(Mode::Eval)];
    let sgd = Sgd::new(1.0 / 16.0);
    sgd.accumulate(&problem(&add, &vars), &vars);
    sgd.apply(&apply, &vars);
    let expected = training::trajectory(&sgd, 3);
    let mut state = initial(&vars);
    for (window, expected) in [1, 3, 2].into_iter().zip(expected) {
        for _ in 0..window {
            step(&add.recording(), &mut state, &[]);
        }
        step(&apply.recording(), &mut state, &[]);
        let found = [state["x"].item(), state["y"].data[0], state["y"].data[1]];
        assert!((0..3).all(|i| (found[i] - expected[i]).abs() < 1e-12), "{found:?}, not {expected:?}");
    }
}

#[test]
fn one_bad_micro_batch_spoils_the_update_and_no_other() {
    let vars = Vars::new();
    let [add, apply] = [Graph::new(Mode::Train), Graph::new(Mode::Eval)];
    let sgd = Sgd::new(0.05).loss_scale(LossScale::dynamic());
    sgd.accumulate(&loss(&add, &vars, 2), &vars);
    sgd.apply(&apply, &vars);
    let mut state = initial(&vars);
    for window in 0..3 {
        for part in 0..2 {
            batch(&mut state, 2 * part, 2 * part + 2);
            if (window, part) == (1, 0) {
                state.insert("y".into(), Array::new(F32, [2, 1], vec![1.0, f64::INFINITY]));
            }
            step(&add.recording(), &mut state, &[]);
        }
        let before = state["w"].clone();
        step(&apply.recording(), &mut state, &[]);
        assert_eq!(before == state["w"], window == 1, "window {window}");
        assert_eq!(state["w.accumulated"].data, [0.0; FEATURES]);
    }
    assert_eq!(state["optim.step"].item(), 2.0);
    assert_eq!(state["optim.skipped"].item(), 1.0);
    assert_eq!(state["optim.loss_scale"].item(), 32_768.0);
}

#[test]
fn there_must_be_something_to_apply() {
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    vars.var("w", [3], Init::constant(1.0));
    Sgd::new(0.1).apply(&graph, &vars);
    let line = line!() - 1;
    let error = graph.recording().check().expect_err("nothing was accumulated");
    assert!(error.to_string().contains("record `accumulate` before `apply`"), "{error}");
    assert_eq!((error.location.file(), error.location.line()), (file!(), line));
}
