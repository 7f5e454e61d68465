//! From a recording to kernels: each pass takes a plan's parts and returns more of them.
//!
//! [`mixed`] where asked → simplify → [`lower`] → simplify → `store` (what is stored) → [`fuse`] (which nodes share a
//! kernel) → [`pack`] (which kernels share a dispatch) → [`schedule`] (order) → [`memory`] (places) → [`remat`] where
//! there is a budget. Nothing here knows WGSL or wgpu.

mod barriers;
mod diagram;
pub mod explain;
pub mod fuse;
pub mod index;
pub mod live;
pub mod lower;
pub mod memory;
pub mod mixed;
pub mod pack;
pub mod remat;
pub mod schedule;
mod store;
pub mod views;

use std::ops::Range;
use std::sync::Arc;

use wgrad_core::{DType, NodeId, Recording, Shape};

/// The most loop iterations that one invocation may need, with some to spare: llvmpipe ends it silently after 65,535.
pub const ITERATIONS: usize = 60_000;

/// What a kernel iterates over.
#[derive(Clone, Debug, PartialEq)]
pub enum Archetype {
    /// One element at a time.
    Map {
        /// The number of elements.
        numel: usize,
    },
    /// Reductions along some axes, and maps over the whole and over the results.
    Row {
        /// What is reduced.
        shape: Shape,
        /// Along which axes.
        axes: Vec<usize>,
    },
    /// A contraction and maps over its result.
    Contract {
        /// The contraction.
        node: NodeId,
    },
    /// A pass of attention.
    Attention {
        /// The pass.
        node: NodeId,
    },
    /// A kernel that a user wrote.
    Wgsl {
        /// The operation.
        node: NodeId,
    },
}

/// The work of one dispatch, or of a part of one.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What it iterates over.
    pub archetype: Archetype,
    /// The nodes it was made for, in topological order.
    pub nodes: Vec<NodeId>,
    /// Those of them that are written to memory.
    pub stores: Vec<NodeId>,
    /// The nodes it reads from memory.
    pub loads: Vec<NodeId>,
    /// Whether it computes once more what has been computed before.
    pub recomputes: bool,
    /// Where this kernel finds or leaves values that [`Plan::places`] has elsewhere: what is recomputed lies in
    /// several places, one after the other.
    pub elsewhere: Vec<(NodeId, Place)>,
}

impl Kernel {
    /// A kernel without any nodes yet.
    fn new(archetype: Archetype) -> Self {
        let (nodes, stores, loads, elsewhere) = (vec![], vec![], vec![], vec![]);
        Self { archetype, nodes, stores, loads, recomputes: false, elsewhere }
    }
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the program's workspace, from a byte offset.
    Workspace {
        /// Byte offset.
        offset: u64,
        /// Byte length.
        bytes: u64,
    },
    /// In the state, under a variable's name.
    State(Arc<str>),
}

impl Place {
    /// The alignment of variables in the state, and of values in the workspace at the most: WebGPU's guaranteed
    /// `min_storage_buffer_offset_alignment`.
    pub const ALIGNMENT: u64 = 256;
    /// The alignment of values at the least: eight words are read together.
    pub const LEAST_ALIGNMENT: u64 = 32;
}

/// The bytes a value takes in memory, padded to whole 16-byte groups.
pub fn bytes_of(dtype: DType, shape: &Shape) -> u64 {
    ((shape.numel() * dtype.size()) as u64).next_multiple_of(16).max(16)
}

/// Everything known about a program before code is written.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lowered graph.
    pub recording: Recording,
    /// The nodes the user asked for.
    pub outputs: Vec<NodeId>,
    /// Kernels in order.
    pub kernels: Vec<Kernel>,
    /// The kernels of each dispatch: usually one, several where equal maps over different tensors are
    /// packed together.
    pub steps: Vec<Range<usize>>,
    /// Where each stored node lies in the end, by node.
    pub places: Vec<Option<Place>>,
    /// Copies into variables that could not be updated in place: (node, variable).
    pub copies: Vec<(NodeId, Arc<str>)>,
    /// The alignment of values in the workspace.
    pub alignment: u64,
    /// Bytes of the workspace.
    pub workspace: u64,
    /// Bytes of the workspace that no plan could do without: the most that is alive at once.
    pub lower_bound: u64,
    /// What a memory budget has cost.
    pub recomputed: Option<Recomputed>,
}

/// What it costs to stay within a memory budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// Dispatches that compute something once more.
    pub dispatches: usize,
    /// Their floating-point operations.
    pub flops: u64,
    /// The bytes they read and write, each tensor counted once per kernel.
    pub bytes: u64,
    /// Bytes of the workspace that does without them.
    pub without: u64,
}

impl Plan {
    /// Where a kernel finds or leaves a value.
    pub fn place<'a>(&'a self, kernel: &'a Kernel, id: NodeId) -> Option<&'a Place> {
        let elsewhere = kernel.elsewhere.iter().find(|(node, _)| *node == id).map(|(_, place)| place);
        elsewhere.or(self.places[id.index()].as_ref())
    }
}
