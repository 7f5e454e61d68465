//! Metrics: what is measured beside the loss, computed on the device and added up exactly.

mod confusion;

pub use confusion::{Average, ConfusionMatrix};
