//! Schedules that follow what the evaluations measure.

use wgrad_core::batch::Batch;
use wgrad_core::{F32, Mode};
use wgrad_gpu::{Error, Gpu, Program, State};
use wgrad_optim::ReduceOnPlateau;

use crate::{Scores, TrainError};

/// A schedule, the score that it watches, and the program that tells it.
pub(crate) struct Plateau {
    metric: String,
    program: Program,
}

impl Plateau {
    /// Errors: a score that is not measured, a schedule that belongs to other variables than the state's.
    pub(crate) fn new(
        gpu: &Gpu,
        metric: &str,
        schedule: &ReduceOnPlateau,
        measured: &[String],
        state: &State,
    ) -> Result<Self, TrainError> {
        if metric != "loss" && !measured.iter().any(|name| name == metric) {
            let known =
                std::iter::once("`loss`".into()).chain(measured.iter().map(|name| format!("`{name}`")));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(TrainError::NotMeasured { metric: metric.into(), known });
        }
        let mut variables = vec![];
        let program = gpu.compile(Mode::Eval, |graph| {
            schedule.observe(&graph.input("metric", [], F32));
            variables = graph.recording().variables;
            []
        })?;
        let known = state.names();
        if let Some(foreign) = variables.iter().find(|var| !known.iter().any(|name| name == var.name())) {
            let message = "the schedule was made for other variables than those that are trained".into();
            return Err(Error::Variable { name: foreign.name().into(), message }.into());
        }
        Ok(Self { metric: metric.into(), program })
    }

    /// Tells the schedule what an evaluation has found.
    pub(crate) fn observe(&self, scores: &Scores, state: &mut State) -> Result<(), TrainError> {
        if let Some(value) = scores.get(&self.metric) {
            self.program.run(state, Batch::new().with("metric", [], &[value as f32]))?;
        }
        Ok(())
    }
}
