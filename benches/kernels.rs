//! Single operations, forward and backward, on operands that stay on the device.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgrad::prelude::*;
use wgrad_benches::kernels::{Kernel, kernels};

fn kernel(c: &mut Criterion, gpu: &Gpu, kernel: &Kernel) {
    let mut work = match kernel.work(gpu, &kernel.operands) {
        Ok(work) => work,
        Err(error) => return eprintln!("{}: {error}", kernel.name),
    };
    let throughput = match kernel.flops {
        0 => Throughput::Bytes(work.program.stats().bytes),
        flops => Throughput::Elements(flops),
    };
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10).throughput(throughput);
    group.bench_function(&kernel.name, |b| {
        b.iter_custom(|runs| work.time(runs, 100).expect("a program that was compiled runs"));
    });
}

fn all(c: &mut Criterion) {
    match Gpu::new() {
        Ok(gpu) => kernels().iter().for_each(|one| kernel(c, &gpu, one)),
        Err(error) => eprintln!("{error}"),
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
