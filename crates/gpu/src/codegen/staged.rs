//! How tiles of an operand get into workgroup memory: which invocation loads what, so that loads are wide and
//! neighbouring invocations read neighbouring addresses, whatever view the operand is read through.

use std::collections::BTreeSet;

use super::Shaping;
use super::emit::Emitter;
use super::product::{Axis, Product};
use super::results::{Lane, lane, lanes, vector};
use super::tiled::WorkgroupTile;
use crate::plan::index::Index;

/// Invocations whose loads a GPU answers together, and the bytes that it moves at once.
const TOGETHER: usize = 32;
const SECTOR: i64 = 32;
/// Sectors that issuing a load is worth.
const ISSUE: usize = 4;

/// What an invocation loads at a time: four neighbouring rows or columns at one step of the inner axis, or at four
/// where neighbours in memory lie along that. In workgroup memory vectors always are four rows or columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patch {
    /// Steps of the inner axis: 1 or 4.
    steps: usize,
    /// Whether neighbouring invocations follow each other along the inner axis.
    along: bool,
}

const PATCHES: [Patch; 4] = [
    Patch { steps: 1, along: false },
    Patch { steps: 1, along: true },
    Patch { steps: 4, along: true },
    Patch { steps: 4, along: false },
];

/// What a workgroup computes: a tile of one product of a batch.
pub(super) struct Workgroup {
    pub(super) tile: WorkgroupTile,
    /// Which product.
    pub(super) batch: Vec<Index>,
    /// The number of its tile along rows and along columns.
    pub(super) numbers: [Index; 2],
    /// The number of an invocation, named `lid`.
    pub(super) own: Index,
}

/// Tiles of one operand in two halves of an array in workgroup memory: the one that is read, and the next.
pub(super) struct Staged<'a> {
    product: &'a Product,
    workgroup: &'a Workgroup,
    /// 0: the operand that gives rows, 1: the one that gives columns.
    side: usize,
    patch: Patch,
    /// The number of an invocation among those that share the loads, and its name.
    own: Index,
    name: String,
}

/// Loaded vectors of an invocation: by slot, those of its patch.
pub(super) type Loaded = Vec<Vec<String>>;

impl<'a> Staged<'a> {
    /// Chooses how an operand's tiles are best loaded.
    pub(super) fn new(
        emitter: &mut Emitter<'_>,
        shaping: &Shaping,
        product: &'a Product,
        workgroup: &'a Workgroup,
        side: usize,
    ) -> Self {
        let cost = |&patch: &Patch| cost(&mut emitter.fresh(shaping), product, workgroup.tile, side, patch);
        let patch = PATCHES.into_iter().min_by_key(cost).unwrap_or(PATCHES[0]);
        Self::with_patch(emitter, product, workgroup, side, patch)
    }

    fn with_patch(
        emitter: &mut Emitter<'_>,
        product: &'a Product,
        workgroup: &'a Workgroup,
        side: usize,
        patch: Patch,
    ) -> Self {
        let (own, name) = (workgroup.own.clone(), "lid".into());
        let mut staged = Self { product, workgroup, side, patch, own, name };
        // Where some invocations have nothing to load, those of the two operands are others.
        let all = staged.invocations();
        if side == 1 && staged.patches() < all {
            staged.name = emitter.name("turned");
            emitter.line(&format!("let {} = (lid + {}u) % {all}u;", staged.name, all / 2));
            let (atom, turned) = emitter.indices.named_var(all, 0);
            emitter.define(atom, &staged.name);
            staged.own = turned;
        }
        staged
    }

    /// Rows or columns of a tile.
    fn width(&self) -> usize {
        let WorkgroupTile { rows, columns, .. } = self.workgroup.tile;
        [rows, columns][self.side]
    }

    /// Steps of the inner axis of a tile.
    fn inner(&self) -> usize {
        self.workgroup.tile.inner
    }

    fn invocations(&self) -> usize {
        self.workgroup.tile.invocations()
    }

    /// The array's name.
    fn array(&self) -> &'static str {
        ["tile_a", "tile_b"][self.side]
    }

    fn axis(&self) -> &'a Axis {
        [&self.product.rows, &self.product.columns][self.side]
    }

    /// Vectors from one step to the next: one more than a tile has, so that the vectors of neighbouring steps lie in
    /// different banks.
    fn stride(&self) -> usize {
        stride(self.width())
    }

    /// Vectors of a tile.
    fn half(&self) -> usize {
        self.inner() * self.stride()
    }

    /// The array's declaration.
    pub(super) fn declaration(&self) -> String {
        format!("var<workgroup> {}: array<vec4<f32>, {}>;\n", self.array(), 2 * self.half())
    }

    /// Patches of a tile.
    fn patches(&self) -> usize {
        self.width() / 4 * (self.inner() / self.patch.steps)
    }

    /// Which invocations have a patch in a slot, unless all have.
    fn condition(&self, slot: usize) -> Option<String> {
        let left = self.patches() - slot * self.invocations();
        (left < self.invocations()).then(|| format!("{} < {left}u", self.name))
    }

    /// Where the patch of an invocation lies in the tile: its number across and along the inner axis.
    fn place(&self, emitter: &mut Emitter<'_>, slot: usize) -> (Index, Index) {
        let number = self.own.clone().offset((slot * self.invocations()) as i64);
        let fastest =
            if self.patch.along { self.inner() / self.patch.steps } else { self.width() / 4 } as i64;
        let (slow, fast) = (emitter.indices.div(&number, fastest), emitter.indices.rem(&number, fastest));
        if self.patch.along { (slow, fast) } else { (fast, slow) }
    }

    /// The values of a patch as vectors along the direction that is loaded together: `across` is the patch's number in
    /// the tile, `along` that along the whole inner axis. Beyond an end are copies of what is before it, which nobody
    /// uses.
    fn values(&self, emitter: &mut Emitter<'_>, across: &Index, along: &Index) -> Vec<String> {
        let (product, axis) = (self.product, self.axis());
        let group =
            emitter.indices.add(&self.workgroup.numbers[self.side].times(self.width() as i64 / 4), across);
        let across = lanes(emitter, &group, 4, axis.len(), axis);
        let k = product.inner.len();
        let along = match self.patch.steps {
            1 => vec![lane(emitter, along, k, &product.inner)],
            steps => lanes(emitter, along, steps, k, &product.inner),
        };
        let mut value = |across: &Lane, along: &Lane| {
            let parts = [
                (&product.batch, &self.workgroup.batch[..]),
                (axis, &across.index[..]),
                (&product.inner, &along.index),
            ];
            let index = product.index(&product.labels[self.side], &parts);
            product.in_f32(emitter.value(product.operands[self.side], &index).text)
        };
        if let [only] = &along[..] {
            let values: Vec<String> = across.iter().map(|across| value(across, only)).collect();
            return vec![vector(&values)];
        }
        let mut along_each =
            |across: &Lane| -> Vec<String> { along.iter().map(|along| value(across, along)).collect() };
        across.iter().map(|across| vector(&along_each(across))).collect()
    }

    /// Loads this invocation's part of the tile with a number along the inner axis.
    pub(super) fn load(&self, emitter: &mut Emitter<'_>, tile: &Index) -> Loaded {
        let first = tile.times((self.inner() / self.patch.steps) as i64);
        let slots = self.patches().div_ceil(self.invocations());
        let mut loaded = vec![];
        for slot in 0..slots {
            let (across, along) = self.place(emitter, slot);
            let along = emitter.indices.add(&first, &along);
            loaded.push(match self.condition(slot) {
                None => {
                    let values = self.values(emitter, &across, &along).into_iter();
                    values.map(|value| named(emitter, &value)).collect()
                }
                Some(condition) => self.load_if(emitter, &condition, &across, &along),
            });
        }
        loaded
    }

    /// The same where not all invocations have a patch. What depends on the position along the inner axis is loaded
    /// under the condition because that position has a name there.
    fn load_if(
        &self,
        emitter: &mut Emitter<'_>,
        condition: &str,
        across: &Index,
        along: &Index,
    ) -> Vec<String> {
        let names: Vec<String> = (0..self.patch.steps).map(|_| emitter.name("p")).collect();
        names.iter().for_each(|name| emitter.line(&format!("var {name}: vec4<f32>;")));
        let at = emitter.position(along);
        emitter.open();
        let (depth, runs) = (emitter.depth(), emitter.indices.range(along).1 as usize + 1);
        let name = emitter.name("j");
        emitter.line(&format!("let {name} = {at};"));
        let (atom, along) = emitter.indices.named_var(runs, depth);
        emitter.define(atom, &name);
        let values = self.values(emitter, across, &along);
        for (name, value) in names.iter().zip(values) {
            emitter.line(&format!("{name} = {value};"));
        }
        let text = emitter.close();
        under(emitter, condition, &text);
        names
    }

    /// Writes what was loaded into the half with the number that an expression gives.
    pub(super) fn store(&self, emitter: &mut Emitter<'_>, half: &str, loaded: &Loaded) {
        for (slot, vectors) in loaded.iter().enumerate() {
            let (across, along) = self.place(emitter, slot);
            let condition = self.condition(slot);
            if condition.is_some() {
                emitter.open();
            }
            for (step, vector) in across_steps(vectors).iter().enumerate() {
                let row = along.times(self.patch.steps as i64).offset(step as i64);
                let at = emitter.indices.add(&row.times(self.stride() as i64), &across);
                let (array, start, at) = (self.array(), self.start(half), emitter.position(&at));
                emitter.line(&format!("{array}[{start} + {at}] = {vector};"));
            }
            if let Some(condition) = condition {
                let text = emitter.close();
                under(emitter, &condition, &text);
            }
        }
    }

    /// Where a half begins.
    fn start(&self, half: &str) -> String {
        format!("{half} * {}u", self.half())
    }

    /// Names the place of a vector of the first step in a half.
    pub(super) fn first(&self, emitter: &mut Emitter<'_>, half: &str, vector: &Index) -> String {
        let (name, start, at) = (emitter.name("at"), self.start(half), emitter.position(vector));
        emitter.line(&format!("let {name} = {start} + {at};"));
        name
    }

    /// Reads the vector that lies so many after that place, at a step that a variable counts.
    pub(super) fn read(&self, emitter: &mut Emitter<'_>, first: &str, step: &str, after: usize) -> String {
        let name = emitter.name("w");
        let (array, stride) = (self.array(), self.stride());
        emitter.line(&format!("let {name} = {array}[{first} + {step} * {stride}u + {after}u];"));
        name
    }
}

/// What loading a vector in such patches costs, in a tile in the middle, where no position is at an edge.
fn cost(
    emitter: &mut Emitter<'_>,
    product: &Product,
    tile: WorkgroupTile,
    side: usize,
    patch: Patch,
) -> usize {
    let (atom, own) = emitter.indices.named_var(tile.invocations(), 0);
    emitter.define(atom, "lid");
    let numbers = tile.counts(product).map(|tiles| Index::constant(tiles / 2));
    let batch = vec![Index::default(); product.batch.extents.len()];
    let workgroup = Workgroup { tile, batch, numbers, own };
    let staged = Staged::with_patch(emitter, product, &workgroup, side, patch);
    let (across, along) = staged.place(emitter, 0);
    let middle = product.inner.len() / tile.inner / 2 * (tile.inner / patch.steps);
    staged.values(emitter, &across, &along.offset(middle as i64));
    cost_of_loads(emitter, |lane, _| lane as i64) * (4 / patch.steps)
}

/// What all loads so far cost: for each, the sectors that a group of neighbours touches. `of` is the value that an
/// invocation has for a variable, by atom.
pub(super) fn cost_of_loads(emitter: &Emitter<'_>, of: impl Fn(usize, u32) -> i64) -> usize {
    let sectors = |(position, bytes): &(Index, usize)| {
        let sector = |lane: usize| {
            let at = emitter.indices.evaluate(position, &|atom| of(lane, atom));
            at * *bytes as i64 / SECTOR
        };
        (0..TOGETHER).map(sector).collect::<BTreeSet<i64>>().len()
    };
    emitter.loaded.iter().map(|load| ISSUE + sectors(load)).sum()
}

/// Vectors from one step of the inner axis to the next in tiles of so many rows or columns.
pub(super) fn stride(width: usize) -> usize {
    width / 4 + 1
}

fn named(emitter: &mut Emitter<'_>, value: &str) -> String {
    let name = emitter.name("p");
    emitter.line(&format!("let {name} = {value};"));
    name
}

/// Vectors of rows or columns by step, from those of four steps by row or column. They are turned around only now, long
/// after they were loaded, so that nothing waits for them before.
fn across_steps(vectors: &[String]) -> Vec<String> {
    if vectors.len() == 1 {
        return vectors.to_vec();
    }
    let step = |component: &str| {
        let values: Vec<String> = vectors.iter().map(|vector| format!("{vector}.{component}")).collect();
        vector(&values)
    };
    ["x", "y", "z", "w"].map(step).to_vec()
}

fn under(emitter: &mut Emitter<'_>, condition: &str, text: &str) {
    emitter.line(&format!("if ({condition}) {{"));
    emitter.block(text);
    emitter.line("}");
}
