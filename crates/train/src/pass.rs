//! Programs with the loaders that feed them, and scores that are read back a few steps late.

use std::collections::VecDeque;
use std::sync::Arc;

use wgrad_data::Loader;
use wgrad_gpu::{Outputs, Program, State};

use crate::metrics::Rule;
use crate::objective::Measures;
use crate::{ConfusionMatrix, Scores, Total, TrainError};

/// How many steps may be under way before the oldest result is waited for: enough that the device never
/// idles, few enough that an error shows soon.
const STEPS_AHEAD: usize = 8;

/// A program, and the loader that fills its batches.
pub(crate) struct Pass {
    pub(crate) program: Program,
    pub(crate) loader: Loader,
    /// How its outputs become scores.
    pub(crate) measures: Arc<Measures>,
    pub(crate) batch_size: usize,
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
    pub(crate) totals: Vec<Total>,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    outputs: Outputs,
    measures: Arc<Measures>,
    /// How many records of the batch are not repeats, and how many there are.
    records: usize,
    batch_size: usize,
}

impl Tally {
    /// Totals of what is measured; those of an earlier part, where there was one.
    pub(crate) fn new(measures: &Arc<Measures>, mut totals: Vec<Total>) -> Self {
        totals.resize(measures.rules.len(), Total::default());
        Self { measures: measures.clone(), totals, under_way: VecDeque::new() }
    }

    /// Takes note of a step under way: a pass's batch of a number.
    pub(crate) fn push(&mut self, pass: &Pass, outputs: Outputs, index: usize) {
        let (measures, records) = (pass.measures.clone(), pass.loader.records(index));
        self.under_way.push_back(UnderWay { outputs, measures, records, batch_size: pass.batch_size });
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
        let Some(UnderWay { outputs, measures, records, batch_size }) = self.under_way.pop_front() else {
            return Ok(());
        };
        for (index, (rule, total)) in measures.rules.iter().zip(&mut self.totals).enumerate() {
            let values = outputs.get(index)?;
            let rows = match rule {
                Rule::Mean => records,
                // A record may have several rows; what pads the batch comes last.
                Rule::Rows(_) => values.shape().first().map_or(0, |rows| rows * records / batch_size),
            };
            rule.add(total, &values, rows);
        }
        observe(outputs.scalar(0)?, &outputs)
    }

    /// The number of records so far.
    pub(crate) fn records(&self) -> u64 {
        self.totals[0].rows
    }

    /// Loss and metrics over all records.
    pub(crate) fn scores(&self) -> Scores {
        let loss = &self.totals[0];
        let sum = loss.values.first().copied().unwrap_or(f64::NAN);
        Scores { loss: sum / loss.rows as f64, metrics: self.measures.metrics(&self.totals) }
    }

    /// The confusion matrix, where one is measured.
    pub(crate) fn confusion(&self) -> Option<ConfusionMatrix> {
        self.measures.confusion(&self.totals)
    }
}
