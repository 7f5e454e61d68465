//! One named array of a weight file, as it lies there.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use wgrad_core::array::advance;
use wgrad_core::{Array, DType, Shape, TensorSpec};

use crate::{StoredType, WeightsError};

/// Part of a buffer that several arrays share: of a whole file, most often.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    buffer: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Bytes {
    /// A part of a buffer; `None` where it does not lie inside.
    pub(crate) fn part(buffer: &Arc<Vec<u8>>, range: Range<usize>) -> Option<Self> {
        buffer.get(range.clone())?;
        Some(Self { buffer: buffer.clone(), range })
    }

    pub(crate) fn whole(buffer: Vec<u8>) -> Self {
        let range = 0..buffer.len();
        Self { buffer: Arc::new(buffer), range }
    }

    /// A part of this part.
    pub(crate) fn slice(&self, range: Range<usize>) -> Option<Self> {
        let (start, end) =
            (self.range.start.checked_add(range.start)?, self.range.start.checked_add(range.end)?);
        (end <= self.range.end).then(|| Self::part(&self.buffer, start..end)).flatten()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

/// An array of a weight file. Clones share the file's bytes; nothing is converted before it is asked for.
#[derive(Clone)]
pub struct Entry {
    stored: StoredType,
    shape: Shape,
    /// In elements; `None` for row-major order without gaps.
    strides: Option<Vec<usize>>,
    bytes: Bytes,
}

impl Entry {
    /// A row-major array whose bytes are all of `bytes`.
    pub(crate) fn contiguous(stored: StoredType, shape: impl Into<Shape>, bytes: Bytes) -> Option<Self> {
        let shape = shape.into();
        let size = checked_numel(&shape)?.checked_mul(stored.size())?;
        (bytes.range.len() == size).then_some(Self { stored, shape, strides: None, bytes })
    }

    /// A view into a storage: PyTorch's offset and strides, in elements. `None` where it reaches beyond.
    pub(crate) fn view(
        stored: StoredType,
        shape: Shape,
        strides: &[usize],
        storage: &Bytes,
        offset: usize,
    ) -> Option<Self> {
        let (numel, size) = (checked_numel(&shape)?, stored.size());
        let row_major = shape.iter().zip(strides).zip(shape.strides()).all(|((&n, &a), b)| n == 1 || a == b);
        let reach = match numel {
            0 => 0,
            _ if row_major => numel,
            _ => shape
                .iter()
                .zip(strides)
                .try_fold(1usize, |reach, (&n, &stride)| reach.checked_add((n - 1).checked_mul(stride)?))?,
        };
        let start = if numel == 0 { 0 } else { offset.checked_mul(size)? };
        let bytes = storage.slice(start..start.checked_add(reach.checked_mul(size)?)?)?;
        let strides = (numel > 0 && !row_major).then(|| strides.to_vec());
        Some(Self { stored, shape, strides, bytes })
    }

    /// An array of this library, without loss.
    pub(crate) fn of_array(array: &Array) -> Self {
        let stored = StoredType::of(array.spec.dtype);
        let bytes = match array.spec.dtype {
            DType::Bool => array.data.iter().map(|&value| u8::from(value != 0.0)).collect(),
            dtype => dtype.encode(&array.data),
        };
        Self { stored, shape: array.spec.shape.clone(), strides: None, bytes: Bytes::whole(bytes) }
    }

    /// The same integers in 64 bits, as PyTorch keeps integers.
    pub(crate) fn widened(self) -> Self {
        if !matches!(self.stored, StoredType::U32 | StoredType::I32) {
            return self;
        }
        let values = self.stored.decode(&self.to_bytes());
        let bytes = values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect();
        Self { stored: StoredType::I64, shape: self.shape, strides: None, bytes: Bytes::whole(bytes) }
    }

    /// The element type in the file.
    pub fn stored(&self) -> StoredType {
        self.stored
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What [`Entry::array`] gives: bf16 and f64 become f32, integers i32 or u32.
    pub fn spec(&self) -> TensorSpec {
        TensorSpec::new(self.stored.dtype(), &self.shape)
    }

    /// The values in row-major order, as they are in the file: copied only where they lie otherwise.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        let all = self.bytes.as_slice();
        let Some(strides) = &self.strides else { return Cow::Borrowed(all) };
        let (size, mut index) = (self.stored.size(), vec![0; self.shape.rank()]);
        let mut bytes = Vec::with_capacity(self.shape.numel() * size);
        for _ in 0..self.shape.numel() {
            let at: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            bytes.extend_from_slice(&all[at * size..(at + 1) * size]);
            advance(&mut index, &self.shape);
        }
        Cow::Owned(bytes)
    }

    /// The values in the tensor type nearest to the stored one; see [`Entry::spec`]. Errors: integers that
    /// do not fit into 32 bits.
    pub fn array(&self) -> Result<Array, WeightsError> {
        self.array_as(self.stored.dtype())
    }

    /// The values in a given tensor type: floats become any floats, rounded, and integers any integers.
    /// Errors: a type of another kind, and integers that do not fit.
    pub fn array_as(&self, dtype: DType) -> Result<Array, WeightsError> {
        self.check(dtype).map_err(|problem| WeightsError::Conversion { problem })?;
        Ok(self.values(dtype))
    }

    /// Whether the values can become values of a tensor type, or what speaks against it.
    pub(crate) fn check(&self, dtype: DType) -> Result<(), String> {
        if !self.stored.converts_to(dtype) {
            return Err(format!("{} values cannot become {dtype}", self.stored));
        }
        let misfit = |value: &f64| dtype.round(*value) != *value;
        match dtype.is_int().then(|| self.stored.decode(&self.to_bytes()).into_iter().find(misfit)).flatten()
        {
            Some(value) => Err(format!("the value {value} does not fit into {dtype}")),
            None => Ok(()),
        }
    }

    /// The values in a tensor type that [`Entry::check`] has found fit.
    pub(crate) fn values(&self, dtype: DType) -> Array {
        let mut data = self.stored.decode(&self.to_bytes());
        if dtype != self.stored.dtype() || self.stored == StoredType::F64 {
            data.iter_mut().for_each(|value| *value = dtype.round(*value));
        }
        Array::new(dtype, &self.shape, data)
    }
}

/// The number of elements, where it can be counted.
fn checked_numel(shape: &Shape) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stored, self.shape)
    }
}
