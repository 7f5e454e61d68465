//! What the user sees while training runs.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::EpochReport;

/// A bar over all steps of a training, with a line for each finished epoch. Where standard error is no
/// terminal only the lines are written.
pub(crate) struct Bar {
    bar: ProgressBar,
    shown: bool,
    epochs: usize,
    batch_size: usize,
    epoch_start: Instant,
    epoch_steps: usize,
}

impl Bar {
    /// A bar over `steps` of which some are done.
    pub(crate) fn new(shown: bool, epochs: usize, steps: u64, done: u64, batch_size: usize) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = ProgressStyle::with_template("{prefix} {bar:24} {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_position(done);
        Self { bar, shown, epochs, batch_size, epoch_start: Instant::now(), epoch_steps: 0 }
    }

    /// An epoch begins; it is numbered from 1.
    pub(crate) fn epoch(&mut self, epoch: usize) {
        self.bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
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
