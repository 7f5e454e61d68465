//! How surprised a language model is.

use wgrad_core::ops::{CrossEntropy, Reduction};
use wgrad_core::{F32, Tensor, U32};

use super::{Combine, Metric};

impl Metric {
    /// The perplexity, exp of the mean cross-entropy over all tokens: logits f32 \[n, classes, …\] and
    /// labels u32 \[n, …\] as for [`Tensor::cross_entropy`]. The mean of the batches' perplexities would be
    /// another, larger number.
    #[track_caller]
    pub fn perplexity(logits: &Tensor, labels: &Tensor) -> Self {
        Self::surprise(logits, labels, None)
    }

    /// [`Metric::perplexity`] without the positions that have a certain label: padding.
    #[track_caller]
    pub fn perplexity_ignoring(label: u32, logits: &Tensor, labels: &Tensor) -> Self {
        Self::surprise(logits, labels, Some(label))
    }

    #[track_caller]
    fn surprise(logits: &Tensor, labels: &Tensor, ignored: Option<u32>) -> Self {
        let choices =
            CrossEntropy { ignore_index: ignored, reduction: Reduction::None, ..CrossEntropy::default() };
        let losses = logits.cross_entropy_with(labels, &choices);
        if !losses.is_valid() || labels.dtype() != U32 {
            return Self::mean(&losses);
        }
        let counted = match ignored {
            Some(label) => labels.ne(f64::from(label)).cast(F32),
            None => losses.ones_like().cast(F32),
        };
        let by_record = |values: &Tensor| {
            let records = values.dim(0);
            values.reshape([records, values.numel() / records.max(1)]).sum(1)
        };
        let rows = Tensor::stack(&[&by_record(&losses.cast(F32)), &by_record(&counted)], 1);
        Self::of_rows(&rows, Combine::Sum, |sums| match sums {
            [losses, tokens] => (losses / tokens).exp(),
            _ => f64::NAN,
        })
    }
}
