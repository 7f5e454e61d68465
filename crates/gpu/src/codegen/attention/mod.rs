//! Attention without a matrix of scores (Dao et al., *FlashAttention*, 2022): every invocation owns a few rows (of
//! queries, or of keys) and holds them and what is made of them in registers, while the rows of the other side
//! pass by. A score lives for as long as it takes to use it.

mod passes;
mod rows;

use wgrad_core::ops::{Attention, AttentionShape, Pass};
use wgrad_core::{NodeId, Op};

use super::emit::Emitter;
use super::subgroup::ENOUGH_TASKS;
use super::{Body, Lanes, Shaping};
use crate::error::Error;
use crate::plan::index::Index;

/// Below any score that is not masked, and far enough from overflow that differences are finite.
const LOWEST: &str = "-1e38f";
/// Multiplications written out for each passing row: compilers take half a millisecond for each, sums included.
const WRITTEN_OUT: usize = 512;
/// Invocations of a workgroup on GPUs, and passing rows that wait in workgroup memory.
const GPU_LANES: usize = 64;
const STAGED_ROWS: usize = 32;
/// Bytes of workgroup memory that WebGPU guarantees, in vectors of four.
const WORKGROUP_VECTORS: usize = 1024;
/// How far a score may exceed the largest one so far, in powers of e, before sums are scaled down on GPUs, where
/// a branch that no invocation takes costs nothing.
const SLACK: &str = "8f";

/// How passing rows reach the invocations of a workgroup.
#[derive(Clone, Copy, PartialEq)]
enum Passing {
    /// Each lane of a subgroup loads a part and hands it to all: for adapters that run on the CPU.
    Shuffled,
    /// Through workgroup memory, some rows at a time.
    Staged,
    /// Every invocation loads every row.
    Direct,
}

pub(super) fn write(emitter: &mut Emitter<'_>, node: NodeId, shaping: &Shaping) -> Result<Body, Error> {
    let recording = &emitter.plan.recording;
    let Op::Attention(op) = &recording.node(node).op else {
        return Err(Error::Internal("a kernel of attention without attention".into()));
    };
    emitter.widest = 4;
    let kernel = Kernel::new(emitter, op, node, recording.node(node).inputs.clone(), shaping);
    Ok(kernel.write(emitter, shaping))
}

struct Kernel<'a> {
    op: &'a Attention,
    node: NodeId,
    inputs: Vec<NodeId>,
    shape: AttentionShape,
    passing: Passing,
    lanes: usize,
    /// Rows that an invocation owns.
    rows: usize,
    /// The position along the axes in front.
    lead: Vec<Index>,
    /// The same as one number.
    batch: Index,
    /// The number of the workgroup's tile of rows.
    tile: Index,
}

/// An owned row, and whether it is there.
struct Row {
    position: Index,
    inside: Option<String>,
}

/// A passing row.
struct Passed {
    /// Its position.
    position: String,
    /// Of each operand the vectors of four.
    vectors: Vec<Vec<String>>,
    /// The numbers that belong to it.
    numbers: Vec<String>,
}

impl<'a> Kernel<'a> {
    fn new(
        emitter: &mut Emitter<'_>,
        op: &'a Attention,
        node: NodeId,
        inputs: Vec<NodeId>,
        shaping: &Shaping,
    ) -> Self {
        let [q, k, v] = [0, 1, 2].map(|at| &emitter.plan.recording.node(inputs[at]).spec.shape);
        let shape = AttentionShape::new(q, k, v);
        let (passing, lanes) = match shaping.subgroup {
            Some(size) => (Passing::Shuffled, size as usize),
            None if shaping.workgroup_tiles => (Passing::Staged, GPU_LANES),
            None => (Passing::Direct, shaping.tile.workgroup as usize),
        };
        let (width, value_width) = (shape.width, shape.value_width);
        let multiplications = match op.pass {
            Pass::Forward => width + value_width,
            Pass::Queries => 2 * width + value_width,
            Pass::KeysAndValues => 2 * (width + value_width),
        };
        let owned = if op.pass == Pass::KeysAndValues { shape.keys } else { shape.queries };
        let mut rows = match op.pass {
            _ if passing == Passing::Staged => 1,
            // More take the compiler twice as long and run no faster, for every passing row scales all sums.
            Pass::Forward => 4,
            _ => 8,
        };
        let idle = |rows: usize| shape.count() * owned.div_ceil(lanes * rows) < ENOUGH_TASKS;
        while rows > 1 && (rows * multiplications > WRITTEN_OUT || idle(rows) || lanes * rows >= 2 * owned) {
            rows /= 2;
        }
        let (nothing, lead) = (Index::default(), shape.lead.clone());
        let mut kernel = Self {
            op,
            node,
            inputs,
            shape,
            passing,
            lanes,
            rows,
            lead: vec![],
            batch: nothing.clone(),
            tile: nothing,
        };
        let tiles = kernel.owned().div_ceil(lanes * rows);
        let (atom, group) = emitter.indices.named_var(kernel.tasks(), 0);
        emitter.define(atom, "group");
        kernel.tile = emitter.indices.rem(&group, tiles as i64);
        kernel.batch = emitter.indices.div(&group, tiles as i64);
        kernel.lead = emitter.indices.unflatten(&kernel.batch, &lead);
        kernel
    }

    fn owns_keys(&self) -> bool {
        self.op.pass == Pass::KeysAndValues
    }

    /// The number of rows that are owned.
    fn owned(&self) -> usize {
        if self.owns_keys() { self.shape.keys } else { self.shape.queries }
    }

    /// The number of rows that pass by.
    fn passed(&self) -> usize {
        if self.owns_keys() { self.shape.queries } else { self.shape.keys }
    }

    fn tasks(&self) -> usize {
        self.shape.count() * self.owned().div_ceil(self.lanes * self.rows)
    }

    fn write(&self, emitter: &mut Emitter<'_>, shaping: &Shaping) -> Body {
        let tasks = self.tasks();
        if u64::from(shaping.max_groups) < tasks as u64 {
            emitter.line(&format!("if (group >= {tasks}u) {{ return; }}"));
        }
        let (atom, lane) = emitter.indices.named_var(self.lanes, 0);
        emitter.define(atom, "lid");
        let row = |number| self.row(emitter, &lane, &Index::constant(number));
        let rows: Vec<Row> = (0..self.rows).map(row).collect();
        let globals = match self.op.pass {
            Pass::Forward => self.forward(emitter, &rows, &lane),
            Pass::Queries => self.queries(emitter, &rows, &lane),
            Pass::KeysAndValues => self.keys_and_values(emitter, &rows, &lane),
        };
        Body {
            text: emitter.finish(),
            globals,
            workgroup: self.lanes as u32,
            groups: tasks as u64,
            lanes: if self.passing == Passing::Shuffled { Lanes::Subgroup } else { Lanes::Workgroup },
        }
    }

    fn row(&self, emitter: &mut Emitter<'_>, lane: &Index, number: &Index) -> Row {
        let first = self.tile.times((self.lanes * self.rows) as i64);
        let first = emitter.indices.add(&first, &number.times(self.lanes as i64));
        let wanted = emitter.indices.add(&first, lane);
        let position = emitter.indices.clamp(&wanted, self.owned() - 1);
        let beyond = position != wanted;
        let inside = beyond.then(|| format!("{} < {}u", emitter.position(&wanted), self.owned()));
        Row { position, inside }
    }
}
