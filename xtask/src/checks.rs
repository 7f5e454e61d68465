//! The chores that run cargo: tests, demo, and all that must pass before a merge.

use std::fs;
use std::process::Command;

use crate::command::{cargo, root, run, run_watched, succeeds, target};
use crate::error::{Error, Result};
use crate::vulkan;

/// The test accuracy that the demo must reach.
const BAR: f64 = 0.98;

/// Trains the example `digits` and checks what it reached.
pub(crate) fn demo() -> Result<()> {
    vulkan::ensure_driver()?;
    let chart = target().join("digits.svg");
    let mut command = cargo(["run", "--release", "--example", "digits", "--"]);
    command.arg("--chart").arg(&chart);
    // Mesa's device-select layer looks for a display and complains where there is none.
    command.env("NODEVICE_SELECT", "1");
    let mut last = String::new();
    run_watched(&mut command, |line| line.clone_into(&mut last))?;
    let reached = accuracy(&last).ok_or(Error::NoAccuracy)?;
    if reached >= BAR { Ok(()) } else { Err(Error::Accuracy { reached, bar: BAR }) }
}

/// The number in `test accuracy 0.98…`.
fn accuracy(line: &str) -> Option<f64> {
    line.strip_prefix("test accuracy ")?.split_whitespace().next()?.parse().ok()
}

/// Every test of the workspace, and their sum, which cargo does not say.
pub(crate) fn test(args: &[String]) -> Result<()> {
    vulkan::ensure_driver()?;
    let mut tally = Tally::default();
    let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
    let outcome = run_watched(command.args(args), |line| tally.add(line));
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.ignored);
    outcome
}

/// The sum of cargo's `test result:` lines.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        for part in result.split(['.', ';']) {
            match part.trim().split_once(' ').map(|(count, what)| (count.parse::<u64>(), what)) {
                Some((Ok(count), "passed")) => self.passed += count,
                Some((Ok(count), "failed")) => self.failed += count,
                Some((Ok(count), "ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// The features whose items are documented. Tests have them all from the examples' dependencies.
const FEATURES: &str = "wgrad/arrow,wgrad/image,wgrad/tokenizers";

/// The smaller crates as a program that uses one of them gets it: within the workspace, each dependency also has the
/// features that others ask of it.
fn alone() -> Result<()> {
    let packages = ["wgrad-core", "wgrad-weights", "wgrad-nn", "wgrad-optim", "wgrad-data"];
    packages.into_iter().try_for_each(|package| run(&mut cargo(["check", "--package", package])))
}

/// Everything that must pass before a merge, the quickest first.
pub(crate) fn ci() -> Result<()> {
    ensure_component("fmt", "rustfmt")?;
    ensure_component("clippy", "clippy")?;
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    format_of_operations()?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let doc = ["doc", "--workspace", "--no-deps", "--features", FEATURES];
    run(cargo(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    alone()?;
    test(&[])?;
    past_wgpu()?;
    run(&mut cargo(["build", "--release", "--examples"]))?;
    demo()
}

/// What speaks to Vulkan past wgpu, under Vulkan's own eyes. One test at a time: while one opens a device the layer (of
/// 1.3.239) sometimes loses sight of those of the others, and reads where nothing is.
fn past_wgpu() -> Result<()> {
    let tests = ["replay", "readback", "edges", "own_kernels", "from_wgpu"].map(|test| ["--test", test]);
    let fixed = ["test", "--package", "wgrad-gpu"];
    let one_by_one = ["--", "--test-threads=1"];
    vulkan::validated(&mut cargo(fixed.into_iter().chain(tests.into_iter().flatten()).chain(one_by_one)))
}

/// Rustfmt does not follow modules that a macro declares, as the operations' are.
fn format_of_operations() -> Result<()> {
    let folder = root().join("crates/core/src/ops");
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let files = entries.map_err(Error::io(&folder))?.into_iter().map(|entry| entry.path());
    run(Command::new("rustfmt").args(["--check", "--edition", "2024"]).args(files))
}

/// Adds a component that a minimal toolchain comes without.
fn ensure_component(subcommand: &str, component: &str) -> Result<()> {
    if succeeds(&mut cargo([subcommand, "--version"])) {
        return Ok(());
    }
    run(Command::new("rustup").args(["component", "add", component]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_results_and_ignores_other_lines() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
        );
        tally.add("test passed ... ok");
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.5s");
        assert_eq!(tally, Tally { passed: 15, failed: 2, ignored: 1 });
    }

    #[test]
    fn reads_the_demo_s_last_line() {
        assert_eq!(accuracy("test accuracy 0.9861"), Some(0.9861));
        assert_eq!(accuracy("test accuracy 0.9861 (355 of 360)"), Some(0.9861));
        assert_eq!(accuracy("accuracy 0.9861"), None);
        assert_eq!(accuracy("test accuracy unknown"), None);
    }
}
