//! Products of vectors, and of matrices in batches, by their usual names; `matmul` and `einsum` do them all.

use super::Contract;
use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// The sum of products of two vectors (PyTorch's `dot`).
    #[track_caller]
    pub fn dot(&self, other: &Self) -> Self {
        self.product_of(other, [1, 1], Contract::new("i", "i", ""), "dot")
    }

    /// Every product of an element of this vector with one of the other: \[m\] and \[n\] give \[m, n\]
    /// (PyTorch's `outer`).
    #[track_caller]
    pub fn outer(&self, other: &Self) -> Self {
        self.product_of(other, [1, 1], Contract::new("i", "j", "ij"), "outer")
    }

    /// The matrix products of two stacks of as many matrices: \[b, m, k\] and \[b, k, n\] give \[b, m, n\]
    /// (PyTorch's `bmm`).
    #[track_caller]
    pub fn bmm(&self, other: &Self) -> Self {
        self.product_of(other, [3, 3], Contract::new("bik", "bkj", "bij"), "bmm")
    }

    #[track_caller]
    fn product_of(&self, other: &Self, ranks: [usize; 2], op: Contract, operation: &str) -> Self {
        if self.is_valid() && other.is_valid() && [self.rank(), other.rank()] != ranks {
            let message =
                format!("needs operands of {ranks:?} axes, got {} and {}", self.spec(), other.spec());
            return self.fail(operation, message);
        }
        self.graph().record(op, &[self, other])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("dot", |t| t[0].dot(&t[1]))
            .given([3], &[1.0, 2.0, 3.0])
            .given([3], &[4.0, 5.0, 6.0])
            .expect(&[32.0]),
        case("outer", |t| t[0].outer(&t[1]))
            .given([2], &[1.0, 2.0])
            .given([3], &[3.0, 4.0, 5.0])
            .expect(&[3.0, 4.0, 5.0, 6.0, 8.0, 10.0]),
        case("bmm", |t| t[0].bmm(&t[1]))
            .given([2, 1, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2, 2, 1], &[5.0, 6.0, 7.0, 8.0])
            .expect(&[17.0, 53.0]),
        case("bmm/random", |t| t[0].bmm(&t[1])).random([3, 5, 4]).random([3, 4, 2]),
    ]
}
