//! Host tensors in f64: what the reference interpreter computes with and constants are kept as.

use crate::{DType, Element, Shape, TensorSpec};

/// A dense, row-major host tensor. Values are f64 whatever the element type; integers and booleans
/// are exact.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Element type and shape.
    pub spec: TensorSpec,
    /// Values in row-major order.
    pub data: Vec<f64>,
}

impl Array {
    /// An array from its parts. `data` must hold `shape.numel()` values.
    pub fn new(dtype: DType, shape: impl Into<Shape>, data: Vec<f64>) -> Self {
        let spec = TensorSpec::new(dtype, shape);
        assert_eq!(spec.shape.numel(), data.len(), "an array of {spec} needs as many values");
        Self { spec, data }
    }

    /// An array of host elements.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Self {
        Self::new(T::DTYPE, shape, values.iter().map(|v| v.to_f64()).collect())
    }

    /// The values as host elements, in row-major order, converted if `T` is not the array's own type.
    ///
    /// ```
    /// use wgrad_core::Array;
    /// let array = Array::from_slice([2], &[1f32, 2.5]);
    /// assert_eq!(array.to_vec::<f32>(), [1.0, 2.5]);
    /// ```
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        self.data.iter().map(|&value| T::from_f64(value)).collect()
    }

    /// An array whose element at each multi-index is given by a function.
    pub fn from_fn(spec: &TensorSpec, mut value: impl FnMut(&[usize]) -> f64) -> Self {
        let mut index = vec![0; spec.shape.rank()];
        let data = (0..spec.shape.numel())
            .map(|_| {
                let v = value(&index);
                advance(&mut index, &spec.shape);
                v
            })
            .collect();
        Self { spec: spec.clone(), data }
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.spec.shape
    }

    /// The element at a multi-index.
    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[offset(index, &self.spec.shape)]
    }

    /// The value of an array of one element.
    pub fn item(&self) -> f64 {
        self.data[0]
    }
}

/// Steps a multi-index to the next element in row-major order.
pub fn advance(index: &mut [usize], shape: &Shape) {
    for axis in (0..index.len()).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return;
        }
        index[axis] = 0;
    }
}

/// The row-major position of a multi-index.
pub fn offset(index: &[usize], shape: &Shape) -> usize {
    index.iter().zip(shape.iter()).fold(0, |position, (&i, &n)| position * n + i)
}
