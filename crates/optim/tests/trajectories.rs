//! Every optimizer against a plain f64 loop written from the pseudo-code of PyTorch's documentation.
//!
//! The settings are fractions of powers of two, which f32 holds exactly: the recorded step, interpreted
//! in f64, must then agree with the loop to f64's own rounding.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::by_hand::{ADAM, BETAS, EPS, RATE, agree, agree_exactly, by_hand};
use wgrad_core::interpret::Environment;
use wgrad_core::{F32, Graph, Init, Mode, Vars};
use wgrad_optim::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};

fn sgd_by_hand(momentum: f64, dampening: f64, nesterov: bool, decay: f64) -> Vec<[f64; 3]> {
    let mut buffer = [0.0; 3];
    by_hand(|t, i, w, g| {
        let mut g = g + decay * w;
        if momentum != 0.0 {
            buffer[i] = if t > 1 { momentum * buffer[i] + (1.0 - dampening) * g } else { g };
            g = if nesterov { g + momentum * buffer[i] } else { buffer[i] };
        }
        w - RATE * g
    })
}

#[test]
fn sgd() {
    agree_exactly(&Sgd::new(RATE), &sgd_by_hand(0.0, 0.0, false, 0.0));
    agree_exactly(&Sgd::new(RATE).weight_decay(0.25), &sgd_by_hand(0.0, 0.0, false, 0.25));
    agree_exactly(&Sgd::new(RATE).momentum(0.75), &sgd_by_hand(0.75, 0.0, false, 0.0));
    let dampened = Sgd::new(RATE).momentum(0.75).dampening(0.5).weight_decay(0.125);
    agree_exactly(&dampened, &sgd_by_hand(0.75, 0.5, false, 0.125));
    let nesterov = Sgd::new(RATE).momentum(0.75).nesterov().weight_decay(0.125);
    agree_exactly(&nesterov, &sgd_by_hand(0.75, 0.0, true, 0.125));
}

#[test]
fn sgd_without_dampening_is_not_sgd_with_it() {
    // Guards the tests above against a dampening that is ignored on both sides.
    assert_ne!(sgd_by_hand(0.75, 0.5, false, 0.0), sgd_by_hand(0.75, 0.0, false, 0.0));
}

#[test]
fn momentum_with_one_beta() {
    // v ← √β·v + √(1 − β)·g with v₀ = g₀, with β = 9/16.
    let (root_beta, root_rest) = (0.75f64, (1.0 - 0.75f64 * 0.75).sqrt());
    let mut v = [0.0; 3];
    let expected = by_hand(|t, i, w, g| {
        v[i] = if t > 1 { root_beta * v[i] + root_rest * g } else { g };
        w - RATE * v[i]
    });
    // √(1 − β) is rounded to f32 in the recorded step.
    agree(&Sgd::new(RATE).momentum(root_beta).dampening(1.0 - root_rest), &expected, 1e-6);
}

fn rmsprop_by_hand(momentum: f64, centered: bool, decay: f64) -> Vec<[f64; 3]> {
    let alpha = 0.875;
    let (mut v, mut average, mut buffer) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    by_hand(|_, i, w, g| {
        let g = g + decay * w;
        v[i] = alpha * v[i] + (1.0 - alpha) * g * g;
        let mut spread: f64 = v[i];
        if centered {
            average[i] = alpha * average[i] + (1.0 - alpha) * g;
            spread -= average[i] * average[i];
        }
        let g = g / (spread.sqrt() + EPS);
        buffer[i] = momentum * buffer[i] + g;
        w - RATE * if momentum > 0.0 { buffer[i] } else { g }
    })
}

#[test]
fn rmsprop() {
    let rmsprop = RmsProp::new(RATE).alpha(0.875).eps(EPS);
    agree_exactly(&rmsprop, &rmsprop_by_hand(0.0, false, 0.0));
    agree_exactly(&rmsprop.clone().weight_decay(0.25), &rmsprop_by_hand(0.0, false, 0.25));
    agree_exactly(&rmsprop.clone().momentum(0.5), &rmsprop_by_hand(0.5, false, 0.0));
    agree_exactly(&rmsprop.clone().centered(), &rmsprop_by_hand(0.0, true, 0.0));
    let all = rmsprop.momentum(0.5).centered().weight_decay(0.125);
    agree_exactly(&all, &rmsprop_by_hand(0.5, true, 0.125));
}

fn adagrad_by_hand(rate_decay: f64, initial: f64, decay: f64) -> Vec<[f64; 3]> {
    let mut sum = [initial; 3];
    by_hand(|t, i, w, g| {
        let rate = RATE / (1.0 + f64::from(t - 1) * rate_decay);
        let g = g + decay * w;
        sum[i] += g * g;
        w - rate * g / (sum[i].sqrt() + EPS)
    })
}

#[test]
fn adagrad() {
    let adagrad = Adagrad::new(RATE).eps(EPS);
    agree_exactly(&adagrad, &adagrad_by_hand(0.0, 0.0, 0.0));
    agree_exactly(&adagrad.clone().rate_decay(0.125), &adagrad_by_hand(0.125, 0.0, 0.0));
    let all = adagrad.rate_decay(0.125).initial_accumulator(0.5).weight_decay(0.25);
    agree_exactly(&all, &adagrad_by_hand(0.125, 0.5, 0.25));
}

fn adam_by_hand(penalty: f64, decoupled: f64, amsgrad: bool) -> Vec<[f64; 3]> {
    let (mut m, mut v, mut largest) = ([0.0; 3], [0.0; 3], [0.0f64; 3]);
    by_hand(|t, i, w, g| {
        let w = w - RATE * decoupled * w;
        let g = g + penalty * w;
        m[i] = BETAS.0 * m[i] + (1.0 - BETAS.0) * g;
        v[i] = BETAS.1 * v[i] + (1.0 - BETAS.1) * g * g;
        let m_hat = m[i] / (1.0 - BETAS.0.powi(t));
        largest[i] = largest[i].max(v[i]);
        let v_hat = if amsgrad { largest[i] } else { v[i] } / (1.0 - BETAS.1.powi(t));
        w - RATE * m_hat / (v_hat.sqrt() + EPS)
    })
}

#[test]
fn adam() {
    let adam = Adam::new(RATE).betas(BETAS.0, BETAS.1).eps(EPS);
    agree(&adam, &adam_by_hand(0.0, 0.0, false), ADAM);
    agree(&adam.clone().weight_decay(0.25), &adam_by_hand(0.25, 0.0, false), ADAM);
    agree(&adam.amsgrad().weight_decay(0.25), &adam_by_hand(0.25, 0.0, true), ADAM);
}

#[test]
fn adamw() {
    let adamw = AdamW::new(RATE).betas(BETAS.0, BETAS.1).eps(EPS).weight_decay(0.5);
    agree(&adamw, &adam_by_hand(0.0, 0.5, false), ADAM);
    agree(&adamw.amsgrad(), &adam_by_hand(0.0, 0.5, true), ADAM);
}

#[test]
fn adam_without_memory_is_sign_descent() {
    let expected = by_hand(|_, _, w, g| w - RATE * g / (g.abs() + EPS));
    agree_exactly(&Adam::new(RATE).betas(0.0, 0.0).eps(EPS), &expected);
}

/// ½·Σ aᵢ·wᵢ² has the solution wᵢ(t) = (1 − η·aᵢ)ᵗ·wᵢ(0) under gradient descent.
#[test]
fn sgd_on_a_quadratic_has_a_closed_form() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let w = graph.var(&vars.var("w", [3], Init::constant(2.0)));
    let a = graph.constant([3], &[1.0f32, 2.0, 4.0]);
    Sgd::new(0.125).minimize(&((a * w.square()).sum(..) * 0.5), &vars);
    let mut state: Environment = training::initial(&vars);
    for t in 1..=25 {
        training::advance(&graph, &mut state);
        assert_eq!(state["w"].spec.dtype, F32);
        for (w, a) in state["w"].data.iter().zip([1.0, 2.0, 4.0]) {
            assert!((w - 2.0 * (1.0f64 - 0.125 * a).powi(t)).abs() < 1e-13);
        }
    }
}
