//! One JSON object a line, for steps and for epochs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::{EpochLog, Log, LogError, LogProblem, Opening, now, open_behind};
use crate::checkpoint::number;
use crate::{Scores, StepReport};

/// A line. Infinite losses and NaN are text.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Step {
        step: u64,
        epoch: usize,
        batch: usize,
        #[serde(with = "number")]
        loss: f64,
        #[serde(with = "number")]
        learning_rate: f64,
        time: f64,
    },
    Epoch {
        step: u64,
        epoch: usize,
        train: Flat<'a>,
        test: Flat<'a>,
        time: f64,
        train_seconds: f64,
        stalled_seconds: f64,
        #[serde(with = "number")]
        samples_per_second: f64,
    },
}

/// Scores as one object: the loss beside the metrics.
struct Flat<'a>(&'a Scores);

impl Serialize for Flat<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Number(#[serde(with = "number")] f64);
        let metrics = self.0.metrics.iter().map(|(name, value)| (name.as_str(), Number(*value)));
        serializer.collect_map(std::iter::once(("loss", Number(self.0.loss))).chain(metrics))
    }
}

pub(crate) struct JsonLines(BufWriter<File>);

impl JsonLines {
    /// Opens a file, keeping its lines up to the step that training goes on from.
    pub(crate) fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, LogError> {
        let file = open_behind(path, opening.step, |old| {
            let lines = old.split_inclusive(|&byte| byte == b'\n');
            lines.take_while(|line| is_kept(line, opening.step)).map(<[u8]>::len).sum()
        });
        Ok(Self(BufWriter::new(file.map_err(LogProblem::at(path))?)))
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")
    }
}

/// Whether a line is whole and of a step that is behind. A process that was killed may have left half a line.
fn is_kept(line: &[u8], step: u64) -> bool {
    let value = serde_json::from_slice(line).ok().filter(|_| line.ends_with(b"\n"));
    value.and_then(|value: serde_json::Value| value["step"].as_u64()).is_some_and(|at| at <= step)
}

impl Log for JsonLines {
    fn step(&mut self, step: &StepReport) -> io::Result<()> {
        let &StepReport { step, epoch, batch, loss, learning_rate } = step;
        self.write(&Line::Step { step, epoch, batch, loss, learning_rate, time: now() })
    }

    fn epoch(&mut self, epoch: &EpochLog<'_>) -> io::Result<()> {
        let report = epoch.report;
        self.write(&Line::Epoch {
            step: epoch.step,
            epoch: report.epoch,
            train: Flat(&report.train),
            test: Flat(&report.test),
            time: now(),
            train_seconds: report.time.as_secs_f64(),
            stalled_seconds: report.stalled.as_secs_f64(),
            samples_per_second: report.samples_per_second,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
