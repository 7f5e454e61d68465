//! An autoencoder on MNIST: each image passes through a bottleneck of a few numbers, and comes back. It
//! leaves a picture of test images above what became of them.
//!
//!     cargo xtask data mnist
//!     cargo run --release --example autoencoder -- --bottleneck 16

use std::path::PathBuf;

use clap::Parser;
use image::{GrayImage, Luma};
use wgrad::prelude::*;
use wgrad::train::Objective;

/// Pairs in the picture.
const SHOWN: usize = 16;

#[derive(Parser)]
struct Options {
    /// The directory of the four IDX files.
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// The numbers that an image is squeezed into.
    #[arg(long, default_value_t = 16)]
    bottleneck: usize,
    /// Passes through the training data.
    #[arg(long, default_value_t = 3)]
    epochs: usize,
    /// Where to leave the picture.
    #[arg(long, default_value = "autoencoder.png")]
    picture: PathBuf,
}

struct Autoencoder {
    encoder: Sequential,
    decoder: Sequential,
}

impl Autoencoder {
    fn new(vars: &Vars, bottleneck: usize) -> Self {
        let (encoder, decoder) = (vars.sub("encoder"), vars.sub("decoder"));
        Self {
            encoder: Sequential::new()
                .then(Flatten)
                .then(Linear::new(encoder.sub(0), 784, 256))
                .then(Relu)
                .then(Linear::new(encoder.sub(1), 256, bottleneck)),
            decoder: Sequential::new()
                .then(Linear::new(decoder.sub(0), bottleneck, 256))
                .then(Relu)
                .then(Linear::new(decoder.sub(1), 256, 784)),
        }
    }

    /// The logits of each pixel.
    fn forward(&self, x: &Tensor) -> Tensor {
        self.decoder.forward(&self.encoder.forward(x))
    }
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = mnist(&options.data)?;
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Autoencoder::new(&vars, options.bottleneck);
    let trainer = Trainer::new(&gpu, &vars, Adam::new(2e-3)).epochs(options.epochs).batch_size(128);
    let report = trainer.fit(&train, &test, |x, _| {
        let (x, logits) = (x.flatten(1), model.forward(x));
        let error = (logits.sigmoid() - &x).square().mean(..);
        // What is left when every image is taken for the mean image of its batch.
        let mean = (&x - x.mean_keep(0)).square().mean(..);
        Objective::new(logits.binary_cross_entropy_with_logits(&x))
            .metric("error", error)
            .metric("mean image", mean)
    })?;
    println!("{report}");

    let reconstruct =
        gpu.compile(Mode::Eval, |g| [model.forward(&g.input("image", [SHOWN, 1, 28, 28], F32)).sigmoid()])?;
    let shown = Loader::new(test.take(SHOWN), SHOWN).allocator(reconstruct.staging()).epoch(0).next();
    let mut state = report.state;
    let after = reconstruct.run(&mut state, shown.ok_or("no data")??)?.get(0)?.to_vec::<f32>();
    let before = (0..SHOWN).filter_map(|record| test.input(record)).collect::<Vec<_>>().concat();
    picture(&before, &after).save(&options.picture)?;
    let [error, mean] =
        ["error", "mean image"].map(|name| report.history.last().and_then(|epoch| epoch.test.get(name)));
    println!("originals above reconstructions in {}", options.picture.display());
    println!(
        "test error {:.4} a pixel through {} numbers, {:.4} for the mean image",
        error.unwrap_or_default(),
        options.bottleneck,
        mean.unwrap_or_default(),
    );
    Ok(())
}

/// Images of 28×28 above others.
fn picture(above: &[f32], below: &[f32]) -> GrayImage {
    let pixel = |images: &[f32], x: u32, y: u32| {
        let value = images[((x / 28 * 28 + y) * 28 + x % 28) as usize];
        Luma([(255.0 * value).round().clamp(0.0, 255.0) as u8])
    };
    GrayImage::from_fn(28 * SHOWN as u32, 56, |x, y| {
        if y < 28 { pixel(above, x, y) } else { pixel(below, x, y - 28) }
    })
}
