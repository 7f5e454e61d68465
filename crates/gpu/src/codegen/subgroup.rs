//! Contractions by subgroups, for adapters that run on the CPU: a workgroup is one subgroup and computes a
//! tile of rows × columns. Lanes divide the columns among themselves; the rows' values are loaded by one lane
//! each and handed to all by `subgroupShuffle`, which is an ordinary vector instruction there, while every
//! load is a loop over lanes (`docs/decisions.md`).

use wgrad_core::DType;

use super::contract::{Lane, chunk_type, lane, lanes, vector, write_chunk};
use super::emit::Emitter;
use super::product::Product;
use super::{Body, Shaping};
use crate::plan::index::Index;
use crate::plan::{Kernel, Plan};

/// How a tile is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    /// Rows of the tile.
    rows: usize,
    /// Neighbouring rows that one lane loads.
    rows_per_lane: usize,
    /// Neighbouring columns that one lane computes.
    columns: usize,
    /// Steps along the inner axis that are written out.
    inner: usize,
}

/// Cycles of a load of four neighbours, of one element, and of one operation on all lanes.
const WIDE: usize = 80;
const NARROW: usize = 45;
/// Cycles that compiling one operation is worth: a third of a millisecond, over five hundred runs.
const COMPILE: usize = 1800;
/// Workgroups that keep the cores busy.
const ENOUGH_TASKS: usize = 16;
/// The most operations in the body of the loop.
const LARGEST: usize = 1152;

struct Tiles {
    rows: usize,
    columns: usize,
    tasks: usize,
}

impl Cut {
    fn tiles(&self, product: &Product, lanes: usize) -> Tiles {
        let rows = product.rows.len().div_ceil(self.rows);
        let columns = product.columns.len().div_ceil(self.columns * lanes);
        Tiles { rows, columns, tasks: product.batch.len() * rows * columns }
    }
}

/// What the loads of one step of the loop cost, for one row slot of every lane and for the columns.
struct Loads {
    rows: usize,
    columns: usize,
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
    size: u32,
) -> Body {
    emitter.wide_loads = true;
    let size = size as usize;
    let cut = choose(emitter.plan, kernel, product, size, emitter.inlined(kernel));
    let tasks = cut.tiles(product, size).tasks;
    let tile = Tile::new(emitter, product, cut, size);
    if u64::from(shaping.max_groups) < tasks as u64 {
        emitter.line(&format!("if (group >= {tasks}u) {{ return; }}"));
    }
    let rows: Vec<Lane> = (0..cut.rows)
        .map(|r| {
            let position = tile.row.times(cut.rows as i64).offset(r as i64);
            lane(emitter, &position, product.rows.len(), &product.rows)
        })
        .collect();
    let accumulators = tile.accumulate(emitter, product);
    // The loads of what follows are written out for every row; more than a few operations go into a loop.
    let mut globals = String::new();
    if emitter.inlined(kernel) * cut.rows * cut.columns <= UNROLLED {
        for (row, accumulators) in rows.iter().zip(&accumulators) {
            for (columns, accumulator) in tile.columns.chunks(4).zip(accumulators) {
                write_chunk(emitter, product, kernel, &tile.batch, row, columns, accumulator);
            }
        }
    } else {
        globals = tile.write_in_a_loop(emitter, product, kernel, &accumulators);
    }
    Body { text: emitter.finish(), globals, workgroup: size as u32, groups: tasks as u64, subgroup: true }
}

/// The most operations, over all results of a tile, that are written out behind the loop.
const UNROLLED: usize = 256;

/// The cheapest of all sensible cuts, by a model of what loads and operations cost.
fn choose(plan: &Plan, kernel: &Kernel, product: &Product, size: usize, behind: usize) -> Cut {
    let (m, k) = (product.rows.len(), product.inner.len());
    let mut inner: Vec<usize> = trailing(&product.inner.extents);
    inner.extend((2..=8).filter(|u| k.is_multiple_of(*u)));
    inner.push(4);
    inner.retain(|&u| u <= k.max(1));
    if inner.is_empty() {
        inner.push(1);
    }
    let mut columns = trailing(&product.columns.extents);
    columns.extend([4, 1]);
    inner.sort_unstable();
    inner.dedup();
    columns.sort_unstable();
    columns.dedup();
    let heights = [1, 2, 4, 8, 16, 32];
    let tallest = heights.into_iter().find(|&rows| rows >= m).unwrap_or(32);
    let mut best: Option<(usize, Cut)> = None;
    for &inner in &inner {
        let row_loads = [1, 4].map(|per_lane| {
            let cut = Cut { rows: size * per_lane, rows_per_lane: per_lane, columns: 1, inner };
            (per_lane, probe(plan, kernel, product, cut, size).rows)
        });
        for &columns in &columns {
            let cut = Cut { rows: size, rows_per_lane: 1, columns, inner };
            let column_loads = probe(plan, kernel, product, cut, size).columns;
            for rows in heights.into_iter().filter(|&rows| rows <= tallest) {
                for (per_lane, loads) in row_loads {
                    if per_lane > 1 && rows != size * per_lane {
                        continue;
                    }
                    let cut = Cut { rows, rows_per_lane: per_lane, columns, inner };
                    let row_loads = loads * rows.div_ceil(size * per_lane);
                    let operations = rows * columns * inner;
                    if operations > LARGEST && rows > 1 {
                        continue;
                    }
                    // Accumulators beyond the registers are loaded and stored once a step.
                    let spilled = if rows * columns > 24 { rows * columns } else { 0 };
                    let shuffles = rows * inner / 2;
                    let step = operations + spilled + shuffles + row_loads + column_loads;
                    let steps = k.div_ceil(inner).max(1);
                    let results = rows * columns * (behind + NARROW);
                    let tasks = cut.tiles(product, size).tasks;
                    let cost = tasks.next_multiple_of(if tasks < ENOUGH_TASKS { ENOUGH_TASKS } else { 2 })
                        * (steps * step + results)
                        + COMPILE * (operations + shuffles + (row_loads + column_loads) / 2);
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, cut));
                    }
                }
            }
        }
    }
    best.map_or(Cut { rows: 1, rows_per_lane: 1, columns: 4, inner: 1 }, |(_, cut)| cut)
}

/// Products of the innermost extents, where they are small enough to be written out.
fn trailing(extents: &[usize]) -> Vec<usize> {
    let mut products = vec![];
    let mut product = 1;
    for &extent in extents.iter().rev() {
        product *= extent;
        if product > 16 {
            break;
        }
        if product > 1 {
            products.push(product);
        }
    }
    products
}

/// Counts the loads of a step by writing one.
fn probe(plan: &Plan, kernel: &Kernel, product: &Product, cut: Cut, size: usize) -> Loads {
    let mut emitter = Emitter::new(plan, kernel);
    emitter.wide_loads = true;
    let tile = Tile::new(&mut emitter, product, cut, size);
    let cost = |emitter: &Emitter<'_>| emitter.reads[1] * WIDE + emitter.reads[0] * NARROW;
    emitter.open();
    let steps = product.inner.len().div_ceil(cut.inner);
    let (atom, s) = emitter.indices.named_var(steps, 1);
    emitter.define(atom, "s");
    let inner: Vec<Vec<Index>> = (0..cut.inner).map(|u| tile.inner(&mut emitter, product, &s, u)).collect();
    inner.iter().for_each(|inner| drop(tile.row_values(&mut emitter, product, inner)));
    let rows = cost(&emitter);
    inner.iter().for_each(|inner| drop(tile.column_values(&mut emitter, product, inner)));
    Loads { rows, columns: cost(&emitter) - rows }
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
        let columns = lanes(emitter, &group, cut.columns, product.columns.len(), &product.columns);
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
            as_f32(product, emitter.value(product.operands[0], &index).text)
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
            as_f32(product, emitter.value(product.operands[1], &index).text)
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
            emitter.line(&format!("for (var {name} = 0u; {name} < {steps}u; {name}++) {{"));
            emitter.block(&text);
            emitter.line("}");
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

    /// The same for all rows, written once; returns declarations. Accumulators wait in workgroup memory, where
    /// each lane reads what it wrote itself: compilers take seconds for an array in registers whose index they
    /// do not know.
    fn write_in_a_loop(
        &self,
        emitter: &mut Emitter<'_>,
        product: &Product,
        kernel: &Kernel,
        accumulators: &[Vec<String>],
    ) -> String {
        let (rows, size) = (self.cut.rows, self.size);
        let mut globals = String::new();
        let tiles: Vec<String> = self.columns.chunks(4).map(|_| emitter.name("tile")).collect();
        for (at, (tile, columns)) in tiles.iter().zip(self.columns.chunks(4)).enumerate() {
            let kind = chunk_type(columns.len());
            globals.push_str(&format!("var<workgroup> {tile}: array<{kind}, {}>;\n", rows * size));
            for (row, accumulators) in accumulators.iter().enumerate() {
                emitter.line(&format!("{tile}[{}u + lid] = {};", row * size, accumulators[at]));
            }
        }
        emitter.open();
        let depth = emitter.depth();
        let name = emitter.name("r");
        let (atom, r) = emitter.indices.named_var(rows, depth);
        emitter.define(atom, &name);
        let position = emitter.indices.add(&self.row.times(rows as i64), &r);
        let row = lane(emitter, &position, product.rows.len(), &product.rows);
        for (tile, columns) in tiles.iter().zip(self.columns.chunks(4)) {
            let accumulator = emitter.name("acc");
            emitter.line(&format!("let {accumulator} = {tile}[{name} * {size}u + lid];"));
            write_chunk(emitter, product, kernel, &self.batch, &row, columns, &accumulator);
        }
        let text = emitter.close();
        emitter.line(&format!("for (var {name} = 0u; {name} < {rows}u; {name}++) {{"));
        emitter.block(&text);
        emitter.line("}");
        globals
    }
}

fn as_f32(product: &Product, text: String) -> String {
    if product.dtype == DType::F32 { text } else { format!("f32({text})") }
}
