//! Affine maps of values on their way into a batch.

use std::sync::Arc;

use crate::DataError;

/// value ↦ (value − mean) / deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
}

impl Affine {
    pub(crate) fn apply(self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// One affine map for all values, or one for each feature of a record.
#[derive(Clone, Debug)]
pub(crate) struct Scale(Arc<[Affine]>);

impl Scale {
    /// Divides by a number.
    pub(crate) fn divide(by: f32) -> Self {
        Self(Arc::new([Affine { mean: 0.0, deviation: by }]))
    }

    /// A map for each feature.
    pub(crate) fn features(maps: impl IntoIterator<Item = Affine>) -> Self {
        Self(maps.into_iter().collect())
    }

    /// Subtracts a mean and divides by a deviation after this map.
    pub(crate) fn then(&self, mean: f32, deviation: f32) -> Result<Self, DataError> {
        if !mean.is_finite() || !deviation.is_normal() || deviation < 0.0 {
            return Err(DataError::Normalize { mean, deviation });
        }
        let after = |inner: &Affine| Affine {
            mean: inner.mean + inner.deviation * mean,
            deviation: inner.deviation * deviation,
        };
        Ok(Self(self.0.iter().map(after).collect()))
    }

    /// The maps of consecutive features, from the first.
    pub(crate) fn maps(&self) -> impl Iterator<Item = Affine> + '_ {
        self.0.iter().copied().cycle()
    }
}

/// The mean and the (population) standard deviation of a sequence, by Welford's update (1962).
pub(crate) fn moments(values: impl IntoIterator<Item = f32>) -> (f32, f32) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values.into_iter().map(f64::from) {
        count += 1.0;
        let distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
    }
    (mean as f32, if count > 0.0 { (squares / count).sqrt() as f32 } else { 0.0 })
}
