//! Whether a user's kernel is what it should be, before anything is made of it. What is wrong is said with its
//! place in the user's own text.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ResourceBinding, Scalar, Span, TypeInner};
use wgrad_core::DType;
use wgrad_core::kernel::KernelForm;
use wgrad_core::ops::Wgsl;

use super::words::{declared, without_comments, words};
use super::{Text, library, register_type, text};

/// What a kernel asks of a device.
pub(crate) struct Needs {
    module: Module,
    /// Buffers that are bound.
    pub(crate) bindings: usize,
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
    /// Bytes of workgroup memory.
    pub(crate) memory: u32,
}

impl Needs {
    /// Whether a device with these capabilities accepts the kernel.
    pub(crate) fn run_with(&self, capabilities: Capabilities) -> bool {
        Validator::new(ValidationFlags::all(), capabilities).validate(&self.module).is_ok()
    }
}

/// What a kernel may use where it exists: all of WGSL.
const ALL: Capabilities = Capabilities::SHADER_FLOAT16
    .union(Capabilities::SHADER_FLOAT16_IN_FLOAT32)
    .union(Capabilities::SUBGROUP)
    .union(Capabilities::SUBGROUP_BARRIER);

/// Checks a kernel; the error says what is wrong with it.
pub(crate) fn check(op: &Wgsl) -> Result<Needs, String> {
    // Operands can only be read: naga finds what would write to them.
    let text = match op.kernel.form() {
        KernelForm::Elementwise => {
            let source = op.kernel.source();
            let wgsl = format!("{source}\n{}", library(source));
            Text { start: 0, entry: wgsl.len(), grid: [1; 3], wgsl }.with_half(op)
        }
        _ => text(op, "read", 65_535)?,
    };
    let parse = |wgsl: &str| {
        naga::front::wgsl::parse_str(wgsl).map_err(|error| {
            let label = error.labels().next();
            text.place(op, error.message(), label.map(|(span, label)| (span, label.to_string())))
        })
    };
    let alone = parse(&text.wgsl[..text.entry])?;
    declarations(op, &alone)?;
    signature(op, &alone)?;
    let module = parse(&text.wgsl)?;
    let checked = Validator::new(ValidationFlags::all(), Capabilities::default() | ALL).validate(&module);
    checked.map_err(|error| {
        let mut message = error.as_inner().to_string();
        let mut cause = std::error::Error::source(error.as_inner());
        while let Some(next) = cause {
            message = format!("{message}: {next}");
            cause = next.source();
        }
        text.place(op, &message, error.spans().last().cloned())
    })?;
    let shared = module.global_variables.iter().filter(|(_, var)| var.space == AddressSpace::WorkGroup);
    let bytes =
        shared.map(|(_, var)| module.types[var.ty].inner.try_size(module.to_ctx()).unwrap_or(u32::MAX));
    let memory = bytes.fold(0u32, u32::saturating_add);
    let (bindings, workgroup) = match op.kernel.form() {
        KernelForm::Elementwise => (0, 1),
        form => (op.definition.operands().len() + 1, super::workgroup(form)),
    };
    Ok(Needs { module, bindings, workgroup, memory })
}

/// What the text may declare.
fn declarations(op: &Wgsl, module: &Module) -> Result<(), String> {
    let source = without_comments(op.kernel.source());
    let elementwise = op.is_elementwise();
    if words(&source).iter().any(|(_, word)| *word == "override") {
        return Err("it has `override` constants, which nobody sets; use `const`".into());
    }
    if !module.entry_points.is_empty() {
        let name = op.name;
        return Err(format!(
            "it has an entry point, which wgrad writes itself; give only the function `{name}`"
        ));
    }
    // All that a pipeline's layout has, which is made for these.
    let names: Vec<String> = operand_names(op).chain(["result".into()]).collect();
    let is_ours = |name: &str, var: &GlobalVariable| {
        let number = names.iter().position(|known| known == name);
        let binding = number.map(|number| ResourceBinding { group: 0, binding: number as u32 });
        binding.is_some() && var.binding == binding && matches!(var.space, AddressSpace::Storage { .. })
    };
    for (_, var) in module.global_variables.iter() {
        let name = var.name.as_deref().unwrap_or_default();
        if elementwise {
            return Err(format!(
                "an elementwise kernel has no variables outside of functions, as `{name}` is"
            ));
        }
        if var.binding.is_some() && !is_ours(name, var) {
            let operands: Vec<String> = operand_names(op).map(|name| format!("`{name}`")).collect();
            return Err(format!(
                "`{name}` is a binding of its own; the operands are bound as {}, the result as `result`",
                operands.join(", ")
            ));
        }
    }
    let alone =
        |word: &str| word.starts_with("subgroup") || word.starts_with("quad") || word.ends_with("Barrier");
    if let Some((_, word)) = words(&source).into_iter().find(|(_, word)| elementwise && alone(word)) {
        return Err(format!(
            "an elementwise kernel sees one element and no neighbours, so it cannot use `{word}`"
        ));
    }
    Ok(())
}

fn operand_names(op: &Wgsl) -> impl Iterator<Item = String> {
    (0..op.definition.operands().len()).map(|number| format!("x{number}"))
}

/// Whether there is a function of the operation's name that takes and gives what it should.
fn signature(op: &Wgsl, module: &Module) -> Result<(), String> {
    let name = op.name;
    let function = module.functions.iter().find(|(_, function)| function.name.as_deref() == Some(name));
    let Some((_, function)) = function else {
        let source = without_comments(op.kernel.source());
        let found = declared(&source).join("`, `");
        return Err(format!(
            "it must have a function named as the operation, `{name}`; it declares `{found}`"
        ));
    };
    let found: Vec<Option<Scalar>> = function.arguments.iter().map(|arg| scalar(module, arg.ty)).collect();
    let result = function.result.as_ref().map(|result| scalar(module, result.ty));
    let spec = op.definition.result();
    let (wanted, gives): (Vec<DType>, _) = match op.kernel.form() {
        KernelForm::Elementwise => (op.definition.operands().map(|x| x.dtype).collect(), Some(spec.dtype)),
        KernelForm::PerElement => (vec![DType::U32], Some(spec.dtype)),
        KernelForm::PerWorkgroup { .. } => (vec![DType::U32; 2], None),
    };
    let takes = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(f, w)| fits(*f, *w));
    let returns = match (result, gives) {
        (None, None) => true,
        (Some(found), Some(wanted)) => fits(found, wanted),
        _ => false,
    };
    if takes && returns {
        return Ok(());
    }
    let arguments: Vec<&str> = wanted.iter().map(|dtype| register_type(*dtype)).collect();
    let arrow = gives.map_or(String::new(), |dtype| format!(" -> {}", register_type(dtype)));
    Err(format!(
        "its function must be `fn {name}({}){arrow}`; it takes or returns something else",
        arguments.join(", ")
    ))
}

fn scalar(module: &Module, ty: naga::Handle<naga::Type>) -> Option<Scalar> {
    match module.types[ty].inner {
        TypeInner::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

/// Half precision may be computed in single.
fn fits(found: Option<Scalar>, wanted: DType) -> bool {
    match wanted {
        DType::F32 => found == Some(Scalar::F32),
        DType::F16 => found == Some(Scalar::F16) || found == Some(Scalar::F32),
        DType::I32 => found == Some(Scalar::I32),
        DType::U32 => found == Some(Scalar::U32),
        DType::Bool => found == Some(Scalar::BOOL),
    }
}

impl Text {
    /// A message with the line that it is about.
    fn place(&self, op: &Wgsl, message: &str, label: Option<(Span, String)>) -> String {
        let Some((span, label)) = label.filter(|(span, _)| span.is_defined()) else { return message.into() };
        let place = span.location(&self.wgsl);
        let (offset, length) = (place.offset as usize, place.length as usize);
        let line = self.wgsl.lines().nth(place.line_number as usize - 1).unwrap_or_default();
        let marks =
            "^".repeat(length.clamp(1, line.len().saturating_sub(place.line_position as usize - 1).max(1)));
        let shown = format!("\n  {line}\n  {:>1$}{marks} {label}", "", place.line_position as usize - 1);
        let source = self.start..self.start + op.kernel.source().len();
        if !source.contains(&offset) {
            return format!("{message}, in what wgrad writes around it:{shown}");
        }
        let before = self.wgsl[..self.start].matches('\n').count();
        let (line, column) = (place.line_number as usize - before, place.line_position);
        format!("{message}, in line {line}, column {column} of its text:{shown}")
    }
}
