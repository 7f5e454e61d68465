//! Contractions by subgroups, for adapters that run on the CPU: a workgroup is one subgroup and computes a
//! tile of rows × columns. Lanes divide the columns among themselves; the rows' values are loaded by one lane
//! each and handed to all by `subgroupShuffle`, which is an ordinary vector instruction there, while every
//! load is a loop over lanes (`docs/decisions.md`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::emit::Emitter;
use super::product::Product;
use super::results::{Lane, Patches, Results, chunk_type, lanes, vector};
use super::{Body, Lanes, Shaping};
use crate::plan::index::Index;
use crate::plan::{ITERATIONS, Kernel};

/// How the tile of a contraction that a subgroup computes is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Rows of the tile: a power of two up to 64.
    pub rows: usize,
    /// Neighbouring rows that one lane loads: 1, 4 or 8.
    pub rows_per_lane: usize,
    /// Columns that one lane computes: up to 16.
    pub columns: usize,
    /// Rows of the patch that these columns are: neighbours along one extent are one of height 1.
    #[serde(default = "flat")]
    pub height: usize,
    /// Steps along the inner axis that are written out: up to 16.
    pub inner: usize,
}

/// The height of a cut that does not say.
fn flat() -> usize {
    1
}

/// What a cut costs.
pub(super) struct Cost {
    /// Running the whole contraction, in cycles.
    pub(super) run: usize,
    /// Compiling it, in operations.
    pub(super) compile: usize,
}

/// Cycles of a load of one, of four neighbours and of eight, where an operation on all lanes takes one.
const LOADS: [usize; 3] = [45, 80, 115];
/// The same where loads are fetches of texels, which have up to four components: eight are two of them.
const FETCHES: [usize; 3] = [17, 20, 40];
/// A store of one.
const STORE: usize = 45;
/// Cycles that compiling an operation is worth, if nothing else is compiled: a sixteenth of a millisecond, over two
/// hundred runs.
pub(super) const PRICE: usize = 1200;
/// What compiling a shuffle takes, in operations, and an accumulator; one beyond so many takes twice that.
const OF_SHUFFLE: usize = 3;
const OF_ACCUMULATOR: usize = 6;
const ACCUMULATORS: usize = 128;
/// Workgroups that keep the cores busy.
pub(super) const ENOUGH_TASKS: usize = 16;
/// Bytes of machine code that loading and storing an accumulator takes, and a multiplication and an addition; and the most
/// that all of a step may take. Loads and shuffles come on top, and processors that decode 20 KiB again and again do so at
/// half of their speed, although their first caches of instructions hold 32.
const CODE_OF_RESULT: usize = 18;
const CODE_OF_OPERATION: usize = 14;
const LARGEST: usize = 12 << 10;
/// The most accumulators of a lane.
const MOST: usize = 512;
/// Accumulators that stay in registers.
const REGISTERS: usize = 24;
/// Rows that a tile may have.
const HEIGHTS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Neighbouring rows that a lane may load.
const PER_LANE: [usize; 3] = [1, 4, 8];
/// The most columns of a lane, and the most steps that are written out.
const WIDEST: usize = 16;

/// The most neighbours that are loaded together: eight are words of 64 bits, of which there are no texels.
fn widest(shaping: &Shaping) -> usize {
    if shaping.int64 && !shaping.texels { 8 } else { 4 }
}

struct Tiles {
    rows: usize,
    columns: usize,
    tasks: usize,
}

impl Cut {
    fn tiles(&self, product: &Product, lanes: usize) -> Tiles {
        let rows = product.rows.len().div_ceil(self.rows);
        let columns = match self.patches(product) {
            Some(patches) => patches.count().div_ceil(lanes),
            None => product.columns.len().div_ceil(self.columns * lanes),
        };
        Tiles { rows, columns, tasks: product.batch.len() * rows * columns }
    }

    /// The patches that its columns are, if they are more than neighbours.
    fn patches<'p>(&self, product: &'p Product) -> Option<Patches<'p>> {
        let width = self.columns / self.height;
        (self.height > 1).then_some(Patches { axis: &product.columns, height: self.height, width })
    }

    /// Multiplications of a lane in one step of the loop.
    fn operations(&self) -> usize {
        self.rows * self.columns * self.inner
    }

    /// Bytes of machine code of a step's operations.
    fn code(&self) -> usize {
        self.rows * self.columns * (CODE_OF_RESULT + CODE_OF_OPERATION * self.inner)
    }

    /// Whether it is a cut at all, fits the adapter, and lanes that load several rows each fill the tile.
    fn is_sensible(&self, product: &Product, lanes: usize) -> bool {
        let k = product.inner.len();
        let shapes = patches(&product.columns.extents);
        HEIGHTS.contains(&self.rows)
            && PER_LANE.contains(&self.rows_per_lane)
            && (1..=WIDEST).contains(&self.columns)
            && (self.height == 1 || shapes.contains(&(self.columns, self.height)))
            && (1..=WIDEST).contains(&self.inner)
            && (self.rows_per_lane == 1 || self.rows == lanes * self.rows_per_lane)
            && (self.rows == 1 || self.code() <= LARGEST)
            && k / self.inner <= ITERATIONS
            && self.rows * self.columns <= MOST
    }

    fn cost(&self, product: &Product, lanes: usize, loads: usize, behind: usize) -> Cost {
        let (results, operations) = (self.rows * self.columns, self.operations());
        // Accumulators beyond the registers are loaded and stored once a step.
        let spilled = if results > REGISTERS { 3 * results / 4 } else { 0 };
        let shuffles = self.rows * self.inner;
        let accumulators = OF_ACCUMULATOR * (results + results.saturating_sub(ACCUMULATORS));
        let steps = product.inner.len().div_ceil(self.inner).max(1);
        let tasks = self.tiles(product, lanes).tasks.next_multiple_of(2).max(ENOUGH_TASKS);
        let step = operations + spilled + 5 * shuffles / 4 + loads;
        Cost {
            run: tasks * (steps * step + results * (behind + STORE)),
            compile: operations + OF_SHUFFLE * shuffles + accumulators + loads / 2,
        }
    }
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
    size: u32,
) -> Body {
    emitter.widest = widest(shaping);
    let size = size as usize;
    let k = product.inner.len();
    let cut = shaping.cut.filter(|cut| cut.inner <= k.max(1) && cut.is_sensible(product, size));
    let cut = cut.unwrap_or_else(|| {
        let all = cuts(emitter, kernel, product, shaping, size);
        let one = Cut { rows: 1, rows_per_lane: 1, columns: 1, height: 1, inner: 1 };
        cheapest(&all, PRICE).map_or(one, |(cut, _)| *cut)
    });
    let tasks = cut.tiles(product, size).tasks;
    let tile = Tile::new(emitter, product, cut, size);
    if u64::from(shaping.max_groups) < tasks as u64 {
        emitter.line(&format!("if (group >= {tasks}u) {{ return; }}"));
    }
    let accumulators = tile.accumulate(emitter, product);
    let results = Results {
        product,
        kernel,
        batch: &tile.batch,
        first_row: tile.row.times(cut.rows as i64),
        columns: &tile.columns,
    };
    results.write(emitter, &accumulators);
    let (text, workgroup) = (emitter.finish(), size as u32);
    Body { text, globals: String::new(), workgroup, groups: tasks as u64, lanes: Lanes::Subgroup }
}

/// The cheapest cut where compiling an operation is worth so many cycles.
pub(super) fn cheapest(cuts: &[(Cut, Cost)], price: usize) -> Option<&(Cut, Cost)> {
    cuts.iter().min_by_key(|(_, cost)| cost.run + price * cost.compile)
}

/// All sensible cuts, by a model of what loads and operations cost.
pub(super) fn cuts(
    emitter: &Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
    size: usize,
) -> Vec<(Cut, Cost)> {
    let (behind, widest) = (emitter.inlined(kernel), widest(shaping));
    let prices = if shaping.texels { FETCHES } else { LOADS };
    let cost_of =
        |reads: [usize; 3]| reads.iter().zip(prices).map(|(count, price)| count * price).sum::<usize>();
    let fresh = || {
        let mut emitter = Emitter::new(emitter.plan, kernel, shaping);
        emitter.widest = widest;
        emitter
    };
    let k = product.inner.len();
    let taps = trailing(&product.inner.extents);
    // Steps that do not follow the taps of a window share no loads; odd ones are for axes that nothing else divides.
    let windows = taps.iter().any(|taps| taps % 2 == 1);
    let divides =
        |steps: &usize| k.is_multiple_of(*steps) && (steps.is_power_of_two() || !k.is_multiple_of(4));
    let divisors = (2..=8).filter(divides).chain([4]).filter(|_| !windows);
    let steps: BTreeSet<usize> = taps.into_iter().chain(divisors).chain([1]).collect();
    let widths: BTreeSet<usize> = trailing(&product.columns.extents).into_iter().chain([1, 4, 8]).collect();
    let shapes = widths.into_iter().map(|columns| (columns, 1)).chain(patches(&product.columns.extents));
    let shapes: Vec<(usize, usize)> = shapes.collect();
    let tallest = HEIGHTS.into_iter().find(|&rows| rows >= product.rows.len()).unwrap_or(usize::MAX);
    // Columns and steps of which a tile cannot even have the rows that lanes load at once, or all there are, are not looked at.
    let least = tallest.min(size);
    let mut all = vec![];
    for inner in steps.into_iter().filter(|&steps| steps <= k.max(1)) {
        // What a step costs to load: for one slot of rows in either order, and for each width.
        let slot = PER_LANE.map(|rows_per_lane| {
            let cut = Cut { rows: size * rows_per_lane, rows_per_lane, columns: 1, height: 1, inner };
            let fits = rows_per_lane == 1 || cut.rows <= tallest;
            fits.then(|| cost_of(reads(&mut fresh(), product, cut, size, 0)))
        });
        for &(columns, height) in &shapes {
            let of = |rows, rows_per_lane| Cut { rows, rows_per_lane, columns, height, inner };
            if !of(least, 1).is_sensible(product, size) {
                continue;
            }
            let of_columns = cost_of(reads(&mut fresh(), product, of(size, 1), size, 1));
            for rows in HEIGHTS.into_iter().filter(|&rows| rows <= tallest) {
                for (rows_per_lane, slot) in PER_LANE.into_iter().zip(slot) {
                    let cut = of(rows, rows_per_lane);
                    if let Some(slot) = slot.filter(|_| cut.is_sensible(product, size)) {
                        let loads = slot * rows.div_ceil(size * rows_per_lane) + of_columns;
                        all.push((cut, cut.cost(product, size, loads, behind)));
                    }
                }
            }
        }
    }
    all
}

/// Products of the innermost extents, where they are small enough to be written out.
fn trailing(extents: &[usize]) -> Vec<usize> {
    let mut products = vec![];
    let mut product = 1;
    for &extent in extents.iter().rev() {
        product *= extent;
        if product > WIDEST {
            break;
        }
        if product > 1 {
            products.push(product);
        }
    }
    products
}

/// Patches (positions, height) of the two innermost extents, for contractions over windows: neighbours in both
/// directions read the same elements.
fn patches(extents: &[usize]) -> Vec<(usize, usize)> {
    let [.., rows, columns] = extents else { return vec![] };
    let heights = [2, 4].into_iter().filter(|height| height <= rows && columns.is_multiple_of(4));
    heights.map(|height| (4 * height, height)).collect()
}

/// The loads of one operand in a step, by writing one: of one element, of four and of eight.
fn reads(emitter: &mut Emitter<'_>, product: &Product, cut: Cut, size: usize, operand: usize) -> [usize; 3] {
    let tile = Tile::new(emitter, product, cut, size);
    let steps = product.inner.len().div_ceil(cut.inner);
    emitter.open();
    let (atom, s) = emitter.indices.named_var(steps, 1);
    emitter.define(atom, "s");
    for at in 0..cut.inner {
        let inner = tile.inner(emitter, product, &s, at);
        match operand {
            0 => tile.row_values(emitter, product, &inner),
            _ => tile.column_values(emitter, product, &inner),
        };
    }
    // A single step is no loop: what it loads does not depend on one.
    let [outside, inside] = emitter.reads;
    if steps > 1 { inside } else { std::array::from_fn(|width| outside[width] + inside[width]) }
}

/// Where a workgroup's tile lies, and which part of it is a lane's.
struct Tile {
    cut: Cut,
    size: usize,
    /// The number of the tile among those of the rows.
    row: Index,
    batch: Vec<Index>,
    /// The rows that this lane loads.
    loaded: Vec<Lane>,
    /// The columns that this lane computes.
    columns: Vec<Lane>,
}

impl Tile {
    fn new(emitter: &mut Emitter<'_>, product: &Product, cut: Cut, size: usize) -> Self {
        let tiles = cut.tiles(product, size);
        let (atom, t) = emitter.indices.named_var(tiles.tasks, 0);
        emitter.define(atom, "group");
        let (atom, own) = emitter.indices.named_var(size, 0);
        emitter.define(atom, "lid");
        let column = emitter.indices.rem(&t, tiles.columns as i64);
        let rest = emitter.indices.div(&t, tiles.columns as i64);
        let row = emitter.indices.rem(&rest, tiles.rows as i64);
        let batch = emitter.indices.div(&rest, tiles.rows as i64);
        let batch = emitter.indices.unflatten(&batch, &product.batch.extents);
        let per_lane = cut.rows_per_lane;
        let loaded = (0..cut.rows.div_ceil(size * per_lane))
            .flat_map(|slot| {
                let first = row.times((cut.rows / per_lane) as i64).offset((slot * size) as i64);
                let group = emitter.indices.add(&first, &own);
                lanes(emitter, &group, per_lane, product.rows.len(), &product.rows)
            })
            .collect();
        let group = emitter.indices.add(&column.times(size as i64), &own);
        let columns = match cut.patches(product) {
            Some(patches) => patches.lanes(emitter, &group),
            None => lanes(emitter, &group, cut.columns, product.columns.len(), &product.columns),
        };
        Self { cut, size, row, batch, loaded, columns }
    }

    fn inner(&self, emitter: &mut Emitter<'_>, product: &Product, step: &Index, at: usize) -> Vec<Index> {
        let position = step.times(self.cut.inner as i64).offset(at as i64);
        emitter.indices.unflatten(&position, &product.inner.extents)
    }

    fn row_values(&self, emitter: &mut Emitter<'_>, product: &Product, inner: &[Index]) -> Vec<String> {
        let value = |row: &Lane| {
            let parts =
                [(&product.batch, &self.batch[..]), (&product.rows, &row.index), (&product.inner, inner)];
            let index = product.index(&product.labels[0], &parts);
            product.in_f32(emitter.value(product.operands[0], &index).text)
        };
        self.loaded.iter().map(value).collect()
    }

    fn column_values(&self, emitter: &mut Emitter<'_>, product: &Product, inner: &[Index]) -> Vec<String> {
        let value = |column: &Lane| {
            let parts = [
                (&product.batch, &self.batch[..]),
                (&product.columns, &column.index),
                (&product.inner, inner),
            ];
            let index = product.index(&product.labels[1], &parts);
            product.in_f32(emitter.value(product.operands[1], &index).text)
        };
        self.columns.iter().map(value).collect()
    }

    /// Writes the loop over the inner axis; returns the accumulators' names by row and chunk of columns.
    fn accumulate(&self, emitter: &mut Emitter<'_>, product: &Product) -> Vec<Vec<String>> {
        let mut names = vec![];
        for _ in 0..self.cut.rows {
            let mut of_row = vec![];
            for chunk in self.columns.chunks(4) {
                let name = emitter.name("acc");
                emitter.line(&format!("var {name}: {};", chunk_type(chunk.len())));
                of_row.push(name);
            }
            names.push(of_row);
        }
        let k = product.inner.len();
        let (steps, rest) = (k / self.cut.inner, k % self.cut.inner);
        if steps > 0 {
            emitter.open();
            let depth = emitter.depth();
            let name = emitter.name("k");
            let (atom, s) = emitter.indices.named_var(steps, depth);
            emitter.define(atom, &name);
            let inner: Vec<_> = (0..self.cut.inner).map(|u| self.inner(emitter, product, &s, u)).collect();
            self.step(emitter, product, &inner, &names);
            let text = emitter.close();
            emitter.repeat(&name, steps, &text);
        }
        if rest > 0 {
            let at = |u| Index::constant(k - rest + u);
            let inner: Vec<_> =
                (0..rest).map(|u| emitter.indices.unflatten(&at(u), &product.inner.extents)).collect();
            self.step(emitter, product, &inner, &names);
        }
        names
    }

    /// Some neighbouring elements of the inner axis: every row times every column.
    fn step(
        &self,
        emitter: &mut Emitter<'_>,
        product: &Product,
        inner: &[Vec<Index>],
        names: &[Vec<String>],
    ) {
        let loaded: Vec<Vec<String>> =
            inner.iter().map(|inner| self.row_values(emitter, product, inner)).collect();
        let mut vectors: Vec<Vec<String>> = vec![];
        for inner in inner {
            let values = self.column_values(emitter, product, inner);
            let named = |emitter: &mut Emitter<'_>, chunk: &[String]| {
                let name = emitter.name("w");
                emitter.line(&format!("let {name} = {};", vector(chunk)));
                name
            };
            vectors.push(values.chunks(4).map(|chunk| named(emitter, chunk)).collect());
        }
        let per_lane = self.cut.rows_per_lane;
        for (row, names) in names.iter().enumerate() {
            let (lane, within) = (row / per_lane % self.size, row % per_lane);
            let slot = row / (per_lane * self.size) * per_lane + within;
            let mut shared = vec![];
            for loaded in &loaded {
                let name = emitter.name("s");
                emitter.line(&format!("let {name} = subgroupShuffle({}, {lane}u);", loaded[slot]));
                shared.push(name);
            }
            for (at, (name, columns)) in names.iter().zip(self.columns.chunks(4)).enumerate() {
                let kind = chunk_type(columns.len());
                let sum = shared.iter().zip(&vectors).fold(name.clone(), |sum, (shared, vectors)| {
                    format!("fma({kind}({shared}), {}, {sum})", vectors[at])
                });
                emitter.line(&format!("{name} = {sum};"));
            }
        }
    }
}
