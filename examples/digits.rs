//! A convolutional net on the 1,797 handwritten digits that come with wgrad, a fifth of them held out.
//!
//!     cargo run --release --example digits -- --chart digits.svg --report digits.html --tensorboard runs/digits

use std::path::PathBuf;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::Objective;

const BATCH: usize = 32;

#[derive(Parser)]
struct Options {
    /// Where to leave the curves of loss and accuracy (.svg or .png).
    #[arg(long)]
    chart: Option<PathBuf>,
    /// Where to leave a page that shows the whole run (.html).
    #[arg(long)]
    report: Option<PathBuf>,
    /// A folder for TensorBoard's event files.
    #[arg(long)]
    tensorboard: Option<PathBuf>,
    /// Passes through the training data.
    #[arg(long, default_value_t = 15)]
    epochs: usize,
}

struct Cnn {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    drop: Dropout,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    fn new(vars: &Vars) -> Self {
        Self {
            conv1: Conv2dConfig::new(1, 16, 3).padding(1).build(vars.sub("conv1")),
            norm1: BatchNorm2d::new(vars.sub("norm1"), 16),
            conv2: Conv2dConfig::new(16, 32, 3).padding(1).build(vars.sub("conv2")),
            norm2: BatchNorm2d::new(vars.sub("norm2"), 32),
            drop: Dropout::new(0.3),
            fc1: Linear::new(vars.sub("fc1"), 32 * 4 * 4, 64),
            fc2: Linear::new(vars.sub("fc2"), 64, 10),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.norm1.forward(&self.conv1.forward(x)).relu();
        let x = self.norm2.forward(&self.conv2.forward(&x)).relu().max_pool2d(2).flatten(1);
        self.fc2.forward(&self.drop.forward(&self.fc1.forward(&x).relu()))
    }
}

fn main() {
    if let Err(error) = train(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn train(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = digits().split(0.8, 0);
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Cnn::new(&vars);

    let steps = (options.epochs * train.len().div_ceil(BATCH)) as u32;
    let mut trainer = Trainer::new(&gpu, &vars, Adam::new(Cosine::new(3e-3, steps)))
        .epochs(options.epochs)
        .batch_size(BATCH)
        .seed(1);
    if let Some(path) = &options.chart {
        trainer = trainer.chart(path);
    }
    if let Some(path) = &options.report {
        trainer = trainer.report(path);
    }
    if let Some(folder) = &options.tensorboard {
        trainer = trainer.tensorboard(TensorBoard::new(folder).histograms(true));
    }
    let report = trainer.fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
    println!("{report}");
    if let Some(path) = &options.chart {
        println!("chart in {}", path.display());
    }
    println!("test accuracy {:.4}", report.test().get("accuracy").unwrap_or_default());
    Ok(())
}
