//! Kernels that users write: the text of a whole one, and functions of elements for kernels of ours.

mod check;
mod words;

use std::fmt::Write;

use wgrad_core::kernel::KernelForm;
use wgrad_core::ops::Wgsl;
use wgrad_core::{DType, NodeId, Op, Shape};

use super::emit::{memory_type, register_type};
use super::{Bound, ENABLE_F16, Shaping, Source, fold, group_number};
use crate::error::Error;
use crate::plan::{Kernel, Plan};
use words::{declared, renamed, without_comments, words};

pub(crate) use check::{Needs, check};

/// Invocations of a workgroup where every invocation makes one element.
const PER_ELEMENT: u32 = 64;

/// A function of elements as it is written into a kernel.
pub(super) struct Function {
    /// Its name, which no other function of the kernel has.
    pub(super) name: String,
    /// All that the user declared, under such names.
    pub(super) text: String,
    /// The library functions that it calls.
    pub(super) library: Vec<&'static str>,
    /// Whether it needs no checks: it has no loops, which might not end, and no arrays.
    pub(super) harmless: bool,
    /// Whether it takes and gives f32 for f16.
    pub(super) single: bool,
}

impl Function {
    /// The function of an elementwise kernel, the `number`th of a kernel of ours.
    pub(super) fn new(op: &Wgsl, number: usize) -> Self {
        let source = without_comments(op.kernel.source());
        let suffix = format!("_own{number}");
        let used = words(&source);
        let uses = |name: &&str| used.iter().any(|(_, word)| word == name);
        Self {
            name: format!("{}{suffix}", op.name),
            text: renamed(&source, &declared(&source), &suffix) + "\n",
            library: wgrad_shaders::math_names().into_iter().filter(|name| uses(name)).collect(),
            harmless: !source.contains('[') && !["for", "while", "loop"].iter().any(uses),
            single: !uses(&"f16"),
        }
    }

    /// A call.
    pub(super) fn call(&self, arguments: &[&str], from: &[DType], to: DType) -> String {
        let wide = |dtype: DType| self.single && dtype == DType::F16;
        let argument = |(text, dtype): (&&str, &DType)| match wide(*dtype) {
            true => format!("f32({text})"),
            false => (*text).to_string(),
        };
        let arguments: Vec<String> = arguments.iter().zip(from).map(argument).collect();
        let call = format!("{}({})", self.name, arguments.join(", "));
        if wide(to) { format!("f16({call})") } else { call }
    }
}

/// Writes a kernel of its own.
pub(super) fn generate(
    plan: &Plan,
    kernel: &Kernel,
    node: NodeId,
    shaping: &Shaping,
) -> Result<Source, Error> {
    let Op::Wgsl(op) = &plan.recording.node(node).op else {
        return Err(Error::Internal("a user's kernel without a text".into()));
    };
    let place = |id: &NodeId| {
        let place = plan.place(kernel, *id).cloned();
        place.map(Bound::Tensor).ok_or_else(|| Error::Internal(format!("%{} has no place", id.0)))
    };
    let operands = &plan.recording.node(node).inputs;
    let bindings = operands.iter().chain([&node]).map(place).collect::<Result<_, _>>()?;
    let text = text(op, "read_write", shaping.max_groups).map_err(Error::Internal)?;
    Ok(Source { wgsl: text.wgsl, bindings, grid: text.grid, checked: true })
}

/// A module around a user's text.
struct Text {
    wgsl: String,
    /// Where the user's text begins.
    start: usize,
    /// Where the entry point begins.
    entry: usize,
    grid: [u32; 3],
}

impl Text {
    /// Half precision is switched on where it occurs.
    fn with_half(mut self, op: &Wgsl) -> Self {
        let specs = || op.definition.operands().chain([op.definition.result()]);
        let source = without_comments(op.kernel.source());
        if specs().any(|spec| spec.dtype == DType::F16)
            || words(&source).iter().any(|(_, word)| *word == "f16")
        {
            self.wgsl.insert_str(0, ENABLE_F16);
            self.start += ENABLE_F16.len();
            self.entry += ENABLE_F16.len();
        }
        self
    }
}

/// A whole kernel: first the user's text, then what it may refer to. `access` is what it may do with operands.
fn text(op: &Wgsl, access: &str, max_groups: u32) -> Result<Text, String> {
    let (result, size) = (op.definition.result(), workgroup(op.kernel.form()));
    let mut wgsl = format!("{}\n", op.kernel.source());
    let names = (0..op.definition.operands().len()).map(|number| format!("x{number}"));
    let operands = op.definition.operands().zip(names).map(|(spec, name)| (spec, name, access));
    for (binding, (spec, name, access)) in
        operands.chain([(result, "result".into(), "read_write")]).enumerate()
    {
        wgsl += &sizes(&name.to_uppercase(), &spec.shape);
        // Writing to a string cannot fail.
        let _ = writeln!(
            wgsl,
            "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{}>;",
            memory_type(spec.dtype)
        );
    }
    let groups = match op.kernel.form() {
        KernelForm::PerWorkgroup { groups, .. } => {
            let operands: Vec<_> = op.definition.operands().cloned().collect();
            groups(&operands, result)
        }
        _ => result.shape.numel().div_ceil(size as usize),
    };
    if size == 0 || groups == 0 && result.shape.numel() > 0 || groups > i32::MAX as usize {
        return Err(format!("its grid is {groups} workgroups of {size} invocations"));
    }
    let grid = fold(groups as u64, max_groups);
    let call = match op.kernel.form() {
        KernelForm::PerWorkgroup { .. } => format!("{}(group, lid);", op.name),
        _ => {
            let value = stored(&format!("{}(i)", op.name), result.dtype);
            format!(
                "let i = group * WORKGROUP_SIZE + lid;\n  if (i >= RESULT_LENGTH) {{ return; }}\n  result[i] = {value};"
            )
        }
    };
    wgsl += &format!("const WORKGROUP_SIZE = {size}u;\nconst GROUPS = {groups}u;\n");
    wgsl += &library(op.kernel.source());
    let entry = wgsl.len();
    let _ = write!(
        wgsl,
        "@compute @workgroup_size({size})\n\
         fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{\n\
         \x20 {}\n  if (group >= GROUPS) {{ return; }}\n  {call}\n}}\n",
        group_number("group", grid)
    );
    Ok(Text { wgsl, start: 0, entry, grid }.with_half(op))
}

/// Invocations of a workgroup.
fn workgroup(form: &KernelForm) -> u32 {
    match form {
        KernelForm::PerWorkgroup { size, .. } => *size,
        _ => PER_ELEMENT,
    }
}

/// The constants with a tensor's sizes. Scalars have no extents.
fn sizes(name: &str, shape: &Shape) -> String {
    let mut text = format!("const {name}_LENGTH = {}u;\n", shape.numel());
    if shape.rank() > 0 {
        let extents: Vec<String> = shape.iter().map(|extent| format!("{extent}u")).collect();
        let _ = writeln!(text, "const {name}_SHAPE = array<u32, {}>({});", shape.rank(), extents.join(", "));
    }
    text
}

fn stored(value: &str, dtype: DType) -> String {
    match dtype {
        DType::Bool => format!("select(0u, 1u, {value})"),
        DType::F16 => format!("f16({value})"),
        _ => value.into(),
    }
}

/// The library functions that a text calls.
fn library(source: &str) -> String {
    wgrad_shaders::math_for(&without_comments(source))
}
