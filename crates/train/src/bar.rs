//! What the user sees while training runs.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::EpochReport;

/// A bar over all steps of a training, with a line for each finished epoch. Where standard error is no
/// terminal only the lines are written.
pub(crate) struct Bar {
    bar: ProgressBar,
    shown: bool,
    /// In the whole training, where they can be counted.
    epochs: Option<u64>,
    batch_size: usize,
    epoch_start: Instant,
    epoch_steps: usize,
}

impl Bar {
    /// A bar over `steps`, so many an epoch, of which some are done. A training of `u64::MAX` steps has no end to
    /// show, and no bar.
    pub(crate) fn new(shown: bool, epoch: u64, steps: u64, done: u64, batch_size: usize) -> Self {
        let steps = Some(steps).filter(|&steps| steps < u64::MAX);
        let epochs = steps.map(|steps| steps.div_ceil(epoch));
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(steps, target);
        let template = if steps.is_some() { "{prefix} {bar:24} {msg}, {eta} left" } else { "{prefix} {msg}" };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_position(done);
        Self { bar, shown, epochs, batch_size, epoch_start: Instant::now(), epoch_steps: 0 }
    }

    /// An epoch begins; it is numbered from 1.
    pub(crate) fn epoch(&mut self, epoch: usize) {
        let of = self.epochs.map_or(String::new(), |epochs| format!("/{epochs}"));
        self.bar.set_prefix(format!("epoch {epoch}{of}"));
        self.epoch_start = Instant::now();
        self.epoch_steps = 0;
    }

    /// A step's loss has arrived.
    pub(crate) fn step(&mut self, loss: f64) {
        self.epoch_steps += 1;
        let samples = (self.epoch_steps * self.batch_size) as f64;
        let rate = samples / self.epoch_start.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!("loss {loss:.4}, {rate:.0} samples/s"));
        self.bar.inc(1);
    }

    /// An epoch has ended and been evaluated.
    pub(crate) fn finished(&self, epoch: &EpochReport) {
        self.note(&epoch.to_string());
    }

    /// Writes a line.
    pub(crate) fn note(&self, line: &str) {
        if self.shown && self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten batches an epoch.
    #[test]
    fn only_a_training_with_an_end_has_a_last_epoch() {
        let prefix = |steps| {
            let mut bar = Bar::new(false, 10, steps, 5, 32);
            bar.epoch(1);
            bar.step(0.5);
            bar.bar.prefix()
        };
        assert_eq!([25, u64::MAX].map(prefix), ["epoch 1/3", "epoch 1"]);
    }
}
