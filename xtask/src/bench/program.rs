//! Programs that measure one model a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wgrad_measure::{Model, Report};

use crate::command::line;
use crate::error::{Error, Result};

/// A program of a framework: called as `PROGRAM steps MODEL SECONDS`, it prints a [`Report`].
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
        let mut command = self.command();
        command.args(["steps", model.name(), &seconds.to_string()]);
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
        Report::find(&String::from_utf8_lossy(&output.stdout)).ok_or(Error::NoReport { command: text })
    }
}
