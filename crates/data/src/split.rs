//! Parts of a dataset: training, validation and test, or the folds of cross-validation.

use crate::DataError;
use crate::order::permutation;
use crate::sampler::stratified;

/// The numbers below `records` in random parts of the given shares, which must not add up to more than 1:
/// `&[0.8, 0.1, 0.1]` for training, validation and test. For a [`Subset`](crate::Subset) each.
///
/// ```
/// use wgrad_data::{Dataset, Subset, digits, split};
/// let parts = split::random(digits().len(), &[0.8, 0.1, 0.1], 7)?;
/// let [train, validation, test] = [0, 1, 2].map(|part| Subset::new(digits(), parts[part].clone()));
/// assert_eq!((train?.len(), validation?.len(), test?.len()), (1438, 179, 180));
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
pub fn random(records: usize, shares: &[f64], seed: u64) -> Result<Vec<Vec<usize>>, DataError> {
    cut(&permutation(records, seed, 0), shares)
}

/// The same for labelled records, with nearly the same share of every class in each part.
pub fn by_class(
    labels: impl IntoIterator<Item = u32>,
    shares: &[f64],
    seed: u64,
) -> Result<Vec<Vec<usize>>, DataError> {
    cut(&spread(labels, seed), shares)
}

/// The training and test records of each of `folds` folds: every record is tested once (scikit-learn's
/// `KFold` with `shuffle`). At least two folds, and no more than records.
///
/// ```
/// for (train, test) in wgrad_data::split::k_fold(10, 5, 7)? {
///     assert_eq!((train.len(), test.len()), (8, 2));
/// }
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
pub fn k_fold(records: usize, folds: usize, seed: u64) -> Result<Vec<Fold>, DataError> {
    fold(&permutation(records, seed, 0), folds)
}

/// The same for labelled records, with nearly the same share of every class in each fold (scikit-learn's
/// `StratifiedKFold`).
pub fn k_fold_by_class(
    labels: impl IntoIterator<Item = u32>,
    folds: usize,
    seed: u64,
) -> Result<Vec<Fold>, DataError> {
    fold(&spread(labels, seed), folds)
}

/// The records to train on, and those to test on.
pub type Fold = (Vec<usize>, Vec<usize>);

fn spread(labels: impl IntoIterator<Item = u32>, seed: u64) -> Vec<usize> {
    stratified(&labels.into_iter().collect::<Vec<_>>(), seed, 0)
}

fn cut(order: &[usize], shares: &[f64]) -> Result<Vec<Vec<usize>>, DataError> {
    let sum: f64 = shares.iter().sum();
    // What is lost to rounding in 0.1 + 0.2 + 0.7 does not count.
    if shares.iter().any(|share| !share.is_finite() || *share < 0.0) || sum > 1.0 + 1e-9 {
        return Err(DataError::Shares { shares: shares.into() });
    }
    let end = |share: f64| ((order.len() as f64 * share).round() as usize).min(order.len());
    let ends = shares.iter().scan(0.0, |sum, share| {
        *sum += share;
        Some(end(*sum))
    });
    let mut start = 0;
    let part = |end| {
        let part = order[start..end].to_vec();
        start = end;
        part
    };
    Ok(ends.map(part).collect())
}

fn fold(order: &[usize], folds: usize) -> Result<Vec<Fold>, DataError> {
    let n = order.len();
    if folds < 2 || folds > n {
        return Err(DataError::Folds { folds, records: n });
    }
    let parts = (0..folds).map(|fold| n * fold / folds..n * (fold + 1) / folds);
    Ok(parts
        .map(|test| ([&order[..test.start], &order[test.end..]].concat(), order[test].to_vec()))
        .collect())
}
