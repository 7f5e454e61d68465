//! The handle users compute with. Its methods are defined beside the operations, in [`crate::ops`].

use std::fmt;
use std::panic::Location;

use crate::{DType, Graph, Mode, NodeId, Op, Shape, TensorSpec};

/// A value in a graph: a cheap handle (graph, node). Methods record operations; nothing runs.
///
/// A wrong shape or dtype does not panic: the graph remembers the error with the caller's file and
/// line, the result is an invalid tensor, and compiling the graph returns the error.
#[derive(Clone)]
pub struct Tensor {
    graph: Graph,
    id: NodeId,
}

impl Tensor {
    pub(crate) fn new(graph: Graph, id: NodeId) -> Self {
        Self { graph, id }
    }

    /// The graph this tensor is recorded in.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The node that computes this tensor.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Element type and shape.
    pub fn spec(&self) -> TensorSpec {
        self.graph.lock().node(self.id).spec.clone()
    }

    /// The extents. An invalid tensor has the shape of a scalar.
    pub fn shape(&self) -> Shape {
        self.graph.lock().node(self.id).spec.shape.clone()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.graph.lock().node(self.id).spec.dtype
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.graph.lock().node(self.id).spec.shape.rank()
    }

    /// The extent along an axis (negative counts from the end); 1 where there is no such axis.
    pub fn dim(&self, axis: isize) -> usize {
        let shape = self.shape();
        shape.axis(axis).map_or(1, |axis| shape[axis])
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.graph.lock().node(self.id).spec.shape.numel()
    }

    /// Whether the graph is recorded for training or evaluation.
    pub fn mode(&self) -> Mode {
        self.graph.mode()
    }

    /// False where recording this tensor, or something it depends on, failed.
    pub fn is_valid(&self) -> bool {
        self.graph.lock().node(self.id).valid
    }

    /// Where the user's code recorded this tensor.
    pub fn location(&self) -> &'static Location<'static> {
        self.graph.lock().node(self.id).location
    }

    /// Makes this value readable, by name, from every run of the compiled program.
    pub fn probe(&self, name: &str) -> Self {
        if self.is_valid() {
            self.graph.lock().probes.push((name.into(), self.id));
        }
        self.clone()
    }

    /// Says that the values of this tensor, if it is an input (or one reshaped), must be below a bound.
    /// A batch that breaks it is refused before it reaches the device.
    pub fn require_below(&self, bound: u32) -> Self {
        let mut recording = self.graph.lock();
        let mut node = recording.node(self.id);
        while let (Op::Reshape(_) | Op::Expand(_) | Op::Permute(_), Some(&input)) =
            (&node.op, node.inputs.first())
        {
            node = recording.node(input);
        }
        if let Op::Input(input) = &node.op {
            let name = input.name.clone();
            recording.bounds.push((name, bound));
        }
        drop(recording);
        self.clone()
    }

    /// Remembers a mistake at the caller's place and returns an invalid tensor.
    #[track_caller]
    pub fn fail(&self, operation: &str, message: impl Into<String>) -> Self {
        if self.is_valid() { self.graph.fail(operation, message.into()) } else { self.clone() }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.graph.lock().node(self.id).clone();
        write!(f, "%{} = {} {}", self.id.0, node.op.name(), node.spec)
    }
}
