//! Slices added to a tensor at given positions.

use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// This tensor with slice i of `source` added at position index\[i\] along an axis, for u32 indices \[K\];
    /// positions may repeat (PyTorch's `index_add`). Positions beyond the axis are left out.
    #[track_caller]
    pub fn index_add(&self, axis: isize, index: &Self, source: &Self) -> Self {
        if ![self, index, source].iter().all(|tensor| tensor.is_valid()) {
            return self.invalid();
        }
        let (shape, slices) = (self.shape(), source.shape());
        let axis = match shape.axis(axis) {
            Ok(axis) => axis,
            Err(message) => return self.fail("index_add", message),
        };
        let mut wanted = shape.to_vec();
        wanted[axis] = index.numel();
        if index.rank() != 1 || slices[..] != wanted[..] {
            let message =
                format!("indices {} and slices {slices} do not fit {shape} along axis {axis}", index.spec());
            return self.fail("index_add", message);
        }
        let mut aligned = vec![1; shape.rank()];
        aligned[axis] = index.numel();
        let positions = index.reshape(aligned).expand(&slices);
        self + source.scatter_add(axis as isize, &positions, shape[axis])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let index_add = |variant: &str, axis: isize| {
        Case::new(&format!("index_add{variant}"), move |t| t[0].index_add(axis, &t[1], &t[2]))
    };
    vec![
        index_add("", 0)
            .given([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .indices([3], &[2.0, 0.0, 2.0])
            .given([3, 2], &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
            .expect(&[31.0, 42.0, 3.0, 4.0, 65.0, 86.0]),
        index_add("/last", -1).random([3, 5]).labels([7], 5).random([3, 7]),
        index_add("/nothing", 0).random([3, 2]).labels([0], 3).random([0, 2]),
    ]
}
