//! What a training step of wgrad costs, from the first one on.

use wgrad_measure::{Model, Report, digits, table};

use super::ours;
use crate::error::{Error, Result};

/// Measures each model twice: with cold caches its first step alone, then everything.
pub(crate) fn steps(models: &[Model], seconds: f64, json: bool) -> Result<()> {
    let program = ours()?;
    let mut rows = vec![];
    for &model in models {
        let caches = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let cold = program.steps(model, 0.0, caches.path())?;
        let warm = program.steps(model, seconds, caches.path())?;
        if json {
            println!(
                "{}",
                serde_json::json!({ "cold_first_ms": cold.steps.first_ms, "cold_memory_mib": cold.memory_mib, "warm": warm })
            );
        }
        rows.push(row(&cold, &warm));
    }
    if !json {
        println!("{}", table(&HEADER, &rows));
    }
    Ok(())
}

const HEADER: [&str; 15] = [
    "model",
    "first step, cold s",
    "warm s",
    "ms/step, loss every step",
    "min",
    "loss every 20",
    "min",
    "samples/s",
    "GFLOP/s",
    "dispatches",
    "submissions",
    "host µs/step",
    "planned MB",
    "of lower bound",
    "process MiB, cold / warm",
];

fn row(cold: &Report, warm: &Report) -> Vec<String> {
    let steps = &warm.steps;
    let time = |ms: Option<f64>| ms.map_or("–".into(), digits);
    let mib = |report: &Report| report.memory_mib.map_or("–".into(), digits);
    let every_20 = steps.every_20.map(|times| times.median_ms);
    let mut row = vec![
        warm.model.clone(),
        digits(cold.steps.first_ms / 1e3),
        digits(steps.first_ms / 1e3),
        time(steps.every_step.map(|times| times.median_ms)),
        time(steps.every_step.map(|times| times.min_ms)),
        time(every_20),
        time(steps.every_20.map(|times| times.min_ms)),
        time(every_20.map(|ms| warm.samples as f64 / ms * 1e3)),
    ];
    if let Some(device) = &warm.device {
        row.extend([
            time(every_20.map(|ms| device.flops as f64 / ms / 1e6)),
            device.dispatches.to_string(),
            device.submissions.to_string(),
            digits(device.host_us),
            digits(device.peak_bytes as f64 / 1e6),
            format!("{:.3}×", device.peak_bytes as f64 / device.lower_bound as f64),
        ]);
    }
    row.push(format!("{} / {}", mib(cold), mib(warm)));
    row
}
