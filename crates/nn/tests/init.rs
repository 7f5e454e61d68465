//! Initializers: their moments within five standard errors, their bounds, and orthogonality.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::born;
use wgrad_core::vars::InitContext;
use wgrad_core::{Array, F32, Graph, Init, Mode, Vars};
use wgrad_nn::init::{self, Fan, Nonlinearity};
use wgrad_nn::{Conv2dConfig, Linear};

fn values(init: &Init, shape: &[usize]) -> Array {
    born(init, "layer.weight", F32, &shape.into(), 42)
}

/// Mean and variance against the distribution's, whose fourth central moment is kurtosis · variance².
fn assert_moments(array: &Array, mean: f64, variance: f64, kurtosis: f64) {
    let n = array.data.len() as f64;
    let sample_mean = array.data.iter().sum::<f64>() / n;
    let sample_variance = array.data.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let error = (variance / n).sqrt();
    assert!((sample_mean - mean).abs() < 5.0 * error, "mean {sample_mean} is not {mean}");
    let error = variance * ((kurtosis - 1.0) / n).sqrt();
    assert!((sample_variance - variance).abs() < 5.0 * error, "variance {sample_variance} is not {variance}");
}

const UNIFORM: f64 = 1.8;
const NORMAL: f64 = 3.0;

/// [out, in, kernel, kernel] with fan_in 1080 and fan_out 1440; enough samples to see 2 % in a variance.
const SHAPE: [usize; 4] = [160, 120, 3, 3];

#[test]
fn constants() {
    assert_eq!(values(&init::zeros(), &[3]).data, [0.0; 3]);
    assert_eq!(values(&init::ones(), &[3]).data, [1.0; 3]);
    assert_eq!(values(&init::constant(0.5), &[3]).data, [0.5; 3]);
}

#[test]
fn uniform() {
    let x = values(&init::uniform(-1.0, 3.0), &SHAPE);
    assert!(x.data.iter().all(|x| (-1.0..3.0).contains(x)));
    assert_moments(&x, 1.0, 16.0 / 12.0, UNIFORM);
}

#[test]
fn normal() {
    let x = values(&init::normal(0.5, 2.0), &SHAPE);
    assert_moments(&x, 0.5, 4.0, NORMAL);
    // A normal variable is within one standard deviation with probability 0.6827, within two 0.9545.
    let n = x.data.len() as f64;
    for (distance, probability) in [(1.0, 0.682_689), (2.0, 0.954_500)] {
        let inside = x.data.iter().filter(|x| (*x - 0.5).abs() < 2.0 * distance).count() as f64;
        let sigma = (n * probability * (1.0 - probability)).sqrt();
        assert!((inside - n * probability).abs() < 5.0 * sigma, "{inside} of {n} within {distance} σ");
    }
}

#[test]
fn truncated_normal() {
    // Moments of the standard normal on [−2, 2]: with φ(2) = 0.0539910 and 2Φ(2) − 1 = 0.9544997, the
    // variance is 1 − 4φ(2)/0.9544997.
    let variance = 1.0 - 4.0 * 0.053_990_97 / 0.954_499_74;
    let x = values(&init::trunc_normal(0.0, 1.0, -2.0, 2.0), &SHAPE);
    assert!(x.data.iter().all(|x| (-2.0..=2.0).contains(x)));
    assert_moments(&x, 0.0, variance, 2.4);
    // A half-normal distribution has mean √(2/π) and variance 1 − 2/π.
    let half = values(&init::trunc_normal(1.0, 3.0, 1.0, 100.0), &SHAPE);
    assert!(half.data.iter().all(|&x| x >= 1.0));
    let pi = std::f64::consts::PI;
    assert_moments(&half, 1.0 + 3.0 * (2.0 / pi).sqrt(), 9.0 * (1.0 - 2.0 / pi), 3.87);
}

#[test]
fn xavier() {
    let variance = 4.0 * 2.0 / (1080.0 + 1440.0);
    assert_moments(&values(&init::xavier_normal(2.0), &SHAPE), 0.0, variance, NORMAL);
    let x = values(&init::xavier_uniform(2.0), &SHAPE);
    assert_moments(&x, 0.0, variance, UNIFORM);
    let bound = (3.0 * variance).sqrt();
    assert!(x.data.iter().all(|x| x.abs() <= bound * (1.0 + 1e-6)));
}

#[test]
fn he() {
    for (fan, side) in [(Fan::In, 1080.0), (Fan::Out, 1440.0)] {
        let x = values(&init::kaiming_normal(fan, Nonlinearity::Relu), &SHAPE);
        assert_moments(&x, 0.0, 2.0 / side, NORMAL);
        let x = values(&init::kaiming_uniform(fan, Nonlinearity::LeakyRelu(0.5)), &SHAPE);
        assert_moments(&x, 0.0, 2.0 / 1.25 / side, UNIFORM);
    }
}

#[test]
fn gains_are_pytorchs() {
    let table = [
        (Nonlinearity::Linear, 1.0),
        (Nonlinearity::Sigmoid, 1.0),
        (Nonlinearity::Tanh, 1.666_666_666_666_666_7),
        (Nonlinearity::Relu, std::f64::consts::SQRT_2),
        (Nonlinearity::LeakyRelu(0.2), 1.386_750_490_563_073),
        (Nonlinearity::Selu, 0.75),
    ];
    for (nonlinearity, gain) in table {
        assert!((nonlinearity.gain() - gain).abs() < 1e-12, "{nonlinearity:?}");
    }
}

#[test]
fn orthogonal() {
    for shape in [&[5, 5][..], &[7, 3], &[3, 7], &[4, 2, 3, 3], &[20, 2, 3, 3], &[1, 6]] {
        let x = values(&init::orthogonal(1.5), shape);
        let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
        let at = |row: usize, column: usize| x.data[row * columns + column];
        // The Gram matrix of the fewer of rows and columns is 1.5² times the identity.
        let wide = rows <= columns;
        let dot = |i: usize, j: usize| -> f64 {
            if wide {
                (0..columns).map(|k| at(i, k) * at(j, k)).sum()
            } else {
                (0..rows).map(|k| at(k, i) * at(k, j)).sum()
            }
        };
        for (i, j) in (0..rows.min(columns)).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let expected = if i == j { 2.25 } else { 0.0 };
            assert!((dot(i, j) - expected).abs() < 1e-12, "{shape:?}: ⟨{i}, {j}⟩ is {}", dot(i, j));
        }
    }
}

#[test]
fn orthogonal_matrices_differ() {
    let make = |name| born(&init::orthogonal(1.0), name, F32, &[4, 4].into(), 1);
    assert_ne!(make("a"), make("b"));
    assert_eq!(make("a"), make("a"));
}

#[test]
fn values_depend_on_seed_and_name_alone() {
    let make = |name, seed| born(&init::normal(0.0, 1.0), name, F32, &[10].into(), seed);
    assert_eq!(make("fc1.weight", 1), make("fc1.weight", 1));
    assert_ne!(make("fc1.weight", 1), make("fc1.weight", 2));
    assert_ne!(make("fc1.weight", 1), make("fc2.weight", 1));
}

#[test]
fn layers_start_as_in_pytorch() {
    let vars = Vars::new();
    Linear::new(vars.sub("fc"), 400, 100);
    Conv2dConfig::new(16, 64, 5).groups(2).build(vars.sub("conv"));
    let state = reference::initial(&vars);
    // U(−1/√fan_in, 1/√fan_in) has variance 1/(3·fan_in).
    for (layer, fan_in) in [("fc", 400.0), ("conv", 8.0 * 25.0)] {
        for part in ["weight", "bias"] {
            let x = &state[&format!("{layer}.{part}")];
            assert_moments(x, 0.0, 1.0 / (3.0 * fan_in), UNIFORM);
            let bound = 1.0 / f64::sqrt(fan_in);
            let largest = x.data.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
            assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.9 * bound);
        }
    }
}

#[test]
fn vectors_have_no_fan() {
    let all = [
        init::xavier_normal(1.0),
        init::xavier_uniform(1.0),
        init::kaiming_normal(Fan::In, Nonlinearity::Relu),
        init::kaiming_uniform(Fan::Out, Nonlinearity::Relu),
        init::orthogonal(1.0),
        init::eye(),
        init::dirac(1),
        init::sparse(0.5, 1.0),
        init::trunc_normal(0.0, 1.0, 2.0, -2.0),
        init::trunc_normal(0.0, -1.0, -2.0, 2.0),
    ];
    for init in all {
        let graph = Graph::new(Mode::Eval);
        let shape = [10].into();
        let cx = InitContext { graph: &graph, shape: &shape, dtype: F32, name: "fc.bias", seed: 0 };
        assert!(!init.record(&cx).is_valid());
        let error = graph.recording().check().expect_err("a vector has no fan").to_string();
        assert!(error.contains("`fc.bias`"), "{error}");
    }
}

#[test]
fn identities() {
    let x = values(&init::eye(), &[3, 5]);
    assert_eq!(x, reference::array([3, 5], |index| f64::from(index[0] == index[1])));
    // Two groups of three outputs from two inputs: the first two outputs of each group hand a channel on.
    let x = values(&init::dirac(2), &[6, 2, 3, 4]);
    let one = |index: &[usize]| index[0] % 3 == index[1] && index[2..] == [1, 2];
    assert_eq!(x, reference::array([6, 2, 3, 4], |index| f64::from(one(index))));
    assert_eq!(x.data.iter().sum::<f64>(), 4.0);
}

#[test]
fn sparse_columns() {
    let (rows, columns) = (200, 300);
    let x = values(&init::sparse(0.101, 0.5), &[rows, columns]);
    let mut kept = vec![];
    for column in 0..columns {
        let values: Vec<f64> = (0..rows).map(|row| x.at(&[row, column])).filter(|&x| x != 0.0).collect();
        // 0.101 · 200 zeros, rounded up.
        assert_eq!(values.len(), rows - 21);
        kept.extend(values);
    }
    assert_moments(&Array::new(F32, [kept.len()], kept), 0.0, 0.25, NORMAL);
    // Every row is as likely to be picked: 300 columns with 21 of 200 rows each.
    let share = 21.0 / 200.0;
    for row in 0..rows {
        let zeros = (0..columns).filter(|&column| x.at(&[row, column]) == 0.0).count() as f64;
        let sigma = (columns as f64 * share * (1.0 - share)).sqrt();
        assert!((zeros - columns as f64 * share).abs() < 5.0 * sigma, "row {row} has {zeros} zeros");
    }
}
