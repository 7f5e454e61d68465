//! A net that is far too large for 60 tumours, and what helps it on those it has not seen: dropout, weight
//! decay, early stopping. Prints the loss on both parts for each, and leaves the curves.
//!
//!     cargo run --release --example overfit -- --charts .

use std::path::PathBuf;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::{Objective, TrainError};

#[derive(Parser)]
struct Options {
    /// Records to train on; the others of the table are for testing.
    #[arg(long, default_value_t = 60)]
    records: usize,
    /// Passes through the training data.
    #[arg(long, default_value_t = 150)]
    epochs: usize,
    /// A folder for the curves.
    #[arg(long)]
    charts: Option<PathBuf>,
}

/// What is done against overfitting.
#[derive(Clone, Copy)]
struct Remedy {
    name: &'static str,
    dropout: f64,
    weight_decay: f64,
    patience: Option<Patience>,
}

const NOTHING: Remedy = Remedy { name: "nothing", dropout: 0.0, weight_decay: 0.0, patience: None };
const REMEDIES: [Remedy; 5] = [
    NOTHING,
    Remedy { name: "dropout", dropout: 0.6, ..NOTHING },
    Remedy { name: "weight-decay", weight_decay: 3.0, ..NOTHING },
    Remedy { name: "early-stopping", patience: Some(Patience(3)), ..NOTHING },
    Remedy { name: "all", dropout: 0.6, weight_decay: 3.0, patience: Some(Patience(10)) },
];

/// 30-256-256-2, with dropout behind both hidden layers.
fn net(vars: &Vars, dropout: f64) -> Sequential {
    Sequential::new()
        .then(Linear::new(vars.sub("fc1"), 30, 256))
        .then(Relu)
        .then(Dropout::new(dropout))
        .then(Linear::new(vars.sub("fc2"), 256, 256))
        .then(Relu)
        .then(Dropout::new(dropout))
        .then(Linear::new(vars.sub("fc3"), 256, 2))
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let table = breast_cancer();
    let (train, test) = table.split(options.records as f64 / table.len() as f64, 3);
    let (train, test) = (train.standardized_by(&train)?, test.standardized_by(&train)?);
    let gpu = Gpu::new()?;
    println!("{} records to train on, {} to test\n", train.len(), test.len());
    println!("{:16} {:>6} {:>11} {:>10} {:>14}", "", "epochs", "train loss", "test loss", "test accuracy");
    for remedy in REMEDIES {
        let report = fit(&gpu, &train, &test, remedy, options)?;
        let Some(last) = report.history.last() else { continue };
        println!(
            "{:16} {:>6} {:>11.4} {:>10.4} {:>14.4}",
            remedy.name,
            last.epoch,
            last.train.loss,
            last.test.loss,
            last.test.get("accuracy").unwrap_or_default(),
        );
    }
    Ok(())
}

fn fit(
    gpu: &Gpu,
    train: &Labelled,
    test: &Labelled,
    remedy: Remedy,
    options: &Options,
) -> Result<Report, TrainError> {
    let vars = Vars::new();
    let model = net(&vars, remedy.dropout);
    let optimizer = AdamW::new(1e-3).weight_decay(remedy.weight_decay);
    let mut trainer =
        Trainer::new(gpu, &vars, optimizer).epochs(options.epochs).batch_size(20).progress(false);
    if let Some(patience) = remedy.patience {
        trainer = trainer.early_stopping(patience);
    }
    if let Some(folder) = &options.charts {
        trainer = trainer.chart(folder.join(format!("overfit-{}.svg", remedy.name)));
    }
    trainer.fit(train, test, |x, y| Objective::classification(&model.forward(x), y))
}
