//! Whether any, or all, elements along axes are true.

use crate::case::{Case, Fill};
use crate::{Axes, DType, Tensor};

impl Tensor {
    /// Whether any element along axes, which are dropped, is true (not zero); bool. False over no
    /// elements.
    #[track_caller]
    pub fn any(&self, axes: impl Axes) -> Self {
        self.cast(DType::Bool).cast(DType::U32).max(axes).ne(0.0)
    }

    /// Whether all elements along axes, which are dropped, are true (not zero); bool. True over no
    /// elements.
    #[track_caller]
    pub fn all(&self, axes: impl Axes) -> Self {
        self.eq(self.zeros_like()).any(axes).logical_not()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let truth = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let matrix = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build).no_gradient();
    vec![
        matrix("any", |t| t[0].any(-1)).given([3, 2], &truth).expect(&[0.0, 1.0, 1.0]),
        matrix("any/empty", |t| t[0].any(0)).random([0, 2]).expect(&[0.0, 0.0]),
        matrix("any/bool", |t| t[0].any(..)).operand(DType::Bool, [5, 3], Fill::Uniform(0.0, 2.0)),
        matrix("all", |t| t[0].all(-1)).given([3, 2], &truth).expect(&[0.0, 0.0, 1.0]),
        matrix("all/empty", |t| t[0].all(0)).random([0, 2]).expect(&[1.0, 1.0]),
        matrix("all/u32", |t| t[0].all(0)).labels([3, 5], 4),
    ]
}
