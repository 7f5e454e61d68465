//! How long a training is, in batches.

/// How long a training is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Epochs(usize),
    Updates(usize),
}

impl Length {
    /// The number of batches, where an epoch has so many and an update takes so many.
    pub(crate) fn batches(self, epoch: u64, accumulate: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => epochs as u64 * epoch,
            Self::Updates(updates) => {
                let (updates, each) = (updates as u64, epoch.div_ceil(accumulate));
                updates / each * epoch + (updates % each * accumulate).min(epoch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven batches an epoch, an update after every second one and after the last.
    #[test]
    fn updates_are_counted_in_batches() {
        let batches = |updates| Length::Updates(updates).batches(7, 2);
        assert_eq!([1, 3, 4, 5, 8, 10].map(batches), [2, 6, 7, 9, 14, 18]);
        assert_eq!(Length::Updates(9).batches(7, 1), 9);
        assert_eq!(Length::Epochs(3).batches(7, 2), 21);
    }
}
