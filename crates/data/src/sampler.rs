//! Which records an epoch visits, and in which order.

use std::sync::Arc;

use crate::order::permutation;
use crate::{DataError, Random};

/// Chooses the records of an epoch and their order (PyTorch's `Sampler`). It must depend on nothing but
/// itself and its arguments, so that an epoch can be repeated.
///
/// ```
/// use wgrad_data::{DataError, Loader, Sampler, digits};
///
/// /// From the last record to the first.
/// struct Backwards;
///
/// impl Sampler for Backwards {
///     fn order(&self, records: usize, _epoch: u64) -> Result<Vec<usize>, DataError> {
///         Ok((0..records).rev().collect())
///     }
/// }
///
/// let loader = Loader::new(digits(), 64).sampler(Backwards);
/// assert_eq!(loader.batches()?, 29);
/// # Ok::<(), DataError>(())
/// ```
pub trait Sampler: Send + Sync {
    /// How many records an epoch visits, of a dataset with `records`. All, unless overridden.
    fn len(&self, records: usize) -> usize {
        records
    }

    /// The numbers of the records that an epoch visits: as many as [`Sampler::len`] says.
    fn order(&self, records: usize, epoch: u64) -> Result<Vec<usize>, DataError>;
}

/// The dataset's own order.
pub(crate) struct InOrder;

impl Sampler for InOrder {
    fn order(&self, records: usize, _: u64) -> Result<Vec<usize>, DataError> {
        Ok((0..records).collect())
    }
}

/// Another random order each epoch.
pub(crate) struct Shuffled(pub(crate) u64);

impl Sampler for Shuffled {
    fn order(&self, records: usize, epoch: u64) -> Result<Vec<usize>, DataError> {
        Ok(permutation(records, self.0, epoch))
    }
}

/// Draws records with replacement, each with a probability in proportion to its weight (PyTorch's
/// `WeightedRandomSampler`).
///
/// ```
/// use wgrad_data::{Loader, Weighted, digits};
/// let digits = digits();
/// // Each class as often as any other, however many records it has.
/// let loader = Loader::new(digits.clone(), 64).sampler(Weighted::balanced(digits.labels(), 7)?);
/// assert_eq!(loader.batches()?, 29);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Sums of the weights up to and with each record.
    sums: Arc<[f64]>,
    draws: usize,
    seed: u64,
}

impl Weighted {
    /// One weight per record: finite, not negative, not all 0. An epoch makes as many draws as there are
    /// records.
    pub fn new(weights: &[f64], seed: u64) -> Result<Self, DataError> {
        let mut sum = 0.0;
        let sums: Arc<[f64]> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        let bad = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0);
        match bad {
            Some(record) => Err(DataError::Weight { record, weight: weights[record] }),
            None if sum > 0.0 && sum.is_finite() => Ok(Self { draws: sums.len(), sums, seed }),
            None => Err(DataError::Weights { sum }),
        }
    }

    /// Weights that make every class equally likely.
    pub fn balanced(labels: impl IntoIterator<Item = u32>, seed: u64) -> Result<Self, DataError> {
        let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
        let mut counts = vec![0usize; labels.iter().max().map_or(0, |label| label + 1)];
        labels.iter().for_each(|&label| counts[label] += 1);
        Self::new(&labels.iter().map(|&label| 1.0 / counts[label] as f64).collect::<Vec<_>>(), seed)
    }

    /// Another number of draws in an epoch.
    pub fn draws(self, draws: usize) -> Self {
        Self { draws, ..self }
    }
}

impl Sampler for Weighted {
    fn len(&self, _: usize) -> usize {
        self.draws
    }

    fn order(&self, records: usize, epoch: u64) -> Result<Vec<usize>, DataError> {
        if records != self.sums.len() {
            let field = "weights".into();
            return Err(DataError::Count { field, expected: records, got: self.sums.len() });
        }
        let mut random = Random::new(self.seed, epoch);
        let total = self.sums.last().copied().unwrap_or_default();
        let draw = |_| {
            let at = random.uniform() * total;
            // The first whose sum lies beyond, so that a weight of 0 is never drawn. Rounding may put `at`
            // on the total itself, which only the last sum with a weight of its own can answer for.
            let record = self.sums.partition_point(|&sum| sum <= at);
            record.min(self.sums.partition_point(|&sum| sum < total))
        };
        Ok((0..self.draws).map(draw).collect())
    }
}

/// Visits every record once, in a random order in which each batch has nearly the same share of every
/// class as the whole.
///
/// ```
/// use wgrad_data::{Loader, Stratified, digits};
/// let digits = digits();
/// let loader = Loader::new(digits.clone(), 100).sampler(Stratified::new(digits.labels(), 7));
/// assert_eq!(loader.batches()?, 18);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stratified {
    labels: Arc<[u32]>,
    seed: u64,
}

impl Stratified {
    /// One label per record.
    pub fn new(labels: impl IntoIterator<Item = u32>, seed: u64) -> Self {
        Self { labels: labels.into_iter().collect(), seed }
    }
}

impl Sampler for Stratified {
    fn order(&self, records: usize, epoch: u64) -> Result<Vec<usize>, DataError> {
        if records != self.labels.len() {
            let field = "labels".into();
            return Err(DataError::Count { field, expected: records, got: self.labels.len() });
        }
        Ok(stratified(&self.labels, self.seed, epoch))
    }
}

/// The i-th of a class's n records, in random order, goes to a random place in i/n..(i + 1)/n: so any
/// stretch of the whole holds each class in proportion, give or take one.
pub(crate) fn stratified(labels: &[u32], seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = permutation(labels.len(), seed, epoch);
    order.sort_by_key(|&record| labels[record]);
    let mut random = Random::new(!seed, epoch);
    let mut placed = Vec::with_capacity(order.len());
    for class in order.chunk_by(|&a, &b| labels[a] == labels[b]) {
        let place = |at: usize| (at as f64 + random.uniform()) / class.len() as f64;
        placed.extend((0..class.len()).map(place).zip(class.iter().copied()));
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed.into_iter().map(|(_, record)| record).collect()
}
