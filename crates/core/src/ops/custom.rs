//! The node of an operation with a definition: its result, with a gradient rule of its own or that of the
//! definition. Simplification leaves the definition alone, so the node costs nothing; where its user wrote a kernel,
//! compilers may put that in place of both.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::ops::{AttentionPart, Wgsl};
use crate::{Array, Tensor, TensorSpec};

/// The identity of its first operand, the result of the definition; the operation's own operands follow. With
/// a rule of its own, gradients go from the result to the operands and not through the definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Custom {
    /// The operation's name.
    pub name: &'static str,
    /// Its gradient rule, if it has one of its own.
    pub gradient: Option<Rule>,
    /// What a compiler may put in the place of the definition.
    pub kernel: Option<Offer>,
}

/// A kernel that computes a result from the operands alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// One that the operation's user wrote.
    Wgsl(Wgsl),
    /// Attention without a matrix of scores in memory.
    Attention(AttentionPart),
}

/// A gradient rule: the cotangent of every operand. Rules are equal when they are one and the same.
#[derive(Clone)]
pub struct Rule(Arc<Backward>);

type Backward = dyn Fn(&Vjp<'_>) -> Vec<Cotangent> + Send + Sync;

impl Rule {
    /// A rule from a function.
    pub fn new(rule: impl Fn(&Vjp<'_>) -> Vec<Cotangent> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule")
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.address(), other.address())
    }
}

impl Eq for Rule {}

impl Hash for Rule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl Primitive for Custom {
    fn name(&self) -> &'static str {
        self.name
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        Ok(inputs[0].clone())
    }

    fn evaluate(&self, inputs: &[&Array], _: &TensorSpec) -> Array {
        inputs[0].clone()
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        match (&self.gradient, input) {
            (None, 0) => cx.cotangent.clone().into(),
            (None, _) | (Some(_), 0) => Cotangent::Zero,
            (Some(rule), _) => {
                let operands = &cx.inputs[1..];
                let mut all = (rule.0)(&Vjp { inputs: operands, output: cx.output, cotangent: cx.cotangent });
                if all.len() != operands.len() {
                    let message =
                        format!("its gradient rule gives {} for {} operands", all.len(), operands.len());
                    return cx.graph().fail(self.name, message).into();
                }
                let share = all.swap_remove(input - 1);
                let operand = &cx.inputs[input];
                match &share {
                    Cotangent::Flows(gradient)
                        if gradient.is_valid() && gradient.spec() != operand.spec() =>
                    {
                        let (found, wanted) = (gradient.spec(), operand.spec());
                        let message =
                            format!("its gradient rule gives {found} for operand {} {wanted}", input - 1);
                        cx.graph().fail(self.name, message).into()
                    }
                    _ => share,
                }
            }
        }
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Tensor {
    /// What `forward` makes of the operands, with `backward` as its gradient: the operands' cotangents, given
    /// the operands, the result and the result's cotangent (PyTorch's `autograd.Function`, JAX's
    /// `custom_vjp`). Gradients do not go through `forward`, which may use what has no derivative; whatever
    /// else it reads must be detached.
    ///
    /// Rounding that lets gradients pass (the straight-through estimator; Bengio et al., 2013):
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, Tensor};
    /// let g = Graph::new(Mode::Train);
    /// let x = g.input("x", [3], F32);
    /// let y = Tensor::custom_gradient(&[&x], |x| x[0].round(), |cx| vec![cx.cotangent.clone().into()]);
    /// assert!(y.sum(..).gradients(&[&x])[0].is_valid());
    /// ```
    #[track_caller]
    pub fn custom_gradient(
        operands: &[&Self],
        forward: impl FnOnce(&[Self]) -> Self,
        backward: impl Fn(&Vjp<'_>) -> Vec<Cotangent> + Send + Sync + 'static,
    ) -> Self {
        let location = Location::caller();
        let rule = Rule::new(backward);
        crate::custom::record("custom_gradient", location, operands, forward, Some(rule), |_, _| Ok(None))
    }
}

pub(crate) fn cases() -> Vec<Case> {
    // x·|x| and a·b, by rules that say what the definitions would.
    let signed_square = |t: &[Tensor]| {
        let backward = |cx: &Vjp<'_>| vec![(cx.cotangent * cx.inputs[0].abs() * 2.0).into()];
        Tensor::custom_gradient(&[&t[0]], |x| &x[0] * x[0].abs(), backward)
    };
    let product = |t: &[Tensor]| {
        let backward =
            |cx: &Vjp<'_>| vec![(cx.cotangent * &cx.inputs[1]).into(), (cx.cotangent * &cx.inputs[0]).into()];
        Tensor::custom_gradient(&[&t[0], &t[1]], |x| &x[0] * &x[1], backward)
    };
    vec![
        Case::new("custom_gradient", signed_square).given([3], &[1.0, -2.0, 3.0]).expect(&[1.0, -4.0, 9.0]),
        Case::new("custom_gradient/chain", move |t| signed_square(&[&t[0].sin() * 2.0]).exp())
            .distinct([3, 5]),
        Case::new("custom_gradient/two", product).random([3, 5]).random([3, 5]),
    ]
}
