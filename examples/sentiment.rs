//! An LSTM that reads a sentence of a film review word by word and says whether it is praise.
//!
//!     cargo xtask data sentiment
//!     cargo run --release --example sentiment

use std::path::PathBuf;

use clap::Parser;
use wgrad::data::{Csv, CsvFormat, Sequences, Words, split};
use wgrad::nn::Lstm;
use wgrad::prelude::*;
use wgrad::train::Objective;

/// Words of a sentence that are read; longer ones lose their end.
const LENGTH: usize = 24;

#[derive(Parser)]
struct Options {
    /// The directory of `reviews.tsv`.
    #[arg(long, default_value = "data/sentiment")]
    data: PathBuf,
    /// Passes through the training data.
    #[arg(long, default_value_t = 6)]
    epochs: usize,
}

struct Model {
    embedding: Embedding,
    drop: Dropout,
    lstm: Lstm,
    head: Linear,
}

impl Model {
    fn new(vars: &Vars, vocabulary: usize) -> Self {
        Self {
            embedding: Embedding::new(vars.sub("embedding"), vocabulary, 32),
            drop: Dropout::new(0.3),
            lstm: Lstm::new(vars.sub("lstm"), 32, 64),
            head: Linear::new(vars.sub("head"), 64, 2),
        }
    }

    /// Logits of blame and praise from sentences u32[n, LENGTH], padded at the end.
    fn forward(&self, words: &Tensor) -> Tensor {
        let lengths = words.ne(f64::from(Words::PADDING)).cast(U32).sum(1);
        let words = self.drop.forward(&self.embedding.forward(words));
        let (_, (last, _)) = self.lstm.run(&words, Some(&lengths), None);
        self.head.forward(&self.drop.forward(&last.select_index(0, 0)))
    }
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    // Number, rating from −4 to 4, sentence. What is near 0 is neither praise nor blame.
    let table = Csv::read_as(options.data.join("reviews.tsv"), CsvFormat::tab().no_header())?;
    let (ratings, texts) = (table.numbers("1")?, table.text("2")?);
    let clear: Vec<(u32, &str)> = ratings
        .iter()
        .zip(texts)
        .filter(|(rating, _)| rating.abs() >= 0.5)
        .map(|(rating, text)| (u32::from(*rating > 0.0), text))
        .collect();
    let labels: Vec<u32> = clear.iter().map(|(label, _)| *label).collect();
    let parts = split::by_class(labels.iter().copied(), &[0.9, 0.1], 1)?;

    let words = Words::of(parts[0].iter().map(|&record| clear[record].1), 8);
    let sequences = clear.iter().map(|(_, text)| words.encode(text)).collect();
    let all = Sequences::new(sequences, labels, 2)?.padded_to(LENGTH);
    let (train, test) = (all.subset(parts[0].clone())?, all.subset(parts[1].clone())?);
    let praise = test.labels().sum::<u32>() as f64 / test.len() as f64;
    println!("{} sentences, {} words, {} sentences held out", all.len(), words.len(), test.len());

    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Model::new(&vars, words.len());
    let report = Trainer::new(&gpu, &vars, Adam::new(4e-3)).epochs(options.epochs).batch_size(128).fit(
        &train,
        &test,
        |x, y| Objective::classification(&model.forward(x), y),
    )?;
    println!("{report}");
    let accuracy = report.test().get("accuracy").unwrap_or_default();
    println!("test accuracy {accuracy:.4}; the larger class alone {:.4}", praise.max(1.0 - praise));
    Ok(())
}
