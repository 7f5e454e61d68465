//! The graph, its operations and their gradients.
//!
//! User code records operations on [`Tensor`]s into a [`Graph`]; nothing runs. [`autograd`] appends
//! gradient nodes, [`simplify`] rewrites, and [`interpret`] evaluates any graph in f64 on the CPU:
//! slow, plain, and the oracle of every test. The GPU lives elsewhere and reads a [`Recording`].

pub mod array;
pub mod autograd;
pub mod batch;
pub mod case;
mod custom;
pub mod diagram;
pub mod dtype;
pub mod error;
pub mod graph;
pub mod interpret;
pub mod kernel;
pub mod op;
pub mod ops;
pub mod shape;
pub mod simplify;
pub mod tensor;
pub mod vars;

pub use array::Array;
pub use custom::CustomOp;
pub use dtype::{DType, DType::*, Element};
pub use error::{Error, Result};
pub use graph::{Graph, Mode, Node, NodeId, Recording};
pub use kernel::WgslKernel;
pub use op::{Op, Primitive};
pub use ops::AttentionOptions;
pub use shape::{Axes, Shape, TensorSpec};
pub use tensor::Tensor;
pub use vars::{Init, Var, VarKind, Vars};
