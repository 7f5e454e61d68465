//! The training batches of an epoch: from one loader, or from several that take turns.

use std::time::Duration;

use wgrad_core::batch::Batch;
use wgrad_data::{DataError, Epoch, Loader, Random};

use crate::pass::Pass;

/// What trains: a program and its loader for each shape of batches, usually one.
pub(crate) struct Feed {
    pub(crate) passes: Vec<Pass>,
    /// What the turns of several loaders are drawn from.
    seed: u64,
}

/// A batch, the pass that it is for, and its number among that pass's.
pub(crate) struct Turn {
    pub(crate) pass: usize,
    pub(crate) index: usize,
    pub(crate) batch: Batch,
}

impl Feed {
    pub(crate) fn new(passes: Vec<Pass>, seed: u64) -> Self {
        Self { passes, seed }
    }

    pub(crate) fn loaders(&self) -> impl Iterator<Item = &Loader> {
        self.passes.iter().map(|pass| &pass.loader)
    }

    /// The number of batches in an epoch.
    pub(crate) fn batches(&self) -> Result<u64, DataError> {
        self.loaders().map(|loader| Ok(loader.batches()? as u64)).sum()
    }

    /// How long epochs have waited for batches.
    pub(crate) fn stalled(&self) -> Duration {
        self.loaders().map(Loader::stalled).sum()
    }

    /// The records that were passed over.
    pub(crate) fn skipped(&self) -> Vec<DataError> {
        self.loaders().flat_map(Loader::skipped).collect()
    }

    /// The batches of an epoch from one of them on; the same as without those before.
    pub(crate) fn epoch_from(
        &self,
        epoch: u64,
        first: u64,
    ) -> Result<impl Iterator<Item = Result<Turn, DataError>> + use<>, DataError> {
        let turns = self.turns(epoch)?;
        let mut places = vec![0; self.passes.len()];
        turns.iter().take(first as usize).for_each(|&pass| places[pass] += 1);
        let start = |(loader, &place): (&Loader, &usize)| loader.epoch_from(epoch, place);
        let mut epochs: Vec<Epoch> = self.loaders().zip(&places).map(start).collect();
        Ok(turns.into_iter().skip(first as usize).map_while(move |pass| {
            let (index, batch) = (places[pass], epochs[pass].next()?);
            places[pass] += 1;
            Some(batch.map(|batch| Turn { pass, index, batch }))
        }))
    }

    /// Whose turn it is, batch by batch: in a random order, of which the epoch's number is part.
    fn turns(&self, epoch: u64) -> Result<Vec<usize>, DataError> {
        let mut turns = vec![];
        for (pass, loader) in self.loaders().enumerate() {
            turns.extend(std::iter::repeat_n(pass, loader.batches()?));
        }
        if self.passes.len() > 1 {
            Random::new(self.seed, epoch).shuffle(&mut turns);
        }
        Ok(turns)
    }
}
