//! Models whose variables or activations take more than one binding can hold train all the same.

use wgrad::prelude::*;

/// Activations of 4 × 64 MiB; the gradients of eight vectors lie wherever they leave room.
#[test]
fn activations_larger_than_one_binding() {
    const N: usize = 4096;
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let layers: Vec<(Var, Var)> = (0..4)
        .map(|i| {
            let vars = vars.sub(i);
            (vars.var("weight", [N], Init::constant(0.5)), vars.var("bias", [N], Init::constant(0.1)))
        })
        .collect();
    let program = gpu.compile(Mode::Train, |g| {
        let x = g.input("x", [N, 1], F32).expand([N, N]);
        let y = layers.iter().fold(x, |x, (w, b)| (x * g.var(w) + g.var(b)).tanh());
        let loss = (y - 0.25).square().mean(..);
        // Gradients wait for their common norm.
        Adam::new(0.01).update(&clip_grad_norm(&loss.backward(&vars), 1e3), &vars);
        [loss]
    });
    let program = program.unwrap();
    println!("workspace {} MiB, {} dispatches", program.stats().peak_bytes >> 20, program.stats().dispatches);
    assert!(program.stats().peak_bytes > 128 << 20, "{}", program.explain());
    let mut state = gpu.init(&vars, 0).unwrap();
    let x: Vec<f32> = (0..N).map(|i| i as f32 / N as f32 - 0.5).collect();
    let losses: Vec<f64> = (0..3)
        .map(|_| program.run(&mut state, Batch::new().with("x", [N, 1], &x)).unwrap().scalar(0).unwrap())
        .collect();
    println!("{losses:?}");
    assert!(losses[2] < losses[1] && losses[1] < losses[0], "{losses:?}");
    // All columns are alike.
    for name in state.names().iter().filter(|name| name.ends_with(".weight") || name.ends_with(".bias")) {
        let values = state.read(name).unwrap().data;
        assert!(values.iter().all(|&value| value == values[0]), "{name}");
    }
}

/// 22 million parameters with Adam's two moments: 265 MB of variables, the small ones among the large.
#[test]
fn variables_larger_than_one_binding() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let widths = [784, 4096, 4096, 512, 10];
    let layers: Vec<Linear> =
        (1..5).map(|i| Linear::new(vars.sub(format!("fc{i}")), widths[i - 1], widths[i])).collect();
    let program = gpu.compile(Mode::Train, |g| {
        let (x, y) = (g.input("x", [4, 784], F32), g.input("label", [4], U32));
        let hidden = layers[..3].iter().fold(x, |x, layer| layer.forward(&x).relu());
        let loss = layers[3].forward(&hidden).cross_entropy(&y);
        Adam::new(1e-3).minimize(&loss, &vars);
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, 0).unwrap();
    println!("state {} MiB, {} dispatches", state.bytes() >> 20, program.stats().dispatches);
    assert!(state.bytes() > 128 << 20);
    let x: Vec<f32> = (0..4 * 784).map(|i| (i % 5) as f32 / 4.0).collect();
    let losses: Vec<f64> = (0..5)
        .map(|_| {
            let batch = Batch::new().with("x", [4, 784], &x).with("label", [4], &[3u32, 1, 4, 1]);
            program.run(&mut state, batch).unwrap().scalar(0).unwrap()
        })
        .collect();
    println!("{losses:?}");
    assert!(losses[4] < losses[0], "{losses:?}");
}

/// 200 layers of 256 KiB, each small enough to share a dispatch with others: 157 MB with Adam's moments.
#[test]
fn small_variables_that_are_many() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let layers: Vec<Linear> = (0..200).map(|i| Linear::new(vars.sub(format!("fc{i}")), 256, 256)).collect();
    let program = gpu.compile(Mode::Train, |g| {
        let x = g.input("x", [1, 256], F32);
        let y = layers.iter().fold(x, |x, layer| &x + layer.forward(&x).tanh() * 0.01);
        let loss = (y - 0.25).square().mean(..);
        // Gradients wait for their common norm, so updates are maps of their own.
        Adam::new(1e-3).update(&clip_grad_norm(&loss.backward(&vars), 1e3), &vars);
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, 0).unwrap();
    println!("state {} MiB, {} dispatches", state.bytes() >> 20, program.stats().dispatches);
    assert!(state.bytes() > 128 << 20);
    let x: Vec<f32> = (0..256).map(|i| i as f32 / 256.0 - 0.5).collect();
    let losses: Vec<f64> = (0..3)
        .map(|_| program.run(&mut state, Batch::new().with("x", [1, 256], &x)).unwrap().scalar(0).unwrap())
        .collect();
    println!("{losses:?}");
    assert!(losses[2] < losses[1] && losses[1] < losses[0], "{losses:?}");
}

/// Two new layers around 180 MiB that are loaded or zero, of which the program of first values sees nothing.
#[test]
fn new_variables_on_both_sides_of_a_large_model() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let new = |name: &str| vars.var(name, [300, 300], init::uniform(-1.0, 1.0));
    let first = new("first");
    for layer in 0..3 {
        vars.var(&format!("old{layer}"), [15 << 20], Init::constant(0.0));
    }
    let last = new("last");
    let state = gpu.init(&vars, 0).unwrap();
    assert!(state.bytes() > 128 << 20);
    for var in [first, last] {
        let values = state.read(var.name()).unwrap().data;
        assert!(values.iter().any(|&value| value < -0.9) && values.iter().any(|&value| value > 0.9));
    }
}
