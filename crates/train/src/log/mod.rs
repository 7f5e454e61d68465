//! Logs of a training under way: TensorBoard's event files, CSV, JSON lines.
//!
//! A log is opened when training begins, so that a wrong path is an error before anything is computed. Later
//! a full disk ends the log and not the training: the [`LogError`] is shown, kept in the report, and
//! training goes on without that log. Lines are buffered, and flushed after each epoch, before each checkpoint
//! and in the end; a training that resumes goes on behind the lines of its checkpoint.

mod csv;
mod json;
mod tensorboard;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use wgrad_gpu::State;

use crate::bar::Bar;
use crate::{EpochReport, StepReport};

pub use tensorboard::TensorBoard;

/// A log, a page or a chart that could not be opened, or not be written to its end.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LogError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was wrong.
    pub problem: LogProblem,
}

/// What can be wrong with a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogProblem {
    /// It cannot be written, or an older part of it cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The log of another training, or no log at all.
    #[error("has the columns {found}, this training has {expected}; use another file")]
    Columns {
        /// The columns in the file.
        found: String,
        /// Those that the training would write.
        expected: String,
    },
    /// A chart of no known format, or one that could not be drawn.
    #[error("{0}")]
    Chart(String),
}

impl LogProblem {
    pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> LogError {
        move |error| LogError { path: path.into(), problem: error.into() }
    }
}

/// What a log is told when it is opened.
pub(crate) struct Opening<'a> {
    /// The steps that are already behind; lines of later ones are to be dropped.
    pub(crate) step: u64,
    /// The names of the metrics.
    pub(crate) metrics: &'a [String],
    /// Parameters by name.
    pub(crate) parameters: &'a [String],
    /// What is trained, as text.
    pub(crate) summary: &'a str,
}

/// What a log is told after an epoch.
pub(crate) struct EpochLog<'a> {
    /// The step that was its last.
    pub(crate) step: u64,
    pub(crate) report: &'a EpochReport,
    pub(crate) state: &'a State,
}

/// A log that is open.
pub(crate) trait Log {
    fn step(&mut self, step: &StepReport) -> io::Result<()>;

    fn epoch(&mut self, epoch: &EpochLog<'_>) -> io::Result<()>;

    fn flush(&mut self) -> io::Result<()>;
}

/// Where a log goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    TensorBoard(TensorBoard),
    Csv(PathBuf),
    JsonLines(PathBuf),
}

impl Target {
    fn path(&self) -> &Path {
        match self {
            Self::TensorBoard(board) => board.directory(),
            Self::Csv(path) | Self::JsonLines(path) => path,
        }
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Log>, LogError> {
        Ok(match self {
            Self::TensorBoard(board) => Box::new(board.open(opening)?),
            Self::Csv(path) => Box::new(csv::Csv::open(path, opening)?),
            Self::JsonLines(path) => Box::new(json::JsonLines::open(path, opening)?),
        })
    }
}

/// The logs of a training. One that fails is closed.
#[derive(Default)]
pub(crate) struct Logs {
    open: Vec<(PathBuf, Box<dyn Log>)>,
    pub(crate) failed: Vec<LogError>,
}

impl Logs {
    pub(crate) fn open(targets: &[Target], opening: &Opening<'_>) -> Result<Self, LogError> {
        let open = targets.iter().map(|target| Ok((target.path().into(), target.open(opening)?)));
        Ok(Self { open: open.collect::<Result<_, _>>()?, failed: vec![] })
    }

    pub(crate) fn step(&mut self, step: &StepReport, bar: &Bar) {
        self.each(bar, |log| log.step(step));
    }

    /// An epoch has ended and been evaluated.
    pub(crate) fn epoch(&mut self, epoch: &EpochLog<'_>, bar: &Bar) {
        self.each(bar, |log| log.epoch(epoch).and_then(|()| log.flush()));
    }

    pub(crate) fn flush(&mut self, bar: &Bar) {
        self.each(bar, |log| log.flush());
    }

    fn each(&mut self, bar: &Bar, mut act: impl FnMut(&mut dyn Log) -> io::Result<()>) {
        let failed = &mut self.failed;
        self.open.retain_mut(|(path, log)| match act(log.as_mut()) {
            Ok(()) => true,
            Err(error) => {
                let error = LogProblem::at(path)(error);
                bar.note(&format!("{error}; training goes on without this log"));
                failed.push(error);
                false
            }
        });
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.open.iter().map(|(path, _)| path)).finish()
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Makes the directory of a file.
pub(crate) fn make_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), std::fs::create_dir_all)
}

/// Checks that a file can be written, before anything is computed; makes it and its directory where needed.
pub(crate) fn check_writable(path: &Path) -> Result<(), LogError> {
    let open = || OpenOptions::new().create(true).append(true).open(path);
    make_parent(path).and_then(|()| open()).map(drop).map_err(LogProblem::at(path))
}

/// Opens a file to write behind that part of it which `kept` wants to keep, given all of it; behind nothing
/// where no step was before. Makes file and directory where needed.
fn open_behind(path: &Path, step: u64, kept: impl FnOnce(&[u8]) -> usize) -> io::Result<File> {
    make_parent(path)?;
    if step == 0 {
        return File::create(path);
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut old = vec![];
    file.read_to_end(&mut old)?;
    let length = kept(&old) as u64;
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(file)
}
