//! Datasets, and the loaders that write their records into batch memory.
//!
//! A [`Dataset`] writes one record at a time; a [`Loader`] shuffles, fills batches on worker threads
//! and hands them over in order. Memory comes from a
//! [`BatchAllocator`](wgrad_core::batch::BatchAllocator): ordinary, or mapped for the device.

mod augment;
mod breast_cancer;
mod buckets;
mod characters;
#[cfg(feature = "arrow")]
mod columnar;
mod csv;
mod dataset;
mod digits;
mod epoch;
mod error;
pub mod idx;
#[cfg(feature = "image")]
mod image_folder;
mod labelled;
mod loader;
mod mixup;
mod mnist;
mod order;
mod random;
mod record;
mod sampler;
mod scale;
mod scratch;
mod sequences;
mod series;
pub mod split;
mod subset;
mod table;
mod tensors;
#[cfg(feature = "tokenizers")]
mod tokenizer;
mod tokens;
mod watch;
mod words;

pub use augment::Augmented;
pub use breast_cancer::breast_cancer;
pub use buckets::Buckets;
pub use characters::Characters;
#[cfg(feature = "arrow")]
pub use columnar::{Columnar, ShuffledGroups};
pub use csv::{Csv, CsvFormat};
pub use dataset::Dataset;
pub use digits::digits;
pub use epoch::Epoch;
pub use error::{DataError, FileProblem};
#[cfg(feature = "image")]
pub use image_folder::ImageFolder;
pub use labelled::Labelled;
pub use loader::Loader;
pub use mixup::Mixup;
pub use mnist::mnist;
pub use random::Random;
pub use record::Record;
pub use sampler::{Sampler, Stratified, Weighted};
pub use sequences::Sequences;
pub use series::series;
pub use subset::Subset;
pub use tensors::TensorDataset;
#[cfg(feature = "tokenizers")]
pub use tokenizer::Tokenizer;
pub use tokens::TokenStream;
pub use words::Words;
