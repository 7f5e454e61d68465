//! Images or rows of features in memory, each with a class.

use std::sync::Arc;

use wgrad_core::{F32, Shape, TensorSpec, U32};

use crate::order::permutation;
use crate::scale::{Affine, Scale, moments};
use crate::{DataError, Dataset, Record};

/// Raw values; bytes stay bytes until they are written into a batch.
#[derive(Clone, Debug)]
enum Values {
    Bytes(Arc<[u8]>),
    Floats(Arc<[f32]>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }
}

/// Examples with a class each: an input of f32 and a label of u32 per record, for example `image`
/// f32\[1, 28, 28\] and `label` u32\[\]. Clones and parts share the values.
///
/// ```
/// use wgrad_data::{Dataset, digits};
/// let (train, test) = digits().split(0.8, 1);
/// assert_eq!((train.len(), test.len()), (1438, 359));
/// assert_eq!(train.classes(), 10);
/// ```
#[derive(Clone, Debug)]
pub struct Labelled {
    name: Arc<str>,
    shape: Shape,
    values: Values,
    labels: Arc<[u32]>,
    classes: usize,
    records: Arc<[usize]>,
    scale: Scale,
}

impl Labelled {
    /// Examples from one f32 array. `name` is the input's name and `shape` the shape of one record;
    /// labels must be below `classes`.
    pub fn new(
        name: &str,
        shape: impl Into<Shape>,
        values: Vec<f32>,
        labels: Vec<u32>,
        classes: usize,
    ) -> Result<Self, DataError> {
        Self::build(name, shape.into(), Values::Floats(values.into()), labels, classes, 1.0)
    }

    /// Examples from bytes, which are divided by `scale` when they are written into a batch.
    pub fn from_bytes(
        name: &str,
        shape: impl Into<Shape>,
        values: Vec<u8>,
        scale: f32,
        labels: Vec<u32>,
        classes: usize,
    ) -> Result<Self, DataError> {
        Self::build(name, shape.into(), Values::Bytes(values.into()), labels, classes, scale)
    }

    fn build(
        name: &str,
        shape: Shape,
        values: Values,
        labels: Vec<u32>,
        classes: usize,
        scale: f32,
    ) -> Result<Self, DataError> {
        if values.len() != labels.len() * shape.numel() {
            let expected = TensorSpec::new(F32, &shape);
            let got = format!("{} values for {} labels", values.len(), labels.len());
            return Err(DataError::Mismatch { field: name.into(), expected, got });
        }
        let wrong = labels.iter().position(|&label| label as usize >= classes);
        if let Some(record) = wrong {
            return Err(DataError::Label { record, label: labels[record], classes });
        }
        let records = (0..labels.len()).collect();
        let scale = Scale::divide(1.0).then(0.0, scale)?;
        Ok(Self { name: name.into(), shape, values, labels: labels.into(), classes, records, scale })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The shape of one record's input.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The label of a record.
    pub fn label(&self, record: usize) -> Option<u32> {
        self.records.get(record).map(|&record| self.labels[record])
    }

    /// The labels of all records, in order.
    pub fn labels(&self) -> impl Iterator<Item = u32> + '_ {
        self.records.iter().map(|&record| self.labels[record])
    }

    /// The input of a record as it is written into a batch.
    pub fn input(&self, record: usize) -> Option<Vec<f32>> {
        self.records.get(record).map(|&record| match &self.values {
            Values::Bytes(values) => self.scaled(record, values).collect(),
            Values::Floats(values) => self.scaled(record, values).collect(),
        })
    }

    fn scaled<'a, T: Copy + Into<f32>>(
        &'a self,
        record: usize,
        values: &'a [T],
    ) -> impl Iterator<Item = f32> + 'a {
        let size = self.shape.numel();
        let values = &values[record * size..(record + 1) * size];
        values.iter().zip(self.scale.maps()).map(|(&value, map)| map.apply(value.into()))
    }

    /// Two parts in random order: the first gets `fraction` (0 to 1) of the records, rounded, the
    /// second the rest. The same seed gives the same parts.
    pub fn split(&self, fraction: f64, seed: u64) -> (Self, Self) {
        let order = permutation(self.len(), seed, 0);
        let first = (self.len() as f64 * fraction.clamp(0.0, 1.0)).round() as usize;
        let part = |part: &[usize]| self.part(part.iter().map(|&record| self.records[record]));
        (part(&order[..first]), part(&order[first..]))
    }

    /// The records with the given numbers.
    pub fn subset(&self, records: impl IntoIterator<Item = usize>) -> Result<Self, DataError> {
        let missing = |record| DataError::NoSuchRecord { record, records: self.len() };
        let chosen = |record| self.records.get(record).copied().ok_or_else(|| missing(record));
        let records = records.into_iter().map(chosen).collect::<Result<Vec<_>, _>>()?;
        Ok(self.part(records))
    }

    /// The first `n` records, or all if there are fewer.
    pub fn take(&self, n: usize) -> Self {
        self.part(self.records.iter().copied().take(n))
    }

    fn part(&self, records: impl IntoIterator<Item = usize>) -> Self {
        Self { records: records.into_iter().collect(), ..self.clone() }
    }

    /// Subtracts a mean and divides by a deviation (torchvision's `Normalize`), after any scaling so
    /// far: MNIST's pixels in 0..1 have mean 0.1307 and deviation 0.3081.
    pub fn normalized(self, mean: f32, deviation: f32) -> Result<Self, DataError> {
        Ok(Self { scale: self.scale.then(mean, deviation)?, ..self })
    }

    /// Replaces any scaling so far by one per feature, with the mean and deviation which that feature
    /// has in `reference` (scikit-learn's `StandardScaler`): the training part, for both parts, so that
    /// nothing of the test part leaks. A feature that is constant there is only centred. `reference`
    /// must have the shape of these records.
    pub fn standardized_by(&self, reference: &Self) -> Result<Self, DataError> {
        if self.shape != reference.shape {
            let expected = TensorSpec::new(F32, &self.shape);
            let got = TensorSpec::new(F32, &reference.shape).to_string();
            return Err(DataError::Mismatch { field: self.name.to_string(), expected, got });
        }
        let feature = |feature: usize| {
            let size = reference.shape.numel();
            let raw = |&record: &usize| match &reference.values {
                Values::Bytes(values) => f32::from(values[record * size + feature]),
                Values::Floats(values) => values[record * size + feature],
            };
            let (mean, deviation) = moments(reference.records.iter().map(raw));
            Affine { mean, deviation: if deviation.is_normal() { deviation } else { 1.0 } }
        };
        let scale = Scale::features((0..self.shape.numel()).map(feature));
        Ok(Self { scale, ..self.clone() })
    }

    /// The mean and the standard deviation over all values, as they are written into batches.
    pub fn moments(&self) -> (f32, f32) {
        moments((0..self.len()).flat_map(|record| self.input(record).unwrap_or_default()))
    }
}

impl Dataset for Labelled {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        let input = TensorSpec::new(F32, &self.shape);
        vec![(self.name.to_string(), input), ("label".into(), TensorSpec::new(U32, []))]
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let missing = DataError::NoSuchRecord { record, records: self.len() };
        let &inner = self.records.get(record).ok_or(missing)?;
        match &self.values {
            Values::Bytes(values) => sink.write_iter(&self.name, self.scaled(inner, values))?,
            Values::Floats(values) => sink.write_iter(&self.name, self.scaled(inner, values))?,
        }
        sink.write("label", &[self.labels[inner]])
    }
}
