//! Going on from the last checkpoint of a directory.

use std::path::PathBuf;

use wgrad_gpu::State;

use crate::{CheckpointError, Found, Progress, Trainer};

/// Where a training goes on.
pub(crate) struct Resumed {
    pub(crate) from: PathBuf,
    pub(crate) progress: Progress,
}

/// Gives a state the values of the last checkpoint, if the trainer is to resume and there is one. An epoch has so
/// many batches.
pub(crate) fn resume(
    trainer: &Trainer,
    state: &mut State,
    start: &Progress,
    batches: u64,
) -> Result<Option<Resumed>, CheckpointError> {
    let Some(checkpoints) = &trainer.checkpoints else { return Ok(None) };
    if !trainer.resume {
        return match checkpoints.all()?.is_empty() {
            true => checkpoints.drop_set_aside().map(|()| None),
            false => Err(CheckpointError::Occupied.in_file(checkpoints.directory())),
        };
    }
    let found = if trainer.fall_back { checkpoints.latest_good()? } else { checkpoints.latest()? };
    let Some(Found { path, checkpoint, skipped }) = found else {
        return checkpoints.drop_set_aside().map(|()| None);
    };
    let mut progress = checkpoint.progress().clone();
    if let Some((what, then, now)) = progress.settings.difference(&start.settings) {
        return Err(CheckpointError::Setting { what, then, now }.in_file(&path));
    }
    checkpoint.restore(state).map_err(|error| error.in_file(&path))?;
    if !skipped.is_empty() {
        checkpoints.set_aside_after(&path)?;
    }
    checkpoints.take_best_back()?;
    progress.back_to(checkpoint.step(), batches);
    Ok(Some(Resumed { from: path, progress }))
}
