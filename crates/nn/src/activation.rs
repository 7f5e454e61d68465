//! Activation functions as modules, for [`Sequential`](crate::Sequential). Elsewhere the methods of
//! [`Tensor`](wgrad_core::Tensor) read better.

use wgrad_core::Tensor;

use crate::Module;

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
    /// The logistic function 1 / (1 + e⁻ˣ).
    Sigmoid sigmoid;
    /// The hyperbolic tangent.
    Tanh tanh;
    /// x · Φ(x), exactly (PyTorch's `GELU`).
    Gelu gelu;
    /// x · sigmoid(x), also called swish.
    Silu silu;
    /// ln(1 + eˣ).
    Softplus softplus;
}

/// x where positive, else slope · x. The default slope is PyTorch's, 0.01.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu(
    /// The slope where x is negative.
    pub f64,
);

impl Default for LeakyRelu {
    fn default() -> Self {
        Self(0.01)
    }
}

impl Module for LeakyRelu {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.leaky_relu(self.0)
    }
}

/// x where positive, else α(eˣ − 1). The default α is PyTorch's, 1.
#[derive(Clone, Copy, Debug)]
pub struct Elu(
    /// The size α of the negative part.
    pub f64,
);

impl Default for Elu {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Module for Elu {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.elu(self.0)
    }
}
