//! The smallest element along axes, and its position.

use crate::case::{Case, Fill};
use crate::{Axes, DType, Tensor};

impl Tensor {
    /// The minimum along axes, which are dropped; ties share the gradient (PyTorch's `amin`). Where several
    /// elements are all ∞ it is the dtype's largest finite number.
    #[track_caller]
    pub fn min(&self, axes: impl Axes) -> Self {
        self.reversed("min").max(axes).reversed("min")
    }

    /// The minimum along axes, which stay with extent 1.
    #[track_caller]
    pub fn min_keep(&self, axes: impl Axes) -> Self {
        self.reversed("min").max_keep(axes).reversed("min")
    }

    /// The first position of the minimum along an axis, which is dropped; u32. Not differentiable.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Self {
        self.reversed("argmin").argmax(axis)
    }

    /// Values in the opposite order: −x, and for integers the bitwise complement, which cannot
    /// overflow. Its own inverse.
    #[track_caller]
    pub(super) fn reversed(&self, operation: &str) -> Self {
        match self.dtype() {
            DType::F32 | DType::F16 => self.neg(),
            DType::I32 | DType::U32 => self.bitwise_not(),
            DType::Bool => self.fail(operation, "is not defined for bool; use `all`"),
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    let inf = f64::INFINITY;
    let infinite = [inf, inf, inf, 1.0, -inf, 3.0];
    vec![
        case("min", |t| t[0].min(-1))
            .given([2, 3], &[1.0, 3.0, -8.0, 2.0, 2.0, 5.0])
            .expect(&[-8.0, 2.0])
            .no_gradient(),
        case("min/random", |t| t[0].min(0)).distinct([5, 3]),
        case("min/i32", |t| t[0].min(..))
            .operand(DType::I32, [3], Fill::Given(vec![5.0, -2147483648.0, 7.0]))
            .expect(&[-2147483648.0])
            .no_gradient(),
        case("min/u32", |t| t[0].min(..))
            .indices([3], &[5.0, 3.0, 4294967295.0])
            .expect(&[3.0])
            .no_gradient(),
        case("min/infinite", |t| t[0].min(-1))
            .given([3, 2], &infinite)
            .expect(&[f64::from(f32::MAX), 1.0, -inf])
            .no_gradient(),
        case("min/infinite-gradient", |t| t[0].min(-1).sum(..).gradients(&[&t[0]]).remove(0))
            .given([3, 2], &infinite)
            .expect(&[0.5, 0.5, 0.0, 1.0, 1.0, 0.0])
            .no_gradient(),
        case("min_keep", |t| &t[0] - t[0].min_keep(-1))
            .given([1, 3], &[4.0, 3.0, 7.0])
            .expect(&[1.0, 0.0, 4.0]),
        case("argmin", |t| t[0].argmin(-1))
            .given([2, 3], &[1.0, 3.0, -8.0, 2.0, 2.0, 5.0])
            .expect(&[2.0, 0.0])
            .no_gradient(),
        case("argmin/u32", |t| t[0].argmin(0))
            .indices([3], &[5.0, 3.0, 4294967295.0])
            .expect(&[1.0])
            .no_gradient(),
    ]
}
