//! Tables in text files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use crate::error::FileProblem;
use crate::{DataError, Labelled, TensorDataset};

/// How a table is written.
#[derive(Clone, Copy, Debug)]
pub struct CsvFormat {
    delimiter: u8,
    header: bool,
    quotes: bool,
}

impl CsvFormat {
    /// Commas between the cells, quotes around those that contain one (RFC 4180), and names of columns in
    /// the first line.
    pub const fn comma() -> Self {
        Self { delimiter: b',', header: true, quotes: true }
    }

    /// Tabulators between the cells, quotes without a meaning, and names of columns in the first line.
    pub const fn tab() -> Self {
        Self { delimiter: b'\t', header: true, quotes: false }
    }

    /// No names in the first line; columns are called `0`, `1` and so on.
    pub const fn no_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// Another character between the cells: one byte.
    pub const fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }
}

/// A table of text read from a file, whose columns become numbers or classes.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("iris.csv");
/// # std::fs::write(&path, "length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n").unwrap();
/// use wgrad_data::{Csv, Dataset};
/// let iris = Csv::read(path)?;
/// let (data, classes) = iris.labelled(&["length", "width"], "species")?;
/// assert_eq!((data.len(), classes), (2, vec!["setosa".into(), "versicolor".into()]));
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    path: PathBuf,
    columns: Vec<String>,
    rows: Vec<StringRecord>,
}

impl Csv {
    /// Reads a table in the [usual format](CsvFormat::comma).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::read_as(path, CsvFormat::comma())
    }

    /// Reads a table. Errors: a file that cannot be read or is not UTF-8, rows with another number of
    /// cells than the first, named with their line.
    pub fn read_as(path: impl AsRef<Path>, format: CsvFormat) -> Result<Self, DataError> {
        let path = path.as_ref();
        let wrong = |error: csv::Error| DataError::File { path: path.into(), problem: problem(error) };
        let mut builder = ReaderBuilder::new();
        builder.delimiter(format.delimiter).has_headers(format.header).quoting(format.quotes);
        let mut reader = builder.from_path(path).map_err(wrong)?;
        let first =
            if format.header { reader.headers().map_err(wrong)?.clone() } else { StringRecord::new() };
        let rows = reader.into_records().collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let columns = match rows.first() {
            Some(row) if !format.header => (0..row.len()).map(|column| column.to_string()).collect(),
            _ => first.iter().map(|name| name.trim().into()).collect(),
        };
        Ok(Self { path: path.into(), columns, rows })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The cells of a column.
    pub fn text(&self, column: &str) -> Result<Vec<&str>, DataError> {
        let column = self.column(column)?;
        Ok(self.rows.iter().map(|row| cell(row, column)).collect())
    }

    /// The values of a column. Errors: a cell that is not a finite number, with its line.
    pub fn numbers(&self, column: &str) -> Result<Vec<f32>, DataError> {
        let index = self.column(column)?;
        let value = |row| number(row, index).map_err(|problem| self.wrong(row, column, problem));
        self.rows.iter().map(value).collect()
    }

    /// The class of each cell of a column, and the classes' names in alphabetical order.
    pub fn classes(&self, column: &str) -> Result<(Vec<u32>, Vec<String>), DataError> {
        let cells = self.text(column)?;
        let names: BTreeSet<&str> = cells.iter().copied().collect();
        let names: Vec<&str> = names.into_iter().collect();
        let labels = cells.iter().filter_map(|cell| names.binary_search(cell).ok());
        Ok((labels.map(|label| label as u32).collect(), names.into_iter().map(String::from).collect()))
    }

    /// Examples with a class each: `features` f32\[columns\] and `label` u32\[\], and the classes' names.
    pub fn labelled(&self, features: &[&str], label: &str) -> Result<(Labelled, Vec<String>), DataError> {
        let values = self.matrix(features)?;
        let (labels, names) = self.classes(label)?;
        Ok((Labelled::new("features", [features.len()], values, labels, names.len())?, names))
    }

    /// Examples with a number to predict each: `features` f32\[columns\] and `target` f32\[\].
    pub fn regression(&self, features: &[&str], target: &str) -> Result<TensorDataset, DataError> {
        let values = self.matrix(features)?;
        let data = TensorDataset::new().field("features", [self.len(), features.len()], &values)?;
        data.field("target", [self.len()], &self.numbers(target)?)
    }

    /// The rows of which all the named columns hold finite numbers, and what is wrong with the others.
    pub fn skip_bad(mut self, columns: &[&str]) -> Result<(Self, Vec<DataError>), DataError> {
        let indices = columns.iter().map(|name| self.column(name)).collect::<Result<Vec<_>, _>>()?;
        let mut skipped = Vec::new();
        let rows = std::mem::take(&mut self.rows);
        for row in rows {
            let found = indices.iter().zip(columns).map(|(&index, name)| (number(&row, index), name));
            let bad = found.filter_map(|(number, name)| Some((number.err()?, name))).next();
            match bad {
                Some((problem, name)) => skipped.push(self.wrong(&row, name, problem)),
                None => self.rows.push(row),
            }
        }
        Ok((self, skipped))
    }

    fn matrix(&self, columns: &[&str]) -> Result<Vec<f32>, DataError> {
        let columns = columns.iter().map(|column| self.numbers(column)).collect::<Result<Vec<_>, _>>()?;
        Ok((0..self.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
    }

    fn column(&self, column: &str) -> Result<usize, DataError> {
        let known = self.columns.iter().position(|known| known == column);
        known.ok_or_else(|| {
            let problem = FileProblem::NoColumn { column: column.into(), columns: self.columns.clone() };
            DataError::File { path: self.path.clone(), problem }
        })
    }

    fn wrong(&self, row: &StringRecord, column: &str, problem: String) -> DataError {
        let line = row.position().map_or(0, csv::Position::line);
        let problem = FileProblem::Line { line, problem: format!("`{column}` {problem}") };
        DataError::File { path: self.path.clone(), problem }
    }
}

fn cell(row: &StringRecord, column: usize) -> &str {
    row.get(column).unwrap_or_default().trim()
}

fn number(row: &StringRecord, column: usize) -> Result<f32, String> {
    let cell = cell(row, column);
    let value = cell.parse::<f32>().ok().filter(|value| value.is_finite());
    value.ok_or_else(|| format!("is {cell:?}, not a finite number"))
}

fn problem(error: csv::Error) -> FileProblem {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => FileProblem::Io(error.into()),
        csv::ErrorKind::Utf8 { err, .. } => FileProblem::Line { line, problem: err.to_string() },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            FileProblem::Line { line, problem: format!("has {len} cells, the first line has {expected_len}") }
        }
        other => FileProblem::Format(format!("{other:?}")),
    }
}
