//! The roofline table: how near each kernel comes to what the adapter can do at all.

use wgrad::gpu::Peaks;
use wgrad::prelude::*;
use wgrad_measure::{digits, median, table};

use crate::kernels::{Kernel, kernels};
use crate::{Error, Work};

/// Measures the kernels whose name contains `filter`, each in turns with the adapter's peaks.
pub fn roofline(filter: &str) -> Result<String, Error> {
    let gpu = Gpu::new()?;
    let chosen = kernels().into_iter().filter(|kernel| kernel.name.contains(filter));
    let rows: Vec<_> = chosen.map(|kernel| row(&gpu, &kernel)).collect();
    Ok(format!("{}\n\n{}", gpu.info(), table(&HEADER, &rows)))
}

const HEADER: [&str; 9] = [
    "kernel",
    "ms",
    "GFLOP/s",
    "FMA peak",
    "of FMA peak",
    "GB/s",
    "copy peak",
    "of copy peak",
    "of its own rate in cache",
];

fn row(gpu: &Gpu, kernel: &Kernel) -> Vec<String> {
    let Measured { seconds, rate, in_cache, peaks } = match measure(gpu, kernel) {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("{}: {error}", kernel.name);
            return vec![kernel.name.clone(), "failed".into()];
        }
    };
    let percent = |part: f64| format!("{:.0} %", 100.0 * part);
    let roof = |rate: f64, peak: f64| [digits(rate / 1e9), digits(peak / 1e9), percent(rate / peak)];
    let mut row = vec![kernel.name.clone(), digits(1e3 * seconds)];
    row.extend(match kernel.flops {
        0 => ["–"; 3].map(String::from),
        flops => roof(flops as f64 / seconds, peaks.flops),
    });
    row.extend(roof(rate, peaks.copy));
    row.push(in_cache.map_or("–".into(), |in_cache| percent(rate / in_cache)));
    row
}

/// What was measured of a kernel: medians of what was taken in turns.
struct Measured {
    /// One run.
    seconds: f64,
    /// Bytes a second of its operands and results, each counted once.
    rate: f64,
    /// The same where everything stays in the processor's caches.
    in_cache: Option<f64>,
    /// What the adapter reached meanwhile.
    peaks: Peaks,
}

/// Turns that are taken: a machine that others use as well changes its speed within seconds.
const TURNS: usize = 5;

fn measure(gpu: &Gpu, kernel: &Kernel) -> Result<Measured, Error> {
    let mut work = Timed::new(kernel.work(gpu, &kernel.operands)?)?;
    let mut cached = match &kernel.in_cache {
        Some(operands) => Some(Timed::new(kernel.work(gpu, operands)?)?),
        None => None,
    };
    let [mut rates, mut in_cache, mut flops, mut copy] = [(); 4].map(|()| vec![]);
    for _ in 0..TURNS {
        let peaks = gpu.peaks()?;
        flops.push(peaks.flops);
        copy.push(peaks.copy);
        rates.push(work.rate()?);
        if let Some(cached) = &mut cached {
            in_cache.push(cached.rate()?);
        }
    }
    let middle = |samples| median(samples).ok_or("nothing was measured");
    let rate = middle(rates)?;
    Ok(Measured {
        seconds: work.work.state.bytes() as f64 / rate,
        rate,
        in_cache: median(in_cache),
        peaks: Peaks { flops: middle(flops)?, copy: middle(copy)? },
    })
}

/// Work, and how often it has to run to fill a fifth of a second.
struct Timed {
    work: Work,
    runs: u64,
}

impl Timed {
    fn new(mut work: Work) -> Result<Self, Error> {
        work.time(2, 2)?;
        let once = work.time(1, 1)?.as_secs_f64();
        Ok(Self { work, runs: (0.2 / once).clamp(1.0, 1000.0) as u64 })
    }

    /// Bytes a second of one measurement. Operands and results are the variables of the state, and nothing else is.
    fn rate(&mut self) -> Result<f64, Error> {
        let seconds = self.work.time(self.runs, self.runs)?.as_secs_f64() / self.runs as f64;
        Ok(self.work.state.bytes() as f64 / seconds)
    }
}
