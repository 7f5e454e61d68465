//! Variables of a function that are vectors, as one variable for each component. llvmpipe reads all components of a vector
//! wherever one of them is used: a third of what its compiler was given of a product were such reads, for it to find out
//! that nobody wants them (`docs/decisions.md`).

use std::collections::{BTreeMap, HashMap, HashSet};

use spirv::{Op, StorageClass};

use super::words::{Writer, instructions};

type Module<'a> = [(u32, &'a [u32])];

/// The same module with variables of components, wherever vectors are read and written as a whole or a component at a time.
pub(super) fn split(words: &[u32]) -> Vec<u32> {
    let module: Vec<(u32, &[u32])> = instructions(words).collect();
    let constants = constants(&module);
    let mut new = Writer::new(words);
    let (vectors, mut components) = vectors(&module, &constants, &mut new);
    // The variables of components that the module has pointers to, by the names of these.
    let mut pointers: HashMap<u32, u32> = HashMap::new();
    for &(op, operands) in &module {
        match (Op::from_u32(op), operands) {
            (Some(Op::Function), _) => {
                for (component, Component { pointer, is_declared, null }) in std::mem::take(&mut components) {
                    if !is_declared {
                        new.write(Op::TypePointer, &[pointer, StorageClass::Function as u32, component]);
                    }
                    new.write(Op::ConstantNull, &[component, null]);
                }
                new.copy(op, operands);
            }
            (Some(Op::Variable), [_, name, class, ..]) if vectors.contains_key(name) => {
                let Vector { pointer, initial, variables, .. } = &vectors[name];
                for (at, &variable) in variables.iter().enumerate() {
                    let operands = [*pointer, variable, *class].into_iter().chain(initial.get(at).copied());
                    new.write(Op::Variable, &operands.collect::<Vec<u32>>());
                }
            }
            (Some(Op::AccessChain), [_, name, of, index]) if vectors.contains_key(of) => {
                pointers.insert(*name, vectors[of].variables[constants[index] as usize]);
            }
            (Some(Op::Load), [kind, name, of, ..]) if vectors.contains_key(of) => {
                let Vector { component, variables, .. } = &vectors[of];
                let mut parts = vec![*kind, *name];
                for &variable in variables {
                    let part = new.id();
                    new.write(Op::Load, &[*component, part, variable]);
                    parts.push(part);
                }
                new.write(Op::CompositeConstruct, &parts);
            }
            (Some(Op::Store), [to, value, ..]) if vectors.contains_key(to) => {
                let Vector { component, variables, .. } = &vectors[to];
                for (at, &variable) in (0..).zip(variables) {
                    let part = new.id();
                    new.write(Op::CompositeExtract, &[*component, part, *value, at]);
                    new.write(Op::Store, &[variable, part]);
                }
            }
            (Some(Op::Load), [kind, name, of, ..]) if pointers.contains_key(of) => {
                new.write(Op::Load, &[*kind, *name, pointers[of]]);
            }
            (Some(Op::Store), [to, value, ..]) if pointers.contains_key(to) => {
                new.write(Op::Store, &[pointers[to], *value]);
            }
            _ => new.copy(op, operands),
        }
    }
    new.finish()
}

/// A variable that is split.
struct Vector {
    /// The components' type, and that of pointers to them.
    component: u32,
    pointer: u32,
    /// What the components are at first, if anything.
    initial: Vec<u32>,
    /// Their variables.
    variables: Vec<u32>,
}

/// What a type of components needs: a type of pointers, which the module may have declared, and its zero.
struct Component {
    pointer: u32,
    is_declared: bool,
    null: u32,
}

/// Numbers by their names.
fn constants(module: &Module<'_>) -> HashMap<u32, u32> {
    let numbers = module.iter().filter_map(|(op, operands)| match operands {
        [_, name, number] if *op == Op::Constant as u32 => Some((*name, *number)),
        _ => None,
    });
    numbers.collect()
}

/// The variables that can be split, by their names; and by components' types, what the module has to declare for them.
fn vectors(
    module: &Module<'_>,
    constants: &HashMap<u32, u32>,
    new: &mut Writer,
) -> (HashMap<u32, Vector>, BTreeMap<u32, Component>) {
    let class = StorageClass::Function as u32;
    // Components' types and their number by a vector's type, what pointers point to, vectors of zeros, and variables with
    // their first values; names that something else is done with than reading and writing.
    let (mut types, mut pointees, mut variables) = (HashMap::new(), HashMap::new(), vec![]);
    let (mut nulls, mut otherwise) = (HashSet::new(), HashSet::<u32>::new());
    for &(op, operands) in module {
        match (Op::from_u32(op), operands) {
            (Some(Op::TypeVector), [name, component, number]) => {
                types.insert(*name, (*component, *number as usize));
            }
            (Some(Op::TypePointer), [name, of, pointee]) if *of == class => {
                pointees.insert(*name, *pointee);
            }
            (Some(Op::ConstantNull), [_, name]) => drop(nulls.insert(*name)),
            (Some(Op::Variable), [kind, name, _, initial @ ..]) => {
                variables.push((*kind, *name, initial.first()));
            }
            (Some(Op::AccessChain), [_, _, _, index]) if constants.contains_key(index) => {}
            // What else naga writes of a variable: a component by a computed number, or a pointer that a function gets.
            (Some(Op::AccessChain | Op::FunctionCall), _) => otherwise.extend(operands),
            _ => {}
        }
    }
    let (mut vectors, mut components) = (HashMap::new(), BTreeMap::new());
    for (kind, name, initial) in variables {
        let Some(&(component, number)) = pointees.get(&kind).and_then(|pointee| types.get(pointee)) else {
            continue;
        };
        if otherwise.contains(&name) || initial.is_some_and(|initial| !nulls.contains(initial)) {
            continue;
        }
        let declared = || pointees.iter().find(|(_, pointee)| **pointee == component).map(|(name, _)| *name);
        let &mut Component { pointer, null, .. } = components.entry(component).or_insert_with(|| {
            let (declared, null) = (declared(), new.id());
            let pointer = declared.unwrap_or_else(|| new.id());
            Component { pointer, is_declared: declared.is_some(), null }
        });
        let initial = initial.map_or(vec![], |_| vec![null; number]);
        let variables = (0..number).map(|_| new.id()).collect();
        vectors.insert(name, Vector { component, pointer, initial, variables });
    }
    (vectors, components)
}

#[cfg(test)]
mod tests {
    use super::super::words::BOUND;
    use super::super::words::test::{count, spirv};
    use super::*;

    /// A kernel with these statements, which may read and write `numbers`.
    fn kernel(statements: &str) -> Vec<u32> {
        let text = format!(
            "@group(0) @binding(0) var<storage, read_write> numbers: array<vec4<f32>>;
            fn double(v: ptr<function, vec4<f32>>) {{ *v += *v; }}
            @compute @workgroup_size(8)
            fn main(@builtin(local_invocation_index) lid: u32) {{ {statements} }}"
        );
        spirv(&text, (1, 3))
    }

    #[test]
    fn variables_are_of_components() {
        // With a pointer to a component, the module declares the type of such pointers itself.
        for component in ["", "sum.y = sum.z * 2f; pair.x += sum.w;"] {
            let words = kernel(&format!(
                "var sum: vec4<f32>;
                for (var at = 0u; at < 7u; at++) {{ sum += numbers[at]; }}
                var pair = numbers[lid].xy;
                {component}
                numbers[lid] = vec4(sum.xy, pair);"
            ));
            let pointers = count(&words, Op::TypePointer);
            let new = split(&words);
            let vectors = |words: &[u32]| {
                let module: Vec<_> = instructions(words).collect();
                let declared = |op: Op| module.iter().filter(move |(this, _)| *this == op as u32);
                let types: HashSet<u32> = declared(Op::TypeVector).map(|(_, operands)| operands[0]).collect();
                let class = StorageClass::Function as u32;
                let pointers: HashSet<u32> = declared(Op::TypePointer)
                    .filter(|(_, operands)| operands[1] == class && types.contains(&operands[2]))
                    .map(|(_, operands)| operands[0])
                    .collect();
                declared(Op::Variable).filter(|(_, operands)| pointers.contains(&operands[0])).count()
            };
            assert_eq!([vectors(&words), vectors(&new)], [2, 0]);
            assert_eq!(count(&new, Op::Variable), count(&words, Op::Variable) - 2 + 4 + 2);
            // Nobody has a name twice, types are declared once, and the bound is behind all.
            let declared = |op: Op, at: usize| {
                let all = instructions(&new).filter(move |(this, _)| *this == op as u32);
                all.map(move |(_, operands)| operands[at]).collect::<Vec<u32>>()
            };
            let names =
                [declared(Op::Variable, 1), declared(Op::Load, 1), declared(Op::TypePointer, 0)].concat();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            assert!(names.iter().all(|name| *name < new[BOUND]));
            let types: Vec<&[u32]> = instructions(&new)
                .filter(|(op, _)| *op == Op::TypePointer as u32)
                .map(|(_, operands)| &operands[1..])
                .collect();
            assert_eq!(types.iter().collect::<HashSet<_>>().len(), types.len());
            assert_eq!(types.len() - pointers, usize::from(component.is_empty()));
        }
    }

    #[test]
    fn vectors_that_are_used_otherwise_stay() {
        for statements in [
            "var v = numbers[0]; double(&v); numbers[lid] = v;",
            "var v = numbers[0]; numbers[lid].x = v[lid & 3u];",
            "numbers[lid] *= 2f;",
        ] {
            let words = kernel(statements);
            assert_eq!(split(&words), words, "{statements}");
        }
    }
}
