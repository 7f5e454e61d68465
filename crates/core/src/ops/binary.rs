//! Elementwise functions of two operands, with broadcasting. The operators `+ - * / %` are next door.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::Operand;
use crate::case::{Case, Fill};
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
            // The derivative is 0 at an exponent of 0, also where the base is 0.
            Pow if first => {
                let lowered = (b - 1.0).masked_fill(&b.eq(0.0), 0.0);
                (g * b * a.pow(&lowered)).into()
            }
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
    pub(super) fn binary(&self, kind: BinaryKind, other: &impl Operand) -> Self {
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

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for &(kind, (a_low, a_high), (b_low, b_high), a, b, expected) in FLOATS {
        let build = move |t: &[Tensor]| t[0].binary(kind, &t[1]);
        let case = |variant: &str| Case::new(&format!("{}{variant}", kind.name()), build);
        let random = |variant: &str, a: &[usize], b: &[usize]| {
            case(variant).uniform(a, a_low, a_high).uniform(b, b_low, b_high)
        };
        cases.extend([
            case("").given([a.len()], a).given([b.len()], b).expect(expected).no_gradient(),
            random("/random", &[3, 5], &[3, 5]),
            random("/column", &[3, 1], &[1, 7]),
            random("/row", &[7], &[2, 3, 7]),
            random("/scalar", &[3, 5], &[]),
            random("/one", &[1], &[1, 1]),
            random("/none", &[3, 0], &[1]).expect(&[]),
            Case::new(&format!("{}/views", kind.name()), move |t| {
                t[0].t().binary(kind, &t[1].slice_step(1, 1..10, 2))
            })
            .uniform([5, 3], a_low, a_high)
            .uniform([3, 11], b_low, b_high),
        ]);
    }
    for &(kind, dtype, a, b, expected) in INTEGERS {
        let shape = [a.len()];
        let case = Case::new(&format!("{}/{dtype}", kind.name()), move |t| t[0].binary(kind, &t[1]))
            .operand(dtype, shape, Fill::Given(a.to_vec()))
            .operand(dtype, shape, Fill::Given(b.to_vec()))
            .expect(expected);
        cases.push(case.no_gradient());
    }
    cases.extend([
        Case::new("add/f16", |t| &t[0] + &t[1])
            .operand(DType::F16, [3, 5], Fill::Uniform(-2.0, 2.0))
            .operand(DType::F16, [5], Fill::Uniform(-2.0, 2.0)),
        Case::new("mul/large", |t| &t[0] * &t[1]).random([101, 97]).random([97]),
        Case::new("square", |t| t[0].square()).given([3], &[-1.5, 0.0, 4.0]).expect(&[2.25, 0.0, 16.0]),
        Case::new("pow/of-zero", |t| t[0].pow(&t[1]))
            .given([3], &[0.0, 0.0, 0.0])
            .given([3], &[0.0, 2.0, 3.0])
            .expect(&[1.0, 0.0, 0.0])
            .no_gradient(),
    ]);
    cases
}

type Range = (f64, f64);
type Sample = (BinaryKind, Range, Range, &'static [f64], &'static [f64], &'static [f64]);

/// Ranges of random operands, and hand-written operands and results.
const FLOATS: &[Sample] = &[
    (Add, (-2.0, 2.0), (-2.0, 2.0), &[1.0, -2.5], &[2.0, 0.5], &[3.0, -2.0]),
    (Sub, (-2.0, 2.0), (-2.0, 2.0), &[1.0, -2.5], &[2.0, 0.5], &[-1.0, -3.0]),
    (Mul, (-2.0, 2.0), (-2.0, 2.0), &[1.5, -2.5], &[2.0, 0.5], &[3.0, -1.25]),
    (Div, (-2.0, 2.0), (0.5, 2.0), &[1.0, -2.5], &[4.0, 0.5], &[0.25, -5.0]),
    (Rem, (1.1, 1.9), (0.6, 0.9), &[5.5, -5.5, 5.5], &[2.0, 2.0, -2.0], &[1.5, -1.5, 1.5]),
    (Pow, (0.5, 2.0), (-2.0, 2.0), &[2.0, 4.0, 0.25], &[3.0, 0.5, -1.0], &[8.0, 2.0, 4.0]),
    (Maximum, (-2.0, 2.0), (-2.0, 2.0), &[1.0, -2.5, 3.0], &[2.0, -3.0, 3.0], &[2.0, -2.5, 3.0]),
    (Minimum, (-2.0, 2.0), (-2.0, 2.0), &[1.0, -2.5, 3.0], &[2.0, -3.0, 3.0], &[1.0, -3.0, 3.0]),
    (Atan2, (-2.0, 2.0), (0.5, 2.0), &[1.0, 0.0, -1.0], &[1.0, -1.0, 0.0], &[FRAC_PI_4, PI, -FRAC_PI_2]),
];

type IntegerSample = (BinaryKind, DType, &'static [f64], &'static [f64], &'static [f64]);

/// Hand-written integer and bool operands and results: wrapping, and WGSL's rules for zero divisors.
const INTEGERS: &[IntegerSample] = &[
    (Add, DType::I32, &[2147483647.0, -3.0], &[1.0, 1.0], &[-2147483648.0, -2.0]),
    (Add, DType::U32, &[4294967295.0, 3.0], &[2.0, 4.0], &[1.0, 7.0]),
    (Sub, DType::I32, &[-2147483648.0, 3.0], &[1.0, 5.0], &[2147483647.0, -2.0]),
    (Sub, DType::U32, &[0.0, 7.0], &[1.0, 5.0], &[4294967295.0, 2.0]),
    (Mul, DType::I32, &[65536.0, -3.0], &[65536.0, 5.0], &[0.0, -15.0]),
    (Mul, DType::U32, &[4294967295.0, 3.0], &[4294967295.0, 5.0], &[1.0, 15.0]),
    (Div, DType::I32, &[7.0, -7.0, 5.0], &[2.0, 2.0, 0.0], &[3.0, -3.0, 5.0]),
    (Div, DType::U32, &[7.0, 4294967295.0, 5.0], &[2.0, 2.0, 0.0], &[3.0, 2147483647.0, 5.0]),
    (Rem, DType::I32, &[7.0, -7.0, 5.0], &[3.0, 3.0, 0.0], &[1.0, -1.0, 0.0]),
    (Rem, DType::U32, &[7.0, 4294967295.0, 5.0], &[3.0, 10.0, 0.0], &[1.0, 5.0, 0.0]),
    (Maximum, DType::I32, &[-1.0, 2.0], &[1.0, -2.0], &[1.0, 2.0]),
    (Maximum, DType::U32, &[4294967295.0, 2.0], &[1.0, 3.0], &[4294967295.0, 3.0]),
    (Minimum, DType::I32, &[-1.0, 2.0], &[1.0, -2.0], &[-1.0, -2.0]),
    (Minimum, DType::U32, &[4294967295.0, 2.0], &[1.0, 3.0], &[1.0, 2.0]),
    (And, DType::I32, &[-1.0, 12.0], &[7.0, 10.0], &[7.0, 8.0]),
    (And, DType::U32, &[4294967295.0, 12.0], &[7.0, 10.0], &[7.0, 8.0]),
    (And, DType::Bool, &[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0], &[0.0, 0.0, 0.0, 1.0]),
    (Or, DType::I32, &[-8.0, 12.0], &[7.0, 10.0], &[-1.0, 14.0]),
    (Or, DType::U32, &[8.0, 12.0], &[7.0, 10.0], &[15.0, 14.0]),
    (Or, DType::Bool, &[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0]),
    (Xor, DType::I32, &[-1.0, 12.0], &[7.0, 10.0], &[-8.0, 6.0]),
    (Xor, DType::U32, &[4294967295.0, 12.0], &[1.0, 10.0], &[4294967294.0, 6.0]),
    (Xor, DType::Bool, &[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 0.0]),
    (ShiftLeft, DType::I32, &[1.0, 3.0, -1.0], &[31.0, 1.0, 33.0], &[-2147483648.0, 6.0, -2.0]),
    (
        ShiftLeft,
        DType::U32,
        &[1.0, 3.0, 4294967295.0],
        &[31.0, 1.0, 33.0],
        &[2147483648.0, 6.0, 4294967294.0],
    ),
    (ShiftRight, DType::I32, &[-8.0, 7.0, 5.0], &[1.0, 1.0, 33.0], &[-4.0, 3.0, 2.0]),
    (ShiftRight, DType::U32, &[4294967295.0, 7.0, 5.0], &[31.0, 1.0, 33.0], &[1.0, 3.0, 2.0]),
];
