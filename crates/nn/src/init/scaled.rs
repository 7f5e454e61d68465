//! Initializers scaled to keep the variance of activations or gradients from layer to layer.

use wgrad_core::vars::InitContext;
use wgrad_core::{Init, Shape, Tensor};

use super::distribution::{record_normal, record_uniform};

/// Which side of a weight the variance is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// The inputs of one output: keeps the variance of activations on the way forward.
    In,
    /// The outputs of one input: keeps the variance of gradients on the way back.
    Out,
}

/// What follows a layer, which decides the gain of its initializer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// Nothing.
    Linear,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// max(x, 0) + slope · min(x, 0).
    LeakyRelu(f64),
    /// The scaled exponential unit.
    Selu,
}

impl Nonlinearity {
    /// The recommended gain, as by [`calculate_gain`].
    pub fn gain(self) -> f64 {
        calculate_gain(self)
    }
}

/// The recommended gain of a weight by what follows it, PyTorch's table: 1 for nothing and for the logistic
/// function, 5/3 for tanh, √2 for ReLU, √(2/(1 + slope²)) for leaky ReLU, 3/4 for SELU.
///
/// ```
/// use wgrad_nn::init::{Nonlinearity, calculate_gain};
/// assert_eq!(calculate_gain(Nonlinearity::Relu), 2f64.sqrt());
/// ```
pub fn calculate_gain(nonlinearity: Nonlinearity) -> f64 {
    match nonlinearity {
        Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::Relu => 2f64.sqrt(),
        Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Nonlinearity::Selu => 0.75,
    }
}

/// Normal with variance gain² · 2/(fan_in + fan_out) (Glorot and Bengio, 2010).
pub fn xavier_normal(gain: f64) -> Init {
    Init::new(move |cx| match fans(cx.shape) {
        Ok((fan_in, fan_out)) => record_normal(cx, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt()),
        Err(message) => refuse(cx, "xavier_normal", &message),
    })
}

/// Uniform with variance gain² · 2/(fan_in + fan_out) (Glorot and Bengio, 2010).
pub fn xavier_uniform(gain: f64) -> Init {
    Init::new(move |cx| match fans(cx.shape) {
        Ok((fan_in, fan_out)) => symmetric(cx, gain * (2.0 / (fan_in + fan_out)).sqrt()),
        Err(message) => refuse(cx, "xavier_uniform", &message),
    })
}

/// Normal with variance gain²/fan (He et al., 2015; PyTorch's `kaiming_normal_`).
pub fn kaiming_normal(fan: Fan, nonlinearity: Nonlinearity) -> Init {
    Init::new(move |cx| match one_fan(cx.shape, fan) {
        Ok(fan) => record_normal(cx, 0.0, nonlinearity.gain() / fan.sqrt()),
        Err(message) => refuse(cx, "kaiming_normal", &message),
    })
}

/// Uniform with variance gain²/fan (He et al., 2015; PyTorch's `kaiming_uniform_`).
pub fn kaiming_uniform(fan: Fan, nonlinearity: Nonlinearity) -> Init {
    Init::new(move |cx| match one_fan(cx.shape, fan) {
        Ok(fan) => symmetric(cx, nonlinearity.gain() / fan.sqrt()),
        Err(message) => refuse(cx, "kaiming_uniform", &message),
    })
}

/// Uniform around 0 with this standard deviation, which is its bound over √3.
fn symmetric(cx: &InitContext<'_>, std: f64) -> Tensor {
    let bound = 3f64.sqrt() * std;
    record_uniform(cx, -bound, bound)
}

/// The inputs of one output and the outputs of one input of a weight \[out, in, kernel…\].
fn fans(shape: &Shape) -> Result<(f64, f64), String> {
    if shape.rank() < 2 {
        return Err(format!("{shape} has no fan: it takes a weight [out, in, …]"));
    }
    let kernel: usize = shape[2..].iter().product();
    // A weight without elements has no values to scale, but must not divide by 0.
    let fan = |side: usize| (side * kernel).max(1) as f64;
    Ok((fan(shape[1]), fan(shape[0])))
}

fn one_fan(shape: &Shape, fan: Fan) -> Result<f64, String> {
    fans(shape).map(|(fan_in, fan_out)| if fan == Fan::In { fan_in } else { fan_out })
}

fn refuse(cx: &InitContext<'_>, initializer: &str, message: &str) -> Tensor {
    cx.graph.fail(initializer, format!("variable `{}`: {message}", cx.name))
}
