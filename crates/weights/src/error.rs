//! What can be wrong with a weight file, or with loading one into a model.

use std::path::PathBuf;
use std::sync::Arc;

use crate::LoadReport;

/// An error of reading, writing or applying weights.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A file could not be read or written.
    #[error("cannot be {action}: {source}")]
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// Neither of the known formats.
    #[error("is neither a safetensors file nor one of PyTorch's: it starts with {start:02x?}")]
    UnknownFormat {
        /// The first bytes.
        start: Vec<u8>,
    },
    /// The file contradicts its format: it was damaged, truncated or never whole.
    #[error("is a damaged {format} file: {problem}")]
    Damaged {
        /// The format that the file seems to have.
        format: &'static str,
        /// What contradicts it.
        problem: String,
    },
    /// Something that the format allows and this library does not read.
    #[error("holds {0}, which is not supported")]
    Unsupported(String),
    /// A pickle that would call something other than what state dicts are made of.
    #[error(
        "needs the Python object `{name}`, which is not part of a state dict; save \
         `model.state_dict()` instead of the whole object"
    )]
    Global {
        /// The module and name that the pickle asks for.
        name: String,
    },
    /// Two arrays under one name.
    #[error("two arrays would have the name `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Values that a tensor type cannot hold.
    #[error("{problem}")]
    Conversion {
        /// Which type, and what does not fit.
        problem: String,
    },
    /// The weights and the model's variables are not the same.
    #[error("the weights do not fit the model: {0}; `apply_partial` loads what fits")]
    Incomplete(Box<LoadReport>),
    /// Any of the others, in a file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<WeightsError>,
    },
}

impl WeightsError {
    pub(crate) fn damaged(format: &'static str, problem: impl ToString) -> Self {
        Self::Damaged { format, problem: problem.to_string() }
    }

    pub(crate) fn io(action: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { action, source: Arc::new(source) }
    }
}
