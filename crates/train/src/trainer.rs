//! The training loop.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wgrad_core::{Graph, Mode, Tensor, TensorSpec, Vars};
use wgrad_data::{DataError, Dataset, Loader, Subset};
use wgrad_gpu::{Gpu, State};
use wgrad_optim::Optimizer;

use crate::pass::{Pass, Totals};
use crate::progress::Progress;
use crate::stopping::Stopping;
use crate::{EpochReport, History, Objective, Patience, Report, Timing, TrainError, chart};

/// Trains the variables of a model with an optimizer.
///
/// ```no_run
/// # use wgrad_core::{Tensor, Vars};
/// # use wgrad_data::digits;
/// # use wgrad_gpu::Gpu;
/// # use wgrad_optim::Adam;
/// # use wgrad_train::{Objective, Trainer};
/// # struct Model;
/// # impl Model { fn forward(&self, x: &Tensor) -> Tensor { x.clone() } }
/// # let (gpu, vars, model) = (Gpu::new()?, Vars::new(), Model);
/// let (train, test) = digits().split(0.8, 0);
/// let report = Trainer::new(&gpu, &vars, Adam::new(1e-3))
///     .epochs(5)
///     .batch_size(32)
///     .fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    gpu: Gpu,
    vars: Vars,
    optimizer: Box<dyn Optimizer>,
    epochs: usize,
    batch_size: usize,
    seed: u64,
    workers: Option<usize>,
    progress: bool,
    patience: Option<Patience>,
    chart: Option<PathBuf>,
}

impl Trainer {
    /// A trainer for ten epochs of batches of 64, seed 0, that shows its progress.
    pub fn new(gpu: &Gpu, vars: &Vars, optimizer: impl Optimizer + 'static) -> Self {
        Self {
            gpu: gpu.clone(),
            vars: vars.clone(),
            optimizer: Box::new(optimizer),
            epochs: 10,
            batch_size: 64,
            seed: 0,
            workers: None,
            progress: true,
            patience: None,
            chart: None,
        }
    }

    /// The number of passes through the training data.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Records in a batch. The last batch of an epoch is padded (see [`Loader::pad_last`]).
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// What the parameters, dropout and the order of records are drawn from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of threads that fill batches (see [`Loader::workers`]).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Whether to show progress on standard error: a bar where that is a terminal, and a line for each
    /// epoch.
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Stops when the test loss has not reached a new low for more than so many epochs in a row. The
    /// state stays that of the last epoch.
    pub fn early_stopping(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Leaves a [`chart`] of loss and metrics, as `.svg` or `.png`.
    pub fn chart(mut self, path: impl Into<PathBuf>) -> Self {
        self.chart = Some(path.into());
        self
    }

    /// Trains from freshly initialized variables and evaluates on the whole test set after each epoch.
    ///
    /// Both datasets have two fields, which become the closure's `x` and `y` with the batch axis in
    /// front. The closure records the model and returns the loss, or an [`Objective`] that has metrics
    /// too; losses and metrics must be means over the batch. It runs once for each program: one for
    /// training, one for evaluation, one for an incomplete last batch of the test set.
    pub fn fit<O: Into<Objective>>(
        &self,
        train: &(impl Dataset + Clone + 'static),
        test: &(impl Dataset + Clone + 'static),
        objective: impl Fn(&Tensor, &Tensor) -> O,
    ) -> Result<Report, TrainError> {
        self.check(train, test)?;
        let objective = |x: &Tensor, y: &Tensor| objective(x, y).into();
        let start = Instant::now();
        let training = self.training(train, &objective)?;
        let evaluation = self.evaluation(test, &objective)?;
        let mut state = self.gpu.init(&self.vars, self.seed)?;
        let mut timing = Timing { compile: start.elapsed(), ..Timing::default() };

        let steps = training.loader.batches()?;
        let mut progress = Progress::new(self.progress, self.epochs, steps, self.batch_size);
        let mut stopping = self.patience.map(Stopping::new);
        let mut history = History::default();
        for epoch in 1..=self.epochs {
            progress.epoch(epoch);
            let (totals, time) =
                timed(|| training.run(&mut state, epoch as u64 - 1, |loss| progress.step(loss)))?;
            let (tested, evaluating) = timed(|| evaluate(&evaluation, &mut state))?;
            timing.train += time;
            timing.evaluate += evaluating;
            let report = EpochReport {
                epoch,
                train: totals.scores(&training.metrics),
                test: tested.scores(&training.metrics),
                time,
                samples_per_second: train.len() as f64 / time.as_secs_f64().max(1e-9),
            };
            progress.finished(&report);
            let enough = stopping.as_mut().is_some_and(|stopping| stopping.after(report.test.loss));
            history.push(report);
            if enough {
                break;
            }
        }
        drop(progress);
        if let Some(path) = &self.chart {
            chart::write(&history, path)?;
        }
        let stopped_early = history.epochs().len() < self.epochs;
        Ok(Report { history, state, timing, stopped_early })
    }

    /// Finds mistakes before anything is compiled.
    fn check(&self, train: &impl Dataset, test: &impl Dataset) -> Result<(), TrainError> {
        if self.epochs == 0 {
            return Err(TrainError::NoEpochs);
        }
        if train.is_empty() || test.is_empty() {
            return Err(DataError::Empty.into());
        }
        if self.batch_size == 0 {
            return Err(DataError::BatchSize.into());
        }
        let (train, test) = (train.fields(), test.fields());
        if train.len() != 2 {
            return Err(TrainError::Fields { fields: list(&train) });
        }
        if train != test {
            return Err(TrainError::Unlike { train: list(&train), test: list(&test) });
        }
        self.chart.as_deref().map_or(Ok(()), chart::check)?;
        Ok(())
    }

    fn training(
        &self,
        data: &(impl Dataset + Clone + 'static),
        objective: &dyn Fn(&Tensor, &Tensor) -> Objective,
    ) -> Result<Pass, TrainError> {
        let loader = Loader::new(data.clone(), self.batch_size).shuffle(self.seed);
        self.compile(Mode::Train, loader, objective)
    }

    /// Programs for the full batches and for the rest, so that every record counts once.
    fn evaluation(
        &self,
        data: &(impl Dataset + Clone + 'static),
        objective: &dyn Fn(&Tensor, &Tensor) -> Objective,
    ) -> Result<Vec<Pass>, TrainError> {
        let rest = data.len() % self.batch_size;
        let full = data.len() - rest;
        let mut passes = Vec::new();
        for (records, batch_size) in [(0..full, self.batch_size), (full..data.len(), rest)] {
            if !records.is_empty() {
                let loader = Loader::new(Subset::new(data.clone(), records)?, batch_size);
                passes.push(self.compile(Mode::Eval, loader, objective)?);
            }
        }
        Ok(passes)
    }

    fn compile(
        &self,
        mode: Mode,
        loader: Loader,
        objective: &dyn Fn(&Tensor, &Tensor) -> Objective,
    ) -> Result<Pass, TrainError> {
        let layout = loader.layout();
        let mut metrics = Vec::new();
        let program = self.gpu.compile(mode, |graph: &Graph| {
            let inputs: Vec<Tensor> = layout
                .fields()
                .iter()
                .map(|field| graph.input(&field.name, &field.spec.shape, field.spec.dtype))
                .collect();
            let objective = objective(&inputs[0], &inputs[1]);
            if mode == Mode::Train {
                self.optimizer.minimize(objective.loss(), &self.vars);
            }
            metrics = objective.names().into_iter().map(String::from).collect();
            objective.outputs()
        })?;
        let loader = loader.allocator(program.staging());
        let loader = match self.workers {
            Some(workers) => loader.workers(workers),
            None => loader,
        };
        Ok(Pass { program, loader, metrics })
    }
}

fn evaluate(passes: &[Pass], state: &mut State) -> Result<Totals, TrainError> {
    let mut all: Option<Totals> = None;
    for pass in passes {
        let totals = pass.run(state, 0, |_| ())?;
        all = Some(match all {
            Some(sum) => sum.and(&totals),
            None => totals,
        });
    }
    all.ok_or_else(|| DataError::Empty.into())
}

fn timed<T>(body: impl FnOnce() -> Result<T, TrainError>) -> Result<(T, Duration), TrainError> {
    let start = Instant::now();
    Ok((body()?, start.elapsed()))
}

fn list(fields: &[(String, TensorSpec)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, spec)| format!("`{name}` {spec}")).collect();
    if fields.is_empty() { "none".into() } else { fields.join(" and ") }
}
