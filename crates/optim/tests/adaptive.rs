//! The optimizers after Adam against plain f64 loops, written from PyTorch's pseudo-code or the papers.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::by_hand::{ADAM, BETAS, EPS, RATE, agree, agree_exactly, by_hand};
use wgrad_optim::{Adadelta, Adam, AdamW, Adamax, Lion, NAdam, Optimizer, RAdam, Sgd};

fn adadelta_by_hand(rate: f64, decay: f64) -> Vec<[f64; 3]> {
    const RHO: f64 = 0.75;
    let (mut square, mut steps) = ([0.0; 3], [0.0; 3]);
    by_hand(|_, i, w, g| {
        let g = g + decay * w;
        square[i] = RHO * square[i] + (1.0 - RHO) * g * g;
        let delta = (steps[i] + EPS).sqrt() / (square[i] + EPS).sqrt() * g;
        steps[i] = RHO * steps[i] + (1.0 - RHO) * delta * delta;
        w - rate * delta
    })
}

#[test]
fn adadelta() {
    let adadelta = |rate: f64| Adadelta::new(rate).rho(0.75).eps(EPS);
    agree_exactly(&adadelta(1.0), &adadelta_by_hand(1.0, 0.0));
    agree_exactly(&adadelta(0.5).weight_decay(0.125), &adadelta_by_hand(0.5, 0.125));
}

fn adamax_by_hand(decay: f64) -> Vec<[f64; 3]> {
    let (mut mean, mut norm) = ([0.0; 3], [0.0f64; 3]);
    by_hand(|t, i, w, g| {
        let g = g + decay * w;
        mean[i] = BETAS.0 * mean[i] + (1.0 - BETAS.0) * g;
        norm[i] = (BETAS.1 * norm[i]).max(g.abs() + EPS);
        w - RATE / (1.0 - BETAS.0.powi(t)) * mean[i] / norm[i]
    })
}

#[test]
fn adamax() {
    let adamax = Adamax::new(RATE).betas(BETAS.0, BETAS.1).eps(EPS);
    agree(&adamax, &adamax_by_hand(0.0), ADAM);
    agree(&adamax.weight_decay(0.25), &adamax_by_hand(0.25), ADAM);
}

const MOMENTUM_DECAY: f64 = 1.0 / 128.0;

fn nadam_by_hand(penalty: f64, decoupled: f64) -> Vec<[f64; 3]> {
    let (mut m, mut v, mut product) = ([0.0; 3], [0.0; 3], [1.0; 3]);
    let momentum = |t: i32| BETAS.0 * (1.0 - 0.5 * 0.96f64.powf(f64::from(t) * MOMENTUM_DECAY));
    by_hand(|t, i, w, g| {
        let w = w - RATE * decoupled * w;
        let g = g + penalty * w;
        let (now, next) = (momentum(t), momentum(t + 1));
        product[i] *= now;
        m[i] = BETAS.0 * m[i] + (1.0 - BETAS.0) * g;
        v[i] = BETAS.1 * v[i] + (1.0 - BETAS.1) * g * g;
        let root = (v[i] / (1.0 - BETAS.1.powi(t))).sqrt() + EPS;
        let w = w - RATE * (1.0 - now) / (1.0 - product[i]) * g / root;
        w - RATE * next / (1.0 - product[i] * next) * m[i] / root
    })
}

#[test]
fn nadam() {
    let nadam = NAdam::new(RATE).betas(BETAS.0, BETAS.1).eps(EPS).momentum_decay(MOMENTUM_DECAY);
    agree(&nadam, &nadam_by_hand(0.0, 0.0), ADAM);
    agree(&nadam.clone().weight_decay(0.25), &nadam_by_hand(0.25, 0.0), ADAM);
    agree(&nadam.weight_decay(0.25).decoupled(), &nadam_by_hand(0.0, 0.25), ADAM);
}

fn radam_by_hand((first, second): (f64, f64), penalty: f64, decoupled: f64) -> Vec<[f64; 3]> {
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    let limit = 2.0 / (1.0 - second) - 1.0;
    by_hand(|t, i, w, g| {
        let w = w - RATE * decoupled * w;
        let g = g + penalty * w;
        m[i] = first * m[i] + (1.0 - first) * g;
        v[i] = second * v[i] + (1.0 - second) * g * g;
        let left = 1.0 - second.powi(t);
        let length = limit - 2.0 * f64::from(t) * second.powi(t) / left;
        let mut step = RATE * m[i] / (1.0 - first.powi(t));
        if length > 5.0 {
            let ratio = (length - 4.0) * (length - 2.0) * limit;
            step *= (ratio / ((limit - 4.0) * (limit - 2.0) * length)).sqrt();
            step *= left.sqrt() / (v[i].sqrt() + EPS);
        }
        w - step
    })
}

#[test]
fn radam() {
    // Averages over 127 steps in the limit, over 7, and over too few to be rectified ever.
    for betas in [BETAS, (0.875, 0.75), (0.5, 0.5)] {
        let radam = RAdam::new(RATE).betas(betas.0, betas.1).eps(EPS);
        agree(&radam, &radam_by_hand(betas, 0.0, 0.0), ADAM);
        agree(&radam.clone().weight_decay(0.25), &radam_by_hand(betas, 0.25, 0.0), ADAM);
        agree(&radam.weight_decay(0.25).decoupled(), &radam_by_hand(betas, 0.0, 0.25), ADAM);
    }
}

fn lion_by_hand(decay: f64) -> Vec<[f64; 3]> {
    let mut m = [0.0; 3];
    by_hand(|_, i, w, g| {
        let direction = BETAS.0 * m[i] + (1.0 - BETAS.0) * g;
        m[i] = BETAS.1 * m[i] + (1.0 - BETAS.1) * g;
        w - RATE * decay * w - RATE * direction.signum()
    })
}

#[test]
fn lion() {
    let lion = Lion::new(RATE).betas(BETAS.0, BETAS.1);
    agree_exactly(&lion, &lion_by_hand(0.0));
    agree_exactly(&lion.weight_decay(0.5), &lion_by_hand(0.5));
}

#[test]
fn maximizing_goes_up() {
    // The weight decay still pulls to zero.
    let by_hand = by_hand(|_, _, w, g| w - RATE * (-g + 0.25 * w));
    let first = training::trajectory(&Sgd::new(RATE).weight_decay(0.25).maximize(), 1)[0];
    for i in 0..3 {
        assert!((first[i] - by_hand[0][i]).abs() < 1e-12, "{first:?} is not {:?}", by_hand[0]);
    }
    // Moments see the negated gradient as well: the first step is the other way.
    for (down, up) in [
        (training::trajectory(&Adam::new(RATE), 1), training::trajectory(&Adam::new(RATE).maximize(), 1)),
        (
            training::trajectory(&AdamW::new(RATE).weight_decay(0.0), 1),
            training::trajectory(&AdamW::new(RATE).weight_decay(0.0).maximize(), 1),
        ),
    ] {
        for i in 0..3 {
            let middle = (down[0][i] + up[0][i]) / 2.0;
            assert!((middle - training::START[i]).abs() < 1e-12);
        }
    }
}
