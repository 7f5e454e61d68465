//! Reads of storage buffers as fetches from texel buffers. A driver that runs on the CPU may load from a storage buffer by
//! a loop over the lanes, with a branch for each, but fetch texels of all lanes without one (`docs/decisions.md`). WGSL has no
//! texel buffers, so it is the SPIR-V of a kernel that is changed: every load of a whole element, or of a component, becomes a
//! fetch from a texel buffer over the same bytes. Stores stay what they are.
//!
//! A fetch is right wherever no invocation reads what was written in the same dispatch, as in all generated kernels: what one
//! reads there is what was there before, and in place it is the invocation that reads an element that writes it later.

use std::collections::HashMap;

use ash::vk;
use spirv::{Capability, Decoration, Dim, Op, StorageClass};

use super::storage::{Array, LISTS_ALL, arrays, pointers};
use super::words::{VERSION, Writer, instructions};

/// A texel buffer of a kernel. Those of a kernel have the binding numbers behind its storage buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Texels {
    /// The number of the storage buffer over whose bytes it lies.
    pub(super) binding: u32,
    pub(super) format: vk::Format,
}

/// A storage buffer, as the module declares it: the texels it would be, their component's type, and the names that the module
/// gives to the texel buffer and its types.
struct Candidate {
    texels: Texels,
    is_vector: bool,
    component: u32,
    variable: u32,
}

/// What a format's texels are made of, as names in a module.
struct Types {
    image: u32,
    pointer: u32,
    vector: u32,
}

/// A module that reads storage buffers, which have the binding numbers below `bindings`, through texel buffers where it
/// can; and these.
pub(super) fn rewrite(words: &[u32], bindings: u32) -> (Vec<u32>, Vec<Texels>) {
    let module: Vec<(u32, &[u32])> = instructions(words).collect();
    let mut new = Writer::new(words);
    let pointers = pointers(&module);
    let read = |variable: u32| {
        let reads = |(op, operands): &(u32, &[u32])| {
            *op == Op::Load as u32 && pointers.get(&operands[2]).is_some_and(|(base, _)| *base == variable)
        };
        module.iter().any(reads)
    };
    let mut candidates = candidates(&module);
    candidates.retain(|(variable, _)| read(*variable));
    candidates.iter_mut().for_each(|(_, candidate)| candidate.variable = new.id());
    let texels: Vec<Texels> = candidates.iter().map(|(_, candidate)| candidate.texels).collect();
    if texels.is_empty() {
        return (words.to_vec(), texels);
    }

    let known: HashMap<u32, &Candidate> = candidates.iter().map(|(id, candidate)| (*id, candidate)).collect();
    let mut types: HashMap<u32, Types> = HashMap::new();
    let mut is_decorated = false;
    new.write(Op::Capability, &[Capability::SampledBuffer as u32]);
    for &(op, operands) in &module {
        match Op::from_u32(op) {
            Some(Op::EntryPoint) if words[VERSION] >= LISTS_ALL => {
                let variables = candidates.iter().map(|(_, candidate)| candidate.variable);
                let listed: Vec<u32> = operands.iter().copied().chain(variables).collect();
                new.write(Op::EntryPoint, &listed);
                continue;
            }
            Some(Op::Decorate) if !is_decorated => {
                is_decorated = true;
                for (number, (_, candidate)) in (bindings..).zip(&candidates) {
                    let variable = candidate.variable;
                    new.write(Op::Decorate, &[variable, Decoration::DescriptorSet as u32, 0]);
                    new.write(Op::Decorate, &[variable, Decoration::Binding as u32, number]);
                }
            }
            Some(Op::Variable) if known.contains_key(&operands[1]) => {
                let Candidate { component, variable, .. } = *known[&operands[1]];
                let of_constants = StorageClass::UniformConstant as u32;
                let types = types.entry(component).or_insert_with(|| {
                    let vector = module.iter().find_map(|(op, operands)| match operands {
                        [vector, of, 4] if *op == Op::TypeVector as u32 && *of == component => Some(*vector),
                        _ => None,
                    });
                    let [image, pointer] = [new.id(), new.id()];
                    let types = Types { image, pointer, vector: vector.unwrap_or_else(|| new.id()) };
                    // Neither for depth nor an array nor multisampled; read by fetches; of whatever format is bound.
                    let image = [types.image, component, Dim::DimBuffer as u32, 0, 0, 0, 1, 0];
                    new.write(Op::TypeImage, &image);
                    new.write(Op::TypePointer, &[types.pointer, of_constants, types.image]);
                    if vector.is_none() {
                        new.write(Op::TypeVector, &[types.vector, component, 4]);
                    }
                    types
                });
                new.write(Op::Variable, &[types.pointer, variable, of_constants]);
            }
            Some(Op::Load) => {
                let pointer = pointers.get(&operands[2]);
                let read = pointer.and_then(|(base, path)| Some((known.get(base)?, path)));
                if let Some((candidate, path)) = read {
                    let types = &types[&candidate.component];
                    let (result_type, result) = (operands[0], operands[1]);
                    let image = new.id();
                    new.write(Op::Load, &[types.image, image, candidate.variable]);
                    let is_whole = candidate.is_vector && path.len() == 2;
                    let texel = if is_whole { result } else { new.id() };
                    new.write(Op::ImageFetch, &[types.vector, texel, image, path[1]]);
                    match path.get(2) {
                        _ if is_whole => {}
                        Some(&which) => {
                            new.write(Op::VectorExtractDynamic, &[result_type, result, texel, which]);
                        }
                        None => new.write(Op::CompositeExtract, &[result_type, result, texel, 0]),
                    }
                    continue;
                }
            }
            _ => {}
        }
        new.copy(op, operands);
    }
    (new.finish(), texels)
}

/// The storage buffers that are arrays of what a format has as texels, by the variable's name.
fn candidates(module: &[(u32, &[u32])]) -> Vec<(u32, Candidate)> {
    let candidate = |array: &Array<'_>| {
        let format = format(array.scalar.0, array.scalar.1, array.lanes)?;
        let texels = Texels { binding: array.binding, format };
        let (is_vector, component) = (array.lanes > 1, array.component);
        Some((array.variable, Candidate { texels, is_vector, component, variable: 0 }))
    };
    arrays(module).iter().filter_map(candidate).collect()
}

/// The format of texels of one or four components, which are of the type with these operands.
fn format(op: u32, operands: &[u32], lanes: u32) -> Option<vk::Format> {
    const FLOAT: u32 = Op::TypeFloat as u32;
    const INT: u32 = Op::TypeInt as u32;
    Some(match (op, operands, lanes) {
        (FLOAT, [32, ..], 1) => vk::Format::R32_SFLOAT,
        (FLOAT, [32, ..], 4) => vk::Format::R32G32B32A32_SFLOAT,
        (INT, [32, 0], 1) => vk::Format::R32_UINT,
        (INT, [32, 0], 4) => vk::Format::R32G32B32A32_UINT,
        (INT, [32, 1], 1) => vk::Format::R32_SINT,
        (INT, [32, 1], 4) => vk::Format::R32G32B32A32_SINT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::words::BOUND;
    use super::super::words::test::{count, spirv};
    use super::*;

    const KERNEL: &str = "
        @group(0) @binding(0) var<storage, read_write> fours: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> numbers: array<u32>;
        @group(0) @binding(2) var<storage, read_write> in_place: array<vec4<f32>>;
        @group(0) @binding(3) var<storage, read_write> written: array<i32>;
        @compute @workgroup_size(8)
        fn main(@builtin(local_invocation_index) lid: u32) {
            let at = numbers[lid];
            in_place[at] = in_place[at] + fours[at] * fours[at + 1u][lid & 3u];
            written[lid] = i32(at);
        }";

    #[test]
    fn reads_are_fetches_and_stores_stay() {
        for version in [(1, 3), (1, 5)] {
            let words = spirv(KERNEL, version);
            let (new, texels) = rewrite(&words, 4);
            let of = |binding, format| Texels { binding, format };
            let expected = [
                of(0, vk::Format::R32G32B32A32_SFLOAT),
                of(1, vk::Format::R32_UINT),
                of(2, vk::Format::R32G32B32A32_SFLOAT),
            ];
            assert_eq!(texels, expected);
            assert_eq!(count(&new, Op::ImageFetch), 4);
            assert_eq!(count(&new, Op::VectorExtractDynamic), 1);
            assert_eq!(count(&new, Op::Store), count(&words, Op::Store));
            // An image for each fetch, where an element was loaded.
            assert_eq!(count(&new, Op::Load), count(&words, Op::Load));
            // Nobody has a name twice, and the bound is behind all.
            let variables: Vec<u32> = instructions(&new)
                .filter(|(op, _)| *op == Op::Variable as u32)
                .map(|(_, operands)| operands[1])
                .collect();
            assert_eq!(variables.iter().collect::<std::collections::HashSet<_>>().len(), variables.len());
            assert!(variables.iter().all(|variable| *variable < new[BOUND]));
            let listed = |words: &[u32]| {
                instructions(words).find(|(op, _)| *op == Op::EntryPoint as u32).unwrap().1.len()
            };
            let more = if version >= (1, 4) { 3 } else { 0 };
            assert_eq!(listed(&new), listed(&words) + more);
        }
    }

    #[test]
    fn what_is_no_texel_is_left_alone() {
        let words = spirv(
            "struct Pair { a: f32, b: u32 }
            @group(0) @binding(0) var<storage, read_write> pairs: array<Pair>;
            @group(0) @binding(1) var<storage, read_write> twos: array<vec2<f32>>;
            @group(0) @binding(2) var<storage, read_write> few: array<f32, 4>;
            var<workgroup> shared_: array<f32, 8>;
            @compute @workgroup_size(8)
            fn main(@builtin(local_invocation_index) lid: u32) {
                shared_[lid] = pairs[lid].a + few[lid & 3u];
                workgroupBarrier();
                twos[lid] = twos[lid + 1u] * shared_[7u - lid];
            }",
            (1, 3),
        );
        assert_eq!(rewrite(&words, 3), (words, vec![]));
    }
}
