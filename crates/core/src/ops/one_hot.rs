//! Labels as vectors of zeros with a single one.

use crate::case::Case;
use crate::{DType, Tensor};

impl Tensor {
    /// u32 labels of any shape as f32 vectors along a new last axis: 1 at the label, else 0. Labels must
    /// be below `classes`; a batch with another one is refused.
    ///
    /// ```
    /// use wgrad_core::{Graph, Mode, U32};
    /// let g = Graph::new(Mode::Eval);
    /// let labels = g.input("label", [64], U32);
    /// assert_eq!(*labels.one_hot(10).shape(), [64, 10]);
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Self {
        self.is_class(-1, classes, "one_hot").cast(DType::F32)
    }

    /// Bool: whether a u32 label names the position along a new axis of extent `classes`.
    #[track_caller]
    pub(crate) fn is_class(&self, axis: isize, classes: usize, operation: &str) -> Self {
        if self.is_valid() && self.dtype() != DType::U32 {
            return self.fail(operation, format!("needs u32 labels, got {}", self.spec()));
        }
        let labels = self.require_below(classes as u32).unsqueeze(axis);
        let mut shape = labels.shape().to_vec();
        let Ok(axis) = labels.shape().axis(axis) else { return self.invalid() };
        shape[axis] = classes;
        labels.eq(self.graph().iota(shape, axis, DType::U32))
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("one_hot", |t| t[0].one_hot(3))
            .indices([2], &[2.0, 0.0])
            .expect(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
            .no_gradient(),
        Case::new("one_hot/matrix", |t| t[0].one_hot(7)).labels([3, 5], 7).no_gradient(),
    ]
}
