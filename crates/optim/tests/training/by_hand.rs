//! Optimizers as plain f64 loops over the three elements of the problem.

use wgrad_optim::Optimizer;

use super::{START, gradient, trajectory};

pub(crate) const STEPS: usize = 30;
pub(crate) const RATE: f64 = 1.0 / 16.0;
pub(crate) const EPS: f64 = 1.0 / 1024.0;

/// Runs a loop's step, w ← step(t, element, w, g) with t from 1, over the elements of the problem.
pub(crate) fn by_hand(mut step: impl FnMut(i32, usize, f64, f64) -> f64) -> Vec<[f64; 3]> {
    let mut w = START;
    let mut next = |t| {
        let g = gradient(w);
        for i in 0..3 {
            w[i] = step(t, i, w[i], g[i]);
        }
        w
    };
    (1..=STEPS as i32).map(&mut next).collect()
}

pub(crate) fn agree(optimizer: &dyn Optimizer, expected: &[[f64; 3]], tolerance: f64) {
    let points = trajectory(optimizer, STEPS);
    let moved = (0..3).map(|i| (points[STEPS - 1][i] - START[i]).abs()).fold(0.0, f64::max);
    assert!(moved > 0.1, "the optimizer hardly moves: {moved}");
    for (t, (point, expected)) in points.iter().zip(expected).enumerate() {
        for i in 0..3 {
            let error = (point[i] - expected[i]).abs();
            assert!(error <= tolerance, "step {t}, element {i}: {} is not {}", point[i], expected[i]);
        }
    }
}

/// Agreement up to f64 rounding over all the steps.
pub(crate) fn agree_exactly(optimizer: &dyn Optimizer, expected: &[[f64; 3]]) {
    agree(optimizer, expected, 1e-12);
}

pub(crate) const BETAS: (f64, f64) = (0.875, 1.0 - 1.0 / 64.0);

/// Adam's logarithms of the betas are rounded to f32, 6·10⁻⁸ of each update, which is about the rate.
pub(crate) const ADAM: f64 = STEPS as f64 * RATE * 1e-7;
