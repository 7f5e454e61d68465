//! Losses that ask for a margin: between classes, samples, or distances. Targets named `sign` are 1 or −1.

use std::f64::consts::LN_2;

use super::Reduction;
use crate::case::Case;
use crate::{DType, Tensor};

/// PyTorch's choices for [`Tensor::triplet_margin_loss`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletMargin {
    /// How much farther than the positive the negative should be.
    pub margin: f64,
    /// The norm that distances are measured in.
    pub p: f64,
    /// Added to differences, so that a distance of 0 has a gradient.
    pub eps: f64,
    /// Whether the negative's distance is that from the positive where it is nearer (Balntas et al., 2016).
    pub swap: bool,
}

impl Default for TripletMargin {
    fn default() -> Self {
        Self { margin: 1.0, p: 2.0, eps: 1e-6, swap: false }
    }
}

impl Tensor {
    /// ln(1 + e^(−sign·x)) (PyTorch's `SoftMarginLoss`).
    #[track_caller]
    pub fn soft_margin_loss(&self, sign: &Self, reduction: Reduction) -> Self {
        if !self.matches(sign, "soft_margin_loss") {
            return self.invalid();
        }
        reduction.apply(&(self * sign).neg().softplus())
    }

    /// x where the sign is 1, max(0, margin − x) where it is −1: x is a distance (PyTorch's
    /// `HingeEmbeddingLoss`).
    #[track_caller]
    pub fn hinge_embedding_loss(&self, sign: &Self, margin: f64, reduction: Reduction) -> Self {
        if !self.matches(sign, "hinge_embedding_loss") {
            return self.invalid();
        }
        reduction.apply(&sign.gt(0.0).select(self, &(margin - self).relu()))
    }

    /// max(0, margin − sign·(x − other)): x should rank higher where the sign is 1 (PyTorch's
    /// `MarginRankingLoss`).
    #[track_caller]
    pub fn margin_ranking_loss(&self, other: &Self, sign: &Self, margin: f64, reduction: Reduction) -> Self {
        if !self.matches(other, "margin_ranking_loss") || !self.matches(sign, "margin_ranking_loss") {
            return self.invalid();
        }
        reduction.apply(&(margin - (self - other) * sign).relu())
    }

    /// Σ max(0, margin − x\[label\] + x\[j\])ᵖ / C over the other classes j, for scores \[N, C\] and u32 labels
    /// \[N\]; each sample's loss counts with its label's factor in `weight`, \[C\] (PyTorch's
    /// `MultiMarginLoss`). p is 1 or 2.
    #[track_caller]
    pub fn multi_margin_loss(
        &self,
        labels: &Self,
        p: u32,
        margin: f64,
        weight: Option<&Self>,
        reduction: Reduction,
    ) -> Self {
        if !self.takes_labels(labels, "multi_margin_loss") || weight.is_some_and(|weight| !weight.is_valid())
        {
            return self.invalid();
        }
        let (shape, classes) = (self.shape(), self.dim(1));
        if shape.rank() != 2 || !(1..=2).contains(&p) {
            let message = format!("needs scores [N, C] and p of 1 or 2, got {shape} and {p}");
            return self.fail("multi_margin_loss", message);
        }
        if let Some(weight) = weight.filter(|weight| *weight.shape() != [classes]) {
            let message = format!("{classes} classes need as many weights, got {}", weight.spec());
            return self.fail("multi_margin_loss", message);
        }
        let is_label = labels.is_class(1, classes, "multi_margin_loss");
        let zeros = self.zeros_like();
        let truth = is_label.select(self, &zeros).sum_keep(1);
        let slack = (self - truth + margin).relu();
        let each = if p == 2 { slack.square() } else { slack };
        let mut losses = is_label.select(&zeros, &each).sum(1) / classes as f64;
        if let Some(weight) = weight {
            losses = losses * is_label.select(&weight.expand(&shape), &zeros).sum(1);
        }
        reduction.apply(&losses)
    }

    /// −(t·ln σ(x) + (1 − t)·ln(1 − σ(x))) averaged over the last axis, the classes, of which several may be
    /// right: scores and targets \[N, C\], losses \[N\] (PyTorch's `MultiLabelSoftMarginLoss`).
    #[track_caller]
    pub fn multilabel_soft_margin_loss(&self, target: &Self, reduction: Reduction) -> Self {
        if !self.matches(target, "multilabel_soft_margin_loss") {
            return self.invalid();
        }
        reduction.apply(&(self.softplus() - self * target).mean(-1))
    }

    /// 1 − cos(x, other) where the sign is 1, max(0, cos(x, other) − margin) where it is −1: vectors \[N, D\]
    /// and signs \[N\], or \[D\] and a scalar (PyTorch's `CosineEmbeddingLoss`).
    #[track_caller]
    pub fn cosine_embedding_loss(
        &self,
        other: &Self,
        sign: &Self,
        margin: f64,
        reduction: Reduction,
    ) -> Self {
        if !self.matches(other, "cosine_embedding_loss") || !sign.is_valid() {
            return self.invalid();
        }
        let shape = self.shape();
        if shape.rank() == 0 || sign.dtype() != self.dtype() || *sign.shape() != shape[..shape.rank() - 1] {
            let message = format!("vectors {} need a sign for each, got {}", self.spec(), sign.spec());
            return self.fail("cosine_embedding_loss", message);
        }
        let lengths = (self.square().sum(-1) + 1e-12) * (other.square().sum(-1) + 1e-12);
        let cosine = (self * other).sum(-1) * lengths.rsqrt();
        let apart = (&cosine - margin).relu();
        reduction.apply(&sign.gt(0.0).select(&(1.0 - cosine), &apart))
    }

    /// max(0, ‖x − positive‖ − ‖x − negative‖ + margin) for vectors along the last axis (PyTorch's
    /// `TripletMarginLoss`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, ops::{Reduction, TripletMargin}};
    /// let g = Graph::new(Mode::Train);
    /// let [x, near, far] = ["x", "near", "far"].map(|name| g.input(name, [8, 32], F32));
    /// let loss = x.triplet_margin_loss(&near, &far, TripletMargin::default(), Reduction::Mean);
    /// assert_eq!(loss.rank(), 0);
    /// ```
    #[track_caller]
    pub fn triplet_margin_loss(
        &self,
        positive: &Self,
        negative: &Self,
        choices: TripletMargin,
        reduction: Reduction,
    ) -> Self {
        if !self.matches(positive, "triplet_margin_loss") || !self.matches(negative, "triplet_margin_loss") {
            return self.invalid();
        }
        let TripletMargin { margin, p, eps, swap } = choices;
        let near = self.pairwise_distance(positive, p, eps);
        let mut far = self.pairwise_distance(negative, p, eps);
        if swap {
            far = far.minimum(positive.pairwise_distance(negative, p, eps));
        }
        reduction.apply(&(near - far + margin).relu())
    }

    /// The p-norm of x − other + eps along the last axis, which is dropped (PyTorch's `PairwiseDistance`).
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Self, p: f64, eps: f64) -> Self {
        (self - other + eps).norm_p(p, -1)
    }

    /// x·y / (max(‖x‖, eps)·max(‖y‖, eps)) along an axis, which is dropped, with broadcasting (PyTorch's
    /// `CosineSimilarity`).
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Self, axis: isize, eps: f64) -> Self {
        let Some((x, y)) = self.broadcast_with("cosine_similarity", other) else { return self.invalid() };
        (x.normalize(axis, eps) * y.normalize(axis, eps)).sum(&[axis][..])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let all = Reduction::None;
    let triplet = |variant: &str, choices: TripletMargin| {
        let build = move |t: &[Tensor]| t[0].triplet_margin_loss(&t[1], &t[2], choices, Reduction::None);
        Case::new(&format!("triplet_margin_loss{variant}"), build)
    };
    let plain = TripletMargin::default();
    vec![
        Case::new("soft_margin_loss", move |t| t[0].soft_margin_loss(&t[1], all))
            .given([3], &[0.0, 200.0, 200.0])
            .given([3], &[1.0, 1.0, -1.0])
            .expect(&[LN_2, 0.0, 200.0]),
        Case::new("soft_margin_loss/random", |t| t[0].soft_margin_loss(&t[1], Reduction::Mean))
            .random([3, 5])
            .random([3, 5]),
        Case::new("hinge_embedding_loss", move |t| t[0].hinge_embedding_loss(&t[1], 1.0, all))
            .given([3], &[0.25, 0.25, 3.0])
            .given([3], &[1.0, -1.0, -1.0])
            .expect(&[0.25, 0.75, 0.0])
            .no_gradient(),
        Case::new("hinge_embedding_loss/random", |t| {
            t[0].hinge_embedding_loss(&signs(&t[1]), 0.7, Reduction::Mean)
        })
        .distinct([3, 5])
        .labels([3, 5], 2),
        Case::new("margin_ranking_loss", move |t| t[0].margin_ranking_loss(&t[1], &t[2], 0.5, all))
            .given([3], &[1.0, 1.0, 2.0])
            .given([3], &[2.0, 2.0, 2.0])
            .given([3], &[1.0, -1.0, 1.0])
            .expect(&[1.5, 0.0, 0.5])
            .no_gradient(),
        Case::new("margin_ranking_loss/random", |t| {
            t[0].margin_ranking_loss(&t[1], &signs(&t[2]), 9.0, Reduction::Mean)
        })
        .random([3, 5])
        .random([3, 5])
        .labels([3, 5], 2),
        Case::new("multi_margin_loss", move |t| t[0].multi_margin_loss(&t[1], 1, 1.0, Some(&t[2]), all))
            .given([2, 3], &[1.0, 0.5, 3.0, 2.0, 0.0, 0.0])
            .indices([2], &[0.0, 0.0])
            .given([3], &[2.0, 1.0, 1.0])
            .expect(&[2.0 * (0.5 + 3.0) / 3.0, 0.0])
            .no_gradient(),
        Case::new("multi_margin_loss/squares", |t| {
            t[0].multi_margin_loss(&t[1], 2, 0.75, None, Reduction::Mean)
        })
        .distinct([5, 4])
        .labels([5], 4),
        Case::new("multilabel_soft_margin_loss", move |t| t[0].multilabel_soft_margin_loss(&t[1], all))
            .given([2, 2], &[0.0, 0.0, 200.0, 100.0])
            .given([2, 2], &[1.0, 0.0, 1.0, 0.0])
            .expect(&[LN_2, 50.0]),
        Case::new("cosine_embedding_loss", move |t| t[0].cosine_embedding_loss(&t[1], &t[2], 0.5, all))
            .given([4, 2], &[3.0, 4.0, 3.0, 4.0, 3.0, 4.0, 1.0, 0.0])
            .given([4, 2], &[4.0, 3.0, 4.0, 3.0, -4.0, 3.0, 0.0, 2.0])
            .given([4], &[1.0, -1.0, -1.0, 1.0])
            .expect(&[0.04, 0.46, 0.0, 1.0])
            .no_gradient(),
        Case::new("cosine_embedding_loss/random", |t| {
            t[0].cosine_embedding_loss(&t[1], &signs(&t[2]), -0.9, Reduction::Mean)
        })
        .random([4, 7])
        .random([4, 7])
        .labels([4], 2),
        triplet("", TripletMargin { eps: 0.0, ..plain })
            .given([2, 2], &[0.0, 0.0, 1.0, 1.0])
            .given([2, 2], &[3.0, 4.0, 1.0, 2.0])
            .given([2, 2], &[0.0, 3.0, 1.0, 9.0])
            .expect(&[3.0, 0.0])
            .no_gradient(),
        triplet("/swap", TripletMargin { eps: 0.0, swap: true, ..plain })
            .given([1, 2], &[0.0, 0.0])
            .given([1, 2], &[0.0, 4.0])
            .given([1, 2], &[0.0, 5.0])
            .expect(&[4.0])
            .no_gradient(),
        // Far apart: drivers may add eps before they subtract, which rounds a small difference coarsely.
        triplet("/random", TripletMargin { margin: 9.0, swap: true, ..plain })
            .random([4, 7])
            .uniform([4, 7], 3.0, 5.0)
            .uniform([4, 7], -6.0, -3.0),
        Case::new("pairwise_distance", |t| t[0].pairwise_distance(&t[1], 2.0, 0.0))
            .given([2, 2], &[0.0, 0.0, 1.0, 1.0])
            .given([2, 2], &[3.0, 4.0, 6.0, 13.0])
            .expect(&[5.0, 13.0]),
        Case::new("pairwise_distance/cubes", |t| t[0].pairwise_distance(&t[1], 3.0, 1e-6))
            .random([3, 5])
            .uniform([3, 5], 3.0, 5.0),
        Case::new("cosine_similarity", |t| t[0].cosine_similarity(&t[1], -1, 1e-8))
            .given([2, 2], &[3.0, 4.0, 1.0, 0.0])
            .given([2], &[4.0, 3.0])
            .expect(&[0.96, 0.8]),
        Case::new("cosine_similarity/columns", |t| t[0].cosine_similarity(&t[1], 0, 1e-8))
            .distinct([5, 3])
            .distinct([5, 3]),
    ]
}

/// Signs from labels 0 and 1.
fn signs(labels: &Tensor) -> Tensor {
    labels.cast(DType::F32) * 2.0 - 1.0
}
