//! Activation modules against their formulas.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use std::f64::consts::PI;

use reference::{array, assert_close, eval, noise, scrambled};
use wgrad_core::{Array, Vars};
use wgrad_nn::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid,
    LogSoftmax, Mish, Module, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softmin, Softplus,
    Softshrink, Softsign, Tanh, Tanhshrink, Threshold,
};

/// Constants that a function rounds to f32.
const ROUNDED: f64 = 1e-6;

/// A module and the function it applies to each element.
type Elementwise<'a> = (&'a dyn Module, &'a dyn Fn(f64) -> f64);

#[test]
fn activations() {
    let x = noise([40], 10);
    let x = Array { data: x.data.iter().map(|x| 8.0 * x).collect(), ..x };
    // erf by Simpson's rule on its integral.
    let erf = |x: f64| {
        let (n, f) = (2000, |t: f64| (-t * t).exp());
        let h = x / f64::from(n);
        let odd: f64 = (0..n / 2).map(|i| f(h * f64::from(2 * i + 1))).sum();
        let even: f64 = (1..n / 2).map(|i| f(h * f64::from(2 * i))).sum();
        std::f64::consts::FRAC_2_SQRT_PI * h / 3.0 * (f(0.0) + 4.0 * odd + 2.0 * even + f(x))
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let half = Elu(0.5);
    let table: [Elementwise<'_>; 24] = [
        (&Relu, &|x| x.max(0.0)),
        (&LeakyRelu(0.25), &|x| if x > 0.0 { x } else { 0.25 * x }),
        (&LeakyRelu::default(), &|x| if x > 0.0 { x } else { 0.01 * x }),
        (&Sigmoid, &sigmoid),
        (&Tanh, &f64::tanh),
        (&Gelu, &|x| x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        (&Silu, &|x| x * sigmoid(x)),
        (&Softplus::default(), &|x| x.exp().ln_1p()),
        (&Elu::default(), &|x| if x > 0.0 { x } else { x.exp_m1() }),
        (&Celu(0.5), &|x| if x > 0.0 { x } else { 0.5 * (2.0 * x).exp_m1() }),
        (&Selu, &|x| 1.050_700_987 * if x > 0.0 { x } else { 1.673_263_242 * x.exp_m1() }),
        (&GeluTanh, &|x| 0.5 * x * (1.0 + ((x + 0.044715 * x.powi(3)) * (2.0 / PI).sqrt()).tanh())),
        (&Mish, &|x| x * x.exp().ln_1p().tanh()),
        (&LogSigmoid, &|x| -(-x).exp().ln_1p()),
        (&Tanhshrink, &|x| x - x.tanh()),
        (&Softsign, &|x| x / (1.0 + x.abs())),
        (&Relu6, &|x| x.clamp(0.0, 6.0)),
        (&Hardsigmoid, &|x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (&Hardswish, &|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (&Hardtanh::default(), &|x| x.clamp(-1.0, 1.0)),
        (&Hardshrink(1.5), &|x| if x.abs() > 1.5 { x } else { 0.0 }),
        (&Softshrink(1.5), &|x| x.signum() * (x.abs() - 1.5).max(0.0)),
        (&Threshold { threshold: 1.5, value: 20.0 }, &|x| if x > 1.5 { x } else { 20.0 }),
        (&half, &|x| if x > 0.0 { x } else { 0.5 * x.exp_m1() }),
    ];
    for (module, formula) in table {
        let expected = Array { data: x.data.iter().map(|&x| formula(x)).collect(), ..x.clone() };
        assert_close(&eval(module, &x, &Default::default()), &expected, ROUNDED);
    }
}

#[test]
fn along_an_axis() {
    let (x, state) = (noise([2, 4, 3], 11), Default::default());
    let total = |i: &[usize], sign: f64| (0..4).map(|c| (sign * x.at(&[i[0], c, i[2]])).exp()).sum::<f64>();
    let softmax = array([2, 4, 3], |i| x.at(i).exp() / total(i, 1.0));
    assert_close(&eval(&Softmax(1), &x, &state), &softmax, ROUNDED);
    let softmin = array([2, 4, 3], |i| (-x.at(i)).exp() / total(i, -1.0));
    assert_close(&eval(&Softmin(1), &x, &state), &softmin, ROUNDED);
    let log = array([2, 4, 3], |i| x.at(i) - total(i, 1.0).ln());
    assert_close(&eval(&LogSoftmax(-2), &x, &state), &log, ROUNDED);
    let glu = array([2, 2, 3], |i| x.at(i) / (1.0 + (-x.at(&[i[0], i[1] + 2, i[2]])).exp()));
    assert_close(&eval(&Glu(1), &x, &state), &glu, ROUNDED);
}

#[test]
fn learned_slopes() {
    let x = noise([2, 4, 3], 12);
    for channels in [1, 4] {
        let vars = Vars::new();
        let layer = PRelu::per_channel(vars.sub("act"), channels);
        assert_eq!(reference::initial(&vars)["act.weight"].data, vec![0.25; channels]);
        let state = scrambled(&vars);
        let slope = |i: &[usize]| state["act.weight"].data[if channels == 1 { 0 } else { i[1] }];
        let expected = array([2, 4, 3], |i| if x.at(i) > 0.0 { x.at(i) } else { slope(i) * x.at(i) });
        assert_close(&eval(&layer, &x, &state), &expected, ROUNDED);
    }
}
