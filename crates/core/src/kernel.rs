//! A kernel that the user of an operation writes for it in WGSL: text and a grid, plain data that the compiler for
//! GPUs reads. What it has to compute is said by the operation's definition.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use crate::TensorSpec;

/// The number of workgroups, given the operands and the result.
pub type Groups = dyn Fn(&[TensorSpec], &TensorSpec) -> usize + Send + Sync;

/// WGSL for a [`CustomOp`](crate::CustomOp): a function named as the operation, with whatever functions, constants
/// and structs it needs. The library's elementary functions (`wg_exp`, `wg_tanh`, … of `shaders/math.wgsl`) may be
/// called; unlike WGSL's own they are accurate to a few units in the last place on every adapter.
///
/// Three forms, from the most that the compiler does to the least:
///
/// - [`WgslKernel::elementwise`] is a function of elements. It is fused like our own operations.
/// - [`WgslKernel::per_element`] is a function of the position of one element of the result.
/// - [`WgslKernel::per_workgroup`] is a function of the numbers of workgroup and invocation, which writes the result.
///
/// The last two are kernels of their own. They read operands as arrays `x0`, `x1`, …, row by row, with `bool` as
/// `u32`, and know their sizes as constants: `X0_LENGTH` elements, extents `X0_SHAPE[0]`, …, and `RESULT_LENGTH`,
/// `RESULT_SHAPE`. Accesses beyond the ends are harmless: they are checked.
///
/// A text that is not valid WGSL, or has other names or types, is an error when the program is compiled.
///
/// ```
/// use wgrad_core::{CustomOp, F32, Graph, Mode, WgslKernel};
/// let swish = CustomOp::new("swish", |x| &x[0] * (&x[0] * 1.702).sigmoid()).with_kernel(WgslKernel::elementwise(
///     "fn swish(x: f32) -> f32 { return x * wg_sigmoid(1.702 * x); }",
/// ));
/// let g = Graph::new(Mode::Eval);
/// assert!(swish.apply(&[&g.input("x", [8, 3], F32)]).is_valid());
/// ```
#[derive(Clone, Debug)]
pub struct WgslKernel(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    source: String,
    form: KernelForm,
    location: &'static Location<'static>,
}

/// How a kernel is called.
#[derive(Clone)]
pub enum KernelForm {
    /// `fn name(a: f32, b: f32, …) -> f32`: one element of every operand to one of the result.
    Elementwise,
    /// `fn name(i: u32) -> f32`: the element at a position of the result.
    PerElement,
    /// `fn name(group: u32, lane: u32)`: the part of one invocation of a workgroup, which writes to `result`.
    PerWorkgroup {
        /// Invocations of a workgroup.
        size: u32,
        /// How many workgroups there are.
        groups: Arc<Groups>,
    },
}

impl fmt::Debug for KernelForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elementwise => write!(f, "Elementwise"),
            Self::PerElement => write!(f, "PerElement"),
            Self::PerWorkgroup { size, .. } => write!(f, "PerWorkgroup({size})"),
        }
    }
}

impl WgslKernel {
    /// A function of one element of every operand: `fn name(a: f32, b: f32, …) -> f32`. Operands are broadcast
    /// to the result; the types are those of their elements, or `f32` where these are `f16`. It is written into
    /// whatever kernel needs the value, like `relu` or `+`.
    #[track_caller]
    pub fn elementwise(source: impl Into<String>) -> Self {
        Self::new(source.into(), KernelForm::Elementwise)
    }

    /// A function that computes the element at a position of the result, counted row by row, from wherever it
    /// likes in the operands: `fn name(i: u32) -> f32`.
    #[track_caller]
    pub fn per_element(source: impl Into<String>) -> Self {
        Self::new(source.into(), KernelForm::PerElement)
    }

    /// A function that runs in `groups` workgroups of `size` invocations and writes every element of the array
    /// `result`: `fn name(group: u32, lane: u32)`. It may use `var<workgroup>` memory and barriers. Workgroups are
    /// numbered through; their number is in the constant `GROUPS` and their size in `WORKGROUP_SIZE`.
    #[track_caller]
    pub fn per_workgroup(
        source: impl Into<String>,
        size: u32,
        groups: impl Fn(&[TensorSpec], &TensorSpec) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self::new(source.into(), KernelForm::PerWorkgroup { size, groups: Arc::new(groups) })
    }

    #[track_caller]
    fn new(source: String, form: KernelForm) -> Self {
        Self(Arc::new(Parts { source, form, location: Location::caller() }))
    }

    /// The WGSL, as it was given.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// How it is called.
    pub fn form(&self) -> &KernelForm {
        &self.0.form
    }

    /// Where the user made it.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }
}

/// Kernels are equal when they are one and the same.
impl PartialEq for WgslKernel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for WgslKernel {}

impl Hash for WgslKernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
