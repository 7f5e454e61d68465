//! What can go wrong between a recording and its results.

use std::panic::Location;

use wgrad_core::TensorSpec;
use wgrad_core::batch::BatchError;

use crate::tune::TuningError;

/// An error of compiling or running a program.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A mistake made while recording the graph, with the user's file and line.
    #[error(transparent)]
    Record(#[from] wgrad_core::Error),
    /// No adapter that this library can use.
    #[error("no GPU adapter found{wanted}: {advice}\navailable: {available}")]
    NoAdapter {
        /// What was asked for, if anything.
        wanted: String,
        /// What to do on this system.
        advice: String,
        /// The adapters that exist.
        available: String,
    },
    /// The adapter refused to give a device.
    #[error("adapter `{adapter}` gave no device: {message}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        message: String,
    },
    /// The adapter lacks something the graph needs.
    #[error("adapter `{adapter}` does not support {what}")]
    Unsupported {
        /// The adapter's name.
        adapter: String,
        /// What is missing, and who needs it.
        what: String,
    },
    /// A kernel that a user wrote for an operation and that cannot be one.
    #[error("the kernel of `{operation}` at {kernel}, applied at {applied}: {message}")]
    Kernel {
        /// The operation's name.
        operation: String,
        /// Where the kernel was made.
        kernel: &'static Location<'static>,
        /// Where the operation was applied.
        applied: &'static Location<'static>,
        /// What is wrong, with its place in the kernel's text.
        message: String,
    },
    /// A tensor or the whole plan is larger than the adapter allows.
    #[error(
        "the plan needs {needed} bytes {what}, adapter `{adapter}` allows {limit}{advice}; largest tensors:\n{largest}"
    )]
    TooLarge {
        /// The adapter's name.
        adapter: String,
        /// In one binding or one buffer.
        what: String,
        /// Bytes asked for.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
        /// The tensors to blame, with their places in the user's code.
        largest: String,
        /// What would help.
        advice: String,
    },
    /// No recomputation was found that brings a program within its memory budget.
    #[error(
        "the memory budget of {budget} bytes is too small: recomputing comes down to {least} bytes, with these \
         tensors alive at the peak:\n{largest}"
    )]
    OverBudget {
        /// Bytes allowed.
        budget: u64,
        /// The least bytes for which a plan was found.
        least: u64,
        /// What is alive when they are needed, with places in the user's code.
        largest: String,
    },
    /// A batch that could not be written.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch in memory that the program cannot take it from.
    #[error("the batch's memory {0}")]
    BatchMemory(String),
    /// A batch lacks an input of the program.
    #[error("the program needs an input `{name}` of {expected}; the batch has {}", .found.join(", "))]
    MissingInput {
        /// The input's name.
        name: String,
        /// What it must be.
        expected: TensorSpec,
        /// The names of the batch's fields.
        found: Vec<String>,
    },
    /// A batch has an input of another shape or dtype.
    #[error(
        "input `{name}` must be {expected}, the batch holds {found}; compile another program for other shapes"
    )]
    WrongInput {
        /// The input's name.
        name: String,
        /// What it must be.
        expected: TensorSpec,
        /// What it is.
        found: TensorSpec,
    },
    /// The state lacks a variable or has one of another shape or dtype.
    #[error("variable `{name}`: {message}")]
    Variable {
        /// The variable's name.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A state of another device than the program's.
    #[error(
        "the state was made on another device ({state}) than the program ({program}); use clones of one \
         `Gpu` for both"
    )]
    OtherDevice {
        /// The program's adapter.
        program: String,
        /// The state's adapter.
        state: String,
    },
    /// An output or probe that the program does not have.
    #[error("the program has no output {what}; it has {available}")]
    NoOutput {
        /// What was asked for.
        what: String,
        /// What there is.
        available: String,
    },
    /// The driver refused something; the device is still usable.
    #[error("the driver refused {what}: {message}")]
    Driver {
        /// What was being done.
        what: String,
        /// What it said.
        message: String,
    },
    /// The device has run out of memory.
    #[error("out of device memory: {0}")]
    OutOfMemory(String),
    /// The device is gone; what is in memory on it is lost.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// A device that computes something else than the definition says.
    #[error("{what}: {message}")]
    Differs {
        /// Which output of what.
        what: String,
        /// What was expected and what was found.
        message: String,
    },
    /// A tuning database that was named and cannot be used.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// A fault of this library.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}
