//! Stopping and going on: after any batch, with any way to stop, the end is the same.

#[path = "net/mod.rs"]
mod net;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;
use wgrad_core::{F32, Tensor, TensorSpec, Vars};
use wgrad_data::{DataError, Dataset, Labelled, Loader, Record};
use wgrad_optim::{ReduceOnPlateau, Sgd};
use wgrad_train::{
    Checkpoint, Checkpoints, Ending, Objective, Patience, Progress, Report, Settings, TrainError, Trainer,
};

/// Ends a training when it sees so many batches.
fn stop_after(batches: usize) -> impl Fn(Trainer) -> Trainer {
    move |trainer| {
        let mut seen = 0;
        trainer.on_step(move |_| {
            seen += 1;
            Ok(if seen == batches { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }
}

#[test]
fn stopped_anywhere_and_resumed() {
    let alone = net::fit(|trainer| trainer).unwrap();
    let expected = (net::scores(&alone), net::bits(&alone.state));
    assert_eq!(alone.ending, Ending::Finished);
    for batches in [1, 7, 15, 16, 33] {
        let directory = TempDir::new().unwrap();
        let with = |trainer: Trainer| trainer.checkpoint(directory.path()).resume(true);
        let stopped = net::fit(|trainer| stop_after(batches)(with(trainer))).unwrap();
        assert_eq!(stopped.ending, Ending::Callback);
        assert!(stopped.history.epochs().len() < 4);
        let resumed = net::fit(with).unwrap();
        assert_eq!(resumed.ending, Ending::Finished);
        let found = (net::scores(&resumed), net::bits(&resumed.state));
        assert!(found == expected, "stopped after {batches} batches: {found:?} {expected:?}");
        // What is complete stays as it is, and can be continued.
        let again = net::fit(with).unwrap();
        assert!((net::scores(&again), net::bits(&again.state)) == expected);
        let longer = net::fit(|trainer| with(trainer).epochs(5)).unwrap();
        let five = net::fit(|trainer| trainer.epochs(5)).unwrap();
        assert!(net::bits(&longer.state) == net::bits(&five.state));
    }
}

#[test]
fn the_best_epoch_is_restored_from_memory_and_from_a_directory() {
    /// So high that the test loss soon rises.
    const RATE: f64 = 0.1;
    let hasty = |trainer: Trainer| trainer.epochs(20).early_stopping(Patience(2)).restore_best(true);
    let memory = net::fit_at(RATE, hasty).unwrap();
    assert_eq!(memory.ending, Ending::Patience);
    assert!(memory.stopped_early);
    let best = memory.history.best().unwrap().epoch;
    assert_eq!(memory.restored, Some(best));
    assert_eq!(memory.history.epochs().len(), best + 3);
    let short = net::fit_at(RATE, |trainer| trainer.epochs(best)).unwrap();
    assert!(net::bits(&memory.state) == net::bits(&short.state));
    assert!(memory.to_string().contains(&format!("stopped early, back to epoch {best}")), "{memory}");

    let directory = TempDir::new().unwrap();
    let with = |trainer: Trainer| hasty(trainer).checkpoint(directory.path()).resume(true);
    net::fit_at(RATE, |trainer| stop_after(15 * best + 10)(with(trainer))).unwrap();
    let resumed = net::fit_at(RATE, with).unwrap();
    assert_eq!((resumed.ending, resumed.restored), (Ending::Patience, Some(best)));
    assert!(net::bits(&resumed.state) == net::bits(&short.state));
    // Patience is at an end for good.
    let again = net::fit_at(RATE, with).unwrap();
    assert_eq!((again.ending, again.restored), (Ending::Patience, Some(best)));
    assert!(net::bits(&again.state) == net::bits(&short.state));
}

#[test]
fn steps_may_end_within_an_epoch() {
    // Eight updates an epoch: fifteen batches, two at a time, and one.
    let report = net::fit(|trainer| trainer.steps(11)).unwrap();
    assert_eq!(report.history.epochs().len(), 2);
    assert_eq!(report.state.step().unwrap(), 15 + 6);
    let state = |name: &str| report.state.read(name).unwrap().item();
    assert_eq!((state("optim.step"), state("optim.accumulated")), (11.0, 0.0));
    let whole = net::fit(|trainer| trainer.steps(16)).unwrap();
    let epochs = net::fit(|trainer| trainer.epochs(2)).unwrap();
    assert!(net::bits(&whole.state) == net::bits(&epochs.state));
}

/// Scores, updates and bits at the end of a training.
fn end(report: &Report) -> (Vec<String>, f64, Vec<u8>) {
    (net::scores(report), report.state.read("optim.step").unwrap().item(), net::bits(&report.state))
}

/// Fifteen updates an epoch, or eight.
#[test]
fn more_steps_go_on_within_the_epoch_that_was_cut() {
    for accumulate in [1, 2] {
        let steps = |trainer: Trainer, updates| trainer.accumulate(accumulate).steps(updates);
        let alone = |updates| end(&net::fit(|trainer| steps(trainer, updates)).unwrap());
        let directory = TempDir::new().unwrap();
        let resumed = |updates| {
            let with = |trainer: Trainer| steps(trainer, updates).checkpoint(directory.path()).resume(true);
            net::fit(with).unwrap()
        };
        for updates in [5, 10, 15, 20] {
            let expected = alone(updates);
            assert_eq!(expected.1, updates as f64);
            assert!(end(&resumed(updates)) == expected, "{updates} updates of {accumulate} batches");
            // What is complete stays as it is.
            let again = resumed(updates);
            assert!(end(&again) == expected && again.ending == Ending::Finished, "{updates} updates again");
        }
    }
}

/// The evaluation of a cut epoch changes what only the end of a training may see: a callback the state, a plateau
/// the learning rate.
#[test]
fn the_evaluation_of_a_cut_epoch_leaves_no_trace() {
    let train = |updates: usize, directory: Option<&Path>| {
        let vars = Vars::new();
        let net = net::Net::new(&vars);
        let (train, test) = net::tumours();
        // Never a better loss by so much: each evaluation halves the rate.
        let plateau = ReduceOnPlateau::new(&vars, 0.05).factor(0.5).patience(0).absolute_threshold(1e6);
        let trainer =
            Trainer::new(&net::GPU, &vars, Sgd::new(plateau.clone())).batch_size(32).progress(false);
        let trainer = trainer.steps(updates).reduce_on_plateau("loss", &plateau).on_epoch(|_, state| {
            let mut scale = state.read("scale")?;
            scale.data[0] *= 1.5;
            state.write("scale", &scale)?;
            Ok(ControlFlow::Continue(()))
        });
        let trainer = match directory {
            Some(directory) => trainer.checkpoint(directory).resume(true),
            None => trainer,
        };
        end(&trainer.fit(&train, &test, |x, y| net.forward(x).cross_entropy(y)).unwrap())
    };
    let directory = TempDir::new().unwrap();
    for updates in [5, 22, 22, 40] {
        assert!(train(updates, Some(directory.path())) == train(updates, None), "{updates} updates");
    }
}

/// Fifteen updates an epoch. Down for an epoch and a half and then up again: the cut is the best, and of whole epochs
/// the first.
#[test]
fn the_best_of_whole_epochs_outlives_a_better_one_that_was_cut() {
    let train = |updates: usize, directory: &Path| {
        let vars = Vars::new();
        let net = net::Net::new(&vars);
        let (train, test) = net::tumours();
        let rate = |step: &Tensor| {
            let turn = step.cast(F32).lt(22.0).cast(F32);
            turn * 0.15 - 0.1
        };
        let trainer = Trainer::new(&net::GPU, &vars, Sgd::new(rate)).seed(5).batch_size(32).progress(false);
        let trainer = trainer.steps(updates).restore_best(true).checkpoint(directory).resume(true);
        trainer.fit(&train, &test, |x, y| Objective::classification(&net.forward(x), y)).unwrap()
    };
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let checkpoints = Checkpoints::new(directory.path());
    let best = || checkpoints.best().unwrap().unwrap().step();
    let cut = train(22, directory.path());
    assert_eq!((cut.restored, cut.history.best().unwrap().epoch, best()), (None, 2, 22));
    let resumed = train(45, directory.path());
    assert_eq!((resumed.restored, best()), (Some(1), 15));
    assert!(end(&resumed) == end(&train(45, other.path())));
}

/// What another training has left is not taken for this one's.
#[test]
fn a_best_that_was_set_aside_goes_when_a_training_begins_anew() {
    let directory = TempDir::new().unwrap();
    let set_aside = directory.path().join("best-whole.safetensors");
    std::fs::write(&set_aside, "of another training").unwrap();
    net::fit(|trainer| trainer.epochs(1).checkpoint(directory.path()).resume(true)).unwrap();
    assert!(!set_aside.exists());
    net::fit(|trainer| trainer.epochs(2).checkpoint(directory.path()).resume(true)).unwrap();
}

/// Earlier versions saved an epoch that was cut as if it were whole.
#[test]
fn a_cut_epoch_that_was_saved_as_whole_is_gone_on_with() {
    let directory = TempDir::new().unwrap();
    let cut = net::fit(|trainer| trainer.steps(11)).unwrap();
    let settings = Settings { seed: 5, batch_size: 32, accumulate: 2, train_records: 455, test_records: 114 };
    let progress = Progress { epoch: 2, history: cut.history.clone(), settings, ..Progress::default() };
    let checkpoint = Checkpoint::of(&cut.state, &progress).unwrap();
    Checkpoints::new(directory.path()).save(&checkpoint).unwrap();
    let resumed = net::fit(|trainer| trainer.steps(20).checkpoint(directory.path()).resume(true)).unwrap();
    let alone = net::fit(|trainer| trainer.steps(20)).unwrap();
    let (resumed, alone) = (end(&resumed), end(&alone));
    assert!((resumed.1, &resumed.2) == (20.0, &alone.2));
    assert_eq!(resumed.0.len(), alone.0.len());
}

#[test]
fn a_training_without_end_ends_by_its_patience() {
    for length in [Trainer::epochs, Trainer::steps] {
        let endless = |trainer: Trainer| length(trainer, usize::MAX).early_stopping(Patience(2));
        let report = net::fit_at(0.1, endless).unwrap();
        assert_eq!(report.ending, Ending::Patience);
        let (best, last) = (report.history.best().unwrap(), report.history.last().unwrap());
        assert_eq!(last.epoch, best.epoch + 3);
    }
}

#[test]
fn callbacks_see_every_batch_and_may_change_the_state() {
    let (steps, epochs) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (seen, ended) = (steps.clone(), epochs.clone());
    let report = net::fit(move |trainer| {
        let (seen, ended) = (seen.clone(), ended.clone());
        trainer
            .on_step(move |step| {
                assert_eq!((step.epoch, step.batch), (seen.get() / 15 + 1, seen.get() % 15 + 1));
                seen.set(seen.get() + 1);
                Ok(ControlFlow::Continue(()))
            })
            .on_epoch(move |epoch, state| {
                ended.set(epoch.epoch);
                let mut scale = state.read("scale")?;
                scale.data[0] = 0.5;
                state.write("scale", &scale)?;
                Ok(if epoch.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
    })
    .unwrap();
    assert_eq!((steps.get(), epochs.get(), report.ending), (45, 3, Ending::Callback));
    assert_eq!(report.state.read("scale").unwrap().item(), 0.5);
    let failing = |trainer: Trainer| trainer.on_epoch(|_, _| Err(TrainError::Callback("disk full".into())));
    let error = net::fit(failing).err().unwrap();
    assert_eq!(error.to_string(), "a callback failed: disk full");
}

#[test]
fn averages_are_evaluated_where_asked() {
    let plain = net::fit(|trainer| trainer.epochs(1)).unwrap();
    let averaged = net::fit(|trainer| trainer.epochs(1).evaluate_averages(true)).unwrap();
    assert!(net::bits(&plain.state) == net::bits(&averaged.state));
    assert_eq!(plain.history.epochs()[0].train, averaged.history.epochs()[0].train);
    assert_ne!(plain.test().loss, averaged.test().loss);
}

/// A rate that throws the parameters far out: the state that is kept is one that training was still sound at.
#[test]
fn a_loss_that_is_no_number_ends_training_before_it_is_saved() {
    let directory = TempDir::new().unwrap();
    let with = |trainer: Trainer| trainer.checkpoint(directory.path()).checkpoint_every(1);
    let error = net::fit_at(1e20, with).err().unwrap();
    let TrainError::NonFinite { epoch: 1, batch, .. } = error else { panic!("{error}") };
    let last = Checkpoints::new(directory.path()).latest().unwrap().unwrap().checkpoint;
    assert_eq!(last.step(), batch as u64 - 1);
    assert!(last.progress().totals.iter().flat_map(|total| &total.values).all(|sum| sum.is_finite()));
    let report = net::fit_at(1e20, |trainer| trainer.epochs(1).allow_non_finite(true)).unwrap();
    assert!(!report.history.epochs()[0].train.loss.is_finite());
}

#[test]
fn bad_records_are_passed_over_where_asked() {
    let vars = Vars::new();
    let net = net::Net::new(&vars);
    let (train, test) = net::tumours();
    let train = Holed(train);
    let fit =
        |trainer: Trainer| trainer.fit(&train, &Holed(test.clone()), |x, y| net.forward(x).cross_entropy(y));
    let trainer = || net::trainer(&vars, 3e-3).epochs(2);
    let error = fit(trainer()).err().unwrap().to_string();
    assert!(error.contains("record 7") && error.contains("scratched"), "{error}");
    let report = fit(trainer().loader(Loader::skip_bad)).unwrap();
    assert_eq!(report.skipped.len(), 1);
    assert!(report.to_string().contains("1 bad record passed over"), "{report}");
}

/// Records of which the seventh cannot be read, if there are more than in the test set.
#[derive(Clone)]
struct Holed(Labelled);

impl Dataset for Holed {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        self.0.fields()
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        if record == 7 && self.len() > 200 {
            return Err(DataError::Panicked("scratched".into()));
        }
        self.0.write(record, sink)
    }
}

#[test]
fn settings_that_cannot_work_are_told() {
    let refused = |setting: &dyn Fn(Trainer) -> Trainer| net::fit(setting).err().unwrap().to_string();
    let zero = |what: &str| format!("the number of {what} is 0; it must be at least 1");
    assert_eq!(refused(&|trainer| trainer.steps(0)), zero("steps"));
    assert_eq!(refused(&|trainer| trainer.accumulate(0)), zero("batches between updates"));
    assert_eq!(refused(&|trainer| trainer.checkpoint_every(0)), zero("batches between checkpoints"));
}

#[test]
fn another_training_is_not_mixed_with_the_old() {
    let directory = TempDir::new().unwrap();
    let with = |trainer: Trainer| trainer.epochs(1).checkpoint(directory.path());
    net::fit(with).unwrap();
    let message = |setting: &dyn Fn(Trainer) -> Trainer| {
        let error = net::fit(|trainer| setting(with(trainer))).err().unwrap();
        assert!(matches!(error, TrainError::Checkpoint(_)), "{error}");
        error.to_string()
    };
    assert!(message(&|trainer| trainer).contains("holds checkpoints already; go on with `.resume(true)`"));
    let other = message(&|trainer| trainer.resume(true).batch_size(64));
    assert!(other.contains("step-0000000015.safetensors: was trained with batch size 32, not 64"), "{other}");
    let other = message(&|trainer| trainer.resume(true).seed(6));
    assert!(other.contains("with seed 5, not 6"), "{other}");
    assert_eq!(Checkpoints::new(directory.path()).all().unwrap().len(), 1);
}
