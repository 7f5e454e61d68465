//! Mixed precision: it trains as well as f32, skips what overflows, and halves what is stored.

use std::sync::LazyLock;

use wgrad::prelude::*;
use wgrad::train::Objective;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("an adapter"));

fn cnn(vars: &Vars) -> Sequential {
    Sequential::new()
        .then(|x: &Tensor| x.reshape([x.shape()[0], 1, 8, 8]))
        .then(Conv2dConfig::new(1, 16, 3).padding(1).build(vars.sub("conv1")))
        .then(BatchNorm2d::new(vars.sub("norm"), 16))
        .then(Relu)
        .then(Conv2d::new(vars.sub("conv2"), 16, 16, 3))
        .then(Relu)
        .then(MaxPool2d::new(2))
        .then(Flatten)
        .then(Linear::new(vars.sub("fc"), 144, 10))
}

/// The accuracy on the test digits after a few epochs, and the scale and skipped updates in the end.
fn train(precision: Precision) -> (f64, f64, f64) {
    let vars = Vars::new();
    let model = cnn(&vars);
    let (train, test) = digits().split(0.8, 0);
    let trainer = Trainer::new(&GPU, &vars, Adam::new(3e-3)).precision(precision).epochs(6).progress(false);
    let report = trainer.fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y)).unwrap();
    let read = |name: &str| report.state.read(name).map_or(0.0, |value| value.item());
    (report.test().get("accuracy").unwrap(), read("optim.loss_scale"), read("optim.skipped"))
}

#[test]
fn a_convolutional_net_learns_as_well_as_in_f32() {
    let (full, _, _) = train(Precision::Full);
    let (mixed, scale, skipped) = train(Precision::Mixed);
    println!("accuracy {full:.4} in f32, {mixed:.4} mixed; scale {scale}, {skipped} skipped");
    assert!(full > 0.95);
    // The test set has 360 records: three of them are within what another order of sums changes.
    assert!((full - mixed).abs() <= 3.0 / 360.0 + 1e-9);
    assert_eq!(scale, 65_536.0 * 0.5f64.powf(skipped), "the scale adapts on the device");
}

/// A step of a small GPT.
fn gpt_step(vars: &Vars, precision: Precision, optimizer: &dyn Optimizer) -> Program {
    let config = models::GptConfig {
        layers: 2,
        heads: 2,
        width: 32,
        vocabulary: 20,
        context: 16,
        ..Default::default()
    };
    let gpt = models::Gpt::new(vars, config);
    let record = |g: &Graph| {
        let (tokens, next) = (g.input("tokens", [4, 16], U32), g.input("next", [4, 16], U32));
        let loss = gpt.forward(&tokens).reshape([64, 20]).cross_entropy(&next.flatten(0));
        // Something to overflow with.
        let loss = loss * g.input("factor", [], F32);
        optimizer.minimize(&loss, vars);
        [loss]
    };
    GPU.compiler().precision(precision).compile(Mode::Train, record).unwrap()
}

fn batch(step: u32, factor: f32) -> Batch {
    let token = |at: u32| (at * at + at * step) % 20;
    let tokens: Vec<u32> = (0..64).map(token).collect();
    let next: Vec<u32> = (1..65).map(token).collect();
    Batch::new().with("tokens", [4, 16], &tokens).with("next", [4, 16], &next).with("factor", [], &[factor])
}

#[test]
fn a_small_gpt_follows_the_losses_of_f32() {
    let losses = |precision| {
        let vars = Vars::new();
        let adam = AdamW::new(1e-3).loss_scale(LossScale::dynamic());
        let program = gpt_step(&vars, precision, &adam);
        let mut state = GPU.init(&vars, 0).unwrap();
        let mut loss = |step| program.run(&mut state, batch(step % 3, 1.0)).unwrap().scalar(0).unwrap();
        (0..60u32).map(&mut loss).collect::<Vec<f64>>()
    };
    let (full, mixed) = (losses(Precision::Full), losses(Precision::Mixed));
    assert!(full[59] < full[0] - 0.5, "{full:?}");
    assert_ne!(full, mixed);
    let worst = full.iter().zip(&mixed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("largest difference of losses {worst:.5} nats, in the end {:.4} and {:.4}", full[59], mixed[59]);
    assert!(worst < 0.02, "{full:?}\n{mixed:?}");
}

#[test]
fn an_overflow_in_f16_is_skipped_counted_and_recovered_from() {
    let vars = Vars::new();
    let adam = AdamW::new(1e-3).loss_scale(LossScale::dynamic().growth(2.0, 2));
    let program = gpt_step(&vars, Precision::Mixed, &adam);
    let mut state = GPU.init(&vars, 0).unwrap();
    let names: Vec<String> = vars.all().iter().map(|var| var.name().to_string()).collect();
    let learned: Vec<&String> = names.iter().filter(|name| !name.starts_with("optim.")).collect();
    let values = |state: &State| learned.iter().map(|name| state.read(name).unwrap()).collect::<Vec<_>>();
    let read = |state: &State, name: &str| state.read(name).unwrap().item();
    program.run(&mut state, batch(0, 1.0)).unwrap().scalar(0).unwrap();
    let before = values(&state);
    // Finite in f32, and so is the gradient: beyond 65,504 only what is stored in f16 is not.
    let loss = program.run(&mut state, batch(1, 1e6)).unwrap().scalar(0).unwrap();
    assert!(loss.is_finite());
    assert!(values(&state) == before, "a skipped update leaves everything as it was");
    assert_eq!(read(&state, "optim.skipped"), 1.0);
    assert_eq!(read(&state, "optim.loss_scale"), 32_768.0);
    for step in 2..4 {
        program.run(&mut state, batch(step, 1.0)).unwrap();
    }
    assert!(values(&state) != before);
    assert_eq!(read(&state, "optim.skipped"), 1.0);
    assert_eq!(read(&state, "optim.loss_scale"), 65_536.0);
    assert_eq!(read(&state, "optim.step"), 3.0);
}

#[test]
fn less_is_stored() {
    let bytes = |precision| {
        let vars = Vars::new();
        gpt_step(&vars, precision, &AdamW::new(1e-3)).stats().peak_bytes
    };
    let (full, mixed) = (bytes(Precision::Full), bytes(Precision::Mixed));
    println!("peak {full} bytes in f32, {mixed} mixed");
    assert!(mixed * 4 < full * 3);
}
