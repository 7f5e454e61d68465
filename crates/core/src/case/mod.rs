//! The table of cases. Every operation lists its own; tests of meaning, of gradients and of the GPU,
//! the benches and the published support table all read this one list.
//!
//! [`cases`] is the table, [`fill`] makes operand values, [`random_graph`] makes whole graphs, [`gradcheck`]
//! tests gradients, and [`sensitivity`] says how far a device may be from the reference.

mod dtypes;
mod gradcheck;
mod random;
mod sensitivity;

pub use gradcheck::{gradcheck, gradgradcheck};
pub use random::{RandomGraph, random_graph, random_layers};
pub use sensitivity::sensitivity;

use std::sync::Arc;

use crate::interpret::Environment;
use crate::ops::philox;
use crate::{Array, DType, Graph, Mode, Shape, Tensor, TensorSpec};

/// Every case of every operation, and some of them again in other dtypes.
pub fn cases() -> Vec<Case> {
    let mut cases = crate::ops::cases();
    cases.extend(dtypes::in_other_dtypes(&cases));
    cases
}

/// How a case's operand is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// These values.
    Given(Vec<f64>),
    /// Fresh random numbers, uniform in a range; whole numbers for integer dtypes.
    Uniform(f64, f64),
    /// Fresh random numbers, all different and, up to 400 of them in [−2, 2), at least a hundredth
    /// apart, so that a maximum has one winner: a shuffled ramp over a range.
    Distinct(f64, f64),
}

/// An operand of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Element type and shape.
    pub spec: TensorSpec,
    /// Its values.
    pub fill: Fill,
}

/// The values of an operand, rounded to its dtype: the same ones for the same seed.
///
/// ```
/// use wgrad_core::case::{Fill, Operand, fill};
/// use wgrad_core::{TensorSpec, U32};
/// let labels = Operand { spec: TensorSpec::new(U32, [64]), fill: Fill::Uniform(0.0, 10.0) };
/// assert!(fill(&labels, 1).data.iter().all(|&label| label < 10.0 && label.fract() == 0.0));
/// ```
pub fn fill(operand: &Operand, seed: u64) -> Array {
    let TensorSpec { dtype, shape } = &operand.spec;
    let n = shape.numel();
    let unit = |element: usize| uniform(seed, element);
    let values = match &operand.fill {
        Fill::Given(values) => values.clone(),
        Fill::Uniform(low, high) => (0..n).map(|element| low + (high - low) * unit(element)).collect(),
        Fill::Distinct(low, high) => {
            let step = (high - low) / n as f64;
            // Not in the middle of each step: a range around 0 would have an element at 0.
            let mut ramp: Vec<f64> = (0..n).map(|i| low + (i as f64 + 0.3) * step).collect();
            // Fisher-Yates.
            for last in (1..n).rev() {
                ramp.swap(last, (unit(last) * (last + 1) as f64) as usize);
            }
            ramp
        }
    };
    let whole = |v: f64| if dtype.is_float() { v } else { v.floor() };
    Array::new(*dtype, shape, values.into_iter().map(|v| dtype.round(whole(v))).collect())
}

/// A random number in [0, 1) for an element.
pub(crate) fn uniform(seed: u64, element: usize) -> f64 {
    let words = philox([(element / 4) as u32, 0, 0, 0], [seed as u32, (seed >> 32) as u32]);
    f64::from(words[element % 4]) * 2f64.powi(-32)
}

type Build = Arc<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>;

/// One use of an operation: its operands, how it is recorded and, for hand-written cases, the result.
pub struct Case {
    /// `operation` or `operation/variant`.
    pub name: String,
    /// The operands.
    pub operands: Vec<Operand>,
    /// Records the operation.
    pub build: Build,
    /// The result, worked out by hand or taken from a cited source.
    pub expected: Option<Vec<f64>>,
    /// Whether gradients with respect to the float operands are checked.
    pub differentiable: bool,
}

/// A case in a graph.
pub struct RecordedCase {
    /// The graph.
    pub graph: Graph,
    /// The operands.
    pub inputs: Vec<Tensor>,
    /// The result.
    pub output: Tensor,
    /// Values for the operands.
    pub environment: Environment,
}

impl Case {
    /// A differentiable case without operands yet.
    pub fn new(name: &str, build: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            operands: vec![],
            build: Arc::new(build),
            expected: None,
            differentiable: true,
        }
    }

    /// The operation's name: the part before the slash.
    pub fn operation(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether [`gradgradcheck`] has something to do: floats to differentiate by, and results.
    pub fn has_second_gradient(&self) -> bool {
        let elements: usize = self.operands.iter().map(|operand| operand.spec.shape.numel()).sum();
        self.differentiable && elements > 0 && self.record(0).output.numel() > 0
    }

    /// Records the case into a graph of its own, with the operands as inputs `x0`, `x1`, … and values
    /// for them: the same ones for the same seed.
    ///
    /// ```
    /// let case = &wgrad_core::case::cases()[0];
    /// let recorded = case.record(1);
    /// assert!(recorded.graph.recording().check().is_ok());
    /// ```
    pub fn record(&self, seed: u64) -> RecordedCase {
        let graph = Graph::new(Mode::Train);
        let mut environment = Environment::new();
        let mut inputs = vec![];
        for (position, operand) in self.operands.iter().enumerate() {
            let name = format!("x{position}");
            inputs.push(graph.input(&name, &operand.spec.shape, operand.spec.dtype));
            environment.insert(name, fill(operand, seed.wrapping_add(position as u64)));
        }
        let output = (self.build)(&inputs);
        RecordedCase { graph, inputs, output, environment }
    }

    /// Adds an operand.
    pub fn operand(mut self, dtype: DType, shape: impl Into<Shape>, fill: Fill) -> Self {
        self.operands.push(Operand { spec: TensorSpec::new(dtype, shape), fill });
        self
    }

    /// Adds an f32 operand with random numbers in [−2, 2).
    pub fn random(self, shape: impl Into<Shape>) -> Self {
        self.operand(DType::F32, shape, Fill::Uniform(-2.0, 2.0))
    }

    /// Adds an f32 operand with random numbers in a range.
    pub fn uniform(self, shape: impl Into<Shape>, low: f64, high: f64) -> Self {
        self.operand(DType::F32, shape, Fill::Uniform(low, high))
    }

    /// Adds an f32 operand with random numbers in [−2, 2), no two of them close.
    pub fn distinct(self, shape: impl Into<Shape>) -> Self {
        self.operand(DType::F32, shape, Fill::Distinct(-2.0, 2.0))
    }

    /// Adds an f32 operand with given values.
    pub fn given(self, shape: impl Into<Shape>, values: &[f64]) -> Self {
        self.operand(DType::F32, shape, Fill::Given(values.to_vec()))
    }

    /// Adds a u32 operand with given values.
    pub fn indices(self, shape: impl Into<Shape>, values: &[f64]) -> Self {
        self.operand(DType::U32, shape, Fill::Given(values.to_vec()))
    }

    /// Adds a u32 operand with random numbers below a bound.
    pub fn labels(self, shape: impl Into<Shape>, bound: usize) -> Self {
        self.operand(DType::U32, shape, Fill::Uniform(0.0, bound as f64))
    }

    /// The result, worked out by hand.
    pub fn expect(mut self, values: &[f64]) -> Self {
        self.expected = Some(values.to_vec());
        self
    }

    /// Says that gradients are not checked: the operation has none, or the operands sit on a kink.
    pub fn no_gradient(mut self) -> Self {
        self.differentiable = false;
        self
    }
}
