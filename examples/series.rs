//! A one-dimensional convolutional net on time series: nine speakers told apart by how they say two vowels
//! (twelve channels), or any other set of the archive.
//!
//!     cargo xtask data series
//!     cargo run --release --example series -- --set JapaneseVowels

use std::path::PathBuf;

use clap::Parser;
use wgrad::data::series;
use wgrad::nn::{Conv1d, Conv1dConfig};
use wgrad::prelude::*;
use wgrad::train::Objective;

#[derive(Parser)]
struct Options {
    /// The directory of the sets.
    #[arg(long, default_value = "data/series")]
    data: PathBuf,
    /// JapaneseVowels, GunPoint or ItalyPowerDemand.
    #[arg(long, default_value = "JapaneseVowels")]
    set: String,
    /// Passes through the training data.
    #[arg(long, default_value_t = 25)]
    epochs: usize,
}

/// Three convolutions with norms, and the mean over time of what they find (Wang et al., "Time series
/// classification from scratch", 2017).
struct Net {
    blocks: [(Conv1d, BatchNorm1d); 3],
    head: Linear,
}

impl Net {
    fn new(vars: &Vars, channels: usize, classes: usize) -> Self {
        let block = |number: usize, inputs: usize, outputs: usize, kernel: usize| {
            let conv = Conv1dConfig::new(inputs, outputs, kernel).padding(kernel / 2);
            let norm = BatchNorm1d::new(vars.sub(format!("norm{number}")), outputs);
            (conv.build(vars.sub(format!("conv{number}"))), norm)
        };
        Self {
            blocks: [block(1, channels, 32, 7), block(2, 32, 64, 5), block(3, 64, 32, 3)],
            head: Linear::new(vars.sub("head"), 32, classes),
        }
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let step = |x: Tensor, (conv, norm): &(Conv1d, BatchNorm1d)| norm.forward(&conv.forward(&x)).relu();
        self.head.forward(&self.blocks.iter().fold(x.clone(), step).mean(-1))
    }
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = series(&options.data, &options.set)?;
    println!("{} series {} to train on, {} to test", train.len(), train.shape(), test.len());
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Net::new(&vars, train.shape()[0], train.classes());
    let batch = 30.min(train.len());
    let steps = (options.epochs * train.len().div_ceil(batch)) as u32;
    let report = Trainer::new(&gpu, &vars, Adam::new(Cosine::new(3e-3, steps)))
        .epochs(options.epochs)
        .batch_size(batch)
        .fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
    println!("{report}");
    println!("test accuracy {:.4}", report.test().get("accuracy").unwrap_or_default());
    Ok(())
}
