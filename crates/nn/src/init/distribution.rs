//! Constants and the plain distributions.

use std::f64::consts::{PI, SQRT_2};

use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::vars::InitContext;
use wgrad_core::{F32, Graph, Init, Tensor};

/// Every element the same.
pub fn constant(value: f64) -> Init {
    Init::constant(value)
}

/// Every element 0.
pub fn zeros() -> Init {
    constant(0.0)
}

/// Every element 1.
pub fn ones() -> Init {
    constant(1.0)
}

/// Independent numbers, uniform in [low, high).
pub fn uniform(low: f64, high: f64) -> Init {
    Init::new(move |cx| record_uniform(cx, low, high))
}

/// Independent normal numbers.
pub fn normal(mean: f64, std: f64) -> Init {
    Init::new(move |cx| record_normal(cx, mean, std))
}

/// Independent normal numbers, restricted to [low, high]: not cut off, but distributed as a normal
/// variable known to lie there. PyTorch's defaults are mean 0, std 1, low −2, high 2.
pub fn trunc_normal(mean: f64, std: f64, low: f64, high: f64) -> Init {
    Init::new(move |cx| {
        let graph = cx.graph;
        if std <= 0.0 || std.is_nan() || low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
            let message = format!("of `{}` needs std > 0 and low < high, got {std}, {low}, {high}", cx.name);
            return graph.fail("trunc_normal", message);
        }
        // Inverse transform sampling: erf maps the interval to the interval of a uniform number.
        let scaled = |bound: f64| graph.scalar((bound - mean) / (std * SQRT_2), F32).erf();
        let (from, to) = (scaled(low), scaled(high));
        let sample = cx.random_bits(0).bits_to_uniform() * (to - &from) + from;
        let normal = erf_inv(&sample) * (std * SQRT_2) + mean;
        normal.maximum(low).minimum(high).cast(cx.dtype)
    })
}

#[track_caller]
pub(super) fn record_uniform(cx: &InitContext<'_>, low: f64, high: f64) -> Tensor {
    (cx.random_bits(0).bits_to_uniform() * (high - low) + low).cast(cx.dtype)
}

#[track_caller]
pub(super) fn record_normal(cx: &InitContext<'_>, mean: f64, std: f64) -> Tensor {
    (standard_normal(&cx.random_bits(0), &cx.random_bits(1)) * std + mean).cast(cx.dtype)
}

/// Box and Muller (1958): √(−2·ln u)·cos θ is normal for u uniform in (0, 1] and θ in a full circle.
#[track_caller]
pub(crate) fn standard_normal(first: &Tensor, second: &Tensor) -> Tensor {
    let (first, second) = (first.bits_to_uniform(), second.bits_to_uniform());
    // A device's logarithm near 1 may come out on the wrong side of 0, and its cosine is best in [−π, π).
    let radius = ((1.0 - first).log() * -2.0).maximum(0.0).sqrt();
    let angle = (second - 0.5) * (2.0 * PI);
    radius * angle.cos()
}

/// What an initializer records, evaluated here: for structures that a device is bad at.
pub(super) fn evaluated(cx: &InitContext<'_>, record: impl Fn(&InitContext<'_>) -> Tensor) -> Vec<f64> {
    let scratch = Graph::new(cx.graph.mode());
    let value = record(&InitContext { graph: &scratch, ..*cx });
    evaluate(&scratch.recording(), &Environment::new()).swap_remove(value.id().index()).data
}

/// The inverse of the error function in single precision: Giles, "Approximating the erfinv function",
/// GPU Computing Gems, 2011. One polynomial in w = −ln(1 − x²) for the centre, one in √w for the tails.
fn erf_inv(x: &Tensor) -> Tensor {
    const CENTRE: [f64; 9] = [
        2.81022636e-08,
        3.43273939e-07,
        -3.5233877e-06,
        -4.39150654e-06,
        0.00021858087,
        -0.00125372503,
        -0.00417768164,
        0.246640727,
        1.50140941,
    ];
    const TAIL: [f64; 9] = [
        -0.000200214257,
        0.000100950558,
        0.00134934322,
        -0.00367342844,
        0.00573950773,
        -0.0076224613,
        0.00943887047,
        1.00167406,
        2.83297682,
    ];
    let horner = |coefficients: &[f64], w: &Tensor| {
        let leading = w.full_like(coefficients[0]);
        coefficients[1..].iter().fold(leading, |sum, &coefficient| sum * w + coefficient)
    };
    // At x = ±1, where erf has rounded, the smallest distance f32 knows stands in for 0.
    let w = -((1.0 - x) * (x + 1.0)).maximum(2f64.powi(-25)).log();
    let centre = horner(&CENTRE, &(&w - 2.5));
    let tail = horner(&TAIL, &(w.sqrt() - 3.0));
    w.lt(5.0).select(&centre, &tail) * x
}

#[cfg(test)]
mod tests {
    use wgrad_core::interpret::{Environment, evaluate};
    use wgrad_core::{Graph, Mode};

    use super::erf_inv;

    #[test]
    fn erf_inv_inverts_erf() {
        let graph = Graph::new(Mode::Eval);
        let samples: Vec<f32> = (-999..1000).map(|i| i as f32 / 1000.0).collect();
        let x = graph.constant([samples.len()], &samples);
        let error = (erf_inv(&x).erf() - x).abs();
        let error = evaluate(&graph.recording(), &Environment::new()).swap_remove(error.id().index());
        let largest = error.data.into_iter().fold(0.0, f64::max);
        // The approximation is made for single precision.
        assert!(largest < 3e-7, "{largest}");
    }
}
