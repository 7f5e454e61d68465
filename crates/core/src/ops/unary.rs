//! Elementwise functions of one operand: one row of [`UnaryKind`] each.

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
    /// max(x, 0); the derivative at 0 is taken as 0.
    Relu relu Float, |x| if x > 0.0 { x } else { x * 0.0 + 0.0 }, Some(|_, y, g| y.gt(0.0).select(g, &g.zeros_like()));
    /// Bitwise complement of integers. Not differentiable.
    BitNot bitwise_not Int, |x| -x - 1.0, None;
    /// Logical negation. Not differentiable.
    Not logical_not Bool, |x| f64::from(x == 0.0), None;
}

/// The error function to f64 accuracy: the Maclaurin series below 3, the continued fraction of erfc
/// above (Abramowitz & Stegun 7.1.5 and 7.1.14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= -a * a / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        std::f64::consts::FRAC_2_SQRT_PI * sum
    } else {
        let tail = (1..=60).rev().fold(0.0, |tail, k| 0.5 * k as f64 / (a + tail));
        1.0 - (-a * a).exp() / ((a + tail) * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
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
