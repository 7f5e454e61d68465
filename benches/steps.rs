//! Whole training steps: upload, forward, backward and optimizer, with the loss waited for every step
//! and every twenty steps.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgrad::prelude::*;
use wgrad_benches::Work;

/// A stack of fully connected layers 784-512-512-10.
struct Mlp([Linear; 3]);

impl Mlp {
    fn new(vars: &Vars) -> Self {
        let layer = |name, inputs, outputs| Linear::new(vars.sub(name), inputs, outputs);
        Self([layer("fc1", 784, 512), layer("fc2", 512, 512), layer("fc3", 512, 10)])
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [fc1, fc2, fc3] = &self.0;
        fc3.forward(&fc2.forward(&fc1.forward(x).relu()).relu())
    }
}

/// Two convolutions with pooling and two fully connected layers, for images of 28×28.
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    drop: Dropout,
    fc2: Linear,
}

impl Cnn {
    fn new(vars: &Vars) -> Self {
        Self {
            conv1: Conv2dConfig::new(1, 32, 3).padding(1).build(vars.sub("conv1")),
            conv2: Conv2dConfig::new(32, 64, 3).padding(1).build(vars.sub("conv2")),
            fc1: Linear::new(vars.sub("fc1"), 3136, 128),
            drop: Dropout::new(0.5),
            fc2: Linear::new(vars.sub("fc2"), 128, 10),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv1.forward(x).relu().max_pool2d(2);
        let x = self.conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        self.fc2.forward(&self.drop.forward(&self.fc1.forward(&x).relu()))
    }
}

/// Measures a training step of a classifier with Adam on batches of the given shape.
fn step(c: &mut Criterion, gpu: &Gpu, name: &str, vars: &Vars, model: &dyn Module, shape: &[usize]) {
    let work = Work::new(gpu, Mode::Train, vars, |graph| {
        let (image, label) = (graph.input("image", shape, F32), graph.input("label", [shape[0]], U32));
        let loss = model.forward(&image).cross_entropy(&label);
        Adam::new(1e-3).minimize(&loss, vars);
        [loss]
    });
    let mut work = match work {
        Ok(work) => work,
        Err(error) => return eprintln!("{name}: {error}"),
    };
    let mut group = c.benchmark_group("steps");
    group.sample_size(10).throughput(Throughput::Elements(shape[0] as u64));
    for (every, what) in [(1, "loss every step"), (20, "loss every 20 steps")] {
        group.bench_function(format!("{name}/{what}"), |b| {
            b.iter_custom(|runs| work.time(runs, every).expect("a program that was compiled runs"));
        });
    }
}

fn steps(c: &mut Criterion) {
    let gpu = match Gpu::new() {
        Ok(gpu) => gpu,
        Err(error) => return eprintln!("{error}"),
    };
    let vars = Vars::new();
    step(c, &gpu, "mlp", &vars, &Mlp::new(&vars), &[128, 784]);
    let vars = Vars::new();
    step(c, &gpu, "cnn", &vars, &Cnn::new(&vars), &[64, 1, 28, 28]);
}

criterion_group!(benches, steps);
criterion_main!(benches);
