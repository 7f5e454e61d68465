//! What training measured, epoch by epoch.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checkpoint::number;

/// The loss and the metrics over a pass through a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The mean loss.
    #[serde(with = "number")]
    pub loss: f64,
    /// Metrics by name, in the order of the objective.
    #[serde(with = "number::named")]
    pub metrics: Vec<(String, f64)>,
}

impl Scores {
    /// A metric, or the loss under the name `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        let metric = self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        if name == "loss" { Some(self.loss) } else { metric }
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        self.metrics.iter().try_for_each(|(name, value)| write!(f, ", {name} {value:.4}"))
    }
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Its number, from 1.
    pub epoch: usize,
    /// Over the training batches, each before its update.
    pub train: Scores,
    /// Over the whole test set, after the epoch.
    pub test: Scores,
    /// How long training took, without the evaluation.
    pub time: Duration,
    /// How long it waited for batches that were not ready.
    #[serde(default)]
    pub stalled: Duration,
    /// Training records per second.
    #[serde(with = "number")]
    pub samples_per_second: f64,
}

impl fmt::Display for EpochReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, train, test, samples_per_second, .. } = self;
        write!(f, "epoch {epoch}: train {train}; test {test}; {samples_per_second:.0} samples/s")
    }
}

/// All epochs of a training, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History(Vec<EpochReport>);

impl History {
    /// A history from its epochs.
    pub fn new(epochs: Vec<EpochReport>) -> Self {
        Self(epochs)
    }

    pub(crate) fn push(&mut self, epoch: EpochReport) {
        self.0.push(epoch);
    }

    /// Forgets the epochs behind so many.
    pub(crate) fn truncate(&mut self, epochs: usize) {
        self.0.truncate(epochs);
    }

    /// The epochs in order.
    pub fn epochs(&self) -> &[EpochReport] {
        &self.0
    }

    /// The last epoch.
    pub fn last(&self) -> Option<&EpochReport> {
        self.0.last()
    }

    /// The epoch with the lowest test loss; the earliest of equals.
    pub fn best(&self) -> Option<&EpochReport> {
        let finite = self.0.iter().filter(|epoch| !epoch.test.loss.is_nan());
        finite.min_by(|a, b| a.test.loss.total_cmp(&b.test.loss))
    }

    /// `loss` and the names of the metrics.
    pub fn names(&self) -> Vec<&str> {
        let metrics = self.0.first().into_iter().flat_map(|epoch| &epoch.train.metrics);
        std::iter::once("loss").chain(metrics.map(|(name, _)| name.as_str())).collect()
    }
}
