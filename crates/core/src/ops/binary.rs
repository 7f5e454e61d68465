//! Elementwise functions of two operands, and the operators `+ - * / %` with broadcasting.

use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// An elementwise function of two operands of one shape and dtype.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binary {
    /// Which function.
    pub kind: BinaryKind,
}

/// The elementwise functions of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryKind {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b; integers divide towards zero.
    Div,
    /// The remainder of `Div`, with the sign of a.
    Rem,
    /// aᵇ
    Pow,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// The angle of (b, a): atan2(a, b).
    Atan2,
    /// Bitwise (or logical) and.
    And,
    /// Bitwise (or logical) or.
    Or,
    /// Bitwise (or logical) exclusive or.
    Xor,
    /// a · 2ᵇ, bits beyond the word lost.
    ShiftLeft,
    /// a / 2ᵇ rounded down.
    ShiftRight,
}

use BinaryKind::*;

impl BinaryKind {
    /// Every function.
    pub const ALL: &[Self] =
        &[Add, Sub, Mul, Div, Rem, Pow, Maximum, Minimum, Atan2, And, Or, Xor, ShiftLeft, ShiftRight];

    /// The name used in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Add => "add",
            Sub => "sub",
            Mul => "mul",
            Div => "div",
            Rem => "rem",
            Pow => "pow",
            Maximum => "maximum",
            Minimum => "minimum",
            Atan2 => "atan2",
            And => "and",
            Or => "or",
            Xor => "xor",
            ShiftLeft => "shift_left",
            ShiftRight => "shift_right",
        }
    }

    fn accepts(self, dtype: DType) -> bool {
        match self {
            Add | Sub | Mul | Div | Rem | Maximum | Minimum => dtype != DType::Bool,
            Pow | Atan2 => dtype.is_float(),
            And | Or | Xor => !dtype.is_float(),
            ShiftLeft | ShiftRight => dtype.is_int(),
        }
    }

    fn of_floats(self, a: f64, b: f64) -> f64 {
        match self {
            Add => a + b,
            Sub => a - b,
            Mul => a * b,
            Div => a / b,
            Rem => a % b,
            Pow => a.powf(b),
            Maximum => a.max(b),
            Minimum => a.min(b),
            Atan2 => a.atan2(b),
            And | Or | Xor | ShiftLeft | ShiftRight => unreachable!("refused for floats"),
        }
    }

    fn of_integers(self, a: i64, b: i64) -> i64 {
        match self {
            Add => a + b,
            Sub => a - b,
            Mul => a.wrapping_mul(b),
            // WGSL defines division by zero as a, and the remainder as 0.
            Div => {
                if b == 0 {
                    a
                } else {
                    a / b
                }
            }
            Rem => {
                if b == 0 {
                    0
                } else {
                    a % b
                }
            }
            Maximum => a.max(b),
            Minimum => a.min(b),
            And => a & b,
            Or => a | b,
            Xor => a ^ b,
            ShiftLeft => a << (b & 31),
            ShiftRight => a >> (b & 31),
            Pow | Atan2 => unreachable!("refused for integers"),
        }
    }
}

impl Primitive for Binary {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype != b.dtype {
            return Err(format!("operands are {a} and {b}; use `cast` to give them one dtype"));
        }
        if a.shape != b.shape {
            return Err(format!("operands have shapes {} and {}", a.shape, b.shape));
        }
        if !self.kind.accepts(a.dtype) {
            return Err(format!("is not defined for {}", a.dtype));
        }
        Ok(a.clone())
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let value = |a: f64, b: f64| {
            if output.dtype.is_float() {
                self.kind.of_floats(a, b)
            } else {
                output.dtype.round_integer(self.kind.of_integers(a as i64, b as i64))
            }
        };
        let data = inputs[0].data.iter().zip(&inputs[1].data).map(|(&a, &b)| value(a, b)).collect();
        Array { spec: output.clone(), data }
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        let (a, b, g) = (&cx.inputs[0], &cx.inputs[1], cx.cotangent);
        let first = input == 0;
        match self.kind {
            Add => g.clone().into(),
            Sub => if first { g.clone() } else { -g }.into(),
            Mul => (g * if first { b } else { a }).into(),
            Div if first => (g / b).into(),
            Div => (-(g * cx.output / b)).into(),
            Rem if first => g.clone().into(),
            Rem => (-(g * (a / b).detach().trunc())).into(),
            Pow if first => (g * b * a.pow(&(b - 1.0))).into(),
            // The derivative in the exponent, bᵃ·ln a, is 0 at a = 0.
            Pow => {
                let positive = a.gt(0.0);
                let base = positive.select(a, &a.ones_like());
                (g * cx.output * base.log()).into()
            }
            // Ties share the gradient, as in PyTorch.
            Maximum | Minimum => {
                let (mine, other) = if first { (a, b) } else { (b, a) };
                let wins = if self.kind == Maximum { mine.gt(other) } else { mine.lt(other) };
                let share = mine.eq(other).select(&(g * 0.5), &g.zeros_like());
                wins.select(g, &share).into()
            }
            Atan2 => {
                let norm = a * a + b * b;
                if first { g * b / norm } else { -(g * a / norm) }.into()
            }
            And | Or | Xor | ShiftLeft | ShiftRight => Cotangent::NotDifferentiable,
        }
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        output.shape.numel() as u64
    }
}

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

impl Tensor {
    /// Two operands expanded to their common shape.
    #[track_caller]
    pub(crate) fn broadcast_with(&self, operation: &str, other: &Self) -> Option<(Self, Self)> {
        if !self.is_valid() || !other.is_valid() {
            return None;
        }
        match self.shape().broadcast(&other.shape()) {
            Ok(shape) => Some((self.expand(&shape), other.expand(&shape))),
            Err(message) => {
                self.fail(operation, message);
                None
            }
        }
    }

    #[track_caller]
    fn binary(&self, kind: BinaryKind, other: &impl Operand) -> Self {
        let other = other.tensor(self);
        match self.broadcast_with(kind.name(), &other) {
            Some((a, b)) => self.graph().record(Binary { kind }, &[&a, &b]),
            None => self.invalid(),
        }
    }

    /// An invalid tensor, after a mistake that has already been reported.
    pub(crate) fn invalid(&self) -> Self {
        self.graph().invalid()
    }

    /// selfᵇ, elementwise. The derivative in the exponent is taken as 0 where the base is not positive.
    #[track_caller]
    pub fn pow(&self, exponent: &impl Operand) -> Self {
        self.binary(Pow, exponent)
    }

    /// x·x.
    #[track_caller]
    pub fn square(&self) -> Self {
        self * self
    }

    /// The elementwise larger of two tensors; ties share the gradient.
    #[track_caller]
    pub fn maximum(&self, other: impl Operand) -> Self {
        self.binary(Maximum, &other)
    }

    /// The elementwise smaller of two tensors; ties share the gradient.
    #[track_caller]
    pub fn minimum(&self, other: impl Operand) -> Self {
        self.binary(Minimum, &other)
    }

    /// The angle in radians of the point (other, self).
    #[track_caller]
    pub fn atan2(&self, other: impl Operand) -> Self {
        self.binary(Atan2, &other)
    }

    /// Bitwise and of integers, logical and of booleans.
    #[track_caller]
    pub fn and(&self, other: &Self) -> Self {
        self.binary(And, other)
    }

    /// Bitwise or of integers, logical or of booleans.
    #[track_caller]
    pub fn or(&self, other: &Self) -> Self {
        self.binary(Or, other)
    }

    /// Bitwise exclusive or of integers, logical exclusive or of booleans.
    #[track_caller]
    pub fn xor(&self, other: &Self) -> Self {
        self.binary(Xor, other)
    }

    /// Shifts integers left by the other operand modulo 32.
    #[track_caller]
    pub fn shift_left(&self, other: &Self) -> Self {
        self.binary(ShiftLeft, other)
    }

    /// Shifts integers right by the other operand modulo 32, keeping the sign of signed ones.
    #[track_caller]
    pub fn shift_right(&self, other: &Self) -> Self {
        self.binary(ShiftRight, other)
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
        Tensor::neg(&self)
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}
