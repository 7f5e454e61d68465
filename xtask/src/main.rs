//! Chores of the repository, as `cargo xtask <command>`: no shell, the same on every system.
//!
//! [`checks`] runs cargo, [`mod@bench`] what measures; what a fresh machine lacks is found by [`vulkan`] and [`data`] and installed
//! by [`system`].

mod bench;
mod checks;
mod command;
mod data;
mod error;
mod system;
mod vulkan;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::data::DataSet;
use crate::error::Result;

/// Chores of the wgrad repository.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train the convolutional net on the digits and leave a chart of the run.
    Demo,
    /// Run every test, documentation examples included.
    Test {
        /// Passed on to `cargo test` (`cargo xtask test gradient`).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Fetch a data set.
    Data {
        /// Which one.
        set: DataSet,
        /// The folder that gets a folder of the data set's name.
        #[arg(long, default_value = "data")]
        out: PathBuf,
    },
    /// Format, lints, documentation, examples, tests and the demo: what must pass before a merge.
    Ci,
    /// Measure how the kernels of the benchmarks are best shaped on this adapter.
    Tune {
        /// Training steps and kernels whose name begins so (`resnet`, `matmul/512`); by default all.
        names: Vec<String>,
        /// The database to write, beside what it has; by default the one that programs of this user read.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Measure kernels and training steps, and compare them with other frameworks'.
    #[command(subcommand)]
    Bench(Bench),
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo => checks::demo(),
        Task::Test { args } => checks::test(&args),
        Task::Data { set, out } => data::fetch(set, &out),
        Task::Ci => checks::ci(),
        Task::Tune { names, out } => bench::tune(&names, out.as_deref()),
        Task::Bench(task) => bench::bench(task),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
