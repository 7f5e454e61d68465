//! Contractions of f16 on cooperative matrices (tensor cores), with sums in f32: the kernel of
//! `shaders/matmul_cooperative.wgsl`, whose operands are read through their views, with everything fused behind it in
//! its `store`. Which devices get it is decided in `cooperative.rs` of the crate.

use wgrad_core::{DType, Node, NodeId, Op, Recording};
use wgrad_shaders::{MATMUL_COOPERATIVE, replace};

use super::emit::{Emitter, Value, register_type};
use super::product::{Axis, Product};
use super::results::lanes;
use super::staged::cost_of_loads;
use super::{ENABLE_F16, Shaping, Source, fold, group_number, preamble, tensors};
use crate::error::Error;
use crate::plan::index::Index;
use crate::plan::{Archetype, Kernel, Plan, views};

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

/// An operand of a product, and how its tiles lie in workgroup memory.
struct Operand<'a> {
    product: &'a Product,
    /// 0 for A, which gives rows, and 1 for B.
    side: usize,
    /// Whether neighbours in workgroup memory are those along the inner axis.
    along_inner: bool,
}

impl<'a> Operand<'a> {
    /// Chooses along which axis tiles of so many rows or columns are better loaded.
    fn new(
        emitter: &Emitter<'_>,
        shaping: &Shaping,
        product: &'a Product,
        side: usize,
        length: usize,
    ) -> Self {
        let with = |along_inner| Self { product, side, along_inner };
        let cost = |along_inner: &bool| {
            let groups = if *along_inner { TILE_K } else { length } / 4;
            with(*along_inner).cost(&mut emitter.fresh(shaping), groups)
        };
        // As a matrix lies in memory by itself.
        let usual = side == 0;
        with([usual, !usual].into_iter().min_by_key(cost).unwrap_or(usual))
    }

    /// What loading four neighbours costs where so many of them make a row of a tile.
    fn cost(&self, emitter: &mut Emitter<'_>, groups: usize) -> usize {
        let (_, [row, group]) = self.load(emitter);
        // In the middle, as the edges of a view are like no other place.
        let [rows, columns] = self.axes().map(|axis| axis.len() / 2);
        cost_of_loads(emitter, |lane, atom| match atom {
            _ if atom == row => (rows + lane / groups) as i64,
            _ if atom == group => (columns / 4 + lane % groups) as i64,
            _ => 0,
        })
    }

    /// The axes of a tile's rows, and along its rows.
    fn axes(&self) -> [&'a Axis; 2] {
        let (outer, inner) = ([&self.product.rows, &self.product.columns][self.side], &self.product.inner);
        if self.along_inner { [outer, inner] } else { [inner, outer] }
    }

    /// The same with what they are called in the kernel.
    fn names(&self) -> [&'static str; 2] {
        let outer = ["M", "N"][self.side];
        if self.along_inner { [outer, "K"] } else { ["K", outer] }
    }

    fn letter(&self) -> &'static str {
        ["A", "B"][self.side]
    }

    /// The function that loads four neighbours, and the atoms of its row and its group.
    fn load(&self, emitter: &mut Emitter<'_>) -> (String, [u32; 2]) {
        let (product, [outer, along]) = (self.product, self.axes());
        let name = ["load_a", "load_b"][self.side];
        let mut atoms = [0; 2];
        let signature = format!("fn {name}(batch: u32, row: u32, group: u32) -> vec4<f16>");
        let text = emitter.function(&signature, |emitter| {
            let (_, batch) = parameter(emitter, &product.batch, "batch");
            let (atom, row) = parameter(emitter, outer, "row");
            let (of_group, group) = emitter.indices.named_var(along.len().div_ceil(4), 0);
            emitter.define(of_group, "group");
            atoms = [atom, of_group];
            let mut values = vec![];
            for lane in lanes(emitter, &group, 4, along.len(), along) {
                let parts: [(&Axis, &[Index]); 3] =
                    [(&product.batch, &batch), (outer, &row), (along, &lane.index)];
                let index = product.index(&product.labels[self.side], &parts);
                let value = emitter.value(product.operands[self.side], &index).text;
                let value = format!("f16({value})");
                values.push(match lane.inside {
                    Some(condition) => format!("select(f16(0.0), {value}, {condition})"),
                    None => value,
                });
            }
            emitter.line(&format!("return vec4<f16>({});", values.join(", ")));
        });
        (text, atoms)
    }

    fn layout(&self) -> String {
        let (letter, [row, column]) = (self.letter(), self.names());
        format!(
            "const {letter}_ROWS: u32 = TILE_{row};\nconst {letter}_COLUMNS: u32 = TILE_{column};\n\
             const {letter}_LAST_ROW: u32 = {row};\nconst {letter}_LAST_COLUMN: u32 = {column};\n"
        )
    }

    fn stage(&self) -> String {
        let (letter, [row, column]) = (self.letter(), self.names());
        let call = format!("stage_{letter}(batch, first_{row}, first_{column}, local);\n");
        format!("        {}", call.to_lowercase())
    }

    /// Loads the cooperative matrix at a step of the inner axis with a number along the block.
    fn matrix(&self, number: usize) -> String {
        let (letter, outer) = (self.letter(), ["m", "n"][self.side]);
        let array = letter.to_lowercase();
        let place = format!("block_{outer} + {number}u * MATRIX");
        let position = match self.along_inner {
            true => format!("({place}) * {letter}_STRIDE + k"),
            false => format!("k * {letter}_STRIDE + {place}"),
        };
        // A matrix lies row by row, `T`, if neighbours in memory are neighbours in a row of it.
        let by_rows = if self.along_inner == (self.side == 0) { "T" } else { "" };
        format!(
            "            let {array}_{number} = coopLoad{by_rows}<Matrix{letter}>(&tile_{array}[{position}], \
             {letter}_STRIDE);\n"
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
