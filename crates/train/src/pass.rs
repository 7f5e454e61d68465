//! One pass of a program over a loader, with results read back a few steps late.

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
    /// Runs an epoch and adds up its scores. `observe` sees each step's loss when it arrives.
    pub(crate) fn run(
        &self,
        state: &mut State,
        epoch: u64,
        mut observe: impl FnMut(f64),
    ) -> Result<Totals, TrainError> {
        let mut totals = Totals { sums: vec![0.0; 1 + self.metrics.len()], records: 0.0 };
        let mut under_way = VecDeque::new();
        for (index, batch) in self.loader.epoch(epoch).enumerate() {
            let outputs = self.program.run(state, batch?)?;
            under_way.push_back((outputs, self.loader.records(index)));
            while under_way.len() > STEPS_AHEAD
                || under_way.front().is_some_and(|(first, _)| first.is_ready())
            {
                observe(totals.pop(&mut under_way)?);
            }
        }
        while !under_way.is_empty() {
            observe(totals.pop(&mut under_way)?);
        }
        Ok(totals)
    }
}

/// Sums of loss and metrics over records.
pub(crate) struct Totals {
    sums: Vec<f64>,
    records: f64,
}

impl Totals {
    /// Adds the oldest step under way, waiting for it if need be, and returns its loss.
    fn pop(&mut self, under_way: &mut VecDeque<(Outputs, usize)>) -> Result<f64, TrainError> {
        let Some((outputs, records)) = under_way.pop_front() else { return Ok(f64::NAN) };
        let values =
            (0..self.sums.len()).map(|index| outputs.scalar(index)).collect::<Result<Vec<_>, _>>()?;
        // Each value is a mean over the batch.
        self.sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value * records as f64);
        self.records += records as f64;
        Ok(values[0])
    }

    /// The sums of two passes.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
        self.records += other.records;
        self
    }

    /// The means over all records.
    pub(crate) fn scores(&self, metrics: &[String]) -> Scores {
        let mean = |sum: &f64| sum / self.records;
        let metrics = metrics.iter().cloned().zip(self.sums[1..].iter().map(mean)).collect();
        Scores { loss: mean(&self.sums[0]), metrics }
    }
}
