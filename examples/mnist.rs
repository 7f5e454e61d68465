//! A multilayer perceptron or a convolutional net on MNIST, or on a set in its format.
//!
//!     cargo xtask data mnist
//!     cargo run --release --example mnist -- --model cnn --epochs 1 --data data/mnist

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use wgrad::prelude::*;
use wgrad::train::Objective;

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value_t = Kind::Cnn)]
    model: Kind,
    /// Passes through the training data.
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// The directory of the four IDX files.
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Records in a batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Multiply and store in f16, with a loss scale.
    #[arg(long)]
    mixed: bool,
    /// Where to leave the curves of loss and accuracy (.svg or .png).
    #[arg(long)]
    chart: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Mlp,
    Cnn,
}

/// 784-512-512-10.
fn mlp(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(Flatten)
        .then(Linear::new(vars.sub("fc1"), 784, 512))
        .then(Relu)
        .then(Linear::new(vars.sub("fc2"), 512, 512))
        .then(Relu)
        .then(Linear::new(vars.sub("fc3"), 512, 10))
}

/// Two convolutions, each with a pooling behind it, and two linear layers.
fn cnn(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(Conv2d::new(vars.sub("conv1"), 1, 32, 3))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(Conv2d::new(vars.sub("conv2"), 32, 64, 3))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(Flatten)
        .then(Linear::new(vars.sub("fc1"), 1600, 128))
        .then(Relu)
        .then(Dropout::new(0.5))
        .then(Linear::new(vars.sub("fc2"), 128, 10))
}

fn main() {
    if let Err(error) = train(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn train(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = mnist(&options.data)?;
    let (mean, deviation) = train.moments();
    let (train, test) = (train.normalized(mean, deviation)?, test.normalized(mean, deviation)?);

    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = match options.model {
        Kind::Mlp => mlp(&vars),
        Kind::Cnn => cnn(&vars),
    };
    let mut trainer =
        Trainer::new(&gpu, &vars, Adam::new(1e-3)).epochs(options.epochs).batch_size(options.batch);
    if options.mixed {
        trainer = trainer.precision(Precision::Mixed);
    }
    if let Some(path) = &options.chart {
        trainer = trainer.chart(path);
    }
    let report = trainer.fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
    println!("{report}");
    println!("test accuracy {:.4}", report.test().get("accuracy").unwrap_or_default());
    Ok(())
}
