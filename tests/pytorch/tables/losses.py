"""Losses, with their reductions and choices."""

import torch.nn.functional as F
from torch import nn

from .case import collect, given, labels, target, x


def regression():
    pair = (x(3, 4, low=-2.0, high=2.0), x(3, 4, low=-2.0, high=2.0))
    cases = []
    for Class in [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss]:
        for reduction in ["mean", "sum", "none"]:
            name = Class.__name__ if reduction == "mean" else f"{Class.__name__}/{reduction}"
            cases.append((name, Class(reduction=reduction), *pair))
    spread = target(3, 4, low=0.5, high=1.5)
    return cases + [
        ("SmoothL1Loss/beta", nn.SmoothL1Loss(beta=0.5), *pair),
        ("HuberLoss/delta", nn.HuberLoss(delta=0.5), *pair),
        ("GaussianNLLLoss", nn.GaussianNLLLoss(), *pair, x(3, 4, low=0.5, high=1.5)),
        ("GaussianNLLLoss/full", nn.GaussianNLLLoss(full=True, reduction="sum"), *pair, spread),
        ("PoissonNLLLoss", nn.PoissonNLLLoss(), x(3, 4), target(3, 4, low=0.0, high=4.0)),
        (
            "PoissonNLLLoss/rate",
            nn.PoissonNLLLoss(log_input=False, reduction="sum"),
            *(x(3, 4, low=0.5, high=1.5), target(3, 4, low=0.0, high=4.0)),
        ),
    ]


def classification():
    scores, classes = x(6, 5, low=-2.0, high=2.0), labels(5, 6)
    ignored = given([0, 4, 2, 2, 1, 3])
    cases = []
    for Class in [nn.CrossEntropyLoss, nn.NLLLoss]:
        name = Class.__name__
        cases += [
            (name, Class(), scores, classes),
            (f"{name}/sum", Class(reduction="sum"), scores, classes),
            (f"{name}/none", Class(reduction="none"), scores, classes),
            (f"{name}/images", Class(), x(2, 3, 2, 4), labels(3, 2, 2, 4)),
            (f"{name}/ignore", Class(ignore_index=2), scores, ignored),
            weighted(f"{name}/weight", Class, {}, scores, classes),
            weighted(f"{name}/weight-ignore", Class, {"ignore_index": 2}, scores, ignored),
            weighted(f"{name}/weight-sum", Class, {"reduction": "sum"}, scores, classes),
        ]
    return cases + [
        ("CrossEntropyLoss/smoothing", nn.CrossEntropyLoss(label_smoothing=0.125), scores, classes),
        weighted("CrossEntropyLoss/all", nn.CrossEntropyLoss, {"ignore_index": 2, "label_smoothing": 0.1}, scores, ignored),
        ("CrossEntropyLoss/probabilities", lambda a, b: F.cross_entropy(a, b.softmax(1)), scores, x(6, 5)),
        ("MultiMarginLoss", nn.MultiMarginLoss(), x(4, 5), labels(5, 4)),
        ("MultiMarginLoss/square", nn.MultiMarginLoss(p=2, margin=0.5), x(4, 5), labels(5, 4)),
        weighted("MultiMarginLoss/weight", nn.MultiMarginLoss, {}, x(4, 5), labels(5, 4)),
        ("MultiLabelSoftMarginLoss", nn.MultiLabelSoftMarginLoss(), x(3, 4), given([[1.0, 0.0, 1.0, 1.0]] * 3)),
    ]


def weighted(name, Class, options, scores, classes):
    """A loss whose class weights are its third input."""

    def loss(x, y, weight):
        return Class(weight=weight, **options)(x, y)

    return (name, loss, scores, classes, target(5, low=0.5, high=1.5))


def binary():
    probability = x(3, 4, low=0.0, high=1.0)
    truth = target(3, 4, low=0.0, high=1.0)
    scores = x(3, 4, low=-4.0, high=4.0)
    zero_or_one = given([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    signs = given([[1.0, -1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])

    def with_pos_weight(a, t, weight):
        return F.binary_cross_entropy_with_logits(a, t, pos_weight=weight)

    def focal(a, t, gamma=2.0, alpha=0.25):
        # Lin et al., 2017, as torchvision's sigmoid_focal_loss with the mean taken.
        p = a.sigmoid()
        cross = F.binary_cross_entropy_with_logits(a, t, reduction="none")
        p_t = p * t + (1 - p) * (1 - t)
        alpha_t = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
        return (alpha_t * (1 - p_t) ** gamma * cross).mean()

    return [
        ("BCELoss", nn.BCELoss(), probability, truth),
        ("BCELoss/sum", nn.BCELoss(reduction="sum"), probability, truth),
        ("BCEWithLogitsLoss", nn.BCEWithLogitsLoss(), scores, truth),
        ("BCEWithLogitsLoss/none", nn.BCEWithLogitsLoss(reduction="none"), scores, truth),
        ("BCEWithLogitsLoss/pos-weight", with_pos_weight, scores, truth, target(4, low=0.5, high=1.5)),
        ("SoftMarginLoss", nn.SoftMarginLoss(), scores, signs),
        ("HingeEmbeddingLoss", nn.HingeEmbeddingLoss(), scores, signs),
        ("HingeEmbeddingLoss/margin", nn.HingeEmbeddingLoss(margin=2.0, reduction="sum"), scores, signs),
        ("FocalLoss", focal, scores, zero_or_one),
        ("FocalLoss/plain", lambda a, t: focal(a, t, gamma=1.0, alpha=None), scores, zero_or_one),
    ]


def distances():
    signs = given([1.0, -1.0, 1.0, -1.0])
    triple = (x(4, 5), x(4, 5), x(4, 5))

    def kl(reduction, log_target=False):
        def loss(a, b):
            truth = b.log_softmax(1) if log_target else b.softmax(1)
            return F.kl_div(a.log_softmax(1), truth, reduction=reduction, log_target=log_target)

        return loss

    return [
        ("CosineEmbeddingLoss", nn.CosineEmbeddingLoss(), x(4, 5), x(4, 5), signs),
        ("CosineEmbeddingLoss/margin", nn.CosineEmbeddingLoss(margin=0.25), x(4, 5), x(4, 5), signs),
        ("MarginRankingLoss", nn.MarginRankingLoss(), x(4), x(4), signs),
        ("MarginRankingLoss/margin", nn.MarginRankingLoss(margin=0.5, reduction="sum"), x(4), x(4), signs),
        ("TripletMarginLoss", nn.TripletMarginLoss(), *triple),
        ("TripletMarginLoss/margin", nn.TripletMarginLoss(margin=0.25, reduction="sum"), *triple),
        ("TripletMarginLoss/swap", nn.TripletMarginLoss(p=3.0, swap=True), *triple),
        ("KLDivLoss", kl("batchmean"), x(3, 4), x(3, 4)),
        ("KLDivLoss/mean", kl("mean"), x(3, 4), x(3, 4)),
        ("KLDivLoss/sum", kl("sum"), x(3, 4), x(3, 4)),
        ("KLDivLoss/log-target", kl("batchmean", log_target=True), x(3, 4), x(3, 4)),
    ]


def sequences():
    def ctc(reduction):
        def loss(scores, labels, steps, lengths):
            return nn.CTCLoss(reduction=reduction)(scores.log_softmax(2), labels, steps, lengths)

        return loss

    # 6 steps, 2 sequences, 4 classes of which 0 is the blank; a label twice in a row needs a blank between.
    labels, steps, lengths = given([[1, 2, 2], [3, 1, 1]]), given([6, 5]), given([3, 2])
    return [
        ("CTCLoss", ctc("mean"), x(6, 2, 4), labels, steps, lengths),
        ("CTCLoss/sum", ctc("sum"), x(6, 2, 4), labels, steps, lengths),
        ("CTCLoss/none", ctc("none"), x(6, 2, 4), labels, steps, lengths),
    ]


def table():
    groups = [regression, classification, binary, distances, sequences]
    return collect([case for group in groups for case in group()])
