//! The recorded graph: a list of nodes in topological order, and the handle that appends to it.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ops::{Constant, Input, RandomBits, Scalar, Variable};
use crate::{Array, DType, Element, Error, Op, Result, Shape, Tensor, TensorSpec, Var};

/// Whether a graph is recorded for training or for evaluation; dropout and batch norm read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Dropout drops, batch norm uses the batch's statistics and updates its running ones.
    Train,
    /// Dropout is the identity, batch norm uses its running statistics.
    Eval,
}

/// The position of a node in its graph. Operands always come before their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The position as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One recorded operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From which nodes.
    pub inputs: Vec<NodeId>,
    /// What comes out.
    pub spec: TensorSpec,
    /// Where the user's code asked for it.
    pub location: &'static Location<'static>,
    /// False for the placeholder that stands where recording failed.
    pub valid: bool,
    /// Whether it stays in f32 where a program is compiled for mixed precision.
    pub full_precision: bool,
}

/// Everything recorded in a graph. What the compiler and the interpreter read.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Training or evaluation.
    pub mode: Mode,
    /// Nodes in topological order.
    pub nodes: Vec<Node>,
    /// The variables that nodes refer to, by name.
    pub variables: Vec<Var>,
    /// Variables that take a new value when the step ends, and that value. Every read of a variable
    /// inside the graph sees the value from before the step.
    pub assigns: Vec<(Var, NodeId)>,
    /// Intermediates made readable by [`Tensor::probe`].
    pub probes: Vec<(String, NodeId)>,
    /// Inputs whose values must stay below a bound (labels, indices), by name.
    pub bounds: Vec<(Arc<str>, u32)>,
    /// Mistakes made while recording.
    pub errors: Vec<Error>,
    /// Variables whose reads give another tensor, by name.
    pub(crate) substitutes: HashMap<String, NodeId>,
    pub(crate) streams: u64,
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) full_precision: bool,
}

impl Recording {
    /// The node at an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The specs of a node's operands.
    pub fn input_specs(&self, id: NodeId) -> Vec<&TensorSpec> {
        self.node(id).inputs.iter().map(|&input| &self.node(input).spec).collect()
    }

    /// The first recording mistake, if there was one.
    pub fn check(&self) -> Result<()> {
        self.errors.first().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Names and specs of the inputs, in the order of their first use.
    pub fn inputs(&self) -> Vec<(Arc<str>, TensorSpec)> {
        let named = |node: &Node| match &node.op {
            Op::Input(Input { name, .. }) => Some((name.clone(), node.spec.clone())),
            _ => None,
        };
        self.nodes.iter().filter(|node| node.valid).filter_map(named).collect()
    }
}

/// A handle to a graph under construction. Clones refer to the same graph.
#[derive(Clone, Debug)]
pub struct Graph(Arc<Mutex<Recording>>);

impl Graph {
    /// An empty graph.
    pub fn new(mode: Mode) -> Self {
        Self(Arc::new(Mutex::new(Recording {
            mode,
            nodes: Vec::new(),
            variables: Vec::new(),
            assigns: Vec::new(),
            probes: Vec::new(),
            bounds: Vec::new(),
            errors: Vec::new(),
            substitutes: HashMap::new(),
            streams: 0,
            location: None,
            full_precision: false,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether this is recorded for training or evaluation.
    pub fn mode(&self) -> Mode {
        self.lock().mode
    }

    /// A copy of everything recorded so far.
    pub fn recording(&self) -> Recording {
        self.lock().clone()
    }

    /// Whether both handles refer to the same graph.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A tensor that is given a value, by name, each time the program runs.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        let spec = TensorSpec::new(dtype, shape);
        let known = self.lock().inputs().into_iter().find(|(known, _)| &**known == name);
        if let Some((_, known)) = known.filter(|(_, known)| *known != spec) {
            return self.fail(
                "input",
                format!("`{name}` is already an input of this graph with {known}, not {spec}"),
            );
        }
        self.record(Input { name: name.into(), spec }, &[])
    }

    /// The value of a variable at the start of the step.
    #[track_caller]
    pub fn var(&self, var: &Var) -> Tensor {
        {
            let mut recording = self.lock();
            if !recording.variables.iter().any(|known| known.name() == var.name()) {
                recording.variables.push(var.clone());
            }
            if let Some(&substitute) = recording.substitutes.get(var.name()) {
                return self.tensor(substitute);
            }
        }
        self.record(Variable { name: var.name().into(), spec: var.spec().clone() }, &[])
    }

    /// From here on, reading the variable in this graph gives `value` (PyTorch's `functional_call`):
    /// a model written once is evaluated with other weights, averaged or perturbed ones. The variable
    /// itself does not change.
    ///
    /// ```
    /// use wgrad_core::{Graph, Init, Mode, Vars};
    /// let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    /// let weight = vars.var("weight", [3], Init::constant(1.0));
    /// let doubled = graph.var(&weight) * 2.0;
    /// graph.substitute(&weight, &doubled);
    /// assert_eq!(graph.var(&weight).id(), doubled.id());
    /// ```
    #[track_caller]
    pub fn substitute(&self, var: &Var, value: &Tensor) {
        if !value.graph().same(self) {
            self.fail("substitute", format!("the value for `{}` is in another graph", var.name()));
        } else if value.is_valid() && value.spec() != *var.spec() {
            let message = format!("variable `{}` is {}, the value {}", var.name(), var.spec(), value.spec());
            self.fail("substitute", message);
        } else {
            self.lock().substitutes.insert(var.name().into(), value.id());
        }
    }

    /// Gives a variable a new value at the end of the step.
    #[track_caller]
    pub fn assign(&self, var: &Var, value: &Tensor) {
        if !self.can_assign(var, value) {
            return;
        }
        self.var(var);
        let mut recording = self.lock();
        let twice = recording.assigns.iter().any(|(known, _)| known.name() == var.name());
        if twice {
            drop(recording);
            self.fail("assign", format!("variable `{}` is assigned twice in one step", var.name()));
            return;
        }
        recording.assigns.push((var.clone(), value.id()));
    }

    /// Gives a variable a new value at the end of the step, computed from the one it would have otherwise.
    /// Unlike assignments, updates of one step follow each other: a running average moves once for each
    /// call of its layer.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Init, Mode, TensorSpec, Vars, interpret};
    /// let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    /// let count = vars.buffer("count", TensorSpec::new(F32, []), Init::constant(0.0));
    /// graph.update(&count, |count| count + 1.0);
    /// graph.update(&count, |count| count + 1.0);
    /// let mut environment = interpret::Environment::new();
    /// interpret::step(&graph.recording(), &mut environment, &[]);
    /// assert_eq!(environment["count"].item(), 2.0);
    /// ```
    #[track_caller]
    pub fn update(&self, var: &Var, update: impl FnOnce(&Tensor) -> Tensor) {
        let position = self.lock().assigns.iter().position(|(known, _)| known.name() == var.name());
        let Some(position) = position else {
            return self.assign(var, &update(&self.var(var)));
        };
        let pending = self.lock().assigns[position].1;
        let value = update(&self.tensor(pending));
        if self.can_assign(var, &value) {
            self.lock().assigns[position].1 = value.id();
        }
    }

    /// Whether a variable can have a value; anything else is reported.
    #[track_caller]
    fn can_assign(&self, var: &Var, value: &Tensor) -> bool {
        if !value.is_valid() {
            return false;
        }
        if value.spec() != *var.spec() {
            let message =
                format!("variable `{}` is {}, the new value {}", var.name(), var.spec(), value.spec());
            self.fail("assign", message);
            return false;
        }
        if !value.graph().same(self) {
            self.fail("assign", format!("the new value of `{}` is in another graph", var.name()));
            return false;
        }
        true
    }

    /// A tensor of host values. The error of a wrong number of values is reported at compile.
    #[track_caller]
    pub fn constant<T: Element>(&self, shape: impl Into<Shape>, values: &[T]) -> Tensor {
        let shape = shape.into();
        if shape.numel() != values.len() {
            let message = format!("shape {shape} needs {} values, got {}", shape.numel(), values.len());
            return self.fail("constant", message);
        }
        self.constant_array(Array::from_slice(shape, values))
    }

    /// A tensor of host values.
    #[track_caller]
    pub fn constant_array(&self, array: Array) -> Tensor {
        self.record(Constant::new(array), &[])
    }

    /// A scalar.
    #[track_caller]
    pub fn scalar(&self, value: f64, dtype: DType) -> Tensor {
        self.record(Scalar::new(value, dtype), &[])
    }

    /// A tensor filled with one value.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f64, dtype: DType) -> Tensor {
        self.scalar(value, dtype).expand(shape)
    }

    /// Uniform random 32-bit words from the state's seed and step, on a stream of their own: the
    /// same bits for the same seed, step and order of calls.
    #[track_caller]
    pub fn random_bits(&self, shape: impl Into<Shape>) -> Tensor {
        let stream = {
            let mut recording = self.lock();
            recording.streams += 1;
            recording.streams
        };
        let (seed, step) = (self.var(&Var::seed()), self.var(&Var::step()));
        self.record(RandomBits { stream, shape: shape.into() }, &[&seed, &step])
    }

    /// Appends a node. A refused operation is remembered as an error and yields an invalid tensor;
    /// operations on invalid tensors do nothing.
    #[track_caller]
    pub fn record(&self, op: impl Into<Op>, inputs: &[&Tensor]) -> Tensor {
        let op = op.into();
        if let Some(other) = inputs.iter().find(|input| !input.graph().same(self)) {
            let message = format!("operand {} belongs to another graph", other.spec());
            return self.fail(op.name(), message);
        }
        let inputs: Vec<NodeId> = inputs.iter().map(|input| input.id()).collect();
        let inferred = {
            let recording = self.lock();
            if inputs.iter().any(|&id| !recording.node(id).valid) {
                None
            } else {
                let specs: Vec<_> = inputs.iter().map(|&id| &recording.node(id).spec).collect();
                Some(op.primitive().infer(&specs).and_then(within_index_range))
            }
        };
        match inferred {
            Some(Ok(spec)) => self.push(op, inputs, spec, true),
            Some(Err(message)) => self.fail(op.name(), message),
            None => self.invalid(),
        }
    }

    /// The placeholder for a result whose recording failed.
    pub(crate) fn invalid(&self) -> Tensor {
        self.push(Scalar::new(0.0, DType::F32).into(), vec![], invalid_spec(), false)
    }

    /// Remembers a mistake at the caller's place and returns an invalid tensor.
    #[track_caller]
    pub fn fail(&self, operation: &str, message: String) -> Tensor {
        let location = self.lock().location.unwrap_or(Location::caller());
        self.lock().errors.push(Error { operation: operation.into(), message, location });
        self.invalid()
    }

    /// The invalid result of an operation on no operands, in a graph of its own: there is none to report to.
    #[track_caller]
    pub(crate) fn without_operands(operation: &str) -> Tensor {
        Self::new(Mode::Eval).fail(operation, "needs at least one operand".into())
    }

    /// The name of an input or variable that a value is computed from otherwise than through `operands`. With
    /// `differentiable`, one that a gradient could flow to: of floats, and not through a detached value.
    pub(crate) fn read_beside(
        &self,
        value: &Tensor,
        operands: &[&Tensor],
        differentiable: bool,
    ) -> Option<String> {
        let recording = self.lock();
        let mut seen: HashSet<NodeId> = operands.iter().map(|operand| operand.id()).collect();
        let mut open = vec![value.id()];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = recording.node(id);
            match &node.op {
                Op::Input(Input { name, spec }) | Op::Variable(Variable { name, spec })
                    if spec.dtype.is_float() || !differentiable =>
                {
                    return Some(name.to_string());
                }
                Op::Detach(_) if differentiable => {}
                _ => open.extend(&node.inputs),
            }
        }
        None
    }

    #[track_caller]
    fn push(&self, op: Op, inputs: Vec<NodeId>, spec: TensorSpec, valid: bool) -> Tensor {
        let mut recording = self.lock();
        let id = NodeId(recording.nodes.len() as u32);
        let location = recording.location.unwrap_or(Location::caller());
        let full_precision = recording.full_precision;
        recording.nodes.push(Node { op, inputs, spec, location, valid, full_precision });
        drop(recording);
        Tensor::new(self.clone(), id)
    }

    /// Records with every node and error placed at `location` instead of the immediate caller.
    pub fn located<T>(&self, location: &'static Location<'static>, body: impl FnOnce() -> T) -> T {
        let outer = self.lock().location.replace(location);
        let result = body();
        self.lock().location = outer;
        result
    }

    /// Records in f32 even where the program is compiled for mixed precision: products of what is recorded by
    /// `body` round nothing to f16, and it reads values from before they were rounded. Optimizers record their
    /// updates so (PyTorch's `autocast(enabled=False)`).
    pub fn full_precision<T>(&self, body: impl FnOnce() -> T) -> T {
        let outer = std::mem::replace(&mut self.lock().full_precision, true);
        let result = body();
        self.lock().full_precision = outer;
        result
    }

    /// A handle to an existing node.
    pub fn tensor(&self, id: NodeId) -> Tensor {
        Tensor::new(self.clone(), id)
    }

    /// Appends nodes of another recording, with its inputs replaced by tensors of this graph. Inputs
    /// without a replacement are copied. Returns the new id of every old node.
    pub fn import(&self, other: &Recording, replace: &HashMap<NodeId, Tensor>) -> Vec<Tensor> {
        let mut copies: Vec<Tensor> = Vec::with_capacity(other.nodes.len());
        for (index, node) in other.nodes.iter().enumerate() {
            let copy = match replace.get(&NodeId(index as u32)) {
                Some(tensor) => tensor.clone(),
                None => {
                    let inputs: Vec<_> = node.inputs.iter().map(|i| &copies[i.index()]).collect();
                    self.located(node.location, || self.record(node.op.clone(), &inputs))
                }
            };
            copies.push(copy);
        }
        copies
    }
}

fn invalid_spec() -> TensorSpec {
    TensorSpec::new(DType::F32, Shape::scalar())
}

/// Elements are numbered with u32 on the device.
fn within_index_range(spec: TensorSpec) -> Result<TensorSpec, String> {
    let elements = spec.shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent));
    match elements {
        Some(n) if n <= i32::MAX as usize => Ok(spec),
        _ => Err(format!("{spec} has more than 2³¹ elements, which 32-bit indices cannot number")),
    }
}
