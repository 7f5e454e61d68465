//! Operations of other crates: a definition made of ours, and a gradient and a kernel of their own if they like.
//!
//! The definition is the meaning, as it is for our own composites: the interpreter and, without a rule or kernel
//! of its own, gradient and compiler work from it. Nothing of the wrapper is left in a compiled program.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::case::Case;
use crate::kernel::{KernelForm, WgslKernel};
use crate::op::{Cotangent, Vjp};
use crate::ops::{Custom, Definition, Offer, Rule, Wgsl};
use crate::{Graph, Tensor};

type Define = dyn Fn(&[Tensor]) -> Tensor + Send + Sync;

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
    definition: Arc<Define>,
    gradient: Option<Rule>,
    kernel: Option<WgslKernel>,
}

impl CustomOp {
    /// An operation that records others; gradients flow through them. Mistakes in the definition are reported
    /// where the operation is applied.
    pub fn new(name: &'static str, definition: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Self {
        Self { name, definition: Arc::new(definition), gradient: None, kernel: None }
    }

    /// Gives the operation a gradient rule of its own: a cotangent for each operand, given the operands, the
    /// result and the result's cotangent. It is recorded like everything else, so it can be differentiated
    /// again.
    pub fn with_gradient(self, rule: impl Fn(&Vjp<'_>) -> Vec<Cotangent> + Send + Sync + 'static) -> Self {
        Self { gradient: Some(Rule::new(rule)), ..self }
    }

    /// Gives the operation a kernel of its own for GPUs. It must compute what the definition says: run the
    /// operation's cases against it (`wgrad_gpu::Conformance`). The definition still serves the interpreter, the
    /// gradient without a rule, and adapters that cannot run the kernel; what it reads has to be an operand.
    pub fn with_kernel(self, kernel: WgslKernel) -> Self {
        Self { kernel: Some(kernel), ..self }
    }

    /// The name in listings and errors, and of the kernel's function.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Records the operation. It needs at least one operand.
    #[track_caller]
    pub fn apply(&self, operands: &[&Tensor]) -> Tensor {
        self.apply_at(Location::caller(), operands)
    }

    fn apply_at(&self, location: &'static Location<'static>, operands: &[&Tensor]) -> Tensor {
        let definition = |operands: &[Tensor]| (self.definition)(operands);
        let offer = |graph: &Graph, result: &Tensor| match &self.kernel {
            Some(kernel) => {
                offer(graph, self.name, operands, result, kernel.clone()).map(Offer::Wgsl).map(Some)
            }
            None => Ok(None),
        };
        record(self.name, location, operands, definition, self.gradient.clone(), offer)
    }

    /// A case of this operation, named `name` or `name/variant`, that still needs its operands.
    #[track_caller]
    pub fn case(&self, variant: &str) -> Case {
        let (operation, location) = (self.clone(), Location::caller());
        let build =
            move |operands: &[Tensor]| operation.apply_at(location, &operands.iter().collect::<Vec<_>>());
        Case::new(&format!("{}{variant}", self.name), build)
    }
}

impl fmt::Debug for CustomOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gradient = if self.gradient.is_some() { ", own gradient" } else { "" };
        let kernel = if self.kernel.is_some() { ", own kernel" } else { "" };
        write!(f, "CustomOp({}{gradient}{kernel})", self.name)
    }
}

/// Records a definition, and the node that carries its gradient rule and offers its kernel.
pub(crate) fn record(
    name: &'static str,
    location: &'static Location<'static>,
    operands: &[&Tensor],
    definition: impl FnOnce(&[Tensor]) -> Tensor,
    gradient: Option<Rule>,
    offer: impl FnOnce(&Graph, &Tensor) -> Result<Option<Offer>, String>,
) -> Tensor {
    let Some(graph) = operands.first().map(|operand| operand.graph()) else {
        return Graph::without_operands(name);
    };
    if let Some(invalid) = operands.iter().find(|operand| !operand.is_valid()) {
        return (*invalid).clone();
    }
    if let Some(other) = operands.iter().find(|operand| !operand.graph().same(graph)) {
        let message = format!("operand {} belongs to another graph", other.spec());
        return graph.located(location, || graph.fail(name, message));
    }
    let owned: Vec<Tensor> = operands.iter().map(|&operand| operand.clone()).collect();
    let result = graph.located(location, || definition(&owned));
    if !result.is_valid() {
        return graph.invalid();
    }
    if gradient.is_some()
        && let Some(read) = graph.read_beside(&result, operands, true)
    {
        let message = format!(
            "the definition also reads `{read}`, whose gradient the operation's own rule would lose; make it an \
             operand, or `detach()` it"
        );
        return graph.located(location, || graph.fail(name, message));
    }
    let kernel = match offer(graph, &result) {
        Ok(kernel) => kernel,
        Err(message) => return graph.located(location, || graph.fail(name, message)),
    };
    let op = Custom { name, gradient, kernel };
    graph.located(location, || graph.record(op, &[&[&result], operands].concat()))
}

/// A kernel with what it has to compute, which must be a function of the operands alone.
fn offer(
    graph: &Graph,
    name: &'static str,
    operands: &[&Tensor],
    result: &Tensor,
    kernel: WgslKernel,
) -> Result<Wgsl, String> {
    if let Some(read) = graph.read_beside(result, operands, false) {
        return Err(format!(
            "the definition also reads `{read}`, which its kernel cannot; make it an operand"
        ));
    }
    if matches!(kernel.form(), KernelForm::Elementwise) {
        let shape = result.shape();
        let misfit = operands.iter().find(|x| x.shape().broadcast(&shape).ok() != Some(shape.clone()));
        if let Some(misfit) = misfit {
            let (operand, result) = (misfit.spec(), result.spec());
            return Err(format!(
                "its kernel is elementwise, but {operand} cannot be broadcast to the result {result}"
            ));
        }
    }
    let ids: Vec<_> = operands.iter().map(|operand| operand.id()).collect();
    Ok(Wgsl { name, kernel, definition: Definition::new(&graph.lock(), result.id(), &ids) })
}
