//! Normalisation layers against their formulas, written out in plain loops. Batch norm has a file of its own.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, eval, noise, scrambled};
use wgrad_core::{Array, Vars};
use wgrad_nn::{GroupNorm, InstanceNorm2d, LayerNorm, RmsNorm};

/// f64 rounding of short sums; eps is a power of two.
const EXACT: f64 = 1e-12;

#[test]
fn layer_norm_over_the_last_axes() {
    for (shape, count) in [(&[4][..], 4), (&[3, 4], 12)] {
        let vars = Vars::new();
        let layer = LayerNorm::new(&vars, shape).eps(0.125);
        let state = scrambled(&vars);
        let x = noise([2, 3, 4], 8);
        let mut expected = x.clone();
        for part in expected.data.chunks_mut(count) {
            let mean = part.iter().sum::<f64>() / count as f64;
            let var = part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
            for (i, x) in part.iter_mut().enumerate() {
                let normal = (*x - mean) / (var + 0.125).sqrt();
                *x = normal * state["weight"].data[i] + state["bias"].data[i];
            }
        }
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

#[test]
fn layer_norm_without_bias() {
    let vars = Vars::new();
    let layer = LayerNorm::no_bias(&vars, [4]).eps(0.125);
    assert_eq!(vars.all().len(), 1);
    let mut state = scrambled(&vars);
    let x = noise([3, 4], 8);
    let scaled = eval(&layer, &x, &state);
    let shifted = Vars::new();
    let with_bias = LayerNorm::new(&shifted, [4]).eps(0.125);
    state.insert("bias".into(), array([4], |_| 0.0));
    assert_eq!(scaled, eval(&with_bias, &x, &state));
}

#[test]
fn rms_norm() {
    for (shape, count) in [(&[4][..], 4), (&[3, 4], 12)] {
        let vars = Vars::new();
        let layer = RmsNorm::new(&vars, shape).eps(0.125);
        let state = scrambled(&vars);
        let x = noise([2, 3, 4], 8);
        let mut expected = x.clone();
        for part in expected.data.chunks_mut(count) {
            let square = part.iter().map(|x| x * x).sum::<f64>() / count as f64;
            let weights = &state["weight"].data;
            part.iter_mut().zip(weights).for_each(|(x, weight)| *x *= weight / (square + 0.125).sqrt());
        }
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

/// Each group of channels of each sample of [N, C, …] normalised, without scale and shift.
fn groups(x: &Array, groups: usize, eps: f64) -> Array {
    let mut y = x.clone();
    let size = x.data.len() / x.shape()[0] / groups;
    for part in y.data.chunks_mut(size) {
        let mean = part.iter().sum::<f64>() / size as f64;
        let var = part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64;
        part.iter_mut().for_each(|x| *x = (*x - mean) / (var + eps).sqrt());
    }
    y
}

fn affine(x: &Array, weight: &Array, bias: &Array) -> Array {
    array(x.shape(), |index| x.at(index) * weight.data[index[1]] + bias.data[index[1]])
}

#[test]
fn group_norm() {
    for (shape, count) in [(&[2, 6][..], 3), (&[2, 6, 5], 1), (&[3, 6, 4, 5], 2), (&[1, 6, 2, 3], 6)] {
        let vars = Vars::new();
        let layer = GroupNorm::new(&vars, count, 6).eps(0.125);
        let state = scrambled(&vars);
        let x = noise(shape, 3);
        let expected = affine(&groups(&x, count, 0.125), &state["weight"], &state["bias"]);
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

#[test]
fn instance_norm() {
    let x = noise([2, 3, 4, 5], 4);
    let plain = groups(&x, 3, 0.125);
    assert_close(&eval(&InstanceNorm2d::new(3).eps(0.125), &x, &Default::default()), &plain, EXACT);
    let vars = Vars::new();
    let layer = InstanceNorm2d::affine(&vars, 3).eps(0.125);
    let state = scrambled(&vars);
    let expected = affine(&plain, &state["weight"], &state["bias"]);
    assert_close(&eval(&layer, &x, &state), &expected, EXACT);
}
