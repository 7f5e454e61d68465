//! Measures wgrad, as `cargo xtask bench` calls it: one task a process.

use std::time::{Duration, Instant};

use wgrad::gpu::Counters;
use wgrad::prelude::*;
use wgrad_benches::growth::growth;
use wgrad_benches::roofline::roofline;
use wgrad_benches::trace::trace;
use wgrad_benches::tune::tune;
use wgrad_benches::{Error, Training, Work, chart};
use wgrad_measure::{Device, Kernel, KernelReport, Model, Report, line};

const USAGE: &str = "usage: wgrad-benches steps MODEL SECONDS | kernel KERNEL SECONDS | explain MODEL | \
                     trace FILE MODEL… | kernels [FILTER] | growth CHART.svg | tune FILE|- [NAME…]";

fn main() -> Result<(), Error> {
    let start = Instant::now();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["steps", model, seconds] => println!("{}", line(&steps(start, model.parse()?, seconds.parse()?)?)?),
        ["kernel", kernel, seconds] => println!("{}", line(&single(kernel.parse()?, seconds.parse()?)?)?),
        ["explain", model] => println!("{}", Work::training(&Gpu::new()?, model.parse()?)?.program.explain()),
        ["trace", file, models @ ..] => {
            let models = models.iter().map(|model| model.parse()).collect::<Result<Vec<Model>, _>>()?;
            std::fs::write(file, trace(&models)?)?;
        }
        ["kernels"] => println!("{}", roofline("")?),
        ["kernels", filter] => println!("{}", roofline(filter)?),
        ["tune", "-", names @ ..] => tune(None, names)?,
        ["tune", file, names @ ..] => tune(Some(file.as_ref()), names)?,
        ["growth", file] => {
            let series = growth(|series| println!("{}", series.table()))?;
            chart::write(&series, file.as_ref())?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Measures an operation that peers have too.
fn single(kernel: Kernel, seconds: f64) -> Result<KernelReport, Error> {
    let gpu = Gpu::new()?;
    let mut work = wgrad_benches::kernels::single(kernel).work(&gpu, &kernel.operands())?;
    let before = gpu.peaks()?.flops;
    let mut report = KernelReport::measure(kernel, seconds, || work.step(true).map(drop))?;
    report.peak = Some((before + gpu.peaks()?.flops) / 2.0);
    Ok(report)
}

/// Measures the training steps of a model.
fn steps(start: Instant, model: Model, seconds: f64) -> Result<Report, Error> {
    let parameters = Training::of(model).parameters();
    let gpu = Gpu::new()?;
    let mut work = Work::training(&gpu, model)?;
    let framework = format!("wgrad on {}", gpu.info());
    let step = |wait| work.step(wait).map(drop);
    let mut report = Report::measure(&framework, model, parameters, start, seconds, step)?;
    report.device = Some(device(&gpu, &mut work)?);
    // Also those that are gone.
    report.device_bytes = Some(gpu.counters().bytes_allocated);
    Ok(report)
}

/// What a step does to the device, and what the host spends on it while the device waits for work.
fn device(gpu: &Gpu, work: &mut Work) -> Result<Device, Error> {
    const STEPS: u64 = 20;
    work.host.clear();
    let before = gpu.counters();
    for _ in 0..STEPS {
        work.step(true)?;
    }
    let after = gpu.counters();
    let each = |count: fn(&Counters) -> u64| (count(&after) - count(&before)) / STEPS;
    work.host.sort();
    let stats = work.program.stats();
    Ok(Device {
        dispatches: each(|counters| counters.dispatches),
        submissions: each(|counters| counters.submissions),
        host_us: work.host.get(work.host.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1e6,
        peak_bytes: stats.peak_bytes,
        lower_bound: stats.lower_bound,
        flops: stats.flops,
    })
}
