//! Writes the WGSL of one value at one position, by recursion through everything that is not stored.
//!
//! Each statement goes to the outermost loop in which its operands are known, and every value is written
//! once per position, so what a loop does not change is computed before it.

mod memory;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use wgrad_core::kernel::WgslKernel;
use wgrad_core::ops::Wgsl;
use wgrad_core::{DType, NodeId, Op, Shape};

use super::Shaping;
use super::own::Function;
use crate::plan::index::{Index, Indices, Kind};
use crate::plan::{Kernel, Plan, views};

pub(super) use memory::{Binding, vector_of};

/// A WGSL expression and the loop depth at which it is known.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The expression: a name, a component or a literal.
    pub(super) text: String,
    /// 0 for what no loop or grid variable changes.
    pub(super) depth: usize,
}

#[derive(Default)]
struct Scope {
    text: String,
    values: Vec<(NodeId, Index)>,
    atoms: Vec<u32>,
    groups: Vec<Group>,
}

/// Neighbours that are loaded or drawn together: what from, how many, and which of them.
type Group = (usize, usize, Index);

/// The state of writing one kernel.
pub(super) struct Emitter<'a> {
    /// The plan the kernel belongs to.
    pub(super) plan: &'a Plan,
    /// The positions that occur.
    pub(super) indices: Indices,
    kernel: &'a Kernel,
    loads: HashSet<NodeId>,
    scopes: Vec<Scope>,
    values: HashMap<(NodeId, Index), Value>,
    atoms: HashMap<u32, String>,
    conditions: HashMap<u32, String>,
    groups: HashMap<Group, Value>,
    /// The buffers used so far.
    pub(super) bindings: Vec<Binding>,
    /// What numbers and random streams are called that a table holds.
    pub(super) numbers: HashMap<NodeId, String>,
    /// The library functions used so far.
    pub(super) functions: BTreeSet<&'static str>,
    /// Whether f16 occurs.
    pub(super) half: bool,
    /// Whether random numbers are drawn.
    pub(super) philox: bool,
    /// The functions that users wrote for operations that occur.
    pub(super) own: Vec<(WgslKernel, Function)>,
    /// Loads written outside and inside of loops: of one element, of four and of eight.
    pub(super) reads: [[usize; 3]; 2],
    /// The positions of all loads in order, and the bytes of what is loaded there.
    pub(super) loaded: Vec<(Index, usize)>,
    /// The most neighbours to read at once where positions allow it: 1, 4 or 8.
    pub(super) widest: usize,
    /// Whether the kernel is to be short: [`Shaping::compact`].
    pub(super) compact: bool,
    /// Whether a load is short, as a fetch of texels is: [`Shaping::texels`].
    pub(super) texels: bool,
    /// Whether it may use integers of 64 bits: [`Shaping::int64`].
    pub(super) int64: bool,
    next: usize,
    /// What could not be written: a fault of the planner.
    pub(super) fault: Option<String>,
}

/// The WGSL type of a dtype in registers.
pub(super) fn register_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::Bool => "bool",
    }
}

/// The WGSL type of a dtype in memory.
pub(super) fn memory_type(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "u32",
        other => register_type(other),
    }
}

pub(super) const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// Runs of a loop that Mesa writes out if it sees how many there are (`max_unroll_iterations` of llvmpipe). Fewer
/// is no loop.
const UNROLLED_BY_DRIVERS: std::ops::RangeInclusive<usize> = 2..=32;

impl<'a> Emitter<'a> {
    /// An emitter for one kernel, with the scope of the whole function open.
    pub(super) fn new(plan: &'a Plan, kernel: &'a Kernel, shaping: &Shaping) -> Self {
        Self {
            plan,
            indices: Indices::default(),
            kernel,
            loads: kernel.loads.iter().copied().collect(),
            scopes: vec![Scope::default()],
            values: HashMap::new(),
            atoms: HashMap::new(),
            conditions: HashMap::new(),
            groups: HashMap::new(),
            bindings: vec![],
            numbers: HashMap::new(),
            functions: BTreeSet::new(),
            half: false,
            philox: false,
            own: vec![],
            reads: [[0; 3]; 2],
            loaded: vec![],
            widest: 1,
            compact: shaping.compact,
            texels: shaping.texels,
            int64: shaping.int64,
            next: 0,
            fault: None,
        }
    }

    /// An emitter for the same kernel that has written nothing yet: to see what something would be.
    pub(super) fn fresh(&self, shaping: &Shaping) -> Self {
        Self { widest: self.widest, ..Self::new(self.plan, self.kernel, shaping) }
    }

    /// The innermost loop depth.
    pub(super) fn depth(&self) -> usize {
        self.scopes.len() - 1
    }

    /// Opens a scope for the body of a loop or condition.
    pub(super) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Closes the innermost scope and returns its text.
    pub(super) fn close(&mut self) -> String {
        let scope = self.scopes.pop().unwrap_or_default();
        scope.values.iter().for_each(|key| drop(self.values.remove(key)));
        scope.groups.iter().for_each(|key| drop(self.groups.remove(key)));
        for atom in &scope.atoms {
            self.atoms.remove(atom);
            self.conditions.remove(atom);
        }
        scope.text
    }

    /// Adds a statement to the innermost scope.
    pub(super) fn line(&mut self, text: &str) {
        let depth = self.depth();
        self.line_at(depth, text);
    }

    fn line_at(&mut self, depth: usize, text: &str) {
        let scope = &mut self.scopes[depth];
        for line in text.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(scope.text, "{:indent$}{line}", "", indent = 2 * depth + 2);
        }
    }

    /// Adds already indented text to the innermost scope.
    pub(super) fn block(&mut self, text: &str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.text.push_str(text);
        }
    }

    /// Writes a loop of `runs` runs, counted by `name`, over already indented text.
    pub(super) fn repeat(&mut self, name: &str, runs: usize, text: &str) {
        // The number of a workgroup stays below 2³¹, which no driver knows.
        let hidden =
            if self.compact && UNROLLED_BY_DRIVERS.contains(&runs) { " + (group >> 31u)" } else { "" };
        self.line(&format!("for (var {name} = 0u; {name} < {runs}u{hidden}; {name}++) {{"));
        self.block(text);
        self.line("}");
    }

    /// A name not used before in this kernel. With a prefix of `f`, `i` or `u` it would one day be a type's.
    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}{}", self.next)
    }

    /// Names the variable behind an atom.
    pub(super) fn define(&mut self, atom: u32, name: &str) {
        let depth = self.indices.get(atom).depth;
        self.atoms.insert(atom, name.into());
        if let Some(scope) = self.scopes.get_mut(depth) {
            scope.atoms.push(atom);
        }
    }

    /// An element of a node, however its multi-index is written: reshapes there and back may leave another sum
    /// of quotients that is the same position.
    fn key(&mut self, node: NodeId, index: &[Index]) -> (NodeId, Index) {
        let shape = self.shape(node);
        (node, self.indices.flatten(index, shape))
    }

    /// Says what a node's value at a position is.
    pub(super) fn know(&mut self, node: NodeId, index: &[Index], value: Value) {
        let key = self.key(node, index);
        self.keep(key, value);
    }

    fn keep(&mut self, key: (NodeId, Index), value: Value) {
        if let Some(scope) = self.scopes.get_mut(value.depth) {
            scope.values.push(key.clone());
        }
        self.values.insert(key, value);
    }

    /// The element of `to` at the position that `index` has in `from`, which has as many elements.
    pub(super) fn reshaped(&mut self, index: &[Index], from: NodeId, to: NodeId) -> Vec<Index> {
        let (from, to) = (self.shape(from), self.shape(to));
        if from == to {
            return index.to_vec();
        }
        let position = self.indices.flatten(index, from);
        self.indices.unflatten(&position, to)
    }

    fn let_(&mut self, prefix: &str, depth: usize, expression: &str) -> String {
        let name = self.name(prefix);
        self.line_at(depth, &format!("let {name} = {expression};"));
        name
    }

    fn shape(&self, id: NodeId) -> &'a Shape {
        &self.plan.recording.node(id).spec.shape
    }

    fn dtype(&self, id: NodeId) -> DType {
        self.plan.recording.node(id).spec.dtype
    }

    /// The WGSL of an index.
    pub(super) fn position(&mut self, index: &Index) -> String {
        let (mut plus, mut minus) = (vec![], vec![]);
        for &(atom, c) in &index.terms.clone() {
            let name = self.atom(atom);
            let text = if c.abs() == 1 { name } else { format!("{name} * {}u", c.abs()) };
            if c > 0 { plus.push(text) } else { minus.push(text) }
        }
        if index.constant > 0 || plus.is_empty() {
            plus.push(format!("{}u", index.constant.max(0)));
        }
        if index.constant < 0 {
            minus.push(format!("{}u", -index.constant));
        }
        let mut text = plus.join(" + ");
        minus.iter().for_each(|m| text = format!("{text} - {m}"));
        text
    }

    fn atom(&mut self, atom: u32) -> String {
        if let Some(name) = self.atoms.get(&atom) {
            return name.clone();
        }
        let (kind, depth) = (self.indices.get(atom).kind.clone(), self.indices.get(atom).depth);
        let name = match kind {
            Kind::Div(inner, c) => {
                let inner = self.position(&inner);
                self.let_("j", depth, &format!("({inner}) / {c}u"))
            }
            Kind::Mod(inner, c) => {
                let inner = self.position(&inner);
                self.let_("j", depth, &format!("({inner}) % {c}u"))
            }
            Kind::Clamped(inner, max) => {
                let inner = self.position(&inner);
                self.let_("j", depth, &format!("min({inner}, {max}u)"))
            }
            // A constant outside of its axis: WGSL would refuse to wrap it around.
            Kind::Guarded { raw, .. } if raw.terms.is_empty() && raw.constant < 0 => {
                self.conditions.insert(atom, "false".into());
                "0u".into()
            }
            Kind::Guarded { raw, stride, extent } => {
                // Negative positions wrap around and fail the same comparison as those beyond the end.
                let raw = self.position(&raw);
                let raw = self.let_("j", depth, &raw);
                let (value, whole) = if stride == 1 {
                    (raw, String::new())
                } else {
                    let quotient = self.let_("j", depth, &format!("{raw} / {stride}u"));
                    let whole = format!(" && {quotient} * {stride}u == {raw}");
                    (quotient, whole)
                };
                let condition = self.let_("c", depth, &format!("{value} < {extent}u{whole}"));
                self.conditions.insert(atom, condition.clone());
                self.let_("j", depth, &format!("select(0u, {value}, {condition})"))
            }
            Kind::Var(_) | Kind::Loaded(_) => {
                self.fault = Some("a position was used outside of its loop".into());
                "0u".into()
            }
        };
        self.atoms.insert(atom, name.clone());
        if let Some(scope) = self.scopes.get_mut(depth) {
            scope.atoms.push(atom);
        }
        name
    }

    /// The value of a node at a position.
    pub(super) fn value(&mut self, node: NodeId, index: &[Index]) -> Value {
        let key = self.key(node, index);
        if let Some(value) = self.values.get(&key) {
            return value.clone();
        }
        let is_loaded = self.loads.contains(&node);
        let value = if is_loaded { self.load(node, &key.1) } else { self.compute(node, index) };
        self.keep(key, value.clone());
        value
    }

    fn compute(&mut self, id: NodeId, index: &[Index]) -> Value {
        let plan = self.plan;
        let node = plan.recording.node(id);
        let dtype = node.spec.dtype;
        self.half |= dtype == DType::F16;
        match &node.op {
            Op::Scalar(scalar) => {
                let named = self.numbers.get(&id).cloned();
                Value { text: named.unwrap_or_else(|| self.literal(scalar.value(), dtype)), depth: 0 }
            }
            Op::Iota(iota) => {
                let position = &index[iota.axis];
                let (depth, text) = (self.indices.depth(position), self.position(position));
                let text = self.let_("v", depth, &format!("{}({text})", register_type(dtype)));
                Value { text, depth }
            }
            Op::RandomBits(op) => self.random_bits(id, op.stream, index),
            Op::Concat(op) => self.concat(id, op.axis, index),
            Op::Gather(op) => {
                let picked = self.value(node.inputs[1], index);
                let extent = self.shape(node.inputs[0])[op.axis];
                let last = extent.saturating_sub(1);
                let name = self.let_("j", picked.depth, &format!("min({}, {last}u)", picked.text));
                let (atom, position) = self.indices.loaded(extent, picked.depth);
                self.define(atom, &name);
                let mut source = index.to_vec();
                source[op.axis] = position;
                self.value(node.inputs[0], &source)
            }
            op if views::is_view(op) => {
                let from = self.shape(node.inputs[0]);
                let source = views::source(op, index, from, &node.spec.shape, &mut self.indices);
                let Some(source) = source else { return self.broken("a view without a source") };
                let inner = self.value(node.inputs[0], &source.index);
                if source.guards.is_empty() {
                    return inner;
                }
                let fill = self.literal(source.fill, dtype);
                self.guarded(inner, &fill, &source.guards)
            }
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select(_) | Op::Cast(_) => {
                let inputs: Vec<Value> = node.inputs.iter().map(|&input| self.value(input, index)).collect();
                let from = self.dtype(node.inputs[0]);
                let texts: Vec<&str> = inputs.iter().map(|value| value.text.as_str()).collect();
                let expression = self.elementwise(&node.op, &texts, from, dtype);
                let depth = inputs.iter().map(|value| value.depth).max().unwrap_or(0);
                Value { text: self.let_("v", depth, &expression), depth }
            }
            Op::Wgsl(op) if op.is_elementwise() => {
                let inputs: Vec<Value> = node.inputs.iter().map(|&input| self.value(input, index)).collect();
                let from: Vec<DType> = node.inputs.iter().map(|&input| self.dtype(input)).collect();
                let texts: Vec<&str> = inputs.iter().map(|value| value.text.as_str()).collect();
                let call = self.own_function(op).call(&texts, &from, dtype);
                let depth = inputs.iter().map(|value| value.depth).max().unwrap_or(0);
                Value { text: self.let_("v", depth, &call), depth }
            }
            op => self.broken(&format!("{} %{} is neither stored nor computed here", op.name(), id.0)),
        }
    }

    /// The function of a user's operation.
    fn own_function(&mut self, op: &Wgsl) -> &Function {
        let known = self.own.iter().position(|(kernel, _)| *kernel == op.kernel);
        let at = known.unwrap_or_else(|| {
            let function = Function::new(op, self.own.len());
            self.functions.extend(&function.library);
            self.own.push((op.kernel.clone(), function));
            self.own.len() - 1
        });
        &self.own[at].1
    }

    /// Whether the driver has to check what the kernel does.
    pub(super) fn checked(&self) -> bool {
        self.own.iter().any(|(_, function)| !function.harmless)
    }

    fn broken(&mut self, fault: &str) -> Value {
        self.fault = Some(fault.into());
        Value { text: "0".into(), depth: 0 }
    }

    fn guarded(&mut self, inner: Value, fill: &str, guards: &[u32]) -> Value {
        let mut depth = inner.depth;
        let mut conditions = vec![];
        for &guard in guards {
            self.atom(guard);
            depth = depth.max(self.indices.get(guard).depth);
            conditions.extend(self.conditions.get(&guard).cloned());
        }
        let expression = format!("select({fill}, {}, {})", inner.text, conditions.join(" && "));
        Value { text: self.let_("v", depth, &expression), depth }
    }

    /// A word of a Philox block; the four words of a block are computed once.
    fn random_bits(&mut self, id: NodeId, stream: u64, index: &[Index]) -> Value {
        let node = self.plan.recording.node(id);
        let position = self.indices.flatten(index, &node.spec.shape);
        let (block, lane) = (self.indices.div(&position, 4), self.indices.rem(&position, 4));
        // No binding has a number this large.
        let key = (usize::MAX - id.index(), 4, block.clone());
        let words = match self.groups.get(&key) {
            Some(words) => words.clone(),
            None => {
                self.philox = true;
                let seed = [0, 1].map(|i| self.value(node.inputs[0], &[Index::constant(i)]));
                let step = self.value(node.inputs[1], &[]);
                let depth = self.indices.depth(&block).max(seed[0].depth).max(seed[1].depth).max(step.depth);
                let named = self.numbers.get(&id).cloned();
                let stream = named.unwrap_or_else(|| format!("{}u, {}u", stream as u32, stream >> 32));
                let call = format!(
                    "philox(vec4<u32>({}, {}, {stream}), vec2<u32>({}, {}))",
                    self.position(&block),
                    step.text,
                    seed[0].text,
                    seed[1].text
                );
                let words = Value { text: self.let_("r", depth, &call), depth };
                self.scopes[depth].groups.push(key.clone());
                self.groups.insert(key, words.clone());
                words
            }
        };
        if lane.terms.is_empty() {
            let text = format!("{}.{}", words.text, COMPONENTS[lane.constant as usize % 4]);
            return Value { text, depth: words.depth };
        }
        let depth = words.depth.max(self.indices.depth(&lane));
        let at = self.position(&lane);
        let text = self.let_("v", depth, &format!("{}[{at}]", words.text));
        Value { text, depth }
    }

    fn concat(&mut self, id: NodeId, axis: usize, index: &[Index]) -> Value {
        let node = self.plan.recording.node(id);
        let (mut start, mut chosen) = (0, None::<Value>);
        for &input in &node.inputs {
            let extent = self.shape(input)[axis];
            if extent == 0 {
                continue;
            }
            let raw = index[axis].clone().offset(-(start as i64));
            let (position, guard) = self.indices.guard(&raw, 1, extent);
            let mut source = index.to_vec();
            source[axis] = position;
            let value = self.value(input, &source);
            chosen = Some(match (chosen, guard) {
                (Some(before), Some(guard)) => {
                    let before_depth = before.depth;
                    let mut value = value;
                    value.depth = value.depth.max(before_depth);
                    self.guarded(value, &before.text, &[guard])
                }
                (_, _) => value,
            });
            start += extent;
        }
        chosen.unwrap_or_else(|| self.broken("an empty concatenation"))
    }

    /// Computes nodes at positions before any of them is stored: one may be stored where another is read.
    pub(super) fn prepare(&mut self, nodes: &[NodeId], positions: &[Vec<Index>]) {
        for &node in nodes {
            positions.iter().for_each(|index| drop(self.value(node, index)));
        }
    }

    /// The number of operations between a kernel's anchor, or its loads, and its stores.
    pub(super) fn inlined(&self, kernel: &Kernel) -> usize {
        let mut stack = kernel.stores.clone();
        let (mut seen, mut count) = (HashSet::new(), 0);
        while let Some(id) = stack.pop() {
            let node = self.plan.recording.node(id);
            if self.loads.contains(&id) || matches!(node.op, Op::Contract(_)) || !seen.insert(id) {
                continue;
            }
            count += usize::from(!views::is_view(&node.op));
            stack.extend(&node.inputs);
        }
        count
    }

    /// Writes a function of its own, which shares nothing but bindings with the rest of the kernel.
    pub(super) fn function(&mut self, signature: &str, body: impl FnOnce(&mut Self)) -> String {
        let scopes = std::mem::replace(&mut self.scopes, vec![Scope::default()]);
        let values = std::mem::take(&mut self.values);
        let atoms = std::mem::take(&mut self.atoms);
        let conditions = std::mem::take(&mut self.conditions);
        let groups = std::mem::take(&mut self.groups);
        body(self);
        let text = self.close();
        (self.scopes, self.values, self.atoms) = (scopes, values, atoms);
        (self.conditions, self.groups) = (conditions, groups);
        format!("{signature} {{\n{text}}}\n")
    }

    /// The finished body of the function.
    pub(super) fn finish(&mut self) -> String {
        self.close()
    }
}
