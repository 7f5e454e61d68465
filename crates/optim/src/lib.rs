//! Optimizers, learning-rate schedules, clipping, loss scaling and averages.
//!
//! Everything here records: gradients, moments and new values are nodes of the training step's graph,
//! compiled together with the loss. What an optimizer remembers between steps lives in slot variables
//! next to the parameters, so saving the variables saves the optimizer.

mod accumulate;
mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod averaging;
mod clip;
mod lamb;
mod lion;
mod loss_scale;
mod muon;
mod nadam;
mod optimizer;
mod radam;
mod rate;
mod rmsprop;
mod schedule;
mod settings;
mod sgd;
mod update;

pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use averaging::Averaging;
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm};
pub use lamb::Lamb;
pub use lion::Lion;
pub use loss_scale::LossScale;
pub use muon::{Muon, RateAdjustment};
pub use nadam::NAdam;
pub use optimizer::Optimizer;
pub use radam::RAdam;
pub use rate::{Manual, Rate, Schedule};
pub use rmsprop::RmsProp;
pub use schedule::{
    ChainedLr, ConstantLr, Cosine, CosineRestarts, CyclicLr, ExponentialLr, InverseSqrt, LinearLr,
    MultiStepLr, OneCycleLr, PolynomialLr, ReduceOnPlateau, SequentialLr, StepLr, Warmup,
};
pub use settings::{Group, Settings};
pub use sgd::Sgd;
pub use update::{Parameter, first_update};
