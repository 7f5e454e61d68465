//! A table of numbers: a row for each step, one for each epoch, and empty fields where a row has nothing to
//! say.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{EpochLog, Log, LogError, LogProblem, Opening, now, open_behind};
use crate::{Scores, StepReport};

/// Columns in front of those of the scores; a row of an epoch has only the first two.
const OF_STEPS: [&str; 5] = ["step", "epoch", "batch", "loss", "learning_rate"];
/// Columns behind those of the scores; a row of a step has only the first.
const OF_ALL: [&str; 4] = ["time", "train_seconds", "stalled_seconds", "samples_per_second"];

pub(crate) struct Csv {
    writer: csv::Writer<File>,
    /// Columns of the scores on training and on test records.
    scores: usize,
}

impl Csv {
    /// Opens a file, keeping its rows up to the step that training goes on from.
    pub(crate) fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, LogError> {
        let columns = columns(opening.metrics);
        let mut found = None;
        let keep = |old: &[u8]| kept(old, opening.step, &mut found);
        let file = open_behind(path, opening.step, keep).map_err(LogProblem::at(path))?;
        let mut writer = csv::Writer::from_writer(file);
        match found {
            None => writer
                .write_record(&columns)
                .and_then(|()| Ok(writer.flush()?))
                .map_err(|error| LogProblem::at(path)(error.into()))?,
            Some(found) if found != columns => {
                let [found, expected] = [found, columns].map(|columns| columns.join(", "));
                return Err(LogError { path: path.into(), problem: LogProblem::Columns { found, expected } });
            }
            Some(_) => {}
        }
        Ok(Self { writer, scores: 2 * (1 + opening.metrics.len()) })
    }
}

fn columns(metrics: &[String]) -> Vec<String> {
    let scores = |part: &'static str| {
        let names = std::iter::once("loss").chain(metrics.iter().map(String::as_str));
        names.map(move |name| format!("{part}_{name}"))
    };
    let fixed = |names: &'static [&str]| names.iter().map(|name| (*name).to_owned());
    fixed(&OF_STEPS).chain(scores("train")).chain(scores("test")).chain(fixed(&OF_ALL)).collect()
}

/// The length of the header and the rows up to a step, and the header. A process that was killed may have left
/// half a row behind.
fn kept(file: &[u8], step: u64, header: &mut Option<Vec<String>>) -> usize {
    let whole = file.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole == 0 {
        return 0;
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&file[..whole]);
    let columns = reader.headers().map(|columns| columns.iter().map(String::from).collect());
    *header = Some(columns.unwrap_or_default());
    let is_kept =
        |row: &csv::StringRecord| row.get(0).and_then(|at| at.parse().ok()).is_some_and(|at: u64| at <= step);
    let mut row = csv::StringRecord::new();
    loop {
        let start = reader.position().byte() as usize;
        if !reader.read_record(&mut row).is_ok_and(|read| read && is_kept(&row)) {
            return start;
        }
    }
}

fn values(scores: &Scores) -> impl Iterator<Item = String> {
    let metrics = scores.metrics.iter().map(|(_, value)| value);
    std::iter::once(&scores.loss).chain(metrics).map(f64::to_string)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

impl Log for Csv {
    fn step(&mut self, step: &StepReport) -> io::Result<()> {
        let StepReport { step, epoch, batch, loss, learning_rate } = step;
        let row = [step.to_string(), epoch.to_string(), batch.to_string(), loss.to_string()];
        let row = row.into_iter().chain([learning_rate.to_string()]);
        let row = row.chain(std::iter::repeat_n(String::new(), self.scores));
        let row = row.chain([seconds(now())]).chain([const { String::new() }; OF_ALL.len() - 1]);
        Ok(self.writer.write_record(row)?)
    }

    fn epoch(&mut self, epoch: &EpochLog<'_>) -> io::Result<()> {
        let report = epoch.report;
        let row = [epoch.step.to_string(), report.epoch.to_string()];
        let row = row.into_iter().chain([const { String::new() }; OF_STEPS.len() - 2]);
        let row = row.chain(values(&report.train)).chain(values(&report.test));
        let times = [now(), report.time.as_secs_f64(), report.stalled.as_secs_f64()].map(seconds);
        let rate = format!("{:.1}", report.samples_per_second);
        Ok(self.writer.write_record(row.chain(times).chain([rate]))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
