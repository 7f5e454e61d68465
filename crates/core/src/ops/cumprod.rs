//! Running products.

use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// The running product along an axis, including each element itself (PyTorch's `cumprod`). In log₂ n
    /// rounds each element is multiplied with the product that ends 1, 2, 4, … before it, so that its gradient
    /// is right where factors are zero.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Self {
        let shape = self.shape();
        let axis = match shape.axis(axis) {
            Ok(axis) => axis,
            Err(message) => return self.fail("cumprod", message),
        };
        let n = shape[axis];
        let mut products = self.clone();
        let mut distance = 1;
        while distance < n {
            let mut amounts = vec![(0, 0); shape.rank()];
            amounts[axis] = (distance, 0);
            let before = products.slice(axis as isize, 0..n - distance).pad(&amounts, 1.0);
            products = products * before;
            distance *= 2;
        }
        products
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("cumprod", |t| t[0].cumprod(0))
            .given([3, 2], &[1.0, 2.0, 3.0, 0.0, 5.0, 6.0])
            .expect(&[1.0, 2.0, 3.0, 0.0, 15.0, 0.0]),
        Case::new("cumprod/last", |t| t[0].cumprod(-1)).random([3, 7]),
        Case::new("cumprod/middle", |t| t[0].cumprod(1)).random([2, 5, 3]),
        Case::new("cumprod/one", |t| t[0].cumprod(0) * 2.0).random([1, 3]),
        Case::new("cumprod/none", |t| t[0].cumprod(1) * 2.0).random([3, 0]).expect(&[]),
        Case::new("cumprod/wraps", |t| t[0].cumprod(0))
            .indices([3], &[65536.0, 65537.0, 2.0])
            .expect(&[65536.0, 65536.0, 131072.0])
            .no_gradient(),
    ]
}
