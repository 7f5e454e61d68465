//! The training loop: [`Trainer`] runs it, [`Report`] says what came of it, [`chart`] draws it.
//!
//! Nothing here computes: the trainer compiles a training and an evaluation program, feeds them from
//! loaders that write into the programs' staging memory, and reads losses back a few steps late.

pub mod chart;
mod error;
mod history;
mod objective;
mod pass;
mod progress;
mod report;
mod stopping;
mod trainer;

pub use error::TrainError;
pub use history::{EpochReport, History, Scores};
pub use objective::Objective;
pub use report::{Report, Timing};
pub use stopping::Patience;
pub use trainer::Trainer;
