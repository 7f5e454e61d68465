//! Stores of four numbers as two words of 64 bits. A driver that runs on the CPU may store each component of a vector by a
//! loop of its own over the lanes, so that half as many components take less time (`docs/decisions.md`). It is the SPIR-V of
//! a kernel that is changed: a second variable over the same bytes takes the stores.

use std::collections::{BTreeMap, HashSet};

use spirv::{Capability, Decoration, Op, StorageClass};

use super::storage::{LISTS_ALL, arrays, pointers};
use super::words::{VERSION, Writer, instructions};

/// The same module, whose stores of whole elements of four numbers of 32 bits are of two of 64.
pub(super) fn pair(words: &[u32]) -> Vec<u32> {
    let module: Vec<(u32, &[u32])> = instructions(words).collect();
    let pointers = pointers(&module);
    let stored: HashSet<u32> = module
        .iter()
        .filter(|(op, _)| *op == Op::Store as u32)
        .filter_map(|(_, operands)| pointers.get(&operands[0]))
        .filter(|(_, path)| path.len() == 2)
        .map(|(base, _)| *base)
        .collect();
    let arrays = arrays(&module).into_iter().filter(|array| {
        array.lanes == 4 && array.scalar.1.first() == Some(&32) && stored.contains(&array.variable)
    });
    let mut new = Writer::new(words);
    // The second variables, and the numbers of their bindings.
    let pairs: BTreeMap<u32, (u32, u32)> =
        arrays.map(|array| (array.variable, (new.id(), array.binding))).collect();
    if pairs.is_empty() {
        return words.to_vec();
    }

    let known = |op: Op, of: &[u32]| {
        let is = |(this, operands): &&(u32, &[u32])| *this == op as u32 && operands[1..] == *of;
        module.iter().find(is).map(|(_, operands)| operands[0])
    };
    let type_of = |op: Op, of: &[u32], new: &mut Writer| match known(op, of) {
        Some(name) => (name, true),
        None => (new.id(), false),
    };
    let (word, has_word) = type_of(Op::TypeInt, &[64, 0], &mut new);
    let (element, has_element) = type_of(Op::TypeVector, &[word, 2], &mut new);
    let [array, structure, to_structure, to_element] = std::array::from_fn(|_| new.id());
    let (mut is_decorated, mut is_declared) = (false, false);
    new.write(Op::Capability, &[Capability::Int64 as u32]);
    for &(op, operands) in &module {
        match (Op::from_u32(op), operands) {
            (Some(Op::Capability), [capability]) if *capability == Capability::Int64 as u32 => continue,
            (Some(Op::EntryPoint), _) if words[VERSION] >= LISTS_ALL => {
                let listed: Vec<u32> =
                    operands.iter().copied().chain(pairs.values().map(|(variable, _)| *variable)).collect();
                new.write(Op::EntryPoint, &listed);
                continue;
            }
            (Some(Op::Decorate), _) if !is_decorated => {
                is_decorated = true;
                new.write(Op::Decorate, &[array, Decoration::ArrayStride as u32, 16]);
                new.write(Op::Decorate, &[structure, Decoration::Block as u32]);
                new.write(Op::MemberDecorate, &[structure, 0, Decoration::Offset as u32, 0]);
                for (&variable, &(pair, binding)) in &pairs {
                    new.write(Op::Decorate, &[variable, Decoration::Aliased as u32]);
                    new.write(Op::Decorate, &[pair, Decoration::Aliased as u32]);
                    new.write(Op::Decorate, &[pair, Decoration::DescriptorSet as u32, 0]);
                    new.write(Op::Decorate, &[pair, Decoration::Binding as u32, binding]);
                }
            }
            (Some(Op::Function), _) if !is_declared => {
                is_declared = true;
                let class = StorageClass::StorageBuffer as u32;
                if !has_word {
                    new.write(Op::TypeInt, &[word, 64, 0]);
                }
                if !has_element {
                    new.write(Op::TypeVector, &[element, word, 2]);
                }
                new.write(Op::TypeRuntimeArray, &[array, element]);
                new.write(Op::TypeStruct, &[structure, array]);
                new.write(Op::TypePointer, &[to_structure, class, structure]);
                new.write(Op::TypePointer, &[to_element, class, element]);
                for (pair, _) in pairs.values() {
                    new.write(Op::Variable, &[to_structure, *pair, class]);
                }
            }
            (Some(Op::Store), [to, value, ..]) => {
                let pair = pointers.get(to).filter(|(_, path)| path.len() == 2);
                if let Some((pair, path)) = pair.and_then(|(base, path)| Some((pairs.get(base)?.0, path))) {
                    let [pointer, words] = [new.id(), new.id()];
                    new.write(Op::AccessChain, &[to_element, pointer, pair, path[0], path[1]]);
                    new.write(Op::Bitcast, &[element, words, *value]);
                    new.write(Op::Store, &[pointer, words]);
                    continue;
                }
            }
            _ => {}
        }
        new.copy(op, operands);
    }
    new.finish()
}

#[cfg(test)]
mod tests {
    use super::super::words::BOUND;
    use super::super::words::test::{count, spirv};
    use super::*;

    const KERNEL: &str = "
        @group(0) @binding(0) var<storage, read_write> fours: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> in_place: array<vec4<u32>>;
        @group(0) @binding(2) var<storage, read_write> numbers: array<u32>;
        @compute @workgroup_size(8)
        fn main(@builtin(local_invocation_index) lid: u32) {
            numbers[lid] = numbers[lid + 8u];
            fours[lid] = vec4<f32>(in_place[lid]);
            fours[lid + 1u].x = 1f;
            in_place[lid] += vec4(1u);
        }";

    #[test]
    fn whole_vectors_are_stored_as_pairs() {
        for version in [(1, 3), (1, 5)] {
            // A module may have words of 64 bits itself.
            for (text, has_words) in [
                (KERNEL.to_owned(), false),
                (KERNEL.replace("vec4(1u);\n        }", "vec4(u32(u64(lid) << 2u));\n        }"), true),
            ] {
                let words = spirv(&text, version);
                let new = pair(&words);
                let all = |op: Op| instructions(&new).filter(move |(this, _)| *this == op as u32);
                assert_eq!(count(&new, Op::Store), count(&words, Op::Store));
                assert_eq!(count(&new, Op::Bitcast), count(&words, Op::Bitcast) + 2);
                assert_eq!(count(&new, Op::Variable), count(&words, Op::Variable) + 2);
                let of_64 = all(Op::TypeInt).filter(|(_, operands)| operands[1..] == [64, 0]).count();
                assert_eq!((of_64, count(&words, Op::TypeInt) < count(&new, Op::TypeInt)), (1, !has_words));
                let ints = all(Op::Capability).filter(|(_, of)| *of == [Capability::Int64 as u32]).count();
                assert_eq!(ints, 1);
                // Both variables of a buffer have its binding, nobody has a name twice, and the bound is behind all.
                let bindings = all(Op::Decorate).filter(|(_, of)| of[1] == Decoration::Binding as u32);
                let mut bindings: Vec<u32> = bindings.map(|(_, operands)| operands[2]).collect();
                bindings.sort();
                assert_eq!(bindings, [0, 0, 1, 1, 2]);
                let variables: HashSet<u32> = all(Op::Variable).map(|(_, operands)| operands[1]).collect();
                assert_eq!(variables.len(), count(&new, Op::Variable));
                assert!(variables.iter().all(|variable| *variable < new[BOUND]));
                // The same for the same: a driver knows what it has compiled by the words.
                assert_eq!(pair(&words), new);
            }
        }
    }

    #[test]
    fn other_stores_stay() {
        let words = spirv(
            &KERNEL
                .replace("fours[lid] = vec4<f32>(in_place[lid]);", "")
                .replace("in_place[lid] += vec4(1u);", ""),
            (1, 3),
        );
        assert_eq!(pair(&words), words);
    }
}
