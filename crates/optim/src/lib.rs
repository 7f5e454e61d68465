//! Optimizers, learning-rate schedules and gradient clipping.
//!
//! Everything here records: gradients, moments and new values are nodes of the training step's graph,
//! compiled together with the loss. What an optimizer remembers between steps lives in slot variables
//! next to the parameters, so saving the variables saves the optimizer.

mod adagrad;
mod adam;
mod clip;
mod optimizer;
mod rate;
mod rmsprop;
mod schedule;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm};
pub use optimizer::Optimizer;
pub use rate::{Manual, Rate, Schedule};
pub use rmsprop::RmsProp;
pub use schedule::{Cosine, StepLr, Warmup};
pub use sgd::Sgd;
