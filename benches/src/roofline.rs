//! The roofline table: how near each kernel comes to what the adapter can do at all.

use wgrad::gpu::Peaks;
use wgrad::prelude::*;
use wgrad_measure::{Times, digits, table};

use crate::kernels::{Kernel, kernels};
use crate::{Error, Work};

/// Measures the kernels whose name contains `filter`, each for about a second.
pub fn roofline(filter: &str) -> Result<String, Error> {
    let gpu = Gpu::new()?;
    let peaks = gpu.peaks()?;
    let chosen = kernels().into_iter().filter(|kernel| kernel.name.contains(filter));
    let rows: Vec<_> = chosen.map(|kernel| row(&gpu, &kernel, peaks)).collect();
    let (flops, copy) = (peaks.flops / 1e9, peaks.copy / 1e9);
    let head = format!("{}: {} GFLOP/s, {} GB/s copied", gpu.info(), digits(flops), digits(copy));
    Ok(format!("{head}\n\n{}", table(&HEADER, &rows)))
}

const HEADER: [&str; 7] =
    ["kernel", "ms", "GFLOP/s", "of FMA peak", "GB/s", "of copy peak", "of its own rate in cache"];

fn row(gpu: &Gpu, kernel: &Kernel, peaks: Peaks) -> Vec<String> {
    match measure(gpu, kernel) {
        Ok(measured) => {
            let percent = |part: f64| format!("{:.0} %", 100.0 * part);
            let mut row = vec![kernel.name.clone(), digits(1e3 * measured.seconds)];
            let flops = kernel.flops as f64 / measured.seconds;
            row.extend(match kernel.flops {
                0 => ["–".into(), "–".into()],
                _ => [digits(flops / 1e9), percent(flops / peaks.flops)],
            });
            row.extend([digits(measured.rate / 1e9), percent(measured.rate / peaks.copy)]);
            row.push(measured.in_cache.map_or("–".into(), |rate| percent(measured.rate / rate)));
            row
        }
        Err(error) => {
            eprintln!("{}: {error}", kernel.name);
            vec![kernel.name.clone(), "failed".into()]
        }
    }
}

/// What was measured of a kernel.
struct Measured {
    /// One run.
    seconds: f64,
    /// Bytes a second of its operands and results, each counted once.
    rate: f64,
    /// The same where everything stays in the processor's caches.
    in_cache: Option<f64>,
}

fn measure(gpu: &Gpu, kernel: &Kernel) -> Result<Measured, Error> {
    let run = |operands: &[Vec<usize>]| {
        let mut work = kernel.work(gpu, operands)?;
        let seconds = seconds(&mut work)?;
        // Operands and results are the variables of the state, and nothing else is.
        Ok::<_, Error>((seconds, work.state.bytes() as f64 / seconds))
    };
    let (seconds, rate) = run(&kernel.operands)?;
    let in_cache = kernel.in_cache.as_ref().map(|operands| run(operands)).transpose()?;
    Ok(Measured { seconds, rate, in_cache: in_cache.map(|(_, rate)| rate) })
}

/// The median of five times of one run, each the mean of as many as fill a fifth of a second.
fn seconds(work: &mut Work) -> Result<f64, Error> {
    work.time(2, 2)?;
    let once = work.time(1, 1)?.as_secs_f64();
    let runs = (0.2 / once).clamp(1.0, 1000.0) as u64;
    let samples = (0..5).map(|_| Ok(work.time(runs, runs)?.as_secs_f64() / runs as f64));
    let times = Times::of(samples.collect::<Result<_, Error>>()?);
    Ok(times.map_or(once, |times| times.median_ms))
}
