//! How far a training has come.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ConfusionMatrix, History, Total};

/// What a training remembers beside its variables. Together they say exactly how it goes on: the order of
/// records is a function of the seed and the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The epoch, from 0, that the next batch belongs to.
    pub epoch: u64,
    /// The number of that batch in its epoch.
    pub batch: u64,
    /// What loss and metrics have added up over the records of this epoch so far.
    pub totals: Vec<Total>,
    /// How long the training steps of this epoch have taken so far.
    pub time: Duration,
    /// How long they have waited for batches.
    pub stalled: Duration,
    /// The epochs before.
    pub history: History,
    /// Of the last evaluation, where one was measured.
    pub confusion: Option<ConfusionMatrix>,
    /// What the settings were that the order of records and the updates depend on.
    pub settings: Settings,
}

impl Progress {
    /// Goes back to where a state is that has seen so many steps, in epochs of so many batches. Earlier versions
    /// said of an epoch that was cut short that it was over.
    pub(crate) fn back_to(&mut self, step: u64, batches: u64) {
        if step >= self.epoch * batches + self.batch {
            return;
        }
        let (epoch, batch, settings) = (step / batches, step % batches, self.settings);
        let (mut history, confusion) = (std::mem::take(&mut self.history), self.confusion.take());
        history.truncate(epoch as usize);
        *self = Self { epoch, batch, settings, history, confusion, ..Self::default() };
    }
}

/// Settings of a trainer that must be the same when its training is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What parameters, dropout and the order of records are drawn from.
    pub seed: u64,
    /// Records in a batch.
    pub batch_size: u64,
    /// Batches between two updates.
    pub accumulate: u64,
    /// Records for training.
    pub train_records: u64,
    /// Records for the evaluation.
    pub test_records: u64,
}

impl Settings {
    /// The first setting that differs: its name, and both values.
    pub(crate) fn difference(&self, now: &Self) -> Option<(&'static str, u64, u64)> {
        let pairs = [
            ("seed", self.seed, now.seed),
            ("batch size", self.batch_size, now.batch_size),
            ("batches between updates", self.accumulate, now.accumulate),
            ("training records", self.train_records, now.train_records),
            ("test records", self.test_records, now.test_records),
        ];
        pairs.into_iter().find(|(_, then, now)| then != now)
    }
}
