//! The place of one record in a batch under construction.

use wgrad_core::batch::{BatchMemory, Field, Layout};
use wgrad_core::{DType, Element, TensorSpec};

use crate::{DataError, Random};

/// The occasion of writing a record: what its random numbers depend on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visit {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    /// The place in the epoch's order.
    pub(crate) place: usize,
    pub(crate) record: usize,
}

/// Where a [`Dataset`](crate::Dataset) writes the fields of a record. The memory may be mapped for a
/// device, so it is only ever written.
pub struct Record<'a> {
    layout: &'a Layout,
    memory: &'a mut dyn BatchMemory,
    visit: Visit,
    slot: usize,
    written: Vec<bool>,
    bytes: Vec<u8>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(layout: &'a Layout, memory: &'a mut dyn BatchMemory) -> Self {
        let written = vec![false; layout.fields().len()];
        Self { layout, memory, visit: Visit::default(), slot: 0, written, bytes: Vec::new() }
    }

    /// Starts a record at a position of the batch.
    pub(crate) fn start(&mut self, slot: usize, visit: Visit) {
        self.slot = slot;
        self.visit = visit;
        self.written.fill(false);
    }

    pub(crate) fn visit(&self) -> Visit {
        self.visit
    }

    /// Random numbers for a purpose (`"flip"`): a pure function of the loader's seed, the epoch, the
    /// record's place in its order, and the purpose.
    pub fn random(&self, purpose: &str) -> Random {
        let Visit { seed, epoch, place, record } = self.visit;
        Random::of_record(seed, purpose, epoch, place as u64, record as u64)
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

    /// Writes a field from fewer values than it holds, followed by as many of `padding` as are missing.
    /// Values beyond the end of the field are left out.
    pub fn write_padded<T: Element>(
        &mut self,
        field: &str,
        values: &[T],
        padding: T,
    ) -> Result<(), DataError> {
        let numel = self.layout.get(field).map_or(0, |known| known.spec.shape[1..].iter().product());
        let padded = values.iter().copied().chain(std::iter::repeat(padding)).take(numel);
        self.write_iter(field, padded)
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
