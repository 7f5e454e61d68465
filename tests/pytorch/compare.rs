//! How far a value may be from PyTorch's.
//!
//! A golden value is exact but for its rounding to f32. The interpreter computes in f64 as well, with one
//! difference: the constants of a graph (an epsilon, a momentum, √2) are f32. What moving each of them within its
//! rounding does to a value is what the interpreter may differ by. The GPU may differ by that, and by what f32
//! does to the graph: [`sensitivity`].

use wgrad::core::case::sensitivity;
use wgrad::core::interpret::{Environment, evaluate, evaluate_with};
use wgrad::core::ops::philox;
use wgrad::core::{NodeId, Op, Recording};
use wgrad::prelude::*;

/// Times a graph is evaluated with other constants, each half a unit in the last place up or down at random, and
/// what the largest deviation is multiplied by, since a few draws miss the worst combination.
pub(crate) const RUNS: u64 = 8;
const MARGIN: f64 = 4.0;

/// Half the spacing of f32 around 1.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// The rounding errors of f64 itself, of the largest value in a tensor: generous, and yet a ten-thousandth of
/// f32's.
const F64: f64 = 1e-11;

/// What f64 leaves where terms of about 1 cancel (the gradient of attention by a key's bias, which is 0).
const CANCELLED: f64 = 1e-15;

/// A value of the graph and what PyTorch says it is.
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) node: NodeId,
    pub(crate) value: Array,
}

/// Up or down, at random but the same for the same place.
pub(crate) fn sign(run: u64, place: u64) -> f64 {
    let bits = philox([place as u32, (place >> 32) as u32, run as u32, 0], [0, 0])[0];
    if bits & 1 == 0 { 1.0 } else { -1.0 }
}

/// Moves float constants of a graph within their rounding.
pub(crate) fn disturb_constants(recording: &Recording, run: u64) -> impl Fn(NodeId, &mut Array) {
    move |id, value| {
        let node = recording.node(id);
        if node.spec.dtype.is_float() && matches!(node.op, Op::Scalar(_) | Op::Constant(_)) {
            for (element, value) in value.data.iter_mut().enumerate() {
                *value *= 1.0 + ROUNDING * sign(run, u64::from(id.0) << 16 | element as u64);
            }
        }
    }
}

/// What each expected value may be off by in the interpreter.
pub(crate) fn tolerances(
    recording: &Recording,
    environment: &Environment,
    exact: &[Array],
    expected: &[Expected],
) -> Vec<Vec<f64>> {
    let runs: Vec<Vec<Array>> = (0..RUNS)
        .map(|run| evaluate_with(recording, environment, disturb_constants(recording, run)))
        .collect();
    let of = |expected: &Expected| {
        let at = expected.node.index();
        interpreter_tolerance(&expected.value, &exact[at], runs.iter().map(|run| &run[at]))
    };
    expected.iter().map(of).collect()
}

/// What a value may be off by in the interpreter, given what it is with other constants.
pub(crate) fn interpreter_tolerance<'a>(
    golden: &Array,
    exact: &Array,
    disturbed: impl Iterator<Item = &'a Array>,
) -> Vec<f64> {
    let largest = golden.data.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let floor = F64 * largest + CANCELLED;
    let moved = spread(exact, disturbed);
    golden
        .data
        .iter()
        .zip(moved)
        .map(|(value, moved)| ROUNDING * value.abs() + floor + MARGIN * moved)
        .collect()
}

/// How far the elements of an array are from those of others at most.
pub(crate) fn spread<'a>(from: &Array, to: impl Iterator<Item = &'a Array>) -> Vec<f64> {
    to.fold(vec![0.0; from.data.len()], |most, to| {
        let distances = from.data.iter().zip(&to.data).map(|(from, to)| (from - to).abs());
        most.into_iter().zip(distances).map(|(most, distance): (f64, f64)| most.max(distance)).collect()
    })
}

/// What each expected value may be off by on a GPU beyond what the interpreter may.
pub(crate) fn device_tolerances(
    recording: &Recording,
    environment: &Environment,
    expected: &[Expected],
) -> Vec<Vec<f64>> {
    let nodes: Vec<NodeId> = expected.iter().map(|expected| expected.node).collect();
    sensitivity(recording, environment, &nodes, 1).into_iter().map(|array| array.data).collect()
}

/// The largest error in units of what is allowed, and the first element of each tensor that is beyond it.
pub(crate) struct Verdict {
    pub(crate) worst: f64,
    pub(crate) failures: Vec<String>,
}

impl Verdict {
    pub(crate) fn new() -> Self {
        Self { worst: 0.0, failures: vec![] }
    }

    /// Compares one tensor.
    pub(crate) fn compare(
        &mut self,
        who: &str,
        name: &str,
        found: &Array,
        expected: &Array,
        allowed: &[f64],
    ) {
        if found.shape() != expected.shape() {
            let message =
                format!("{name}: PyTorch's shape is {}, the {who}'s {}", expected.shape(), found.shape());
            self.failures.push(message);
            return;
        }
        let pairs = found.data.iter().zip(&expected.data).zip(allowed);
        let ratios: Vec<f64> = pairs.map(|((&f, &e), &allowed)| ratio(f, e, allowed)).collect();
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        self.worst = self.worst.max(worst);
        if let Some(element) = ratios.iter().position(|&ratio| ratio > 1.0) {
            let (f, e, allowed) = (found.data[element], expected.data[element], allowed[element]);
            let message = format!(
                "{name} element {element}: PyTorch says {e}, the {who} {f}, allowed {allowed:.1e} (at worst {worst:.1} times that)"
            );
            self.failures.push(message);
        }
    }

    /// Fails with every failure, or prints how close it was.
    pub(crate) fn finish(self, what: &str) {
        println!("{what}: worst error {:.2} of what is allowed", self.worst);
        assert!(self.failures.is_empty(), "{what}:\n{}", self.failures.join("\n"));
    }
}

/// An error in units of what is allowed; equal infinities agree, a NaN with nothing.
fn ratio(found: f64, expected: f64, allowed: f64) -> f64 {
    if found == expected {
        return 0.0;
    }
    let ratio = (found - expected).abs() / allowed;
    if ratio.is_nan() { f64::INFINITY } else { ratio }
}

/// Evaluates in the interpreter and compares; the tolerances are those of the interpreter.
pub(crate) fn interpret(
    recording: &Recording,
    environment: &Environment,
    expected: &[Expected],
    verdict: &mut Verdict,
) -> Vec<Vec<f64>> {
    let exact = evaluate(recording, environment);
    let tolerances = tolerances(recording, environment, &exact, expected);
    for (expected, allowed) in expected.iter().zip(&tolerances) {
        let found = &exact[expected.node.index()];
        verdict.compare("interpreter", &expected.name, found, &expected.value, allowed);
    }
    tolerances
}
