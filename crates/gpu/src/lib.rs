//! Compiles recorded graphs to a few WGSL kernels and runs them on any adapter that wgpu reaches.
//!
//! The modules stand in the order that data passes through them: [`plan`] (which kernels, in which order,
//! where in memory) → [`codegen`] (WGSL) → [`program`] (pipelines) → `launch` (commands, kept by the driver where it is
//! one of Vulkan) → [`run`] (one submission a step). [`compile`] leads through all but the last two; [`state`] holds
//! variables, [`staging`] the batches on their way to the device, [`profile`] times kernels.

pub mod adapter;
#[cfg(not(target_family = "wasm"))]
mod ahead;
mod bind;
pub mod codegen;
pub mod compile;
pub mod conformance;
mod cooperative;
pub mod device;
pub mod disk;
pub mod error;
pub mod hunt;
mod launch;
mod own_kernels;
mod parallel;
pub mod peaks;
mod pipelines;
pub mod plan;
pub mod profile;
pub mod program;
pub mod roofline;
pub mod run;
pub mod staging;
pub mod state;
mod ticket;
pub mod tune;
mod upload;
#[cfg_attr(
    not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")),
    path = "vulkan/absent.rs"
)]
mod vulkan;

pub use adapter::{AdapterInfo, AdapterKind, Subgroups};
pub use codegen::{Cooperative, Cut, Shaping, Tile, WorkgroupTile};
pub use compile::{Compiler, Precision};
pub use conformance::Conformance;
pub use cooperative::NoCooperative;
pub use device::{Counters, Gpu, Options};
pub use disk::DiskCache;
pub use disk::pipelines::{PipelinesOnDisk, Refusal};
pub use error::Error;
pub use hunt::NonFinite;
pub use peaks::Peaks;
pub use plan::Recomputed;
pub use profile::KernelTime;
pub use program::{Program, Stats};
pub use roofline::Roofline;
pub use run::Outputs;
pub use state::State;
pub use tune::{Choice, Tuned, Tuner, Tuning, TuningDatabase, TuningError};
