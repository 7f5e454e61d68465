//! The table of cases. Every operation lists its own; tests of meaning, of gradients and of the GPU,
//! the benches and the published support table all read this one list.

use crate::{DType, Shape, Tensor, TensorSpec};

/// How a case's operand is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// These values.
    Given(Vec<f64>),
    /// Fresh random numbers, uniform in a range; whole numbers for integer dtypes.
    Uniform(f64, f64),
    /// Fresh random numbers, all different and at least a hundredth apart, so that a maximum has one
    /// winner: a shuffled ramp over a range.
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

type Build = Box<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>;

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
    /// The relative accuracy WGSL promises for the operation beyond rounding, if it is loose.
    pub slack: f64,
}

impl Case {
    /// A differentiable case without operands yet.
    pub fn new(name: &str, build: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            operands: vec![],
            build: Box::new(build),
            expected: None,
            differentiable: true,
            slack: 0.0,
        }
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

    /// Adds an f32 operand with given values.
    pub fn given(self, shape: impl Into<Shape>, values: &[f64]) -> Self {
        self.operand(DType::F32, shape, Fill::Given(values.to_vec()))
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

    /// A looser relative accuracy, where WGSL promises less than correct rounding.
    pub fn slack(mut self, slack: f64) -> Self {
        self.slack = slack;
        self
    }
}
