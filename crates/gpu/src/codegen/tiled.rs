//! Contractions through workgroup memory, for GPUs: while the invocations of a workgroup multiply one tile of each
//! operand, they load the next ones into registers and then write them to the other half of workgroup memory, so a
//! step along the inner axis takes one barrier. Operands are read through their views, and everything fused behind the
//! product is written from the accumulators.
//!
//! Why tiles are shaped as they are: `docs/decisions.md`.

use serde::{Deserialize, Serialize};

use super::emit::Emitter;
use super::product::Product;
use super::results::{Lane, Results, lanes};
use super::staged::{Loaded, Staged, Workgroup, stride};
use super::{Body, Lanes, Shaping};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// The tile of a contraction that a workgroup computes through workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkgroupTile {
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub columns: usize,
    /// Steps along the inner axis that wait in workgroup memory together.
    pub inner: usize,
    /// Rows of an invocation: 4 or 8.
    pub rows_each: usize,
    /// Columns of an invocation: 4 or 8.
    pub columns_each: usize,
}

const fn tile(
    rows: usize,
    columns: usize,
    inner: usize,
    rows_each: usize,
    columns_each: usize,
) -> WorkgroupTile {
    WorkgroupTile { rows, columns, inner, rows_each, columns_each }
}

/// The tiles that rules and tuning choose from.
pub(super) const TILES: [WorkgroupTile; 12] = [
    tile(128, 128, 8, 8, 8),
    tile(128, 64, 8, 8, 4),
    tile(64, 128, 8, 8, 4),
    tile(64, 64, 16, 4, 4),
    tile(64, 64, 8, 4, 4),
    tile(64, 64, 16, 8, 4),
    tile(128, 32, 8, 8, 4),
    tile(32, 128, 8, 8, 4),
    tile(64, 32, 16, 4, 4),
    tile(32, 64, 16, 4, 4),
    tile(32, 32, 16, 4, 4),
    tile(16, 64, 16, 4, 4),
];

/// Invocations next to each other compute a block of so many vectors of columns and so many rows, as they read fewer
/// different vectors then than in a line.
const BLOCK: [usize; 2] = [8, 4];

impl WorkgroupTile {
    /// Invocations along columns and along rows.
    fn lanes(&self) -> [usize; 2] {
        [self.columns / self.columns_each, self.rows / self.rows_each]
    }

    /// Invocations of a workgroup.
    pub(super) fn invocations(&self) -> usize {
        let [x, y] = self.lanes();
        x * y
    }

    /// Bytes of workgroup memory.
    pub(super) fn bytes(&self) -> usize {
        2 * self.inner * (stride(self.rows) + stride(self.columns)) * 16
    }

    /// Whether it is a tile at all, and a workgroup may have as many invocations and as much memory.
    pub(crate) fn fits(&self, invocations: u32, bytes: u32) -> bool {
        let power_in = |value: usize, most: usize| value.is_power_of_two() && (4..=most).contains(&value);
        let whole = power_in(self.rows, 256)
            && power_in(self.columns, 256)
            && (8..=64).contains(&self.inner)
            && self.inner.is_multiple_of(8)
            && power_in(self.rows_each, 8)
            && power_in(self.columns_each, 8);
        let in_blocks = |lanes: [usize; 2]| {
            lanes.iter().zip(BLOCK).all(|(&lanes, block)| lanes > 0 && lanes.is_multiple_of(block))
        };
        whole
            && in_blocks(self.lanes())
            && self.invocations() <= invocations as usize
            && self.bytes() <= bytes as usize
    }

    /// Tiles along rows and along columns.
    pub(super) fn counts(&self, product: &Product) -> [usize; 2] {
        [product.rows.len().div_ceil(self.rows), product.columns.len().div_ceil(self.columns)]
    }

    /// The number of an invocation along columns and along rows.
    fn place(&self, emitter: &mut Emitter<'_>, own: &Index) -> [Index; 2] {
        let ([wide, high], blocks) = (BLOCK.map(|size| size as i64), (self.lanes()[0] / BLOCK[0]) as i64);
        let indices = &mut emitter.indices;
        let (block, row) = (indices.div(own, wide * high), indices.div(own, wide));
        let within = [indices.rem(own, wide), indices.rem(&row, high)];
        let block = [indices.rem(&block, blocks), indices.div(&block, blocks)];
        [0, 1].map(|axis| indices.add(&block[axis].times(BLOCK[axis] as i64), &within[axis]))
    }
}

/// A workgroup's tile while it is written.
struct Work<'a> {
    product: &'a Product,
    workgroup: &'a Workgroup,
    /// The number of an invocation along columns and along rows.
    place: [Index; 2],
    operands: [Staged<'a>; 2],
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
    tile: WorkgroupTile,
) -> Body {
    emitter.widest = 4;
    let [m_tiles, n_tiles] = tile.counts(product);
    let groups = product.batch.len() * m_tiles * n_tiles;
    if groups as u64 > shaping.max_groups.into() {
        emitter.line(&format!("if (group >= {groups}u) {{ return; }}"));
    }
    let (atom, group) = emitter.indices.named_var(groups, 0);
    emitter.define(atom, "group");
    let n_tile = emitter.indices.rem(&group, n_tiles as i64);
    let rest = emitter.indices.div(&group, n_tiles as i64);
    let m_tile = emitter.indices.rem(&rest, m_tiles as i64);
    let batch = emitter.indices.div(&rest, m_tiles as i64);
    let batch = emitter.indices.unflatten(&batch, &product.batch.extents);
    let (atom, own) = emitter.indices.named_var(tile.invocations(), 0);
    emitter.define(atom, "lid");
    let place = tile.place(emitter, &own);
    let first_row = m_tile.times(tile.rows as i64);
    let first_row = emitter.indices.add(&first_row, &place[1].times(tile.rows_each as i64));
    let workgroup = Workgroup { tile, batch, numbers: [m_tile, n_tile], own };
    let operands = [0, 1].map(|side| Staged::new(emitter, shaping, product, &workgroup, side));
    let work = Work { product, workgroup: &workgroup, place, operands };
    let accumulators = work.accumulate(emitter);
    let columns = work.columns(emitter);
    let results = Results { product, kernel, batch: &workgroup.batch, first_row, columns: &columns };
    results.write(emitter, &accumulators);
    Body {
        text: emitter.finish(),
        globals: work.operands.iter().map(Staged::declaration).collect(),
        workgroup: tile.invocations() as u32,
        groups: groups as u64,
        lanes: Lanes::Workgroup,
    }
}

impl Work<'_> {
    /// The columns of an invocation: vectors that lie as far apart as there are invocations along columns, so that
    /// neighbours read neighbouring vectors.
    fn columns(&self, emitter: &mut Emitter<'_>) -> Vec<Lane> {
        let (tile, [_, n_tile]) = (self.workgroup.tile, &self.workgroup.numbers);
        let mut columns = vec![];
        for vector in 0..tile.columns_each / 4 {
            let group = emitter.indices.add(&n_tile.times(tile.columns as i64 / 4), &self.place[0]);
            let group = group.offset((vector * tile.lanes()[0]) as i64);
            let axis = &self.product.columns;
            columns.extend(lanes(emitter, &group, 4, axis.len(), axis));
        }
        columns
    }

    /// Writes the loop over the inner axis; returns the accumulators' names by row and vector of columns.
    fn accumulate(&self, emitter: &mut Emitter<'_>) -> Vec<Vec<String>> {
        let (WorkgroupTile { inner, rows_each, columns_each, .. }, k) =
            (self.workgroup.tile, self.product.inner.len());
        let (steps, rows, vectors) = (k.div_ceil(inner), 0..rows_each, columns_each / 4);
        let sums: Vec<Vec<String>> =
            rows.map(|_| (0..vectors).map(|_| emitter.name("acc")).collect()).collect();
        sums.iter().flatten().for_each(|sum| emitter.line(&format!("var {sum} = vec4<f32>();")));
        let first = self.load(emitter, &Index::constant(0));
        self.store(emitter, "0u", &first);
        if steps > 1 {
            emitter.open();
            let (depth, name) = (emitter.depth(), emitter.name("s"));
            let (atom, step) = emitter.indices.named_var(steps - 1, depth);
            emitter.define(atom, &name);
            // What the last step wrote is there, and nobody reads any more what this one overwrites.
            emitter.line("workgroupBarrier();");
            let next = self.load(emitter, &step.offset(1));
            self.multiply(emitter, &format!("({name} & 1u)"), inner, &sums);
            self.store(emitter, &format!("(({name} + 1u) & 1u)"), &next);
            let text = emitter.close();
            emitter.repeat(&name, steps - 1, &text);
        }
        emitter.line("workgroupBarrier();");
        self.multiply(emitter, &format!("{}u", (steps - 1) % 2), k - (steps - 1) * inner, &sums);
        sums
    }

    fn load(&self, emitter: &mut Emitter<'_>, step: &Index) -> [Loaded; 2] {
        [0, 1].map(|side| self.operands[side].load(emitter, step))
    }

    fn store(&self, emitter: &mut Emitter<'_>, half: &str, loaded: &[Loaded; 2]) {
        for (operand, loaded) in self.operands.iter().zip(loaded) {
            operand.store(emitter, half, loaded);
        }
    }

    /// The loop over so many steps that wait in a half of workgroup memory.
    fn multiply(&self, emitter: &mut Emitter<'_>, half: &str, steps: usize, sums: &[Vec<String>]) {
        let ([x, y], [a, b]) = (&self.place, &self.operands);
        let (tile, of_rows) = (self.workgroup.tile, self.workgroup.tile.rows_each / 4);
        let rows = a.first(emitter, half, &y.times(of_rows as i64));
        let columns = b.first(emitter, half, x);
        emitter.open();
        let k = emitter.name("k");
        let rows: Vec<String> = (0..of_rows).map(|after| a.read(emitter, &rows, &k, after)).collect();
        let apart = tile.lanes()[0];
        let columns: Vec<String> =
            (0..tile.columns_each / 4).map(|vector| b.read(emitter, &columns, &k, vector * apart)).collect();
        for (row, sums) in sums.iter().enumerate() {
            let value = format!("{}.{}", rows[row / 4], ["x", "y", "z", "w"][row % 4]);
            for (sum, vector) in sums.iter().zip(&columns) {
                emitter.line(&format!("{sum} = fma(vec4<f32>({value}), {vector}, {sum});"));
            }
        }
        let text = emitter.close();
        emitter.repeat(&k, steps, &text);
    }
}
