//! A convolutional net on the 1,797 handwritten digits that come with wgrad, a fifth of them held out.
//!
//!     cargo run --release --example digits -- --chart digits.svg

use std::path::PathBuf;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::Objective;

#[derive(Parser)]
struct Options {
    /// Where to leave the curves of loss and accuracy (.svg or .png).
    #[arg(long)]
    chart: Option<PathBuf>,
    #[arg(long, default_value_t = 15)]
    epochs: usize,
}

struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    drop: Dropout,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    fn new(vars: &Vars) -> Self {
        Self {
            conv1: Conv2dConfig::new(1, 16, 3).padding(1).build(vars.sub("conv1")),
            conv2: Conv2dConfig::new(16, 32, 3).padding(1).build(vars.sub("conv2")),
            drop: Dropout::new(0.3),
            fc1: Linear::new(vars.sub("fc1"), 32 * 4 * 4, 64),
            fc2: Linear::new(vars.sub("fc2"), 64, 10),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv1.forward(x).relu();
        let x = self.conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        self.fc2.forward(&self.drop.forward(&self.fc1.forward(&x).relu()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let (train, test) = digits().split(0.8, 1);
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Cnn::new(&vars);

    let mut trainer =
        Trainer::new(&gpu, &vars, Adam::new(2e-3)).epochs(options.epochs).batch_size(32).seed(1);
    if let Some(path) = &options.chart {
        trainer = trainer.chart(path);
    }
    let report = trainer.fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
    println!("{report}");
    if let Some(path) = &options.chart {
        println!("chart in {}", path.display());
    }
    println!("test accuracy {:.4}", report.test().get("accuracy").unwrap_or_default());
    Ok(())
}
