//! Optimizers that look at a whole tensor, against plain f64 loops over the matrix.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{advance, initial};
use wgrad_core::{Array, F32, Graph, Init, Mode, Vars};
use wgrad_optim::{Adafactor, Lamb, LinearLr, Muon, Optimizer, RateAdjustment, Sgd};

const ROWS: usize = 4;
const COLUMNS: usize = 3;
const SIZE: usize = ROWS * COLUMNS;
const STEPS: usize = 20;
const RATE: f64 = 1.0 / 16.0;
const EPS: f64 = 1.0 / 1024.0;

/// Curvature and minimum of each element, and where it starts: fractions that f32 holds exactly.
fn curvature(i: usize) -> f64 {
    1.0 + (i * 5 % 7) as f64 / 8.0
}

fn minimum(i: usize) -> f64 {
    (i * 3 % 11) as f64 / 4.0 - 1.25
}

fn start(i: usize) -> f64 {
    (i * 7 % 5) as f64 / 2.0 - 0.75
}

fn gradient(w: &[f64]) -> Vec<f64> {
    w.iter().enumerate().map(|(i, w)| curvature(i) * (w - minimum(i))).collect()
}

/// The matrix, in some shape, after each of some steps on ½·Σ curvature·(w − minimum)².
fn trajectory(optimizer: &dyn Optimizer, shape: &[usize]) -> Vec<Vec<f64>> {
    long_trajectory(optimizer, shape, STEPS)
}

fn long_trajectory(optimizer: &dyn Optimizer, shape: &[usize], steps: usize) -> Vec<Vec<f64>> {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let table = |value: fn(usize) -> f64| {
        graph.constant(shape, &(0..SIZE).map(|i| value(i) as f32).collect::<Vec<_>>())
    };
    let w = graph.var(&vars.var("w", shape, Init::constant(0.0)));
    let loss = (table(curvature) * (w - table(minimum)).square()).sum(..) * 0.5;
    optimizer.minimize(&loss, &vars);
    let mut state = initial(&vars);
    state.insert("w".into(), Array::new(F32, shape, (0..SIZE).map(start).collect()));
    let mut next = || {
        advance(&graph, &mut state);
        state["w"].data.clone()
    };
    (0..steps).map(|_| next()).collect()
}

/// A loop's step, w ← step(t, w, g) with t from 1.
fn by_hand(mut step: impl FnMut(i32, &[f64], &[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let mut w: Vec<f64> = (0..SIZE).map(start).collect();
    let mut next = |t| {
        w = step(t, &w, &gradient(&w));
        w.clone()
    };
    (1..=STEPS as i32).map(&mut next).collect()
}

#[track_caller]
fn agree(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    let moved = (0..SIZE).map(|i| (found[STEPS - 1][i] - start(i)).abs()).fold(0.0, f64::max);
    assert!(moved > 0.1, "the optimizer hardly moves: {moved}");
    for (t, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= tolerance, "step {t}, element {i}: {found} is not {expected}");
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Constants that are no fractions of powers of two are rounded to f32, 6·10⁻⁸ of each update.
const ROUNDED: f64 = STEPS as f64 * RATE * 1e-6;

fn lamb_by_hand(decay: f64) -> Vec<Vec<f64>> {
    const BETAS: (f64, f64) = (0.875, 1.0 - 1.0 / 64.0);
    let (mut m, mut v) = ([0.0; SIZE], [0.0; SIZE]);
    by_hand(|t, w, g| {
        let mut u = vec![0.0; SIZE];
        for i in 0..SIZE {
            m[i] = BETAS.0 * m[i] + (1.0 - BETAS.0) * g[i];
            v[i] = BETAS.1 * v[i] + (1.0 - BETAS.1) * g[i] * g[i];
            let (m, v) = (m[i] / (1.0 - BETAS.0.powi(t)), v[i] / (1.0 - BETAS.1.powi(t)));
            u[i] = m / (v.sqrt() + EPS) + decay * w[i];
        }
        let trust = norm(w) / norm(&u);
        (0..SIZE).map(|i| w[i] - RATE * trust * u[i]).collect()
    })
}

#[test]
fn lamb() {
    let lamb = Lamb::new(RATE).betas(0.875, 1.0 - 1.0 / 64.0).eps(EPS);
    agree(&trajectory(&lamb, &[ROWS, COLUMNS]), &lamb_by_hand(0.0), ROUNDED);
    agree(&trajectory(&lamb.weight_decay(0.25), &[SIZE]), &lamb_by_hand(0.25), ROUNDED);
}

#[test]
fn the_minimum_of_a_matrix_is_found() {
    assert!(norm(&gradient(&(0..SIZE).map(start).collect::<Vec<_>>())) > 5.0);
    let rate = |rate: f64| LinearLr::new(rate, 300).start(1.0).end(0.0);
    let optimizers: [Box<dyn Optimizer>; 3] = [
        Box::new(Lamb::new(rate(0.1))),
        Box::new(Adafactor::new(rate(0.1))),
        Box::new(Muon::new(rate(0.1)).weight_decay(0.0)),
    ];
    for optimizer in optimizers {
        let slope = norm(&gradient(&long_trajectory(&*optimizer, &[ROWS, COLUMNS], 300)[299]));
        assert!(slope < 0.05, "{} ends at a slope of {slope}", optimizer.name());
    }
}

#[test]
fn lamb_moves_a_parameter_that_is_zero() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let w = graph.var(&vars.var("w", [2], Init::constant(0.0)));
    Lamb::new(RATE).eps(0.0).minimize(&w.sum(..), &vars);
    let mut state = initial(&vars);
    advance(&graph, &mut state);
    // m = v = 1 after their corrections, and the ratio of the norms is taken as 1.
    assert!(state["w"].data.iter().all(|w| (w + RATE).abs() < 1e-6 * RATE), "{:?}", state["w"]);
}

/// Adafactor on a tensor, with rows and columns or without.
fn adafactor_by_hand(factored: bool, rate: f64, decay: f64) -> Vec<Vec<f64>> {
    const EPS: (f64, f64) = (1.0 / 65_536.0, 1.0 / 64.0);
    let (mut rows, mut columns, mut variance) = ([0.0; ROWS], [0.0; COLUMNS], [0.0; SIZE]);
    by_hand(|t, w, g| {
        let share = f64::from(t).powf(-0.75);
        let mut second = [0.0; SIZE];
        if factored {
            let at = |r: usize, c: usize| g[r * COLUMNS + c] * g[r * COLUMNS + c];
            for (r, row) in rows.iter_mut().enumerate() {
                let mean = (0..COLUMNS).map(|c| at(r, c)).sum::<f64>() / COLUMNS as f64;
                *row += share * (mean - *row);
            }
            for (c, column) in columns.iter_mut().enumerate() {
                let mean = (0..ROWS).map(|r| at(r, c)).sum::<f64>() / ROWS as f64;
                *column += share * (mean - *column);
            }
            let mean = rows.iter().sum::<f64>() / ROWS as f64;
            for i in 0..SIZE {
                second[i] = rows[i / COLUMNS] * columns[i % COLUMNS] / mean.max(EPS.0);
            }
        } else {
            for i in 0..SIZE {
                variance[i] += share * (g[i] * g[i] - variance[i]);
            }
            second = variance;
        }
        let root = (SIZE as f64).sqrt();
        let u: Vec<f64> = (0..SIZE).map(|i| g[i] / second[i].max(EPS.0 * EPS.0).sqrt()).collect();
        let step = (norm(w) / root).max(EPS.1) * rate.min(1.0 / f64::from(t).sqrt());
        let excess = (norm(&u) / root / 1.25).max(1.0);
        (0..SIZE).map(|i| w[i] * (1.0 - rate * decay) - step / excess * u[i]).collect()
    })
}

#[test]
fn adafactor() {
    let adafactor =
        |rate: f64| Adafactor::new(rate).decay(-0.75).eps(1.0 / 65_536.0, 1.0 / 64.0).threshold(1.25);
    // The second rate is above 1/√t from step 8 on.
    for (rate, decay) in [(0.125, 0.0), (0.375, 0.125)] {
        let adafactor = adafactor(rate).weight_decay(decay);
        let factored = trajectory(&adafactor, &[ROWS, COLUMNS]);
        agree(&factored, &adafactor_by_hand(true, rate, decay), ROUNDED);
        let whole = trajectory(&adafactor, &[SIZE]);
        agree(&whole, &adafactor_by_hand(false, rate, decay), ROUNDED);
    }
}

#[test]
fn adafactor_keeps_means_over_rows_and_columns() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let w = graph.var(&vars.var("w", [2, 5, 7], Init::constant(1.0)));
    Adafactor::new(0.01).minimize(&w.square().sum(..), &vars);
    let shape = |name: &str| vars.get(name).expect("the slot is declared").shape().to_vec();
    assert_eq!(shape("w.adafactor.row_var"), [2, 5, 1]);
    assert_eq!(shape("w.adafactor.col_var"), [2, 1, 7]);
    assert!(vars.get("w.adafactor.variance").is_none());
}

/// A · B for row-major matrices of a×b and b×c elements.
fn product(a: &[f64], b: &[f64], shape: [usize; 3]) -> Vec<f64> {
    let [rows, inner, columns] = shape;
    let at = |i: usize| (0..inner).map(|k| a[i / columns * inner + k] * b[k * columns + i % columns]).sum();
    (0..rows * columns).map(at).collect()
}

fn transposed(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..x.len()).map(|i| x[i % rows * columns + i / rows]).collect()
}

/// The Newton–Schulz iteration, as Muon's definition has it, on a tall or wide matrix alike.
fn orthogonalized(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let length = norm(x);
    let mut x: Vec<f64> = x.iter().map(|x| x / length).collect();
    for _ in 0..5 {
        // On the side of the columns: X·(b·XᵀX + c·(XᵀX)²), the same polynomial of the singular values.
        let gram = product(&transposed(&x, rows, columns), &x, [columns, rows, columns]);
        let square = product(&gram, &gram, [columns, columns, columns]);
        let polynomial: Vec<f64> = gram.iter().zip(&square).map(|(a, b)| -4.75 * a + 2.0 * b).collect();
        let change = product(&x, &polynomial, [rows, columns, columns]);
        x = x.iter().zip(&change).map(|(x, change)| 3.4375 * x + change).collect();
    }
    x
}

fn muon_by_hand(rows: usize, factor: f64, nesterov: bool, decay: f64) -> Vec<Vec<f64>> {
    const MOMENTUM: f64 = 0.875;
    let mut buffer = vec![0.0; SIZE];
    by_hand(|_, w, g| {
        let average = |b: &[f64]| -> Vec<f64> {
            b.iter().zip(g).map(|(b, g)| MOMENTUM * b + (1.0 - MOMENTUM) * g).collect()
        };
        buffer = average(&buffer);
        let update = if nesterov { average(&buffer) } else { buffer.clone() };
        let step = orthogonalized(&update, rows, SIZE / rows);
        (0..SIZE).map(|i| w[i] * (1.0 - RATE * decay) - RATE * factor * step[i]).collect()
    })
}

#[test]
fn muon() {
    let muon = Muon::new(RATE).momentum(0.875).coefficients(3.4375, -4.75, 2.0).weight_decay(0.25);
    for (shape, factor) in [(vec![ROWS, COLUMNS], (4.0f64 / 3.0).sqrt()), (vec![COLUMNS, 2, 2], 1.0)] {
        let expected = muon_by_hand(shape[0], factor, true, 0.25);
        agree(&trajectory(&muon, &shape), &expected, ROUNDED);
    }
    let plain = muon.without_nesterov().weight_decay(0.0).adjust_rate(RateAdjustment::MatchAdamW);
    let expected = muon_by_hand(COLUMNS, 0.2 * 2.0, false, 0.0);
    agree(&trajectory(&plain, &[COLUMNS, ROWS]), &expected, ROUNDED);
    let spectral = plain.adjust_rate(RateAdjustment::Spectral);
    let expected = muon_by_hand(COLUMNS, (3.0f64 / 4.0).sqrt(), false, 0.0);
    agree(&trajectory(&spectral, &[COLUMNS, ROWS]), &expected, ROUNDED);
}

/// With the default coefficients, singular values come out between 0.68 and 1.21 (Jordan et al., 2024).
#[test]
fn muon_steps_are_nearly_orthogonal() {
    let muon = Muon::new(1.0).weight_decay(0.0).momentum(0.0);
    let after = &trajectory(&muon, &[ROWS, COLUMNS])[0];
    let step: Vec<f64> = (0..SIZE).map(|i| (start(i) - after[i]) / (4.0f64 / 3.0).sqrt()).collect();
    let gram = product(&transposed(&step, ROWS, COLUMNS), &step, [COLUMNS, ROWS, COLUMNS]);
    for r in 0..COLUMNS {
        // Gershgorin: eigenvalues lie around the diagonal by the rest of the row.
        let rest: f64 = (0..COLUMNS).filter(|c| *c != r).map(|c| gram[r * COLUMNS + c].abs()).sum();
        let middle = gram[r * COLUMNS + r];
        assert!(middle > 0.4 && middle < 1.5 && rest < 0.5, "{gram:?}");
    }
}

#[test]
fn muon_refuses_vectors_that_nobody_else_updates() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let [w, b] = [("w", vec![2, 2]), ("b", vec![2])]
        .map(|(name, shape)| graph.var(&vars.var(name, shape, Init::constant(1.0))));
    let loss = (w.square() + b.square()).sum(..);
    Muon::new(RATE).minimize(&loss, &vars);
    let error = graph.recording().check().expect_err("a vector is no matrix").to_string();
    assert!(error.contains("`b` is f32[2], but Muon is for matrices"), "{error}");

    let graph = Graph::new(Mode::Train);
    let loss = ["w", "b"].map(|name| graph.var(&vars.get(name).expect("declared")).square().sum(..));
    let muon = Muon::new(RATE).vectors(|g| g.optimizer(Sgd::new(0.5)));
    muon.minimize(&(&loss[0] + &loss[1]), &vars);
    let mut state = initial(&vars);
    advance(&graph, &mut state);
    assert_eq!(state["b"].data, [0.0, 0.0]);
}
