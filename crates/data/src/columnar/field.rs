//! From Arrow's arrays to the bytes of a field.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;
use wgrad_core::{DType, TensorSpec};

use crate::DataError;
use crate::error::FileProblem;

/// A row of more values than these was not meant: a damaged schema.
const MOST: usize = 1 << 28;

/// A field of records, and the columns that it is made of.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) spec: TensorSpec,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    index: usize,
    name: String,
    /// Values in a row.
    numel: usize,
    /// What lists are filled up with, where their lengths differ.
    padding: Option<f64>,
}

impl Field {
    /// A field of numbers and lists of a fixed size.
    pub(super) fn of(
        name: &str,
        dtype: DType,
        columns: Vec<(usize, &arrow_schema::Field)>,
    ) -> Result<Self, FileProblem> {
        let mut shapes =
            columns.iter().map(|(_, column)| shape(column.data_type()).map_err(of_column(column)));
        let shapes = shapes.by_ref().collect::<Result<Vec<_>, _>>()?;
        let numels = shapes.iter().map(|shape| shape.iter().product::<usize>());
        let columns: Vec<Column> = columns
            .iter()
            .zip(numels)
            .map(|((index, column), numel)| Column {
                index: *index,
                name: column.name().clone(),
                numel,
                padding: None,
            })
            .collect();
        let shape = match &shapes[..] {
            [shape] => shape.clone(),
            _ => vec![columns.iter().map(|column| column.numel).sum()],
        };
        Ok(Self { name: name.into(), spec: TensorSpec::new(dtype, shape), columns })
    }

    /// A field of lists of any length.
    pub(super) fn padded(
        name: &str,
        dtype: DType,
        (index, column): (usize, &arrow_schema::Field),
        length: usize,
        padding: f64,
    ) -> Result<Self, FileProblem> {
        let item = match column.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item,
            other => return Err(of_column(column)(format!("holds {other}, which is no list"))),
        };
        if !shape(item.data_type()).is_ok_and(|shape| shape.is_empty()) {
            return Err(of_column(column)(format!("holds lists of {}", item.data_type())));
        }
        let column = Column { index, name: column.name().clone(), numel: length, padding: Some(padding) };
        Ok(Self { name: name.into(), spec: TensorSpec::new(dtype, [length]), columns: vec![column] })
    }

    /// The columns that are read.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|column| column.index)
    }

    /// Appends the rows of a batch, and returns those that hold something else.
    pub(super) fn decode<'a>(
        &self,
        array: impl Fn(usize) -> Option<&'a ArrayRef>,
        fill: Option<f64>,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<(usize, DataError)>, FileProblem> {
        let (mut rows, mut columns) = (0, Vec::with_capacity(self.columns.len()));
        for column in &self.columns {
            let gone = || FileProblem::Format(format!("lacks the column `{}`", column.name));
            let array = array(column.index).ok_or_else(gone)?;
            let values = column.values(array)?;
            rows = array.len();
            if values.len() != rows * column.numel {
                let problem = format!("does not hold {} values in each row", column.numel);
                return Err(FileProblem::Column { column: column.name.clone(), problem });
            }
            columns.push((column, values));
        }
        let (mut values, mut bad) = (Vec::with_capacity(rows * self.spec.shape.numel()), Vec::new());
        for row in 0..rows {
            for (column, all) in &columns {
                for &value in &all[row * column.numel..(row + 1) * column.numel] {
                    let value = if value.is_nan() { fill.unwrap_or(value) } else { value };
                    if let Err(error) = self.check(column, value, fill.is_some()) {
                        bad.push((row, error));
                    }
                    values.push(value);
                }
            }
        }
        bytes.extend(self.spec.dtype.encode(&values));
        Ok(bad)
    }

    fn check(&self, column: &Column, value: f64, filled: bool) -> Result<(), DataError> {
        let dtype = self.spec.dtype;
        if dtype.is_float() && (dtype.round(value).is_finite() || filled && value.is_nan()) {
            Ok(())
        } else if value.is_nan() && !filled {
            Err(DataError::Null { column: column.name.clone() })
        } else if value.is_finite() && dtype.round(value) == value {
            Ok(())
        } else {
            Err(DataError::Value { column: column.name.clone(), value, dtype })
        }
    }
}

impl Column {
    /// The values of all rows, NaN for nulls.
    fn values(&self, array: &ArrayRef) -> Result<Vec<f64>, FileProblem> {
        let mut values = Vec::with_capacity(array.len().saturating_mul(self.numel).min(MOST));
        let Some(padding) = self.padding else {
            collect(array, &mut values).map_err(of_name(&self.name))?;
            return Ok(values);
        };
        for row in 0..array.len() {
            let end = values.len() + self.numel;
            if array.is_null(row) {
                values.resize(end, f64::NAN);
                continue;
            }
            let list = match array.data_type() {
                DataType::List(_) => array.as_list::<i32>().value(row),
                DataType::LargeList(_) => array.as_list::<i64>().value(row),
                _ => array.as_fixed_size_list().value(row),
            };
            let kept = list.slice(0, list.len().min(self.numel));
            collect(&kept, &mut values).map_err(of_name(&self.name))?;
            values.resize(end, padding);
        }
        Ok(values)
    }
}

/// The axes that a column's values have in each row.
fn shape(data_type: &DataType) -> Result<Vec<usize>, String> {
    use DataType::*;
    match data_type {
        Float16 | Float32 | Float64 | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64
        | Boolean => Ok(Vec::new()),
        FixedSizeList(item, length) => {
            let inner = shape(item.data_type())?;
            let extent = usize::try_from(*length).map_err(|_| format!("holds lists of {length} values"))?;
            let numel = inner.iter().try_fold(extent, |numel, &extent| numel.checked_mul(extent));
            match numel.filter(|&numel| numel <= MOST) {
                Some(_) => Ok([&[extent], &inner[..]].concat()),
                None => Err(format!("declares {extent} × {inner:?} values in each row")),
            }
        }
        List(_) | LargeList(_) => Err("holds lists of any length; `padded` gives them one".into()),
        other => Err(format!("holds {other}, which is no number")),
    }
}

/// Appends the numbers of an array, NaN for nulls.
fn collect(array: &ArrayRef, values: &mut Vec<f64>) -> Result<(), String> {
    match array.data_type() {
        DataType::Float64 => numbers::<Float64Type>(array, values, |value| value),
        DataType::Float32 => numbers::<Float32Type>(array, values, f64::from),
        DataType::Float16 => numbers::<Float16Type>(array, values, f64::from),
        DataType::Int8 => numbers::<Int8Type>(array, values, f64::from),
        DataType::Int16 => numbers::<Int16Type>(array, values, f64::from),
        DataType::Int32 => numbers::<Int32Type>(array, values, f64::from),
        DataType::Int64 => numbers::<Int64Type>(array, values, |value| value as f64),
        DataType::UInt8 => numbers::<UInt8Type>(array, values, f64::from),
        DataType::UInt16 => numbers::<UInt16Type>(array, values, f64::from),
        DataType::UInt32 => numbers::<UInt32Type>(array, values, f64::from),
        DataType::UInt64 => numbers::<UInt64Type>(array, values, |value| value as f64),
        DataType::Boolean => {
            let number = |value: Option<bool>| value.map_or(f64::NAN, |value| f64::from(u8::from(value)));
            values.extend(array.as_boolean().iter().map(number));
        }
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            if lists.null_count() == 0 {
                return collect(lists.values(), values);
            }
            let numel = shape(array.data_type())?.iter().product();
            for row in 0..lists.len() {
                match lists.is_null(row) {
                    true => values.extend(std::iter::repeat_n(f64::NAN, numel)),
                    false => collect(&lists.value(row), values)?,
                }
            }
        }
        other => return Err(format!("holds {other}, which is no number")),
    }
    Ok(())
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef, values: &mut Vec<f64>, of: impl Fn(T::Native) -> f64) {
    values.extend(array.as_primitive::<T>().iter().map(|value| value.map_or(f64::NAN, &of)));
}

fn of_column(column: &arrow_schema::Field) -> impl Fn(String) -> FileProblem + '_ {
    of_name(column.name())
}

fn of_name(column: &str) -> impl Fn(String) -> FileProblem + '_ {
    move |problem| FileProblem::Column { column: column.into(), problem }
}
