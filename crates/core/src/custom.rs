//! Operations of other crates: a definition made of ours, and a gradient of their own if they like.
//!
//! The definition is the meaning, as it is for our own composites: the interpreter, the compiler and, without a
//! rule of its own, the gradient work from it. Nothing of the wrapper is left in a compiled program.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::case::Case;
use crate::op::{Cotangent, Vjp};
use crate::ops::{Custom, Rule};
use crate::{Graph, Tensor};

type Definition = dyn Fn(&[Tensor]) -> Tensor + Send + Sync;

/// An operation by definition.
///
/// ```
/// use wgrad_core::{CustomOp, F32, Graph, Mode, case};
/// // x·σ(1.702·x), with a derivative that needs σ once only.
/// let swish = CustomOp::new("swish", |x| &x[0] * (&x[0] * 1.702).sigmoid()).with_gradient(|cx| {
///     let (x, gate) = (&cx.inputs[0], (&cx.inputs[0] * 1.702).sigmoid());
///     vec![(cx.cotangent * &gate * (1.0 + x * 1.702 * (1.0 - &gate))).into()]
/// });
/// let g = Graph::new(Mode::Train);
/// let x = g.input("x", [8, 3], F32);
/// let loss = swish.apply(&[&x]).mean(..);
/// assert_eq!(loss.gradients(&[&x])[0].shape(), x.shape());
///
/// // Its cases are checked like ours.
/// let given = swish.case("").given([2], &[0.0, 100.0]).expect(&[0.0, 100.0]);
/// for case in [given, swish.case("/random").random([3, 5])] {
///     case::gradcheck(&case, 7)?;
///     case::gradgradcheck(&case, 7)?;
/// }
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct CustomOp {
    name: &'static str,
    definition: Arc<Definition>,
    gradient: Option<Rule>,
}

impl CustomOp {
    /// An operation that records others; gradients flow through them. Mistakes in the definition are reported
    /// where the operation is applied.
    pub fn new(name: &'static str, definition: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Self {
        Self { name, definition: Arc::new(definition), gradient: None }
    }

    /// Gives the operation a gradient rule of its own: a cotangent for each operand, given the operands, the
    /// result and the result's cotangent. It is recorded like everything else, so it can be differentiated
    /// again.
    pub fn with_gradient(self, rule: impl Fn(&Vjp<'_>) -> Vec<Cotangent> + Send + Sync + 'static) -> Self {
        Self { gradient: Some(Rule::new(rule)), ..self }
    }

    /// The name in listings and errors.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Records the operation. It needs at least one operand.
    #[track_caller]
    pub fn apply(&self, operands: &[&Tensor]) -> Tensor {
        record(self.name, operands, |operands| (self.definition)(operands), self.gradient.clone())
    }

    /// A case of this operation, named `name` or `name/variant`, that still needs its operands.
    pub fn case(&self, variant: &str) -> Case {
        let operation = self.clone();
        let build = move |operands: &[Tensor]| operation.apply(&operands.iter().collect::<Vec<_>>());
        Case::new(&format!("{}{variant}", self.name), build)
    }
}

impl fmt::Debug for CustomOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomOp({}{})", self.name, if self.gradient.is_some() { ", own gradient" } else { "" })
    }
}

/// Records a definition, and the node that carries its gradient rule.
#[track_caller]
pub(crate) fn record(
    name: &'static str,
    operands: &[&Tensor],
    definition: impl FnOnce(&[Tensor]) -> Tensor,
    gradient: Option<Rule>,
) -> Tensor {
    let Some(graph) = operands.first().map(|operand| operand.graph()) else {
        return Graph::without_operands(name);
    };
    if let Some(invalid) = operands.iter().find(|operand| !operand.is_valid()) {
        return (*invalid).clone();
    }
    let owned: Vec<Tensor> = operands.iter().map(|&operand| operand.clone()).collect();
    let result = graph.located(Location::caller(), || definition(&owned));
    if !result.is_valid() {
        return graph.invalid();
    }
    if gradient.is_some()
        && let Some(read) = graph.read_beside(&result, operands)
    {
        let message = format!(
            "the definition also reads `{read}`, whose gradient the operation's own rule would lose; make it an \
             operand, or `detach()` it"
        );
        return graph.fail(name, message);
    }
    graph.record(Custom { name, gradient }, &[&[&result], operands].concat())
}
