//! What a training leaves behind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wgrad_data::DataError;
use wgrad_gpu::State;
use wgrad_nn::Summary;

use crate::{ConfusionMatrix, Ending, History, LogError, Profile, Scores, page};

/// How long the parts of a training took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Recording and compiling the programs.
    pub compile: Duration,
    /// The training steps.
    pub train: Duration,
    /// The part of training that the host spent in handing steps to the device.
    pub host: Duration,
    /// The evaluations.
    pub evaluate: Duration,
    /// The part of training in which the device had nothing to do because no batch was ready.
    pub stalled: Duration,
}

/// The result of [`Trainer::fit`](crate::Trainer::fit). Displays as a summary of a few lines.
pub struct Report {
    /// What was measured, epoch by epoch.
    pub history: History,
    /// Of the last evaluation, where the objective measures one.
    pub confusion: Option<ConfusionMatrix>,
    /// The trained parameters and everything else that training remembers.
    pub state: State,
    /// Where the time went.
    pub timing: Timing,
    /// Whether training ended before its last epoch because the test loss stopped falling.
    pub stopped_early: bool,
    /// Why training ended.
    pub ending: Ending,
    /// The epoch that the state was taken back to, if it is not that of the last.
    pub restored: Option<usize>,
    /// Updates that were not made because gradients were not finite, in the whole training: where the optimizer
    /// has a [`LossScale`](wgrad_optim::LossScale). 0 without one.
    pub skipped_updates: u64,
    /// Training records that could not be read and were passed over, where the loader does so.
    pub skipped: Vec<DataError>,
    /// Logs, and a page or a chart, that could not be written to their end.
    pub unlogged: Vec<LogError>,
    /// The checkpoint that training went on from.
    pub resumed_from: Option<PathBuf>,
    /// The model, layer by layer.
    pub summary: Option<Summary>,
    /// A closer look at the training step, where [`Trainer::profile`](crate::Trainer::profile) asked for it.
    pub profile: Option<Profile>,
    /// What was known before training, by name.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Report {
    /// Writes all of this as an HTML page that needs no network and no script: scores, curves, the table of
    /// epochs, the confusion matrix, where the time went, and the kernels of a step beside the adapter's
    /// peaks, which [`Trainer::profile`](crate::Trainer::profile) measures.
    pub fn html(&self, path: impl AsRef<Path>) -> Result<(), LogError> {
        page::write(self, path.as_ref())
    }

    /// The loss and the metrics over the whole test set, after the last epoch.
    pub fn test(&self) -> Scores {
        self.history.last().map(|epoch| epoch.test.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timing { compile, train, evaluate, stalled, .. } = self.timing;
        let ending = match self.ending {
            Ending::Finished => "",
            Ending::Patience => ", stopped early",
            Ending::Callback => ", stopped by a callback",
            Ending::Interrupted => ", interrupted",
        };
        let epochs = self.history.epochs();
        let s = if epochs.len() == 1 { "" } else { "s" };
        write!(f, "{} epoch{s}{ending}", epochs.len())?;
        writeln!(f, "{}", self.restored.map_or(String::new(), |epoch| format!(", back to epoch {epoch}")))?;
        writeln!(
            f,
            "  time   compile {:.1} s, train {:.1} s ({:.1} s waiting for data), evaluate {:.1} s",
            compile.as_secs_f64(),
            train.as_secs_f64(),
            stalled.as_secs_f64(),
            evaluate.as_secs_f64(),
        )?;
        if self.skipped_updates > 0 {
            writeln!(f, "  health {} updates skipped, gradients were not finite", self.skipped_updates)?;
        }
        if !self.skipped.is_empty() {
            let s = if self.skipped.len() == 1 { "" } else { "s" };
            writeln!(f, "  data   {} bad record{s} passed over", self.skipped.len())?;
        }
        self.unlogged.iter().try_for_each(|error| writeln!(f, "  {error}"))?;
        match self.history.last() {
            Some(last) => write!(f, "  train  {}\n  test   {}", last.train, last.test),
            None => Ok(()),
        }
    }
}
