//! From settings, data and an objective to a training under way.

use std::cell::OnceCell;
use std::slice;
use std::time::Instant;

use wgrad_core::{Tensor, TensorSpec};
use wgrad_data::{DataError, Dataset};
use wgrad_gpu::{Program, State, Stats};
use wgrad_nn::Summary;

use crate::length::Length;
use crate::log::check_writable;
use crate::plateau::Plateau;
use crate::programs::Recipe;
use crate::run::Run;
use crate::{Objective, Progress, Report, Settings, TrainError, Trainer, chart};

impl Trainer {
    /// Trains from freshly initialized variables, or from a checkpoint, and evaluates on the whole test set
    /// after each epoch.
    ///
    /// Both datasets have two fields, which become the closure's `x` and `y` with the batch axis in
    /// front. The closure records the model and returns the loss, or an [`Objective`] that has metrics
    /// too; the loss must be a mean over the batch. It runs once for each program: one for
    /// training, one for evaluation, one for an incomplete last batch of the test set.
    pub fn fit<O: Into<Objective>>(
        &self,
        train: &(impl Dataset + Clone + 'static),
        test: &(impl Dataset + Clone + 'static),
        objective: impl Fn(&Tensor, &Tensor) -> O,
    ) -> Result<Report, TrainError> {
        self.fit_buckets(slice::from_ref(train), slice::from_ref(test), objective)
    }

    /// [`Trainer::fit`] on records of several shapes, a dataset for each, as
    /// [`Sequences::buckets`](wgrad_data::Sequences::buckets) makes them: fields may differ in extents. Each
    /// has a program of its own, which the closure records, and batches of all take turns in a random order.
    ///
    /// ```no_run
    /// # use wgrad_core::{Tensor, Vars};
    /// # use wgrad_data::Sequences;
    /// # use wgrad_train::{Objective, Report, TrainError, Trainer};
    /// fn fit(
    ///     trainer: &Trainer,
    ///     train: &Sequences,
    ///     test: &Sequences,
    ///     model: impl Fn(&Tensor) -> Tensor,
    /// ) -> Result<Report, TrainError> {
    ///     let lengths = [16, 32, 64];
    ///     trainer.fit_buckets(&train.buckets(&lengths), &test.buckets(&lengths), |tokens, label| {
    ///         Objective::classification(&model(tokens), label)
    ///     })
    /// }
    /// ```
    pub fn fit_buckets<O: Into<Objective>>(
        &self,
        train: &[impl Dataset + Clone + 'static],
        test: &[impl Dataset + Clone + 'static],
        objective: impl Fn(&Tensor, &Tensor) -> O,
    ) -> Result<Report, TrainError> {
        self.check(train, test)?;
        let start = Instant::now();
        let recipe = Recipe {
            compiler: &self.compiler,
            vars: &self.vars,
            optimizer: &*self.optimizer,
            objective: &|x: &Tensor, y: &Tensor| objective(x, y).into(),
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            averages: self.averages,
            seed: self.seed,
            workers: self.workers,
            loader: &*self.loader,
            summary: OnceCell::new(),
        };
        if !self.unfreezing.is_empty() {
            self.unfreezing.declare(&self.vars)?;
            recipe.declare(train)?;
            self.unfreezing.set(&self.vars, 1);
        }
        let mut programs = recipe.compile(train, test)?;
        let state = self.gpu.init(&self.vars, self.seed)?;
        if self.summary {
            eprintln!("{}", told(recipe.summary.get(), &programs.training.passes[0].program, &state));
        }
        let measured = programs.training.passes[0].measures.names();
        for (metric, schedule) in &self.plateaus {
            programs.plateaus.push(Plateau::new(&self.gpu, metric, schedule, &measured, &state)?);
        }
        let settings = Settings {
            seed: self.seed,
            batch_size: self.batch_size as u64,
            accumulate: self.accumulate as u64,
            train_records: train.iter().map(|records| records.len() as u64).sum(),
            test_records: test.iter().map(|records| records.len() as u64).sum(),
        };
        let progress = Progress { settings, ..Progress::default() };
        let mut report = Run::begin(self, &recipe, programs, state, progress, start.elapsed())?.finish()?;
        let chart = self.chart.as_ref().map(|path| chart::write(&report.history, path));
        report.unlogged.extend(chart.and_then(Result::err));
        let page = self.page.as_ref().map(|path| report.html(path));
        report.unlogged.extend(page.and_then(Result::err));
        Ok(report)
    }

    /// Finds mistakes before anything is compiled.
    fn check(&self, train: &[impl Dataset], test: &[impl Dataset]) -> Result<(), TrainError> {
        match self.length {
            Length::Epochs(0) => return Err(TrainError::NoEpochs),
            Length::Updates(0) => return Err(TrainError::Zero { what: "steps" }),
            _ => {}
        }
        let counts = [
            ("batches between updates", self.accumulate),
            ("batches between checkpoints", self.checkpoint_steps.unwrap_or(1)),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::Zero { what });
        }
        let (Some(first), Some(first_test)) = (train.first(), test.first()) else {
            return Err(DataError::Empty.into());
        };
        if train.iter().any(Dataset::is_empty) || test.iter().any(Dataset::is_empty) {
            return Err(DataError::Empty.into());
        }
        if self.batch_size == 0 {
            return Err(DataError::BatchSize.into());
        }
        let fields = first.fields();
        if fields.len() != 2 {
            return Err(TrainError::Fields { fields: list(&fields) });
        }
        // One dataset each: the very same records. Several: what the extents are may differ.
        let alike = match (train, test) {
            ([_], [_]) => fields == first_test.fields(),
            _ => {
                let all = train.iter().map(Dataset::fields).chain(test.iter().map(Dataset::fields));
                all.into_iter().all(|other| kinds(&other) == kinds(&fields))
            }
        };
        if !alike {
            return Err(TrainError::Unlike { train: list(&fields), test: list(&first_test.fields()) });
        }
        self.chart.as_deref().map_or(Ok(()), chart::check)?;
        self.page.as_deref().map_or(Ok(()), check_writable)?;
        Ok(())
    }
}

/// The summary of the model, and what the plan of a training step says.
fn told(summary: Option<&Summary>, step: &Program, state: &State) -> String {
    let Stats { dispatches, peak_bytes, flops, .. } = step.stats();
    let kilo = |number: f64| number / 1e3;
    format!(
        "{}\na training step: {dispatches} dispatches, {:.1} kFLOP, {:.1} kB of intermediates at once, \
         {:.1} kB of variables with those of the optimizer",
        summary.map_or(String::new(), ToString::to_string),
        kilo(*flops as f64),
        kilo(*peak_bytes as f64),
        kilo(state.bytes() as f64),
    )
}

/// What the fields of buckets have in common: names, dtypes, numbers of axes.
fn kinds(fields: &[(String, TensorSpec)]) -> Vec<(&str, wgrad_core::DType, usize)> {
    fields.iter().map(|(name, spec)| (name.as_str(), spec.dtype, spec.shape.rank())).collect()
}

fn list(fields: &[(String, TensorSpec)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, spec)| format!("`{name}` {spec}")).collect();
    if fields.is_empty() { "none".into() } else { fields.join(" and ") }
}
