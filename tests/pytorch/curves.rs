//! Loss curves: 100 training steps from PyTorch's weights, on the same batches.

use std::collections::BTreeSet;

use wgrad::nn::models::{Gpt, GptConfig};
use wgrad::prelude::*;

use crate::golden::Goldens;
use crate::suite::GPU;

const STEPS: usize = 100;

/// Both sides round in f32, each in its own order; what counts is whether they train alike.
const RELATIVE: f64 = 1e-3;

/// Trains from PyTorch's weights and compares the loss of every step.
fn follow<O: Optimizer>(
    name: &str,
    vars: &Vars,
    optimizer: O,
    loss: impl Fn(&Graph) -> Tensor,
    batches: impl Iterator<Item = Batch>,
) {
    let goldens = Goldens::read("curves");
    let golden = goldens.case(name);
    golden.sub("var").apply(vars).unwrap_or_else(|error| panic!("{name}: {error}"));
    let program = GPU.compile(Mode::Train, |graph| {
        let loss = loss(graph);
        optimizer.minimize(&loss, vars);
        [loss]
    });
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(vars, 0).unwrap_or_else(|error| panic!("{error}"));
    let expected = goldens.array(&format!("{name}.losses")).data;
    assert_eq!(expected.len(), STEPS);
    let mut worst = 0.0f64;
    let mut steps = 0;
    for (step, (expected, batch)) in expected.iter().zip(batches).enumerate() {
        let outputs = program.run(&mut state, batch).unwrap_or_else(|error| panic!("{error}"));
        let found = outputs.scalar(0).unwrap_or_else(|error| panic!("{error}"));
        let error = (found - expected).abs() / expected;
        assert!(error <= RELATIVE, "{name}, step {step}: PyTorch's loss is {expected}, the GPU's {found}");
        worst = worst.max(error);
        steps += 1;
    }
    assert_eq!(steps, STEPS, "{name}: the number of batches");
    println!(
        "{name}: from {:.3} to {:.3}, at most {worst:.1e} apart from PyTorch's",
        expected[0],
        expected[STEPS - 1]
    );
}

#[test]
fn a_cnn_trains_like_pytorch_s() {
    let vars = Vars::new();
    let conv1 = Conv2dConfig::new(1, 8, 3).padding(1).build(vars.sub("conv1"));
    let conv2 = Conv2dConfig::new(8, 16, 3).padding(1).build(vars.sub("conv2"));
    let fc = Linear::new(vars.sub("fc"), 64, 10);
    let loss = |graph: &Graph| {
        let x = conv1.forward(&graph.input("image", [32, 1, 8, 8], F32)).relu().max_pool2d(2);
        let x = conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        fc.forward(&x).cross_entropy(&graph.input("label", [32], U32))
    };
    let loader = Loader::new(digits(), 32);
    let batches = (0..2).flat_map(|epoch| loader.epoch(epoch)).map(|batch| batch.expect("the digits load"));
    follow("cnn", &vars, Sgd::new(0.05).momentum(0.9), loss, batches);
}

/// The text, as codes in the order of its characters.
fn sonnet() -> Vec<u32> {
    let text: Vec<char> = include_str!("sonnet.txt").chars().collect();
    let alphabet: BTreeSet<char> = text.iter().copied().collect();
    let alphabet: Vec<char> = alphabet.into_iter().collect();
    text.iter()
        .map(|character| alphabet.binary_search(character).expect("it is of the text") as u32)
        .collect()
}

#[test]
fn a_gpt_trains_like_pytorch_s() {
    const LENGTH: usize = 16;
    const PIECES: usize = 8;
    let text = sonnet();
    let characters = text.iter().max().map_or(0, |last| *last as usize + 1);
    let vars = Vars::new();
    let model = Gpt::new(
        &vars,
        GptConfig {
            vocabulary: characters,
            context: LENGTH,
            layers: 2,
            heads: 2,
            width: 16,
            tied: false,
            ..GptConfig::default()
        },
    );
    let loss = |graph: &Graph| {
        let [input, next] = ["input", "next"].map(|name| graph.input(name, [PIECES, LENGTH], U32));
        model.forward(&input).transpose(1, 2).cross_entropy(&next)
    };
    let batches = (0..STEPS).map(|step| {
        let start = |piece| 7 * (PIECES * step + piece) % (text.len() - LENGTH);
        let piece = |shift: usize| {
            (0..PIECES).flat_map(move |piece| start(piece) + shift..start(piece) + shift + LENGTH)
        };
        let codes = |shift| piece(shift).map(|at| text[at]).collect::<Vec<u32>>();
        Batch::new().with("input", [PIECES, LENGTH], &codes(0)).with("next", [PIECES, LENGTH], &codes(1))
    });
    follow("gpt", &vars, AdamW::new(1e-2), loss, batches);
}
