//! Datasets, and the loaders that write their records into batch memory.
//!
//! A [`Dataset`] writes one record at a time; a [`Loader`] shuffles, fills batches on worker threads
//! and hands them over in order. Memory comes from a
//! [`BatchAllocator`](wgrad_core::batch::BatchAllocator): ordinary, or mapped for the device.

mod breast_cancer;
mod dataset;
mod digits;
mod epoch;
mod error;
pub mod idx;
mod labelled;
mod loader;
mod mnist;
mod order;
mod record;
mod scale;
mod subset;
mod table;
mod tensors;

pub use breast_cancer::breast_cancer;
pub use dataset::Dataset;
pub use digits::digits;
pub use epoch::Epoch;
pub use error::{DataError, FileProblem};
pub use labelled::Labelled;
pub use loader::Loader;
pub use mnist::mnist;
pub use record::Record;
pub use subset::Subset;
pub use tensors::TensorDataset;
