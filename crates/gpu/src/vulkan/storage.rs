//! Storage buffers of a SPIR-V module, and the pointers into them.

use std::collections::HashMap;

use spirv::{Decoration, Op, StorageClass};

/// From here on an entry point lists all variables that it uses, and not only inputs and outputs.
pub(super) const LISTS_ALL: u32 = 0x0001_0400;

/// A storage buffer that is an array, as the module declares it.
pub(super) struct Array<'a> {
    pub(super) variable: u32,
    pub(super) binding: u32,
    /// The number of components of an element, which is 1 where elements are no vectors.
    pub(super) lanes: u32,
    /// Their type, and what that is: its instruction and the operands behind its name.
    pub(super) component: u32,
    pub(super) scalar: (u32, &'a [u32]),
}

/// The storage buffers that are arrays.
pub(super) fn arrays<'a>(module: &[(u32, &'a [u32])]) -> Vec<Array<'a>> {
    let mut types: HashMap<u32, (u32, &[u32])> = HashMap::new();
    let mut numbers = HashMap::new();
    let mut arrays = vec![];
    for &(op, operands) in module {
        match Op::from_u32(op) {
            Some(
                Op::TypeInt
                | Op::TypeFloat
                | Op::TypeVector
                | Op::TypeRuntimeArray
                | Op::TypeStruct
                | Op::TypePointer,
            ) => drop(types.insert(operands[0], (op, operands))),
            Some(Op::Decorate) if operands[1] == Decoration::Binding as u32 => {
                numbers.insert(operands[0], operands[2]);
            }
            Some(Op::Variable) if operands[2] == StorageClass::StorageBuffer as u32 => {
                let known = |id: u32, what: Op| types.get(&id).filter(|(op, _)| *op == what as u32);
                let array = || {
                    let (_, pointer) = known(operands[0], Op::TypePointer)?;
                    let (_, members) = known(pointer[2], Op::TypeStruct).filter(|(_, of)| of.len() == 2)?;
                    let (_, array) = known(members[1], Op::TypeRuntimeArray)?;
                    let vector = known(array[1], Op::TypeVector);
                    let component = vector.map_or(array[1], |(_, of)| of[1]);
                    let (op, scalar) = *types.get(&component)?;
                    let lanes = vector.map_or(1, |(_, of)| of[2]);
                    let (variable, binding) = (operands[1], *numbers.get(&operands[1])?);
                    Some(Array { variable, binding, lanes, component, scalar: (op, &scalar[1..]) })
                };
                arrays.extend(array());
            }
            _ => {}
        }
    }
    arrays
}

/// What pointers point to: a variable and the way through it, from the one array of its structure to an element or a component.
pub(super) fn pointers(module: &[(u32, &[u32])]) -> HashMap<u32, (u32, Vec<u32>)> {
    let mut pointers: HashMap<u32, (u32, Vec<u32>)> = HashMap::new();
    for (op, operands) in module {
        if *op == Op::AccessChain as u32 {
            let (base, way) = (operands[2], &operands[3..]);
            let (base, mut path) = pointers.get(&base).cloned().unwrap_or((base, vec![]));
            path.extend(way);
            pointers.insert(operands[1], (base, path));
        }
    }
    pointers.retain(|_, (_, path)| (2..=3).contains(&path.len()));
    pointers
}
