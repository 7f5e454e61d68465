//! Gradual unfreezing: parameters that begin to train in a later epoch (Howard and Ruder, 2018).

use wgrad_core::{Array, U32, Var, Vars};
use wgrad_gpu::State;
use wgrad_optim::first_update;

use crate::TrainError;

/// Patterns over the names of parameters, each with the epoch, from 1, in which those that match begin to
/// train. The last pattern that matches counts.
#[derive(Default)]
pub(crate) struct Unfreezing(Vec<(usize, String)>);

impl Unfreezing {
    pub(crate) fn push(&mut self, epoch: usize, pattern: &str) {
        self.0.push((epoch, pattern.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets every parameter train that will do so in the end, and declares in which update it begins.
    pub(crate) fn declare(&self, vars: &Vars) -> Result<(), TrainError> {
        for (var, _) in self.late(vars)? {
            first_update(vars, &var);
        }
        self.set(vars, 1);
        if vars.trainable().is_empty() {
            return Err(TrainError::Unfreeze("no parameter trains in the first epoch".into()));
        }
        self.set(vars, usize::MAX);
        Ok(())
    }

    /// Freezes and unfreezes as an epoch wants it; whether that changed anything.
    pub(crate) fn set(&self, vars: &Vars, epoch: usize) -> bool {
        let trainable = || vars.trainable().iter().map(|var| var.name().into()).collect::<Vec<String>>();
        let before = trainable();
        for (first, pattern) in &self.0 {
            if *first <= epoch {
                vars.unfreeze(pattern)
            } else {
                vars.freeze(pattern)
            };
        }
        trainable() != before
    }

    /// At the start of training: averages of what does not train yet are the values themselves.
    pub(crate) fn begin(&self, vars: &Vars, state: &mut State) -> Result<(), TrainError> {
        let names = state.names();
        for (var, _) in self.late(vars)? {
            let average = format!("{}.average", var.name());
            if names.contains(&average) {
                let value = state.read(var.name())?;
                state.write(&average, &value)?;
            }
        }
        Ok(())
    }

    /// At the start of an epoch: bias corrections of what begins to train count from this update.
    pub(crate) fn enter(&self, vars: &Vars, state: &mut State, epoch: usize) -> Result<(), TrainError> {
        let Some(counter) = vars.get("optim.step") else { return Ok(()) };
        for (var, first) in self.late(vars)? {
            if first == epoch {
                let updates = state.read(counter.name())?.item();
                state.write(first_update(vars, &var).name(), &Array::new(U32, [], vec![updates]))?;
            }
        }
        Ok(())
    }

    /// The parameters that do not train from the first epoch on, each with its epoch.
    fn late(&self, vars: &Vars) -> Result<Vec<(Var, usize)>, TrainError> {
        let mut late: Vec<(Var, usize)> = vec![];
        for (epoch, pattern) in &self.0 {
            let matching = vars.matching(pattern).map_err(TrainError::Unfreeze)?;
            if matching.is_empty() {
                return Err(TrainError::Unfreeze(format!("no parameter matches `{pattern}`")));
            }
            late.retain(|(known, _)| !matching.iter().any(|var| var.name() == known.name()));
            late.extend(matching.into_iter().filter(|_| *epoch > 1).map(|var| (var, *epoch)));
        }
        Ok(late)
    }
}
