//! Contractions of f16 on cooperative matrices (tensor cores), with sums in f32: the kernel of
//! `shaders/matmul_cooperative.wgsl`, whose operands are read through their views, with everything fused behind it in
//! its `store`. Which devices get it is decided in `crate::cooperative`.

mod operand;

use wgrad_core::{DType, Node, NodeId, Op, Recording};
use wgrad_shaders::{MATMUL_COOPERATIVE, replace};

use super::emit::{Emitter, Value, register_type};
use super::product::{Axis, Product};
use super::{ENABLE_F16, Shaping, Source, fold, group_number, preamble, tensors};
use crate::error::Error;
use crate::plan::index::Index;
use crate::plan::{Archetype, Kernel, Plan, views};
use operand::Operand;

/// The cooperative matrices of a device, and how many of them a subgroup multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns of a matrix: 8 or 16.
    pub size: usize,
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// Matrices of a subgroup's block of the result, along rows and columns; by default what the result's size says.
    pub block: Option<[usize; 2]>,
}

/// Steps of the inner axis that lie in workgroup memory together: `TILE_K` of the kernel.
pub(super) const TILE_K: usize = 32;
/// Subgroups of a workgroup, two along each axis.
const SUBGROUPS: usize = 4;

impl Cooperative {
    /// The blocks that the rule chooses from, the larger first.
    pub(crate) const BLOCKS: [[usize; 2]; 2] = [[4, 4], [2, 2]];
    /// Those that tuning may choose.
    pub(crate) const CANDIDATES: [[usize; 2]; 5] = [[4, 4], [4, 2], [2, 4], [2, 2], [1, 2]];

    /// Invocations of a workgroup.
    pub(crate) fn invocations(&self) -> u32 {
        SUBGROUPS as u32 * self.subgroup
    }

    /// Bytes of workgroup memory that a block takes at the most, however its tiles lie.
    pub(crate) fn bytes(&self, block: [usize; 2]) -> usize {
        // As many rows of so many f16 and 8 more as there are fewer of rows and columns make the larger array.
        let padded = |length: usize| length * TILE_K + 8 * length.max(TILE_K);
        let halves: usize = self.tile(block).into_iter().map(padded).sum();
        2 * halves + 4 * SUBGROUPS * self.size * self.size
    }

    /// Rows and columns of the result that a workgroup computes.
    pub(crate) fn tile(&self, block: [usize; 2]) -> [usize; 2] {
        block.map(|matrices| 2 * matrices * self.size)
    }

    /// Workgroups that a product takes.
    pub(super) fn workgroups(&self, product: &Product, block: [usize; 2]) -> usize {
        product.batch.len() * self.tiles(product, block).iter().product::<usize>()
    }

    /// How many tiles there are along rows and columns.
    fn tiles(&self, product: &Product, block: [usize; 2]) -> [usize; 2] {
        let [rows, columns] = self.tile(block);
        [product.rows.len().div_ceil(rows), product.columns.len().div_ceil(columns)]
    }

    /// The block for a product, if one is worth while: the operands are f16 and fill half a tile. The large one is for
    /// products that give every processor a workgroup.
    pub(super) fn block_for(&self, plan: &Plan, product: &Product, processors: usize) -> Option<[usize; 2]> {
        let [large, small] = Self::BLOCKS;
        let is_busy = self.workgroups(product, large) >= processors;
        let block = self.block.unwrap_or(if is_busy { large } else { small });
        let [rows, columns] = self.tile(block);
        let extents = [&product.rows, &product.columns, &product.inner].map(Axis::len);
        let fills = extents.iter().zip([rows, columns, TILE_K]).all(|(extent, tile)| 2 * extent >= tile);
        let halves = product.operands.iter().all(|&operand| is_half(&plan.recording, operand));
        (fills && halves).then_some(block)
    }
}

/// Whether some contraction of a plan multiplies f16.
pub(crate) fn multiplies_halves(plan: &Plan) -> bool {
    plan.kernels.iter().any(|kernel| match kernel.archetype {
        Archetype::Contract { node } => {
            plan.recording.node(node).inputs.iter().all(|&operand| is_half(&plan.recording, operand))
        }
        _ => false,
    })
}

/// Whether every element of a node is an f16, whatever its dtype: mixed precision rounds to f16 and multiplies as f32.
fn is_half(recording: &Recording, id: NodeId) -> bool {
    let Node { op, inputs, spec, .. } = recording.node(id);
    let dtype = |input: &NodeId| recording.node(*input).spec.dtype;
    let of_all = || inputs.iter().all(|&input| is_half(recording, input));
    let exact = |value: f64| DType::F16.round(value) == value;
    match op {
        _ if spec.dtype == DType::F16 => true,
        Op::Cast(_) => matches!(dtype(&inputs[0]), DType::F16 | DType::Bool),
        Op::Scalar(scalar) => exact(scalar.value()),
        Op::Pad(pad) => exact(pad.value()) && of_all(),
        Op::Slide(slide) => exact(slide.fill()) && of_all(),
        Op::Concat(_) => of_all(),
        op if views::is_view(op) => of_all(),
        _ => false,
    }
}

/// The kernel of a contraction that suits the cooperative matrices that there are, if there are any.
pub(super) fn generate(plan: &Plan, kernel: &Kernel, shaping: &Shaping) -> Result<Option<Source>, Error> {
    let (Archetype::Contract { node }, Some(cooperative)) = (&kernel.archetype, shaping.cooperative) else {
        return Ok(None);
    };
    let mut emitter = Emitter::new(plan, kernel, shaping);
    let product = super::product(&emitter, *node)?;
    let Some(block) = cooperative.block_for(plan, &product, shaping.processors) else { return Ok(None) };
    emitter.widest = 4;
    let tile = cooperative.tile(block);
    let operands = [0, 1].map(|side| Operand::new(&emitter, shaping, &product, side, tile[side]));
    let loads = operands.each_ref().map(|operand| operand.load(&mut emitter).0);
    let functions = loads.concat() + &store(&mut emitter, kernel, &product);
    let functions = (preamble(&emitter) + &functions).replace(ENABLE_F16, "");
    let [m_tiles, n_tiles] = cooperative.tiles(&product, block);
    let groups = cooperative.workgroups(&product, block);
    let grid = fold(groups as u64, shaping.max_groups);
    let place = format!(
        "    {}\n    if (group >= {groups}u) {{ return; }}\n    let tile = vec3<u32>(group % {n_tiles}u, \
         (group / {n_tiles}u) % {m_tiles}u, group / {}u);\n",
        group_number("group", grid),
        n_tiles * m_tiles
    );
    let [m, n, k] = [&product.rows, &product.columns, &product.inner].map(Axis::len);
    let regions = [
        ("sizes", format!("const M: u32 = {m}u;\nconst N: u32 = {n}u;\nconst K: u32 = {k}u;\n")),
        ("functions", functions),
        ("shape", cooperative.shape(block)),
        ("layout", operands.each_ref().map(Operand::layout).concat()),
        ("grid", place),
        ("accumulators", each_matrix(block, |i, j| format!("    var c_{i}_{j}: MatrixC;\n"))),
        ("stage", operands.each_ref().map(Operand::stage).concat()),
        ("multiply", multiply(&operands, block)),
        ("results", results(block)),
    ];
    let kernel = |text: String, (region, with): &(&str, String)| replace(&text, region, with);
    let wgsl = regions.iter().fold(MATMUL_COOPERATIVE.to_string(), kernel);
    let source = Source { wgsl, bindings: tensors(&emitter), grid, checked: emitter.checked() };
    emitter.fault.map_or(Ok(Some(source)), |fault| Err(Error::Internal(fault)))
}

impl Cooperative {
    fn shape(&self, [rows, columns]: [usize; 2]) -> String {
        let Self { size, subgroup, .. } = self;
        let alias = |role: &str, element: &str| {
            format!("alias Matrix{role} = coop_mat{size}x{size}<{element}, {role}>;\n")
        };
        let matrices = alias("A", "f16") + &alias("B", "f16") + &alias("C", "f32");
        format!(
            "{matrices}const MATRIX: u32 = {size}u;\nconst SUBGROUP: u32 = {subgroup}u;\n\
             const BLOCK_M: u32 = {rows}u * MATRIX;\nconst BLOCK_N: u32 = {columns}u * MATRIX;\n"
        )
    }
}

fn each_matrix([rows, columns]: [usize; 2], text: impl Fn(usize, usize) -> String) -> String {
    (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| text(i, j)).collect()
}

fn multiply([a, b]: &[Operand<'_>; 2], [rows, columns]: [usize; 2]) -> String {
    let mut text: String = (0..rows).map(|i| a.matrix(i)).collect();
    for j in 0..columns {
        text += &b.matrix(j);
        for i in 0..rows {
            text += &format!("            c_{i}_{j} = coopMultiplyAdd(a_{i}, b_{j}, c_{i}_{j});\n");
        }
    }
    text
}

fn results(block: [usize; 2]) -> String {
    each_matrix(block, |i, j| {
        // What the last matrix left is read before the next one is written.
        let before = if i + j > 0 { "    workgroupBarrier();\n" } else { "" };
        format!(
            "{before}    coopStoreT(c_{i}_{j}, &results[own], MATRIX);\n    workgroupBarrier();\n    \
             store_matrix(batch, first_m + block_m + {i}u * MATRIX, first_n + block_n + {j}u * MATRIX, local);\n"
        )
    })
}

/// The atom of a parameter that is a position along a composite axis, and the multi-index there.
fn parameter(emitter: &mut Emitter<'_>, axis: &Axis, name: &str) -> (u32, Vec<Index>) {
    let (atom, position) = emitter.indices.named_var(axis.len(), 0);
    emitter.define(atom, name);
    (atom, emitter.indices.unflatten(&position, &axis.extents))
}

/// The function that writes everything made from one result.
fn store(emitter: &mut Emitter<'_>, kernel: &Kernel, product: &Product) -> String {
    let signature = "fn store(batch: u32, m: u32, n: u32, value: f32)";
    emitter.function(signature, |emitter| {
        let axes = [&product.batch, &product.rows, &product.columns];
        let [batch, m, n] = [0, 1, 2].map(|at| parameter(emitter, axes[at], ["batch", "m", "n"][at]).1);
        let index = product.index(&product.out, &[(axes[0], &batch), (axes[1], &m), (axes[2], &n)]);
        let text = match product.dtype {
            DType::F32 => "value".into(),
            dtype => format!("{}(value)", register_type(dtype)),
        };
        emitter.know(product.node, &index, Value { text, depth: 0 });
        let positions: Vec<Vec<Index>> =
            kernel.stores.iter().map(|&node| emitter.reshaped(&index, product.node, node)).collect();
        for (&node, position) in kernel.stores.iter().zip(&positions) {
            emitter.prepare(&[node], std::slice::from_ref(position));
        }
        for (&node, position) in kernel.stores.iter().zip(&positions) {
            emitter.store(node, std::slice::from_ref(position));
        }
    })
}
