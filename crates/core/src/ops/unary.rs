//! Elementwise functions of one operand: one row of [`UnaryKind`] each.

use std::f64::consts::{E, FRAC_1_SQRT_2, FRAC_PI_2, FRAC_PI_3, FRAC_PI_4, FRAC_PI_6, LN_2, SQRT_2};

use std::sync::Arc;

use crate::case::{Case, Fill};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// An elementwise function of one operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unary {
    /// Which function.
    pub kind: UnaryKind,
}

/// What dtypes a function accepts.
#[derive(Clone, Copy, PartialEq)]
enum Domain {
    Float,
    Number,
    Int,
    Bool,
}

/// A gradient rule: (input, output, output's gradient) to the input's gradient.
type Rule = fn(&Tensor, &Tensor, &Tensor) -> Tensor;

macro_rules! unary {
    ($($(#[$doc:meta])* $Kind:ident $method:ident $domain:ident, |$x:ident| $value:expr, $rule:expr;)*) => {
        /// The elementwise functions of one operand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UnaryKind { $($(#[$doc])* $Kind,)* }

        impl UnaryKind {
            /// Every function.
            pub const ALL: &[Self] = &[$(Self::$Kind,)*];

            /// The method's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Kind => stringify!($method),)* }
            }

            const fn domain(self) -> Domain {
                match self { $(Self::$Kind => Domain::$domain,)* }
            }

            fn value(self, x: f64) -> f64 {
                match self { $(Self::$Kind => { let $x = x; $value })* }
            }

            fn rule(self) -> Option<Rule> {
                match self { $(Self::$Kind => $rule,)* }
            }
        }

        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $method(&self) -> Self {
                self.graph().record(Unary { kind: UnaryKind::$Kind }, &[self])
            })*
        }
    };
}

unary! {
    /// −x.
    Neg neg Number, |x| -x, Some(|_, _, g| -g);
    /// |x|; the derivative at 0 is taken as 0.
    Abs abs Number, |x| x.abs(), Some(|x, _, g| g * x.detach().sign());
    /// −1, 0 or 1. Not differentiable.
    Sign sign Number, |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 }, None;
    /// The largest integer not above x. Not differentiable.
    Floor floor Float, |x| x.floor(), None;
    /// The smallest integer not below x. Not differentiable.
    Ceil ceil Float, |x| x.ceil(), None;
    /// The nearest integer, ties to even. Not differentiable.
    Round round Float, |x| x.round_ties_even(), None;
    /// The integer part. Not differentiable.
    Trunc trunc Float, |x| x.trunc(), None;
    /// √x.
    Sqrt sqrt Float, |x| x.sqrt(), Some(|_, y, g| g * 0.5 / y);
    /// 1/√x.
    Rsqrt rsqrt Float, |x| 1.0 / x.sqrt(), Some(|x, y, g| g * -0.5 * y / x);
    /// 1/x.
    Reciprocal reciprocal Float, |x| 1.0 / x, Some(|_, y, g| -(g * y * y));
    /// eˣ.
    Exp exp Float, |x| x.exp(), Some(|_, y, g| g * y);
    /// eˣ − 1, accurate near 0.
    Expm1 expm1 Float, |x| x.exp_m1(), Some(|x, _, g| g * x.exp());
    /// The natural logarithm.
    Log log Float, |x| x.ln(), Some(|x, _, g| g / x);
    /// ln(1 + x), accurate near 0.
    Log1p log1p Float, |x| x.ln_1p(), Some(|x, _, g| g / (x + 1.0));
    /// Sine of radians.
    Sin sin Float, |x| x.sin(), Some(|x, _, g| g * x.cos());
    /// Cosine of radians.
    Cos cos Float, |x| x.cos(), Some(|x, _, g| -(g * x.sin()));
    /// Tangent of radians.
    Tan tan Float, |x| x.tan(), Some(|_, y, g| g * (y * y + 1.0));
    /// Inverse sine.
    Asin asin Float, |x| x.asin(), Some(|x, _, g| g * (1.0 - x * x).rsqrt());
    /// Inverse cosine.
    Acos acos Float, |x| x.acos(), Some(|x, _, g| -(g * (1.0 - x * x).rsqrt()));
    /// Inverse tangent.
    Atan atan Float, |x| x.atan(), Some(|x, _, g| g / (x * x + 1.0));
    /// Hyperbolic sine.
    Sinh sinh Float, |x| x.sinh(), Some(|x, _, g| g * x.cosh());
    /// Hyperbolic cosine.
    Cosh cosh Float, |x| x.cosh(), Some(|x, _, g| g * x.sinh());
    /// Hyperbolic tangent.
    Tanh tanh Float, |x| x.tanh(), Some(|_, y, g| g * (1.0 - y * y));
    /// Inverse hyperbolic sine.
    Asinh asinh Float, |x| x.asinh(), Some(|x, _, g| g * (x * x + 1.0).rsqrt());
    /// Inverse hyperbolic cosine.
    Acosh acosh Float, |x| x.acosh(), Some(|x, _, g| g * (x * x - 1.0).rsqrt());
    /// Inverse hyperbolic tangent.
    Atanh atanh Float, |x| x.atanh(), Some(|x, _, g| g / (1.0 - x * x));
    /// The logistic function 1 / (1 + e⁻ˣ).
    Sigmoid sigmoid Float, |x| 1.0 / (1.0 + (-x).exp()), Some(|_, y, g| g * y * (1.0 - y));
    /// The error function.
    Erf erf Float, |x| erf(x), Some(|x, _, g| g * (-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI);
    /// 1 − erf(x), accurate where erf is close to 1.
    Erfc erfc Float, |x| erfc(x), Some(|x, _, g| -(g * (-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI));
    /// max(x, 0); the derivative at 0 is taken as 0.
    Relu relu Float, |x| if x <= 0.0 { 0.0 } else { x }, Some(|_, y, g| y.gt(0.0).select(g, &g.zeros_like()));
    /// Bitwise complement of integers. Not differentiable.
    BitNot bitwise_not Int, |x| -x - 1.0, None;
    /// Logical negation. Not differentiable.
    Not logical_not Bool, |x| f64::from(x == 0.0), None;
}

/// The error function to f64 accuracy: the Maclaurin series below 2 (Abramowitz & Stegun 7.1.5), and by its
/// complement above.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    let value = if a < 2.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= -a * a / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        std::f64::consts::FRAC_2_SQRT_PI * sum
    } else {
        1.0 - erfc(a)
    };
    value.copysign(x)
}

/// 1 − erf(x) to f64 accuracy: from 1 on by its continued fraction (Abramowitz & Stegun 7.1.14).
fn erfc(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        return 1.0 - erf(x);
    }
    let tail = (1..=400).rev().fold(0.0, |tail, k| 0.5 * k as f64 / (x + tail));
    (-x * x).exp() / ((x + tail) * std::f64::consts::PI.sqrt())
}

impl Primitive for Unary {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let dtype = inputs[0].dtype;
        let (accepts, wants) = match self.kind.domain() {
            Domain::Float => (dtype.is_float(), "a float"),
            Domain::Number => (dtype.is_float() || dtype == DType::I32, "a signed number"),
            Domain::Int => (dtype.is_int(), "an integer"),
            Domain::Bool => (dtype == DType::Bool, "a bool"),
        };
        if accepts { Ok(inputs[0].clone()) } else { Err(format!("needs {wants} tensor, got {}", inputs[0])) }
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let wrap = |v: f64| if output.dtype.is_float() { v } else { output.dtype.round(v) };
        let data = inputs[0].data.iter().map(|&x| wrap(self.kind.value(x))).collect();
        Array { spec: output.clone(), data }
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        match self.kind.rule() {
            Some(rule) => rule(&cx.inputs[0], cx.output, cx.cotangent).into(),
            None => Cotangent::NotDifferentiable,
        }
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        output.shape.numel() as u64
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for &(kind, (low, high), x, expected) in FLOATS {
        let build = move |t: &[Tensor]| t[0].graph().record(Unary { kind }, &[&t[0]]);
        let case = |variant: &str| {
            let case = Case::new(&format!("{}{variant}", kind.name()), build);
            if kind.rule().is_some() { case } else { case.no_gradient() }
        };
        let turned = move |t: &[Tensor]| t[0].graph().record(Unary { kind }, &[&t[0].t().slice(0, 1..4)]);
        cases.extend([
            case("").given([x.len()], x).expect(expected).no_gradient(),
            case("/random").uniform([7, 5], low, high),
            case("/scalar").uniform([], low, high),
            case("/none").uniform([0, 3], low, high).expect(&[]),
            Case { build: Arc::new(turned), ..case("/view").uniform([3, 5], low, high) },
        ]);
    }
    for &(kind, dtype, x, expected) in INTEGERS {
        let build = move |t: &[Tensor]| t[0].graph().record(Unary { kind }, &[&t[0]]);
        let case = Case::new(&format!("{}/{dtype}", kind.name()), build);
        cases.push(case.operand(dtype, [x.len()], Fill::Given(x.to_vec())).expect(expected).no_gradient());
    }
    cases.push(Case::new("relu/large", |t| t[0].relu()).random([101, 97]));
    cases.push(Case::new("tanh/f16", |t| t[0].tanh()).operand(DType::F16, [3, 5], Fill::Uniform(-2.0, 2.0)));
    cases
}

type Sample = (UnaryKind, (f64, f64), &'static [f64], &'static [f64]);

/// Ranges of random operands, and hand-written operands and results.
const FLOATS: &[Sample] = &[
    (UnaryKind::Neg, (-2.0, 2.0), &[0.0, 1.5, -2.0], &[0.0, -1.5, 2.0]),
    (UnaryKind::Abs, (-2.0, 2.0), &[0.0, 1.5, -2.0], &[0.0, 1.5, 2.0]),
    (UnaryKind::Sign, (-2.0, 2.0), &[0.0, 1.5, -2.0], &[0.0, 1.0, -1.0]),
    (UnaryKind::Floor, (-9.0, 9.0), &[1.5, -1.5, 2.0], &[1.0, -2.0, 2.0]),
    (UnaryKind::Ceil, (-9.0, 9.0), &[1.5, -1.5, 2.0], &[2.0, -1.0, 2.0]),
    (UnaryKind::Round, (-9.0, 9.0), &[0.5, 1.5, -2.5, 1.25], &[0.0, 2.0, -2.0, 1.0]),
    (UnaryKind::Trunc, (-9.0, 9.0), &[1.5, -1.5, 2.0], &[1.0, -1.0, 2.0]),
    (UnaryKind::Sqrt, (0.25, 4.0), &[0.0, 2.25, 2.0], &[0.0, 1.5, SQRT_2]),
    (UnaryKind::Rsqrt, (0.25, 4.0), &[4.0, 0.25, 2.0], &[0.5, 2.0, FRAC_1_SQRT_2]),
    (UnaryKind::Reciprocal, (0.25, 4.0), &[4.0, -0.25, 8.0], &[0.25, -4.0, 0.125]),
    (UnaryKind::Exp, (-4.0, 4.0), &[0.0, 1.0, -2.0], &[1.0, E, 0.1353352832366127]),
    (UnaryKind::Expm1, (-4.0, 2.0), &[0.0, 1.0, -1.0], &[0.0, E - 1.0, -0.6321205588285577]),
    (UnaryKind::Log, (0.1, 9.0), &[1.0, 2.0, 0.25], &[0.0, LN_2, -2.0 * LN_2]),
    (UnaryKind::Log1p, (-0.75, 9.0), &[0.0, 1.0, -0.5], &[0.0, LN_2, -LN_2]),
    (UnaryKind::Sin, (-3.0, 3.0), &[0.0, 1.0, -2.0], &[0.0, 0.8414709848078965, -0.9092974268256817]),
    (UnaryKind::Cos, (-3.0, 3.0), &[0.0, 1.0, -2.0], &[1.0, 0.5403023058681398, -0.4161468365471424]),
    (UnaryKind::Tan, (-1.0, 1.0), &[0.0, 1.0, -0.5], &[0.0, 1.5574077246549023, -0.5463024898437905]),
    (UnaryKind::Asin, (-0.75, 0.75), &[0.0, 0.5, -0.75], &[0.0, FRAC_PI_6, -0.848062078981481]),
    (UnaryKind::Acos, (-0.75, 0.75), &[0.0, 0.5, -0.5], &[FRAC_PI_2, FRAC_PI_3, 2.0 * FRAC_PI_3]),
    (UnaryKind::Atan, (-4.0, 4.0), &[0.0, 1.0, -2.0], &[0.0, FRAC_PI_4, -1.1071487177940904]),
    (UnaryKind::Sinh, (-2.0, 2.0), &[0.0, 1.0, -2.0], &[0.0, 1.1752011936438014, -3.626860407847019]),
    (UnaryKind::Cosh, (-2.0, 2.0), &[0.0, 1.0, -2.0], &[1.0, 1.5430806348152437, 3.7621956910836314]),
    (
        UnaryKind::Tanh,
        (-4.0, 4.0),
        &[0.0, 1.0, -2.0, 50.0],
        &[0.0, 0.7615941559557649, -0.9640275800758169, 1.0],
    ),
    (UnaryKind::Asinh, (-4.0, 4.0), &[0.0, 1.0, -2.0], &[0.0, 0.881373587019543, -1.4436354751788103]),
    (UnaryKind::Acosh, (1.25, 4.0), &[1.0, 2.0, 3.0], &[0.0, 1.3169578969248166, 1.762747174039086]),
    (UnaryKind::Atanh, (-0.75, 0.75), &[0.0, 0.5, -0.75], &[0.0, 0.5493061443340548, -0.9729550745276566]),
    (
        UnaryKind::Sigmoid,
        (-4.0, 4.0),
        &[0.0, 1.0, -2.0, -200.0],
        &[0.5, 0.7310585786300049, 0.11920292202211755, 0.0],
    ),
    (
        UnaryKind::Erf,
        (-3.0, 3.0),
        &[0.0, 0.5, -1.0, 3.5],
        &[0.0, 0.5204998778130465, -0.8427007929497149, 0.9999992569016276],
    ),
    (
        UnaryKind::Erfc,
        (-3.0, 5.0),
        &[0.0, 0.5, -1.0, 3.5],
        &[1.0, 0.4795001221869535, 1.8427007929497148, 7.430983723414128e-7],
    ),
    (UnaryKind::Relu, (-2.0, 2.0), &[0.0, 1.5, -2.0], &[0.0, 1.5, 0.0]),
];

/// Hand-written integer and bool operands and results.
const INTEGERS: &[(UnaryKind, DType, &[f64], &[f64])] = &[
    (UnaryKind::Neg, DType::I32, &[7.0, -2147483648.0], &[-7.0, -2147483648.0]),
    (UnaryKind::Abs, DType::I32, &[7.0, -7.0], &[7.0, 7.0]),
    (UnaryKind::Sign, DType::I32, &[7.0, -7.0, 0.0], &[1.0, -1.0, 0.0]),
    (UnaryKind::Relu, DType::F32, &[-1e30, 1e30], &[0.0, 1e30]),
    (UnaryKind::BitNot, DType::I32, &[0.0, 7.0, -8.0], &[-1.0, -8.0, 7.0]),
    (UnaryKind::BitNot, DType::U32, &[0.0, 7.0], &[4294967295.0, 4294967288.0]),
    (UnaryKind::Not, DType::Bool, &[0.0, 1.0], &[1.0, 0.0]),
];
