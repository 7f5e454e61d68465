//! Running other programs from the root of the workspace, each shown before it starts.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this program.
pub(crate) fn cargo<S: Into<OsString>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args.into_iter().map(Into::into)).current_dir(root());
    command
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn announce(command: &Command) -> String {
    let line = line(command);
    eprintln!("$ {line}");
    line
}

/// Runs to the end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = announce(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Failed { command: line, status }),
        Err(source) => Err(Error::Start { command: line, source }),
    }
}

/// Runs to the end like [`run`] and shows each line of standard output to `watch` as it passes.
pub(crate) fn run_watched(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    let text = announce(command);
    let start = |source| Error::Start { command: text.clone(), source };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(start)?;
        println!("{line}");
        watch(&line);
    }
    let status = child.wait().map_err(start)?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: text, status }) }
}

/// Runs to the end like [`run`] and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = announce(command);
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(Error::Failed { command: line, status: output.status }),
        Err(source) => Err(Error::Start { command: line, source }),
    }
}

/// Whether a command exists and succeeds, without showing it or its output.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_typed() {
        let mut command = Command::new("/usr/bin/apt-get");
        command.args(["install", "-y", "npm"]);
        assert_eq!(line(&command), "apt-get install -y npm");
    }

    #[test]
    fn failures_name_the_command() {
        let missing = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot start `no-such-program`"), "{missing}");
        let failed = run(cargo(["no-such-command"]).stderr(Stdio::null())).unwrap_err();
        assert!(failed.to_string().starts_with("`cargo no-such-command` failed"), "{failed}");
    }

    #[test]
    fn watching_sees_every_line() {
        let mut lines = vec![];
        run_watched(&mut cargo(["--version"]), |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("cargo "), "{lines:?}");
    }
}
