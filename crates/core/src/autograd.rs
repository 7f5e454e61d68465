//! Reverse-mode differentiation as a graph transformation: gradients are more nodes of the same
//! graph, so they can be differentiated again.
//!
//! Nodes are visited from the loss backwards; each sums the contributions of its users,
//! ∂L/∂v = Σ ∂L/∂u · ∂u/∂v, and hands each operand its share by the operation's own rule.

use std::panic::Location;

use crate::op::{Cotangent, Vjp};
use crate::ops::Variable;
use crate::{NodeId, Op, Tensor, Var, Vars};

/// The gradients at every node of `targets`, `None` where the output does not depend on it.
fn pull_back(output: &Tensor, cotangent: &Tensor, targets: &[NodeId]) -> Vec<Option<Tensor>> {
    let graph = output.graph();
    let nodes = graph.recording().nodes;
    let count = output.id().index() + 1;

    let mut depends = vec![false; count];
    for id in 0..count {
        // Nothing flows through a detached value, so what is computed from it needs no derivative.
        let passes = !matches!(nodes[id].op, Op::Detach(_));
        depends[id] = targets.contains(&NodeId(id as u32))
            || passes && nodes[id].inputs.iter().any(|input| depends[input.index()]);
    }

    let mut gradients: Vec<Option<Tensor>> = vec![None; count];
    gradients[output.id().index()] = Some(cotangent.clone());
    for id in (0..count).rev().filter(|&id| depends[id]) {
        let Some(cotangent) = gradients[id].clone() else { continue };
        let node = &nodes[id];
        graph.located(node.location, || {
            let inputs: Vec<Tensor> = node.inputs.iter().map(|&input| graph.tensor(input)).collect();
            let output = graph.tensor(NodeId(id as u32));
            let cx = Vjp { inputs: &inputs, output: &output, cotangent: &cotangent };
            for (position, input) in node.inputs.iter().enumerate() {
                if !depends[input.index()] {
                    continue;
                }
                match node.op.primitive().vjp(&cx, position) {
                    Cotangent::Flows(share) => {
                        let slot = &mut gradients[input.index()];
                        *slot = Some(match slot.take() {
                            Some(sum) => sum + share,
                            None => share,
                        });
                    }
                    Cotangent::Zero => {}
                    Cotangent::NotDifferentiable => {
                        let message = format!(
                            "has no derivative, but a gradient is asked for through operand {position} \
                             ({}); `detach()` the operand if no gradient is meant to flow",
                            inputs[position].spec()
                        );
                        graph.fail(node.op.name(), message);
                    }
                }
            }
        });
    }
    targets.iter().map(|target| gradients.get(target.index()).cloned().flatten()).collect()
}

impl Tensor {
    /// The gradients of this scalar with respect to tensors it was computed from, as nodes of the same
    /// graph (PyTorch's `autograd.grad` with `create_graph=True`). A tensor it does not depend on is an
    /// error.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Train);
    /// let x = g.input("x", [3], F32);
    /// let dx = x.square().sum(..).gradients(&[&x]);
    /// assert_eq!(dx[0].shape(), x.shape());
    /// ```
    #[track_caller]
    pub fn gradients(&self, wrt: &[&Self]) -> Vec<Self> {
        if self.is_valid() && self.numel() != 1 {
            let message =
                format!("a loss must be one number, got {}; reduce it with `mean(..)`", self.spec());
            let invalid = self.fail("gradients", message);
            return vec![invalid; wrt.len()];
        }
        self.pull_back(&self.ones_like(), wrt)
    }

    /// The product of a cotangent with the Jacobian of this tensor, for each tensor of `wrt`.
    #[track_caller]
    pub fn pull_back(&self, cotangent: &Self, wrt: &[&Self]) -> Vec<Self> {
        if !self.is_valid() || !cotangent.is_valid() || wrt.iter().any(|tensor| !tensor.is_valid()) {
            return vec![self.graph().invalid(); wrt.len()];
        }
        if let Some(foreign) =
            wrt.iter().chain([&cotangent]).find(|tensor| !tensor.graph().same(self.graph()))
        {
            let invalid = self.fail("gradients", format!("{foreign:?} was recorded in another graph"));
            return vec![invalid; wrt.len()];
        }
        if self.spec() != cotangent.spec() || !self.dtype().is_float() {
            let message = format!("the gradient of {} cannot be {}", self.spec(), cotangent.spec());
            let invalid = self.fail("gradients", message);
            return vec![invalid; wrt.len()];
        }
        let targets: Vec<NodeId> = wrt.iter().map(|tensor| tensor.id()).collect();
        let mut reached = Vec::with_capacity(wrt.len());
        for (gradient, target) in pull_back(self, cotangent, &targets).into_iter().zip(wrt) {
            reached.push(match gradient {
                Some(gradient) => gradient,
                None => self.fail("gradients", format!("it does not depend on {target:?}")),
            });
        }
        reached
    }

    /// The gradient of this scalar with respect to every trainable variable. A trainable variable that
    /// the loss does not reach is an error that names it.
    #[track_caller]
    pub fn backward(&self, vars: &Vars) -> Vec<(Var, Self)> {
        let location = Location::caller();
        if !self.is_valid() {
            return vec![];
        }
        if self.numel() != 1 || !self.dtype().is_float() {
            let message = format!("a loss must be one float, got {}; reduce it with `mean(..)`", self.spec());
            self.fail("backward", message);
            return vec![];
        }
        // A variable may be read by several nodes: its gradient is the sum over all of them.
        let recording = self.graph().recording();
        let reads = |var: &Var| -> Vec<NodeId> {
            let is_read = |(_, node): &(usize, &crate::Node)| match &node.op {
                Op::Variable(Variable { name, .. }) => **name == *var.name(),
                _ => false,
            };
            recording.nodes.iter().enumerate().filter(is_read).map(|(id, _)| NodeId(id as u32)).collect()
        };
        let vars = vars.trainable();
        let reads: Vec<Vec<NodeId>> = vars.iter().map(reads).collect();
        let gradients = pull_back(self, &self.ones_like(), &reads.concat());
        let mut gradients = gradients.into_iter();
        let mut reached = Vec::with_capacity(vars.len());
        let mut unreached = Vec::new();
        for (var, reads) in vars.into_iter().zip(&reads) {
            let shares = gradients.by_ref().take(reads.len()).flatten();
            let sum = self.graph().located(location, || shares.reduce(|sum, share| sum + share));
            match sum {
                Some(gradient) => reached.push((var, gradient)),
                None => unreached.push(format!("`{}`", var.name())),
            }
        }
        if !unreached.is_empty() {
            let names = unreached.join(", ");
            self.fail(
                "backward",
                format!("the loss does not depend on {names}; freeze what is not to be trained"),
            );
        }
        reached
    }
}
