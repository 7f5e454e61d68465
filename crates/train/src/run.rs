//! One training under way: its epochs and steps, where it may stop, and what it saves.

use std::time::{Duration, Instant};

use wgrad_core::batch::Batch;
use wgrad_gpu::{Outputs, State};

use crate::bar::Bar;
use crate::feed::Turn;
use crate::interrupt::Interrupt;
use crate::log::{EpochLog, Logs};
use crate::observer::Observer;
use crate::pass::{Pass, Tally};
use crate::programs::{Programs, Recipe};
use crate::resume;
use crate::stopping::Stopping;
use crate::watch::Watch;
use crate::{Checkpoint, EpochReport, Profile, Progress, Report, Timing, TrainError, Trainer};

/// Why a training has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has come to its last epoch or step.
    Finished,
    /// The test loss no longer fell.
    Patience,
    /// A callback wanted it.
    Callback,
    /// Ctrl-C, or a signal to end.
    Interrupted,
}

pub(crate) struct Run<'a> {
    trainer: &'a Trainer,
    recipe: &'a Recipe<'a>,
    programs: Programs,
    state: State,
    progress: Progress,
    /// How many batches there are in an epoch, and in the whole training.
    batches: u64,
    total: u64,
    stopping: Option<Stopping>,
    /// The best state so far; in memory only where no directory keeps it.
    best: Option<Checkpoint>,
    interrupt: Option<Interrupt>,
    watch: Option<Watch>,
    bar: Bar,
    logs: Logs,
    /// Of how much of the loader's waiting the progress knows.
    stalled: Duration,
    timing: Timing,
    resumed: Option<resume::Resumed>,
}

impl<'a> Run<'a> {
    /// Begins, or goes on from the last checkpoint.
    pub(crate) fn begin(
        trainer: &'a Trainer,
        recipe: &'a Recipe<'a>,
        programs: Programs,
        mut state: State,
        start: Progress,
        compile: Duration,
    ) -> Result<Self, TrainError> {
        let batches = programs.training.batches()?;
        let resumed = resume::resume(trainer, &mut state, &start, batches)?;
        if resumed.is_none() {
            trainer.unfreezing.begin(&trainer.vars, &mut state)?;
        }
        let progress = resumed.as_ref().map_or(start, |resumed| resumed.progress.clone());
        let total = trainer.length.batches(batches, trainer.accumulate as u64);
        let mut stopping = trainer.patience.map(Stopping::new);
        if let Some(stopping) = &mut stopping {
            progress.history.epochs().iter().for_each(|epoch| stopping.after(epoch.test.loss));
        }
        let done = progress.epoch * batches + progress.batch;
        let bar = Bar::new(trainer.progress, batches, total, done, trainer.batch_size);
        let interrupt = trainer.checkpoints.is_some().then(Interrupt::listen);
        let watch = trainer.hunt_nan.then(Watch::default);
        let timing = Timing { compile, ..Timing::default() };
        let logs =
            trainer.open_logs(done, &programs.training.passes[0].measures.names(), recipe.summary.get())?;
        let (best, stalled) = (None, Duration::ZERO);
        Ok(Self {
            trainer,
            recipe,
            programs,
            state,
            progress,
            batches,
            total,
            stopping,
            best,
            interrupt,
            watch,
            bar,
            logs,
            stalled,
            timing,
            resumed,
        })
    }

    /// Trains to the end, whichever it is.
    pub(crate) fn finish(mut self) -> Result<Report, TrainError> {
        let ending = self.train()?;
        self.timing.stalled = self.programs.training.stalled();
        // An interrupted training may go on; its state stays where it is.
        let restored = if ending == Ending::Interrupted { None } else { self.restore_best()? };
        let skipped_updates = skipped_updates(&self.state)?;
        let skipped = self.programs.training.skipped();
        let is_profiled = self.trainer.profile && ending != Ending::Interrupted;
        let profile = is_profiled.then(|| Profile::of(self.trainer, &self.programs.training.passes[0]));
        self.logs.flush(&self.bar);
        drop(self.bar);
        Ok(Report {
            history: self.progress.history,
            confusion: self.progress.confusion,
            state: self.state,
            timing: self.timing,
            stopped_early: ending == Ending::Patience,
            ending,
            restored,
            skipped_updates,
            skipped,
            unlogged: self.logs.failed,
            resumed_from: self.resumed.map(|resumed| resumed.from),
            summary: self.recipe.summary.get().cloned(),
            profile,
            facts: self.trainer.facts(),
        })
    }

    fn train(&mut self) -> Result<Ending, TrainError> {
        loop {
            if self.stopping.as_ref().is_some_and(Stopping::is_due) {
                return Ok(Ending::Patience);
            }
            // An epoch that was cut may have been saved with all its batches, and is still to be evaluated.
            let end = self.end();
            if end == 0 || self.progress.batch > end {
                return Ok(Ending::Finished);
            }
            if self.interrupted() {
                return Ok(Ending::Interrupted);
            }
            if let Some(ending) = self.epoch()? {
                return Ok(ending);
            }
        }
    }

    /// How many batches of the epoch are part of the training: fewer than it has where the last is cut.
    fn end(&self) -> u64 {
        self.total.saturating_sub(self.progress.epoch * self.batches).min(self.batches)
    }

    fn interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::is_requested)
    }

    /// Trains what is left of an epoch and evaluates; the reason to stop, if there was one.
    fn epoch(&mut self) -> Result<Option<Ending>, TrainError> {
        let number = self.progress.epoch as usize + 1;
        self.unfreeze(number)?;
        self.bar.epoch(number);
        let end = self.end();
        let steps = self.steps(end);
        let (tally, stopped) = match steps.or_else(|error| Err(self.explained(error)?))? {
            Steps::Whole { tally, stopped } => (tally, stopped),
            Steps::Part(ending) => return Ok(Some(ending)),
        };
        let start = Instant::now();
        let test = evaluate(&self.programs.evaluation, &mut self.state)?;
        self.timing.evaluate += start.elapsed();
        let time = self.progress.time;
        let report = EpochReport {
            epoch: number,
            train: tally.scores(),
            test: test.scores(),
            time,
            stalled: self.progress.stalled,
            samples_per_second: tally.records() as f64 / time.as_secs_f64().max(1e-9),
        };
        let plateaus = &self.programs.plateaus;
        plateaus.iter().try_for_each(|plateau| plateau.observe(&report.test, &mut self.state))?;
        self.bar.finished(&report);
        let step = self.progress.epoch * self.batches + end;
        self.logs.epoch(&EpochLog { step, report: &report, state: &self.state }, &self.bar);
        let stop = self.trainer.callbacks.epoch(&report, &mut self.state)? || stopped;
        self.progress.confusion = test.confusion();
        self.close_epoch(report, end < self.batches)?;
        Ok(stop.then_some(Ending::Callback))
    }

    /// Lets those parameters train that are to do so from an epoch on.
    fn unfreeze(&mut self, epoch: usize) -> Result<(), TrainError> {
        let (unfreezing, vars) = (&self.trainer.unfreezing, &self.trainer.vars);
        // Within an epoch, a checkpoint remembers its beginning.
        if self.progress.batch == 0 {
            unfreezing.enter(vars, &mut self.state, epoch)?;
        }
        if unfreezing.set(vars, epoch) {
            let start = Instant::now();
            let loaders: Vec<_> = self.programs.training.loaders().cloned().collect();
            (self.programs.training, self.programs.update) = self.recipe.training(loaders.into_iter())?;
            self.timing.compile += start.elapsed();
        }
        Ok(())
    }

    /// Takes note of an epoch, and saves. One that was cut is saved already.
    fn close_epoch(&mut self, report: EpochReport, is_cut: bool) -> Result<(), TrainError> {
        let loss = report.test.loss;
        if let Some(stopping) = &mut self.stopping {
            stopping.after(loss);
        }
        let mut history = std::mem::take(&mut self.progress.history);
        let lowest = history.best().map_or(f64::INFINITY, |best| best.test.loss);
        history.push(report);
        let (epoch, settings) = (self.progress.epoch + 1, self.progress.settings);
        let confusion = self.progress.confusion.take();
        self.progress = Progress { epoch, settings, history, confusion, ..Progress::default() };
        let is_best = loss < lowest;
        let is_kept = match self.trainer.checkpoints {
            Some(_) => is_best || !is_cut,
            None => is_best && self.trainer.restore_best,
        };
        if !is_kept {
            return Ok(());
        }
        let checkpoint = Checkpoint::of(&self.state, &self.progress)?;
        let Some(checkpoints) = &self.trainer.checkpoints else {
            self.best = Some(checkpoint);
            return Ok(());
        };
        if is_best {
            if is_cut {
                checkpoints.set_best_aside()?;
            }
            checkpoints.save_best(&checkpoint)?;
        }
        if !is_cut {
            checkpoints.save(&checkpoint)?;
        }
        Ok(())
    }

    /// Trains the batches of the epoch up to `end`, or until something asks to stop, which is saved.
    fn steps(&mut self, end: u64) -> Result<Steps, TrainError> {
        let mut tally =
            Tally::new(&self.programs.training.passes[0].measures, std::mem::take(&mut self.progress.totals));
        let mut observer = Observer::new(self.trainer, &self.progress, self.batches);
        let (first, mut start) = (self.progress.batch, Instant::now());
        let turns = self.programs.training.epoch_from(self.progress.epoch, first)?;
        for (index, turn) in (first as usize..end as usize).zip(turns) {
            self.step(index, turn?, end, &mut tally)?;
            let see = |loss, outputs: &Outputs| observer.see(loss, outputs, &mut self.bar, &mut self.logs);
            match &self.watch {
                Some(_) => tally.finish(see),
                None => tally.read(see),
            }?;
            self.progress.batch = index as u64 + 1;
            let stop = match (observer.stop, self.interrupted()) {
                (true, _) => Some(Ending::Callback),
                (_, true) => Some(Ending::Interrupted),
                _ => None,
            };
            let every = self.trainer.checkpoint_steps.unwrap_or(usize::MAX);
            let due = stop.is_some() || (index + 1).is_multiple_of(every);
            // A whole epoch is evaluated before it is saved or stopped at.
            if due && self.progress.batch < end {
                tally.finish(|loss, outputs| observer.see(loss, outputs, &mut self.bar, &mut self.logs))?;
                self.lap(&mut start);
                self.save(&tally)?;
                start = Instant::now();
                if let Some(stop) = stop {
                    return Ok(Steps::Part(stop));
                }
            }
        }
        tally.finish(|loss, outputs| observer.see(loss, outputs, &mut self.bar, &mut self.logs))?;
        self.lap(&mut start);
        // More updates go on within an epoch that was cut, as if it had not been evaluated.
        if end < self.batches {
            self.save(&tally)?;
        }
        Ok(Steps::Whole { tally, stopped: observer.stop })
    }

    /// A loss that is not finite, with where it came from if that is wanted.
    fn explained(&self, error: TrainError) -> Result<TrainError, TrainError> {
        match (error, &self.watch) {
            (TrainError::NonFinite { loss, batch, epoch, .. }, Some(watch)) => {
                let cause = watch.hunt(&self.programs.training)?.map(Box::new);
                Ok(TrainError::NonFinite { loss, batch, epoch, cause })
            }
            (error, _) => Ok(error),
        }
    }

    /// One batch, and the update behind it if it is the last of several.
    fn step(&mut self, index: usize, turn: Turn, end: u64, tally: &mut Tally) -> Result<(), TrainError> {
        if let Some(watch) = &mut self.watch {
            watch.remember(&self.state, self.progress.epoch, index as u64)?;
        }
        let pass = &self.programs.training.passes[turn.pass];
        let start = Instant::now();
        tally.push(pass, pass.program.run(&mut self.state, turn.batch)?, turn.index);
        let complete = (index + 1).is_multiple_of(self.trainer.accumulate) || index as u64 + 1 == end;
        if let Some(update) = self.programs.update.as_ref().filter(|_| complete) {
            update.run(&mut self.state, Batch::new())?;
        }
        self.timing.host += start.elapsed();
        Ok(())
    }

    /// Adds the time since `start` to that of the epoch.
    fn lap(&mut self, start: &mut Instant) {
        let time = start.elapsed();
        *start = Instant::now();
        self.progress.time += time;
        self.timing.train += time;
        let stalled = self.programs.training.stalled();
        self.progress.stalled += stalled.saturating_sub(self.stalled);
        self.stalled = stalled;
    }

    /// Saves within an epoch.
    fn save(&mut self, tally: &Tally) -> Result<(), TrainError> {
        if let Some(checkpoints) = &self.trainer.checkpoints {
            self.logs.flush(&self.bar);
            self.progress.totals.clone_from(&tally.totals);
            checkpoints.save(&Checkpoint::of(&self.state, &self.progress)?)?;
        }
        Ok(())
    }

    /// Goes back to the best state, if that is wanted and not the last; the epoch it is of.
    fn restore_best(&mut self) -> Result<Option<usize>, TrainError> {
        let history = &self.progress.history;
        let Some(best) = history.best().filter(|_| self.trainer.restore_best) else { return Ok(None) };
        let epoch = best.epoch;
        let at_end = self.progress.batch == 0;
        if at_end && history.last().is_some_and(|last| last.epoch == epoch) {
            return Ok(None);
        }
        let kept = match &self.trainer.checkpoints {
            Some(checkpoints) => checkpoints.best()?,
            None => self.best.take(),
        };
        let Some(kept) = kept else { return Ok(None) };
        kept.restore(&mut self.state)?;
        Ok(Some(epoch))
    }
}

/// What came of an epoch's batches.
enum Steps {
    /// All are trained; `stopped` says whether a callback wants no more.
    Whole { tally: Tally, stopped: bool },
    /// Something asked to stop before the last.
    Part(Ending),
}

/// How often gradients were not finite, where the optimizer then makes no update.
fn skipped_updates(state: &State) -> Result<u64, TrainError> {
    let names = state.names().into_iter().filter(|name| name.ends_with("optim.skipped"));
    Ok(names.map(|name| Ok(state.read(&name)?.item() as u64)).sum::<Result<u64, wgrad_gpu::Error>>()?)
}

fn evaluate(passes: &[Pass], state: &mut State) -> Result<Tally, TrainError> {
    // All passes are recorded by one closure, and measure alike.
    let mut tally = Tally::new(&passes[0].measures, vec![]);
    passes.iter().try_for_each(|pass| pass.run(state, &mut tally))?;
    Ok(tally)
}
