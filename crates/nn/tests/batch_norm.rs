//! Batch norm in training and evaluation, and the residual block built on it, against plain loops.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, eval, noise, run, scrambled};
use wgrad_core::interpret::Environment;
use wgrad_core::{Array, Mode, Tensor, Vars};
use wgrad_nn::{BatchNorm1d, BatchNorm2d, Conv2dConfig, Module, ResidualBlock};

const MOMENTUM: f64 = 0.125;
const EPS: f64 = 1.0 / 1024.0;

/// The values of each channel of [N, C, …].
fn channels(x: &Array) -> Vec<Vec<f64>> {
    let (count, inner) = (x.shape()[1], x.shape()[2..].iter().product::<usize>());
    let mut values = vec![vec![]; count];
    x.data.iter().enumerate().for_each(|(i, &x)| values[i / inner % count].push(x));
    values
}

/// The mean and the sum of squared deviations.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|x| (x - mean).powi(2)).sum())
}

/// Each channel normalised by the given statistics.
fn normalize(x: &Array, mean: &[f64], var: &[f64], eps: f64, state: &Environment, prefix: &str) -> Array {
    let get = |name: &str, c: usize| state[&format!("{prefix}{name}")].data[c];
    array(x.shape(), |index| {
        let c = index[1];
        (x.at(index) - mean[c]) / (var[c] + eps).sqrt() * get("weight", c) + get("bias", c)
    })
}

#[test]
fn training_for_several_steps_then_evaluation() {
    for shape in [&[6, 3][..], &[2, 3, 5], &[2, 3, 4, 5]] {
        let vars = Vars::new();
        let layer = BatchNorm2d::new(&vars, 3).momentum(MOMENTUM).eps(EPS);
        let mut state = scrambled(&vars);
        let (mut mean, mut var) = (vec![0.0; 3], vec![1.0; 3]);
        for step in 0..4 {
            let x = noise(shape, 20 + step);
            let y = run(Mode::Train, &layer, &x, &mut state);
            let (mut batch_mean, mut batch_var) = (vec![], vec![]);
            for (c, values) in channels(&x).iter().enumerate() {
                let (m, squares) = moments(values);
                batch_mean.push(m);
                batch_var.push(squares / values.len() as f64);
                mean[c] = (1.0 - MOMENTUM) * mean[c] + MOMENTUM * m;
                var[c] = (1.0 - MOMENTUM) * var[c] + MOMENTUM * squares / (values.len() - 1) as f64;
            }
            let expected = normalize(&x, &batch_mean, &batch_var, EPS, &state, "");
            assert_close(&y, &expected, 1e-12);
            // n/(n − 1) is rounded to f32.
            assert_close(&state["running_mean"], &array([3], |c| mean[c[0]]), 1e-12);
            assert_close(&state["running_var"], &array([3], |c| var[c[0]]), 1e-7);
            assert_eq!(state["num_batches_tracked"].item(), f64::from(step + 1));
        }
        let x = noise(shape, 30);
        let before = state.clone();
        let y = run(Mode::Eval, &layer, &x, &mut state);
        assert_close(&y, &normalize(&x, &mean, &var, EPS, &state, ""), 1e-6);
        state.remove("x");
        assert!(state.iter().all(|(name, value)| before[name] == *value), "evaluation changed the state");
    }
}

#[test]
fn two_calls_in_one_step_move_the_statistics_twice() {
    let vars = Vars::new();
    let layer = BatchNorm1d::new(&vars, 2).momentum(MOMENTUM).eps(EPS);
    let (mut twice, x) = (scrambled(&vars), noise([6, 2], 31));
    let mut once = twice.clone();
    let shifted = |x: &Tensor| layer.forward(&(x + 1.0));
    let both = |x: &Tensor| layer.forward(x) + shifted(x) * 0.0;
    let first = run(Mode::Train, &both, &x, &mut twice);
    assert_close(&first, &run(Mode::Train, &layer, &x, &mut once), 1e-12);
    run(Mode::Train, &shifted, &x, &mut once);
    for name in ["running_mean", "running_var", "num_batches_tracked"] {
        assert_close(&twice[name], &once[name], 1e-12);
    }
}

#[test]
fn the_defaults_are_pytorchs() {
    let vars = Vars::new();
    let layer = BatchNorm1d::new(&vars, 1);
    let mut state = reference::initial(&vars);
    // One channel with mean 3 and variance 1 (biased), 2 (unbiased).
    let x = Array::new(wgrad_core::F32, [2, 1], vec![2.0, 4.0]);
    let y = run(Mode::Train, &layer, &x, &mut state);
    let normal = 1.0 / (1.0 + 1e-5f64).sqrt();
    assert_close(&y, &Array::new(wgrad_core::F32, [2, 1], vec![-normal, normal]), 1e-9);
    assert!((state["running_mean"].item() - 0.3).abs() < 1e-7);
    assert!((state["running_var"].item() - (0.9 + 0.1 * 2.0)).abs() < 1e-7);
}

/// The residual block as a composition of plain layers, each checked by itself in these tests.
fn residual(x: &Array, stride: usize, state: &Environment) -> Array {
    let conv = |x: &Array, name: &str, out: usize, kernel: usize, stride: usize| {
        let vars = Vars::new();
        let config = Conv2dConfig::new(x.shape()[1], out, kernel).stride(stride).padding(kernel / 2);
        eval(&config.no_bias().build(vars.sub(name)), x, state)
    };
    let norm = |x: &Array, prefix: &str| {
        let moments: Vec<_> = channels(x).iter().map(|values| moments(values)).collect();
        let count = (x.data.len() / x.shape()[1]) as f64;
        let mean: Vec<f64> = moments.iter().map(|m| m.0).collect();
        let var: Vec<f64> = moments.iter().map(|m| m.1 / count).collect();
        normalize(x, &mean, &var, 1e-5, state, prefix)
    };
    let relu = |x: Array| Array { data: x.data.iter().map(|x| x.max(0.0)).collect(), ..x };
    let out = state["conv1.weight"].shape()[0];
    let hidden = relu(norm(&conv(x, "conv1", out, 3, stride), "bn1."));
    let mut sum = norm(&conv(&hidden, "conv2", out, 3, 1), "bn2.");
    let shortcut = match state.get("downsample.0.weight") {
        Some(_) => norm(&conv(x, "downsample.0", out, 1, stride), "downsample.1."),
        None => x.clone(),
    };
    sum.data.iter_mut().zip(shortcut.data).for_each(|(sum, shortcut)| *sum += shortcut);
    relu(sum)
}

#[test]
fn residual_block() {
    for (inputs, outputs, stride, variables) in [(2, 2, 1, 6), (2, 4, 1, 9), (2, 2, 2, 9), (2, 4, 2, 9)] {
        let vars = Vars::new();
        let block = ResidualBlock::new(&vars, inputs, outputs, stride);
        assert_eq!(vars.parameters().len(), variables);
        let mut state = scrambled(&vars);
        let x = noise([2, inputs, 5, 6], 40);
        let expected = residual(&x, stride, &state);
        // eps is rounded to f32.
        assert_close(&run(Mode::Train, &block, &x, &mut state), &expected, 1e-7);
    }
}
