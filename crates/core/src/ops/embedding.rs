//! Rows of a table picked by index.

use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// The rows of this table \[V, D\] at u32 indices of any shape: \[…\] becomes \[…, D\] (PyTorch's
    /// `Embedding`). Indices must be below V; a batch with another one is refused.
    #[track_caller]
    pub fn embedding(&self, indices: &Self) -> Self {
        if !self.is_valid() || !indices.is_valid() {
            return self.invalid();
        }
        let shape = self.shape();
        if shape.rank() != 2 {
            return self.fail("embedding", format!("needs a table [V, D], got {}", self.spec()));
        }
        self.index_select(0, &indices.require_below(shape[0] as u32))
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("embedding", |t| t[0].embedding(&t[1]))
            .given([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .indices([2, 2], &[2.0, 0.0, 0.0, 1.0])
            .expect(&[5.0, 6.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0]),
        Case::new("embedding/random", |t| t[0].embedding(&t[1])).random([11, 5]).labels([3, 7], 11),
        Case::new("embedding/repeated", |t| t[0].embedding(&t[1])).random([2, 3]).labels([100], 2),
        Case::new("embedding/none", |t| t[0].embedding(&t[1])).random([5, 3]).labels([0], 5).expect(&[]),
    ]
}
