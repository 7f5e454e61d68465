//! A batch of named host values on its way to the device. Whoever fills it need not know whether the
//! memory is ordinary or a mapped staging buffer: it only writes.

use std::any::Any;
use std::sync::Arc;

use crate::{Array, DType, Element, Graph, Shape, Tensor, TensorSpec};

/// The field of a batch that says how many of its records count, and how many there are: u32 \[2\]. Loaders fill
/// it in; of a batch in ordinary memory without it, everything counts. A program that asks for neither
/// [`Graph::records`] nor [`Graph::counted`] has no such input.
pub const RECORDS: &str = "wgrad.records";

/// A named part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name of the program input it feeds.
    pub name: String,
    /// Element type and shape, the batch axis included.
    pub spec: TensorSpec,
    /// Where it starts, in bytes from the beginning of the batch.
    pub offset: usize,
}

/// Where the fields of a batch lie in its memory: one after the other, each aligned to
/// [`Layout::ALIGNMENT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    fields: Vec<Field>,
    bytes: usize,
}

impl Layout {
    /// The alignment of fields in bytes.
    pub const ALIGNMENT: usize = 16;

    /// A layout without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field behind the others.
    pub fn field(mut self, name: &str, spec: TensorSpec) -> Self {
        let offset = self.bytes;
        self.bytes = (offset + spec.bytes()).next_multiple_of(Self::ALIGNMENT);
        self.fields.push(Field { name: name.into(), spec, offset });
        self
    }

    /// The fields in the order they were added.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field with a name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Bytes of the whole batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A value that a batch must not hold, found while writing it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// An index or label is not below its bound.
    #[error("`{field}` holds {value}, which is not below {bound} (element {element})")]
    OutOfRange {
        /// The field's name.
        field: String,
        /// The offending value.
        value: u32,
        /// The first value that is too large.
        bound: u32,
        /// The position within the field.
        element: usize,
    },
    /// The write reaches beyond the memory.
    #[error("a write of {len} bytes at {offset} does not fit into {bytes} bytes")]
    OutOfMemory {
        /// Where the write starts.
        offset: usize,
        /// Its length.
        len: usize,
        /// The size of the memory.
        bytes: usize,
    },
    /// No memory for another batch could be had.
    #[error("no memory for a batch: {0}")]
    Unavailable(String),
}

/// Memory that a batch is written into.
pub trait BatchMemory: Any + Send {
    /// Writes bytes at an offset.
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), BatchError>;

    /// The concrete memory, for the device that lent it.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;

    /// The concrete memory, for reading back what is readable.
    fn as_any(&self) -> &dyn Any;
}

/// Hands out memory for batches, waiting where the supply is limited.
pub trait BatchAllocator: Send + Sync {
    /// Memory for one batch of the given layout.
    fn allocate(&self, layout: &Arc<Layout>) -> Result<Box<dyn BatchMemory>, BatchError>;
}

/// Ordinary memory.
#[derive(Clone, Debug, Default)]
pub struct HostMemory(pub Vec<u8>);

impl BatchMemory for HostMemory {
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), BatchError> {
        let size = self.0.len();
        let slot = self.0.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len()));
        let error = BatchError::OutOfMemory { offset, len: bytes.len(), bytes: size };
        slot.ok_or(error)?.copy_from_slice(bytes);
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Allocates ordinary memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostAllocator;

impl BatchAllocator for HostAllocator {
    fn allocate(&self, layout: &Arc<Layout>) -> Result<Box<dyn BatchMemory>, BatchError> {
        Ok(Box::new(HostMemory(vec![0; layout.bytes()])))
    }
}

impl Graph {
    /// How many records of the batch count, f32: all but those that pad it.
    #[track_caller]
    pub fn records(&self) -> Tensor {
        self.input(RECORDS, [2], DType::U32).select_index(0, 0).cast(DType::F32)
    }

    /// Which of `rows` rows count, bool: those of records that do not pad the batch. A record may have several
    /// rows, in order, as where batch and time are flattened.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, batch::Batch};
    /// let g = Graph::new(Mode::Eval);
    /// let error = g.input("error", [8], F32).abs();
    /// let largest = g.counted(8).select(&error, &error.zeros_like()).max(0);
    /// ```
    #[track_caller]
    pub fn counted(&self, rows: usize) -> Tensor {
        let field = self.input(RECORDS, [2], DType::U32);
        let [counted, records] = [0, 1].map(|at| field.select_index(0, at));
        let each = self.scalar(rows as f64, DType::U32) / records;
        self.iota([rows], 0, DType::U32).lt(counted * each)
    }
}

/// Values for the inputs of one run of a program.
pub struct Batch {
    /// Where the fields lie.
    pub layout: Arc<Layout>,
    /// What holds them.
    pub memory: Box<dyn BatchMemory>,
}

impl Batch {
    /// A batch without fields, for programs without inputs and for [`Batch::with`].
    pub fn new() -> Self {
        Self { layout: Arc::default(), memory: Box::new(HostMemory::default()) }
    }

    /// A batch with one more field of host values. Values of another number than the shape's make a field of
    /// as many as there are, which a program refuses by name. Fields can be added to a batch in ordinary
    /// memory; what a loader wrote elsewhere cannot be read back, and a program refuses such a batch.
    ///
    /// ```
    /// use wgrad_core::batch::Batch;
    /// let batch = Batch::new().with("x", [2, 2], &[1f32, 2.0, 3.0, 4.0]).with("label", [2], &[0u32, 1]);
    /// assert_eq!(batch.layout.fields().len(), 2);
    /// ```
    pub fn with<T: Element>(self, name: &str, shape: impl Into<Shape>, values: &[T]) -> Self {
        let mut spec = TensorSpec::new(T::DTYPE, shape);
        if spec.shape.numel() != values.len() {
            spec.shape = [values.len()].into();
        }
        let before = self.layout.bytes();
        let layout = (*self.layout).clone().field(name, spec);
        let bytes = match self.memory.into_any().downcast::<HostMemory>() {
            Ok(memory) if memory.0.len() == before => {
                let mut bytes = memory.0;
                bytes.extend_from_slice(bytemuck::cast_slice(values));
                bytes.resize(layout.bytes(), 0);
                bytes
            }
            // Shorter than the layout says: that is what gets refused.
            _ => vec![],
        };
        Self { layout: Arc::new(layout), memory: Box::new(HostMemory(bytes)) }
    }

    /// A batch of arrays in ordinary memory, by name.
    pub fn of_arrays<'a>(arrays: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Self {
        let (mut layout, mut bytes) = (Layout::new(), vec![]);
        for (name, array) in arrays {
            layout = layout.field(name, array.spec.clone());
            bytes.extend(array.spec.dtype.encode(&array.data));
            bytes.resize(layout.bytes(), 0);
        }
        Self { layout: Arc::new(layout), memory: Box::new(HostMemory(bytes)) }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}
