//! Initializers: how parameters get their first values, by PyTorch's `torch.nn.init` definitions.
//!
//! Values depend on the state's seed and on the variable's name alone, so adding a layer does not change
//! how the others start.
//!
//! ```
//! use wgrad_core::Vars;
//! use wgrad_nn::{LinearConfig, init};
//! let vars = Vars::new();
//! let layer = LinearConfig::new(784, 128).weight_init(init::orthogonal(2f64.sqrt())).build(vars.sub("fc1"));
//! ```

mod distribution;
mod orthogonal;
mod scaled;
mod structured;

pub(crate) use distribution::standard_normal;
pub use distribution::{constant, normal, ones, trunc_normal, uniform, zeros};
pub use orthogonal::orthogonal;
pub use scaled::{
    Fan, Nonlinearity, calculate_gain, kaiming_normal, kaiming_normal as he_normal, kaiming_uniform,
    kaiming_uniform as he_uniform, xavier_normal, xavier_uniform,
};
pub use structured::{dirac, eye, sparse};
