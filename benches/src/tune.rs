//! Measures how the kernels of the benchmarks are best shaped on this adapter.

use std::path::Path;

use wgrad::gpu::{Options, Tuner, Tuning, TuningDatabase};
use wgrad::prelude::*;
use wgrad_measure::Model;

use crate::kernels::kernels;
use crate::{Error, Work};

/// Tunes for the training steps and kernels whose name begins with one of `names` (all without any), and says what was
/// found. Choices go to `file`, beside those that it has for this adapter, or without one to the user's folder.
pub fn tune(file: Option<&Path>, names: &[&str]) -> Result<(), Error> {
    let gpu = Gpu::with_options(Options { tuning: Tuning::Off, ..Options::default() })?;
    let mut tuner = Tuner::new(&gpu)?;
    let mut run = |name: &str, work: &dyn Fn() -> Result<Work, Error>| {
        if names.is_empty() || names.iter().any(|wanted| name.starts_with(wanted)) {
            println!("{name}");
            match work() {
                Ok(work) => tuner.tune(&work.program, |kernel| println!("{kernel}"))?,
                Err(error) => eprintln!("{name}: {error}"),
            }
            // Whoever stops it keeps what was found.
            let path = match file {
                Some(file) => write(&gpu, tuner.database(), file)?,
                None => gpu.keep_tuning(tuner.database())?.display().to_string(),
            };
            println!("{} kernels so far are faster than by rule: {path}", tuner.database().len());
        }
        Ok::<(), Error>(())
    };
    for model in Model::ALL {
        run(model.name(), &|| Work::training(&gpu, model))?;
    }
    for kernel in kernels() {
        run(&kernel.name, &|| kernel.work(&gpu, &kernel.operands))?;
    }
    Ok(())
}

/// Adds to what a file has for the same adapter and driver; anything else in its place is an error.
fn write(gpu: &Gpu, found: &TuningDatabase, file: &Path) -> Result<String, Error> {
    let mut all = TuningDatabase::new(gpu.info());
    if file.exists() {
        let known = TuningDatabase::read(file)?;
        if (known.adapter(), known.driver()) != (all.adapter(), all.driver()) {
            return Err(
                format!("{} is for {} with {}", file.display(), known.adapter(), known.driver()).into()
            );
        }
        all.extend(&known);
    }
    all.extend(found);
    all.write(file)?;
    Ok(file.display().to_string())
}
