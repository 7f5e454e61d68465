//! Single operations, forward and backward, on operands that stay on the device.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgrad::core::ops::Window;
use wgrad::prelude::*;
use wgrad_benches::Work;

/// Records an operation on its operands and returns all that is to be computed.
type Record = fn(&[Tensor]) -> Vec<Tensor>;

/// Measures one operation on uniform operands of the given shapes. Its results are assigned to
/// variables: they are written to memory, and nothing is copied back but one number to wait for.
fn kernel(c: &mut Criterion, gpu: &Gpu, name: &str, work: Throughput, shapes: &[&[usize]], record: Record) {
    let vars = Vars::new();
    let operand = |(index, shape): (usize, &&[usize])| {
        vars.sub("operand").var(&index.to_string(), *shape, init::uniform(-1.0, 1.0))
    };
    let operands: Vec<Var> = shapes.iter().enumerate().map(operand).collect();
    let program = |graph: &Graph| {
        let operands: Vec<Tensor> = operands.iter().map(|var| graph.var(var)).collect();
        for (index, result) in record(&operands).iter().enumerate() {
            let name = index.to_string();
            let var = vars.sub("result").buffer(&name, result.spec(), Init::constant(0.0));
            graph.assign(&var, result);
        }
        [graph.scalar(0.0, F32)]
    };
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10).throughput(work);
    let outcome = Work::new(gpu, Mode::Eval, &vars, program, vec![]).map(|mut work| {
        group.bench_function(name, |b| {
            b.iter_custom(|runs| work.time(runs, 100).expect("a program that was compiled runs"));
        });
    });
    if let Err(error) = outcome {
        eprintln!("{name}: {error}");
    }
}

/// The results and the gradients of every operand, with the first result's shape for its cotangent.
fn with_gradients(result: &Tensor, operands: &[Tensor]) -> Vec<Tensor> {
    let (cotangent, inputs) = operands.split_last().expect("the last operand is the cotangent");
    let mut all = result.pull_back(cotangent, &inputs.iter().collect::<Vec<_>>());
    all.push(result.clone());
    all
}

fn flops(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}

fn bytes(floats: usize) -> Throughput {
    Throughput::Bytes(4 * floats as u64)
}

fn matmul(c: &mut Criterion, gpu: &Gpu) {
    for n in [256, 512, 1024] {
        let shape: &[usize] = &[n, n];
        let name = format!("matmul/{n}");
        kernel(c, gpu, &name, flops(2 * n * n * n), &[shape, shape], |x| vec![x[0].matmul(&x[1])]);
    }
}

fn elementwise(c: &mut Criterion, gpu: &Gpu) {
    let n = 16 << 20;
    let record: Record = |x| vec![(&x[0] * &x[1] + &x[2]).gelu() + x[0].tanh()];
    kernel(c, gpu, "elementwise/16M", bytes(4 * n), &[&[n], &[n], &[n]], record);
}

fn rows(c: &mut Criterion, gpu: &Gpu) {
    let (shape, row): (&[usize], &[usize]) = (&[4096, 1024], &[1024]);
    let n = 4096 * 1024;
    kernel(c, gpu, "softmax/forward", bytes(2 * n), &[shape], |x| vec![x[0].softmax(-1)]);
    kernel(c, gpu, "softmax/forward and backward", bytes(4 * n), &[shape, shape], |x| {
        with_gradients(&x[0].softmax(-1), x)
    });
    kernel(c, gpu, "layer_norm/forward", bytes(2 * n), &[shape, row, row], |x| {
        vec![x[0].layer_norm(-1, Some(&x[1]), Some(&x[2]), 1e-5)]
    });
    kernel(c, gpu, "layer_norm/forward and backward", bytes(4 * n), &[shape, row, row, shape], |x| {
        with_gradients(&x[0].layer_norm(-1, Some(&x[1]), Some(&x[2]), 1e-5), x)
    });
}

/// A 3×3 convolution that keeps height and width.
fn conv3x3(x: &[Tensor]) -> Tensor {
    x[0].conv2d(&x[1], None, &Window::new(&[3, 3]).padding(1), 1)
}

fn conv(c: &mut Criterion, gpu: &Gpu) {
    let (image, weight): (&[usize], &[usize]) = (&[32, 64, 32, 32], &[64, 64, 3, 3]);
    let work = 2 * (32 * 64 * 32 * 32) * (64 * 3 * 3);
    kernel(c, gpu, "conv/forward", flops(work), &[image, weight], |x| vec![conv3x3(x)]);
    kernel(c, gpu, "conv/forward and backward", flops(3 * work), &[image, weight, image], |x| {
        with_gradients(&conv3x3(x), x)
    });
}

fn kernels(c: &mut Criterion) {
    let gpu = match Gpu::new() {
        Ok(gpu) => gpu,
        Err(error) => return eprintln!("{error}"),
    };
    matmul(c, &gpu);
    elementwise(c, &gpu);
    rows(c, &gpu);
    conv(c, &gpu);
}

criterion_group!(benches, kernels);
criterion_main!(benches);
