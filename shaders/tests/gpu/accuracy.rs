//! The elementary functions on the adapter against f64, in units in the last place of f32.

use wgrad_core::ops::philox;
use wgrad_core::{Graph, Mode, interpret};
use wgrad_shaders::math;

use crate::adapter::Adapter;

/// A function, the largest error allowed in ulp, and where arguments are drawn densely.
struct Case {
    name: &'static str,
    bound: f64,
    range: [f64; 2],
    reference: fn(f64, f64) -> f64,
}

const fn case(name: &'static str, bound: f64, range: [f64; 2], reference: fn(f64, f64) -> f64) -> Case {
    Case { name, bound, range, reference }
}

impl Case {
    fn periodic(&self) -> bool {
        ["wg_sin", "wg_cos", "wg_tan"].contains(&self.name)
    }
}

/// Bounds are for adapters that divide and take roots to half an ulp, as software drivers do; Vulkan allows
/// 2.5 ulp for a division, which adds as much to the functions that end with one.
const CASES: &[Case] = &[
    case("wg_exp", 1.0, [-104.0, 89.0], |x, _| x.exp()),
    case("wg_expm1", 2.0, [-3.0, 3.0], |x, _| x.exp_m1()),
    case("wg_log", 1.0, [0.0, 4.0], |x, _| x.ln()),
    case("wg_log1p", 2.0, [-1.0, 3.0], |x, _| x.ln_1p()),
    case("wg_sin", 2.0, [-12800.0, 12800.0], |x, _| x.sin()),
    case("wg_cos", 2.0, [-12800.0, 12800.0], |x, _| x.cos()),
    case("wg_tan", 4.0, [-12800.0, 12800.0], |x, _| x.tan()),
    case("wg_asin", 2.0, [-1.0, 1.0], |x, _| x.asin()),
    case("wg_acos", 2.0, [-1.0, 1.0], |x, _| x.acos()),
    case("wg_atan", 2.0, [-4.0, 4.0], |x, _| x.atan()),
    case("wg_sinh", 2.0, [-4.0, 4.0], |x, _| x.sinh()),
    case("wg_cosh", 2.0, [-4.0, 4.0], |x, _| x.cosh()),
    case("wg_tanh", 2.0, [-4.0, 4.0], |x, _| x.tanh()),
    case("wg_asinh", 2.0, [-4.0, 4.0], |x, _| asinh(x)),
    case("wg_acosh", 2.0, [1.0, 4.0], |x, _| acosh(x)),
    case("wg_atanh", 2.5, [-1.0, 1.0], |x, _| atanh(x)),
    case("wg_sigmoid", 2.5, [-20.0, 20.0], |x, _| 1.0 / (1.0 + (-x).exp())),
    case("wg_erf", 2.0, [-4.2, 4.2], |x, _| x), // the core's, see `references`
    case("wg_erfc", 4.5, [-4.0, 9.0], |x, _| x), // likewise
    case("wg_rsqrt", 2.0, [0.0, 4.0], |x, _| 1.0 / x.sqrt()),
    case("wg_pow", 2.0, [-30.0, 30.0], f64::powf),
    case("wg_atan2", 2.0, [-2.0, 2.0], f64::atan2),
];

/// `f64::asinh`, `acosh` and `atanh` cancel near some arguments; these forms do not.
fn asinh(x: f64) -> f64 {
    let a = x.abs();
    let value =
        if a > 1e15 { a.ln() + std::f64::consts::LN_2 } else { (a + a * a / (1.0 + a.hypot(1.0))).ln_1p() };
    value.copysign(x)
}

fn acosh(x: f64) -> f64 {
    let t = x - 1.0;
    if x < 1.0 {
        return f64::NAN;
    }
    if x > 1e15 { x.ln() + std::f64::consts::LN_2 } else { (t + (t * (x + 1.0)).sqrt()).ln_1p() }
}

fn atanh(x: f64) -> f64 {
    0.5 * (2.0 * x / (1.0 - x)).ln_1p()
}

/// Magnitudes at which the functions end or change from one form to another.
const SEAMS: &[f32] = &[
    0.0, 1e-30, 0.49999997, 0.5, 0.625, 0.9999999, 1.0, 1.0000001, 1.2247449, 1.5, 2.0, 3.0, 4.0, 1e10, 1e37,
    88.72283, 88.72284, 89.41598, 89.5, 87.0, 87.4, 103.0, 104.5, 1000.0, 12800.0, 16777216.0,
];
const EXTREMES: &[f32] = &[f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NAN];

const COUNT: usize = 1 << 15;

/// Pairs of arguments: all pairs of seams and extremes with both signs, then values of the function's range and
/// of any bits in turn. Half of the second arguments are integers: exponents of `pow`.
fn arguments(case: &Case) -> (Vec<f32>, Vec<f32>) {
    let range = |word: u32| {
        let [low, high] = case.range;
        (low + (high - low) * f64::from(word) * 2f64.powi(-32)) as f32
    };
    let edges: Vec<f32> = [SEAMS, EXTREMES].concat().into_iter().flat_map(|edge| [edge, -edge]).collect();
    let pair = |i: usize| {
        if i < edges.len() * edges.len() {
            return (edges[i / edges.len()], edges[i % edges.len()]);
        }
        let [first, second, ..] = philox([i as u32, 0, 0, 0], [7, 0]);
        let x = if i & 1 == 0 { range(first) } else { f32::from_bits(first) };
        (x, if i & 2 == 0 { range(second) } else { range(second).round() })
    };
    let promised = |x: f32| {
        // Denormals may count as zero, and sines of large numbers are not promised.
        let large = case.periodic() && x.is_finite() && f64::from(x.abs()) > case.range[1];
        if x.is_subnormal() || large { range(x.to_bits()) } else { x }
    };
    (0..COUNT).map(pair).map(|(x, y)| (promised(x), y)).unzip()
}

/// The function in f64; erf, which std lacks, as the core's interpreter evaluates it.
fn references(case: &Case, xs: &[f32], ys: &[f32]) -> Vec<f64> {
    if ["wg_erf", "wg_erfc"].contains(&case.name) {
        let graph = Graph::new(Mode::Eval);
        let x = graph.constant([xs.len()], xs);
        let _ = if case.name == "wg_erf" { x.erf() } else { x.erfc() };
        return interpret::evaluate(&graph.recording(), &Default::default()).pop().unwrap().data;
    }
    xs.iter().zip(ys).map(|(&x, &y)| (case.reference)(f64::from(x), f64::from(y))).collect()
}

/// The distance in units in the last place of the expected value. Denormals may be zero; where f32 overflows,
/// infinity is expected; NaN is only right for NaN.
fn ulp(got: f32, expected: f64) -> f64 {
    let rounded = expected as f32;
    if expected.is_nan() || got.is_nan() {
        return if expected.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if rounded.is_infinite() || got.is_infinite() {
        return if got == rounded { 0.0 } else { f64::INFINITY };
    }
    if rounded.abs() < f32::MIN_POSITIVE {
        return if got.abs() <= f32::MIN_POSITIVE { 0.0 } else { f64::INFINITY };
    }
    let unit = 2f64.powi(expected.abs().log2().floor() as i32 - 23);
    (f64::from(got) - expected).abs() / unit
}

fn source(name: &str) -> String {
    let arguments = if ["wg_pow", "wg_atan2"].contains(&name) { "x[id.x], y[id.x]" } else { "x[id.x]" };
    let library = math(&[name]);
    format!(
        "{library}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    _ = y[id.x];
    result[id.x] = {name}({arguments});
}}
"
    )
}

#[test]
fn errors_stay_within_their_bounds() {
    let adapter = Adapter::new();
    println!("{}\n{:12} {:>6} {:>6}  worst at", adapter.name, "function", "ulp", "bound");
    let mut failures = Vec::new();
    for case in CASES {
        let (xs, ys) = arguments(case);
        let inputs = [&xs, &ys].map(|v| bytemuck::cast_slice::<f32, u32>(v));
        let got = adapter.run(&source(case.name), &inputs, COUNT, [COUNT as u32 / 64, 1, 1]);
        let got: &[f32] = bytemuck::cast_slice(&got);
        let expected = references(case, &xs, &ys);
        let errors = got.iter().zip(&expected).map(|(&got, &expected)| ulp(got, expected));
        let (worst, error) =
            errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are arguments");
        let line = format!(
            "{:12} {error:6.2} {:6.2}  ({:e}, {:e}): {:e}, expected {:e}",
            case.name, case.bound, xs[worst], ys[worst], got[worst], expected[worst]
        );
        println!("{line}");
        if error > case.bound {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", adapter.name, failures.join("\n"));
}
