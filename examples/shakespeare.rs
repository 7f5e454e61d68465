//! A character GPT on the works of Shakespeare: four blocks of width 128. It samples some text at the end.
//!
//!     cargo xtask data shakespeare
//!     cargo run --release --example shakespeare -- --steps 300

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use wgrad::data::{Characters, Random, TokenStream};
use wgrad::nn::KvCache;
use wgrad::nn::models::{Gpt, GptConfig};
use wgrad::optim::Group;
use wgrad::prelude::*;

/// Characters that the model sees at once.
const CONTEXT: usize = 64;

#[derive(Parser)]
struct Options {
    /// The directory of `shakespeare.txt`.
    #[arg(long, default_value = "data/shakespeare")]
    data: PathBuf,
    /// Training steps.
    #[arg(long, default_value_t = 300)]
    steps: u32,
    /// Sequences in a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Multiply and store in f16, with a loss scale.
    #[arg(long)]
    mixed: bool,
    /// Characters to sample at the end.
    #[arg(long, default_value_t = 600)]
    sample: usize,
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(options.data.join("shakespeare.txt"))?;
    let characters = Characters::of(&text);
    let (train, validation) = TokenStream::new(characters.encode(&text)?, CONTEXT).split(0.95);

    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let vocabulary = characters.len();
    let size = GptConfig { layers: 4, heads: 4, width: 128, tied: false, ..Default::default() };
    let config = GptConfig { vocabulary, context: CONTEXT, ..size };
    let gpt = Gpt::new(&vars, config);
    let cache = gpt.cache(vars.sub("cache"), 1);

    let shape = [options.batch, CONTEXT];
    let loss = |g: &Graph| {
        let (tokens, next) = (g.input("tokens", shape, U32), g.input("next", shape, U32));
        gpt.forward(&tokens).reshape([shape[0] * shape[1], vocabulary]).cross_entropy(&next.flatten(0))
    };
    // Muon for the matrices of the blocks, AdamW for everything else.
    let rate = |rate| Warmup::new(20, Cosine::new(rate, options.steps));
    let adam = |group: Group| group.optimizer(AdamW::new(rate(2e-3)).betas(0.9, 0.99));
    let optimizer =
        Muon::new(rate(0.02)).vectors(adam).group("transformer.w*", adam).group("lm_head.*", adam);
    let (compiler, optimizer) = match options.mixed {
        true => (gpu.compiler().precision(Precision::Mixed), optimizer.loss_scale(LossScale::dynamic())),
        false => (gpu.compiler(), optimizer),
    };
    let step = compiler.compile(Mode::Train, |g| {
        let loss = loss(g);
        optimizer.minimize(&loss, &vars);
        [loss]
    })?;
    let score = compiler.compile(Mode::Eval, |g| [loss(g)])?;
    let mut state = gpu.init(&vars, 1)?;

    let start = Instant::now();
    let loader = Loader::new(train, options.batch).shuffle(1).drop_last().allocator(step.staging());
    let epochs = (0..).flat_map(|epoch| loader.epoch(epoch));
    for (number, batch) in (1..=options.steps).zip(epochs) {
        let outputs = step.run(&mut state, batch?)?;
        if number == 1 || number % 20 == 0 {
            println!(
                "step {number:4}: loss {:.3}, {:.0} s",
                outputs.scalar(0)?,
                start.elapsed().as_secs_f64()
            );
        }
    }

    let loader = Loader::new(validation, options.batch).shuffle(2).drop_last().allocator(score.staging());
    let losses = loader.epoch(0).take(25).map(|batch| Ok(score.run(&mut state, batch?)?.scalar(0)?));
    let losses = losses.collect::<Result<Vec<f64>, Box<dyn std::error::Error>>>()?;
    println!("\n{}\n", sample(&gpu, &gpt, &cache, &mut state, &characters, options.sample)?);
    println!("validation loss {:.4} nats a character", losses.iter().sum::<f64>() / losses.len() as f64);
    Ok(())
}

/// Text that the model makes up, a character at a time.
fn sample(
    gpu: &Gpu,
    gpt: &Gpt,
    cache: &KvCache,
    state: &mut State,
    characters: &Characters,
    length: usize,
) -> Result<String, Box<dyn std::error::Error>> {
    let next = gpu.compile(Mode::Eval, |g| [gpt.forward_cached(&g.input("token", [1, 1], U32), cache)])?;
    let mut random = Random::new(7, 0);
    let mut tokens = characters.encode("\n")?;
    let mut seen = 0;
    while tokens.len() < length {
        if seen == CONTEXT {
            // The cache is full: it forgets, and reads the second half of what it knew again.
            seen = 0;
            state.write(cache.position.name(), &Array::from_slice([], &[0u32]))?;
        }
        let unread = if seen == 0 { tokens.len().saturating_sub(CONTEXT / 2) } else { tokens.len() - 1 };
        let mut logits = vec![];
        for &token in &tokens[unread..] {
            logits = next.run(state, Batch::new().with("token", [1, 1], &[token]))?.get(0)?.data;
            seen += 1;
        }
        tokens.push(draw(&logits, 0.8, &mut random));
    }
    Ok(characters.decode(&tokens))
}

/// A number drawn with the probabilities softmax(logits / temperature).
fn draw(logits: &[f64], temperature: f64, random: &mut Random) -> u32 {
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| ((logit - highest) / temperature).exp()).collect();
    let mut left = random.uniform() * weights.iter().sum::<f64>();
    let beyond = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(beyond).unwrap_or_default() as u32
}
