//! Schedules that watch evaluations, parameters that begin to train later, batches of several shapes, updates
//! that are skipped.

#[path = "net/mod.rs"]
mod net;

use std::ops::ControlFlow;

use tempfile::TempDir;
use wgrad_core::{F32, Init, Tensor, Vars};
use wgrad_data::{Sequences, TensorDataset};
use wgrad_optim::{Adam, LossScale, Optimizer, ReduceOnPlateau, Sgd};
use wgrad_train::{Metric, Objective, Report, TrainError, Trainer};

/// Trains with a schedule that watches a score which never changes.
fn with_plateau(schedule_of: impl Fn(&Vars) -> ReduceOnPlateau, metric: &str) -> Result<Report, TrainError> {
    let vars = Vars::new();
    let net = net::Net::new(&vars);
    let schedule = schedule_of(&vars);
    let (train, test) = net::tumours();
    Trainer::new(&net::GPU, &vars, Sgd::new(schedule.clone()))
        .epochs(4)
        .progress(false)
        .reduce_on_plateau(metric, &schedule)
        .fit(&train, &test, |x, y| {
            let loss = net.forward(x).cross_entropy(y);
            Objective::new(loss).metric("one", Metric::mean(&y.cast(F32).ones_like()))
        })
}

#[test]
fn a_plateau_is_seen() {
    let halved = |vars: &Vars| ReduceOnPlateau::new(vars, 0.01).factor(0.5).patience(0);
    // The first observation is the best so far, each of the other three halves the rate.
    let report = with_plateau(halved, "one").unwrap();
    assert_eq!(report.state.read("optim.lr").unwrap().item(), f64::from(0.01f32 / 8.0));
    let falling = with_plateau(|vars| ReduceOnPlateau::new(vars, 0.01).factor(0.5).patience(9), "loss");
    assert_eq!(falling.unwrap().state.read("optim.lr").unwrap().item(), f64::from(0.01f32));

    let error = with_plateau(halved, "F1").err().unwrap();
    assert_eq!(error.to_string(), "`F1` is not measured; there are `loss`, `one`");
    let elsewhere = Vars::new();
    let error = with_plateau(|_| halved(&elsewhere.sub("other")), "loss").err().unwrap();
    assert!(error.to_string().contains("was made for other variables"), "{error}");
}

fn hidden(report: &Report) -> Vec<f64> {
    report.state.read("hidden").unwrap().data
}

#[test]
fn what_is_frozen_stays_until_its_epoch() {
    let late = |trainer: Trainer| trainer.unfreeze(3, "hid*");
    let [none, two, four] = [1, 2, 4].map(|epochs| net::fit(|t| late(t).epochs(epochs)).unwrap());
    assert_eq!(hidden(&none), hidden(&two));
    assert_ne!(hidden(&two), hidden(&four));
    assert_eq!(two.state.read("hidden.average").unwrap().data, hidden(&two));
    assert_ne!(two.state.read("output").unwrap(), none.state.read("output").unwrap());

    let error = net::fit(|trainer| trainer.unfreeze(2, "encoder.*")).err().unwrap();
    assert_eq!(error.to_string(), "unfreeze: no parameter matches `encoder.*`");
    let error = net::fit(|trainer| trainer.unfreeze(2, "*")).err().unwrap();
    assert_eq!(error.to_string(), "unfreeze: no parameter trains in the first epoch");
    let error = net::fit(|trainer| trainer.unfreeze(2, "[")).err().unwrap();
    assert!(error.to_string().contains("is not a glob pattern"), "{error}");
}

/// Adam's first update of a parameter is its rate in every element, whenever that update is.
#[test]
fn bias_corrections_begin_with_the_parameter() {
    const RATE: f64 = 1e-3;
    let after = |updates: usize| {
        let vars = Vars::new();
        let net = net::Net::new(&vars);
        let (train, test) = net::tumours();
        let trainer = Trainer::new(&net::GPU, &vars, Adam::new(RATE)).seed(5).batch_size(32).progress(false);
        let report = trainer
            .steps(updates)
            .unfreeze(3, "hidden")
            .fit(&train, &test, |x, y| net.forward(x).cross_entropy(y));
        hidden(&report.unwrap())
    };
    let (before, first) = (after(2 * 15), after(2 * 15 + 1));
    let moves: Vec<f64> = before.iter().zip(&first).map(|(a, b)| (a - b).abs()).collect();
    let largest = moves.iter().copied().fold(0.0, f64::max);
    assert!((largest - RATE).abs() < 1e-2 * RATE, "{largest}");
    assert!(moves.iter().all(|&by| by == 0.0 || (by - RATE).abs() < 0.1 * RATE));
}

#[test]
fn unfreezing_is_resumed() {
    let late = |trainer: Trainer| trainer.unfreeze(2, "*").unfreeze(3, "hidden").unfreeze(1, "output");
    let alone = net::fit(late).unwrap();
    let expected = (net::scores(&alone), net::bits(&alone.state));
    for batches in [7, 15, 16, 22, 37] {
        let directory = TempDir::new().unwrap();
        let with = |trainer: Trainer| late(trainer).checkpoint(directory.path()).resume(true);
        let stop = |trainer: Trainer| {
            let mut seen = 0;
            trainer.on_step(move |_| {
                seen += 1;
                Ok(if seen == batches { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        };
        net::fit(|trainer| stop(with(trainer))).unwrap();
        let resumed = net::fit(with).unwrap();
        let found = (net::scores(&resumed), net::bits(&resumed.state));
        assert!(found == expected, "stopped after {batches} batches: {found:?} {expected:?}");
    }
}

/// Sequences of one to twenty tokens; the class is whether the sum of the tokens is above its middle.
fn sequences() -> Sequences {
    let sequence = |i: usize| (0..1 + i * 7 % 20).map(|t| 1 + (i * 31 + t * 17) as u32 % 9).collect();
    let sequences: Vec<Vec<u32>> = (0..90).map(sequence).collect();
    let labels = sequences.iter().map(|tokens| u32::from(tokens.iter().sum::<u32>() > 50)).collect();
    Sequences::new(sequences, labels, 2).unwrap()
}

/// The sum of the tokens' scores; padding has none, so it does not matter how much of it there is.
fn bag_of_words(vars: &Vars) -> impl Fn(&Tensor, &Tensor) -> Objective {
    let scores =
        vars.var("scores", [10, 2], Init::new(|cx| (cx.random_bits(0).bits_to_uniform() - 0.5) * 0.1));
    let bias = vars.var("bias", [2], Init::constant(0.0));
    move |tokens, label| {
        let embedded = tokens.graph().var(&scores).index_select(0, tokens);
        let counts = tokens.ne(0.0).cast(F32).unsqueeze(-1);
        let logits = (embedded * counts).sum(1) + tokens.graph().var(&bias);
        Objective::classification(&logits, label)
    }
}

fn in_buckets(lengths: &[usize], setting: impl Fn(Trainer) -> Trainer, rate: f64) -> Report {
    let vars = Vars::new();
    let objective = bag_of_words(&vars);
    let trainer = Trainer::new(&net::GPU, &vars, Sgd::new(rate)).batch_size(8).epochs(3).progress(false);
    let buckets = sequences().buckets(lengths);
    setting(trainer).fit_buckets(&buckets, &buckets, objective).unwrap()
}

#[test]
fn buckets_train_together() {
    let [whole, parts] = [&[20][..], &[5, 10, 20]].map(|lengths| in_buckets(lengths, |t| t, 0.0));
    let (whole, parts) = (whole.test(), parts.test());
    assert!((whole.loss - parts.loss).abs() < 1e-6 && whole.metrics == parts.metrics, "{whole} {parts}");

    let directory = TempDir::new().unwrap();
    let with = |trainer: Trainer| trainer.checkpoint(directory.path()).resume(true);
    let alone = in_buckets(&[5, 10, 20], |t| t, 0.01);
    assert!(alone.test().loss < parts.loss);
    // 24, 23 and 43 sequences are 3, 3 and 6 batches.
    assert_eq!(alone.state.step().unwrap(), 3 * 12);
    let stop = |trainer: Trainer| {
        trainer.on_step(|step| {
            Ok(if step.step == 18 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    };
    in_buckets(&[5, 10, 20], |trainer| stop(with(trainer)), 0.01);
    let resumed = in_buckets(&[5, 10, 20], with, 0.01);
    assert!(resumed.resumed_from.is_some());
    assert_eq!(net::bits(&resumed.state), net::bits(&alone.state));
    assert_eq!(net::scores(&resumed), net::scores(&alone));
}

/// Forty records of which one is infinite: one update of five is skipped in each epoch.
#[test]
fn skipped_updates_are_counted() {
    let mut rows = [0.5f32; 80];
    rows[7] = f32::INFINITY;
    let of = |rows: &[f32]| {
        let data = TensorDataset::new().field("x", [40, 2], rows).unwrap();
        data.field("y", [40], &[1.0f32; 40]).unwrap()
    };
    let fit = |optimizer: Sgd, allow: bool| {
        let vars = Vars::new();
        let weight = vars.var("weight", [2], Init::constant(0.1));
        Trainer::new(&net::GPU, &vars, optimizer)
            .batch_size(8)
            .epochs(3)
            .progress(false)
            .allow_non_finite(allow)
            .fit(&of(&rows), &of(&[0.5; 80]), |x, y| (x * x.graph().var(&weight)).sum(1).mse_loss(y))
    };
    let careful = || Sgd::new(0.1).loss_scale(LossScale::fixed(1.0));
    let report = fit(careful(), true).unwrap();
    assert_eq!(report.skipped_updates, 3);
    assert_eq!(report.state.read("optim.step").unwrap().item(), 12.0);
    assert!(report.test().loss < 0.1, "{report}");
    assert!(report.to_string().contains("3 updates skipped, gradients were not finite"), "{report}");
    let error = fit(careful(), false).err().unwrap();
    assert!(matches!(error, TrainError::NonFinite { epoch: 1, .. }), "{error}");
}
