//! How the time of a step grows with the sizes of a model, and the time to compile with the number of its
//! nodes.

use std::time::Instant;

use wgrad::prelude::*;
use wgrad_measure::{Gpt, Times, Values, digits, table};

use crate::{Error, Training, Work};

/// A size that grows, and what was measured at each value.
pub struct Series {
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
    /// The work: floating-point operations, or nodes.
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
    let mut all = vec![];
    let mut series = |name, work, sizes: &[usize], measure: &dyn Fn(usize) -> Result<Point, Error>| {
        let points = sizes.iter().map(|&size| measure(size)).collect::<Result<_, _>>()?;
        let series = Series { name, work, points };
        done(&series);
        all.push(series);
        Ok::<_, Error>(())
    };
    let (flops, nodes) = ("arithmetic", "nodes");
    series("nodes", nodes, &[1, 4, 16, 64, 85], &|layers| compile(&gpu, &mlp(8, 16, layers)))?;
    series("batch", flops, &[1, 4, 16, 64, 256], &|n| step(&gpu, n, &mlp(n, 512, 3)))?;
    series("width", flops, &[64, 128, 256, 512, 1024], &|n| step(&gpu, n, &mlp(64, n, 3)))?;
    series("depth", flops, &[2, 4, 8, 16, 32], &|n| step(&gpu, n, &mlp(64, 256, n)))?;
    series("sequence", flops, &[64, 128, 256, 512, 1024], &|n| {
        step(&gpu, n, &Training::transformer(2, gpt(n)))
    })?;
    Ok(all)
}

/// The time of a training step.
fn step(gpu: &Gpu, size: usize, training: &Training) -> Result<Point, Error> {
    let (input, target) = (training.input(), training.target());
    let values = match input.dtype {
        F32 => Values::noise(0, input.shape.numel()),
        _ => Values::below(10, 0, input.shape.numel()),
    };
    let batch = vec![values, Values::below(10, 1, target.shape.numel())];
    let mut work = Work::new(gpu, Mode::Train, &training.vars, |graph| training.record(graph), vec![batch])?;
    work.time(2, 1)?;
    let once = work.time(1, 1)?.as_secs_f64();
    let runs = (0.1 / once).clamp(1.0, 200.0) as u64;
    let samples = (0..5).map(|_| Ok(work.time(runs, 20)?.as_secs_f64() * 1e3 / runs as f64));
    let times = Times::of(samples.collect::<Result<_, Error>>()?);
    let flops = work.program.stats().flops as f64;
    Ok(Point { size, work: flops, ms: times.map_or(once * 1e3, |times| times.median_ms) })
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
