"""Functions without parameters: activations, reductions, and operations with conventions of their own."""

import torch
import torch.nn.functional as F
from torch import nn

from .case import collect, given, labels, target, x


def activations():
    wide = x(4, 6, low=-4.0, high=4.0)
    plain = ["CELU", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Hardshrink", "LeakyReLU"]
    plain += ["LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink"]
    plain += ["Softsign", "Tanh", "Tanhshrink"]
    cases = [(name, getattr(nn, name)(), wide) for name in plain]
    return cases + [
        ("CELU/alpha", nn.CELU(0.5), wide),
        ("ELU/alpha", nn.ELU(0.5), wide),
        ("GELU/tanh", nn.GELU("tanh"), wide),
        ("GLU", nn.GLU(), x(3, 6)),
        ("Hardtanh/range", nn.Hardtanh(-0.5, 2.0), wide),
        ("LeakyReLU/slope", nn.LeakyReLU(0.25), wide),
        ("ReLU6/beyond", nn.ReLU6(), x(4, 5, low=-8.0, high=8.0)),
        ("Softplus/beta", nn.Softplus(2.0, 3.0), wide),
        ("Threshold", nn.Threshold(0.25, -1.5), wide),
        ("Softmax", nn.Softmax(-1), x(3, 5)),
        ("Softmax/channels", nn.Softmax(1), x(2, 3, 4)),
        ("Softmin", nn.Softmin(-1), x(3, 5)),
        ("LogSoftmax", nn.LogSoftmax(-1), x(3, 5)),
    ]


def reductions():
    return [
        ("cumsum", lambda a: a.cumsum(1), x(3, 5)),
        ("logsumexp", lambda a: a.logsumexp(1), x(3, 5)),
        ("norm", lambda a: a.norm(dim=1), x(3, 5)),
        ("norm/3", lambda a: a.norm(p=3, dim=1), x(3, 5)),
        ("prod", lambda a: a.prod(1), x(3, 4)),
        ("std", lambda a: a.std(1), x(3, 5)),
        ("var", lambda a: a.var(1), x(3, 5)),
        ("var/biased", lambda a: a.var(1, correction=0), x(3, 5)),
    ]


def rearrangements():
    return [
        ("einsum/attention", lambda a, b: torch.einsum("bqhd,bkhd->bhqk", a, b), x(2, 3, 2, 4), x(2, 5, 2, 4)),
        ("einsum/matmul", lambda a, b: torch.einsum("ij,jk->ik", a, b), x(3, 4), x(4, 2)),
        ("fold", lambda a: F.fold(a, (4, 5), 2), x(2, 12, 12)),
        ("gather", lambda a, i: a.gather(1, i), x(3, 5), labels(5, 3, 4)),
        ("index_add", lambda a, i, b: a.index_add(0, i, b), x(4, 3), given([1, 3, 1]), x(3, 3)),
        ("index_select", lambda a, i: a.index_select(1, i), x(3, 5), given([4, 0, 4])),
        ("masked_fill", lambda a, m: a.masked_fill(m > 0, -2.0), x(3, 4), target(3, 4)),
        ("repeat_interleave", lambda a: a.repeat_interleave(3, 1), x(2, 3)),
        ("roll", lambda a: a.roll(2, 1), x(2, 5)),
        ("scatter_add", lambda a, i, b: a.scatter_add(1, i, b), x(3, 5), labels(5, 3, 4), x(3, 4)),
        ("sort", lambda a: a.sort(1).values, x(3, 7)),
        ("sort/descending", lambda a: a.sort(1, descending=True).values, x(3, 6)),
        ("topk", lambda a: a.topk(3, 1).values, x(3, 7)),
        ("tril", lambda a: a.tril(), x(2, 4, 3)),
        ("triu", lambda a: a.triu(1), x(2, 3, 4)),
        ("unfold", lambda a: F.unfold(a, 2, stride=2, padding=1), x(2, 3, 4, 5)),
    ]


def attention():
    def attend(q, k, v, bias=None, causal=False):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)

    def seen(q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask <= 0)

    q, kv, wide = x(2, 2, 4, 3), x(2, 2, 4, 3), x(2, 2, 9, 4)
    return [
        ("scaled_dot_product_attention", attend, q, x(2, 2, 5, 3), x(2, 2, 5, 3)),
        ("scaled_dot_product_attention/causal", lambda *qkv: attend(*qkv, causal=True), q, kv, kv),
        ("scaled_dot_product_attention/seen", seen, wide, wide, wide, target(2, 1, 9, 9)),
        ("scaled_dot_product_attention/bias", attend, wide, wide, wide, x(9, 9)),
    ]


def distances():
    return [
        ("CosineSimilarity", nn.CosineSimilarity(), x(3, 5), x(3, 5)),
        ("PairwiseDistance", nn.PairwiseDistance(), x(3, 5), x(3, 5)),
        ("normalize", lambda a: F.normalize(a, dim=1), x(3, 5)),
    ]


def table():
    groups = [activations, reductions, rearrangements, attention, distances]
    return collect([case for group in groups for case in group()])
