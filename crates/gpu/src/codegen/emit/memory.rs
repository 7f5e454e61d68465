//! How a kernel reads and writes elements of stored nodes: one at a time, or neighbours together.

use wgrad_core::{DType, NodeId};

use super::{COMPONENTS, Emitter, Value, memory_type};
use crate::plan::Place;
use crate::plan::index::Index;

/// A storage buffer of the kernel.
#[derive(Clone, Debug)]
pub(in crate::codegen) struct Binding {
    /// What is bound.
    pub(in crate::codegen) place: Place,
    /// Its element type.
    pub(in crate::codegen) dtype: DType,
    /// Whether some access reads or writes four elements at once.
    pub(in crate::codegen) fours: bool,
    /// Whether some access reads eight elements at once.
    pub(in crate::codegen) eights: bool,
    /// Whether some access writes.
    pub(in crate::codegen) stored: bool,
    /// Whether some access writes one element, whose neighbours are another invocation's.
    pub(in crate::codegen) singly: bool,
}

impl Emitter<'_> {
    /// The number of the binding for a node's place.
    pub(in crate::codegen) fn binding(&mut self, node: NodeId) -> usize {
        let Some(place) = self.plan.place(self.kernel, node).cloned() else {
            self.fault = Some(format!("%{} has no place", node.0));
            return 0;
        };
        let dtype = self.dtype(node);
        self.half |= dtype == DType::F16;
        if let Some(known) = self.bindings.iter().position(|b| b.place == place && b.dtype == dtype) {
            return known;
        }
        self.bindings.push(Binding {
            place,
            dtype,
            fours: false,
            eights: false,
            stored: false,
            singly: false,
        });
        self.bindings.len() - 1
    }

    /// The position as so many times a group, and which of the group it is, if that is the same for every value of
    /// the variables.
    fn group_of(index: &Index, width: i64) -> Option<(Index, usize)> {
        let aligned = index.terms.iter().all(|(_, c)| c % width == 0) && !index.terms.is_empty();
        aligned.then(|| {
            let terms = index.terms.iter().map(|&(atom, c)| (atom, c / width)).collect();
            let group = Index { terms, constant: index.constant.div_euclid(width) };
            (group, index.constant.rem_euclid(width) as usize)
        })
    }

    /// The element at a row-major position, loaded with its neighbours where that is possible.
    pub(super) fn load(&mut self, node: NodeId, position: &Index) -> Value {
        let binding = self.binding(node);
        let dtype = self.dtype(node);
        let truth = |text: String| if dtype == DType::Bool { format!("({text} != 0u)") } else { text };
        // Eight are four words of 64 bits, each of them two elements.
        let eights = self.widest >= 8 && dtype != DType::F16;
        if let Some((group, lane)) = Self::group_of(position, 8).filter(|_| eights) {
            let eight = self.neighbours(binding, 8, group);
            let half = ["even", "odd"][lane % 2];
            let text = truth(format!("{}.{half}.{}", eight.text, COMPONENTS[lane / 2]));
            return Value { text, depth: eight.depth };
        }
        if let Some((group, lane)) = Self::group_of(position, 4).filter(|_| self.widest >= 4) {
            let vector = self.neighbours(binding, 4, group);
            let text = truth(format!("{}.{}", vector.text, COMPONENTS[lane]));
            return Value { text, depth: vector.depth };
        }
        let depth = self.indices.depth(position);
        let at = self.position(position);
        self.reads[usize::from(depth > 0)][0] += 1;
        self.loaded.push((position.clone(), dtype.size()));
        let text = self.let_("v", depth, &truth(format!("load{binding}({at})")));
        Value { text, depth }
    }

    /// Four or eight neighbours, loaded once.
    fn neighbours(&mut self, binding: usize, width: usize, group: Index) -> Value {
        let key = (binding, width, group);
        if let Some(vector) = self.groups.get(&key) {
            return vector.clone();
        }
        let depth = self.indices.depth(&key.2);
        let at = self.position(&key.2);
        let (function, which) = if width == 8 { ("load_eight", 2) } else { ("load_four", 1) };
        self.bindings[binding].eights |= width == 8;
        self.bindings[binding].fours |= width == 4;
        self.reads[usize::from(depth > 0)][which] += 1;
        self.loaded.push((key.2.clone(), width * self.bindings[binding].dtype.size()));
        let text = self.let_("q", depth, &format!("{function}{binding}({at})"));
        let vector = Value { text, depth };
        self.scopes[depth].groups.push(key.clone());
        self.groups.insert(key, vector.clone());
        vector
    }

    /// Writes a stored node at one or more positions. Four aligned neighbours are written at once.
    pub(in crate::codegen) fn store(&mut self, node: NodeId, lanes: &[Vec<Index>]) {
        let values: Vec<Value> = lanes.iter().map(|index| self.value(node, index)).collect();
        let shape = self.shape(node);
        let positions: Vec<Index> = lanes.iter().map(|index| self.indices.flatten(index, shape)).collect();
        let binding = self.binding(node);
        self.bindings[binding].stored = true;
        let dtype = self.dtype(node);
        let word = |text: &str| {
            if dtype == DType::Bool { format!("select(0u, 1u, {text})") } else { text.to_string() }
        };
        let neighbours = positions.windows(2).all(|pair| pair[1] == pair[0].clone().offset(1));
        let group = Self::group_of(&positions[0], 4).filter(|(_, lane)| *lane == 0);
        if let (4, true, Some((group, _))) = (lanes.len(), neighbours, group) {
            self.bindings[binding].fours = true;
            let at = self.position(&group);
            let words: Vec<String> = values.iter().map(|value| word(&value.text)).collect();
            let vector = vector_of(&words)
                .unwrap_or_else(|| format!("vec4<{}>({})", memory_type(dtype), words.join(", ")));
            self.line(&format!("store_four{binding}({at}, {vector});"));
            return;
        }
        self.bindings[binding].singly = true;
        for (value, position) in values.iter().zip(&positions) {
            let at = self.position(position);
            self.line(&format!("store{binding}({at}, {});", word(&value.text)));
        }
    }
}

/// The vector whose four components these are, if they are.
pub(in crate::codegen) fn vector_of(components: &[String]) -> Option<String> {
    let base = components.first()?.strip_suffix(".x")?;
    let all = components.len() == 4
        && components.iter().zip(COMPONENTS).all(|(text, c)| *text == format!("{base}.{c}"));
    all.then(|| base.to_string())
}
