//! How long a training is, in batches.

/// How long a training is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Epochs(usize),
    Updates(usize),
}

impl Length {
    /// The number of batches, where an epoch has so many and an update takes so many; `u64::MAX` where there
    /// are more.
    pub(crate) fn batches(self, epoch: u64, accumulate: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => (epochs as u64).saturating_mul(epoch),
            Self::Updates(updates) => {
                let (updates, each) = (updates as u64, epoch.div_ceil(accumulate));
                let rest = (updates % each * accumulate).min(epoch);
                (updates / each).saturating_mul(epoch).saturating_add(rest)
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

    /// What is to go on until something else ends it.
    #[test]
    fn lengths_beyond_all_counting_are_the_largest() {
        for (epoch, accumulate) in [(1, 1), (7, 1), (7, 2), (7, 7), (7, u64::MAX), (u64::MAX, 3)] {
            for length in [Length::Epochs(usize::MAX), Length::Updates(usize::MAX)] {
                let batches = length.batches(epoch, accumulate);
                assert!(batches >= usize::MAX as u64, "{length:?} of {epoch}, {accumulate}: {batches}");
            }
        }
        assert_eq!(Length::Epochs(usize::MAX / 7).batches(7, 1), usize::MAX as u64 / 7 * 7);
    }
}
