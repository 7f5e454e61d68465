//! Diagonals of matrices, and matrices made of them.

use crate::case::Case;
use crate::{DType, Graph, Tensor};

impl Graph {
    /// The matrix with ones on its diagonal and zeros elsewhere.
    #[track_caller]
    pub fn eye(&self, rows: usize, columns: usize, dtype: DType) -> Tensor {
        self.on_diagonal(rows, columns).select(&self.scalar(1.0, dtype), &self.scalar(0.0, dtype))
    }

    #[track_caller]
    fn on_diagonal(&self, rows: usize, columns: usize) -> Tensor {
        let shape = [rows, columns];
        self.iota(shape, 0, DType::U32).eq(self.iota(shape, 1, DType::U32))
    }
}

impl Tensor {
    /// The diagonal of the last two axes, which become one: entries with column − row = `offset` (PyTorch's
    /// `diagonal`).
    #[track_caller]
    pub fn diagonal(&self, offset: isize) -> Self {
        let shape = self.shape();
        if shape.rank() < 2 {
            return self.fail("diagonal", format!("needs a matrix, got {}", self.spec()));
        }
        let (m, n) = (self.dim(-2), self.dim(-1));
        let (top, left) = (offset.min(0).unsigned_abs().min(m), offset.max(0).unsigned_abs().min(n));
        let length = (m - top).min(n - left);
        let square = self.slice(-2, top..top + length).slice(-1, left..left + length);
        if square.is_valid() { square.merged_axes(shape.rank() - 2, shape.rank() - 1) } else { square }
    }

    /// Vectors along the last axis as diagonals of matrices that are zero elsewhere (PyTorch's `diag_embed`).
    #[track_caller]
    pub fn diag_embed(&self) -> Self {
        let shape = self.shape();
        let Some(&n) = shape.last() else {
            return self.fail("diag_embed", format!("needs vectors, got {}", self.spec()));
        };
        let on = self.graph().on_diagonal(n, n);
        let rows = self.unsqueeze(-1);
        on.select(&rows, &rows.zeros_like())
    }

    /// The sum of the diagonal of the last two axes, which are dropped (PyTorch's `trace`, in batches).
    #[track_caller]
    pub fn trace(&self) -> Self {
        self.diagonal(0).sum(-1)
    }

    /// The elements whose positions along two axes of one extent agree; the second axis is dropped.
    #[track_caller]
    pub(super) fn merged_axes(&self, first: usize, second: usize) -> Self {
        let shape = self.shape();
        let (i, j) =
            (self.graph().iota(&shape, first, DType::U32), self.graph().iota(&shape, second, DType::U32));
        i.eq(j).select(self, &self.zeros_like()).sum(&[second][..])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("eye", |t| &t[0] + t[0].graph().eye(2, 3, DType::F32))
            .given([1], &[0.5])
            .expect(&[1.5, 0.5, 0.5, 0.5, 1.5, 0.5]),
        case("diagonal", |t| t[0].diagonal(0)).given([2, 3], &x).expect(&[1.0, 5.0]),
        case("diagonal/above", |t| t[0].diagonal(1)).given([2, 3], &x).expect(&[2.0, 6.0]),
        case("diagonal/below", |t| t[0].diagonal(-1)).given([3, 2], &x).expect(&[3.0, 6.0]),
        case("diagonal/batched", |t| t[0].diagonal(-2)).random([2, 5, 3]),
        case("diagonal/beyond", |t| t[0].diagonal(7)).random([3, 5]).expect(&[]),
        case("diag_embed", |t| t[0].diag_embed()).given([2], &[1.0, 2.0]).expect(&[1.0, 0.0, 0.0, 2.0]),
        case("diag_embed/batched", |t| t[0].diag_embed()).random([3, 4]),
        case("trace", |t| t[0].trace()).given([2, 3], &x).expect(&[6.0]),
        case("trace/batched", |t| t[0].trace()).random([2, 4, 4]),
    ]
}
