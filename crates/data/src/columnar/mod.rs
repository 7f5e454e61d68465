//! Tables in Parquet and Arrow files, one group of rows in memory at a time.
//!
//! [`Columnar`] makes fields of columns. A [`table`] is a file: [`parquet`] and [`ipc`] know the two
//! formats and hand out Arrow's record batches, [`field`] turns those into the bytes of records, and
//! [`cache`] keeps the groups that loader threads are at work on.

mod cache;
mod field;
mod ipc;
mod parquet;
mod shuffled;
mod table;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use wgrad_core::{DType, F32, TensorSpec};

use crate::error::FileProblem;
use crate::{DataError, Dataset, Record, TensorDataset};
use cache::{Cache, Decoded};
use field::Field;
use table::Table;

pub use shuffled::ShuffledGroups;

/// A dataset in Parquet or Arrow (IPC, "Feather") files, whose columns become fields: numbers and booleans,
/// lists of a fixed size as further axes, other lists padded to a length.
///
/// Files may be larger than memory. A row group (of Parquet) or record batch (of Arrow) is decoded whole
/// when the first of its records is asked for, and the [last few](Columnar::cache) are kept: visit the
/// records in order or as [`Columnar::shuffled`] says, or [load](Columnar::load) them all.
///
/// ```
/// # use std::{fs::File, sync::Arc};
/// # use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("flights.parquet");
/// # let hours: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None, Some(7.0)]));
/// # let km: ArrayRef = Arc::new(Float64Array::from(vec![900.0, 2000.0, 5800.0]));
/// # let late: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 1]));
/// # let rows = RecordBatch::try_from_iter([("hours", hours), ("km", km), ("late", late)]).unwrap();
/// # let file = File::create(&path).unwrap();
/// # let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
/// # writer.write(&rows).unwrap();
/// # writer.close().unwrap();
/// use wgrad_core::{F32, U32};
/// use wgrad_data::{Columnar, Dataset, Loader};
/// let flights = Columnar::open(&path)?
///     .field("features", F32, &["hours", "km"])? // side by side: f32[2]
///     .field("label", U32, &["late"])?           // u32[], from whatever integers there are
///     .fill_nulls(0.0);
/// assert_eq!((flights.len(), flights.columns().len()), (3, 3));
/// let loader = Loader::new(flights.clone(), 2).sampler(flights.shuffled(7)).seed(7).workers(2);
/// assert_eq!(loader.epoch(0).count(), 2);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Columnar {
    tables: Arc<[Table]>,
    groups: Arc<[Group]>,
    fields: Vec<Field>,
    fill: Option<f64>,
    cache: Arc<Cache>,
}

/// Rows that are decoded together.
#[derive(Debug)]
struct Group {
    table: usize,
    /// Its number in the file.
    number: usize,
    /// The number of its first row in the file.
    first: usize,
    /// Its records.
    records: Range<usize>,
}

impl Columnar {
    /// How many groups are kept unless chosen.
    const CACHED: usize = 4;

    /// Opens a file of either format, recognised by its contents. Only what it says about itself is read.
    /// Errors: a file that cannot be read, is neither, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_all([path])
    }

    /// Opens several files, in order, as one dataset. Their columns must be the same.
    pub fn open_all<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, DataError> {
        let open = |path: P| Table::open(path.as_ref());
        let tables = paths.into_iter().map(open).collect::<Result<Arc<[Table]>, _>>()?;
        let Some(first) = tables.first() else { return Err(DataError::Empty) };
        if let Some(other) = tables.iter().find(|table| !table.has_columns_of(first)) {
            let problem = format!("has other columns than {}", first.path.display());
            return Err(other.wrong(FileProblem::Format(problem)));
        }
        let (mut groups, mut end) = (Vec::new(), 0usize);
        for (table, Table { rows, .. }) in tables.iter().enumerate() {
            let mut first = 0;
            for (number, &rows) in rows.iter().enumerate() {
                let records = end..end.saturating_add(rows);
                end = records.end;
                groups.push(Group { table, number, first, records });
                first += rows;
            }
        }
        let cache = Arc::new(Cache::of(Self::CACHED));
        Ok(Self { tables, groups: groups.into(), fields: Vec::new(), fill: None, cache })
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<&str> {
        self.tables[0].schema.fields().iter().map(|column| column.name().as_str()).collect()
    }

    /// Adds a field made of a column, or of several side by side: their values in a row then form one axis.
    /// Integers may become floats, but not the other way round.
    ///
    /// Errors: there is no such column, or it holds neither numbers nor lists of a fixed size. A value that
    /// is null, not finite, beyond the range of `dtype` or no such integer is an error of its record.
    pub fn field(mut self, name: &str, dtype: DType, columns: &[&str]) -> Result<Self, DataError> {
        let columns = columns.iter().map(|column| self.column(column)).collect::<Result<Vec<_>, _>>()?;
        let field = Field::of(name, dtype, columns).map_err(|problem| self.wrong(problem))?;
        self.fields.push(field);
        Ok(self.forgetful())
    }

    /// Adds a field made of a column of lists: each loses what it has beyond `length`, or is filled up with
    /// `padding`. Errors: there is no such column, or it holds no lists of numbers.
    pub fn padded(
        mut self,
        name: &str,
        dtype: DType,
        column: &str,
        length: usize,
        padding: f64,
    ) -> Result<Self, DataError> {
        let column = self.column(column)?;
        let field = Field::padded(name, dtype, column, length, padding);
        self.fields.push(field.map_err(|problem| self.wrong(problem))?);
        Ok(self.forgetful())
    }

    /// Puts a value in the place of every null and every NaN.
    pub fn fill_nulls(mut self, value: f64) -> Self {
        self.fill = Some(value);
        self.forgetful()
    }

    /// Keeps so many decoded groups, at least 1; 4 unless chosen. Each takes the bytes of its rows' fields.
    pub fn cache(mut self, groups: usize) -> Self {
        self.cache = Arc::new(Cache::of(groups));
        self
    }

    /// The same with nothing decoded.
    fn forgetful(self) -> Self {
        let groups = self.cache.groups();
        self.cache(groups)
    }

    /// Another random order each epoch, in which the records of a few groups are mixed at a time: of half as
    /// many as are kept. So each group is decoded once, as long as the batches that a loader fills at the
    /// same time lie in two neighbouring mixtures.
    pub fn shuffled(&self, seed: u64) -> ShuffledGroups {
        let groups = self.groups.iter().map(|group| group.records.clone());
        ShuffledGroups::new(groups, self.cache.groups() / 2, seed)
    }

    /// All records in memory, for tables small enough. Errors: the first record that cannot be read.
    pub fn load(&self) -> Result<TensorDataset, DataError> {
        let mut all = vec![Vec::new(); self.fields.len()];
        for (group, Group { records, .. }) in self.groups.iter().enumerate() {
            let decoded = self.decode(group)?;
            if let Some((row, error)) = decoded.bad.first_key_value() {
                let record = records.start + row;
                return Err(error.clone().at_record(record, self.name(record)));
            }
            all.iter_mut().zip(decoded.bytes).for_each(|(all, bytes)| all.extend(bytes));
        }
        let fields = self.fields.iter().zip(all);
        let fields = fields.map(|(field, bytes)| (field.name.clone(), field.spec.clone(), bytes));
        Ok(TensorDataset::of_bytes(self.len(), fields))
    }

    /// The numbers of a column. Errors: it holds none; a null that nothing is to be put in the place of.
    pub fn numbers(&self, column: &str) -> Result<Vec<f32>, DataError> {
        let only = Self { fields: Vec::new(), ..self.clone() }.field(column, F32, &[column])?;
        let mut values = Vec::with_capacity(self.len());
        for (group, Group { records, .. }) in self.groups.iter().enumerate() {
            let decoded = only.decode(group)?;
            if let Some((row, error)) = decoded.bad.first_key_value() {
                let record = records.start + row;
                return Err(error.clone().at_record(record, self.name(record)));
            }
            values.extend(
                decoded.bytes.iter().flat_map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(bytes)),
            );
        }
        Ok(values)
    }

    /// The texts of a column, for a tokenizer. Errors: it holds none; a null.
    pub fn text(&self, column: &str) -> Result<Vec<String>, DataError> {
        let (index, _) = self.column(column)?;
        let mut texts = Vec::with_capacity(self.len());
        for group in self.groups.iter() {
            let mut missing = None;
            let mut visit = |batch: &RecordBatch| {
                for text in strings(batch.column(0))? {
                    let record = texts.len();
                    let null =
                        || DataError::Null { column: column.into() }.at_record(record, self.name(record));
                    missing = missing.take().or_else(|| text.is_none().then(null));
                    texts.push(text.unwrap_or_default().to_string());
                }
                Ok(())
            };
            let table = &self.tables[group.table];
            table.read(group.number, &[index], &mut visit)?;
            missing.map_or(Ok(()), Err)?;
        }
        Ok(texts)
    }

    /// Where a column is, and what it holds.
    fn column(&self, name: &str) -> Result<(usize, &arrow_schema::Field), DataError> {
        let columns = self.tables[0].schema.fields();
        let found = columns.iter().enumerate().find(|(_, column)| column.name() == name);
        found.map(|(index, column)| (index, column.as_ref())).ok_or_else(|| {
            let columns = self.columns().into_iter().map(String::from).collect();
            self.wrong(FileProblem::NoColumn { column: name.into(), columns })
        })
    }

    fn wrong(&self, problem: FileProblem) -> DataError {
        self.tables[0].wrong(problem)
    }

    /// The bytes of a group's records.
    fn decode(&self, group: usize) -> Result<Decoded, DataError> {
        let Group { table, number, records, .. } = &self.groups[group];
        let mut columns: Vec<usize> = self.fields.iter().flat_map(Field::columns).collect();
        columns.sort_unstable();
        columns.dedup();
        let mut decoded = Decoded::new(self.fields.len());
        let mut visit = |batch: &RecordBatch| {
            let array = |column| columns.binary_search(&column).ok().and_then(|at| batch.columns().get(at));
            for (field, bytes) in self.fields.iter().zip(&mut decoded.bytes) {
                let row = bytes.len() / field.spec.bytes().max(1);
                let bad = field.decode(array, self.fill, bytes)?;
                for (at, error) in bad {
                    decoded.bad.entry(row + at).or_insert(error);
                }
            }
            Ok(())
        };
        self.tables[*table].read(*number, &columns, &mut visit)?;
        let whole = |(field, bytes): (&Field, &Vec<u8>)| bytes.len() == field.spec.bytes() * records.len();
        if !self.fields.iter().zip(&decoded.bytes).all(whole) {
            let problem = FileProblem::Format(format!("group {number} does not have {} rows", records.len()));
            return Err(self.tables[*table].wrong(problem));
        }
        Ok(decoded)
    }
}

/// The texts of an array.
fn strings(array: &dyn Array) -> Result<Vec<Option<&str>>, FileProblem> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        other => return Err(FileProblem::Format(format!("the column holds {other}, which is no text"))),
    })
}

impl Dataset for Columnar {
    fn len(&self) -> usize {
        self.groups.last().map_or(0, |group| group.records.end)
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        self.fields.iter().map(|field| (field.name.clone(), field.spec.clone())).collect()
    }

    fn name(&self, record: usize) -> Option<String> {
        let group = self.groups.iter().find(|group| group.records.contains(&record))?;
        let row = group.first + record - group.records.start;
        Some(format!("{}, row {row}", self.tables[group.table].path.display()))
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let at = self.groups.partition_point(|group| group.records.end <= record);
        let missing = DataError::NoSuchRecord { record, records: self.len() };
        let row = record - self.groups.get(at).ok_or(missing)?.records.start;
        let decoded = self.cache.get(at, || self.decode(at))?;
        if let Some(error) = decoded.bad.get(&row) {
            return Err(error.clone());
        }
        for (field, bytes) in self.fields.iter().zip(&decoded.bytes) {
            let size = field.spec.bytes();
            sink.write_bytes(&field.name, field.spec.dtype, &bytes[row * size..(row + 1) * size])?;
        }
        Ok(())
    }
}
