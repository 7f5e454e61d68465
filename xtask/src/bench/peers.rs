//! The same training steps in other frameworks, in turn with wgrad's, and the ratios between them.

use std::path::Path;
use std::process::Command;

use wgrad_measure::{Kernel, Model, Report, digits, table};

use super::program::Program;
use crate::command::{cargo, root, run, succeeds};
use crate::error::{Error, Result};

/// The workspace of the peers, from the root.
pub(crate) const FOLDER: &str = "benches/peers";

/// Builds a peer of the workspace `benches/peers`.
pub(crate) fn build(framework: &str, target: &Path) -> Result<()> {
    let package = format!("peer-{framework}");
    let mut command = cargo(["build", "--release", "--locked", "--package", &package]);
    command.arg("--target-dir").arg(target).current_dir(root().join(FOLDER));
    run(&mut command)
}

/// A peer that was built.
pub(crate) fn program(framework: &'static str, target: &Path) -> Program {
    Program::new(framework, target.join("release").join(format!("peer-{framework}")))
}

/// The script for PyTorch, if this Python can import it.
pub(crate) fn pytorch(python: &Path) -> Option<Program> {
    if !succeeds(Command::new(python).args(["-c", "import torch"])) {
        eprintln!("{} has no PyTorch: it is left out", python.display());
        return None;
    }
    Some(Program::script("PyTorch", python, root().join(FOLDER).join("pytorch.py")))
}

/// One framework's measurements of one model.
struct Measured {
    framework: &'static str,
    cold: Report,
    turns: Vec<Report>,
}

impl Measured {
    fn median(&self, figure: impl Fn(&Report) -> Option<f64>) -> Option<f64> {
        of_turns(&self.turns, figure)
    }

    fn every_step(&self) -> Option<f64> {
        self.median(|report| report.steps.every_step.map(|times| times.median_ms))
    }

    fn every_20(&self) -> Option<f64> {
        self.median(|report| report.steps.every_20.map(|times| times.median_ms))
    }

    fn warm_first(&self) -> Option<f64> {
        self.median(|report| Some(report.steps.first_ms))
    }
}

/// Measures every model in every framework, turn by turn, and prints a table for each model. The first
/// framework is the one that the others are compared with.
pub(crate) fn compare(frameworks: &[Program], models: &[Model], rounds: usize, seconds: f64) -> Result<()> {
    let mut ratios = vec![Vec::new(); frameworks.len()];
    for &model in models {
        let measured = measure(frameworks, model, rounds, seconds)?;
        println!("## {model}\n\n{}", table(&HEADER, &rows(&measured)));
        if let Some(device) = measured[0].turns.last().and_then(|report| report.device) {
            println!("wgrad: {device}\n");
        }
        for (ratios, theirs) in ratios.iter_mut().zip(&measured) {
            ratios.extend(ratio(theirs.every_step(), measured[0].every_step()));
        }
    }
    for (framework, ratios) in frameworks.iter().zip(&ratios).skip(1) {
        let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        let mean = (logs / ratios.len() as f64).exp();
        println!(
            "{}: {} times wgrad's step, geometric mean of {}",
            framework.framework,
            digits(mean),
            ratios.len()
        );
    }
    Ok(())
}

/// Measures single operations in every framework, turn by turn, and prints a table.
pub(crate) fn compare_kernels(frameworks: &[Program], rounds: usize, seconds: f64) -> Result<()> {
    let caches = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let mut rows = vec![];
    for kernel in Kernel::ALL {
        let mut turns = vec![vec![]; frameworks.len()];
        for _ in 0..rounds {
            for (program, turns) in frameworks.iter().zip(&mut turns) {
                turns.push(program.kernel(kernel, seconds, caches.path())?);
            }
        }
        let ours = of_turns(&turns[0], |report| Some(report.times.median_ms));
        for (program, turns) in frameworks.iter().zip(&turns) {
            let ms = of_turns(turns, |report| Some(report.times.median_ms));
            let rate = ms.map(|ms| kernel.flops() as f64 / ms * 1e3);
            let of_peak = ratio(rate, of_turns(turns, |report| report.peak));
            rows.push(vec![
                kernel.to_string(),
                program.framework.into(),
                shown(ms),
                shown(rate.map(|rate| rate / 1e9)),
                of_peak.map_or("–".into(), |part| format!("{:.0} %", 100.0 * part)),
                shown(ratio(ms, ours)),
            ]);
        }
    }
    println!("## Single operations\n\n{}", table(&KERNEL_HEADER, &rows));
    Ok(())
}

const KERNEL_HEADER: [&str; 6] =
    ["kernel", "framework", "ms", "GFLOP/s", "of the adapter's FMA peak", "times wgrad's"];

/// The median over the turns of a figure that every turn has.
fn of_turns<T>(turns: &[T], figure: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    wgrad_measure::median(turns.iter().map(figure).collect::<Option<_>>()?)
}

fn shown(value: Option<f64>) -> String {
    value.map_or("–".into(), digits)
}

fn measure(frameworks: &[Program], model: Model, rounds: usize, seconds: f64) -> Result<Vec<Measured>> {
    let caches = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let mut all = vec![];
    for (index, program) in frameworks.iter().enumerate() {
        let own = caches.path().join(index.to_string());
        std::fs::create_dir(&own).map_err(Error::io(&own))?;
        let cold = program.steps(model, 0.0, &own)?;
        all.push(Measured { framework: program.framework, cold, turns: vec![] });
    }
    for _ in 0..rounds {
        for (index, program) in frameworks.iter().enumerate() {
            let own = caches.path().join(index.to_string());
            all[index].turns.push(program.steps(model, seconds, &own)?);
        }
    }
    Ok(all)
}

fn ratio(theirs: Option<f64>, ours: Option<f64>) -> Option<f64> {
    Some(theirs? / ours?)
}

const HEADER: [&str; 9] = [
    "framework",
    "first step, cold s",
    "warm s",
    "ms/step, loss every step",
    "times wgrad's",
    "loss every 20",
    "times wgrad's",
    "process MiB, cold / warm",
    "device MB",
];

fn rows(measured: &[Measured]) -> Vec<Vec<String>> {
    let row = |theirs: &Measured| {
        let warm_memory = theirs.median(|report| report.memory_mib);
        vec![
            theirs.framework.into(),
            digits(theirs.cold.steps.first_ms / 1e3),
            shown(theirs.warm_first().map(|ms| ms / 1e3)),
            shown(theirs.every_step()),
            shown(ratio(theirs.every_step(), measured[0].every_step())),
            shown(theirs.every_20()),
            shown(ratio(theirs.every_20(), measured[0].every_20())),
            format!("{} / {}", shown(theirs.cold.memory_mib), shown(warm_memory)),
            shown(theirs.median(|report| report.device_bytes.map(|bytes| bytes as f64 / 1e6))),
        ]
    };
    measured.iter().map(row).collect()
}
