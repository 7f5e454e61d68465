//! Named arrays in memory as a dataset.

use std::sync::Arc;

use wgrad_core::{Element, Shape, TensorSpec};

use crate::{DataError, Dataset, Record};

#[derive(Clone, Debug)]
struct Field {
    name: String,
    spec: TensorSpec,
    bytes: Arc<[u8]>,
}

/// Arrays whose first axis numbers the records (PyTorch's `TensorDataset`). Clones share the values.
///
/// ```
/// use wgrad_data::{Dataset, TensorDataset};
/// let data = TensorDataset::new()
///     .field("point", [3, 2], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0])?
///     .field("label", [3], &[0u32, 1, 0])?;
/// assert_eq!(data.len(), 3);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TensorDataset {
    fields: Vec<Field>,
    records: usize,
}

impl TensorDataset {
    /// A dataset without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field. Its shape has the number of records, the same for all fields, in front.
    pub fn field<T: Element>(
        mut self,
        name: &str,
        shape: impl Into<Shape>,
        values: &[T],
    ) -> Result<Self, DataError> {
        let shape = shape.into();
        let whole = TensorSpec::new(T::DTYPE, &shape);
        let Some((&records, rest)) = shape.split_first().filter(|_| shape.numel() == values.len()) else {
            let got = format!("{} values for {whole}", values.len());
            return Err(DataError::Mismatch { field: name.into(), expected: whole, got });
        };
        if !self.fields.is_empty() && records != self.records {
            return Err(DataError::Count { field: name.into(), expected: self.records, got: records });
        }
        self.records = records;
        let bytes = bytemuck::cast_slice(values).into();
        self.fields.push(Field { name: name.into(), spec: TensorSpec::new(T::DTYPE, rest), bytes });
        Ok(self)
    }

    /// A dataset of fields whose bytes are known to be those of so many records.
    #[cfg(feature = "arrow")]
    pub(crate) fn of_bytes(
        records: usize,
        fields: impl Iterator<Item = (String, TensorSpec, Vec<u8>)>,
    ) -> Self {
        let field =
            |(name, spec, bytes): (String, TensorSpec, Vec<u8>)| Field { name, spec, bytes: bytes.into() };
        Self { fields: fields.map(field).collect(), records }
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.records
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        self.fields.iter().map(|field| (field.name.clone(), field.spec.clone())).collect()
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        for Field { name, spec, bytes } in &self.fields {
            let start = record * spec.bytes();
            let error = DataError::NoSuchRecord { record, records: self.records };
            let bytes = bytes.get(start..start + spec.bytes()).ok_or(error)?;
            sink.write_bytes(name, spec.dtype, bytes)?;
        }
        Ok(())
    }
}
