//! Errors of recording a graph. They are kept in the graph and returned when it is compiled, so that
//! building a model needs no `?` on every line.

use std::panic::Location;

/// A mistake made while recording, with the place in the user's code that made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}\n  at {location}")]
pub struct Error {
    /// The operation that refused its arguments.
    pub operation: String,
    /// What was wrong, with the shapes, dtypes or names involved.
    pub message: String,
    /// `file:line:column` of the call.
    pub location: &'static Location<'static>,
}

/// The result of recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;
