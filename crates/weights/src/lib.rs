//! Model weights in files: safetensors in and out, PyTorch's `.pth` and `.pt` in.
//!
//! [`Weights`] is an ordered map of named arrays that stay as they lie in the file until they are asked
//! for. [`Matching`] lays them beside a model's variables, says what fits in a [`LoadReport`], and makes
//! them initial values or writes them to a running state.

mod entry;
mod error;
mod file;
mod matching;
mod safetensors;
mod stored;
mod torch;
mod weights;

pub use entry::Entry;
pub use error::WeightsError;
pub use matching::{LoadReport, Matching, Mismatch};
pub use stored::StoredType;
pub use weights::Weights;
