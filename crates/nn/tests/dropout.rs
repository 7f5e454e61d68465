//! Dropout: how much it drops, when, and that the same step drops the same.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{eval, initial, noise, run};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{Array, F32, Graph, Mode, U32, Var, Vars};
use wgrad_nn::{AlphaDropout, DropPath, Dropout, Dropout2d, Module};

const N: usize = 20_000;

fn ones() -> Array {
    Array::new(F32, [N], vec![1.0; N])
}

fn at(seed: u32, step: u32) -> Environment {
    let mut state = initial(&Vars::new());
    state.insert(Var::seed().name().into(), Array::new(U32, [2], vec![seed.into(), 0.0]));
    state.insert(Var::step().name().into(), Array::new(U32, [], vec![step.into()]));
    state
}

#[test]
fn keeps_a_fraction_and_scales_it() {
    for p in [0.25, 0.5, 0.875] {
        let y = run(Mode::Train, &Dropout::new(p), &ones(), &mut at(1, 0));
        let kept = y.data.iter().filter(|&&y| y != 0.0).count() as f64;
        let sigma = (N as f64 * p * (1.0 - p)).sqrt();
        assert!((kept - N as f64 * (1.0 - p)).abs() < 5.0 * sigma, "p = {p}: kept {kept} of {N}");
        assert!(y.data.iter().all(|&y| y == 0.0 || (y - 1.0 / (1.0 - p)).abs() < 1e-6));
    }
}

#[test]
fn the_mask_depends_on_seed_and_step_alone() {
    let mask = |seed, step| run(Mode::Train, &Dropout::new(0.5), &ones(), &mut at(seed, step));
    assert_eq!(mask(1, 3), mask(1, 3));
    let agreement = |a: &Array, b: &Array| a.data.iter().zip(&b.data).filter(|(a, b)| a == b).count() as f64;
    // Independent masks agree on half of the elements.
    for other in [mask(1, 4), mask(2, 3)] {
        let agreement = agreement(&mask(1, 3), &other);
        assert!((agreement - N as f64 / 2.0).abs() < 5.0 * (N as f64 / 4.0).sqrt(), "{agreement}");
    }
}

#[test]
fn two_layers_drop_differently() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [N], F32);
    let (first, second) = (Dropout::new(0.5).forward(&x), Dropout::new(0.5).forward(&x));
    let mut state = at(1, 0);
    state.insert("x".into(), ones());
    let values = evaluate(&graph.recording(), &state);
    assert_ne!(values[first.id().index()], values[second.id().index()]);
}

#[test]
fn the_gradient_uses_the_same_mask() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [N], F32);
    let y = Dropout::new(0.5).forward(&x);
    let gradient = y.sum(..).gradients(&[&x]).remove(0);
    let mut state = at(1, 0);
    state.insert("x".into(), ones());
    let values = evaluate(&graph.recording(), &state);
    // For x = 1 the output is the mask itself.
    assert_eq!(values[gradient.id().index()], values[y.id().index()]);
}

#[test]
fn identity_in_evaluation_and_at_zero() {
    let x = noise([100], 1);
    assert_eq!(eval(&Dropout::new(0.5), &x, &Default::default()), x);
    assert_eq!(run(Mode::Train, &Dropout::new(0.0), &x, &mut at(1, 0)), x);
    let nothing = run(Mode::Train, &Dropout::new(1.0), &x, &mut at(1, 0));
    assert!(nothing.data.iter().all(|&y| y == 0.0));
}

/// The values of each group of equal draws of [N, C, …], for draws along the first axes.
fn all_alike(y: &Array, x: &Array, drawn: usize, p: f64) -> usize {
    let size = y.shape()[drawn..].iter().product();
    let parts = y.data.chunks(size).zip(x.data.chunks(size));
    let mut kept = 0;
    for (y, x) in parts {
        let keeps = y[0] != 0.0;
        kept += usize::from(keeps);
        let scale = if keeps { 1.0 / (1.0 - p) } else { 0.0 };
        assert!(y.iter().zip(x).all(|(y, x)| (y - x * scale).abs() < 1e-6), "{y:?} from {x:?}");
    }
    kept
}

#[test]
fn channels_and_paths_go_as_a_whole() {
    let x = noise([40, 50, 2, 3], 2);
    let p = 0.25;
    let cases: [(&dyn Module, usize, usize); 2] = [(&Dropout2d::new(p), 2, 2000), (&DropPath::new(p), 1, 40)];
    for (module, drawn, count) in cases {
        let kept = all_alike(&run(Mode::Train, module, &x, &mut at(1, 0)), &x, drawn, p) as f64;
        let count = count as f64;
        assert!((kept - count * (1.0 - p)).abs() < 5.0 * (count * p * (1.0 - p)).sqrt(), "{kept} of {count}");
        assert_eq!(eval(module, &x, &Default::default()), x);
    }
}

#[test]
fn alpha_dropout_keeps_mean_and_variance() {
    let x = reference::born(&wgrad_nn::init::normal(0.0, 1.0), "x", F32, &[N].into(), 3);
    for p in [0.1, 0.5] {
        let y = run(Mode::Train, &AlphaDropout::new(p), &x, &mut at(1, 0));
        let mean = y.data.iter().sum::<f64>() / N as f64;
        let variance = y.data.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / N as f64;
        // Five standard errors; the fourth moment of the mixture is below 10.
        assert!(mean.abs() < 5.0 / (N as f64).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (9.0 / N as f64).sqrt(), "{variance}");
    }
    assert_eq!(eval(&AlphaDropout::new(0.5), &x, &Default::default()), x);
    assert!(run(Mode::Train, &AlphaDropout::new(1.0), &x, &mut at(1, 0)).data.iter().all(|&y| y == 0.0));
}
