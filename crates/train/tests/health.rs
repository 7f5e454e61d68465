//! Devices that fail in the middle of a training: the error says what happened, and the last checkpoint is whole.

#[path = "net/mod.rs"]
mod net;

use std::ops::ControlFlow;
use std::path::Path;

use tempfile::TempDir;
use wgrad_core::{F32, Graph, Mode, Vars};
use wgrad_gpu::{Error, Gpu};
use wgrad_optim::Adam;
use wgrad_train::{Checkpoints, Report, TrainError, Trainer};

fn device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.first().expect("the tests need an adapter");
    let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).expect("an adapter grants its own limits")
}

/// Trains for four epochs of 15 batches with a checkpoint after every fifth batch.
fn fit(gpu: &Gpu, directory: &Path, setting: impl Fn(Trainer) -> Trainer) -> Result<Report, TrainError> {
    let vars = Vars::new();
    let net = net::Net::new(&vars);
    let (train, test) = net::tumours();
    let trainer = Trainer::new(gpu, &vars, Adam::new(3e-3)).seed(5).batch_size(32).epochs(4).progress(false);
    let trainer = trainer.checkpoint(directory).checkpoint_every(5).resume(true);
    setting(trainer).fit(&train, &test, |x, y| net.forward(x).cross_entropy(y))
}

fn open() -> Gpu {
    let (device, queue) = device();
    Gpu::from_wgpu(device, queue)
}

/// The batches behind the last checkpoint of a directory, which must be whole.
fn saved(directory: &Path) -> u64 {
    let found = Checkpoints::new(directory).latest().unwrap().unwrap();
    let progress = found.checkpoint.progress();
    assert!(found.skipped.is_empty());
    progress.epoch * 15 + progress.batch
}

#[test]
fn a_lost_device_ends_the_training_but_not_its_checkpoints() {
    let [alone, directory] = [0; 2].map(|_| TempDir::new().unwrap());
    let expected = net::bits(&fit(&open(), alone.path(), |trainer| trainer).unwrap().state);
    for batch in [3, 23, 44] {
        let (device, queue) = device();
        let gpu = Gpu::from_wgpu(device.clone(), queue);
        let lose = |trainer: Trainer| {
            let device = device.clone();
            trainer.on_step(move |step| {
                if step.step == batch {
                    device.destroy();
                }
                Ok(ControlFlow::Continue(()))
            })
        };
        let error = fit(&gpu, directory.path(), lose).err().unwrap();
        assert!(error.to_string().contains("the device was lost"), "{error}");
        if batch > 5 {
            let saved = saved(directory.path());
            // Losses arrive up to eight batches late, and a batch more may be under way.
            assert!((batch - 5..batch + 10).contains(&saved), "{saved} batches saved, lost at {batch}");
        }
    }
    let resumed = fit(&open(), directory.path(), |trainer| trainer).unwrap();
    assert!(resumed.resumed_from.is_some());
    assert!(net::bits(&resumed.state) == expected);
}

#[test]
fn too_large_an_allocation_leaves_the_checkpoints_whole() {
    let directory = TempDir::new().unwrap();
    let gpu = open();
    let greedy = |trainer: Trainer| {
        let gpu = gpu.clone();
        trainer.on_epoch(move |epoch, _| {
            if epoch.epoch == 2 {
                gpu.eval(&Graph::new(Mode::Eval).zeros([1 << 15, (1 << 16) - 1], F32))?;
            }
            Ok(ControlFlow::Continue(()))
        })
    };
    let error = fit(&gpu, directory.path(), greedy).err().unwrap();
    let is_memory = matches!(error, TrainError::Gpu(Error::TooLarge { .. } | Error::OutOfMemory(_)));
    assert!(is_memory, "{error}");
    assert!(saved(directory.path()) >= 25);
    // The device is as good as before.
    let report = fit(&gpu, directory.path(), |trainer| trainer).unwrap();
    assert!(report.resumed_from.is_some() && report.history.epochs().len() == 4);
}

#[cfg(target_os = "linux")]
mod full {
    use std::process::{Command, id};

    use super::*;

    /// The directory that a child trains in.
    const DIRECTORY: &str = "WGRAD_TEST_FULL_IN";

    /// Takes device memory until the driver has no more: the software adapter's is the process's address space, which is
    /// limited here to 64 MiB more than there is.
    fn fill(gpu: &Gpu) -> Error {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kibibytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        let limit = format!("--as={}:", 1024 * kibibytes + (64 << 20));
        let pid = id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
        assert!(limited.success());
        let vars = Vars::new();
        vars.var("ballast", [4 << 20], wgrad_core::Init::constant(0.0));
        let mut states = vec![];
        loop {
            match gpu.init(&vars, 0) {
                Ok(state) => states.push(state),
                Err(error) => return error,
            }
        }
    }

    /// The child's training, which the driver ends.
    fn train_until_full(directory: &Path) {
        let gpu = open();
        let greedy = |trainer: Trainer| {
            let gpu = gpu.clone();
            trainer.on_epoch(move |epoch, _| {
                if epoch.epoch == 2 {
                    return Err(fill(&gpu).into());
                }
                Ok(ControlFlow::Continue(()))
            })
        };
        let error = fit(&gpu, directory, greedy).err().unwrap();
        assert!(matches!(error, TrainError::Gpu(Error::OutOfMemory(_))), "{error}");
        assert!(saved(directory) >= 25);
        // What was taken is free again, and the device as good as before: it trains an epoch more.
        let third = fit(&gpu, directory, |trainer| trainer.epochs(3)).unwrap();
        assert!(third.resumed_from.is_some() && third.history.epochs().len() == 3);
    }

    #[test]
    fn a_full_device_ends_the_training_but_not_its_checkpoints() {
        if open().info().kind != wgrad_gpu::AdapterKind::Software {
            return println!("the device has memory of its own");
        }
        if let Some(directory) = std::env::var_os(DIRECTORY) {
            return train_until_full(directory.as_ref());
        }
        let [alone, directory] = [0; 2].map(|_| TempDir::new().unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "full::a_full_device_ends_the_training_but_not_its_checkpoints", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .output()
            .unwrap();
        let said =
            [child.stdout, child.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(child.status.success(), "{}: {said}", child.status);
        let expected = fit(&open(), alone.path(), |trainer| trainer).unwrap();
        let resumed = fit(&open(), directory.path(), |trainer| trainer).unwrap();
        assert!(resumed.resumed_from.is_some());
        assert!(net::bits(&resumed.state) == net::bits(&expected.state));
    }
}
