//! The training loop: [`Trainer`] runs it, [`Checkpoint`]s keep it, [`Report`] says what came of it, [`chart`]
//! draws it.
//!
//! Nothing here computes: the trainer compiles a training and an evaluation program, feeds them from
//! loaders that write into the programs' staging memory, and reads losses back a few steps late.

mod bar;
mod callback;
pub mod chart;
mod checkpoint;
mod error;
mod facts;
mod feed;
mod fit;
mod history;
mod interrupt;
mod length;
mod log;
mod metrics;
mod objective;
mod observer;
mod page;
mod pass;
mod plateau;
mod profile;
mod programs;
mod report;
mod resume;
mod run;
mod stopping;
mod trainer;
mod unfreezing;
mod watch;

pub use callback::{StepReport, Verdict};
pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints, Found, Progress, Settings};
pub use error::TrainError;
pub use history::{EpochReport, History, Scores};
pub use log::{LogError, LogProblem, TensorBoard};
pub use metrics::{Average, Combine, Confusion, ConfusionMatrix, Metric, Total};
pub use objective::Objective;
pub use profile::Profile;
pub use report::{Report, Timing};
pub use run::Ending;
pub use stopping::Patience;
pub use trainer::Trainer;
