//! Cross-entropy of class scores, and accuracy.

use std::f64::consts::LN_2;

use super::Reduction;
use crate::case::Case;
use crate::{DType, Tensor, TensorSpec};

/// PyTorch's choices for [`Tensor::cross_entropy_with`]; the default is that of the plain
/// [`Tensor::cross_entropy`].
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy<'a> {
    /// A factor for the loss of each class, \[C\]. The mean is weighted with the factors of the labels.
    pub weight: Option<&'a Tensor>,
    /// Samples with this label have no loss, and the mean leaves them out. It may be a class, C, or any larger
    /// number; the loss of a label between C and it is NaN.
    pub ignore_index: Option<u32>,
    /// This share of the probability, in \[0, 1\], is spread evenly over all classes.
    pub label_smoothing: f64,
    /// How the samples' losses become the result.
    pub reduction: Reduction,
}

impl Tensor {
    /// The mean over samples of −ln softmax(logits)\[label\]: logits \[N, C\] or \[N, C, …\] and u32
    /// labels \[N\] or \[N, …\] give a scalar (PyTorch's `CrossEntropyLoss`). Labels must be below C; a
    /// batch with another one is refused.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, U32};
    /// let g = Graph::new(Mode::Train);
    /// let (logits, labels) = (g.input("x", [64, 10], F32), g.input("label", [64], U32));
    /// assert_eq!(logits.cross_entropy(&labels).rank(), 0);
    /// ```
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Self) -> Self {
        self.cross_entropy_with(labels, &CrossEntropy::default())
    }

    /// [`Tensor::cross_entropy`] with weights for classes, a label to ignore, smoothing, and another
    /// reduction (all of PyTorch's `CrossEntropyLoss`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, U32, ops::CrossEntropy};
    /// let g = Graph::new(Mode::Train);
    /// let (logits, words) = (g.input("x", [8, 1000, 32], F32), g.input("word", [8, 32], U32));
    /// let padding = CrossEntropy { ignore_index: Some(0), ..CrossEntropy::default() };
    /// assert_eq!(logits.cross_entropy_with(&words, &padding).rank(), 0);
    /// ```
    #[track_caller]
    pub fn cross_entropy_with(&self, labels: &Self, choices: &CrossEntropy<'_>) -> Self {
        if !(0.0..=1.0).contains(&choices.label_smoothing) {
            let message = format!("label smoothing {} is not in 0..=1", choices.label_smoothing);
            return self.fail("cross_entropy", message);
        }
        if !self.takes_labels(labels, "cross_entropy") {
            return self.invalid();
        }
        self.log_softmax(1).negative_log_likelihood(labels, choices, "cross_entropy")
    }

    /// Cross-entropy against probabilities of the classes, both \[N, C\] or \[N, C, …\]: −Σ over classes of
    /// target · ln softmax(logits); a mean is over samples (PyTorch's `CrossEntropyLoss` with probabilities).
    #[track_caller]
    pub fn soft_cross_entropy(&self, target: &Self, reduction: Reduction) -> Self {
        if !self.matches(target, "soft_cross_entropy") {
            return self.invalid();
        }
        if self.rank() < 2 {
            return self.fail("soft_cross_entropy", format!("needs scores [N, C, …], got {}", self.spec()));
        }
        reduction.apply(&(self.log_softmax(1) * target).sum(1).neg())
    }

    /// The mean over samples of −x\[label\], where x are log-probabilities \[N, C\] or \[N, C, …\]
    /// (PyTorch's `NLLLoss`).
    #[track_caller]
    pub fn nll_loss(&self, labels: &Self) -> Self {
        self.nll_loss_with(labels, None, None, Reduction::Mean)
    }

    /// [`Tensor::nll_loss`] with a factor for each class, \[C\], and a label to ignore (all of PyTorch's
    /// `NLLLoss`).
    #[track_caller]
    pub fn nll_loss_with(
        &self,
        labels: &Self,
        weight: Option<&Self>,
        ignore_index: Option<u32>,
        reduction: Reduction,
    ) -> Self {
        if !self.takes_labels(labels, "nll_loss") {
            return self.invalid();
        }
        let choices = CrossEntropy { weight, ignore_index, label_smoothing: 0.0, reduction };
        self.negative_log_likelihood(labels, &choices, "nll_loss")
    }

    /// The loss of log-probabilities; labels have been checked.
    #[track_caller]
    fn negative_log_likelihood(&self, labels: &Self, choices: &CrossEntropy<'_>, operation: &str) -> Self {
        if choices.weight.is_some_and(|weight| !weight.is_valid()) {
            return self.invalid();
        }
        let classes = self.dim(1);
        if let Some(weight) =
            choices.weight.filter(|weight| weight.spec() != TensorSpec::new(self.dtype(), [classes]))
        {
            let message =
                format!("{} classes need as many weights of one dtype, got {}", classes, weight.spec());
            return self.fail(operation, message);
        }
        // No bound lies above the last u32.
        let labels = match choices.ignore_index.map_or(Some(0), |ignored| ignored.checked_add(1)) {
            Some(bound) => labels.require_below(bound.max(classes as u32)),
            None => labels.clone(),
        };
        // Picking by comparison keeps the loss and its gradient within one pass over the row.
        let is_label = labels.unsqueeze(1).eq(self.graph().iota(self.shape(), 1, DType::U32));
        let along_classes = [&[classes], &vec![1; self.rank() - 2][..]].concat();
        let (weight, weighted) = match choices.weight {
            Some(weight) => {
                let weight = weight.reshape(along_classes).expand(self.shape());
                (Some(weight.clone()), self * weight)
            }
            None => (None, self.clone()),
        };
        let mut losses = is_label.select(&weighted, &self.zeros_like()).sum(1).neg();
        if choices.label_smoothing > 0.0 {
            let spread = weighted.sum(1) * (choices.label_smoothing / classes as f64);
            losses = losses * (1.0 - choices.label_smoothing) - spread;
        }
        let mut ignored = None;
        if let Some(index) = choices.ignore_index {
            let mask = labels.eq(f64::from(index));
            losses = losses.masked_fill(&mask, 0.0);
            if index as usize > classes {
                // Labels between the classes and the ignored one pass the batch's check.
                let stray = labels.ge(classes as f64).and(&mask.logical_not());
                losses = losses.masked_fill(&stray, f64::NAN);
            }
            ignored = Some(mask);
        }
        if choices.reduction != Reduction::Mean || (weight.is_none() && ignored.is_none()) {
            return choices.reduction.apply(&losses);
        }
        let mut counts = match &weight {
            Some(weight) => is_label.select(weight, &self.zeros_like()).sum(1),
            None => losses.ones_like(),
        };
        if let Some(ignored) = &ignored {
            counts = counts.masked_fill(ignored, 0.0);
        }
        losses.sum(..) / counts.sum(..)
    }

    /// The share of samples whose largest score, along axis 1, is at the label: an f32 scalar. Not
    /// differentiable.
    #[track_caller]
    pub fn accuracy(&self, labels: &Self) -> Self {
        if !self.takes_labels(labels, "accuracy") {
            return self.invalid();
        }
        let labels = labels.require_below(self.dim(1) as u32);
        self.argmax(1).eq(labels).cast(DType::F32).mean(..)
    }

    /// Whether `labels` are u32 labels for these scores; anything else is reported.
    #[track_caller]
    pub(super) fn takes_labels(&self, labels: &Self, operation: &str) -> bool {
        if !self.is_valid() || !labels.is_valid() {
            return false;
        }
        let (scores, labels) = (self.spec(), labels.spec());
        let fits = scores.dtype.is_float()
            && scores.shape.rank() >= 2
            && labels.dtype == DType::U32
            && labels.shape == scores.shape.without(&[1]);
        if !fits {
            let message =
                format!("needs float scores [N, C, …] and u32 labels [N, …], got {scores} and {labels}");
            self.fail(operation, message);
        }
        fits
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let loss = |variant: &str| Case::new(&format!("cross_entropy{variant}"), |t| t[0].cross_entropy(&t[1]));
    let with = |variant: &str, choices: for<'a> fn(&'a [Tensor]) -> CrossEntropy<'a>| {
        let build = move |t: &[Tensor]| t[0].cross_entropy_with(&t[1], &choices(t));
        Case::new(&format!("cross_entropy_with{variant}"), build)
    };
    // Scores whose exponentials are 1, 2, 5 and 1, 1, 2.
    let scores = [0.0, LN_2, 1.6094379124341003, 0.0, 0.0, LN_2];
    vec![
        loss("").given([2, 3], &scores).indices([2], &[2.0, 0.0]).expect(&[(1.6f64.ln() + 4f64.ln()) / 2.0]),
        loss("/random").random([5, 7]).labels([5], 7),
        loss("/images").random([2, 3, 4, 5]).labels([2, 4, 5], 3),
        loss("/one-class").random([3, 1]).labels([3], 1).expect(&[0.0]),
        loss("/large-scores").given([1, 2], &[1e4, -1e4]).indices([1], &[1.0]).expect(&[2e4]),
        loss("/many-classes").random([3, 1000]).labels([3], 1000),
        with("", |_| CrossEntropy { label_smoothing: 0.5, ..CrossEntropy::default() })
            .given([1, 2], &[0.0, 0.0])
            .indices([1], &[1.0])
            .expect(&[LN_2]),
        // Losses ln 1.6, ln 4 and one that is left out; the first counts with 3, the second with 1.
        with("/weight", |t| CrossEntropy {
            weight: Some(&t[2]),
            ignore_index: Some(1),
            ..CrossEntropy::default()
        })
        .given([3, 3], &[&scores[..], &[7.0, 8.0, 9.0]].concat())
        .indices([3], &[2.0, 0.0, 1.0])
        .given([3], &[1.0, 5.0, 3.0])
        .expect(&[(3.0 * 1.6f64.ln() + 4f64.ln()) / 4.0]),
        with("/none", |_| CrossEntropy {
            reduction: Reduction::None,
            ignore_index: Some(3),
            ..CrossEntropy::default()
        })
        .given([2, 3], &scores)
        .indices([2], &[2.0, 3.0])
        .expect(&[1.6f64.ln(), 0.0]),
        with("/last-index", |_| CrossEntropy { ignore_index: Some(u32::MAX), ..CrossEntropy::default() })
            .given([2, 3], &scores)
            .indices([2], &[2.0, f64::from(u32::MAX)])
            .expect(&[1.6f64.ln()]),
        with("/smoothing", |_| CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() })
            .random([5, 7])
            .labels([5], 7),
        with("/everything", |t| CrossEntropy {
            weight: Some(&t[2]),
            ignore_index: Some(0),
            label_smoothing: 0.2,
            reduction: Reduction::Mean,
        })
        .random([2, 4, 3])
        .indices([2, 3], &[1.0, 0.0, 3.0, 2.0, 2.0, 0.0])
        .uniform([4], 0.5, 2.0),
        with("/sum", |t| CrossEntropy {
            weight: Some(&t[2]),
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        })
        .random([5, 3])
        .labels([5], 3)
        .uniform([3], 0.5, 2.0),
        // Scores whose softmax is 1/8, 2/8, 5/8.
        Case::new("soft_cross_entropy", |t| t[0].soft_cross_entropy(&t[1], Reduction::Mean))
            .given([1, 3], &scores[..3])
            .given([1, 3], &[0.5, 0.5, 0.0])
            .expect(&[2.5 * LN_2]),
        Case::new("soft_cross_entropy/images", |t| t[0].soft_cross_entropy(&t[1], Reduction::None))
            .random([2, 3, 4])
            .uniform([2, 3, 4], 0.0, 1.0),
        Case::new("nll_loss_with", |t| t[0].nll_loss_with(&t[1], Some(&t[2]), Some(2), Reduction::Mean))
            .given([3, 2], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0])
            .indices([3], &[1.0, 0.0, 2.0])
            .given([2], &[1.0, 3.0])
            .expect(&[(6.0 + 3.0) / 4.0]),
        Case::new("nll_loss_with/sum", |t| t[0].nll_loss_with(&t[1], None, Some(1), Reduction::Sum))
            .random([2, 5, 3])
            .labels([2, 3], 5),
        Case::new("nll_loss", |t| t[0].nll_loss(&t[1]))
            .given([2, 2], &[-1.0, -2.0, -3.0, -4.0])
            .indices([2], &[1.0, 0.0])
            .expect(&[2.5]),
        Case::new("nll_loss/random", |t| t[0].nll_loss(&t[1])).random([2, 5, 3]).labels([2, 3], 5),
        Case::new("accuracy", |t| t[0].accuracy(&t[1]))
            .given([4, 2], &[1.0, 2.0, 2.0, 1.0, 0.0, -1.0, 3.0, 4.0])
            .indices([4], &[1.0, 0.0, 1.0, 1.0])
            .expect(&[0.75])
            .no_gradient(),
    ]
}
