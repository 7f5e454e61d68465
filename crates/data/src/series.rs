//! Time series with classes, in the text format of the UCR/UEA archive (`.ts`).
//!
//! Comments start with `#` and settings with `@`; after `@data` each line is a record: its channels and
//! its class, separated by colons, values by commas. Source: A. Bagnall et al., "The UEA multivariate time
//! series classification archive", 2018.

use std::fs;
use std::path::Path;

use crate::error::FileProblem;
use crate::{DataError, Labelled};

/// The training and the test part of a set, `NAME_TRAIN.ts` and `NAME_TEST.ts` in a directory, as `series`
/// f32\[channels, length\] and `label` u32\[\]. Series that are shorter than the longest end in zeros.
/// Missing values (`?`) are refused.
///
/// ```no_run
/// let (train, test) = wgrad_data::series("data/series", "GunPoint")?;
/// assert_eq!(train.shape().to_string(), "[1, 150]");
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
pub fn series(dir: impl AsRef<Path>, name: &str) -> Result<(Labelled, Labelled), DataError> {
    let [train, test] = ["TRAIN", "TEST"].map(|part| dir.as_ref().join(format!("{name}_{part}.ts")));
    let parts = [&train, &test].map(|path| Part::read(path));
    let [first, second] = parts;
    let (first, second) = (first?, second?);
    if (first.channels(), &first.classes) != (second.channels(), &second.classes) {
        let problem = format!("has other channels or classes than {}", train.display());
        return Err(DataError::File { path: test, problem: FileProblem::Format(problem) });
    }
    let length = first.length().max(second.length());
    Ok((first.padded(length)?, second.padded(length)?))
}

/// The contents of a file.
struct Part {
    classes: Vec<String>,
    /// Channels and label of each record.
    records: Vec<(Vec<Vec<f32>>, u32)>,
}

impl Part {
    fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(path))?;
        Self::parse(&text).map_err(|problem| DataError::File { path: path.into(), problem })
    }

    fn parse(text: &str) -> Result<Self, FileProblem> {
        let mut part = Self { classes: Vec::new(), records: Vec::new() };
        let mut in_data = false;
        for (line, content) in (1..).zip(text.lines().map(str::trim)) {
            let wrong = |problem: String| FileProblem::Line { line, problem };
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if in_data {
                let record = part.record(content).map_err(wrong)?;
                part.records.push(record);
            } else if let Some(classes) = setting(content, "@classlabel") {
                part.classes = classes.skip(1).map(String::from).collect();
            } else {
                in_data = content.eq_ignore_ascii_case("@data");
            }
        }
        let problem = if !in_data {
            "has no line `@data`"
        } else if part.records.is_empty() {
            "has no records"
        } else {
            return Ok(part);
        };
        Err(FileProblem::Format(problem.into()))
    }

    fn record(&self, line: &str) -> Result<(Vec<Vec<f32>>, u32), String> {
        let Some((channels, class)) = line.rsplit_once(':') else {
            return Err("needs channels and a class, separated by colons".into());
        };
        let label = self.classes.iter().position(|known| known == class.trim());
        let label = label.ok_or_else(|| format!("the class `{class}` is not one of {:?}", self.classes))?;
        let value = |text: &str| {
            let value = text.trim().parse::<f32>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| format!("`{text}` is not a finite number"))
        };
        let channel = |channel: &str| channel.split(',').map(value).collect::<Result<Vec<f32>, _>>();
        let channels = channels.split(':').map(channel).collect::<Result<Vec<_>, _>>()?;
        let expected = self.channels();
        if expected != 0 && channels.len() != expected {
            return Err(format!("has {} channels, the records before have {expected}", channels.len()));
        }
        Ok((channels, label as u32))
    }

    fn channels(&self) -> usize {
        self.records.first().map_or(0, |(channels, _)| channels.len())
    }

    fn length(&self) -> usize {
        self.records.iter().flat_map(|(channels, _)| channels).map(Vec::len).max().unwrap_or_default()
    }

    fn padded(&self, length: usize) -> Result<Labelled, DataError> {
        let pad = |channel: &Vec<f32>| {
            let zeros = std::iter::repeat_n(0.0, length - channel.len());
            channel.iter().copied().chain(zeros).collect::<Vec<f32>>()
        };
        let values = self.records.iter().flat_map(|(channels, _)| channels.iter().flat_map(pad));
        let labels = self.records.iter().map(|(_, label)| *label).collect();
        Labelled::new("series", [self.channels(), length], values.collect(), labels, self.classes.len())
    }
}

/// The words behind a setting's name, in whatever case it is written.
fn setting<'a>(line: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let mut words = line.split_whitespace();
    words.next().filter(|first| first.eq_ignore_ascii_case(name)).map(|_| words)
}
