//! Contractions from registers: every invocation computes a tile of rows × columns, reading both operands
//! through their views. Matrix products, convolutions and both their gradients are kernels of this kind.
//!
//! No workgroup memory and no barriers: software adapters run this shape seven times faster than the one
//! that discrete GPUs prefer (`docs/decisions.md`).

use wgrad_core::{DType, NodeId};

use super::emit::{Emitter, Value, register_type, vector_of};
use super::product::{Axis, Product};
use super::{Body, Shaping};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// The register tile of one invocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tile {
    /// Rows: values of the first operand that are kept while columns pass by.
    pub rows: usize,
    /// Columns, a multiple of 4.
    pub columns: usize,
    /// Invocations of a workgroup.
    pub workgroup: u32,
}

/// The most operations, over all results of a tile, that are written out behind the loop; more are written
/// once, in a loop of their own. Compilers take seconds for thousands of lines.
const UNROLLED: usize = 512;

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// A lane's position along a composite axis and, for lanes that may lie beyond the end, the condition
/// under which they do not.
pub(super) struct Lane {
    pub(super) index: Vec<Index>,
    inside: Option<String>,
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
) -> Body {
    emitter.wide_loads = true;
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
    if emitter.inlined(kernel) * rows * columns <= UNROLLED {
        for (row, accumulators) in row_lanes.iter().zip(&accumulators) {
            for (columns, accumulator) in column_lanes.chunks(4).zip(accumulators) {
                write_chunk(emitter, product, kernel, &batch, row, columns, accumulator);
            }
        }
    } else {
        // The same for all groups of four, written once.
        let groups = columns / 4;
        let tile = emitter.name("tile");
        let all = accumulators.concat();
        emitter.line(&format!("var {tile} = array<vec4<f32>, {}>({});", all.len(), all.join(", ")));
        emitter.open();
        let depth = emitter.depth();
        let name = emitter.name("r");
        let (atom, r) = emitter.indices.named_var(all.len(), depth);
        emitter.define(atom, &name);
        let (i, g) = (emitter.indices.div(&r, groups as i64), emitter.indices.rem(&r, groups as i64));
        let row = emitter.indices.add(&m_tile.times(rows as i64), &i);
        let row = lane(emitter, &row, m, &product.rows);
        let group = emitter.indices.add(&n_tile.times(groups as i64), &g);
        let columns = lanes(emitter, &group, 4, n, &product.columns);
        let accumulator = emitter.name("acc");
        emitter.line(&format!("let {accumulator} = {tile}[{name}];"));
        write_chunk(emitter, product, kernel, &batch, &row, &columns, &accumulator);
        let text = emitter.close();
        emitter.line(&format!("for (var {name} = 0u; {name} < {}u; {name}++) {{", all.len()));
        emitter.block(&text);
        emitter.line("}");
    }
    Body {
        text: emitter.finish(),
        globals: String::new(),
        workgroup,
        groups: (tasks as u64).div_ceil(workgroup.into()),
        subgroup: false,
    }
}

/// One position along an axis, clamped to it.
pub(super) fn lane(emitter: &mut Emitter<'_>, position: &Index, extent: usize, axis: &Axis) -> Lane {
    let clamped = emitter.indices.clamp(position, extent.saturating_sub(1));
    let inside = (clamped != *position).then(|| format!("{} < {extent}u", emitter.position(position)));
    Lane { index: emitter.indices.unflatten(&clamped, &axis.extents), inside }
}

/// A group of neighbours, clamped as a whole where the extent allows, so that they stay aligned.
pub(super) fn lanes(
    emitter: &mut Emitter<'_>,
    group: &Index,
    width: usize,
    extent: usize,
    axis: &Axis,
) -> Vec<Lane> {
    let at = |group: &Index, j: usize| group.times(width as i64).offset(j as i64);
    if !extent.is_multiple_of(width) {
        return (0..width).map(|j| lane(emitter, &at(group, j), extent, axis)).collect();
    }
    let groups = extent / width;
    let clamped = emitter.indices.clamp(group, groups.saturating_sub(1));
    let inside = (clamped != *group).then(|| format!("{} < {groups}u", emitter.position(group)));
    let lane = |j: usize| {
        let index = emitter.indices.unflatten(&at(&clamped, j), &axis.extents);
        Lane { index, inside: inside.clone() }
    };
    (0..width).map(lane).collect()
}

/// The type of up to four neighbours.
pub(super) fn chunk_type(width: usize) -> String {
    if width == 1 { "f32".into() } else { format!("vec{width}<f32>") }
}

/// Up to four values as a vector.
pub(super) fn vector(values: &[String]) -> String {
    vector_of(values).unwrap_or_else(|| format!("{}({})", chunk_type(values.len()), values.join(", ")))
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
        emitter.line(&format!("for (var {name} = 0u; {name} < {steps}u; {name}++) {{"));
        emitter.block(&text);
        emitter.line("}");
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
    let wide = |text: String| if product.dtype == DType::F32 { text } else { format!("f32({text})") };
    let mut vectors = vec![];
    for group in columns.chunks(4) {
        let lanes: Vec<String> = group
            .iter()
            .map(|lane| {
                let index = product.index(
                    &product.labels[1],
                    &[(&product.batch, batch), (&product.columns, &lane.index), (&product.inner, &inner)],
                );
                wide(emitter.value(product.operands[1], &index).text)
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
        let value = wide(emitter.value(product.operands[0], &index).text);
        for (name, vector) in accumulators.iter().zip(&vectors) {
            emitter.line(&format!("{name} = fma(vec4<f32>({value}), {vector}, {name});"));
        }
    }
}

/// Stores everything that is made from up to four neighbouring results.
pub(super) fn write_chunk(
    emitter: &mut Emitter<'_>,
    product: &Product,
    kernel: &Kernel,
    batch: &[Index],
    row: &Lane,
    columns: &[Lane],
    accumulator: &str,
) {
    let mut positions = vec![];
    for (column, component) in columns.iter().zip(COMPONENTS) {
        let parts: [(&Axis, &[Index]); 3] =
            [(&product.batch, batch), (&product.rows, &row.index), (&product.columns, &column.index)];
        let index = product.index(&product.out, &parts);
        let text = if columns.len() == 1 { accumulator.into() } else { format!("{accumulator}.{component}") };
        let text = match product.dtype {
            DType::F32 => text,
            dtype => format!("{}({text})", register_type(dtype)),
        };
        // Lanes beyond the end share the position of the last one, and its value.
        let depth = emitter.depth();
        emitter.know(product.node, &index, Value { text, depth });
        positions.push(index);
    }
    emitter.prepare(&kernel.stores, &positions);
    for &node in &kernel.stores {
        if columns.iter().all(|column| column.inside == columns[0].inside) {
            write_if(emitter, node, &positions, row.inside.iter().chain(&columns[0].inside));
            continue;
        }
        for (column, position) in columns.iter().zip(&positions) {
            write_if(emitter, node, std::slice::from_ref(position), row.inside.iter().chain(&column.inside));
        }
    }
}

fn write_if<'c>(
    emitter: &mut Emitter<'_>,
    node: NodeId,
    positions: &[Vec<Index>],
    conditions: impl Iterator<Item = &'c String>,
) {
    let conditions: Vec<&str> = conditions.map(String::as_str).collect();
    if conditions.is_empty() {
        emitter.store(node, positions);
        return;
    }
    emitter.open();
    emitter.store(node, positions);
    let text = emitter.close();
    emitter.line(&format!("if ({}) {{", conditions.join(" && ")));
    emitter.block(&text);
    emitter.line("}");
}
