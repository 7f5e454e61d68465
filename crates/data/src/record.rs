//! The place of one record in a batch under construction.

use wgrad_core::batch::{BatchMemory, Field, Layout};
use wgrad_core::{DType, Element, TensorSpec};

use crate::DataError;

/// Where a [`Dataset`](crate::Dataset) writes the fields of a record. The memory may be mapped for a
/// device, so it is only ever written.
pub struct Record<'a> {
    layout: &'a Layout,
    memory: &'a mut dyn BatchMemory,
    slot: usize,
    written: Vec<bool>,
    bytes: Vec<u8>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(layout: &'a Layout, memory: &'a mut dyn BatchMemory) -> Self {
        Self { layout, memory, slot: 0, written: vec![false; layout.fields().len()], bytes: Vec::new() }
    }

    /// Starts the record at a position of the batch.
    pub(crate) fn start(&mut self, slot: usize) {
        self.slot = slot;
        self.written.fill(false);
    }

    /// Checks that the record is complete.
    pub(crate) fn finish(&self) -> Result<(), DataError> {
        match self.written.iter().position(|written| !written) {
            Some(index) => Err(DataError::Unwritten { field: self.layout.fields()[index].name.clone() }),
            None => Ok(()),
        }
    }

    /// Writes a field. The dtype and the number of values must be those that the dataset declares.
    pub fn write<T: Element>(&mut self, field: &str, values: &[T]) -> Result<(), DataError> {
        self.write_bytes(field, T::DTYPE, bytemuck::cast_slice(values))
    }

    /// Writes a field from values computed on the way.
    pub fn write_iter<T: Element>(
        &mut self,
        field: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), DataError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        values.into_iter().for_each(|value| bytes.extend_from_slice(bytemuck::bytes_of(&value)));
        let result = self.write_bytes(field, T::DTYPE, &bytes);
        self.bytes = bytes;
        result
    }

    pub(crate) fn write_bytes(&mut self, field: &str, dtype: DType, bytes: &[u8]) -> Result<(), DataError> {
        let layout = self.layout;
        let named = |(_, known): &(usize, &Field)| known.name == field;
        let Some((index, known)) = layout.fields().iter().enumerate().find(named) else {
            let names: Vec<_> = layout.fields().iter().map(|field| format!("`{}`", field.name)).collect();
            return Err(DataError::NoSuchField { field: field.into(), declared: names.join(", ") });
        };
        let expected = TensorSpec::new(known.spec.dtype, &known.spec.shape[1..]);
        if dtype != expected.dtype || bytes.len() != expected.bytes() {
            let got = format!("{} values of {dtype}", bytes.len() / dtype.size());
            return Err(DataError::Mismatch { field: field.into(), expected, got });
        }
        self.memory.write(known.offset + self.slot * bytes.len(), bytes)?;
        self.written[index] = true;
        Ok(())
    }
}
