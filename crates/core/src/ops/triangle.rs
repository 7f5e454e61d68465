//! Lower and upper triangles of matrices.

use super::CompareKind;
use crate::case::Case;
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
        // Diagonals beyond the corners are all alike.
        let limit = row + diagonal.clamp(-(matrix[0] as isize), matrix[1] as isize) as f64;
        let kept = if keep == CompareKind::Le { column.le(limit) } else { column.ge(limit) };
        kept.select(self, &self.zeros_like())
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("tril", |t| t[0].tril(0)).given([2, 3], &x).expect(&[1.0, 0.0, 0.0, 4.0, 5.0, 0.0]),
        case("tril/above", |t| t[0].tril(1)).given([2, 3], &x).expect(&[1.0, 2.0, 0.0, 4.0, 5.0, 6.0]),
        case("tril/batched", |t| t[0].tril(-1)).random([2, 5, 3]),
        case("triu", |t| t[0].triu(0)).given([2, 3], &x).expect(&[1.0, 2.0, 3.0, 0.0, 5.0, 6.0]),
        case("triu/above", |t| t[0].triu(1)).given([2, 3], &x).expect(&[0.0, 2.0, 3.0, 0.0, 0.0, 6.0]),
        case("triu/below", |t| t[0].triu(-2)).random([5, 3]),
        case("tril/all", |t| t[0].tril(isize::MAX)).given([2, 3], &x).expect(&x),
        case("tril/none", |t| t[0].tril(isize::MIN)).given([2, 3], &x).expect(&[0.0; 6]),
        case("triu/all", |t| t[0].triu(isize::MIN)).given([2, 3], &x).expect(&x),
        case("triu/none", |t| t[0].triu(i32::MAX as isize)).given([2, 3], &x).expect(&[0.0; 6]),
    ]
}
