//! TensorBoard's event files: records of protocol-buffer messages.
//!
//! The messages are `Event` and `Summary` of TensorFlow's `event.proto` and `summary.proto`; numbers behind
//! the names of fields below are theirs. [`message`] encodes, [`record`] frames, [`histogram`] counts.

mod histogram;
mod message;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use message::Message;

use super::{EpochLog, Log, LogError, LogProblem, Opening, now};
use crate::{Scores, StepReport};

/// A directory of TensorBoard event files, for [`Trainer::tensorboard`](crate::Trainer::tensorboard). Two runs
/// lie in it, `train` and `test`, whose curves share a chart:
///
/// - `step/loss` and `step/learning_rate` of every batch
/// - `epoch/loss` and each metric, on training and on test records
/// - `epoch/seconds`, `epoch/stalled_seconds` and `epoch/samples_per_second`
/// - a summary of the model and the run as text
/// - where asked for, histograms of all `parameters/` after each epoch
///
/// All are drawn over the number of batches. A path alone converts.
///
/// ```no_run
/// use wgrad_train::TensorBoard;
/// # fn of(trainer: wgrad_train::Trainer) -> wgrad_train::Trainer {
/// trainer.tensorboard(TensorBoard::new("runs/wide").histograms(true))
/// # }
/// // tensorboard --logdir runs
/// ```
#[derive(Clone, Debug)]
pub struct TensorBoard {
    directory: PathBuf,
    histograms: bool,
}

impl<P: Into<PathBuf>> From<P> for TensorBoard {
    fn from(directory: P) -> Self {
        Self::new(directory)
    }
}

impl TensorBoard {
    /// Event files in a directory, which is made where needed. Files that are there already stay: a training
    /// that is resumed adds to them. TensorBoard hides what an older file says of the same steps.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), histograms: false }
    }

    /// Whether to write histograms of all parameters after each epoch. They are read back from the device
    /// for that.
    pub fn histograms(mut self, histograms: bool) -> Self {
        self.histograms = histograms;
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn open(&self, opening: &Opening<'_>) -> Result<Events, LogError> {
        let open = || {
            let train = EventFile::create(&self.directory.join("train"), opening.step)?;
            let test = EventFile::create(&self.directory.join("test"), opening.step)?;
            let parameters = if self.histograms { opening.parameters.to_vec() } else { vec![] };
            let mut events = Events { train, test, parameters };
            events.train.write(opening.step, vec![text("summary", opening.summary)])?;
            events.flush()?;
            Ok(events)
        };
        open().map_err(LogProblem::at(&self.directory))
    }
}

/// The open files of a training.
pub(crate) struct Events {
    train: EventFile,
    test: EventFile,
    /// Whose histograms are written.
    parameters: Vec<String>,
}

impl Log for Events {
    fn step(&mut self, step: &StepReport) -> io::Result<()> {
        let values = vec![scalar("step/loss", step.loss), scalar("step/learning_rate", step.learning_rate)];
        self.train.write(step.step, values)
    }

    fn epoch(&mut self, epoch: &EpochLog<'_>) -> io::Result<()> {
        let report = epoch.report;
        let mut values = scores(&report.train);
        values.push(scalar("epoch/seconds", report.time.as_secs_f64()));
        values.push(scalar("epoch/stalled_seconds", report.stalled.as_secs_f64()));
        values.push(scalar("epoch/samples_per_second", report.samples_per_second));
        for name in &self.parameters {
            let array = epoch.state.read(name).map_err(io::Error::other)?;
            let counted = histogram::histogram(&array.data);
            let tag = format!("parameters/{name}");
            values.extend(counted.map(|counted| value(&tag).message(5, counted)));
        }
        self.train.write(epoch.step, values)?;
        self.test.write(epoch.step, scores(&report.test))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.train.0.flush()?;
        self.test.0.flush()
    }
}

/// A file of events.
struct EventFile(BufWriter<File>);

impl EventFile {
    /// A new file that takes over behind `step`.
    fn create(directory: &Path, step: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut this = Self(BufWriter::new(new_file(directory)?));
        this.record(Message::new().bytes(3, "brain.Event:2"))?; // file_version
        // What an older file has from here on is no longer true. 1 is START.
        let start = Message::new().integer(1, 1);
        this.record(Message::new().integer(2, step + 1).message(7, start))?;
        Ok(this)
    }

    /// An event of some values.
    fn write(&mut self, step: u64, values: Vec<Message>) -> io::Result<()> {
        let summary = values.into_iter().fold(Message::new(), |summary, value| summary.message(1, value));
        self.record(Message::new().integer(2, step).message(5, summary))
    }

    fn record(&mut self, event: Message) -> io::Result<()> {
        self.0.write_all(&record::framed(&event.double(1, now()).into_bytes()))
    }
}

/// A file of a name that TensorBoard looks for, after those that are there in the order of names.
fn new_file(directory: &Path) -> io::Result<File> {
    let seconds = now() as u64;
    for number in 0.. {
        let name = format!("events.out.tfevents.{seconds:010}.wgrad.{}.{number}", std::process::id());
        match OpenOptions::new().write(true).create_new(true).open(directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A `Summary.Value` that is still empty.
fn value(tag: &str) -> Message {
    Message::new().bytes(1, tag)
}

fn scalar(tag: &str, number: f64) -> Message {
    value(tag).float(2, number as f32)
}

fn scores(scores: &Scores) -> Vec<Message> {
    let metrics = scores.metrics.iter().map(|(name, value)| scalar(&format!("epoch/{name}"), *value));
    std::iter::once(scalar("epoch/loss", scores.loss)).chain(metrics).collect()
}

/// Text, which TensorBoard reads as Markdown; four spaces in front of each line keep it as it is.
fn text(tag: &str, text: &str) -> Message {
    const STRING: u64 = 7;
    let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let one = Message::new().message(2, Message::new().integer(1, 1));
    let tensor = Message::new().integer(1, STRING).message(2, one).bytes(8, lines);
    let plugin = Message::new().bytes(1, "text");
    let metadata = Message::new().message(1, plugin);
    value(tag).message(9, metadata).message(8, tensor)
}
