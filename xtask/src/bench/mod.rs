//! Benchmarks: each measurement is a process of its own, so that its first step and its memory are its own.
//!
//! [`program`] runs such processes, [`steps`] prints what wgrad does, [`peers`] compares it with other
//! frameworks, [`build`] what their programs cost to build. What is measured, and how, stands in the package
//! `wgrad-measure`.

mod build;
mod peers;
mod program;
mod steps;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use wgrad_measure::Model;

use crate::command::{cargo, run, target};
use crate::error::Result;
use crate::vulkan;

use program::Program;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Training steps: first step, time, dispatches, memory.
    Steps {
        /// Which ones; by default all of tiny, mlp, cnn, resnet and gpt.
        models: Vec<Model>,
        /// Print one line of JSON for each model instead of the table.
        #[arg(long)]
        json: bool,
        /// How long to measure each model in each of the two modes.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Instead of measuring, write a step's kernels as a trace for Chrome or Perfetto.
        #[arg(long)]
        trace: Option<PathBuf>,
    },
    /// Single operations beside the adapter's own measured peaks.
    Kernels {
        /// Only those whose name contains this.
        #[arg(default_value = "")]
        filter: String,
    },
    /// How the time of a step grows with batch, width, depth and sequence, compiling with nodes, and the host's part with
    /// dispatches.
    Growth {
        /// Where the chart goes.
        #[arg(long, default_value = "growth.svg")]
        chart: PathBuf,
    },
    /// The same training steps and single operations in Burn, candle and, where there is one, PyTorch, in turn with
    /// wgrad's; and what `kernels` prints.
    Peers {
        /// Which steps; by default all of tiny, mlp, cnn, resnet and gpt.
        models: Vec<Model>,
        /// Only the single operations and the table of kernels. Where models are named, they are left out.
        #[arg(long, conflicts_with = "models")]
        kernels: bool,
        /// How often each program has its turn.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// How long to measure each model in each of the two modes and each turn.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// A Python that has PyTorch; by default the one on the path.
        #[arg(long, default_value = "python3")]
        python: PathBuf,
        /// Where to build the peers.
        #[arg(long)]
        target_dir: Option<PathBuf>,
        /// Leave out Burn, which takes a quarter of an hour to build.
        #[arg(long)]
        no_burn: bool,
        /// Run the peers as they were last built there.
        #[arg(long)]
        no_build: bool,
    },
    /// How long a program on each framework takes to build from nothing, and how large it is.
    Build {
        /// Leave out Burn, which takes a quarter of an hour.
        #[arg(long)]
        no_burn: bool,
    },
    /// Criterion's benchmarks of kernels and steps.
    Criterion {
        /// Passed on to `cargo bench` (`cargo xtask bench criterion --bench kernels matmul`).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

pub(crate) fn bench(task: Bench) -> Result<()> {
    vulkan::ensure_driver()?;
    match task {
        Bench::Steps { models, trace: Some(file), .. } => {
            let models = all_if_none(models);
            run(ours()?.command().arg("trace").arg(file).args(models.iter().map(|model| model.name())))
        }
        Bench::Steps { models, json, seconds, trace: None } => {
            steps::steps(&all_if_none(models), seconds, json)
        }
        Bench::Kernels { filter } => run(ours()?.command().args(["kernels", &filter])),
        Bench::Growth { chart } => run(ours()?.command().arg("growth").arg(chart)),
        Bench::Peers { models, kernels, rounds, seconds, python, target_dir, no_burn, no_build } => {
            let mut frameworks = vec![ours()?];
            let target = target_dir.unwrap_or_else(|| target().join("peers"));
            for framework in ["burn", "candle"] {
                if framework == "burn" && no_burn {
                    continue;
                }
                if !no_build {
                    peers::build(framework, &target)?;
                }
                frameworks.push(peers::program(framework, &target));
            }
            frameworks.extend(peers::pytorch(&python));
            if models.is_empty() {
                peers::compare_kernels(&frameworks, rounds, seconds)?;
                run(frameworks[0].command().arg("kernels"))?;
            }
            if kernels { Ok(()) } else { peers::compare(&frameworks, &all_if_none(models), rounds, seconds) }
        }
        Bench::Build { no_burn } => build::build(no_burn),
        Bench::Criterion { args } => run(cargo(["bench", "--package", "wgrad-benches"]).args(args)),
    }
}

/// Finds the fastest shapes of kernels.
pub(crate) fn tune(names: &[String], out: Option<&Path>) -> Result<()> {
    vulkan::ensure_driver()?;
    run(ours()?.command().arg("tune").arg(out.unwrap_or("-".as_ref())).args(names))
}

fn all_if_none(models: Vec<Model>) -> Vec<Model> {
    if models.is_empty() { Model::ALL.into() } else { models }
}

/// Builds the program that measures wgrad.
fn ours() -> Result<Program> {
    run(&mut cargo(["build", "--release", "--package", "wgrad-benches", "--bin", "wgrad-benches"]))?;
    Ok(Program::new("wgrad", target().join("release/wgrad-benches")))
}
