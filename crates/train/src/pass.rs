//! Programs with the loaders that feed them, and scores that are read back a few steps late.

use std::collections::VecDeque;

use wgrad_data::Loader;
use wgrad_gpu::{Outputs, Program, State};

use crate::{Scores, TrainError};

/// How many steps may be under way before the oldest result is waited for: enough that the device never
/// idles, few enough that an error shows soon.
const STEPS_AHEAD: usize = 8;

/// A program, and the loader that fills its batches.
pub(crate) struct Pass {
    pub(crate) program: Program,
    pub(crate) loader: Loader,
    /// Names of the outputs behind the loss.
    pub(crate) metrics: Vec<String>,
}

impl Pass {
    /// Runs all batches, without any order of their own, and adds up their scores.
    pub(crate) fn run(&self, state: &mut State, tally: &mut Tally) -> Result<(), TrainError> {
        for (index, batch) in self.loader.epoch(0).enumerate() {
            tally.push(self.program.run(state, batch?)?, self.loader.records(index));
            tally.read(|_| Ok(()))?;
        }
        tally.finish(|_| Ok(()))
    }
}

/// Sums of loss and metrics over records, and the steps whose share is still to come.
pub(crate) struct Tally {
    pub(crate) sums: Vec<f64>,
    pub(crate) records: u64,
    under_way: VecDeque<(Outputs, usize)>,
}

impl Tally {
    /// Sums for a loss and so many metrics; those of an earlier part, where there was one.
    pub(crate) fn new(metrics: usize, mut sums: Vec<f64>, records: u64) -> Self {
        sums.resize(1 + metrics, 0.0);
        Self { sums, records, under_way: VecDeque::new() }
    }

    /// Takes note of a step under way.
    pub(crate) fn push(&mut self, outputs: Outputs, records: usize) {
        self.under_way.push_back((outputs, records));
    }

    /// Adds what has arrived, and waits where too much is under way. `observe` sees each step's loss.
    pub(crate) fn read(
        &mut self,
        mut observe: impl FnMut(f64) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        while self.under_way.len() > STEPS_AHEAD
            || self.under_way.front().is_some_and(|(first, _)| first.is_ready())
        {
            self.add_oldest(&mut observe)?;
        }
        Ok(())
    }

    /// Waits for every step under way.
    pub(crate) fn finish(
        &mut self,
        mut observe: impl FnMut(f64) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        while !self.under_way.is_empty() {
            self.add_oldest(&mut observe)?;
        }
        Ok(())
    }

    fn add_oldest(
        &mut self,
        observe: &mut impl FnMut(f64) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let Some((outputs, records)) = self.under_way.pop_front() else { return Ok(()) };
        let values =
            (0..self.sums.len()).map(|index| outputs.scalar(index)).collect::<Result<Vec<_>, _>>()?;
        // Each value is a mean over the batch.
        self.sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value * records as f64);
        self.records += records as u64;
        observe(values[0])
    }

    /// The means over all records.
    pub(crate) fn scores(&self, metrics: &[String]) -> Scores {
        let mean = |sum: &f64| sum / self.records as f64;
        let metrics = metrics.iter().cloned().zip(self.sums[1..].iter().map(mean)).collect();
        Scores { loss: mean(&self.sums[0]), metrics }
    }
}
