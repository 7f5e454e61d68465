//! Batches of several shapes in one epoch.

use wgrad_core::batch::Batch;

use crate::{DataError, Epoch, Loader, Random};

/// Several loaders whose batches take turns in a random order: one for each bucket of
/// [`Sequences::buckets`](crate::Sequences::buckets). A program is made for one shape, so each bucket has a
/// program, and its loader that program's staging memory.
///
/// ```
/// use wgrad_data::{Buckets, Dataset, Loader, Sequences};
/// let sequences = (1..=40).map(|length| vec![7; length]).collect();
/// let all = Sequences::new(sequences, vec![0; 40], 1)?;
/// let buckets = all.buckets(&[10, 20, 40]);
/// let loaders = buckets.into_iter().map(|bucket| Loader::new(bucket, 5).shuffle(1)).collect();
/// let buckets = Buckets::new(loaders, 1);
/// let lengths = buckets.epoch(0)?.map(|(_, batch)| Ok(batch?.layout.fields()[0].spec.shape[1]));
/// let lengths = lengths.collect::<Result<Vec<usize>, wgrad_data::DataError>>()?;
/// assert_eq!(lengths.iter().filter(|&&length| length == 40).count(), 4);
/// assert_eq!(lengths.len(), 8);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Buckets {
    loaders: Vec<Loader>,
    seed: u64,
}

impl Buckets {
    /// The order in which loaders take turns is drawn from the seed and the epoch.
    pub fn new(loaders: Vec<Loader>, seed: u64) -> Self {
        Self { loaders, seed }
    }

    /// The batches of an epoch, each with the number of its loader. Each loader's own come in its order.
    pub fn epoch(
        &self,
        epoch: u64,
    ) -> Result<impl Iterator<Item = (usize, Result<Batch, DataError>)>, DataError> {
        let mut turns = Vec::new();
        for (number, loader) in self.loaders.iter().enumerate() {
            turns.extend(std::iter::repeat_n(number, loader.batches()?));
        }
        Random::new(self.seed, epoch).shuffle(&mut turns);
        let mut epochs: Vec<Epoch> = self.loaders.iter().map(|loader| loader.epoch(epoch)).collect();
        Ok(turns.into_iter().filter_map(move |number| Some((number, epochs[number].next()?))))
    }
}
