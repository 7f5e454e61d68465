//! Lower and upper triangles of matrices.

use super::CompareKind;
use crate::{DType, Tensor};

impl Tensor {
    /// The lower triangle of the last two axes, zeros above: entries with column − row ≤ `diagonal`
    /// stay (PyTorch's `tril`).
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Self {
        self.triangle("tril", CompareKind::Le, diagonal)
    }

    /// The upper triangle of the last two axes, zeros below: entries with column − row ≥ `diagonal`
    /// stay (PyTorch's `triu`).
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Self {
        self.triangle("triu", CompareKind::Ge, diagonal)
    }

    #[track_caller]
    fn triangle(&self, operation: &str, keep: CompareKind, diagonal: isize) -> Self {
        let shape = self.shape();
        if shape.rank() < 2 {
            return self.fail(operation, format!("needs a matrix, got {}", self.spec()));
        }
        let matrix = &shape[shape.rank() - 2..];
        let row = self.graph().iota(matrix, 0, DType::I32);
        let column = self.graph().iota(matrix, 1, DType::I32);
        let limit = row + diagonal as f64;
        let kept = if keep == CompareKind::Le { column.le(limit) } else { column.ge(limit) };
        kept.select(self, &self.zeros_like())
    }
}
