//! How the time of a step grows with the sizes of a model, the time to compile with the number of its nodes, and the
//! host's time for a step with the number of its dispatches.

use std::time::Instant;

use wgrad::prelude::*;
use wgrad_measure::{Gpt, Times, Values, digits, table};

use crate::{Error, Training, Work};

/// A size that grows, and what was measured at each value.
pub struct Series {
    /// What is timed.
    pub timed: &'static str,
    /// What grows.
    pub name: &'static str,
    /// What the time is proportional to at best.
    pub work: &'static str,
    /// The measurements, from small to large.
    pub points: Vec<Point>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub struct Point {
    /// The size.
    pub size: usize,
    /// The work: floating-point operations, nodes, or dispatches.
    pub work: f64,
    /// Milliseconds.
    pub ms: f64,
}

/// Measures everything, a few minutes on a software adapter, and hands each series over when it is there.
pub fn growth(mut done: impl FnMut(&Series)) -> Result<Vec<Series>, Error> {
    let gpu = Gpu::new()?;
    let mlp = |batch, width: usize, layers| {
        let widths = [vec![width; layers], vec![10]].concat();
        Training::perceptron(batch, &widths)
    };
    let gpt = |sequence| Gpt { vocabulary: 65, sequence, width: 64, layers: 2, heads: 4 };
    // So small that its kernels leave the host's data in the caches, where they run on the same cores.
    let small = |layers| Gpt { vocabulary: 8, sequence: 8, width: 16, layers, heads: 2 };
    let mut all = vec![];
    let mut series = |timed, name, work, rounds, sizes: &[usize], measure: &Measure<'_>| {
        let points = in_turns(rounds, sizes, measure)?;
        let series = Series { timed, name, work, points };
        done(&series);
        all.push(series);
        Ok::<_, Error>(())
    };
    let (flops, nodes, dispatches) = ("arithmetic", "nodes", "dispatches");
    // Once, as kernels are compiled once.
    series("compile", nodes, nodes, 1, &[1, 4, 16, 64, 85], &|layers| compile(&gpu, &mlp(8, 16, layers)))?;
    series("host", dispatches, dispatches, ROUNDS, &[1, 2, 4, 8], &|layers| {
        host(&gpu, &Training::transformer(1, small(layers)))
    })?;
    series("step", "batch", flops, ROUNDS, &[1, 4, 16, 64, 256], &|n| step(&gpu, n, &mlp(n, 512, 3)))?;
    series("step", "width", flops, ROUNDS, &[64, 128, 256, 512, 1024], &|n| step(&gpu, n, &mlp(64, n, 3)))?;
    series("step", "depth", flops, ROUNDS, &[2, 4, 8, 16, 32], &|n| step(&gpu, n, &mlp(64, 256, n)))?;
    series("step", "sequence", flops, ROUNDS, &[64, 128, 256, 512, 1024], &|n| {
        step(&gpu, n, &Training::transformer(2, gpt(n)))
    })?;
    Ok(all)
}

/// How often a size is measured.
const ROUNDS: usize = 7;

/// One measurement of a size.
type Measure<'a> = dyn Fn(usize) -> Result<Point, Error> + 'a;

/// The medians of the sizes, measured in turns: what slows the machine for a second is in one turn of each.
fn in_turns(rounds: usize, sizes: &[usize], measure: &Measure<'_>) -> Result<Vec<Point>, Error> {
    let mut turns = vec![];
    for _ in 0..rounds {
        turns.push(sizes.iter().map(|&size| measure(size)).collect::<Result<Vec<_>, _>>()?);
    }
    let median = |at: usize| {
        let times = Times::of(turns.iter().map(|turn: &Vec<Point>| turn[at].ms).collect())?;
        Some(Point { ms: times.median_ms, ..turns[0][at] })
    };
    Ok((0..sizes.len()).filter_map(median).collect())
}

/// A training step on a batch of its own.
fn work(gpu: &Gpu, training: &Training) -> Result<Work, Error> {
    let (input, target) = (training.input(), training.target());
    let values = match input.dtype {
        F32 => Values::noise(0, input.shape.numel()),
        _ => Values::below(8, 0, input.shape.numel()),
    };
    let batch = vec![values, Values::below(8, 1, target.shape.numel())];
    Work::new(gpu, Mode::Train, &training.vars, |graph| training.record(graph), vec![batch])
}

/// The time of a training step.
fn step(gpu: &Gpu, size: usize, training: &Training) -> Result<Point, Error> {
    let mut work = work(gpu, training)?;
    work.time(2, 1)?;
    let once = work.time(1, 1)?.as_secs_f64();
    let runs = (0.1 / once).clamp(1.0, 200.0) as u64;
    let ms = work.time(runs, 20)?.as_secs_f64() * 1e3 / runs as f64;
    Ok(Point { size, work: work.program.stats().flops as f64, ms })
}

/// The time that the host takes to hand a training step to a device that waits for it.
fn host(gpu: &Gpu, training: &Training) -> Result<Point, Error> {
    let mut work = work(gpu, training)?;
    for _ in 0..200 {
        work.step(true)?;
    }
    let samples = work.host.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    let dispatches = work.program.stats().dispatches;
    let ms = Times::of(samples).map_or(0.0, |times| times.median_ms);
    Ok(Point { size: dispatches, work: dispatches as f64, ms })
}

/// The time to plan a training step and to write and prepare its kernels.
fn compile(gpu: &Gpu, training: &Training) -> Result<Point, Error> {
    let graph = Graph::new(Mode::Train);
    let loss = training.record(&graph);
    let recording = graph.recording();
    let start = Instant::now();
    gpu.compile_recording(&recording, &[loss[0].id()])?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let nodes = recording.nodes.len();
    Ok(Point { size: nodes, work: nodes as f64, ms })
}

impl Series {
    /// A table of the series: each row beside how much its time and its work are of the row's above.
    pub fn table(&self) -> String {
        let header = [self.name, "ms", "times the row above", &format!("its {}", self.work)];
        let row = |(index, point): (usize, &Point)| {
            let mut row = vec![point.size.to_string(), digits(point.ms)];
            if let Some(above) = index.checked_sub(1).map(|above| self.points[above]) {
                row.extend([digits(point.ms / above.ms), digits(point.work / above.work)]);
            }
            row
        };
        table(&header, &self.points.iter().enumerate().map(row).collect::<Vec<_>>())
    }
}
