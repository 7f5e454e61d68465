//! One training step: one submission, few dispatches, and nothing created on the device.

use wgrad::core::batch::{BatchAllocator, Layout};
use wgrad::gpu::Counters;
use wgrad::prelude::*;

const BATCH: usize = 128;
const FEATURES: usize = 784;
const CLASSES: usize = 10;

/// 784-512-512-10 with ReLU, cross-entropy and Adam.
fn mlp(g: &Graph, vars: &Vars, layers: &[Linear]) -> [Tensor; 1] {
    let (x, y) = (g.input("x", [BATCH, FEATURES], F32), g.input("label", [BATCH], U32));
    let hidden = layers[..2].iter().fold(x, |x, layer| layer.forward(&x).relu());
    let loss = layers[2].forward(&hidden).cross_entropy(&y);
    Adam::new(1e-3).minimize(&loss, vars);
    [loss]
}

/// The same batch each time, in memory that the allocator lends.
fn batch(staging: &dyn BatchAllocator) -> Batch {
    let layout = Layout::new()
        .field("x", TensorSpec::new(F32, [BATCH, FEATURES]))
        .field("label", TensorSpec::new(U32, [BATCH]))
        .into();
    let mut memory = staging.allocate(&layout).expect("staging memory");
    // Every tenth column is bright, which ones depends on the label.
    let pixel = |i: usize| f32::from(u8::from(i % FEATURES % CLASSES == i / FEATURES % CLASSES));
    let pixels: Vec<u8> = (0..BATCH * FEATURES).flat_map(|i| pixel(i).to_le_bytes()).collect();
    let labels: Vec<u8> = (0..BATCH).flat_map(|i| ((i % CLASSES) as u32).to_le_bytes()).collect();
    memory.write(layout.fields()[0].offset, &pixels).expect("room for the pixels");
    memory.write(layout.fields()[1].offset, &labels).expect("room for the labels");
    Batch { layout, memory }
}

#[test]
fn a_step_of_an_mlp_is_one_submission_and_creates_nothing() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let widths = [FEATURES, 512, 512, CLASSES];
    let layers: Vec<Linear> =
        (0..3).map(|i| Linear::new(vars.sub(format!("fc{}", i + 1)), widths[i], widths[i + 1])).collect();
    let program = gpu.compile(Mode::Train, |g| mlp(g, &vars, &layers)).unwrap();
    let mut state = gpu.init(&vars, 1).unwrap();
    let staging = program.staging();

    let first = program.run(&mut state, batch(&*staging)).unwrap().scalar(0).unwrap();
    let mut last = first;
    for step in 2..=20 {
        let before = gpu.counters();
        let outputs = program.run(&mut state, batch(&*staging)).unwrap();
        let after = gpu.counters();
        let expected = Counters {
            submissions: before.submissions + 1,
            dispatches: before.dispatches + program.stats().dispatches as u64,
            ..before
        };
        assert_eq!(after, expected, "step {step}\n{}", program.explain());
        last = outputs.scalar(0).unwrap();
        assert_eq!(gpu.counters(), expected, "reading the loss of step {step}\n{}", program.explain());
    }
    let dispatches = program.stats().dispatches;
    println!("{dispatches} dispatches a step, workspace {} bytes", program.stats().peak_bytes);
    println!("loss {first:.4} before the first update, {last:.4} before the twentieth");
    assert!(dispatches <= 20, "{dispatches} dispatches\n{}", program.explain());
    assert_eq!(state.step().unwrap(), 20);
    assert!((first - 10f64.ln()).abs() < 0.3, "{first} is not the loss of guessing");
    assert!(last < 0.5 * first, "{first} fell to {last} only");
}

/// A layer's weights are updated as soon as their gradient can be computed, so what a step keeps is what its forward pass
/// has stored, and not every gradient as well until the optimizer's turn.
#[test]
fn gradients_do_not_wait_for_the_optimizer() {
    const LAYERS: usize = 8;
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let layers: Vec<Linear> = (0..LAYERS).map(|i| Linear::no_bias(vars.sub(i), 256, 256)).collect();
    let program = gpu.compile(Mode::Train, |g| {
        let x = g.input("x", [4096, 256], F32);
        let loss = layers.iter().fold(x, |x, layer| layer.forward(&x).relu()).square().mean([0, 1]);
        Adam::new(1e-3).minimize(&loss, &vars);
        [loss]
    });
    let program = program.unwrap();
    let activations = program.stats().peak_bytes as f64 / (4096 * 256 * 4) as f64;
    println!("{activations:.2} activations of {LAYERS} layers");
    assert!(activations < LAYERS as f64 + 3.5, "{activations} activations\n{}", program.explain());
}

/// Batches in ordinary memory are copied into the same ring.
#[test]
fn batches_in_ordinary_memory_cost_no_allocation_either() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let layer = Linear::new(vars.sub("fc"), 4, 2);
    let program = gpu.compile(Mode::Train, |g| {
        let (x, y) = (g.input("x", [3, 4], F32), g.input("label", [3], U32));
        let loss = layer.forward(&x).cross_entropy(&y);
        Sgd::new(0.1).minimize(&loss, &vars);
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, 1).unwrap();
    let batch = || Batch::new().with("x", [3, 4], &[0.5f32; 12]).with("label", [3], &[0u32, 1, 1]);
    program.run(&mut state, batch()).unwrap();
    let before = gpu.counters();
    for _ in 0..50 {
        program.run(&mut state, batch()).unwrap();
    }
    let after = gpu.counters();
    let submissions = before.submissions + 50;
    let dispatches = before.dispatches + 50 * program.stats().dispatches as u64;
    assert_eq!(after, Counters { submissions, dispatches, ..before }, "{}", program.explain());
}
