//! What it takes to say where the first NaN came from: the states from before the last steps, which are replayed.

use std::collections::VecDeque;

use wgrad_gpu::hunt::Source;
use wgrad_gpu::{NonFinite, State};

use crate::TrainError;
use crate::feed::Feed;

/// A loss shows what the step before has done to the parameters, so two are kept.
const KEPT: usize = 2;

/// The states from before the last steps, and which batches these took.
#[derive(Default)]
pub(crate) struct Watch {
    before: VecDeque<(State, u64, u64)>,
}

impl Watch {
    /// Keeps a copy of the state from before a batch of an epoch.
    pub(crate) fn remember(&mut self, state: &State, epoch: u64, batch: u64) -> Result<(), TrainError> {
        let oldest = if self.before.len() < KEPT { None } else { self.before.pop_front() };
        let copy = match oldest {
            Some((mut copy, ..)) => {
                copy.copy_from(state)?;
                copy
            }
            None => state.duplicate()?,
        };
        self.before.push_back((copy, epoch, batch));
        Ok(())
    }

    /// Where the first number came from that is not finite, of the last step or, if that one found it in its
    /// variables, of the one before.
    pub(crate) fn hunt(&self, feed: &Feed) -> Result<Option<NonFinite>, TrainError> {
        let mut found = None;
        for (state, epoch, batch) in self.before.iter().rev() {
            let Some(turn) = feed.epoch_from(*epoch, *batch)?.next().transpose()? else { break };
            let Some(cause) = feed.passes[turn.pass].program.hunt_nan(state, turn.batch)? else { break };
            let is_from_before = matches!(cause.source, Source::Variable(_));
            found = Some(cause);
            if !is_from_before {
                break;
            }
        }
        Ok(found)
    }
}
