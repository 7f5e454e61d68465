//! Programs that measure one model a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use wgrad_measure::{Kernel, KernelReport, Model, Report, find};

use crate::command::line;
use crate::error::{Error, Result};

/// A program of a framework: called as `PROGRAM steps MODEL SECONDS`, it prints a [`Report`], and as
/// `PROGRAM kernel KERNEL SECONDS` a [`KernelReport`].
pub(crate) struct Program {
    pub(crate) framework: &'static str,
    command: Vec<OsString>,
}

impl Program {
    pub(crate) fn new(framework: &'static str, path: PathBuf) -> Self {
        Self { framework, command: vec![path.with_extension(std::env::consts::EXE_EXTENSION).into()] }
    }

    /// A script and its interpreter.
    pub(crate) fn script(framework: &'static str, interpreter: &Path, script: PathBuf) -> Self {
        Self { framework, command: vec![interpreter.into(), script.into()] }
    }

    /// The program, still without arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        // Mesa's device-select layer looks for a display and complains where there is none.
        command.args(&self.command[1..]).env("NODEVICE_SELECT", "1");
        command
    }

    /// Measures a model for some seconds a mode; 0 for the first step alone. Everything that the driver and
    /// the framework keep on disk goes to `caches`.
    pub(crate) fn steps(&self, model: Model, seconds: f64, caches: &Path) -> Result<Report> {
        self.report("steps", model.name(), seconds, caches)
    }

    /// Measures an operation for some seconds.
    pub(crate) fn kernel(&self, kernel: Kernel, seconds: f64, caches: &Path) -> Result<KernelReport> {
        self.report("kernel", &kernel.to_string(), seconds, caches)
    }

    fn report<R: DeserializeOwned>(&self, task: &str, name: &str, seconds: f64, caches: &Path) -> Result<R> {
        let mut command = self.command();
        command.args([task, name, &seconds.to_string()]);
        for variable in ["MESA_SHADER_CACHE_DIR", "XDG_CACHE_HOME", "HOME"] {
            command.env(variable, caches);
        }
        command.current_dir(caches);
        let text = line(&command);
        eprintln!("$ {text}");
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|source| Error::Start { command: text.clone(), source })?;
        if !output.status.success() {
            return Err(Error::Failed { command: text, status: output.status });
        }
        find(&String::from_utf8_lossy(&output.stdout)).ok_or(Error::NoReport { command: text })
    }
}
