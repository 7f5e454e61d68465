//! Some records of another dataset.

use std::sync::Arc;

use wgrad_core::TensorSpec;

use crate::{DataError, Dataset, Record};

/// Some records of a dataset, in an order of their own (PyTorch's `Subset`).
#[derive(Clone, Debug)]
pub struct Subset<D> {
    data: D,
    records: Arc<[usize]>,
}

impl<D: Dataset> Subset<D> {
    /// The records with the given numbers; a number may occur more than once.
    ///
    /// ```
    /// use wgrad_data::{Dataset, Subset, digits};
    /// let few = Subset::new(digits(), 0..10)?;
    /// assert_eq!(few.len(), 10);
    /// # Ok::<(), wgrad_data::DataError>(())
    /// ```
    pub fn new(data: D, records: impl IntoIterator<Item = usize>) -> Result<Self, DataError> {
        let records: Arc<[usize]> = records.into_iter().collect();
        let len = data.len();
        match records.iter().find(|&&record| record >= len) {
            Some(&record) => Err(DataError::NoSuchRecord { record, records: len }),
            None => Ok(Self { data, records }),
        }
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        self.data.fields()
    }

    fn name(&self, record: usize) -> Option<String> {
        self.data.name(*self.records.get(record)?)
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let Some(&inner) = self.records.get(record) else {
            return Err(DataError::NoSuchRecord { record, records: self.records.len() });
        };
        self.data.write(inner, sink)
    }
}
