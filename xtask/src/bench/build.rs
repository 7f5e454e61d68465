//! What it costs to build a program on each framework: from nothing, in release, and how large it gets.

use std::path::Path;
use std::time::Instant;

use wgrad_measure::{digits, table};

use super::peers;
use crate::command::{cargo, root, run};
use crate::error::{Error, Result};

/// Builds the program that measures wgrad, and those of the peers, each in an empty folder.
pub(crate) fn build(no_burn: bool) -> Result<()> {
    let mut rows = vec![row("wgrad", "wgrad-benches", root())?];
    let peers = root().join(peers::FOLDER);
    if !no_burn {
        rows.push(row("burn", "peer-burn", &peers)?);
    }
    rows.push(row("candle", "peer-candle", &peers)?);
    println!("{}", table(&["program on", "clean release build, s", "stripped binary, MB"], &rows));
    Ok(())
}

fn row(framework: &str, package: &str, workspace: &Path) -> Result<Vec<String>> {
    let target = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let start = Instant::now();
    let mut command = cargo(["build", "--release", "--locked", "--package", package, "--bin", package]);
    command.arg("--target-dir").arg(target.path()).current_dir(workspace);
    run(command.env("CARGO_PROFILE_RELEASE_STRIP", "true"))?;
    let seconds = start.elapsed().as_secs_f64();
    let binary = target.path().join("release").join(package).with_extension(std::env::consts::EXE_EXTENSION);
    let bytes = std::fs::metadata(&binary).map_err(Error::io(&binary))?.len();
    Ok(vec![framework.into(), digits(seconds), digits(bytes as f64 / 1e6)])
}
