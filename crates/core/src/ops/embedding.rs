//! Rows of a table picked by index.

use crate::Tensor;

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
