//! What can be wrong with data, with the facts needed to mend it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wgrad_core::batch::BatchError;
use wgrad_core::{DType, TensorSpec};

/// An error of a dataset, a data file or a loader.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DataError {
    /// There is nothing to load.
    #[error("the dataset has no records")]
    Empty,
    /// A batch size of zero.
    #[error("the batch size is 0; it must be at least 1")]
    BatchSize,
    /// Dropping the last, incomplete batch would leave none.
    #[error(
        "a batch of {batch_size} is larger than the dataset of {records} records, so dropping the \
         incomplete batch leaves none; use a smaller batch or `pad_last`"
    )]
    BatchTooLarge {
        /// Records in a batch.
        batch_size: usize,
        /// Records in the dataset.
        records: usize,
    },
    /// A record number that the dataset does not have.
    #[error("record {record} does not exist: the dataset has {records}")]
    NoSuchRecord {
        /// The number asked for.
        record: usize,
        /// Records in the dataset.
        records: usize,
    },
    /// The dataset wrote a field that it did not declare.
    #[error("there is no field `{field}`; the dataset declares {declared}")]
    NoSuchField {
        /// The name written to.
        field: String,
        /// The declared names.
        declared: String,
    },
    /// Values that do not have the declared dtype or number.
    #[error("`{field}` is {expected} in each record, got {got}")]
    Mismatch {
        /// The field's name.
        field: String,
        /// The declared spec of one record.
        expected: TensorSpec,
        /// What was offered.
        got: String,
    },
    /// The dataset left a field of a record unwritten.
    #[error("`{field}` was not written")]
    Unwritten {
        /// The field's name.
        field: String,
    },
    /// A label that is not below the number of classes.
    #[error("record {record} has label {label}, but there are {classes} classes (0 to {})", classes.saturating_sub(1))]
    Label {
        /// The record's number.
        record: usize,
        /// Its label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// Two parts of a dataset that should go together have different lengths.
    #[error("`{field}` has {got} records, the others have {expected}")]
    Count {
        /// The part that differs.
        field: String,
        /// Records in the other parts.
        expected: usize,
        /// Records in this one.
        got: usize,
    },
    /// A deviation to divide by that is zero, negative or not finite.
    #[error("values cannot be normalized with mean {mean} and deviation {deviation}")]
    Normalize {
        /// The mean to subtract.
        mean: f32,
        /// The deviation to divide by.
        deviation: f32,
    },
    /// A cell of a table without a value.
    #[error("`{column}` has no value; `fill_nulls` puts one in its place")]
    Null {
        /// The column's name.
        column: String,
    },
    /// A cell of a table with a value that its field cannot hold.
    #[error("`{column}` is {value}, which {dtype} cannot hold")]
    Value {
        /// The column's name.
        column: String,
        /// Its value.
        value: f64,
        /// The type of the field's elements.
        dtype: DType,
    },
    /// A weight that is negative or not finite.
    #[error("record {record} has weight {weight}; weights must be finite and not negative")]
    Weight {
        /// The record's number.
        record: usize,
        /// Its weight.
        weight: f64,
    },
    /// Weights that cannot be divided by their sum.
    #[error("the weights add up to {sum}, so nothing can be drawn by them")]
    Weights {
        /// Their sum.
        sum: f64,
    },
    /// Shares of a whole that are negative, not finite, or more than the whole.
    #[error("{shares:?} are not the shares of a whole: each must be at least 0, and all together at most 1")]
    Shares {
        /// The shares.
        shares: Vec<f64>,
    },
    /// A number of folds that cross-validation cannot have.
    #[error(
        "{records} records cannot make {folds} folds; there must be at least 2, and no more than records"
    )]
    Folds {
        /// The number of folds.
        folds: usize,
        /// Records in the dataset.
        records: usize,
    },
    /// A character that the vocabulary does not have.
    #[error("the character {character:?} is not in the vocabulary")]
    Character {
        /// The character.
        character: char,
    },
    /// A tokenizer that cannot be made, or that a text or token is beyond.
    #[error("the tokenizer: {problem}")]
    Tokenizer {
        /// What it says.
        problem: String,
    },
    /// Values that a transformation cannot be applied to.
    #[error("{transformation}: {problem}")]
    Transformation {
        /// What was to be done.
        transformation: &'static str,
        /// Why it cannot be done.
        problem: String,
    },
    /// A record could not be written.
    #[error("record {record}{}: {source}", in_brackets(.name))]
    Record {
        /// The record's number.
        record: usize,
        /// What the dataset calls it ([`Dataset::name`](crate::Dataset::name)).
        name: Option<String>,
        /// What was wrong.
        source: Box<DataError>,
    },
    /// The batch memory refused.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A dataset's code panicked.
    #[error("the dataset panicked: {0}")]
    Panicked(String),
    /// A worker thread could not be started.
    #[error("cannot start a loader thread: {0}; `workers(0)` loads without threads")]
    Thread(Arc<std::io::Error>),
    /// A problem with a file.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
}

/// What is wrong with a data file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileProblem {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(Arc<std::io::Error>),
    /// A directory lacks a file under any of its usual names.
    #[error("holds none of {}", names.join(", "))]
    Missing {
        /// The names looked for.
        names: Vec<String>,
    },
    /// It ends before the header does.
    #[error("ends within the header, after {got} of {expected} bytes")]
    Header {
        /// Bytes of the header.
        expected: u64,
        /// Bytes in the file.
        got: u64,
    },
    /// It is another kind of file.
    #[error("starts with {got:#010x}, but {expected} starts with {magic:#010x}")]
    Magic {
        /// The first four bytes, big endian.
        got: u32,
        /// What those bytes should be.
        magic: u32,
        /// The kind of file that was expected.
        expected: String,
    },
    /// It holds more or fewer values than its header declares.
    #[error("declares shape {shape:?}, so {expected} bytes of values, but holds {}", held(.got))]
    Length {
        /// The declared shape.
        shape: Vec<usize>,
        /// Bytes that shape needs.
        expected: u64,
        /// Bytes found; `None` for more than needed.
        got: Option<u64>,
    },
    /// It declares more than can be addressed.
    #[error("declares shape {shape:?}, more than memory can hold")]
    Size {
        /// The declared shape.
        shape: Vec<usize>,
    },
    /// A line, counted from 1, does not read as it should.
    #[error("line {line}: {problem}")]
    Line {
        /// The line's number.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A table lacks a column.
    #[error("has no column `{column}`; its columns are {}", columns.join(", "))]
    NoColumn {
        /// The name asked for.
        column: String,
        /// The names there are.
        columns: Vec<String>,
    },
    /// A column of a table does not hold what it should.
    #[error("`{column}` {problem}")]
    Column {
        /// The column's name.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is not what it should be.
    #[error("{0}")]
    Format(String),
    /// Its contents contradict each other or those of the file it belongs to.
    #[error(transparent)]
    Content(Box<DataError>),
}

fn in_brackets(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!(" ({name})"))
}

fn held(got: &Option<u64>) -> String {
    got.map_or("more".into(), |bytes| format!("{bytes} (it is truncated)"))
}

impl DataError {
    /// The same error, told of a record.
    pub(crate) fn at_record(self, record: usize, name: Option<String>) -> Self {
        Self::Record { record, name, source: Box::new(self) }
    }

    /// A file that could not be read.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path: path.clone(), problem: FileProblem::Io(Arc::new(error)) }
    }
}
