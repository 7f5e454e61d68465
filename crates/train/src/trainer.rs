//! The trainer: what is to be trained, for how long, and what is kept of it.

use std::path::PathBuf;

use wgrad_core::Vars;
use wgrad_data::Loader;
use wgrad_gpu::{Compiler, Gpu, Precision, State};
use wgrad_optim::{LossScale, Optimizer, ReduceOnPlateau};

use crate::callback::{Callbacks, Verdict};
use crate::length::Length;
use crate::log::Target;
use crate::unfreezing::Unfreezing;
use crate::{Checkpoints, EpochReport, Patience, StepReport, TensorBoard};

/// Trains the variables of a model with an optimizer.
///
/// ```no_run
/// # use wgrad_core::{Tensor, Vars};
/// # use wgrad_data::digits;
/// # use wgrad_gpu::Gpu;
/// # use wgrad_optim::Adam;
/// # use wgrad_train::{Objective, Patience, Trainer};
/// # struct Model;
/// # impl Model { fn forward(&self, x: &Tensor) -> Tensor { x.clone() } }
/// # let (gpu, vars, model) = (Gpu::new()?, Vars::new(), Model);
/// let (train, test) = digits().split(0.8, 0);
/// let report = Trainer::new(&gpu, &vars, Adam::new(1e-3))
///     .epochs(50)
///     .batch_size(32)
///     .early_stopping(Patience(3))
///     .restore_best(true)
///     .checkpoint("run") // saved after every epoch, and by Ctrl-C
///     .resume(true) // with the same bits as without the interruption
///     .fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))?;
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Trainer::fit`] runs it. A training that was killed at any moment and resumed from its checkpoints ends
/// with the same bits as one that was not, as far as it depends on the state alone: what callbacks keep
/// elsewhere is not saved.
pub struct Trainer {
    pub(crate) gpu: Gpu,
    pub(crate) compiler: Compiler,
    pub(crate) vars: Vars,
    pub(crate) optimizer: Box<dyn Optimizer>,
    pub(crate) length: Length,
    pub(crate) batch_size: usize,
    pub(crate) accumulate: usize,
    pub(crate) seed: u64,
    pub(crate) workers: Option<usize>,
    pub(crate) loader: Box<dyn Fn(Loader) -> Loader>,
    pub(crate) averages: bool,
    pub(crate) plateaus: Vec<(String, ReduceOnPlateau)>,
    pub(crate) unfreezing: Unfreezing,
    pub(crate) allow_non_finite: bool,
    pub(crate) hunt_nan: bool,
    pub(crate) progress: bool,
    pub(crate) summary: bool,
    pub(crate) patience: Option<Patience>,
    pub(crate) restore_best: bool,
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) checkpoint_steps: Option<usize>,
    pub(crate) resume: bool,
    pub(crate) fall_back: bool,
    pub(crate) callbacks: Callbacks,
    pub(crate) chart: Option<PathBuf>,
    pub(crate) logs: Vec<Target>,
    pub(crate) page: Option<PathBuf>,
    pub(crate) profile: bool,
}

impl Trainer {
    /// A trainer for ten epochs of batches of 64, seed 0, that shows its progress.
    pub fn new(gpu: &Gpu, vars: &Vars, optimizer: impl Optimizer + 'static) -> Self {
        Self {
            gpu: gpu.clone(),
            compiler: gpu.compiler(),
            vars: vars.clone(),
            optimizer: Box::new(optimizer),
            length: Length::Epochs(10),
            batch_size: 64,
            accumulate: 1,
            seed: 0,
            workers: None,
            loader: Box::new(|loader| loader),
            averages: false,
            plateaus: vec![],
            unfreezing: Unfreezing::default(),
            allow_non_finite: false,
            hunt_nan: false,
            progress: true,
            summary: false,
            patience: None,
            restore_best: false,
            checkpoints: None,
            checkpoint_steps: None,
            resume: false,
            fall_back: false,
            callbacks: Callbacks::default(),
            chart: None,
            logs: vec![],
            page: None,
            profile: false,
        }
    }

    /// The number of passes through the training data; with `usize::MAX` training goes on until something else
    /// ends it, [`Trainer::early_stopping`] say.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.length = Length::Epochs(epochs);
        self
    }

    /// The number of updates, instead of epochs. The last epoch may be cut short; it is evaluated like the
    /// others. A training that is resumed with more updates goes on within it, with the same bits as without the
    /// cut: its checkpoint is from before that evaluation, and of what this has changed ([`Trainer::on_epoch`],
    /// [`Trainer::reduce_on_plateau`]) it knows nothing.
    pub fn steps(mut self, updates: usize) -> Self {
        self.length = Length::Updates(updates);
        self
    }

    /// Records in a batch. The last batch of an epoch is padded (see [`Loader::pad_last`]).
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Updates once for so many batches, by the mean of their gradients: the update of a batch so many times
    /// as large, in the memory of one. What is left at the end of an epoch makes an update too.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// Trains and evaluates in mixed precision ([`Precision`]), with a loss scale that adapts
    /// ([`LossScale::dynamic`]) unless the optimizer has one already.
    ///
    /// ```no_run
    /// # fn of(trainer: wgrad_train::Trainer) -> wgrad_train::Trainer {
    /// use wgrad_gpu::Precision;
    /// trainer.precision(Precision::MixedWhereSupported)
    /// # }
    /// ```
    pub fn precision(mut self, precision: Precision) -> Self {
        self.compiler = self.compiler.precision(precision);
        if self.compiler.is_mixed() {
            self.optimizer.settings_mut().loss_scale_or(LossScale::dynamic());
        }
        self
    }

    /// Keeps the intermediates of each program within so many bytes of device memory, by computing some of them a
    /// second time ([`Compiler::memory_budget`](wgrad_gpu::Compiler::memory_budget)): the same bits, in more time.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.compiler = self.compiler.memory_budget(bytes);
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

    /// Changes the loader of the training records: how they are sampled, how many batches are prefetched, what
    /// happens to bad records.
    ///
    /// ```no_run
    /// # fn of(trainer: wgrad_train::Trainer) -> wgrad_train::Trainer {
    /// trainer.loader(|loader| loader.prefetch(8).skip_bad())
    /// # }
    /// ```
    pub fn loader(mut self, change: impl Fn(Loader) -> Loader + 'static) -> Self {
        let before = self.loader;
        self.loader = Box::new(move |loader| change(before(loader)));
        self
    }

    /// Whether to show progress on standard error: a bar where that is a terminal, and a line for each
    /// epoch.
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Whether to write a [`Summary`](wgrad_nn::Summary) of the model to standard error before training: layers
    /// with their outputs, parameters and operations, and what the plan of a training step needs.
    pub fn summary(mut self, summary: bool) -> Self {
        self.summary = summary;
        self
    }

    /// Evaluates with the averages of the parameters instead of the parameters: those that the optimizer's
    /// [`averaging`](wgrad_optim::Optimizer::averaging) keeps.
    pub fn evaluate_averages(mut self, averages: bool) -> Self {
        self.averages = averages;
        self
    }

    /// After each evaluation, tells a schedule its test `loss`, or a metric by name. The optimizer must have
    /// been given the same schedule; what it remembers is part of the state.
    ///
    /// ```no_run
    /// # use wgrad_core::Vars;
    /// # use wgrad_gpu::Gpu;
    /// # use wgrad_optim::{Adam, ReduceOnPlateau};
    /// # use wgrad_train::Trainer;
    /// # let (gpu, vars) = (Gpu::new()?, Vars::new());
    /// let plateau = ReduceOnPlateau::new(&vars, 1e-3).factor(0.5).patience(2);
    /// let trainer = Trainer::new(&gpu, &vars, Adam::new(plateau.clone()))
    ///     .reduce_on_plateau("loss", &plateau);
    /// # Ok::<(), wgrad_gpu::Error>(())
    /// ```
    pub fn reduce_on_plateau(mut self, metric: &str, schedule: &ReduceOnPlateau) -> Self {
        self.plateaus.push((metric.into(), schedule.clone()));
        self
    }

    /// Leaves the parameters whose names match a pattern (`*` also matches dots) as they are until an epoch,
    /// counted from 1, and trains them from there on: gradual unfreezing (Howard and Ruder, 2018). The
    /// training step is compiled again for that epoch. Where several patterns match, the last counts.
    ///
    /// ```no_run
    /// # fn of(trainer: wgrad_train::Trainer) -> wgrad_train::Trainer {
    /// // A new head on a pretrained net: the head alone, then the last block, then everything.
    /// trainer.unfreeze(5, "*").unfreeze(3, "layer4.*").unfreeze(1, "fc.*")
    /// # }
    /// ```
    ///
    /// Moments begin at zero where a parameter begins to train, and its bias corrections count from there.
    pub fn unfreeze(mut self, epoch: usize, pattern: &str) -> Self {
        self.unfreezing.push(epoch, pattern);
        self
    }

    /// Stops when the test loss has not reached a new low for more than so many epochs in a row. The
    /// state stays that of the last epoch, unless [`Trainer::restore_best`] says otherwise.
    pub fn early_stopping(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    /// In the end, takes the whole state back to the epoch with the lowest test loss.
    pub fn restore_best(mut self, restore: bool) -> Self {
        self.restore_best = restore;
        self
    }

    /// Keeps [`Checkpoints`] in a directory: after each epoch (one that is cut short is saved before its evaluation,
    /// see [`Trainer::steps`]), and at each new low of the test loss the best.
    /// Ctrl-C then saves and stops (a second one ends the process); so do SIGTERM and SIGHUP.
    pub fn checkpoint(mut self, directory: impl Into<PathBuf>) -> Self {
        self.checkpoints = Some(Checkpoints::new(directory));
        self
    }

    /// How many checkpoints to keep, beside the best; 2 by default. Call it after [`Trainer::checkpoint`].
    pub fn keep_checkpoints(mut self, keep: usize) -> Self {
        self.checkpoints = self.checkpoints.map(|checkpoints| checkpoints.keep(keep));
        self
    }

    /// Saves after every so many batches of an epoch too.
    pub fn checkpoint_every(mut self, batches: usize) -> Self {
        self.checkpoint_steps = Some(batches);
        self
    }

    /// Goes on from the last checkpoint of the directory, if there is one. Otherwise a directory that holds
    /// checkpoints is an error.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Where the last checkpoint is damaged, goes on from the one before instead of giving up. What could not
    /// be read is kept under another name.
    pub fn fall_back(mut self, fall_back: bool) -> Self {
        self.fall_back = fall_back;
        self
    }

    /// Whether to go on when a batch's loss is infinite or no number. By default that is an error, and no state
    /// that such a batch has changed is saved. Allow it where the optimizer skips bad updates
    /// ([`LossScale`](wgrad_optim::LossScale)).
    pub fn allow_non_finite(mut self, allow: bool) -> Self {
        self.allow_non_finite = allow;
        self
    }

    /// Whether to find out, when a batch's loss is infinite or no number, which operation the first such value came
    /// from: the error then names its line ([`Program::hunt_nan`](wgrad_gpu::Program::hunt_nan)). Training is
    /// slower by a copy of the state before each step and a wait for each loss, and holds two more states in device
    /// memory: run again with it, from the last checkpoint, when a training has failed.
    pub fn hunt_nan(mut self, hunt: bool) -> Self {
        self.hunt_nan = hunt;
        self
    }

    /// Calls a function with each batch's loss, in order, a few steps after the batch was trained. It may end
    /// the training, and its error ends it too.
    ///
    /// ```no_run
    /// # use std::ops::ControlFlow;
    /// # fn of(trainer: wgrad_train::Trainer) -> wgrad_train::Trainer {
    /// trainer.on_step(|step| {
    ///     let stop = step.loss.is_nan();
    ///     Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    /// })
    /// # }
    /// ```
    pub fn on_step(mut self, callback: impl FnMut(&StepReport) -> Verdict + 'static) -> Self {
        self.callbacks.on_step(callback);
        self
    }

    /// Calls a function after each epoch and its evaluation, before it is saved. It may change the state (a
    /// learning rate, say) and end the training. For what it changes after an epoch that is cut short, see
    /// [`Trainer::steps`].
    pub fn on_epoch(mut self, callback: impl FnMut(&EpochReport, &mut State) -> Verdict + 'static) -> Self {
        self.callbacks.on_epoch(callback);
        self
    }

    /// Leaves a [`chart`](crate::chart) of loss and metrics, as `.svg` or `.png`. A path that cannot be written is an
    /// error before training begins; what goes wrong later is told in
    /// [`Report::unlogged`](crate::Report::unlogged).
    pub fn chart(mut self, path: impl Into<PathBuf>) -> Self {
        self.chart = Some(path.into());
        self
    }

    /// Leaves an HTML page that shows the whole training ([`Report::html`](crate::Report::html)), with a
    /// [`Trainer::profile`]. A path that cannot be written is an error before training begins; what goes wrong
    /// later is told in [`Report::unlogged`](crate::Report::unlogged).
    pub fn report(mut self, path: impl Into<PathBuf>) -> Self {
        self.page = Some(path.into());
        self.profile(true)
    }

    /// Whether to time the kernels of a training step in the end, on a state of its own, for
    /// [`Report::profile`](crate::Report::profile); takes a second or two.
    pub fn profile(mut self, profile: bool) -> Self {
        self.profile = profile;
        self
    }

    /// Writes event files for TensorBoard: loss and learning rate of every step, scores and times of every
    /// epoch.
    ///
    /// A log that cannot be opened is an error before training begins. One that cannot be written later, on a
    /// full disk say, is closed with a warning, told in [`Report::unlogged`](crate::Report::unlogged), and training
    /// goes on: that holds for every kind of log.
    pub fn tensorboard(mut self, directory: impl Into<TensorBoard>) -> Self {
        self.logs.push(Target::TensorBoard(directory.into()));
        self
    }

    /// Writes a table with a row for every step and every epoch; fields that a row knows nothing of are empty.
    /// A file that is there is replaced, unless the training is resumed: then rows up to its checkpoint stay.
    pub fn csv(mut self, path: impl Into<PathBuf>) -> Self {
        self.logs.push(Target::Csv(path.into()));
        self
    }

    /// Writes a JSON object a line for every step (`"kind": "step"`) and every epoch (`"kind": "epoch"`), to a
    /// file that is replaced or continued like that of [`Trainer::csv`]. Infinities and NaN are text.
    pub fn json_lines(mut self, path: impl Into<PathBuf>) -> Self {
        self.logs.push(Target::JsonLines(path.into()));
        self
    }
}
