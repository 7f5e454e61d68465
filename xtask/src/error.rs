//! What can go wrong in a chore.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// The result of a chore.
pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot start `{command}`: {source}")]
    Start { command: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: ExitStatus },
    #[error("{what} is missing. Install it with\n\n    {line}\n\nand run this again.")]
    Missing { what: &'static str, line: String },
    #[error("{what} is still missing after its installation")]
    StillMissing { what: &'static str },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the package has SHA-256 {found} instead of {expected}; nothing was kept")]
    Checksum { found: String, expected: &'static str },
    #[error("the package lacks `{file}`; nothing was kept")]
    Incomplete { file: &'static str },
    #[error("{} exists but lacks `{file}`; remove the folder and run this again", path.display())]
    Damaged { path: PathBuf, file: &'static str },
    #[error("`{package}` is a package of Debian; fetch it on Debian or a relative of it and copy the folder")]
    DebianOnly { package: &'static str },
    #[error("`{command}` printed no report")]
    NoReport { command: String },
    #[error("Vulkan's validation layer was not loaded")]
    NotValidated,
    #[error("Vulkan's validation layer found\n{message}")]
    Invalid { message: String },
    #[error("the demo did not end with `test accuracy 0.…`")]
    NoAccuracy,
    #[error("the demo reached a test accuracy of {reached}, below {bar}")]
    Accuracy { reached: f64, bar: f64 },
}

impl Error {
    /// Adds the path to an input or output error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
