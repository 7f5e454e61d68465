//! The operators `+ - * / %` and unary minus, between tensors and between a tensor and a number.

use super::BinaryKind;
use crate::Tensor;
use crate::case::Case;

/// The other operand of a binary operation: a tensor, or a number in the tensor's dtype.
pub trait Operand {
    /// The operand as a tensor of the graph of `like`.
    fn tensor(&self, like: &Tensor) -> Tensor;
}

impl Operand for Tensor {
    fn tensor(&self, _: &Tensor) -> Tensor {
        self.clone()
    }
}

impl Operand for &Tensor {
    fn tensor(&self, _: &Tensor) -> Tensor {
        (*self).clone()
    }
}

impl Operand for f64 {
    #[track_caller]
    fn tensor(&self, like: &Tensor) -> Tensor {
        like.graph().scalar(*self, like.dtype())
    }
}

macro_rules! operators {
    ($($Trait:ident $method:ident $Kind:ident;)*) => {$(
        impl<O: Operand> std::ops::$Trait<O> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: O) -> Tensor {
                self.binary(BinaryKind::$Kind, &other)
            }
        }
        impl<O: Operand> std::ops::$Trait<O> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: O) -> Tensor {
                self.binary(BinaryKind::$Kind, &other)
            }
        }
        impl std::ops::$Trait<&Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Operand::tensor(&self, other).binary(BinaryKind::$Kind, &other)
            }
        }
        impl std::ops::$Trait<Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Operand::tensor(&self, &other).binary(BinaryKind::$Kind, &other)
            }
        }
    )*};
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
    Rem rem Rem;
}

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build).given([2], &[4.0, -0.5]);
    vec![
        case("add/number", |t| &t[0] + 1.0).expect(&[5.0, 0.5]),
        case("add/to-number", |t| 1.0 + &t[0]).expect(&[5.0, 0.5]),
        case("sub/number", |t| &t[0] - 1.0).expect(&[3.0, -1.5]),
        case("sub/from-number", |t| 1.0 - t[0].clone()).expect(&[-3.0, 1.5]),
        case("mul/number", |t| t[0].clone() * 2.0).expect(&[8.0, -1.0]),
        case("div/number", |t| &t[0] / 2.0).expect(&[2.0, -0.25]),
        case("div/of-number", |t| 2.0 / &t[0]).expect(&[0.5, -4.0]),
        case("rem/number", |t| &t[0] % 3.0).expect(&[1.0, -0.5]),
        case("neg/operator", |t| -&t[0]).expect(&[-4.0, 0.5]),
    ]
}
