//! Contractions through workgroup memory, for GPUs: the kernel of `shaders/matmul_tiled.wgsl` with its
//! operands read through their views and everything fused behind it in its `store`.

use wgrad_core::DType;

use super::emit::{Emitter, Value, register_type};
use super::product::{Axis, Product};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// Rows, columns and inner steps of a tile.
pub(super) const TILE: [usize; 3] = [64, 64, 16];

/// The parts of the kernel that depend on the contraction, and its number of workgroups.
pub(super) struct Tiled {
    /// Replaces the region `sizes`.
    pub(super) sizes: String,
    /// Replaces the region `functions`, after the bindings.
    pub(super) functions: String,
    /// Replaces the region `grid`, where the workgroup's number is `group`.
    pub(super) grid: String,
    /// Workgroups in all.
    pub(super) groups: u64,
}

/// Whether tiles through workgroup memory are worth while.
pub(super) fn suits(product: &Product) -> bool {
    product.rows.len() >= TILE[0] / 2
        && product.columns.len() >= TILE[1] / 2
        && product.inner.len() >= TILE[2]
}

pub(super) fn write(emitter: &mut Emitter<'_>, kernel: &Kernel, product: &Product) -> Tiled {
    emitter.widest = 1;
    let (m, n, k) = (product.rows.len(), product.columns.len(), product.inner.len());
    let load_a =
        operand(emitter, product, 0, "load_a", [&product.batch, &product.rows, &product.inner], ["m", "k"]);
    let load_b = operand(
        emitter,
        product,
        1,
        "load_b",
        [&product.batch, &product.inner, &product.columns],
        ["k", "n"],
    );
    let signature = "fn store(batch: u32, m: u32, n: u32, value: f32)";
    let store = emitter.function(signature, |emitter| {
        let axes = [&product.batch, &product.rows, &product.columns];
        let parts = parameters(emitter, axes, ["batch", "m", "n"]);
        let index = product.index(&product.out, &pair(axes, &parts));
        let text = match product.dtype {
            DType::F32 => "value".into(),
            dtype => format!("{}(value)", register_type(dtype)),
        };
        emitter.know(product.node, &index, Value { text, depth: 0 });
        let position = std::slice::from_ref(&index);
        emitter.prepare(&kernel.stores, position);
        kernel.stores.iter().for_each(|&node| emitter.store(node, position));
    });
    let (m_tiles, n_tiles) = (m.div_ceil(TILE[0]), n.div_ceil(TILE[1]));
    let groups = product.batch.len() * m_tiles * n_tiles;
    Tiled {
        sizes: format!("const M: u32 = {m}u;\nconst N: u32 = {n}u;\nconst K: u32 = {k}u;\n"),
        functions: [load_a, load_b, store].concat(),
        grid: format!(
            "    if (group >= {groups}u) {{ return; }}\n    let tile = vec3<u32>(group % {n_tiles}u, \
             (group / {n_tiles}u) % {m_tiles}u, group / {}u);\n",
            n_tiles * m_tiles
        ),
        groups: groups as u64,
    }
}

/// The multi-indices along three composite axes whose positions are parameters.
fn parameters(emitter: &mut Emitter<'_>, axes: [&Axis; 3], names: [&str; 3]) -> [Vec<Index>; 3] {
    let mut number = 0;
    axes.map(|axis| {
        let (atom, position) = emitter.indices.named_var(axis.len(), 0);
        emitter.define(atom, names[number]);
        number += 1;
        emitter.indices.unflatten(&position, &axis.extents)
    })
}

fn pair<'a>(axes: [&'a Axis; 3], parts: &'a [Vec<Index>; 3]) -> Vec<(&'a Axis, &'a [Index])> {
    axes.into_iter().zip(parts.iter().map(Vec::as_slice)).collect()
}

fn operand(
    emitter: &mut Emitter<'_>,
    product: &Product,
    side: usize,
    name: &str,
    axes: [&Axis; 3],
    [first, second]: [&str; 2],
) -> String {
    let signature = format!("fn {name}(batch: u32, {first}: u32, {second}: u32) -> f32");
    emitter.function(&signature, |emitter| {
        let parts = parameters(emitter, axes, ["batch", first, second]);
        let index = product.index(&product.labels[side], &pair(axes, &parts));
        let value = emitter.value(product.operands[side], &index);
        emitter.line(&format!("return f32({});", value.text));
    })
}
