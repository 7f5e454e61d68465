//! How rows become an array on the device, and the arrays of batches a total on the host.

use std::fmt;
use std::sync::Arc;

use wgrad_core::{F32, Tensor};

/// How numbers of several records become one: on the device those of a batch, then on the host, in f64, those
/// of all batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// They are added up. Counts are exact: a batch has fewer than 2²⁴ records.
    Sum,
    /// The largest; NaN if there is one.
    Max,
    /// The smallest; NaN if there is one.
    Min,
}

impl Combine {
    /// Combines the rows \[n, …\] that count to an array \[…\].
    pub(super) fn rows(self, rows: &Tensor) -> Tensor {
        let n = rows.dim(0);
        let shape = [&[n][..], &vec![1; rows.rank().saturating_sub(1)]].concat();
        let counted = rows.graph().counted(n).reshape(shape);
        let rows = rows.cast(F32);
        let counting = |neutral: f64| counted.select(&rows, &rows.full_like(neutral));
        match self {
            Self::Sum => counting(0.0).sum(0),
            Self::Max => counting(f64::from(f32::MIN)).max(0),
            Self::Min => counting(f64::from(f32::MAX)).min(0),
        }
    }

    /// Combines the array of a batch with those before.
    pub(super) fn add(self, total: &mut Vec<f64>, batch: &[f64]) {
        if total.len() != batch.len() {
            batch.clone_into(total);
            return;
        }
        for (total, &value) in total.iter_mut().zip(batch) {
            let stays = match self {
                Self::Sum => {
                    *total += value;
                    continue;
                }
                Self::Max => *total > value,
                Self::Min => *total < value,
            };
            // No comparison holds with a NaN, which must come through.
            if !stays && !total.is_nan() {
                *total = value;
            }
        }
    }
}

type Add = dyn Fn(&mut Vec<f64>, &[f64]) + Send + Sync;

/// How the array of a batch enters a total.
#[derive(Clone)]
pub(crate) struct Rule(Arc<Add>);

impl Rule {
    pub(super) fn new(add: impl Fn(&mut Vec<f64>, &[f64]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(add))
    }

    pub(crate) fn add(&self, total: &mut Vec<f64>, batch: &[f64]) {
        (self.0)(total, batch);
    }

    /// Whether both are one rule, so that equal arrays have equal totals.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_combine() {
        let of = |combine: Combine, batches: &[[f64; 2]]| {
            let mut total = vec![];
            batches.iter().for_each(|batch| combine.add(&mut total, batch));
            total
        };
        let batches = [[1.0, -2.0], [0.5, 4.0], [-3.0, 1.0]];
        assert_eq!(of(Combine::Sum, &batches), [-1.5, 3.0]);
        assert_eq!(of(Combine::Max, &batches), [1.0, 4.0]);
        assert_eq!(of(Combine::Min, &batches), [-3.0, -2.0]);
        for combine in [Combine::Sum, Combine::Max, Combine::Min] {
            let nan = of(combine, &[[1.0, f64::NAN], [f64::NAN, 2.0], [3.0, 3.0]]);
            assert!(nan.iter().all(|value| value.is_nan()), "{nan:?}");
        }
    }
}
