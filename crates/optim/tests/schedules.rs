//! Schedules against the closed forms of PyTorch's schedulers, worked out in f64.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use std::f64::consts::PI;

use training::over_steps;
use wgrad_core::interpret;
use wgrad_core::{Array, F32, Graph, Mode, Tensor, Var, Vars};
use wgrad_optim::{
    ChainedLr, ConstantLr, Cosine, CosineRestarts, CyclicLr, ExponentialLr, InverseSqrt, LinearLr, Manual,
    MultiStepLr, OneCycleLr, PolynomialLr, Rate, ReduceOnPlateau, Schedule, SequentialLr, Sgd, StepLr,
    Warmup,
};

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
fn exponential() {
    agree(&ExponentialLr::new(1e-3, 0.96875), &STEPS, |t| 1e-3 * 0.96875f64.powf(t));
    agree(&ExponentialLr::new(1e-3, 1.0), &STEPS, |_| 1e-3);
}

#[test]
fn multi_step() {
    let closed =
        |t: f64| 1e-3 * 0.5f64.powi([7.0, 13.0, 13.0, 50.0].iter().filter(|m| t >= **m).count() as i32);
    agree(&MultiStepLr::new(1e-3, [7, 13, 13, 50], 0.5), &STEPS, closed);
    agree(&MultiStepLr::new(1e-3, [], 0.5), &STEPS, |_| 1e-3);
}

#[test]
fn constant_factor_then_all() {
    agree(&ConstantLr::new(1e-3, 7), &STEPS, |t| if t < 7.0 { 1e-3 / 3.0 } else { 1e-3 });
    agree(&ConstantLr::new(1e-3, 50).factor(2.0), &STEPS, |t| if t < 50.0 { 2e-3 } else { 1e-3 });
}

#[test]
fn linear() {
    let closed =
        |start: f64, end: f64, steps: f64, t: f64| 1e-3 * (start + (end - start) * t.min(steps) / steps);
    agree(&LinearLr::new(1e-3, 50), &STEPS, |t| closed(1.0 / 3.0, 1.0, 50.0, t));
    agree(&LinearLr::new(1e-3, 7).start(1.0).end(0.0), &STEPS, |t| closed(1.0, 0.0, 7.0, t));
}

#[test]
fn polynomial() {
    for power in [1.0, 2.0, 0.9] {
        let closed = |t: f64| 1e-3 * (1.0 - t.min(50.0) / 50.0).powf(power);
        agree(&PolynomialLr::new(1e-3, 50, power), &STEPS, closed);
    }
}

#[test]
fn inverse_square_root() {
    let closed = |t: f64| 1e-3 * ((t + 1.0) / 8.0).min((8.0 / (t + 1.0)).sqrt());
    agree(&InverseSqrt::new(1e-3, 8), &STEPS, closed);
}

#[test]
fn cosine_with_restarts() {
    // As PyTorch counts: T_cur goes up to T_i, which then grows.
    let counted = |factor: u32| {
        move |t: f64| {
            let (mut current, mut length) = (0u32, 7u32);
            for _ in 0..t as u32 {
                current += 1;
                if current >= length {
                    (current, length) = (current - length, length * factor);
                }
            }
            1e-4 + 9e-4 * (1.0 + (PI * f64::from(current) / f64::from(length)).cos()) / 2.0
        }
    };
    for factor in [1, 2, 3] {
        let schedule = CosineRestarts::new(1e-3, 7).multiply(factor).minimum(1e-4);
        agree(&schedule, &(0..120).collect::<Vec<_>>(), counted(factor));
    }
    // The restart at 10·(1 + 1000 + 1000²), whose descent would end far beyond the range of u32.
    let late = CosineRestarts::new(1e-3, 10).multiply(1000);
    agree(&late, &[10_010_010], |_| 1e-3);
    agree(&late, &[10_010_009], |_| 0.0);
}

/// `OneCycleLR` of PyTorch, from its documentation.
fn one_cycle(rise: f64, linear: bool, three_phases: bool, t: f64) -> f64 {
    let (first, max, last) = (1e-3 / 25.0, 1e-3, 1e-3 / 25.0 / 1e4);
    let peak = rise * 100.0 - 1.0;
    let (start, end, from, to) = match (t <= peak, three_phases && t <= 2.0 * peak, three_phases) {
        (true, ..) => (0.0, peak, first, max),
        (_, true, _) => (peak, 2.0 * peak, max, first),
        (_, _, true) => (2.0 * peak, 99.0, first, last),
        _ => (peak, 99.0, max, last),
    };
    let passed = (t - start) / (end - start);
    if linear { from + (to - from) * passed } else { to + (from - to) * (1.0 + (PI * passed).cos()) / 2.0 }
}

#[test]
fn one_cycle_up_and_down() {
    let steps: Vec<u32> = (0..100).collect();
    let schedule = OneCycleLr::new(1e-3, 100);
    agree(&schedule, &steps, |t| one_cycle(0.3, false, false, t));
    agree(&schedule.clone().linear().rise(0.25), &steps, |t| one_cycle(0.25, true, false, t));
    agree(&schedule.clone().three_phases(), &steps, |t| one_cycle(0.3, false, true, t));
    agree(&schedule.clone().three_phases().linear(), &steps, |t| one_cycle(0.3, true, true, t));
    agree(&schedule.clone().rise(0.0).div_factor(25.0), &[99], |t| one_cycle(0.0, false, false, t));
    agree(&schedule, &[100, 1000], |_| 1e-3 / 25.0 / 1e4);
}

#[test]
fn cyclic() {
    // PyTorch's definition in terms of the cycle and the place in it.
    let closed = |up: f64, down: f64, scale: fn(f64, f64) -> f64| {
        move |t: f64| {
            let (length, ratio) = (up + down, up / (up + down));
            let cycle = (1.0 + t / length).floor();
            let x = 1.0 + t / length - cycle;
            let height = if x <= ratio { x / ratio } else { (x - 1.0) / (ratio - 1.0) };
            1e-4 + 9e-4 * height * scale(cycle, t)
        }
    };
    let steps: Vec<u32> = (0..100).collect();
    let schedule = CyclicLr::new(1e-4, 1e-3, 8);
    agree(&schedule, &steps, closed(8.0, 8.0, |_, _| 1.0));
    agree(&schedule.clone().down(5), &steps, closed(8.0, 5.0, |_, _| 1.0));
    agree(&schedule.clone().halving(), &steps, closed(8.0, 8.0, |cycle, _| 0.5f64.powf(cycle - 1.0)));
    agree(&schedule.exponential(0.96875), &steps, closed(8.0, 8.0, |_, t| 0.96875f64.powf(t)));
}

#[test]
fn one_after_the_other() {
    let schedule = SequentialLr::new(ConstantLr::new(1e-3, 5).factor(0.5))
        .then(7, ExponentialLr::new(1e-3, 0.5))
        .then(14, LinearLr::new(1e-3, 50).start(0.0));
    agree(&schedule, &STEPS, |t| {
        1e-3 * match t {
            t if t < 5.0 => 0.5,
            t if t < 7.0 => 1.0,
            t if t < 14.0 => 0.5f64.powf(t - 7.0),
            t => (t - 14.0).min(50.0) / 50.0,
        }
    });
}

#[test]
fn one_times_the_other() {
    let schedule =
        ChainedLr::new(1e-3).and(ConstantLr::new(1.0, 7).factor(0.25)).and(StepLr::new(1.0, 10, 0.5));
    let factor = |t: f64| if t < 7.0 { 0.25 } else { 1.0 };
    agree(&schedule, &STEPS, |t| 1e-3 * factor(t) * 0.5f64.powf((t / 10.0).floor()));
}

/// A plateau's rate after each of some metrics.
fn plateau_rates(plateau: impl FnOnce(&Vars) -> ReduceOnPlateau, metrics: &[f64]) -> Vec<f64> {
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    plateau(&vars).observe(&graph.input("metric", [], F32));
    graph.recording().check().expect("records without mistakes");
    let mut state = training::initial(&vars);
    let mut observe = |metric: f64| {
        state.insert("metric".into(), Array::new(F32, [], vec![metric]));
        interpret::step(&graph.recording(), &mut state, &[]);
        state["optim.lr"].item()
    };
    metrics.iter().map(|&metric| observe(metric)).collect()
}

#[test]
fn a_plateau_lowers_the_rate() {
    // Worked out with PyTorch's rules: bad epochs are counted after the best, and cooling forgets them.
    let metrics = [4.0, 3.0, 3.0, 2.99995, 3.5, 3.0, 3.0, 3.0, 2.5, 2.5, 2.5, 2.5];
    let rates = plateau_rates(|vars| ReduceOnPlateau::new(vars, 1.0).factor(0.5).patience(2), &metrics);
    assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125]);
    let cooling = |vars: &Vars| ReduceOnPlateau::new(vars, 1.0).factor(0.5).patience(1).cooldown(2);
    let rates = plateau_rates(cooling, &[3.0; 10]);
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]);
}

#[test]
fn a_plateau_of_a_metric_that_should_rise() {
    let plateau = |vars: &Vars| {
        let plateau = ReduceOnPlateau::new(vars, 1.0).maximize().absolute_threshold(0.125);
        plateau.factor(0.5).patience(0).minimum(0.25).eps(0.0)
    };
    let rates = plateau_rates(plateau, &[-1.0, 0.0, 0.125, 0.25, 0.25, 0.0, 1.0]);
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25]);
}

#[test]
fn a_small_reduction_is_not_worth_it() {
    let plateau = |vars: &Vars| ReduceOnPlateau::new(vars, 1.0).factor(0.5).patience(0).eps(0.2);
    assert_eq!(plateau_rates(plateau, &[1.0, 1.0, 1.0, 1.0, 1.0]), [1.0, 0.5, 0.25, 0.25, 0.25]);
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
    let sequence = SequentialLr::new(1.0).then(9, 0.5).then(9, 0.25);
    let mistakes: [(&str, Rate); 15] = [
        ("learning rate: is -1", (-1.0).into()),
        ("learning rate: is NaN", f64::NAN.into()),
        ("StepLr: size is 0", StepLr::new(1.0, 0, 0.5).into()),
        ("StepLr: size is 1 and gamma -2", StepLr::new(1.0, 1, -2.0).into()),
        ("Cosine: needs at least one step", Cosine::new(1.0, 0).into()),
        ("Warmup: the starting fraction is 2", Warmup::new(3, 1.0).start(2.0).into()),
        ("ExponentialLr: gamma is 0", ExponentialLr::new(1.0, 0.0).into()),
        ("MultiStepLr: gamma is -1", MultiStepLr::new(1.0, [3], -1.0).into()),
        ("LinearLr: needs at least one step", LinearLr::new(1.0, 0).into()),
        ("PolynomialLr: the power is 0", PolynomialLr::new(1.0, 9, 0.0).into()),
        ("InverseSqrt: needs at least one step", InverseSqrt::new(1.0, 0).into()),
        ("CosineRestarts: needs at least one step", CosineRestarts::new(1.0, 9).multiply(0).into()),
        ("OneCycleLr: 0 steps, of which the rate rises in a fraction of 0.3", OneCycleLr::new(1.0, 0).into()),
        ("CyclicLr: needs at least one step", CyclicLr::new(0.0, 1.0, 9).down(0).into()),
        ("SequentialLr: the milestones [9, 9] do not increase", sequence.into()),
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
