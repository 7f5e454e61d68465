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
    let (op, shape) = described(emitter, node)?;
    emitter.widest = 4;
    Ok(Kernel::new(emitter, op, shape, node, shaping).write(emitter, shaping))
}

/// How passing rows reach invocations, and how many of those a workgroup has.
fn passing(shaping: &Shaping) -> (Passing, usize) {
    match shaping.subgroup {
        Some(size) => (Passing::Shuffled, size as usize),
        None if shaping.workgroup_tiles => (Passing::Staged, GPU_LANES),
        None => (Passing::Direct, shaping.tile.workgroup as usize),
    }
}

/// How many rows an invocation may own, and what each costs.
struct Owning {
    pass: Pass,
    passing: Passing,
    lanes: usize,
    /// Whether a load is short.
    texels: bool,
    /// Rows that are owned and that pass by, and how often.
    owned: usize,
    passed: usize,
    count: usize,
    /// Multiplications for a pair of rows, and numbers of a passing row.
    multiplications: usize,
    numbers: usize,
}

impl Owning {
    fn new(op: &Attention, shape: &AttentionShape, shaping: &Shaping) -> Self {
        let ((passing, lanes), texels) = (passing(shaping), shaping.texels);
        let (width, value_width) = (shape.width, shape.value_width);
        let multiplications = match op.pass {
            Pass::Forward => width + value_width,
            Pass::Queries => 2 * width + value_width,
            Pass::KeysAndValues => 2 * (width + value_width),
        };
        let (owned, passed) = match op.pass {
            Pass::KeysAndValues => (shape.keys, shape.queries),
            _ => (shape.queries, shape.keys),
        };
        let (pass, count, numbers) = (op.pass, shape.count(), width + value_width);
        Self { pass, passing, lanes, texels, owned, passed, count, multiplications, numbers }
    }

    fn workgroups(&self, rows: usize) -> usize {
        self.count * self.owned.div_ceil(self.lanes * rows)
    }

    /// Whether so many rows are written out in reasonable time, and are there.
    fn fits(&self, rows: usize) -> bool {
        rows == 1 || rows * self.multiplications <= WRITTEN_OUT && self.lanes * rows < 2 * self.owned
    }

    fn rule(&self) -> usize {
        let mut rows = match self.pass {
            _ if self.passing == Passing::Staged => 1,
            // More save loads, which are cheap here, and take the compiler twice as long and run no faster.
            _ if self.texels => 2,
            // More take the compiler twice as long and run no faster, for every passing row scales all sums.
            Pass::Forward => 4,
            _ => 8,
        };
        while rows > 1 && (!self.fits(rows) || self.workgroups(rows) < ENOUGH_TASKS) {
            rows /= 2;
        }
        rows
    }

    /// What all invocations do, on a device that is busy with enough of them.
    fn run(&self, rows: usize, enough: usize) -> f64 {
        /// Multiplications that a number of a passing row is worth.
        const NUMBER: usize = 2;
        let each = self.passed * (rows * self.multiplications + NUMBER * self.numbers);
        let busy = (self.workgroups(rows) * self.lanes).max(1);
        (each * busy) as f64 * enough.max(busy) as f64 / busy as f64
    }
}

/// The numbers of rows that an invocation can own, with what a run costs.
pub(super) fn shares(
    emitter: &Emitter<'_>,
    node: NodeId,
    shaping: &Shaping,
) -> Result<Vec<(usize, f64)>, Error> {
    let (op, shape) = described(emitter, node)?;
    let owning = Owning::new(op, &shape, shaping);
    let possible = [1, 2, 4, 8].into_iter().filter(|&rows| owning.fits(rows));
    Ok(possible.map(|rows| (rows, owning.run(rows, shaping.enough()))).collect())
}

/// A pass and its extents.
fn described<'a>(emitter: &Emitter<'a>, node: NodeId) -> Result<(&'a Attention, AttentionShape), Error> {
    let recording = &emitter.plan.recording;
    let Op::Attention(op) = &recording.node(node).op else {
        return Err(Error::Internal("a kernel of attention without attention".into()));
    };
    let [q, k, v] = [0, 1, 2].map(|at| &recording.node(recording.node(node).inputs[at]).spec.shape);
    Ok((op, AttentionShape::new(q, k, v)))
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
    position: Index,
    /// Of each operand the vectors of four.
    vectors: Vec<Vec<String>>,
    /// The numbers that belong to it.
    numbers: Vec<String>,
}

impl<'a> Kernel<'a> {
    fn new(
        emitter: &mut Emitter<'_>,
        op: &'a Attention,
        shape: AttentionShape,
        node: NodeId,
        shaping: &Shaping,
    ) -> Self {
        let inputs = emitter.plan.recording.node(node).inputs.clone();
        let owning = Owning::new(op, &shape, shaping);
        let (passing, lanes) = (owning.passing, owning.lanes);
        let rows = shaping.attention_rows.filter(|&rows| owning.fits(rows)).unwrap_or_else(|| owning.rule());
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

    /// An invocation's rows are neighbours: four keys that begin a block share its random words.
    fn row(&self, emitter: &mut Emitter<'_>, lane: &Index, number: &Index) -> Row {
        let first = self.tile.times((self.lanes * self.rows) as i64);
        let first = emitter.indices.add(&first, &lane.times(self.rows as i64));
        let wanted = emitter.indices.add(&first, number);
        let position = emitter.indices.clamp(&wanted, self.owned() - 1);
        let beyond = position != wanted;
        let inside = beyond.then(|| format!("{} < {}u", emitter.position(&wanted), self.owned()));
        Row { position, inside }
    }
}
