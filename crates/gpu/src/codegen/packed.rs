//! Equal kernels over different tensors in one dispatch. A table says where the tensors lie, and for maps, which
//! may differ in size and in their numbers, which workgroups belong to which; the rest of the kernel is written once.

use std::collections::HashMap;

use wgrad_core::{DType, NodeId, Op};

use super::emit::{Binding, Emitter, memory_type};
use super::{
    Body, Bound, ENABLE_F16, Shaping, Source, Word, eights, fold, four_of, group_number, library, map,
};
use crate::error::Error;
use crate::plan::{Archetype, Kernel, Place, Plan, pack};

/// One of the packed maps: its tensors by binding number, its number of elements, and its numbers that differ from
/// those of others.
struct Member {
    bindings: Vec<Binding>,
    numel: usize,
    own: Vec<u32>,
}

pub(super) fn generate(plan: &Plan, kernels: &[Kernel], shaping: &Shaping) -> Result<Source, Error> {
    match kernels.first().map(|kernel| &kernel.archetype) {
        Some(Archetype::Map { .. }) => maps(plan, kernels, shaping),
        _ => alike(plan, kernels, shaping),
    }
}

/// Reductions or contractions that differ only in where their tensors lie.
fn alike(plan: &Plan, kernels: &[Kernel], shaping: &Shaping) -> Result<Source, Error> {
    let mut written: Option<(Body, String, bool)> = None;
    let mut checked = false;
    let mut members = vec![];
    for kernel in kernels {
        let mut emitter = Emitter::new(plan, kernel, shaping);
        let body = super::write(&mut emitter, kernel, shaping)?;
        if let Some(fault) = emitter.fault {
            return Err(Error::Internal(fault));
        }
        checked |= emitter.checked();
        let this = (body, library(&emitter), emitter.half);
        if *written.get_or_insert_with(|| this.clone()) != this {
            return Err(Error::Internal("packed kernels differ".into()));
        }
        members.push(emitter.bindings);
    }
    let Some((body, library, half)) = written else {
        return Err(Error::Internal("a dispatch without kernels".into()));
    };
    let (each, bindings) = (body.groups, members[0].len());
    let groups = each * kernels.len() as u64;
    let grid = fold(groups, shaping.max_groups);
    let starts: String =
        (0..bindings).map(|number| format!("  start{number} = table[row + {number}u];\n")).collect();
    let wgsl = format!(
        "{}{}{library}{}@compute @workgroup_size({})\n\
         fn main(@builtin(workgroup_id) workgroup: vec3<u32>, {}) {{\n\
         \x20 {}\n  if (all >= {groups}u) {{ return; }}\n\
         \x20 let group = all % {each}u;\n\
         \x20 let row = all / {each}u * {bindings}u;\n\
         {starts}{}}}\n",
        if half { ENABLE_F16 } else { "" },
        arenas(&members[0], shaping),
        body.globals,
        body.workgroup,
        body.lanes.parameters(),
        group_number("all", grid),
        body.text
    );
    let places: Vec<Place> = members.iter().flatten().map(|binding| binding.place.clone()).collect();
    let words = places.iter().cloned().map(Word::Start).collect();
    let eights = members[0].iter().any(|binding| binding.eights);
    Ok(Source { wgsl, bindings: bound(places, words, eights), grid, checked })
}

/// The bindings of a packed kernel whose tensors lie in these places; state and workspace a second time where it reads
/// eights.
fn bound(places: Vec<Place>, table: Vec<Word>, eights: bool) -> Vec<Bound> {
    let (state, workspace): (Vec<Place>, Vec<Place>) =
        places.into_iter().partition(|place| matches!(place, Place::State(_)));
    let mut bound = vec![Bound::State(state), Bound::Workspace(workspace)];
    let again = if eights { bound.clone() } else { vec![] };
    bound.push(Bound::Table(table));
    bound.extend(again);
    bound
}

fn maps(plan: &Plan, kernels: &[Kernel], shaping: &Shaping) -> Result<Source, Error> {
    let own = own_numbers(plan, kernels);
    let mut members = vec![];
    // The largest member stands for all: in the others, positions might be constant.
    let mut largest = (0, String::new(), String::new(), vec![]);
    let mut checked = false;
    for (kernel, (numbers, own)) in kernels.iter().zip(own) {
        let Archetype::Map { numel } = kernel.archetype else {
            return Err(Error::Internal("only maps are packed".into()));
        };
        let mut emitter = Emitter::new(plan, kernel, shaping);
        emitter.numbers = numbers;
        let text = map::write_packed(&mut emitter, kernel, numel);
        if let Some(fault) = emitter.fault {
            return Err(Error::Internal(fault));
        }
        checked |= emitter.checked();
        if numel > largest.0 {
            largest = (numel, text, library(&emitter), emitter.bindings.clone());
        }
        members.push(Member { bindings: emitter.bindings, numel, own });
    }
    let alike = |member: &Member| {
        let shape = |b: &Binding| (b.dtype, matches!(b.place, Place::State(_)));
        member.bindings.iter().map(shape).eq(members[0].bindings.iter().map(shape))
    };
    if !members.iter().all(alike) {
        return Err(Error::Internal("packed maps differ in their bindings".into()));
    }
    let share = map::packed_share(shaping);
    let groups: usize = members.iter().map(|member| member.numel.div_ceil(share)).sum();
    let grid = fold(groups as u64, shaping.max_groups);
    let wgsl = arenas(&largest.3, shaping)
        + &largest.2
        + &entry(&members[0], groups, grid, shaping.map_workgroup, &largest.1);
    let places = members.iter().flat_map(|member| &member.bindings).map(|b| b.place.clone()).collect();
    Ok(Source { wgsl, bindings: bound(places, table(&members, share), false), grid, checked })
}

/// For each kernel, the names of those of its numbers that others have otherwise, and their words.
fn own_numbers(plan: &Plan, kernels: &[Kernel]) -> Vec<(HashMap<NodeId, String>, Vec<u32>)> {
    let nodes: Vec<Vec<NodeId>> =
        kernels.iter().map(|kernel| pack::numbers(&plan.recording, kernel)).collect();
    let words: Vec<Vec<Vec<u32>>> =
        nodes.iter().map(|nodes| nodes.iter().map(|&node| words(plan, node)).collect()).collect();
    let differs = |at: &usize| words.iter().any(|these| these[*at] != words[0][*at]);
    let differing: Vec<usize> = (0..nodes[0].len()).filter(differs).collect();
    let own = |(nodes, words): (&Vec<NodeId>, &Vec<Vec<u32>>)| {
        let (mut names, mut own) = (HashMap::new(), vec![]);
        for &at in &differing {
            let word = |number: usize| format!("n{}", own.len() + number);
            let dtype = plan.recording.node(nodes[at]).spec.dtype;
            let name = match words[at].len() {
                1 if dtype == DType::U32 => word(0),
                1 => format!("bitcast<{}>({})", memory_type(dtype), word(0)),
                _ => format!("{}, {}", word(0), word(1)),
            };
            names.insert(nodes[at], name);
            own.extend(&words[at]);
        }
        (names, own)
    };
    nodes.iter().zip(&words).map(own).collect()
}

/// The bits of a number, or the two words of a random stream.
fn words(plan: &Plan, node: NodeId) -> Vec<u32> {
    let node = plan.recording.node(node);
    match &node.op {
        Op::Scalar(scalar) => {
            let bytes = node.spec.dtype.encode(&[scalar.value()]);
            bytes
                .chunks_exact(4)
                .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect()
        }
        Op::RandomBits(bits) => vec![bits.stream as u32, (bits.stream >> 32) as u32],
        _ => vec![],
    }
}

/// The member of every workgroup; then for each member its first workgroup, its number of groups of four
/// elements, where its tensors begin, and its own numbers.
fn table(members: &[Member], share: usize) -> Vec<Word> {
    let (mut owners, mut rows) = (vec![], vec![]);
    for (number, member) in members.iter().enumerate() {
        rows.push(Word::Number(owners.len() as u32));
        rows.push(Word::Number(member.numel.div_ceil(4) as u32));
        rows.extend(member.bindings.iter().map(|binding| Word::Start(binding.place.clone())));
        rows.extend(member.own.iter().map(|&word| Word::Number(word)));
        owners.extend((0..member.numel.div_ceil(share)).map(|_| Word::Number(number as u32)));
    }
    owners.extend(rows);
    owners
}

/// The three buffers and the functions that read and write a tensor's elements in them.
fn arenas(bindings: &[Binding], shaping: &Shaping) -> String {
    let arena = |binding: &Binding| match binding.place {
        Place::State(_) => "state",
        Place::Workspace { .. } => "workspace",
    };
    let is_wide =
        |name| shaping.texels || !bindings.iter().any(|binding| binding.singly && arena(binding) == name);
    let array = |name| if is_wide(name) { "vec4<u32>" } else { "u32" };
    let mut wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> state: array<{}>;\n\
         @group(0) @binding(1) var<storage, read_write> workspace: array<{}>;\n\
         @group(0) @binding(2) var<storage, read_write> table: array<u32>;\n",
        array("state"),
        array("workspace"),
    );
    if bindings.iter().any(|binding| binding.eights) {
        wgsl.push_str(
            "@group(0) @binding(3) var<storage, read_write> state_eights: array<vec4<u64>>;\n\
             @group(0) @binding(4) var<storage, read_write> workspace_eights: array<vec4<u64>>;\n",
        );
        wgsl.push_str(&eights(bindings));
    }
    for (number, binding) in bindings.iter().enumerate() {
        let (arena, t) = (arena(binding), memory_type(binding.dtype));
        let (at, [load, store]) = if is_wide(arena) {
            let four = format!("{arena}[start{number} + i]");
            let store = format!("{four} = w;");
            (format!("{arena}[start{number} + (i >> 2u)][i & 3u]"), [four, store])
        } else {
            (
                format!("{arena}[4u * start{number} + i]"),
                four_of(arena, &format!("4u * (start{number} + i)"), "w"),
            )
        };
        wgsl.push_str(&format!(
            "var<private> start{number}: u32;\n\
             fn load{number}(i: u32) -> {t} {{ return bitcast<{t}>({at}); }}\n\
             fn load_four{number}(i: u32) -> vec4<{t}> {{ return bitcast<vec4<{t}>>({load}); }}\n\
             fn store_four{number}(i: u32, v: vec4<{t}>) {{ let w = bitcast<vec4<u32>>(v); {store} }}\n"
        ));
        if binding.singly {
            wgsl.push_str(&format!("fn store{number}(i: u32, v: {t}) {{ {at} = bitcast<u32>(v); }}\n"));
        }
        if binding.eights {
            wgsl.push_str(&format!(
                "fn load_eight{number}(i: u32) -> Eight_{t} {{\n\
                 \x20 return words_{t}({arena}_eights[start{number} / 2u + i]);\n}}\n"
            ));
        }
    }
    wgsl
}

fn entry(member: &Member, groups: usize, grid: [u32; 3], workgroup: u32, body: &str) -> String {
    let (bindings, own) = (member.bindings.len(), member.own.len());
    let starts = (0..bindings).map(|number| format!("  start{number} = table[row + {}u];\n", number + 2));
    let numbers =
        (0..own).map(|number| format!("  let n{number} = table[row + {}u];\n", number + 2 + bindings));
    format!(
        "@compute @workgroup_size({workgroup})\n\
         fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{\n\
         \x20 {}\n  if (group >= {groups}u) {{ return; }}\n\
         \x20 let row = {groups}u + table[group] * {}u;\n\
         \x20 let t = (group - table[row]) * {workgroup}u + lid;\n\
         \x20 if (t >= table[row + 1u]) {{ return; }}\n\
         {}{body}}}\n",
        group_number("group", grid),
        bindings + own + 2,
        starts.chain(numbers).collect::<String>(),
    )
}
