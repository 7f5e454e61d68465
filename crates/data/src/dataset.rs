//! What a loader reads from.

use std::sync::Arc;

use wgrad_core::TensorSpec;

use crate::{DataError, Record};

/// A collection of records, each with the same named fields (PyTorch's map-style `Dataset`).
///
/// Several loader threads write records at once, so whatever a record's values depend on beside its
/// number must be behind `&self`.
///
/// ```
/// use wgrad_core::{F32, TensorSpec};
/// use wgrad_data::{DataError, Dataset, Loader, Record};
///
/// /// The numbers from 0, each with its square.
/// struct Squares(usize);
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn fields(&self) -> Vec<(String, TensorSpec)> {
///         vec![("x".into(), TensorSpec::new(F32, [])), ("y".into(), TensorSpec::new(F32, []))]
///     }
///     fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
///         let x = record as f32;
///         sink.write("x", &[x])?;
///         sink.write("y", &[x * x])
///     }
/// }
///
/// let batches: Vec<_> = Loader::new(Squares(10), 4).epoch(0).collect::<Result<_, _>>()?;
/// assert_eq!(batches.len(), 3);
/// # Ok::<(), DataError>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of records.
    fn len(&self) -> usize;

    /// Whether there are no records.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name, dtype and shape of each field of one record: the batch axis, which batches have in
    /// front, is left out. The names are those of the program inputs that the fields feed.
    fn fields(&self) -> Vec<(String, TensorSpec)>;

    /// What to call a record in messages beside its number: the name of its file, for example.
    fn name(&self, _record: usize) -> Option<String> {
        None
    }

    /// Writes every field of a record to its place in the batch.
    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError>;
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        (**self).fields()
    }

    fn name(&self, record: usize) -> Option<String> {
        (**self).name(record)
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        (**self).write(record, sink)
    }
}
