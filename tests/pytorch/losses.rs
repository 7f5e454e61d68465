//! Losses, with their reductions and choices.

use wgrad::core::ops::{Bce, CrossEntropy, CtcTarget, Reduction, TripletMargin};
use wgrad::prelude::*;

use crate::case::{Case, call};
use crate::suite::check;

use Reduction::{Mean, Sum};

fn regression() -> Vec<Case> {
    let gaussian =
        |x: &[Tensor], full, reduction| x[0].gaussian_nll_loss(&x[1], &x[2], full, 1e-6, reduction);
    let poisson =
        |x: &[Tensor], log_input, reduction| x[0].poisson_nll_loss(&x[1], log_input, false, 1e-8, reduction);
    vec![
        call("MSELoss", |x| x[0].mse_loss(&x[1])),
        call("MSELoss/sum", |x| x[0].mse_loss_with(&x[1], Sum)),
        call("MSELoss/none", |x| x[0].mse_loss_with(&x[1], Reduction::None)),
        call("L1Loss", |x| x[0].l1_loss(&x[1])),
        call("L1Loss/sum", |x| x[0].l1_loss_with(&x[1], Sum)),
        call("L1Loss/none", |x| x[0].l1_loss_with(&x[1], Reduction::None)),
        call("SmoothL1Loss", |x| x[0].smooth_l1_loss(&x[1], 1.0)),
        call("SmoothL1Loss/sum", |x| x[0].smooth_l1_loss_with(&x[1], 1.0, Sum)),
        call("SmoothL1Loss/none", |x| x[0].smooth_l1_loss_with(&x[1], 1.0, Reduction::None)),
        call("SmoothL1Loss/beta", |x| x[0].smooth_l1_loss(&x[1], 0.5)),
        call("HuberLoss", |x| x[0].huber_loss(&x[1], 1.0)),
        call("HuberLoss/sum", |x| x[0].huber_loss_with(&x[1], 1.0, Sum)),
        call("HuberLoss/none", |x| x[0].huber_loss_with(&x[1], 1.0, Reduction::None)),
        call("HuberLoss/delta", |x| x[0].huber_loss(&x[1], 0.5)),
        call("GaussianNLLLoss", move |x| gaussian(x, false, Mean)),
        call("GaussianNLLLoss/full", move |x| gaussian(x, true, Sum)),
        call("PoissonNLLLoss", move |x| poisson(x, true, Mean)),
        call("PoissonNLLLoss/rate", move |x| poisson(x, false, Sum)),
    ]
}

fn classification() -> Vec<Case> {
    let cross_entropy = |x: &[Tensor], ignore_index, label_smoothing, reduction| {
        let choices = CrossEntropy { weight: x.get(2), ignore_index, label_smoothing, reduction };
        x[0].cross_entropy_with(&x[1], &choices)
    };
    let nll = |x: &[Tensor], ignored, reduction| x[0].nll_loss_with(&x[1], x.get(2), ignored, reduction);
    vec![
        call("CrossEntropyLoss", |x| x[0].cross_entropy(&x[1])),
        call("CrossEntropyLoss/sum", move |x| cross_entropy(x, None, 0.0, Sum)),
        call("CrossEntropyLoss/none", move |x| cross_entropy(x, None, 0.0, Reduction::None)),
        call("CrossEntropyLoss/images", |x| x[0].cross_entropy(&x[1])),
        call("CrossEntropyLoss/ignore", move |x| cross_entropy(x, Some(2), 0.0, Mean)),
        call("CrossEntropyLoss/weight", move |x| cross_entropy(x, None, 0.0, Mean)),
        call("CrossEntropyLoss/weight-ignore", move |x| cross_entropy(x, Some(2), 0.0, Mean)),
        call("CrossEntropyLoss/weight-sum", move |x| cross_entropy(x, None, 0.0, Sum)),
        call("CrossEntropyLoss/smoothing", move |x| cross_entropy(x, None, 0.125, Mean)),
        call("CrossEntropyLoss/all", move |x| cross_entropy(x, Some(2), 0.1, Mean)),
        call("CrossEntropyLoss/probabilities", |x| x[0].soft_cross_entropy(&x[1].softmax(1), Mean)),
        call("NLLLoss", |x| x[0].nll_loss(&x[1])),
        call("NLLLoss/sum", move |x| nll(x, None, Sum)),
        call("NLLLoss/none", move |x| nll(x, None, Reduction::None)),
        call("NLLLoss/images", |x| x[0].nll_loss(&x[1])),
        call("NLLLoss/ignore", move |x| nll(x, Some(2), Mean)),
        call("NLLLoss/weight", move |x| nll(x, None, Mean)),
        call("NLLLoss/weight-ignore", move |x| nll(x, Some(2), Mean)),
        call("NLLLoss/weight-sum", move |x| nll(x, None, Sum)),
        call("MultiMarginLoss", |x| x[0].multi_margin_loss(&x[1], 1, 1.0, None, Mean)),
        call("MultiMarginLoss/square", |x| x[0].multi_margin_loss(&x[1], 2, 0.5, None, Mean)),
        call("MultiMarginLoss/weight", |x| x[0].multi_margin_loss(&x[1], 1, 1.0, x.get(2), Mean)),
        call("MultiLabelSoftMarginLoss", |x| x[0].multilabel_soft_margin_loss(&x[1], Mean)),
    ]
}

fn binary() -> Vec<Case> {
    vec![
        call("BCELoss", |x| x[0].binary_cross_entropy(&x[1])),
        call("BCELoss/sum", |x| x[0].bce(&x[1], &Bce { reduction: Sum, ..Bce::default() })),
        call("BCEWithLogitsLoss", |x| x[0].binary_cross_entropy_with_logits(&x[1])),
        call("BCEWithLogitsLoss/none", |x| {
            x[0].bce_with_logits(&x[1], &Bce { reduction: Reduction::None, ..Bce::default() })
        }),
        call("BCEWithLogitsLoss/pos-weight", |x| {
            x[0].bce_with_logits(&x[1], &Bce { pos_weight: x.get(2), ..Bce::default() })
        }),
        call("SoftMarginLoss", |x| x[0].soft_margin_loss(&x[1], Mean)),
        call("HingeEmbeddingLoss", |x| x[0].hinge_embedding_loss(&x[1], 1.0, Mean)),
        call("HingeEmbeddingLoss/margin", |x| x[0].hinge_embedding_loss(&x[1], 2.0, Sum)),
        call("FocalLoss", |x| x[0].sigmoid_focal_loss(&x[1], 0.25, 2.0, Mean)),
        call("FocalLoss/plain", |x| x[0].sigmoid_focal_loss(&x[1], -1.0, 1.0, Mean)),
    ]
}

fn distances() -> Vec<Case> {
    let log_softmax = |x: &[Tensor]| (x[0].log_softmax(1), x[1].softmax(1));
    let triplet =
        |x: &[Tensor], choices, reduction| x[0].triplet_margin_loss(&x[1], &x[2], choices, reduction);
    let kl = move |x: &[Tensor], reduction| {
        let (input, target) = log_softmax(x);
        input.kl_div(&target, false, reduction)
    };
    vec![
        call("CosineEmbeddingLoss", |x| x[0].cosine_embedding_loss(&x[1], &x[2], 0.0, Mean)),
        call("CosineEmbeddingLoss/margin", |x| x[0].cosine_embedding_loss(&x[1], &x[2], 0.25, Mean)),
        call("MarginRankingLoss", |x| x[0].margin_ranking_loss(&x[1], &x[2], 0.0, Mean)),
        call("MarginRankingLoss/margin", |x| x[0].margin_ranking_loss(&x[1], &x[2], 0.5, Sum)),
        call("TripletMarginLoss", move |x| triplet(x, TripletMargin::default(), Mean)),
        call("TripletMarginLoss/margin", move |x| {
            triplet(x, TripletMargin { margin: 0.25, ..TripletMargin::default() }, Sum)
        }),
        call("TripletMarginLoss/swap", move |x| {
            triplet(x, TripletMargin { p: 3.0, swap: true, ..TripletMargin::default() }, Mean)
        }),
        // PyTorch's "batchmean": three samples.
        call("KLDivLoss", move |x| kl(x, Sum) / 3.0),
        call("KLDivLoss/mean", move |x| kl(x, Mean)),
        call("KLDivLoss/sum", move |x| kl(x, Sum)),
        call("KLDivLoss/log-target", |x| x[0].log_softmax(1).kl_div(&x[1].log_softmax(1), true, Sum) / 3.0),
    ]
}

fn sequences() -> Vec<Case> {
    let ctc = |x: &[Tensor], reduction| {
        let target = CtcTarget { labels: &x[1], input_lengths: &x[2], target_lengths: &x[3], blank: 0 };
        x[0].log_softmax(2).ctc_loss(target, false, reduction)
    };
    vec![
        call("CTCLoss", move |x| ctc(x, Mean)),
        call("CTCLoss/sum", move |x| ctc(x, Sum)),
        call("CTCLoss/none", move |x| ctc(x, Reduction::None)),
    ]
}

fn all() -> Vec<Case> {
    [regression(), classification(), binary(), distances(), sequences()].into_iter().flatten().collect()
}

#[test]
fn losses_agree() {
    check("losses", "losses", all());
}

#[test]
fn every_loss_is_here() {
    crate::golden::same_cases("losses", all().iter().map(|case| case.name));
}
