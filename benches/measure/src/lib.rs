//! What the benchmarks of wgrad and of its peers share: which models are trained on which values, how a
//! step is timed, and the line in which a program reports it.
//!
//! A program that measures is called as `PROGRAM steps MODEL SECONDS` and prints one [`Report`] as a line
//! of JSON, or as `PROGRAM kernel KERNEL SECONDS` and prints a [`KernelReport`]. `cargo xtask bench` calls such
//! programs in turn and compares what they print.

mod kernel;
mod memory;
mod model;
mod report;
mod table;
mod timing;
mod values;

pub use kernel::{Kernel, KernelReport};
pub use model::{GPT, Gpt, Model};
pub use report::{Device, Report, find, line};
pub use table::{digits, table};
pub use timing::{Steps, Times, median};
pub use values::Values;

/// Why a measurement failed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a program is to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// The training steps of a model.
    Steps(Model),
    /// One operation.
    Kernel(Kernel),
}

/// What a program was called with: `steps MODEL SECONDS` or `kernel KERNEL SECONDS`, and the seconds of each measurement.
/// With 0 seconds only a model's first step is measured.
pub fn arguments() -> Result<(Task, f64), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["steps", model, seconds] => Ok((Task::Steps(model.parse()?), seconds.parse()?)),
        ["kernel", kernel, seconds] => Ok((Task::Kernel(kernel.parse()?), seconds.parse()?)),
        _ => Err("usage: PROGRAM steps MODEL SECONDS | kernel KERNEL SECONDS".into()),
    }
}
