//! A small net with everything that a training remembers: parameters, a running statistic, dropout, moments,
//! averages and an accumulation window.

#![allow(dead_code)] // each test file uses its part

use std::path::Path;
use std::sync::LazyLock;

use wgrad_core::{F32, Init, Mode, Tensor, TensorSpec, Var, Vars};
use wgrad_data::{Labelled, breast_cancer};
use wgrad_gpu::{Gpu, State};
use wgrad_optim::{Adam, Averaging, Optimizer};
use wgrad_train::{Checkpoint, Objective, Progress, Report, Trainer};

pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// 30 features, a hidden layer with dropout over a running scale, two classes.
pub(crate) struct Net {
    hidden: Var,
    output: Var,
    scale: Var,
}

impl Net {
    pub(crate) fn new(vars: &Vars) -> Self {
        let init = || Init::new(|cx| (cx.random_bits(0).bits_to_uniform() - 0.5) * 0.5);
        Self {
            hidden: vars.var("hidden", [30, 24], init()),
            output: vars.var("output", [24, 2], init()),
            scale: vars.buffer("scale", TensorSpec::new(F32, []), Init::constant(1.0)),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        let hidden = x.matmul(&graph.var(&self.hidden)).relu();
        let scale = graph.var(&self.scale);
        let hidden = if graph.mode() == Mode::Train {
            graph.assign(&self.scale, &(&scale * 0.9 + hidden.mean(..) * 0.1));
            let kept = graph.random_bits(hidden.shape()).bits_to_uniform().lt(0.75).cast(F32);
            hidden * kept
        } else {
            hidden * 0.75
        };
        (hidden / (scale + 0.1)).matmul(&graph.var(&self.output))
    }
}

pub(crate) fn tumours() -> (Labelled, Labelled) {
    let (train, test) = breast_cancer().split(0.8, 1);
    (train.standardized_by(&train).unwrap(), test.standardized_by(&train).unwrap())
}

/// Four epochs of 15 batches, an update for every second and for the last.
pub(crate) fn trainer(vars: &Vars, rate: f64) -> Trainer {
    let adam = Adam::new(rate).averaging(Averaging::ema(0.9));
    Trainer::new(&GPU, vars, adam).seed(5).batch_size(32).accumulate(2).epochs(4).progress(false)
}

pub(crate) fn fit(setting: impl Fn(Trainer) -> Trainer) -> Result<Report, wgrad_train::TrainError> {
    fit_at(3e-3, setting)
}

pub(crate) fn fit_at(
    rate: f64,
    setting: impl Fn(Trainer) -> Trainer,
) -> Result<Report, wgrad_train::TrainError> {
    let vars = Vars::new();
    let net = Net::new(&vars);
    let (train, test) = tumours();
    setting(trainer(&vars, rate)).fit(&train, &test, |x, y| Objective::classification(&net.forward(x), y))
}

/// Trains with a checkpoint after every batch, going on from what is there.
pub(crate) fn fit_in(directory: &Path) -> Report {
    fit(|trainer| trainer.checkpoint(directory).checkpoint_every(1).resume(true)).unwrap()
}

/// Every bit of a state.
pub(crate) fn bits(state: &State) -> Vec<u8> {
    Checkpoint::of(state, &Progress::default()).unwrap().variables().to_bytes().unwrap()
}

/// Losses and metrics, without times.
pub(crate) fn scores(report: &Report) -> Vec<String> {
    report.history.epochs().iter().map(|epoch| format!("{:?} {:?}", epoch.train, epoch.test)).collect()
}
