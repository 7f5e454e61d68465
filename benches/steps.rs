//! Whole training steps: upload, forward, backward and optimizer, with the loss waited for every step
//! and every twenty steps.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgrad::prelude::*;
use wgrad_benches::Work;
use wgrad_measure::Model;

fn step(c: &mut Criterion, gpu: &Gpu, model: Model) {
    let mut work = match Work::training(gpu, model) {
        Ok(work) => work,
        Err(error) => return eprintln!("{model}: {error}"),
    };
    let mut group = c.benchmark_group("steps");
    group.sample_size(10).throughput(Throughput::Elements(model.samples() as u64));
    for (every, what) in [(1, "loss every step"), (20, "loss every 20 steps")] {
        group.bench_function(format!("{model}/{what}"), |b| {
            b.iter_custom(|runs| work.time(runs, every).expect("a program that was compiled runs"));
        });
    }
}

fn steps(c: &mut Criterion) {
    match Gpu::new() {
        Ok(gpu) => Model::ALL.into_iter().for_each(|model| step(c, &gpu, model)),
        Err(error) => eprintln!("{error}"),
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
