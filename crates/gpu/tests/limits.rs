//! Devices that are too small, full or gone: typed errors, never a panic.

use wgrad_core::batch::Batch;
use wgrad_core::{F32, Graph, Init, Mode, Tensor, Vars};
use wgrad_gpu::{Error, Gpu};

/// A device with the limits that every adapter has, or smaller ones.
fn device(change: impl Fn(&mut wgpu::Limits)) -> (wgpu::Device, Gpu) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.first().expect("the tests need an adapter");
    let mut limits = wgpu::Limits::default();
    change(&mut limits);
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    (device.clone(), Gpu::from_wgpu(device, queue))
}

/// Layers of maps that gradients need again: a megabyte each.
fn deep(g: &Graph, vars: &Vars) -> [Tensor; 1] {
    let x = g.input("x", [512, 512], F32);
    let loss = (0..8).fold(x, |x, layer| {
        let w = vars.var(&format!("w{layer}"), [512, 512], Init::constant(0.01));
        x.matmul(&g.var(&w)).tanh()
    });
    let loss = loss.sum(..);
    for (var, gradient) in loss.backward(vars) {
        g.assign(&var, &(g.var(&var) - gradient * 0.1));
    }
    [loss]
}

#[test]
fn a_plan_beyond_the_largest_buffer_says_who_is_alive_and_what_a_budget_would_do() {
    let (_, gpu) = device(|limits| {
        limits.max_buffer_size = 9 << 20;
        limits.max_storage_buffer_binding_size = 2 << 20;
    });
    let vars = Vars::new();
    let error = gpu.compile(Mode::Train, |g| deep(g, &vars)).err().unwrap();
    println!("{error}");
    let Error::TooLarge { needed, limit, ref largest, ref advice, .. } = error else { panic!("{error}") };
    assert!(needed > limit && limit == 9 << 20);
    assert!(
        largest.lines().count() >= 5 && largest.lines().all(|line| line.contains("limits.rs:")),
        "{largest}"
    );
    assert!(advice.contains("budget"), "{advice}");
    let vars = Vars::new();
    let program = gpu.compiler().memory_budget(limit).compile(Mode::Train, |g| deep(g, &vars)).unwrap();
    assert!(program.stats().peak_bytes <= limit && program.stats().recomputed.is_some());
}

#[test]
fn a_tensor_beyond_the_largest_binding_is_named() {
    let (_, gpu) = device(|limits| limits.max_storage_buffer_binding_size = 1 << 20);
    let program = gpu.compile(Mode::Eval, |g| [g.input("x", [600, 600], F32).square()]);
    let error = program.err().unwrap();
    println!("{error}");
    let Error::TooLarge { limit, largest, .. } = error else { panic!("{error}") };
    assert_eq!(limit, 1 << 20);
    assert!(largest.contains("f32[600, 600]") && largest.contains("limits.rs:"), "{largest}");
}

/// More often than any ring has buffers: none of them may be lost on the way, and no other run hears of it.
#[test]
fn a_batch_beyond_the_largest_buffer_is_refused_and_no_other() {
    let (_, gpu) = device(|limits| {
        limits.max_buffer_size = 1 << 20;
        limits.max_storage_buffer_binding_size = 1 << 20;
    });
    let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).square()]).unwrap();
    let mut state = gpu.init(&Vars::new(), 0).unwrap();
    let batch = || Batch::new().with("x", [3], &[1f32, 2.0, 3.0]);
    for _ in 0..6 {
        let large = batch().with("more", [1 << 19], &vec![0f32; 1 << 19]);
        let error = program.run(&mut state, large).err().unwrap();
        assert!(matches!(error, Error::TooLarge { limit, .. } if limit == 1 << 20), "{error}");
        let outputs = program.run(&mut state, batch()).unwrap();
        assert_eq!(outputs.get(0).unwrap().data, [1.0, 4.0, 9.0]);
    }
}

/// 1.5 TB of variables, and as much of intermediates.
#[test]
fn absurd_sizes() {
    let gpu = Gpu::new().unwrap();
    let vars = Vars::new();
    for number in 0..200 {
        vars.var(&format!("w{number}"), [1 << 15, 1 << 16], Init::constant(0.0));
    }
    let error = gpu.init(&vars, 0).err().unwrap();
    println!("{error}");
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory(_)), "{error}");
    let error = gpu.compile(Mode::Eval, |g| {
        let x = g.input("x", [1 << 15, 1], F32);
        let spread: Vec<Tensor> =
            (0..200).map(|i| (&x + i as f64).expand([1 << 15, 1 << 15]).exp()).collect();
        spread
    });
    let error = error.err().unwrap();
    println!("{error}");
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory(_)), "{error}");
}

#[test]
fn a_lost_device_is_an_error() {
    let (device, gpu) = device(|_| {});
    let vars = Vars::new();
    let program = gpu.compile(Mode::Train, |g| deep(g, &vars)).unwrap();
    let mut state = gpu.init(&vars, 0).unwrap();
    let batch = || Batch::new().with("x", [512, 512], &vec![0.5f32; 512 * 512]);
    assert!(program.run(&mut state, batch()).unwrap().scalar(0).unwrap().is_finite());
    device.destroy();
    let error = program.run(&mut state, batch()).and_then(|outputs| outputs.scalar(0)).unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::DeviceLost(_)), "{error}");
    let error = state.read("w0").unwrap_err();
    assert!(matches!(error, Error::DeviceLost(_)), "{error}");
    let error = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).square()]).err().unwrap();
    assert!(matches!(error, Error::DeviceLost(_)), "{error}");
}
