//! Binary cross-entropy of probabilities and of scores, and the focal loss.

use std::f64::consts::LN_2;

use super::Reduction;
use crate::case::Case;
use crate::{DType, Tensor};

/// PyTorch's choices for binary cross-entropies; the default is a plain mean.
#[derive(Clone, Debug, Default)]
pub struct Bce<'a> {
    /// A factor for each element's loss; broadcasts.
    pub weight: Option<&'a Tensor>,
    /// A factor for the positive part t·ln p of each element's loss; broadcasts. Above 1 it trades precision
    /// for recall.
    pub pos_weight: Option<&'a Tensor>,
    /// How the losses become the result.
    pub reduction: Reduction,
}

impl Tensor {
    /// The mean of −t·ln x − (1 − t)·ln(1 − x) for probabilities x and targets t in \[0, 1\] (PyTorch's
    /// `BCELoss`). Logarithms are at least −100, as in PyTorch; their gradient at 0 is 0.
    #[track_caller]
    pub fn binary_cross_entropy(&self, target: &Self) -> Self {
        self.bce(target, &Bce::default())
    }

    /// [`Tensor::binary_cross_entropy`] with PyTorch's choices.
    #[track_caller]
    pub fn bce(&self, target: &Self, choices: &Bce<'_>) -> Self {
        if !self.matches(target, "binary_cross_entropy") {
            return self.invalid();
        }
        let (positive, negative) = (self.bounded_log(), (1.0 - self).bounded_log());
        target.cross(&positive.neg(), &negative.neg(), choices)
    }

    /// The mean of −t·ln σ(x) − (1 − t)·ln(1 − σ(x)) for scores x and targets t in \[0, 1\]
    /// (PyTorch's `BCEWithLogitsLoss`), as softplus(x) − x·t, which cannot overflow.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(&self, target: &Self) -> Self {
        self.bce_with_logits(target, &Bce::default())
    }

    /// [`Tensor::binary_cross_entropy_with_logits`] with PyTorch's choices.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, ops::{Bce, Reduction}};
    /// let g = Graph::new(Mode::Train);
    /// let (x, t) = (g.input("x", [8, 3], F32), g.input("t", [8, 3], F32));
    /// let rare = g.constant([3], &[1f32, 1.0, 20.0]);
    /// let losses =
    ///     x.bce_with_logits(&t, &Bce { pos_weight: Some(&rare), reduction: Reduction::None, ..Bce::default() });
    /// assert_eq!(losses.shape(), x.shape());
    /// ```
    #[track_caller]
    pub fn bce_with_logits(&self, target: &Self, choices: &Bce<'_>) -> Self {
        if !self.matches(target, "binary_cross_entropy_with_logits") {
            return self.invalid();
        }
        if choices.pos_weight.is_none() {
            return choices.reduce(self.softplus() - self * target);
        }
        target.cross(&self.neg().softplus(), &self.softplus(), choices)
    }

    /// −α·(1 − p)^γ·ln p, where p is the probability given to the truth, for scores x and targets t of 0 or 1
    /// (torchvision's `sigmoid_focal_loss`; Lin et al., 2017). α counts for t = 1 and 1 − α for t = 0; a
    /// negative `alpha` leaves both out.
    #[track_caller]
    pub fn sigmoid_focal_loss(&self, target: &Self, alpha: f64, gamma: f64, reduction: Reduction) -> Self {
        if !self.matches(target, "sigmoid_focal_loss") {
            return self.invalid();
        }
        // 1 − p, as a sum of positive numbers: nothing cancels.
        let missed = self.sigmoid() * (1.0 - target) + self.neg().sigmoid() * target;
        let mut losses = (self.softplus() - self * target) * missed.pow(&gamma);
        if alpha >= 0.0 {
            losses = losses * (target * (2.0 * alpha - 1.0) + (1.0 - alpha));
        }
        reduction.apply(&losses)
    }

    /// t·positive·pos_weight + (1 − t)·negative, for targets t, weighted and reduced.
    #[track_caller]
    fn cross(&self, positive: &Self, negative: &Self, choices: &Bce<'_>) -> Self {
        let mut hit = self * positive;
        if let Some(factor) = choices.pos_weight {
            hit = hit * factor;
        }
        choices.reduce(hit + (1.0 - self) * negative)
    }

    /// ln x, but at least −100; 0 has no gradient.
    #[track_caller]
    fn bounded_log(&self) -> Self {
        let tiny = self.lt(f64::from(f32::MIN_POSITIVE));
        self.masked_fill(&tiny, 1.0).log().masked_fill(&tiny, -100.0)
    }
}

impl Bce<'_> {
    #[track_caller]
    fn reduce(&self, losses: Tensor) -> Tensor {
        match self.weight {
            Some(weight) => self.reduction.apply(&(losses * weight)),
            None => self.reduction.apply(&losses),
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let all = Reduction::None;
    let scores = || {
        Case::new("binary_cross_entropy_with_logits", |t| t[0].binary_cross_entropy_with_logits(&t[1]))
            .given([3], &[0.0, 200.0, -200.0])
            .given([3], &[1.0, 1.0, 0.5])
    };
    let weighted = |t: &[Tensor]| {
        let choices = Bce { weight: Some(&t[2]), pos_weight: Some(&t[3]), reduction: Reduction::Sum };
        t[0].bce_with_logits(&t[1], &choices)
    };
    vec![
        Case::new("binary_cross_entropy", |t| t[0].binary_cross_entropy(&t[1]))
            .given([4], &[0.5, 0.25, 0.0, 1.0])
            .given([4], &[1.0, 0.5, 1.0, 1.0])
            .expect(&[(LN_2 + LN_2 - 0.5 * 0.75f64.ln() + 100.0) / 4.0])
            .no_gradient(),
        Case::new("binary_cross_entropy/random", |t| t[0].binary_cross_entropy(&t[1]))
            .uniform([3, 5], 0.1, 0.9)
            .uniform([3, 5], 0.0, 1.0),
        Case::new("bce", move |t| {
            t[0].bce(&t[1], &Bce { weight: Some(&t[2]), reduction: all, ..Bce::default() })
        })
        .given([2], &[0.5, 0.25])
        .given([2], &[1.0, 0.0])
        .given([2], &[2.0, 1.0])
        .expect(&[2.0 * LN_2, -(0.75f64.ln())])
        .no_gradient(),
        Case::new("bce/random", |t| {
            let choices = Bce { weight: Some(&t[2]), pos_weight: Some(&t[3]), reduction: Reduction::Mean };
            t[0].bce(&t[1], &choices)
        })
        .uniform([3, 5], 0.1, 0.9)
        .uniform([3, 5], 0.0, 1.0)
        .uniform([3, 1], 0.5, 2.0)
        .uniform([5], 0.5, 2.0),
        scores().expect(&[(LN_2 + 0.0 + 100.0) / 3.0]),
        Case::new("binary_cross_entropy_with_logits/random", |t| {
            t[0].binary_cross_entropy_with_logits(&t[1])
        })
        .random([3, 5])
        .uniform([3, 5], 0.0, 1.0),
        Case::new("bce_with_logits", weighted)
            .given([2, 2], &[0.0, 0.0, 200.0, -200.0])
            .given([2, 2], &[1.0, 0.0, 0.0, 1.0])
            .given([2, 1], &[1.0, 0.5])
            .given([2], &[3.0, 2.0])
            .expect(&[3.0 * LN_2 + LN_2 + 0.5 * 200.0 + 0.5 * 400.0]),
        Case::new("bce_with_logits/random", weighted)
            .random([3, 5])
            .uniform([3, 5], 0.0, 1.0)
            .uniform([3, 1], 0.5, 2.0)
            .uniform([5], 0.5, 2.0),
        // p = ½: −ln p / 4, times α or 1 − α.
        Case::new("sigmoid_focal_loss", move |t| t[0].sigmoid_focal_loss(&t[1], 0.25, 2.0, all))
            .given([4], &[0.0, 0.0, 200.0, 200.0])
            .given([4], &[1.0, 0.0, 1.0, 0.0])
            .expect(&[0.0625 * LN_2, 0.1875 * LN_2, 0.0, 150.0]),
        Case::new("sigmoid_focal_loss/random", |t| {
            t[0].sigmoid_focal_loss(&t[1], -1.0, 1.5, Reduction::Mean)
        })
        .random([3, 5])
        .operand(DType::F32, [3, 5], crate::case::Fill::Uniform(0.25, 0.75)),
    ]
}
