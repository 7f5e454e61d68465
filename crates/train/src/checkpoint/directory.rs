//! A directory of checkpoints: the last few by step, and the best.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Checkpoint, CheckpointError};

const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";
const BEST: &str = "best.safetensors";
/// The best of whole epochs, where an epoch that was cut short is better.
const BEST_WHOLE: &str = "best-whole.safetensors";

/// A directory that checkpoints are kept in, as `step-0000000120.safetensors` and `best.safetensors`. Where
/// the best is of an epoch that was cut short, the one before it is kept as `best-whole.safetensors`.
///
/// ```
/// use wgrad_train::{Checkpoint, CheckpointError, Checkpoints};
/// fn keep(checkpoint: &Checkpoint) -> Result<Option<Checkpoint>, CheckpointError> {
///     let checkpoints = Checkpoints::new("run").keep(3);
///     checkpoints.save(checkpoint)?; // the oldest of four goes once this one is on disk
///     Ok(checkpoints.latest()?.map(|found| found.checkpoint))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoints {
    directory: PathBuf,
    keep: usize,
}

/// A checkpoint of a directory.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
    /// Later ones that could not be used, the latest first.
    pub skipped: Vec<CheckpointError>,
}

impl Checkpoints {
    /// A directory, made when something is saved, that keeps the last two checkpoints.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), keep: 2 }
    }

    /// How many of the last checkpoints are kept; at least 1. The best is kept in any case.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the checkpoint of a step; when it is on disk, removes those that are too old, and what
    /// a process that was killed while writing has left.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let path = self.directory.join(format!("{PREFIX}{:010}{SUFFIX}", checkpoint.step()));
        checkpoint.write(&path)?;
        let all = self.all()?;
        let old = all[..all.len().saturating_sub(self.keep)].iter().filter(|old| **old != path);
        for file in old.chain(&self.leftovers()?) {
            remove(file)?;
        }
        Ok(path)
    }

    /// Writes the best checkpoint, in place of the one before.
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        checkpoint.write(self.directory.join(BEST))
    }

    /// The files of all steps, the earliest first.
    pub fn all(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let step = |name: &str| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse::<u64>().ok();
        let mut steps: Vec<_> =
            self.names()?.into_iter().filter_map(|name| Some((step(&name)?, name))).collect();
        steps.sort();
        Ok(steps.into_iter().map(|(_, name)| self.directory.join(name)).collect())
    }

    /// The checkpoint of the last step, if there is one.
    pub fn latest(&self) -> Result<Option<Found>, CheckpointError> {
        let found = |path: PathBuf| {
            let checkpoint = Checkpoint::read(&path)?;
            Ok(Found { path, checkpoint, skipped: vec![] })
        };
        self.all()?.pop().map(found).transpose()
    }

    /// The last checkpoint that can be read. Where none of several can, the error is that of the last.
    pub fn latest_good(&self) -> Result<Option<Found>, CheckpointError> {
        let mut skipped = vec![];
        for path in self.all()?.into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some(Found { path, checkpoint, skipped })),
                Err(error) => skipped.push(error),
            }
        }
        skipped.into_iter().next().map_or(Ok(None), Err)
    }

    /// The best checkpoint, if there is one.
    pub fn best(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let path = self.directory.join(BEST);
        if path.exists() { Checkpoint::read(path).map(Some) } else { Ok(None) }
    }

    /// Keeps the best under another name, for a training that goes on as if the epoch that was cut short, which will
    /// be best, had not been evaluated.
    pub(crate) fn set_best_aside(&self) -> Result<(), CheckpointError> {
        self.rename(BEST, BEST_WHOLE)
    }

    /// Takes back what was set aside, if something was.
    pub(crate) fn take_best_back(&self) -> Result<(), CheckpointError> {
        self.rename(BEST_WHOLE, BEST)
    }

    /// Deletes what was set aside, for a training that begins anew.
    pub(crate) fn drop_set_aside(&self) -> Result<(), CheckpointError> {
        let path = self.directory.join(BEST_WHOLE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told_of(&path, error)),
            _ => Ok(()),
        }
    }

    /// Renames a file, if it is there.
    fn rename(&self, from: &str, to: &str) -> Result<(), CheckpointError> {
        let from = self.directory.join(from);
        match fs::rename(&from, self.directory.join(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told_of(&from, error)),
            _ => Ok(()),
        }
    }

    /// Renames the checkpoints after one to `….unusable`, so that what follows it is last again.
    pub(crate) fn set_aside_after(&self, path: &Path) -> Result<(), CheckpointError> {
        for later in self.all()?.iter().rev().take_while(|later| *later != path) {
            let mut name = later.clone().into_os_string();
            name.push(".unusable");
            fs::rename(later, name).map_err(|error| told_of(later, error))?;
        }
        Ok(())
    }

    /// Temporary files of writers that did not come to their end.
    fn leftovers(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let is_ours = |name: &str| {
            let name = name.strip_prefix('.').filter(|name| name.ends_with(".tmp"));
            name.is_some_and(|name| name.starts_with(PREFIX) || name.starts_with(BEST))
        };
        let names = self.names()?.into_iter().filter(|name| is_ours(name));
        Ok(names.map(|name| self.directory.join(name)).collect())
    }

    /// The names of all files; none where there is no directory.
    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(|error| told_of(&self.directory, error))?,
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        let names: io::Result<Vec<Option<String>>> = entries.map(name).collect();
        Ok(names.map_err(|error| told_of(&self.directory, error))?.into_iter().flatten().collect())
    }
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told_of(path, error)),
        _ => Ok(()),
    }
}

fn told_of(path: &Path, error: io::Error) -> CheckpointError {
    CheckpointError::Io(Arc::new(error)).in_file(path)
}
