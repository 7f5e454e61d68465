//! The WGSL of single elementwise operations and of numbers.

use wgrad_core::ops::{BinaryKind, CompareKind, UnaryKind};
use wgrad_core::{DType, Op};

use super::emit::{Emitter, register_type};

impl Emitter<'_> {
    /// A number as a WGSL literal.
    pub(super) fn literal(&mut self, value: f64, dtype: DType) -> String {
        match dtype {
            DType::Bool => format!("{}", value != 0.0),
            DType::I32 if value == f64::from(i32::MIN) => "(-2147483647i - 1i)".into(),
            DType::I32 => format!("{}i", value as i64),
            DType::U32 => format!("{}u", value as u64),
            DType::F32 | DType::F16 => {
                let suffix = if dtype == DType::F32 { "f" } else { "h" };
                if value.is_nan() {
                    self.functions.insert("wg_nan");
                    format!("{}(wg_nan())", register_type(dtype))
                } else if value.is_infinite() {
                    self.functions.insert("wg_inf");
                    let sign = if value < 0.0 { "-" } else { "" };
                    format!("{}({sign}wg_inf())", register_type(dtype))
                } else if dtype == DType::F32 {
                    format!("{:e}{suffix}", value as f32)
                } else {
                    format!("{value:e}{suffix}")
                }
            }
        }
    }

    /// A call of a library function, computed in f32.
    fn call(&mut self, function: &'static str, arguments: &[&str], dtype: DType) -> String {
        self.functions.insert(function);
        if dtype == DType::F16 {
            let wide: Vec<String> = arguments.iter().map(|a| format!("f32({a})")).collect();
            format!("f16({function}({}))", wide.join(", "))
        } else {
            format!("{function}({})", arguments.join(", "))
        }
    }

    pub(super) fn elementwise(&mut self, op: &Op, x: &[&str], from: DType, to: DType) -> String {
        match op {
            Op::Unary(op) => self.unary(op.kind, x[0], from),
            Op::Binary(op) => self.binary(op.kind, x[0], x[1], from),
            Op::Compare(op) => {
                let sign = match op.kind {
                    CompareKind::Eq => "==",
                    CompareKind::Ne => "!=",
                    CompareKind::Lt => "<",
                    CompareKind::Le => "<=",
                    CompareKind::Gt => ">",
                    CompareKind::Ge => ">=",
                };
                if from == DType::Bool && !matches!(op.kind, CompareKind::Eq | CompareKind::Ne) {
                    return format!("u32({}) {sign} u32({})", x[0], x[1]);
                }
                format!("{} {sign} {}", x[0], x[1])
            }
            Op::Select(_) => format!("select({}, {}, {})", x[2], x[1], x[0]),
            _ if to == DType::Bool => format!("{} != {}(0)", x[0], register_type(from)),
            _ => format!("{}({})", register_type(to), x[0]),
        }
    }

    fn unary(&mut self, kind: UnaryKind, x: &str, dtype: DType) -> String {
        use UnaryKind::*;
        let zero = format!("{}(0)", register_type(dtype));
        match kind {
            Neg => format!("-({x})"),
            Abs => format!("abs({x})"),
            Sign => format!("sign({x})"),
            Floor => format!("floor({x})"),
            Ceil => format!("ceil({x})"),
            Round => format!("round({x})"),
            Trunc => format!("trunc({x})"),
            Sqrt => format!("sqrt({x})"),
            Rsqrt => format!("{}(1) / sqrt({x})", register_type(dtype)),
            Reciprocal => format!("{}(1) / {x}", register_type(dtype)),
            Relu => format!("max({x}, {zero})"),
            BitNot => format!("~{x}"),
            Not => format!("!{x}"),
            Exp => self.call("wg_exp", &[x], dtype),
            Expm1 => self.call("wg_expm1", &[x], dtype),
            Log => self.call("wg_log", &[x], dtype),
            Log1p => self.call("wg_log1p", &[x], dtype),
            Sin => self.call("wg_sin", &[x], dtype),
            Cos => self.call("wg_cos", &[x], dtype),
            Tan => self.call("wg_tan", &[x], dtype),
            Asin => self.call("wg_asin", &[x], dtype),
            Acos => self.call("wg_acos", &[x], dtype),
            Atan => self.call("wg_atan", &[x], dtype),
            Sinh => self.call("wg_sinh", &[x], dtype),
            Cosh => self.call("wg_cosh", &[x], dtype),
            Tanh => self.call("wg_tanh", &[x], dtype),
            Asinh => self.call("wg_asinh", &[x], dtype),
            Acosh => self.call("wg_acosh", &[x], dtype),
            Atanh => self.call("wg_atanh", &[x], dtype),
            Sigmoid => self.call("wg_sigmoid", &[x], dtype),
            Erf => self.call("wg_erf", &[x], dtype),
            Erfc => self.call("wg_erfc", &[x], dtype),
        }
    }

    fn binary(&mut self, kind: BinaryKind, a: &str, b: &str, dtype: DType) -> String {
        use BinaryKind::*;
        let logical = dtype == DType::Bool;
        let sign = match kind {
            Add => "+",
            Sub => "-",
            Mul => "*",
            // Division by 0, and of the lowest number by −1, are by 1: a and 0, as WGSL defines them.
            Div | Rem if dtype.is_int() => {
                let sign = if kind == Div { "/" } else { "%" };
                return if dtype == DType::I32 {
                    let overflow = format!("({b} == -1i && {a} == (-2147483647i - 1i))");
                    format!("{a} {sign} select({b}, 1i, {b} == 0i || {overflow})")
                } else {
                    format!("{a} {sign} select({b}, 1u, {b} == 0u)")
                };
            }
            Div => "/",
            Rem => "%",
            And => "&",
            Or => "|",
            Xor if logical => "!=",
            Xor => "^",
            ShiftLeft => return format!("{a} << u32({b} & {}(31))", register_type(dtype)),
            ShiftRight => return format!("{a} >> u32({b} & {}(31))", register_type(dtype)),
            Maximum => return format!("max({a}, {b})"),
            Minimum => return format!("min({a}, {b})"),
            Pow => return self.call("wg_pow", &[a, b], dtype),
            Atan2 => return self.call("wg_atan2", &[a, b], dtype),
        };
        format!("{a} {sign} {b}")
    }
}
