//! Activation functions as modules, for [`Sequential`](crate::Sequential). Elsewhere the methods of
//! [`Tensor`](wgrad_core::Tensor) read better.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

use crate::Module;
use crate::init::constant;

macro_rules! activations {
    ($($(#[$doc:meta])* $Name:ident $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $Name;

        impl Module for $Name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method()
            }
        }
    )*};
}

activations! {
    /// max(x, 0).
    Relu relu;
    /// min(max(x, 0), 6).
    Relu6 relu6;
    /// The logistic function 1 / (1 + e⁻ˣ).
    Sigmoid sigmoid;
    /// The logarithm of the logistic function.
    LogSigmoid log_sigmoid;
    /// The hyperbolic tangent.
    Tanh tanh;
    /// x − tanh(x).
    Tanhshrink tanhshrink;
    /// x · Φ(x), exactly (PyTorch's `GELU`).
    Gelu gelu;
    /// x · Φ(x) by its approximation with tanh (PyTorch's `GELU(approximate="tanh")`).
    GeluTanh gelu_tanh;
    /// x · sigmoid(x), also called swish.
    Silu silu;
    /// x · tanh(softplus(x)).
    Mish mish;
    /// x / (1 + |x|).
    Softsign softsign;
    /// The exponential unit scaled such that activations keep mean 0 and variance 1.
    Selu selu;
    /// min(max(x/6 + ½, 0), 1).
    Hardsigmoid hardsigmoid;
    /// x · hardsigmoid(x).
    Hardswish hardswish;
}

macro_rules! parametric {
    ($($(#[$doc:meta])* $Name:ident($($argument:literal)* $(= $default:literal)?) $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name(
            #[doc = concat!($($argument)*)]
            pub f64,
        );

        $(impl Default for $Name {
            fn default() -> Self {
                Self($default)
            }
        })?

        impl Module for $Name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.0)
            }
        }
    )*};
}

parametric! {
    /// x where positive, else slope · x. The default slope is PyTorch's, 0.01.
    LeakyRelu("The slope where x is negative." = 0.01) leaky_relu;
    /// x where positive, else α(eˣ − 1). The default α is PyTorch's, 1.
    Elu("The size α of the negative part." = 1.0) elu;
    /// x where positive, else α(e^(x/α) − 1). The default α is PyTorch's, 1.
    Celu("The size α of the negative part." = 1.0) celu;
    /// x where its magnitude is above λ, else 0. The default λ is PyTorch's, 0.5.
    Hardshrink("The largest magnitude λ that becomes 0." = 0.5) hardshrink;
    /// x moved by λ towards 0, at most to 0. The default λ is PyTorch's, 0.5.
    Softshrink("The distance λ." = 0.5) softshrink;
}

/// x limited to an interval, by default \[−1, 1\] (PyTorch's `Hardtanh`).
#[derive(Clone, Copy, Debug)]
pub struct Hardtanh {
    /// The lower end.
    pub min: f64,
    /// The upper end.
    pub max: f64,
}

impl Default for Hardtanh {
    fn default() -> Self {
        Self { min: -1.0, max: 1.0 }
    }
}

impl Module for Hardtanh {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.hardtanh(self.min, self.max)
    }
}

/// x where above a threshold, else a value (PyTorch's `Threshold`).
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// What x must be above.
    pub threshold: f64,
    /// What stands elsewhere.
    pub value: f64,
}

impl Module for Threshold {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.threshold(self.threshold, self.value)
    }
}

/// ln(1 + e^(βx)) / β, by default with β = 1; where βx is above the threshold, by default 20, it is x (PyTorch's
/// `Softplus`).
#[derive(Clone, Copy, Debug)]
pub struct Softplus {
    /// How sharp the bend at 0 is.
    pub beta: f64,
    /// Where βx is taken to be linear.
    pub threshold: f64,
}

impl Default for Softplus {
    fn default() -> Self {
        Self { beta: 1.0, threshold: 20.0 }
    }
}

impl Module for Softplus {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.softplus_with(self.beta, self.threshold)
    }
}

macro_rules! along_an_axis {
    ($($(#[$doc:meta])* $Name:ident $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name(
            /// The axis; −1 is the last.
            pub isize,
        );

        impl Module for $Name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.0)
            }
        }
    )*};
}

along_an_axis! {
    /// eˣ / Σeˣ along an axis.
    Softmax softmax;
    /// e⁻ˣ / Σe⁻ˣ along an axis.
    Softmin softmin;
    /// The logarithm of the softmax along an axis.
    LogSoftmax log_softmax;
    /// The first half along an axis times the sigmoid of the second.
    Glu glu;
}

/// x where positive, else slope · x, with a slope that is learned (PyTorch's `PReLU`; He et al., 2015).
///
/// Variable: `weight` \[slopes\] (0.25).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, PRelu};
/// let vars = Vars::new();
/// let one = PRelu::new(vars.sub("one"));
/// let each = PRelu::per_channel(vars.sub("each"), 16);
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(each.forward(&one.forward(&x)).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct PRelu {
    /// The slopes.
    pub weight: Var,
}

impl PRelu {
    /// One slope for all elements.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>) -> Self {
        Self::per_channel(vars, 1)
    }

    /// One slope for each channel of \[N, C, …\].
    #[track_caller]
    pub fn per_channel(vars: impl Borrow<Vars>, channels: usize) -> Self {
        Self { weight: vars.borrow().var("weight", [channels], constant(0.25)) }
    }
}

impl Module for PRelu {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.prelu(&x.graph().var(&self.weight))
    }
}
