//! What a training leaves behind.

use std::fmt;
use std::time::Duration;

use wgrad_gpu::State;

use crate::{History, Scores};

/// How long the parts of a training took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Recording and compiling the programs.
    pub compile: Duration,
    /// The training steps.
    pub train: Duration,
    /// The evaluations.
    pub evaluate: Duration,
}

/// The result of [`Trainer::fit`](crate::Trainer::fit). Displays as a summary of a few lines.
pub struct Report {
    /// What was measured, epoch by epoch.
    pub history: History,
    /// The trained parameters and everything else that training remembers.
    pub state: State,
    /// Where the time went.
    pub timing: Timing,
    /// Whether training ended before its last epoch because the test loss stopped falling.
    pub stopped_early: bool,
}

impl Report {
    /// The loss and the metrics over the whole test set, after the last epoch.
    pub fn test(&self) -> Scores {
        self.history.last().map(|epoch| epoch.test.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { compile, train, evaluate } = self.timing;
        let stopped = if self.stopped_early { ", stopped early" } else { "" };
        let epochs = self.history.epochs();
        let s = if epochs.len() == 1 { "" } else { "s" };
        writeln!(f, "{} epoch{s}{stopped}", epochs.len())?;
        writeln!(
            f,
            "  time   compile {:.1} s, train {:.1} s, evaluate {:.1} s",
            compile.as_secs_f64(),
            train.as_secs_f64(),
            evaluate.as_secs_f64(),
        )?;
        match self.history.last() {
            Some(last) => write!(f, "  train  {}\n  test   {}", last.train, last.test),
            None => Ok(()),
        }
    }
}
