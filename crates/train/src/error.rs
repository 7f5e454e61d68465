//! Why a training could not go on.

use wgrad_data::DataError;
use wgrad_gpu::NonFinite;

use crate::{CheckpointError, LogError};

/// An error of [`Trainer::fit`](crate::Trainer::fit).
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model was recorded wrongly, or the device failed.
    #[error(transparent)]
    Gpu(#[from] wgrad_gpu::Error),
    /// Records could not be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A log, the page or the chart could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A checkpoint could not be written, or resumed from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A schedule is to watch something that the objective does not measure.
    #[error("`{metric}` is not measured; there are {known}")]
    NotMeasured {
        /// What it is to watch.
        metric: String,
        /// What there is.
        known: String,
    },
    /// A pattern of parameters to unfreeze makes no sense.
    #[error("unfreeze: {0}")]
    Unfreeze(String),
    /// What a callback of the program said.
    #[error("a callback failed: {0}")]
    Callback(Box<dyn std::error::Error + Send + Sync>),
    /// Training has come apart. The checkpoints are from before.
    #[error("the loss is {loss} at batch {batch} of epoch {epoch}{}", origin(.cause.as_deref()))]
    NonFinite {
        /// The loss.
        loss: f64,
        /// The batch, from 1.
        batch: usize,
        /// The epoch, from 1.
        epoch: usize,
        /// Where it came from, if [`Trainer::hunt_nan`](crate::Trainer::hunt_nan) was to find that out and did.
        cause: Option<Box<NonFinite>>,
    },
    /// Training for no epochs.
    #[error("the number of epochs is 0; it must be at least 1")]
    NoEpochs,
    /// Training for no steps.
    #[error("the number of {what} is 0; it must be at least 1")]
    Zero {
        /// What there should be more of.
        what: &'static str,
    },
    /// A dataset with another number of fields than an input and a target.
    #[error("a trainer needs records of two fields, the input and the target; these have {fields}")]
    Fields {
        /// The fields that the dataset declares.
        fields: String,
    },
    /// Training and test records that are not alike.
    #[error("training records have {train}, test records {test}")]
    Unlike {
        /// The fields of training records.
        train: String,
        /// The fields of test records.
        test: String,
    },
}

fn origin(cause: Option<&NonFinite>) -> String {
    match cause {
        Some(cause) => format!(": {cause}"),
        None => "; a lower learning rate or clipped gradients may help, and `Trainer::hunt_nan` names the operation \
                 that it comes from"
            .into(),
    }
}
