//! Comparisons and selection.

use super::Operand;
use crate::case::{Case, Fill};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// An elementwise comparison of two operands of one shape and dtype; the result is bool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Which comparison.
    pub kind: CompareKind,
}

/// The comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareKind {
    /// a = b
    Eq,
    /// a ≠ b
    Ne,
    /// a < b
    Lt,
    /// a ≤ b
    Le,
    /// a > b
    Gt,
    /// a ≥ b
    Ge,
}

impl CompareKind {
    /// Every comparison.
    pub const ALL: &[Self] = &[Self::Eq, Self::Ne, Self::Lt, Self::Le, Self::Gt, Self::Ge];

    /// The name used in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
        }
    }

    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Eq => a == b,
            Self::Ne => a != b,
            Self::Lt => a < b,
            Self::Le => a <= b,
            Self::Gt => a > b,
            Self::Ge => a >= b,
        }
    }
}

impl Primitive for Compare {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        if inputs[0] != inputs[1] {
            return Err(format!("operands are {} and {}", inputs[0], inputs[1]));
        }
        Ok(TensorSpec::new(DType::Bool, &inputs[0].shape))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let pairs = inputs[0].data.iter().zip(&inputs[1].data);
        let data = pairs.map(|(&a, &b)| f64::from(self.kind.holds(a, b))).collect();
        Array { spec: output.clone(), data }
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        Cotangent::NotDifferentiable
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        output.shape.numel() as u64
    }
}

/// `condition ? a : b`, elementwise. Operands: bool, a, b of one shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Primitive for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (condition, a, b) = (inputs[0], inputs[1], inputs[2]);
        if condition.dtype != DType::Bool || a != b || condition.shape != a.shape {
            return Err(format!("needs a bool condition and two alike, got {condition}, {a} and {b}"));
        }
        Ok(a.clone())
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let pick = |i: usize| inputs[if inputs[0].data[i] != 0.0 { 1 } else { 2 }].data[i];
        Array { spec: output.clone(), data: (0..output.shape.numel()).map(pick).collect() }
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        let zeros = cx.cotangent.zeros_like();
        match input {
            0 => Cotangent::Zero,
            1 => cx.inputs[0].select(cx.cotangent, &zeros).into(),
            _ => cx.inputs[0].select(&zeros, cx.cotangent).into(),
        }
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        output.shape.numel() as u64
    }
}

macro_rules! comparisons {
    ($($method:ident $Kind:ident $sign:literal;)*) => {
        impl Tensor {$(
            #[doc = concat!("Elementwise self ", $sign, " other, as bool.")]
            #[track_caller]
            pub fn $method(&self, other: impl Operand) -> Self {
                self.compare(CompareKind::$Kind, &other)
            }
        )*}
    };
}

comparisons! {
    eq Eq "=";
    ne Ne "≠";
    lt Lt "<";
    le Le "≤";
    gt Gt ">";
    ge Ge "≥";
}

impl Tensor {
    #[track_caller]
    fn compare(&self, kind: CompareKind, other: &impl Operand) -> Self {
        let other = other.tensor(self);
        match self.broadcast_with(kind.name(), &other) {
            Some((a, b)) => self.graph().record(Compare { kind }, &[&a, &b]),
            None => self.invalid(),
        }
    }

    /// Elementwise choice by a bool tensor: `a` where true, `b` where false (PyTorch's `where`), with
    /// broadcasting.
    #[track_caller]
    pub fn select(&self, a: &Self, b: &Self) -> Self {
        let Some((a, b)) = a.broadcast_with("select", b) else { return self.invalid() };
        let Some((condition, a)) = self.broadcast_with("select", &a) else { return self.invalid() };
        let b = b.expand(a.shape());
        self.graph().record(Select, &[&condition, &a, &b])
    }

    /// This tensor with `value` wherever the bool `mask` is true.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Self, value: f64) -> Self {
        mask.select(&self.graph().scalar(value, self.dtype()), self)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for &kind in CompareKind::ALL {
        let build = move |t: &[Tensor]| t[0].compare(kind, &t[1]);
        let case = |variant: &str| Case::new(&format!("{}{variant}", kind.name()), build).no_gradient();
        let expected: [f64; 3] = match kind {
            CompareKind::Eq => [0.0, 1.0, 0.0],
            CompareKind::Ne => [1.0, 0.0, 1.0],
            CompareKind::Lt => [1.0, 0.0, 0.0],
            CompareKind::Le => [1.0, 1.0, 0.0],
            CompareKind::Gt => [0.0, 0.0, 1.0],
            CompareKind::Ge => [0.0, 1.0, 1.0],
        };
        let (low, high) = ([-1.0, 2.5, 4.0], [0.0, 2.5, -4.0]);
        let words = |values: [f64; 3]| Fill::Given(values.to_vec());
        cases.extend([
            case("").given([3], &low).given([3], &high).expect(&expected),
            case("/i32")
                .operand(DType::I32, [3], words([-1.0, 2.0, 4.0]))
                .operand(DType::I32, [3], words([0.0, 2.0, -4.0]))
                .expect(&expected),
            case("/u32")
                .indices([3], &[1.0, 7.0, 4294967295.0])
                .indices([3], &[2.0, 7.0, 3.0])
                .expect(&expected),
            case("/broadcast").random([3, 1]).random([7]),
            case("/none").random([0]).random([1]).expect(&[]),
        ]);
    }
    let select =
        |variant: &str, build: fn(&[Tensor]) -> Tensor| Case::new(&format!("select{variant}"), build);
    cases.extend([
        select("", |t| t[0].select(&t[1], &t[2]))
            .operand(DType::Bool, [3], Fill::Given(vec![1.0, 0.0, 1.0]))
            .given([3], &[1.0, 2.0, 3.0])
            .given([3], &[4.0, 5.0, 6.0])
            .expect(&[1.0, 5.0, 3.0]),
        select("/broadcast", |t| t[0].select(&t[1], &t[2]))
            .operand(DType::Bool, [3, 1], Fill::Uniform(0.0, 2.0))
            .random([5])
            .random([]),
        select("/u32", |t| t[0].select(&t[1], &t[2]))
            .operand(DType::Bool, [7], Fill::Uniform(0.0, 2.0))
            .labels([7], 100)
            .labels([7], 100)
            .no_gradient(),
        select("/views", |t| t[0].t().select(&t[1].t(), &t[2].slice(0, 1..4)))
            .operand(DType::Bool, [5, 3], Fill::Uniform(0.0, 2.0))
            .random([5, 3])
            .random([5, 5]),
        Case::new("masked_fill", |t| t[1].masked_fill(&t[0], -7.0))
            .operand(DType::Bool, [2, 2], Fill::Given(vec![1.0, 0.0, 0.0, 1.0]))
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .expect(&[-7.0, 2.0, 3.0, -7.0]),
    ]);
    cases
}
