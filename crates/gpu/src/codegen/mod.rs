//! From a planned kernel to WGSL. The text depends on shapes and expressions only, not on where tensors
//! lie, so equal kernels share one pipeline.

mod attention;
mod candidates;
mod contract;
mod emit;
mod map;
mod operators;
pub(crate) mod own;
mod packed;
mod product;
mod results;
mod row;
mod subgroup;
mod tiled;

use wgrad_core::{NodeId, Op};

use crate::error::Error;
use crate::plan::{Archetype, Kernel, Place, Plan};
use emit::{Emitter, memory_type};
use product::Product;

pub(crate) use candidates::{Candidate, candidates};
pub use contract::Tile;
pub use subgroup::Cut;

/// How kernels are shaped for an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shaping {
    /// Invocations of a workgroup of a map.
    pub map_workgroup: u32,
    /// Elements that one invocation of a map computes: 4 or 1.
    pub map_lanes: usize,
    /// The largest number of invocations that reduce one row together; 1 where barriers are dear.
    pub row_threads: u32,
    /// The register tile of a contraction.
    pub tile: Tile,
    /// Whether large contractions go through workgroup memory.
    pub workgroup_tiles: bool,
    /// The size of subgroups, where contractions are to be computed by them.
    pub subgroup: Option<u32>,
    /// The number of workgroups a dispatch may have along one dimension.
    pub max_groups: u32,
    /// How the tile of a contraction by subgroups is cut; by default what a model says.
    pub cut: Option<Cut>,
    /// How many invocations share a row; by default what its length and their number say.
    pub row_share: Option<u32>,
    /// Whether kernels are short rather than written out, because the driver's compiler is slow.
    pub compact: bool,
}

impl Shaping {
    /// For adapters that run on the CPU: no barriers, large register tiles, small workgroups.
    pub fn software() -> Self {
        Self {
            map_workgroup: 64,
            map_lanes: 4,
            row_threads: 1,
            tile: Tile { rows: 8, columns: 16, workgroup: 8 },
            workgroup_tiles: false,
            subgroup: None,
            max_groups: 65_535,
            cut: None,
            row_share: None,
            compact: true,
        }
    }

    /// For GPUs.
    pub fn hardware() -> Self {
        Self {
            map_workgroup: 256,
            map_lanes: 4,
            row_threads: 256,
            tile: Tile { rows: 4, columns: 4, workgroup: 64 },
            workgroup_tiles: true,
            subgroup: None,
            max_groups: 65_535,
            cut: None,
            row_share: None,
            compact: false,
        }
    }
}

/// A dispatch ready to be compiled.
#[derive(Clone, Debug)]
pub struct Source {
    /// The whole module; its entry point is `main`.
    pub wgsl: String,
    /// What is bound, in the order of binding numbers.
    pub bindings: Vec<Bound>,
    /// Workgroups along each dimension.
    pub grid: [u32; 3],
    /// Whether the driver has to check accesses and loops: in what users wrote, nothing is proved.
    pub checked: bool,
}

/// What a binding number stands for.
#[derive(Clone, Debug)]
pub enum Bound {
    /// One tensor.
    Tensor(Place),
    /// The part of the state that holds these places.
    State(Vec<Place>),
    /// The part of the workspace that holds these places.
    Workspace(Vec<Place>),
    /// Numbers that are known when the state is.
    Table(Vec<Word>),
}

/// A number in a table.
#[derive(Clone, Debug)]
pub enum Word {
    /// This one.
    Number(u32),
    /// Where a place begins, in 16-byte groups from the start of its binding.
    Start(Place),
}

/// Writes the WGSL of a dispatch of one or more kernels.
pub fn generate(plan: &Plan, kernels: &[Kernel], shaping: &Shaping) -> Result<Source, Error> {
    let [kernel] = kernels else { return packed::generate(plan, kernels, shaping) };
    if let Archetype::Wgsl { node } = kernel.archetype {
        return own::generate(plan, node, shaping);
    }
    let mut emitter = Emitter::new(plan, kernel);
    let source = match tiled_product(&emitter, kernel, shaping)? {
        Some(product) => {
            let parts = tiled::write(&mut emitter, kernel, &product);
            assemble_tiled(&emitter, &parts, shaping)
        }
        None => {
            let body = write(&mut emitter, kernel, shaping)?;
            assemble(&emitter, body, shaping)
        }
    };
    emitter.fault.map_or(Ok(source), |fault| Err(Error::Internal(fault)))
}

/// The contraction of a kernel that goes through workgroup memory.
fn tiled_product(
    emitter: &Emitter<'_>,
    kernel: &Kernel,
    shaping: &Shaping,
) -> Result<Option<Product>, Error> {
    let Archetype::Contract { node } = kernel.archetype else { return Ok(None) };
    let product = product(emitter, node)?;
    Ok((shaping.workgroup_tiles && tiled::suits(&product)).then_some(product))
}

fn product(emitter: &Emitter<'_>, node: NodeId) -> Result<Product, Error> {
    match &emitter.plan.recording.node(node).op {
        Op::Contract(op) => Ok(Product::new(emitter, node, op)),
        _ => Err(Error::Internal("a contraction kernel without a contraction".into())),
    }
}

/// Writes the body of any kernel but tiled ones.
fn write(emitter: &mut Emitter<'_>, kernel: &Kernel, shaping: &Shaping) -> Result<Body, Error> {
    Ok(match &kernel.archetype {
        Archetype::Map { numel } => map::write(emitter, kernel, *numel, shaping),
        Archetype::Row { shape, axes } => row::write(emitter, kernel, shape, axes, shaping),
        Archetype::Contract { node } => {
            let product = product(emitter, *node)?;
            match shaping.subgroup {
                Some(size) => subgroup::write(emitter, kernel, &product, shaping, size),
                None => contract::write(emitter, kernel, &product, shaping),
            }
        }
        Archetype::Attention { node } => attention::write(emitter, *node, shaping)?,
        Archetype::Wgsl { .. } => {
            return Err(Error::Internal("a user's kernel has a text of its own".into()));
        }
    })
}

/// The body of an entry point and what it needs around it.
#[derive(Clone, PartialEq)]
struct Body {
    /// Statements.
    text: String,
    /// Declarations outside of the function.
    globals: String,
    /// Invocations of a workgroup.
    workgroup: u32,
    /// Workgroups in all.
    groups: u64,
    /// Whether a workgroup is a subgroup, and lanes exchange values.
    subgroup: bool,
}

impl Body {
    /// The built-in value that numbers the invocations of a workgroup.
    fn lane(&self) -> &'static str {
        if self.subgroup { "subgroup_invocation_id" } else { "local_invocation_index" }
    }
}

fn assemble(emitter: &Emitter<'_>, body: Body, shaping: &Shaping) -> Source {
    let mut wgsl = preamble(emitter);
    let grid = fold(body.groups, shaping.max_groups);
    wgsl.push_str(&body.globals);
    wgsl.push_str(&format!(
        "@compute @workgroup_size({})\n\
         fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin({}) lid: u32) {{\n\
         \x20 {}\n{}}}\n",
        body.workgroup,
        body.lane(),
        group_number("group", grid),
        body.text
    ));
    Source { wgsl, bindings: tensors(emitter), grid, checked: emitter.checked() }
}

fn assemble_tiled(emitter: &Emitter<'_>, parts: &tiled::Tiled, shaping: &Shaping) -> Source {
    let grid = fold(parts.groups, shaping.max_groups);
    let kernel = wgrad_shaders::replace(wgrad_shaders::MATMUL_TILED, "sizes", &parts.sizes);
    let functions = preamble(emitter) + &parts.functions;
    let kernel = wgrad_shaders::replace(&kernel, "functions", &functions.replace(ENABLE_F16, ""));
    let place = format!("    {}\n{}", group_number("group", grid), parts.grid);
    let kernel = wgrad_shaders::replace(&kernel, "grid", &place);
    let enable = if emitter.half { ENABLE_F16 } else { "" };
    Source { wgsl: format!("{enable}{kernel}"), bindings: tensors(emitter), grid, checked: emitter.checked() }
}

const ENABLE_F16: &str = "enable f16;\n";

fn tensors(emitter: &Emitter<'_>) -> Vec<Bound> {
    emitter.bindings.iter().map(|binding| Bound::Tensor(binding.place.clone())).collect()
}

/// Spreads workgroups over three dimensions of limited size.
fn fold(groups: u64, limit: u32) -> [u32; 3] {
    let limit = u64::from(limit);
    let x = groups.clamp(1, limit);
    let y = groups.div_ceil(x).clamp(1, limit);
    let z = groups.div_ceil(x * y).max(1);
    [x as u32, y as u32, z as u32]
}

/// The statement that numbers workgroups through.
fn group_number(name: &str, [x, y, _]: [u32; 3]) -> String {
    format!("let {name} = workgroup.x + (workgroup.y + workgroup.z * {y}u) * {x}u;")
}

/// Bindings, functions that read and write their elements, and library functions.
fn preamble(emitter: &Emitter<'_>) -> String {
    let mut wgsl = String::from(if emitter.half { ENABLE_F16 } else { "" });
    for (number, binding) in emitter.bindings.iter().enumerate() {
        let element = memory_type(binding.dtype);
        let array = if binding.wide { format!("vec4<{element}>") } else { element.to_string() };
        let at = if binding.wide { "[i >> 2u][i & 3u]" } else { "[i]" };
        wgsl.push_str(&format!(
            "@group(0) @binding({number}) var<storage, read_write> b{number}: array<{array}>;\n\
             fn load{number}(i: u32) -> {element} {{ return b{number}{at}; }}\n\
             fn store{number}(i: u32, v: {element}) {{ b{number}{at} = v; }}\n"
        ));
        if binding.wide {
            wgsl.push_str(&format!(
                "fn load_four{number}(i: u32) -> {array} {{ return b{number}[i]; }}\n\
                 fn store_four{number}(i: u32, v: {array}) {{ b{number}[i] = v; }}\n"
            ));
        }
    }
    wgsl + &library(emitter)
}

/// The functions that a kernel calls: the library's, and those that users wrote.
fn library(emitter: &Emitter<'_>) -> String {
    let functions: Vec<&str> = emitter.functions.iter().copied().collect();
    let mut wgsl = wgrad_shaders::math(&functions);
    if emitter.philox {
        wgsl.push_str(wgrad_shaders::PHILOX);
    }
    emitter.own.iter().for_each(|(_, function)| wgsl.push_str(&function.text));
    wgsl
}
