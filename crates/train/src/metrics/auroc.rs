//! The area under the receiver operating characteristic: from histograms of the scores, or from all of them.
//!
//! The area is the share of pairs of a positive and a negative record in which the positive has the higher score,
//! ties counting half (Mann and Whitney, 1947).

use wgrad_core::{DType, F32, Tensor, U32};

use super::{Combine, Metric};

/// The bins of a histogram lie side by side on the scale of [`scale`], from −[`REACH`] to [`REACH`].
const BINS: usize = 2048;
const REACH: f64 = 38.0;
/// How near 0 and 1 the scale ceases to be logarithmic.
const NEAR: f64 = 1.0 / (1 << 20) as f64;
/// A bin's number is written as two digits, the lower one below this.
const DIGIT: usize = 64;
/// The upper digits of one histogram: those of the bins, and one for scores that are no numbers.
const UPPER: usize = BINS / DIGIT + 1;

impl Metric {
    /// The area under the receiver operating characteristic: the share of pairs of a positive and a
    /// negative record in which the positive has the higher score, ties counting half (Mann and Whitney,
    /// 1947). Scores are counted in 2048 bins, and those within a bin are taken for equal: 17 kB a class are read
    /// back, however many records there are.
    ///
    /// Scores f32 \[n\] (logits or probabilities) go with labels \[n\], positive where they are 1. Scores
    /// \[n, classes\] go with labels u32 \[n\]: the mean over the classes of each against the rest; they
    /// should be probabilities, since logits of different records do not compare. A class of which all or no
    /// records are is left out; NaN where that leaves none, or where a score is NaN.
    ///
    /// Bins are 0.037 wide in the logit ln(p/(1 − p)) of a probability p, down to 10⁻⁶ from 0 and 1, and |s|/54
    /// where scores s are above 1 or below 0; scores beyond ±170 share a bin. The error is at most half the share
    /// of the pairs that have one bin. Of ten thousand random records it was 10⁻⁵ to 10⁻⁴ (2·10⁻³ where the
    /// probabilities were all within a tenth of each other), of two hundred below 10⁻³; of so few
    /// [`Metric::auroc_exact`] costs little.
    #[track_caller]
    pub fn auroc(scores: &Tensor, labels: &Tensor) -> Self {
        let Scored { scores, positive, labels } = match Scored::new(scores, labels) {
            Ok(scored) => scored,
            Err(broken) => return Self::broken(&broken),
        };
        let bin = bin(&scores);
        let upper = &bin / DIGIT as f64 + positive.cast(U32) * UPPER as f64;
        let histograms = labels.graph().full_precision(|| {
            let counted = scores.graph().counted(scores.dim(0)).reshape([scores.dim(0), 1, 1]);
            let is = |digit: &Tensor, digits: usize| {
                let shape = [digit.dim(0), digit.dim(1), digits];
                digit.unsqueeze(2).eq(digit.graph().iota(shape, 2, U32)).and(&counted).cast(F32)
            };
            // All pairs of digits: the product sums over the records.
            is(&upper, 2 * UPPER).einsum(&is(&(bin % DIGIT as f64), DIGIT), "rcu,rcl->cul")
        });
        let add = |total: &mut Vec<f64>, batch: &[f64]| Combine::Sum.add(total, batch);
        let value = |total: &[f64]| mean(total.chunks_exact(2 * UPPER * DIGIT).filter_map(binned));
        Self { rows: Some(labels), ..Self::of_batches(&histograms, add, value) }
    }

    /// [`Metric::auroc`] without any bins: all scores are read back, kept until the end of the pass, and sorted by
    /// the host.
    #[track_caller]
    pub fn auroc_exact(scores: &Tensor, labels: &Tensor) -> Self {
        let Scored { scores, positive, labels } = match Scored::new(scores, labels) {
            Ok(scored) => scored,
            Err(broken) => return Self::broken(&broken),
        };
        let classes = scores.dim(1);
        let counted = scores.graph().counted(scores.dim(0)).cast(F32).unsqueeze(1);
        let rows = Tensor::concat(&[&scores, &positive.cast(F32), &counted], 1);
        let add = move |kept: &mut Vec<f64>, batch: &[f64]| {
            let counted = batch.chunks_exact(2 * classes + 1).filter(|row| row[2 * classes] == 1.0);
            counted.for_each(|row| kept.extend(&row[..2 * classes]));
        };
        let value = move |kept: &[f64]| {
            let of = |class: usize| {
                kept.chunks_exact(2 * classes).map(move |row| (row[class], row[classes + class] == 1.0))
            };
            mean((0..classes).filter_map(|class| ranked(of(class).collect())))
        };
        Self { rows: Some(labels), ..Self::of_batches(&rows, add, value) }
    }
}

/// Scores f32 \[n, classes\], and which of them are of positives.
struct Scored {
    scores: Tensor,
    positive: Tensor,
    labels: Tensor,
}

impl Scored {
    #[track_caller]
    fn new(scores: &Tensor, labels: &Tensor) -> Result<Self, Tensor> {
        if !scores.is_valid() || !labels.is_valid() {
            return Err(if scores.is_valid() { labels.clone() } else { scores.clone() });
        }
        let (got, known) = (scores.spec(), labels.spec());
        let fits = matches!(scores.rank(), 1 | 2)
            && got.dtype.is_float()
            && known.shape[..] == got.shape[..1]
            && (known.dtype == U32 || scores.numel() == labels.numel());
        if !fits {
            let message = format!("needs scores [n] or [n, classes] and labels [n], got {got} and {known}");
            return Err(scores.fail("auroc", message));
        }
        let shape = [scores.dim(0), scores.numel() / scores.dim(0).max(1)];
        let labels = match known.dtype {
            DType::U32 => labels.require_below(shape[1].max(2) as u32),
            _ => labels.clone(),
        };
        // One column of scores is that of class 1.
        let class = scores.graph().iota(shape, 1, U32) + if shape[1] == 1 { 1.0 } else { 0.0 };
        let positive = labels.cast(F32).unsqueeze(1).eq(class.cast(F32));
        Ok(Self { scores: scores.reshape(shape).cast(F32), positive, labels })
    }
}

/// The bin of each score, as u32: higher for higher scores.
fn bin(scores: &Tensor) -> Tensor {
    let place = (scale(scores) + REACH) * (BINS as f64 / (2.0 * REACH));
    let bin = place.clamp(0.0, (BINS - 1) as f64).cast(U32);
    // No comparison holds with a NaN.
    scores.ge(0.0).or(&scores.lt(0.0)).select(&bin, &bin.full_like(BINS as f64))
}

/// A monotonic scale on which logits and probabilities are both well apart: with ε = [`NEAR`] and
/// log±(x) = sign(x)·ln(1 + |x|/ε), it is log±(s) + log±(s − 1). Between 0 and 1 that is ln((s + ε)/(1 − s + ε)), the
/// logit of a probability but for the ends; beyond, twice a logarithm.
fn scale(scores: &Tensor) -> Tensor {
    let logarithm = |x: &Tensor| x.sign() * (x.abs() * (1.0 / NEAR)).log1p();
    logarithm(scores) + logarithm(&(scores - 1.0))
}

/// The area of two histograms, of negatives and of positives.
fn binned(counts: &[f64]) -> Option<f64> {
    let (negatives, positives) = counts.split_at(UPPER * DIGIT);
    let levels = || positives.iter().copied().zip(negatives.iter().copied());
    let has_nan = levels().skip(BINS).any(|level| level != (0.0, 0.0));
    area(levels()).map(|area| if has_nan { f64::NAN } else { area })
}

/// The area of scores, each with whether its record is positive.
fn ranked(mut records: Vec<(f64, bool)>) -> Option<f64> {
    records.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let level = |equal: &[(f64, bool)]| {
        let positives = equal.iter().filter(|(_, positive)| *positive).count() as f64;
        (positives, equal.len() as f64 - positives)
    };
    // Not bitwise: 0 and −0 are equal scores.
    let area = area(records.chunk_by(|(a, _), (b, _)| a == b).map(level));
    let has_nan = records.iter().any(|(score, _)| score.is_nan());
    area.map(|area| if has_nan { f64::NAN } else { area })
}

/// Σ p·(n' + n/2)/(P·N) over the levels of equal scores, in ascending order, with p positives and n negatives each
/// and n' negatives below. `None` without positives or without negatives.
fn area(levels: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut positives, mut negatives, mut pairs) = (0.0, 0.0, 0.0);
    for (positive, negative) in levels {
        pairs += positive * (negatives + negative / 2.0);
        positives += positive;
        negatives += negative;
    }
    (positives > 0.0 && negatives > 0.0).then(|| pairs / (positives * negatives))
}

/// NaN of nothing.
fn mean(areas: impl Iterator<Item = f64>) -> f64 {
    let areas: Vec<f64> = areas.collect();
    areas.iter().sum::<f64>() / areas.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(scores: &[f64], labels: &[u32]) -> Option<f64> {
        ranked(scores.iter().zip(labels).map(|(&score, &label)| (score, label == 1)).collect())
    }

    /// Values of scikit-learn's `roc_auc_score`.
    #[test]
    fn areas_are_those_of_scikit_learn() {
        assert_eq!(binary(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]), Some(0.75));
        let tied = binary(&[0.5, 0.5, 0.2, 0.5, 0.9, -0.0, 0.0], &[1, 0, 0, 1, 1, 1, 0]).unwrap();
        assert!((tied - 0.708_333_333_333_333_4).abs() < 1e-15, "{tied}");
        assert_eq!(binary(&[1.0; 4], &[0, 1, 1, 0]), Some(0.5));
    }

    #[test]
    fn without_negatives_there_is_no_area() {
        assert_eq!(binary(&[0.1, 0.2], &[1, 1]), None);
        assert_eq!(binary(&[], &[]), None);
        assert!(binary(&[f64::NAN, 0.2], &[1, 0]).unwrap().is_nan());
        assert!(mean(std::iter::empty()).is_nan());
    }
}
