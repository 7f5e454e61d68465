//! Contractions from registers: every invocation computes a tile of rows × columns, reading both operands
//! through their views. Matrix products, convolutions and both their gradients are kernels of this kind.
//!
//! No workgroup memory and no barriers: software adapters run this shape seven times faster than the one
//! that discrete GPUs prefer (`docs/decisions.md`).

use serde::{Deserialize, Serialize};

use super::emit::Emitter;
use super::product::Product;
use super::results::{Lane, Results, lane, lanes, vector};
use super::{Body, Lanes, Shaping};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// The register tile of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// Rows: values of the first operand that are kept while columns pass by.
    pub rows: usize,
    /// Columns, a multiple of 4.
    pub columns: usize,
    /// Invocations of a workgroup.
    pub workgroup: u32,
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
) -> Body {
    emitter.widest = 4;
    let (m, n) = (product.rows.len(), product.columns.len());
    let rows = shaping.tile.rows.min(m.next_power_of_two()).max(1);
    let columns = shaping.tile.columns.min(n.next_multiple_of(4)).max(4);
    let (m_tiles, n_tiles) = (m.div_ceil(rows), n.div_ceil(columns));
    let tasks = product.batch.len() * m_tiles * n_tiles;

    let workgroup = shaping.tile.workgroup;
    emitter.line(&format!("let t = group * {workgroup}u + lid;"));
    emitter.line(&format!("if (t >= {tasks}u) {{ return; }}"));
    let (atom, t) = emitter.indices.named_var(tasks, 0);
    emitter.define(atom, "t");
    let n_tile = emitter.indices.rem(&t, n_tiles as i64);
    let rest = emitter.indices.div(&t, n_tiles as i64);
    let m_tile = emitter.indices.rem(&rest, m_tiles as i64);
    let batch = emitter.indices.div(&rest, m_tiles as i64);
    let batch = emitter.indices.unflatten(&batch, &product.batch.extents);

    let row = |i: usize| m_tile.times(rows as i64).offset(i as i64);
    let row_lanes: Vec<Lane> = (0..rows).map(|i| lane(emitter, &row(i), m, &product.rows)).collect();
    let group = |g: usize| n_tile.times(columns as i64 / 4).offset(g as i64);
    let column_lanes: Vec<Lane> =
        (0..columns / 4).flat_map(|g| lanes(emitter, &group(g), 4, n, &product.columns)).collect();

    let accumulators = accumulate(emitter, product, &batch, &row_lanes, &column_lanes);
    let tile = Results {
        product,
        kernel,
        batch: &batch,
        first_row: m_tile.times(rows as i64),
        columns: &column_lanes,
    };
    tile.write(emitter, &accumulators);
    Body {
        text: emitter.finish(),
        globals: String::new(),
        workgroup,
        groups: (tasks as u64).div_ceil(workgroup.into()),
        lanes: Lanes::Workgroup,
    }
}

/// Writes the loop over the inner axis; returns the accumulators' names by row and group of four columns.
fn accumulate(
    emitter: &mut Emitter<'_>,
    product: &Product,
    batch: &[Index],
    rows: &[Lane],
    columns: &[Lane],
) -> Vec<Vec<String>> {
    let groups = columns.len() / 4;
    let names: Vec<Vec<String>> =
        rows.iter().map(|_| (0..groups).map(|_| emitter.name("acc")).collect()).collect();
    for name in names.iter().flatten() {
        emitter.line(&format!("var {name} = vec4<f32>();"));
    }
    let k = product.inner.len();
    let (steps, rest) = (k / 4, k % 4);
    if steps > 0 {
        emitter.open();
        let depth = emitter.depth();
        let name = emitter.name("k");
        let (atom, s) = emitter.indices.named_var(steps, depth);
        emitter.define(atom, &name);
        for kk in 0..4 {
            let position = s.times(4).offset(kk);
            step(emitter, product, batch, rows, columns, &position, &names);
        }
        let text = emitter.close();
        emitter.repeat(&name, steps, &text);
    }
    for kk in 0..rest {
        let position = Index::constant(k - rest + kk);
        step(emitter, product, batch, rows, columns, &position, &names);
    }
    names
}

/// One element of the inner axis: every row times every column.
fn step(
    emitter: &mut Emitter<'_>,
    product: &Product,
    batch: &[Index],
    rows: &[Lane],
    columns: &[Lane],
    position: &Index,
    accumulators: &[Vec<String>],
) {
    let inner = emitter.indices.unflatten(position, &product.inner.extents);
    let mut vectors = vec![];
    for group in columns.chunks(4) {
        let lanes: Vec<String> = group
            .iter()
            .map(|lane| {
                let index = product.index(
                    &product.labels[1],
                    &[(&product.batch, batch), (&product.columns, &lane.index), (&product.inner, &inner)],
                );
                product.in_f32(emitter.value(product.operands[1], &index).text)
            })
            .collect();
        let name = emitter.name("w");
        emitter.line(&format!("let {name} = {};", vector(&lanes)));
        vectors.push(name);
    }
    for (row, accumulators) in rows.iter().zip(accumulators) {
        let index = product.index(
            &product.labels[0],
            &[(&product.batch, batch), (&product.rows, &row.index), (&product.inner, &inner)],
        );
        let value = product.in_f32(emitter.value(product.operands[0], &index).text);
        for (name, vector) in accumulators.iter().zip(&vectors) {
            emitter.line(&format!("{name} = fma(vec4<f32>({value}), {vector}, {name});"));
        }
    }
}
