//! From a planned kernel to WGSL. The text depends on shapes and expressions only, not on where tensors
//! lie, so equal kernels share one pipeline.

mod attention;
mod budget;
mod candidates;
mod contract;
mod cooperative;
mod emit;
mod join;
mod map;
mod operators;
pub(crate) mod own;
mod packed;
mod product;
mod results;
mod row;
mod staged;
mod subgroup;
mod tiled;

use std::collections::BTreeSet;

use wgrad_core::{NodeId, Op};

use crate::adapter::Subgroups;
use crate::error::Error;
use crate::plan::{Archetype, Kernel, Place, Plan};
use emit::{Binding, COMPONENTS, Emitter, memory_type};
use product::Product;

pub(crate) use budget::within_budget;
pub(crate) use candidates::{Candidate, candidates};
pub use contract::Tile;
pub use cooperative::Cooperative;
pub(crate) use cooperative::multiplies_halves;
pub use subgroup::Cut;
pub use tiled::WorkgroupTile;

/// Invocations and bytes of workgroup memory that WebGPU guarantees a workgroup.
const WORKGROUP_LIMITS: [u32; 2] = [256, 16 << 10];

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
    /// The tile of a contraction through workgroup memory; by default what a model says.
    pub workgroup_tile: Option<WorkgroupTile>,
    /// Invocations and bytes of workgroup memory that a workgroup may have.
    pub workgroup_limits: [u32; 2],
    /// Processors that workgroups are dealt out to, as far as that is known.
    pub processors: usize,
    /// The size of subgroups, where contractions are to be computed by them.
    pub subgroup: Option<u32>,
    /// The sizes of subgroups, where the invocations of a GPU that share a row combine within them first.
    pub subgroups: Option<Subgroups>,
    /// The number of workgroups a dispatch may have along one dimension.
    pub max_groups: u32,
    /// How the tile of a contraction by subgroups is cut; by default what a model says.
    pub cut: Option<Cut>,
    /// How many rows an invocation of attention owns; by default what their width and number say.
    pub attention_rows: Option<usize>,
    /// How many invocations share a row; by default what its length and their number say.
    pub row_share: Option<u32>,
    /// Whether kernels are short rather than written out, because the driver's compiler is slow.
    pub compact: bool,
    /// Whether there are integers of 64 bits, which eight neighbours are loaded as.
    pub int64: bool,
    /// Whether loads are fetches of texels, which the driver does for all lanes at once.
    pub texels: bool,
    /// The cooperative matrices that contractions of f16 are computed with. A device on which they failed the
    /// self-test, or that has others, does without: [`Gpu::cooperative`](crate::Gpu::cooperative).
    pub cooperative: Option<Cooperative>,
}

impl Shaping {
    /// For adapters that run on the CPU: no barriers, large register tiles.
    pub fn software() -> Self {
        Self {
            map_workgroup: 256,
            map_lanes: 4,
            row_threads: 1,
            tile: Tile { rows: 8, columns: 16, workgroup: 8 },
            workgroup_tiles: false,
            workgroup_tile: None,
            workgroup_limits: WORKGROUP_LIMITS,
            processors: 1,
            subgroup: None,
            subgroups: None,
            max_groups: 65_535,
            cut: None,
            attention_rows: None,
            row_share: None,
            compact: true,
            int64: false,
            texels: false,
            cooperative: None,
        }
    }

    /// For discrete GPUs, of which the larger have some 128 processors.
    pub fn hardware() -> Self {
        Self {
            map_workgroup: 256,
            map_lanes: 4,
            row_threads: 256,
            tile: Tile { rows: 4, columns: 4, workgroup: 64 },
            workgroup_tiles: true,
            workgroup_tile: None,
            workgroup_limits: WORKGROUP_LIMITS,
            processors: 128,
            subgroup: None,
            subgroups: None,
            max_groups: 65_535,
            cut: None,
            attention_rows: None,
            row_share: None,
            compact: false,
            int64: false,
            texels: false,
            cooperative: None,
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
        return own::generate(plan, kernel, node, shaping);
    }
    if let Some(source) = cooperative::generate(plan, kernel, shaping)? {
        return Ok(source);
    }
    let mut emitter = Emitter::new(plan, kernel, shaping);
    let body = write(&mut emitter, kernel, shaping)?;
    let source = assemble(&emitter, body, shaping);
    emitter.fault.map_or(Ok(source), |fault| Err(Error::Internal(fault)))
}

fn product(emitter: &Emitter<'_>, node: NodeId) -> Result<Product, Error> {
    match &emitter.plan.recording.node(node).op {
        Op::Contract(op) => Ok(Product::new(emitter, node, op)),
        _ => Err(Error::Internal("a contraction kernel without a contraction".into())),
    }
}

/// Writes the body of a kernel.
fn write(emitter: &mut Emitter<'_>, kernel: &Kernel, shaping: &Shaping) -> Result<Body, Error> {
    Ok(match &kernel.archetype {
        Archetype::Map { numel } => map::write(emitter, kernel, *numel, shaping),
        Archetype::Row { shape, axes } => row::write(emitter, kernel, shape, axes, shaping),
        Archetype::Contract { node } => {
            let product = product(emitter, *node)?;
            match (shaping.subgroup, candidates::workgroup_tile(&product, shaping)) {
                (Some(size), _) => subgroup::write(emitter, kernel, &product, shaping, size),
                (None, Some(tile)) => tiled::write(emitter, kernel, &product, shaping, tile),
                (None, None) => contract::write(emitter, kernel, &product, shaping),
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
    /// How the invocations of a workgroup are numbered.
    lanes: Lanes,
}

/// How the invocations of a workgroup are numbered: by the built-in values that a kernel has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lanes {
    /// `lid` in the workgroup.
    Workgroup,
    /// `lid` in the subgroup that a workgroup is.
    Subgroup,
    /// `lid` in the workgroup; `lane` in a subgroup of `lanes`, which is number `subgroup` of `subgroups`.
    Subgroups,
}

impl Lanes {
    /// The parameters of the entry point.
    fn parameters(self) -> &'static str {
        match self {
            Self::Workgroup => "@builtin(local_invocation_index) lid: u32",
            Self::Subgroup => "@builtin(subgroup_invocation_id) lid: u32",
            Self::Subgroups => {
                "@builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32,\n\
                 \x20 @builtin(subgroup_size) lanes: u32, @builtin(subgroup_id) subgroup: u32,\n\
                 \x20 @builtin(num_subgroups) subgroups: u32"
            }
        }
    }
}

fn assemble(emitter: &Emitter<'_>, body: Body, shaping: &Shaping) -> Source {
    let mut wgsl = preamble(emitter);
    let grid = fold(body.groups, shaping.max_groups);
    wgsl.push_str(&body.globals);
    wgsl.push_str(&format!(
        "@compute @workgroup_size({})\n\
         fn main(@builtin(workgroup_id) workgroup: vec3<u32>, {}) {{\n\
         \x20 {}\n{}}}\n",
        body.workgroup,
        body.lanes.parameters(),
        group_number("group", grid),
        body.text
    ));
    Source { wgsl, bindings: tensors(emitter), grid, checked: emitter.checked() }
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
    wgsl.push_str(&eights(&emitter.bindings));
    for (number, binding) in emitter.bindings.iter().enumerate() {
        let element = memory_type(binding.dtype);
        let declare = |array: &str| {
            format!("@group(0) @binding({number}) var<storage, read_write> b{number}: array<{array}>;\n")
        };
        if binding.eights && !binding.fours && !binding.stored {
            wgsl.push_str(&declare("vec4<u64>"));
            wgsl.push_str(&format!(
                "fn load{number}(i: u32) -> {element} {{\n\
                 \x20 return bitcast<{element}>(u32(b{number}[i >> 3u][(i >> 1u) & 3u] >> (32u * (i & 1u))));\n}}\n\
                 fn load_eight{number}(i: u32) -> Eight_{element} {{ return words_{element}(b{number}[i]); }}\n"
            ));
            continue;
        }
        let vectors = binding.fours || binding.eights;
        let wide = vectors && (emitter.texels || !binding.singly);
        let array = if wide { format!("vec4<{element}>") } else { element.to_string() };
        let at = if wide { "[i >> 2u][i & 3u]" } else { "[i]" };
        wgsl.push_str(&declare(&array));
        wgsl.push_str(&format!("fn load{number}(i: u32) -> {element} {{ return b{number}{at}; }}\n"));
        if binding.singly {
            wgsl.push_str(&format!("fn store{number}(i: u32, v: {element}) {{ b{number}{at} = v; }}\n"));
        }
        if vectors {
            let name = format!("b{number}");
            let [load, store] = if wide {
                [format!("{name}[i]"), format!("{name}[i] = v;")]
            } else {
                four_of(&name, "4u * i", "v")
            };
            wgsl.push_str(&format!(
                "fn load_four{number}(i: u32) -> vec4<{element}> {{ return {load}; }}\n\
                 fn store_four{number}(i: u32, v: vec4<{element}>) {{ {store} }}\n"
            ));
        }
        if binding.eights {
            wgsl.push_str(&load_eight(number, element));
        }
    }
    wgsl + &library(emitter)
}

/// How four neighbours of an array of single elements are read and written, from a position that is a multiple of four.
///
/// An array has single elements where some are written one by one. In one of vectors neighbouring invocations would write
/// different components of the same vector, and WGSL lets each of them write the whole vector (Metal's compiler does).
/// Where loads are fetches of texels the driver is one that writes single components, and its loads need vectors.
fn four_of(array: &str, first: &str, vector: &str) -> [String; 2] {
    let at = [0, 1, 2, 3].map(|lane| format!("{array}[{first} + {lane}u]"));
    let stores = at.iter().zip(COMPONENTS).map(|(at, component)| format!("{at} = {vector}.{component};"));
    [format!("vec4({})", at.join(", ")), stores.collect::<Vec<_>>().join(" ")]
}

/// Loads eight neighbours where a binding is of fours, because something else reads or writes fours of it.
fn load_eight(number: usize, element: &str) -> String {
    format!(
        "fn load_eight{number}(i: u32) -> Eight_{element} {{\n\
         \x20 let a = load_four{number}(2u * i);\n\
         \x20 let b = load_four{number}(2u * i + 1u);\n\
         \x20 return Eight_{element}(vec4(a.xz, b.xz), vec4(a.yw, b.yw));\n}}\n"
    )
}

/// The types of eight neighbours, those at even and those at odd positions, and how words of 64 bits become them.
fn eights(bindings: &[Binding]) -> String {
    let elements = bindings.iter().filter(|binding| binding.eights).map(|binding| memory_type(binding.dtype));
    let write = |element: &str| {
        format!(
            "struct Eight_{element} {{ even: vec4<{element}>, odd: vec4<{element}> }}\n\
             fn words_{element}(w: vec4<u64>) -> Eight_{element} {{\n\
             \x20 let high = vec4<u32>(w >> vec4<u32>(32u));\n\
             \x20 return Eight_{element}(bitcast<vec4<{element}>>(vec4<u32>(w)), bitcast<vec4<{element}>>(high));\n}}\n"
        )
    };
    elements.collect::<BTreeSet<&str>>().into_iter().map(write).collect()
}

/// The functions that a kernel calls: the library's, and those that users wrote.
fn library(emitter: &Emitter<'_>) -> String {
    let functions: Vec<&str> = emitter.functions.iter().copied().collect();
    let mut wgsl = wgrad_shaders::math(&functions);
    if emitter.philox {
        let wide = wgrad_shaders::MULTIPLY_HIGH_64;
        wgsl.push_str(&match emitter.int64 {
            true => wgrad_shaders::replace(wgrad_shaders::PHILOX, "multiply_high", wide),
            false => wgrad_shaders::PHILOX.into(),
        });
    }
    emitter.own.iter().for_each(|(_, function)| wgsl.push_str(&function.text));
    wgsl
}
