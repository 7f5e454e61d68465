//! Schedules against the closed forms of PyTorch's schedulers, worked out in f64.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use std::f64::consts::PI;

use training::over_steps;
use wgrad_core::{F32, Graph, Mode, Tensor, Var, Vars};
use wgrad_optim::{Cosine, Manual, Rate, Schedule, Sgd, StepLr, Warmup};

const STEPS: [u32; 14] = [0, 1, 2, 6, 7, 8, 13, 14, 21, 49, 50, 51, 99, 100];

/// Agreement up to the rounding of the schedule's numbers to f32.
fn agree(schedule: &dyn Schedule, steps: &[u32], expected: impl Fn(f64) -> f64) {
    let rates = over_steps(steps, |step| schedule.rate(step));
    for (&step, rate) in steps.iter().zip(rates) {
        let expected = expected(step.into());
        assert!((rate - expected).abs() <= 1e-3 * 3e-7, "step {step}: {rate} is not {expected}");
    }
}

#[test]
fn constant() {
    agree(&1e-3, &STEPS, |_| 1e-3);
}

#[test]
fn a_function_is_a_schedule() {
    agree(&|step: &Tensor| (step.cast(F32) + 1.0).reciprocal() * 1e-3, &STEPS, |t| 1e-3 / (t + 1.0));
}

#[test]
fn step() {
    agree(&StepLr::new(1e-3, 7, 0.5), &STEPS, |t| 1e-3 * 0.5f64.powi((t / 7.0).floor() as i32));
    agree(&StepLr::new(1e-3, 1, 0.9), &STEPS, |t| 1e-3 * 0.9f64.powf(t));
    // The first step after a milestone, and the last before it, far into training.
    let late = [6_999_999, 7_000_000, 6_999_998];
    agree(&StepLr::new(1e-3, 1_000_000, 0.5), &late, |t| 1e-3 * 0.5f64.powi((t / 1e6) as i32));
}

#[test]
fn cosine() {
    let closed = |low: f64, t: f64| low + (1e-3 - low) * (1.0 + (PI * t / 50.0).cos()) / 2.0;
    agree(&Cosine::new(1e-3, 50), &STEPS, |t| closed(0.0, t));
    agree(&Cosine::new(1e-3, 50).minimum(1e-4), &STEPS, |t| closed(1e-4, t));
    // Many periods later the phase is as accurate as in the first.
    agree(&Cosine::new(1e-3, 50), &[1_000_000_007], |t| closed(0.0, t % 100.0));
}

#[test]
fn warmup_then_cosine() {
    let schedule = Warmup::new(8, Cosine::new(1e-3, 50).minimum(1e-4)).start(0.25);
    let cosine = |t: f64| 1e-4 + 9e-4 * (1.0 + (PI * t / 50.0).cos()) / 2.0;
    agree(&schedule, &STEPS, |t| if t < 8.0 { 1e-3 * (0.25 + 0.75 * t / 8.0) } else { cosine(t - 8.0) });
}

#[test]
fn warmup_starts_at_a_third() {
    agree(&Warmup::new(10, 1e-3), &[0, 5, 10], |t| 1e-3 * (1.0 / 3.0 + 2.0 / 3.0 * t / 10.0));
    agree(&Warmup::new(0, 1e-3), &STEPS, |_| 1e-3);
}

#[test]
fn manual_reads_its_variable() {
    let vars = Vars::new();
    let first = Manual::new(&vars, 0.5);
    let again = Manual::new(&vars, 0.25);
    assert_eq!(first.var().name(), again.var().name());
    assert!(vars.check().is_ok());
    assert!(vars.trainable().is_empty());
    assert_eq!(training::initial(&vars)["optim.lr"].item(), 0.5);
}

#[test]
fn mistakes_are_located() {
    let mistakes: [(&str, Rate); 6] = [
        ("learning rate: is -1", (-1.0).into()),
        ("learning rate: is NaN", f64::NAN.into()),
        ("StepLr: size is 0", StepLr::new(1.0, 0, 0.5).into()),
        ("StepLr: size is 1 and gamma -2", StepLr::new(1.0, 1, -2.0).into()),
        ("Cosine: needs at least one step", Cosine::new(1.0, 0).into()),
        ("Warmup: the starting fraction is 2", Warmup::new(3, 1.0).start(2.0).into()),
    ];
    for (expected, rate) in mistakes {
        let graph = Graph::new(Mode::Train);
        assert!(!rate.at(&graph.var(&Var::step())).is_valid());
        let error = graph.recording().check().expect_err("the setting is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }
    // And an optimizer that is given one is no panic either.
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let loss = training::problem(&graph, &vars);
    wgrad_optim::Optimizer::minimize(&Sgd::new(-1.0), &loss, &vars);
    let error = graph.recording().check().expect_err("the rate is negative").to_string();
    assert!(error.contains("is -1, but must be finite and not negative"), "{error}");
}
