//! Which operation made the first NaN or infinity of a step: the step is replayed, without changing the state,
//! by a program that tells of every operation whether all of its values are finite.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use wgrad_core::batch::Batch;
use wgrad_core::simplify::{Simplified, simplify};
use wgrad_core::{Array, F32, Graph, Node, NodeId, Op, Recording, Tensor, TensorSpec};

use crate::error::Error;
use crate::program::Program;
use crate::state::State;

/// Where numbers that are not finite come from, in the order of the computation: all operands are finite. Its
/// `Display` says all of it.
#[derive(Clone, Debug)]
pub struct NonFinite {
    /// The operation, or the input, variable or constant that holds such numbers from the start.
    pub source: Source,
    /// What it computes.
    pub spec: TensorSpec,
    /// Where the user's code asked for it. The gradient of an operation is placed where the operation is.
    pub location: &'static Location<'static>,
    /// How many values are NaN.
    pub nans: usize,
    /// How many are infinite.
    pub infinities: usize,
    /// What it was computed from.
    pub operands: Vec<Operand>,
}

/// What holds the first number that is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An operation made it.
    Operation(&'static str),
    /// It came with the batch, in the input of this name.
    Input(String),
    /// It is in the state: an earlier step made it.
    Variable(String),
}

/// A tensor that an operation reads.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The name of the input or variable, or of the operation that computes it.
    pub name: String,
    /// Its dtype and shape.
    pub spec: TensorSpec,
    /// The smallest and the largest of its finite values, if it has any.
    pub range: Option<(f64, f64)>,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, location, nans, infinities, .. } = self;
        let counts = format!("{nans} NaN and {infinities} infinite of {} values", spec.shape.numel());
        match &self.source {
            Source::Operation(name) => {
                write!(f, "`{name}` at {location} made {counts} ({spec})")?;
                for (number, operand) in self.operands.iter().enumerate() {
                    write!(f, "{} {operand}", if number == 0 { " from" } else { "," })?;
                }
                Ok(())
            }
            Source::Input(name) => write!(f, "the batch's input `{name}` has {counts} ({spec})"),
            Source::Variable(name) => {
                write!(f, "variable `{name}` has {counts} ({spec}) from an earlier step, read at {location}")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.spec)?;
        match self.range.map(|(low, high)| (low as f32, high as f32)) {
            Some((low, high)) if low == high => write!(f, " of {low:?}"),
            Some((low, high)) => write!(f, " between {low:?} and {high:?}"),
            None => Ok(()),
        }
    }
}

impl Program {
    /// Finds the first operation that makes a NaN or an infinity in a step from this state with this batch, among
    /// those through which one reaches an output or a variable's new value: a logarithm of zero behind a mask
    /// does no harm. `None` if the step's results are finite. Waits, compiles programs of its own, and leaves the
    /// state as it is: call it with the state from before the step that went wrong.
    ///
    /// ```no_run
    /// # use wgrad_core::{F32, Mode, Vars, batch::Batch};
    /// # use wgrad_gpu::Gpu;
    /// # let gpu = Gpu::new()?;
    /// let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).log().sum(..)])?;
    /// let state = gpu.init(&Vars::new(), 0)?;
    /// let batch = Batch::new().with("x", [3], &[1f32, -2.0, 4.0]);
    /// if let Some(found) = program.hunt_nan(&state, batch)? {
    ///     println!("{found}"); // `log` at src/main.rs:4:67 made 1 NaN and 0 infinite of 3 values …
    /// }
    /// # Ok::<(), wgrad_gpu::Error>(())
    /// ```
    pub fn hunt_nan(&self, state: &State, batch: Batch) -> Result<Option<NonFinite>, Error> {
        let batch = self.read_batch(state, batch)?;
        let hunt = Hunt::new(self, state, &batch)?;
        let finite = hunt.finite()?;
        hunt.first(&finite).map(|id| hunt.describe(id)).transpose()
    }

    /// The values of a batch, wherever its memory is.
    fn read_batch(&self, state: &State, batch: Batch) -> Result<Vec<(Arc<str>, Array)>, Error> {
        let recorded = &self.inner.recorded;
        let graph = Graph::new(recorded.recording.mode);
        let inputs = self.inputs();
        let tensors: Vec<NodeId> =
            inputs.iter().map(|(name, spec)| graph.input(name, &spec.shape, spec.dtype).id()).collect();
        let mut program = self.inner.gpu.compile_recording(&graph.recording(), &tensors)?;
        // The batch may lie in this program's staging memory.
        if let Some(compiled) = Arc::get_mut(&mut program.inner) {
            compiled.ring = self.inner.ring.clone();
        }
        let outputs = program.run_on(state, batch)?;
        let named = inputs.iter().enumerate();
        named.map(|(at, (name, _))| Ok((name.clone(), outputs.get(at)?))).collect()
    }
}

/// A step's graph, without its assignments.
struct Hunt<'a> {
    program: &'a Program,
    state: &'a State,
    batch: &'a [(Arc<str>, Array)],
    recording: Recording,
    /// Outputs and the new values of variables.
    roots: Vec<NodeId>,
    graph: Graph,
    tensors: Vec<Tensor>,
}

impl<'a> Hunt<'a> {
    fn new(program: &'a Program, state: &'a State, batch: &'a [(Arc<str>, Array)]) -> Result<Self, Error> {
        let recorded = &program.inner.recorded;
        let Simplified { recording, outputs } = simplify(&recorded.recording, &recorded.outputs);
        let mut roots = outputs;
        roots.extend(recording.assigns.iter().map(|(_, id)| *id));
        let graph = Graph::new(recording.mode);
        let tensors = graph.import(&recording, &HashMap::new());
        graph.recording().check()?;
        Ok(Self { program, state, batch, recording, roots, graph, tensors })
    }

    /// For each node whether all its values are finite.
    fn finite(&self) -> Result<Vec<bool>, Error> {
        let nodes = || self.recording.nodes.iter().enumerate();
        let asked: Vec<usize> =
            nodes().filter(|(_, node)| can_be_non_finite(node)).map(|(at, _)| at).collect();
        let means: Vec<NodeId> =
            asked.iter().map(|&at| mean_magnitude(&self.graph, &self.tensors[at]).id()).collect();
        let mut finite = vec![true; self.recording.nodes.len()];
        for (at, mean) in asked.into_iter().zip(self.scalars(&means)?) {
            finite[at] = mean.is_finite();
        }
        for (at, node) in nodes().filter(|(_, node)| rearranges(&node.op)) {
            finite[at] = finite[node.inputs[0].index()];
        }
        Ok(finite)
    }

    /// Single numbers, in as many programs as it takes to fit into memory.
    fn scalars(&self, ids: &[NodeId]) -> Result<Vec<f64>, Error> {
        match self.values(ids) {
            Ok(values) => Ok(values.iter().map(Array::item).collect()),
            Err(Error::TooLarge { .. } | Error::OutOfMemory(_)) if ids.len() > 1 => {
                let (first, second) = ids.split_at(ids.len() / 2);
                Ok([self.scalars(first)?, self.scalars(second)?].concat())
            }
            Err(error) => Err(error),
        }
    }

    fn values(&self, ids: &[NodeId]) -> Result<Vec<Array>, Error> {
        let compiler = self.program.inner.recorded.compiler.clone().without_budget();
        let program = compiler.compile_recording(&self.graph.recording(), ids)?;
        let batch = Batch::of_arrays(self.batch.iter().map(|(name, array)| (&**name, array)));
        let outputs = program.run_on(self.state, batch)?;
        (0..ids.len()).map(|at| outputs.get(at)).collect()
    }

    /// The first node that is not finite and from which others that are not lead to a root.
    fn first(&self, finite: &[bool]) -> Option<NodeId> {
        let mut reaches = vec![false; finite.len()];
        self.roots.iter().for_each(|root| reaches[root.index()] = true);
        let mut first = None;
        for at in (0..finite.len()).rev().filter(|&at| !finite[at]) {
            if reaches[at] {
                first = Some(NodeId(at as u32));
                self.recording.nodes[at].inputs.iter().for_each(|input| reaches[input.index()] = true);
            }
        }
        first
    }

    fn describe(&self, id: NodeId) -> Result<NonFinite, Error> {
        let node = self.recording.node(id);
        let wanted: Vec<NodeId> =
            [&[id], &node.inputs[..]].concat().iter().map(|id| self.tensors[id.index()].id()).collect();
        let values = self.values(&wanted)?;
        let count = |is: fn(f64) -> bool| values[0].data.iter().filter(|value| is(**value)).count();
        let operands = node.inputs.iter().zip(&values[1..]).map(|(input, value)| Operand {
            name: self.name(*input),
            spec: value.spec.clone(),
            range: range(value),
        });
        Ok(NonFinite {
            source: match &node.op {
                Op::Input(input) => Source::Input(input.name.to_string()),
                Op::Variable(variable) => Source::Variable(variable.name.to_string()),
                op => Source::Operation(op.name()),
            },
            spec: node.spec.clone(),
            location: node.location,
            nans: count(f64::is_nan),
            infinities: count(f64::is_infinite),
            operands: operands.collect(),
        })
    }

    /// What a user knows a value by.
    fn name(&self, mut id: NodeId) -> String {
        while rearranges(&self.recording.node(id).op) {
            id = self.recording.node(id).inputs[0];
        }
        match &self.recording.node(id).op {
            Op::Input(input) => input.name.to_string(),
            Op::Variable(variable) => variable.name.to_string(),
            op => op.name().to_string(),
        }
    }
}

/// Whether an operation has the values of its operand, all of them and no others.
fn rearranges(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Flip(_) | Op::Detach(_))
}

fn can_be_non_finite(node: &Node) -> bool {
    node.spec.dtype.is_float() && node.spec.shape.numel() > 0 && !rearranges(&node.op)
}

/// A number that is finite if all values are: NaN and infinities are carried along by a sum, which dividing
/// first keeps from overflowing by itself. Comparisons and maxima may lose a NaN on the device.
fn mean_magnitude(graph: &Graph, values: &Tensor) -> Tensor {
    graph.located(values.location(), || {
        let values = values.cast(F32);
        (values.abs() / values.numel() as f64).sum(..)
    })
}

fn range(array: &Array) -> Option<(f64, f64)> {
    let mut finite = array.data.iter().copied().filter(|value| value.is_finite());
    let first = finite.next()?;
    Some(finite.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}
