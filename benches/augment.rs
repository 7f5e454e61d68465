//! Augmentation by a thread of the loader and by the device, beside a batch that is only copied; and whole training
//! steps with each.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wgrad::data::{Augmented, Mixup};
use wgrad::nn::augment::{self, Normalize, RandomCrop, RandomHorizontalFlip, RandomRotation};
use wgrad::prelude::*;
use wgrad_benches::{Error, Work};

const CLASSES: usize = 10;
const MEANS: [f32; 3] = [0.49, 0.48, 0.45];
const DEVIATIONS: [f32; 3] = [0.25, 0.24, 0.26];

/// A change of images: what the loader does, and what the graph does.
#[derive(Clone, Copy, Debug)]
enum Change {
    None,
    Flip,
    Crop,
    Rotate,
    Normalize,
    Mixup,
    /// Flip, crop, rotate and normalize.
    Four,
}

impl Change {
    const ALL: [Self; 7] =
        [Self::None, Self::Flip, Self::Crop, Self::Rotate, Self::Normalize, Self::Mixup, Self::Four];

    fn on_host(self, images: Labelled, batch: usize) -> Result<Loader, DataError> {
        let plain = || Augmented::new(images.clone());
        let changed = match self {
            Self::None => return Ok(Loader::new(images, batch)),
            Self::Mixup => return Ok(Loader::new(Mixup::new(images, CLASSES, 0.2)?, batch)),
            Self::Flip => plain()?.flip(),
            Self::Crop => plain()?.crop(4),
            Self::Rotate => plain()?.rotate(15.0),
            Self::Normalize => plain()?.normalize(&MEANS, &DEVIATIONS)?,
            Self::Four => plain()?.flip().crop(4).rotate(15.0).normalize(&MEANS, &DEVIATIONS)?,
        };
        Ok(Loader::new(changed, batch))
    }

    fn on_device(self, x: &Tensor) -> Tensor {
        match self {
            Self::None => x.clone(),
            Self::Flip => RandomHorizontalFlip::new(0.5).forward(x),
            Self::Crop => RandomCrop::new(4).forward(x),
            Self::Rotate => RandomRotation::new(15.0).forward(x),
            Self::Normalize => Normalize::new(&MEANS, &DEVIATIONS).forward(x),
            Self::Mixup => {
                let labels = x.graph().constant([x.dim(0)], &vec![0u32; x.dim(0)]);
                augment::Mixup::new(0.2).mix(x, &labels, CLASSES).0
            }
            Self::Four => [Self::Flip, Self::Crop, Self::Rotate, Self::Normalize]
                .iter()
                .fold(x.clone(), |x, change| change.on_device(&x)),
        }
    }
}

fn images(count: usize, side: usize) -> Result<Labelled, DataError> {
    let values = (0..count * 3 * side * side).map(|at| (at * 37 % 251) as f32 / 250.0).collect();
    Labelled::new("image", [3, side, side], values, (0..count as u32).map(|n| n % 10).collect(), CLASSES)
}

/// The time in which so many batches come, one after the other.
fn load(loader: &Loader, batches: u64) -> Result<Duration, DataError> {
    let start = Instant::now();
    let mut left = batches;
    for epoch in 0.. {
        for batch in loader.epoch(epoch).take(left as usize) {
            batch?;
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    Ok(start.elapsed())
}

/// The change alone: images in the state become other images there.
fn device_work(gpu: &Gpu, change: Change, batch: usize, side: usize) -> Result<Work, Error> {
    let vars = Vars::new();
    let shape = [batch, 3, side, side];
    let images = vars.var("images", shape, init::uniform(0.0, 1.0));
    let changed = vars.buffer("changed", TensorSpec::new(F32, shape), Init::constant(0.0));
    let record = |g: &Graph| {
        // Not a plain copy, which is no kernel.
        g.assign(&changed, &(change.on_device(&g.var(&images)) * 2.0));
        [g.scalar(0.0, F32)]
    };
    Work::new(gpu, Mode::Train, &vars, record, vec![])
}

fn alone(c: &mut Criterion, gpu: &Gpu) -> Result<(), Error> {
    for (batch, side) in [(64, 32), (32, 224)] {
        let mut group = c.benchmark_group(format!("augment/{batch}×3×{side}×{side}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for change in Change::ALL {
            let loader = change.on_host(images(2 * batch, side)?, batch)?.workers(0);
            group.bench_function(BenchmarkId::new("host", format!("{change:?}")), |b| {
                b.iter_custom(|runs| load(&loader, runs).expect("images that are in memory"));
            });
            let mut work = device_work(gpu, change, batch, side)?;
            group.bench_function(BenchmarkId::new("device", format!("{change:?}")), |b| {
                b.iter_custom(|runs| work.time(runs, 100).expect("a program that was compiled runs"));
            });
        }
    }
    Ok(())
}

/// Training steps of a convolutional net fed by two threads.
fn train(
    gpu: &Gpu,
    host: Change,
    device: Change,
) -> Result<impl FnMut(u64) -> Result<Duration, Error>, Error> {
    const BATCH: usize = 64;
    let vars = Vars::new();
    let conv = |name, from, to| Conv2dConfig::new(from, to, 3).padding(1).build(vars.sub(name));
    let net = Sequential::new()
        .then(conv("conv1", 3, 32))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(conv("conv2", 32, 64))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(|x: &Tensor| x.flatten(1))
        .then(Linear::new(vars.sub("fc"), 64 * 8 * 8, CLASSES));
    let program = gpu.compile(Mode::Train, |g| {
        let x = device.on_device(&g.input("image", [BATCH, 3, 32, 32], F32));
        let loss = net.forward(&x).cross_entropy(&g.input("label", [BATCH], U32));
        Sgd::new(0.01).minimize(&loss, &vars);
        [loss]
    })?;
    let mut state = gpu.init(&vars, 0)?;
    let loader = host.on_host(images(16 * BATCH, 32)?, BATCH)?.workers(2).allocator(program.staging());
    Ok(move |steps| {
        let start = Instant::now();
        let batches = (0..).flat_map(|epoch| loader.epoch(epoch)).take(steps as usize);
        let mut last = None;
        for batch in batches {
            last = Some(program.run(&mut state, batch?)?);
        }
        last.map(|loss| loss.scalar(0)).transpose()?;
        Ok(start.elapsed())
    })
}

fn steps(c: &mut Criterion, gpu: &Gpu) -> Result<(), Error> {
    let mut group = c.benchmark_group("augment/training step");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for (what, host, device) in [
        ("none", Change::None, Change::None),
        ("host", Change::Four, Change::None),
        ("device", Change::None, Change::Four),
    ] {
        let mut step = train(gpu, host, device)?;
        group.bench_function(what, |b| {
            b.iter_custom(|runs| step(runs).expect("a program that was compiled runs"));
        });
    }
    Ok(())
}

fn all(c: &mut Criterion) {
    let result = Gpu::new().map_err(Error::from).and_then(|gpu| {
        alone(c, &gpu)?;
        steps(c, &gpu)
    });
    if let Err(error) = result {
        eprintln!("{error}");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
