//! What can be wrong with a checkpoint, or with resuming from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wgrad_weights::WeightsError;

/// An error of writing, reading or resuming from checkpoints.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be read or written, or is damaged.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device failed, or a variable has another shape.
    #[error(transparent)]
    Gpu(#[from] wgrad_gpu::Error),
    /// A weight file of other origin.
    #[error("is not a checkpoint of a training; `Weights::read` loads parameters from it")]
    Foreign,
    /// A later version of this library wrote it.
    #[error("is of version {version}, this library reads up to {known}")]
    Newer {
        /// The file's version.
        version: u32,
        /// The latest that is understood.
        known: u32,
    },
    /// The contents are not those that were written.
    #[error("is damaged: its checksum does not match")]
    Checksum,
    /// The progress cannot be written or understood.
    #[error("its progress is not understood: {0}")]
    Manifest(String),
    /// Another model, or another optimizer.
    #[error("belongs to another model or optimizer: {lacks} lacks `{name}`")]
    Variables {
        /// The side that lacks a variable.
        lacks: &'static str,
        /// The variable's name.
        name: String,
    },
    /// A setting of the trainer on which the order of batches depends.
    #[error("was trained with {what} {then}, not {now}; a training is resumed with the same settings")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value in the checkpoint.
        then: u64,
        /// Its value now.
        now: u64,
    },
    /// A new training would be mixed with an old one.
    #[error("holds checkpoints already; go on with `.resume(true)`, or use another directory")]
    Occupied,
    /// The directory cannot be read or changed.
    #[error("{0}")]
    Io(Arc<std::io::Error>),
    /// Any of the others, in a file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<CheckpointError>,
    },
}

impl CheckpointError {
    pub(crate) fn manifest(error: serde_json::Error) -> Self {
        Self::Manifest(error.to_string())
    }

    /// The same error, told of a file. Those of weight files say it themselves.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::File { path: path.into(), source: Box::new(self) }
    }
}
