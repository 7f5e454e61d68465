//! From a planned kernel to WGSL. The text depends on shapes and expressions only, not on where tensors
//! lie, so equal kernels share one pipeline.

mod contract;
mod emit;
mod map;
mod row;

use std::fmt::Write;

use crate::error::Error;
use crate::plan::{Archetype, Kernel, Place, Plan};
use emit::{Emitter, memory_type};

pub use contract::Tile;

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
    /// The number of workgroups a dispatch may have along one dimension.
    pub max_groups: u32,
}

impl Shaping {
    /// For adapters that run on the CPU: no barriers, large register tiles, small workgroups.
    pub fn software() -> Self {
        Self {
            map_workgroup: 64,
            map_lanes: 4,
            row_threads: 1,
            tile: Tile { rows: 8, columns: 16, workgroup: 8 },
            max_groups: 65_535,
        }
    }

    /// For GPUs.
    pub fn hardware() -> Self {
        Self {
            map_workgroup: 256,
            map_lanes: 4,
            row_threads: 256,
            tile: Tile { rows: 4, columns: 4, workgroup: 64 },
            max_groups: 65_535,
        }
    }
}

/// A kernel ready to be compiled.
#[derive(Clone, Debug)]
pub struct Source {
    /// The whole module; its entry point is `main`.
    pub wgsl: String,
    /// What is bound, in the order of binding numbers.
    pub places: Vec<Place>,
    /// Workgroups along each dimension.
    pub grid: [u32; 3],
}

/// Writes the WGSL of a kernel.
pub fn generate(plan: &Plan, kernel: &Kernel, shaping: &Shaping) -> Result<Source, Error> {
    let mut emitter = Emitter::new(plan, kernel);
    let body = match &kernel.archetype {
        Archetype::Map { numel } => map::write(&mut emitter, kernel, *numel, shaping),
        Archetype::Row { shape, axes } => row::write(&mut emitter, kernel, shape, axes, shaping),
        Archetype::Contract { node } => contract::write(&mut emitter, kernel, *node, shaping),
    };
    match &emitter.fault {
        Some(fault) => Err(Error::Internal(fault.clone())),
        None => Ok(assemble(emitter, body, shaping)),
    }
}

/// The body of an entry point and what it needs around it.
struct Body {
    /// Statements.
    text: String,
    /// Declarations outside of the function.
    globals: String,
    /// Invocations of a workgroup.
    workgroup: u32,
    /// Workgroups in all.
    groups: u64,
}

fn assemble(emitter: Emitter<'_>, body: Body, shaping: &Shaping) -> Source {
    let mut wgsl = String::new();
    // Writing to a string cannot fail.
    let _ = write_module(&mut wgsl, &emitter, &body, shaping);
    let places = emitter.bindings.iter().map(|binding| binding.place.clone()).collect();
    Source { wgsl, places, grid: fold(body.groups, shaping.max_groups) }
}

/// Spreads workgroups over three dimensions of limited size.
fn fold(groups: u64, limit: u32) -> [u32; 3] {
    let limit = u64::from(limit);
    let x = groups.clamp(1, limit);
    let y = groups.div_ceil(x).clamp(1, limit);
    let z = groups.div_ceil(x * y).max(1);
    [x as u32, y as u32, z as u32]
}

fn write_module(wgsl: &mut String, emitter: &Emitter<'_>, body: &Body, shaping: &Shaping) -> std::fmt::Result {
    if emitter.half {
        writeln!(wgsl, "enable f16;")?;
    }
    for (number, binding) in emitter.bindings.iter().enumerate() {
        let element = memory_type(binding.dtype);
        let array = if binding.wide { format!("vec4<{element}>") } else { element.to_string() };
        writeln!(wgsl, "@group(0) @binding({number}) var<storage, read_write> b{number}: array<{array}>;")?;
        let at = if binding.wide { "[i >> 2u][i & 3u]" } else { "[i]" };
        writeln!(wgsl, "fn load{number}(i: u32) -> {element} {{ return b{number}{at}; }}")?;
        writeln!(wgsl, "fn store{number}(i: u32, v: {element}) {{ b{number}{at} = v; }}")?;
    }
    let functions: Vec<&str> = emitter.functions.iter().copied().collect();
    wgsl.push_str(&wgrad_shaders::math(&functions));
    if emitter.philox {
        wgsl.push_str(wgrad_shaders::PHILOX);
    }
    wgsl.push_str(&body.globals);
    let [x, y, _] = fold(body.groups, shaping.max_groups);
    writeln!(wgsl, "@compute @workgroup_size({})", body.workgroup)?;
    writeln!(
        wgsl,
        "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{"
    )?;
    writeln!(wgsl, "  let group = wid.x + (wid.y + wid.z * {y}u) * {x}u;")?;
    wgsl.push_str(&body.text);
    writeln!(wgsl, "}}")
}
