//! Programs with the loaders that feed them, and scores that are read back a few steps late.

use std::collections::VecDeque;
use std::sync::Arc;

use wgrad_data::Loader;
use wgrad_gpu::{Outputs, Program, State};

use crate::objective::Measures;
use crate::{ConfusionMatrix, Scores, Total, TrainError};

/// How many steps may be under way before the oldest result is waited for: enough that the device never
/// idles, few enough that an error shows soon, and that loaders, which fill the memory that steps have done with, are
/// not what waits for a busy device.
const STEPS_AHEAD: usize = 2;

/// A program, and the loader that fills its batches.
pub(crate) struct Pass {
    pub(crate) program: Program,
    pub(crate) loader: Loader,
    /// How its outputs become scores.
    pub(crate) measures: Arc<Measures>,
}

impl Pass {
    /// Runs all batches, without any order of their own, and adds up their scores.
    pub(crate) fn run(&self, state: &mut State, tally: &mut Tally) -> Result<(), TrainError> {
        for (index, batch) in self.loader.epoch(0).enumerate() {
            tally.push(self, self.program.run(state, batch?)?, index);
            tally.read(|_, _| Ok(()))?;
        }
        tally.finish(|_, _| Ok(()))
    }
}

/// Totals of loss and metrics, and the steps whose share is still to come.
pub(crate) struct Tally {
    measures: Arc<Measures>,
    /// The loss first: the sum over the records, and their number.
    pub(crate) totals: Vec<Total>,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    outputs: Outputs,
    measures: Arc<Measures>,
    /// How many records of the batch do not pad it.
    records: usize,
}

impl Tally {
    /// Totals of what is measured; those of an earlier part, where there was one.
    pub(crate) fn new(measures: &Arc<Measures>, mut totals: Vec<Total>) -> Self {
        totals.resize(1 + measures.rules.len(), Total::default());
        totals[0].values.resize(2, 0.0);
        Self { measures: measures.clone(), totals, under_way: VecDeque::new() }
    }

    /// Takes note of a step under way: a pass's batch of a number.
    pub(crate) fn push(&mut self, pass: &Pass, outputs: Outputs, index: usize) {
        let (measures, records) = (pass.measures.clone(), pass.loader.records(index));
        self.under_way.push_back(UnderWay { outputs, measures, records });
    }

    /// Adds what has arrived, and waits where too much is under way. `observe` sees each step's loss.
    pub(crate) fn read(
        &mut self,
        mut observe: impl FnMut(f64, &Outputs) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        while self.under_way.len() > STEPS_AHEAD
            || self.under_way.front().is_some_and(|first| first.outputs.is_ready())
        {
            self.add_oldest(&mut observe)?;
        }
        Ok(())
    }

    /// Waits for every step under way.
    pub(crate) fn finish(
        &mut self,
        mut observe: impl FnMut(f64, &Outputs) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        while !self.under_way.is_empty() {
            self.add_oldest(&mut observe)?;
        }
        Ok(())
    }

    fn add_oldest(
        &mut self,
        observe: &mut impl FnMut(f64, &Outputs) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let Some(UnderWay { outputs, measures, records }) = self.under_way.pop_front() else {
            return Ok(());
        };
        let (loss, metrics) = (outputs.scalar(0)?, &mut self.totals[1..]);
        for (index, (rule, total)) in measures.rules.iter().zip(metrics).enumerate() {
            rule.add(&mut total.values, &outputs.get(index + 1)?.data);
        }
        let sums = &mut self.totals[0].values;
        sums[0] += loss * records as f64;
        sums[1] += records as f64;
        observe(loss, &outputs)
    }

    /// The number of records so far.
    pub(crate) fn records(&self) -> u64 {
        self.totals[0].values[1] as u64
    }

    /// Loss and metrics over all records. The loss is the mean of the batches' losses, weighted by their records.
    pub(crate) fn scores(&self) -> Scores {
        let (sums, metrics) = (&self.totals[0].values, &self.totals[1..]);
        Scores { loss: sums[0] / sums[1], metrics: self.measures.metrics(metrics) }
    }

    /// The confusion matrix, where one is measured.
    pub(crate) fn confusion(&self) -> Option<ConfusionMatrix> {
        self.measures.confusion(&self.totals[1..])
    }
}
