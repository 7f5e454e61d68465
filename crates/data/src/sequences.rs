//! Sequences of tokens of different lengths, each with a class.

use std::sync::Arc;

use wgrad_core::{TensorSpec, U32};

use crate::{DataError, Dataset, Record};

/// Sequences of tokens with a class each: `tokens` u32\[length\] and `label` u32\[\]. Shorter sequences are
/// padded at the end, longer ones lose theirs. Clones and parts share the tokens.
///
/// ```
/// use wgrad_data::{Dataset, Sequences};
/// let reviews = Sequences::new(vec![vec![5, 3], vec![2, 7, 7, 4]], vec![0, 1], 2)?.padded_to(3);
/// assert_eq!(reviews.fields()[0].1.to_string(), "u32[3]");
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequences {
    sequences: Arc<[(Vec<u32>, u32)]>,
    records: Arc<[usize]>,
    length: usize,
    padding: u32,
}

impl Sequences {
    /// Sequences and their labels, which must be below `classes`. All are padded with 0 to the longest.
    pub fn new(sequences: Vec<Vec<u32>>, labels: Vec<u32>, classes: usize) -> Result<Self, DataError> {
        if sequences.len() != labels.len() {
            let (expected, got) = (sequences.len(), labels.len());
            return Err(DataError::Count { field: "label".into(), expected, got });
        }
        if let Some(record) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(DataError::Label { record, label: labels[record], classes });
        }
        let length = sequences.iter().map(Vec::len).max().unwrap_or_default();
        let sequences: Arc<[_]> = sequences.into_iter().zip(labels).collect();
        Ok(Self { records: (0..sequences.len()).collect(), sequences, length, padding: 0 })
    }

    /// Another length for all.
    pub fn padded_to(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// Another token to pad with.
    pub fn padding(self, padding: u32) -> Self {
        Self { padding, ..self }
    }

    /// The labels of all records, in order.
    pub fn labels(&self) -> impl Iterator<Item = u32> + '_ {
        self.records.iter().map(|&record| self.sequences[record].1)
    }

    /// The records with the given numbers.
    pub fn subset(&self, records: impl IntoIterator<Item = usize>) -> Result<Self, DataError> {
        let missing = |record| DataError::NoSuchRecord { record, records: self.len() };
        let chosen = |record| self.records.get(record).copied().ok_or_else(|| missing(record));
        let records = records.into_iter().map(chosen).collect::<Result<_, _>>()?;
        Ok(Self { records, ..self.clone() })
    }

    /// One dataset for each of the given lengths, shortest first, with the sequences that fit it but none
    /// of the shorter lengths: so little is padded. Sequences longer than all are in the last, cut off.
    /// Datasets without records are left out. See [`Buckets`](crate::Buckets).
    pub fn buckets(&self, lengths: &[usize]) -> Vec<Self> {
        let mut lengths = lengths.to_vec();
        lengths.sort_unstable();
        lengths.dedup();
        let bucket = |&record: &usize| {
            let length = self.sequences[record].0.len();
            lengths.partition_point(|&end| end < length).min(lengths.len().saturating_sub(1))
        };
        let part = |(number, &length): (usize, &usize)| {
            let records = self.records.iter().copied().filter(|record| bucket(record) == number).collect();
            Self { records, length, ..self.clone() }
        };
        lengths.iter().enumerate().map(part).filter(|part| !part.is_empty()).collect()
    }
}

impl Dataset for Sequences {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        let tokens = TensorSpec::new(U32, [self.length]);
        vec![("tokens".into(), tokens), ("label".into(), TensorSpec::new(U32, []))]
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let missing = DataError::NoSuchRecord { record, records: self.len() };
        let (tokens, label) = &self.sequences[*self.records.get(record).ok_or(missing)?];
        sink.write_padded("tokens", tokens, self.padding)?;
        sink.write("label", &[*label])
    }
}
