//! A file of either format.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{ipc, parquet};
use crate::DataError;
use crate::epoch::panicked;
use crate::error::FileProblem;

/// What is known of a file before its rows are read.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) schema: SchemaRef,
    /// The number of rows in each group.
    pub(super) rows: Vec<usize>,
    format: Format,
}

#[derive(Debug)]
pub(super) enum Format {
    Parquet(ArrowReaderMetadata),
    Arrow(ipc::Footer),
}

/// What a reader of record batches does with each.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&RecordBatch) -> Result<(), FileProblem>;

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let opened = guarded(|| {
            let mut file = File::open(path).map_err(io)?;
            let mut start = Vec::new();
            file.by_ref().take(6).read_to_end(&mut start).map_err(io)?;
            if start.starts_with(b"PAR1") {
                let metadata = parquet::open(&file)?;
                let rows = parquet::rows(metadata.metadata())?;
                Ok((metadata.schema().clone(), rows, Format::Parquet(metadata)))
            } else if start == b"ARROW1" {
                let (schema, footer, rows) = ipc::open(&mut file)?;
                Ok((schema, rows, Format::Arrow(footer)))
            } else {
                Err(FileProblem::Format("is neither a Parquet nor an Arrow file".into()))
            }
        });
        let (schema, rows, format) =
            opened.map_err(|problem| DataError::File { path: path.into(), problem })?;
        Ok(Self { path: path.into(), schema, rows, format })
    }

    /// Visits the rows of a group, some at a time, with the given columns (by number, ascending) only.
    pub(super) fn read(&self, group: usize, columns: &[usize], visit: Visit<'_>) -> Result<(), DataError> {
        let mut left = self.rows[group];
        let mut counted = |batch: &RecordBatch| {
            let problem = || FileProblem::Format(format!("group {group} has more rows than it declares"));
            left = left.checked_sub(batch.num_rows()).ok_or_else(problem)?;
            visit(batch)
        };
        let read = guarded(|| match &self.format {
            Format::Parquet(metadata) => parquet::read(&self.path, metadata, group, columns, &mut counted),
            Format::Arrow(footer) => {
                ipc::read(&self.path, &self.schema, footer, group, columns, &mut counted)
            }
        });
        read.map_err(|problem| self.wrong(problem))
    }

    pub(super) fn wrong(&self, problem: FileProblem) -> DataError {
        DataError::File { path: self.path.clone(), problem }
    }

    /// Whether both have columns of the same names and types, in the same order.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        let column = |field: &Arc<arrow_schema::Field>| (field.name().clone(), field.data_type().clone());
        self.schema.fields().iter().map(column).eq(other.schema.fields().iter().map(column))
    }
}

/// The readers of both formats panic on some damaged files.
fn guarded<T>(read: impl FnOnce() -> Result<T, FileProblem>) -> Result<T, FileProblem> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        Err(FileProblem::Format(format!("is damaged; its reader gave up with: {}", panicked(panic))))
    })
}

/// Whether so few bytes can be the compressed form of so many. Deflate's ratio stays below 1,032 and LZ4's
/// below 255; pages of equal values, which other codecs shrink without a bound, are small.
pub(super) fn plausible(whole: u64, compressed: u64) -> bool {
    whole <= compressed.saturating_mul(1100).max(64 << 20)
}

pub(super) fn io(error: std::io::Error) -> FileProblem {
    FileProblem::Io(Arc::new(error))
}

pub(super) fn format(error: impl ToString) -> FileProblem {
    FileProblem::Format(error.to_string())
}
