//! What the benchmarks of wgrad and of its peers share: which models are trained on which values, how a
//! step is timed, and the line in which a program reports it.
//!
//! A program that measures is called as `PROGRAM steps MODEL SECONDS` and prints one [`Report`] as a line
//! of JSON. `cargo xtask bench` calls such programs in turn and compares what they print.

mod memory;
mod model;
mod report;
mod table;
mod timing;
mod values;

pub use model::{GPT, Gpt, Model};
pub use report::{Device, Report};
pub use table::{digits, table};
pub use timing::{Steps, Times};
pub use values::Values;

/// Why a measurement failed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The model and the seconds a mode that a program was called with: `steps MODEL SECONDS`. With 0 seconds
/// only the first step is measured.
pub fn arguments() -> Result<(Model, f64), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [task, model, seconds] if task == "steps" => Ok((model.parse()?, seconds.parse()?)),
        _ => Err("usage: PROGRAM steps MODEL SECONDS".into()),
    }
}
