//! A generative adversarial net on MNIST: one net makes up digits from noise, the other learns to tell them
//! from real ones, and both improve in the same step. It leaves a picture of made-up digits.
//!
//!     cargo xtask data mnist
//!     cargo run --release --example gan -- --steps 4000

use std::path::PathBuf;

use clap::Parser;
use image::{GrayImage, Luma};
use wgrad::prelude::*;

/// The numbers that a digit is made from.
const NOISE: usize = 64;
/// Digits along each side of the picture.
const SIDE: usize = 8;

#[derive(Parser)]
struct Options {
    /// The directory of the four IDX files.
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Training steps.
    #[arg(long, default_value_t = 4000)]
    steps: usize,
    /// Images in a batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Where to leave the picture.
    #[arg(long, default_value = "gan.png")]
    picture: PathBuf,
}

/// Noise to the pixels of images in −1..1.
fn generator(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(Linear::new(vars.sub("fc1"), NOISE, 256))
        .then(BatchNorm1d::new(vars.sub("norm1"), 256))
        .then(Relu)
        .then(Linear::new(vars.sub("fc2"), 256, 512))
        .then(BatchNorm1d::new(vars.sub("norm2"), 512))
        .then(Relu)
        .then(Linear::new(vars.sub("fc3"), 512, 784))
        .then(Tanh)
}

/// Pixels to the logit of being real.
fn discriminator(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(Linear::new(vars.sub("fc1"), 784, 256))
        .then(LeakyRelu(0.2))
        .then(Dropout::new(0.3))
        .then(Linear::new(vars.sub("fc2"), 256, 128))
        .then(LeakyRelu(0.2))
        .then(Dropout::new(0.3))
        .then(Linear::new(vars.sub("fc3"), 128, 1))
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (train, _) = mnist(&options.data)?;
    let train = train.normalized(0.5, 0.5)?;
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let (generator_vars, discriminator_vars) = (vars.sub("generator"), vars.sub("discriminator"));
    let (make, judge) = (generator(&generator_vars), discriminator(&discriminator_vars));
    let noise = |g: &Graph, count: usize| g.random_bits([count, NOISE]).bits_to_uniform() * 2.0 - 1.0;

    let batch = options.batch;
    let step = gpu.compile(Mode::Train, |g| {
        let real = judge.forward(&g.input("image", [batch, 1, 28, 28], F32).flatten(1));
        let fake = make.forward(&noise(g, batch));
        let (seen, judged) = (judge.forward(&fake.detach()), judge.forward(&fake));
        // Real images count as 0.9 real, so that the judge does not become too sure (Salimans et al., 2016).
        let told = real.binary_cross_entropy_with_logits(&real.full_like(0.9))
            + seen.binary_cross_entropy_with_logits(&seen.zeros_like());
        let fooled = judged.binary_cross_entropy_with_logits(&judged.ones_like());
        Adam::new(2e-4).betas(0.5, 0.999).minimize(&told, &discriminator_vars);
        Adam::new(2e-4).betas(0.5, 0.999).minimize(&fooled, &generator_vars);
        let share = |logits: &Tensor| logits.sigmoid().mean(..);
        [told.clone(), fooled, share(&real), share(&seen)]
    })?;
    let mut state = gpu.init(&vars, 3)?;
    let loader = Loader::new(train, batch).shuffle(3).drop_last().allocator(step.staging());
    let epochs = (0..).flat_map(|epoch| loader.epoch(epoch));
    for (number, images) in (1..=options.steps).zip(epochs) {
        let outputs = step.run(&mut state, images?)?;
        if number % 500 == 0 || number == options.steps {
            let [told, fooled, real, fake] = [0, 1, 2, 3].map(|index| outputs.scalar(index));
            println!("step {number}: judge's loss {:.3}, maker's loss {:.3}", told?, fooled?);
            println!("    real images look {:.0} % real, made-up ones {:.0} %", 100.0 * real?, 100.0 * fake?);
        }
    }

    let count = SIDE * SIDE;
    let show = gpu.compile(Mode::Eval, |g| [make.forward(&noise(g, count))])?;
    let digits = show.run(&mut state, Batch::new())?.get(0)?.to_vec::<f32>();
    picture(&digits).save(&options.picture)?;
    println!("{count} made-up digits in {}", options.picture.display());
    Ok(())
}

/// Images of 28×28 in a square.
fn picture(images: &[f32]) -> GrayImage {
    let side = 28 * SIDE as u32;
    GrayImage::from_fn(side, side, |x, y| {
        let image = (y / 28) as usize * SIDE + (x / 28) as usize;
        let value = images[image * 784 + (y % 28) as usize * 28 + (x % 28) as usize];
        Luma([((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8])
    })
}
