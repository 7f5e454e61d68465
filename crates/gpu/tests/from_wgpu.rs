//! A device that the program already owns, with the limits that a browser gives.

use wgrad_core::batch::Batch;
use wgrad_core::{F32, Init, Mode, U32, Vars};
use wgrad_gpu::{Error, Gpu};

/// Opens a device with default limits and no optional feature.
fn device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.first().expect("the tests need an adapter");
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
        .expect("an adapter grants a device with default limits")
}

#[test]
fn a_device_of_the_users_own_trains() {
    let (device, queue) = device();
    let limits = device.limits();
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
    println!("{}", gpu.info());
    let limit =
        |name: &str| gpu.info().limits.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let bindings = u64::from(limits.max_storage_buffers_per_shader_stage);
    assert_eq!(limit("max_storage_buffers_per_shader_stage"), Some(bindings));
    assert_eq!(gpu.info().name, device.adapter_info().name);

    // y = 3x − 1 by gradient descent.
    let vars = Vars::new();
    let (w, b) = (vars.var("w", [1, 1], Init::constant(0.0)), vars.var("b", [1], Init::constant(0.0)));
    let program = gpu.compile(Mode::Train, |g| {
        let (x, y) = (g.input("x", [8, 1], F32), g.input("y", [8, 1], F32));
        let loss = (x.matmul(&g.var(&w)) + g.var(&b) - y).square().mean(..);
        for (var, gradient) in loss.backward(&vars) {
            g.assign(&var, &(g.var(&var) - gradient * 0.5));
        }
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, 0).unwrap();
    let x: Vec<f32> = (0..8).map(|i| i as f32 / 4.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x - 1.0).collect();
    let mut loss = f64::NAN;
    for _ in 0..100 {
        let batch = Batch::new().with("x", [8, 1], &x).with("y", [8, 1], &y);
        loss = program.run(&mut state, batch).unwrap().scalar(0).unwrap();
    }
    let (w, b) = (state.read("w").unwrap().item(), state.read("b").unwrap().item());
    println!("w {w}, b {b}, loss {loss:e}");
    assert!((w - 3.0).abs() < 1e-5 && (b + 1.0).abs() < 1e-5 && loss < 1e-10);

    // The device is still the user's to use.
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false };
    let buffer = device.create_buffer(&descriptor);
    queue.write_buffer(&buffer, 0, &[7; 16]);
    queue.submit([]);
    buffer.map_async(wgpu::MapMode::Read, .., |result| result.expect("the buffer is readable"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
    assert_eq!(buffer.get_mapped_range(..).expect("the buffer is mapped").to_vec(), [7; 16]);
}

#[test]
fn two_devices_at_once() {
    let gpus = [0, 1].map(|_| {
        let (device, queue) = device();
        Gpu::from_wgpu(device, queue)
    });
    let both = gpus.each_ref().map(|gpu| {
        let program = gpu.compile(Mode::Eval, |g| [g.random_bits([1000]).max(..)]).unwrap();
        let mut state = gpu.init(&Vars::new(), 11).unwrap();
        let outputs = program.run(&mut state, Batch::new()).unwrap();
        assert_eq!(outputs.get(0).unwrap().spec.dtype, U32);
        outputs.scalar(0).unwrap()
    });
    assert_eq!(both[0], both[1]);
}

/// A state belongs to the device it was made on.
#[test]
fn a_state_of_another_device_is_refused() {
    let gpus = [0, 1].map(|_| {
        let (device, queue) = device();
        Gpu::from_wgpu(device, queue)
    });
    let program = gpus[0].compile(Mode::Train, |g| [g.input("x", [2], F32).square()]).unwrap();
    let mut state = gpus[1].init(&Vars::new(), 0).unwrap();
    let batch = || Batch::new().with("x", [2], &[2f32, 3.0]);
    let error = program.run(&mut state, batch()).err().unwrap();
    println!("{error}");
    assert!(matches!(error, Error::OtherDevice { .. }));
    assert!(error.to_string().contains("another device"), "{error}");
    let mut own = gpus[0].init(&Vars::new(), 0).unwrap();
    assert_eq!(program.run(&mut own, batch()).unwrap().get(0).unwrap().data, [4.0, 9.0]);
}

/// However far a run has come when its device goes: its result is there, or the error says why not.
#[test]
fn a_result_survives_its_device_or_is_lost_with_it() {
    for (waits, looks) in [(false, false), (true, false), (true, true)] {
        let (device, queue) = device();
        let gpu = Gpu::from_wgpu(device.clone(), queue);
        let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).square()]).unwrap();
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        let outputs = program.run(&mut state, Batch::new().with("x", [3], &[1f32, 2.0, 3.0])).unwrap();
        if waits {
            gpu.synchronize().unwrap();
        }
        if looks {
            assert!(outputs.is_ready());
        }
        device.destroy();
        match outputs.get(0) {
            Ok(found) => assert_eq!(found.data, [1.0, 4.0, 9.0]),
            Err(error) => assert!(matches!(error, Error::DeviceLost(_)), "{waits} {looks}: {error}"),
        }
    }
}
