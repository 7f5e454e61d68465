//! Same device, same seed: the same bits, whatever the number of loader threads.

use sha2::{Digest, Sha256};
use wgrad::prelude::*;

const BATCH: usize = 64;

struct Cnn {
    conv1: Conv2d,
    norm: BatchNorm2d,
    conv2: Conv2d,
    drop: Dropout,
    fc: Linear,
}

impl Cnn {
    fn new(vars: &Vars) -> Self {
        Self {
            conv1: Conv2d::new(vars.sub("conv1"), 1, 8, 3),
            norm: BatchNorm2d::new(vars.sub("norm"), 8),
            conv2: Conv2d::new(vars.sub("conv2"), 8, 16, 3),
            drop: Dropout::new(0.5),
            fc: Linear::new(vars.sub("fc"), 16 * 2 * 2, 10),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.norm.forward(&self.conv1.forward(x)).relu();
        let x = self.conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        self.fc.forward(&self.drop.forward(&x))
    }
}

/// SHA-256 over the names and bits of everything that training remembers.
fn digest(state: &State) -> String {
    let mut hash = Sha256::new();
    for name in state.names() {
        let value = state.read(&name).unwrap();
        hash.update(&name);
        hash.update(value.spec.to_string());
        hash.update(value.spec.dtype.encode(&value.data));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Trains for two epochs; returns the digest and the losses.
fn train(seed: u64, workers: usize) -> (String, Vec<f64>) {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let model = Cnn::new(&vars);
    let program = gpu.compile(Mode::Train, |g| {
        let (x, y) = (g.input("image", [BATCH, 1, 8, 8], F32), g.input("label", [BATCH], U32));
        let loss = model.forward(&x).cross_entropy(&y);
        Adam::new(1e-3).minimize(&loss, &vars);
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, seed).unwrap();
    let loader = Loader::new(digits(), BATCH).shuffle(seed).workers(workers).allocator(program.staging());
    let mut losses = vec![];
    for batch in (0..2).flat_map(|epoch| loader.epoch(epoch)) {
        losses.push(program.run(&mut state, batch.unwrap()).unwrap().scalar(0).unwrap());
    }
    assert!(losses.iter().all(|loss| loss.is_finite()));
    (digest(&state), losses)
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let (one, losses) = train(1, 1);
    println!("seed 1, 1 worker:  {one}, loss {:.4} to {:.4}", losses[0], losses[losses.len() - 1]);
    for workers in [1, 0, 4] {
        let (again, same) = train(1, workers);
        println!("seed 1, {workers} workers: {again}");
        assert_eq!(again, one, "{workers} workers");
        assert_eq!(same, losses, "{workers} workers");
    }
    let (other, _) = train(2, 1);
    println!("seed 2, 1 worker:  {other}");
    assert_ne!(other, one);
}

/// The seed's upper half counts too.
#[test]
fn every_bit_of_the_seed_counts() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let drawn = [1u64, 1 << 32 | 1, 1 << 63 | 1].map(|seed| {
        let vars = Vars::new();
        let _model = Cnn::new(&vars);
        let mut state = gpu.init(&vars, seed).unwrap();
        let weights = state.read("conv1.weight").unwrap().data;
        // Random numbers of a running program, not only those of initialization.
        let program = gpu.compile(Mode::Eval, |g| [g.random_bits([100]).bits_to_uniform()]).unwrap();
        let bits = program.run(&mut state, Batch::new()).unwrap().get(0).unwrap();
        (weights, bits.data)
    });
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        assert_ne!(drawn[a].0, drawn[b].0);
        assert_ne!(drawn[a].1, drawn[b].1);
    }
}
