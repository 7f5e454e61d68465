"""Layers: what has parameters, buffers or a constructor with choices."""

import torch
from torch import nn

from .blocks import BasicBlock, Bottleneck, InvertedResidual
from .case import collect, given, labels, x

EVAL = {"train": False}


def linear():
    return [
        ("Linear", nn.Linear(5, 4), x(3, 5)),
        ("Linear/no-bias", nn.Linear(5, 4, bias=False), x(3, 5)),
        ("Linear/sequence", nn.Linear(5, 4), x(2, 3, 5)),
        ("Bilinear", nn.Bilinear(3, 4, 5), x(6, 3), x(6, 4)),
        ("Bilinear/no-bias", nn.Bilinear(3, 4, 5, bias=False), x(6, 3), x(6, 4)),
        ("Flatten", nn.Flatten(), x(2, 3, 2, 2)),
        ("Embedding", nn.Embedding(7, 4), labels(7, 2, 5)),
        ("Embedding/padding-idx", nn.Embedding(7, 4, padding_idx=2), given([[0, 2, 5], [2, 6, 1]])),
    ]


def convolutions():
    return [
        ("Conv1d", nn.Conv1d(3, 4, 3), x(2, 3, 9)),
        ("Conv1d/all", nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), x(2, 4, 9)),
        ("Conv2d", nn.Conv2d(2, 3, 3), x(2, 2, 5, 6)),
        ("Conv2d/no-bias", nn.Conv2d(2, 3, 2, bias=False), x(1, 2, 4, 3)),
        ("Conv2d/stride", nn.Conv2d(2, 3, 3, stride=2, padding=1), x(2, 2, 7, 6)),
        ("Conv2d/dilation", nn.Conv2d(2, 3, 2, dilation=2), x(1, 2, 5, 6)),
        ("Conv2d/groups", nn.Conv2d(4, 6, 3, groups=2, padding=1), x(1, 4, 5, 4)),
        ("Conv2d/depthwise", nn.Conv2d(3, 3, 3, groups=3), x(2, 3, 5, 5)),
        ("Conv2d/pointwise", nn.Conv2d(3, 5, 1), x(2, 3, 3, 4)),
        ("Conv2d/rectangle", nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(1, 0)), x(1, 2, 4, 7)),
        ("Conv3d", nn.Conv3d(2, 3, 2), x(1, 2, 3, 4, 3)),
        ("Conv3d/all", nn.Conv3d(2, 4, 2, stride=2, padding=1, groups=2), x(1, 2, 3, 4, 3)),
        ("ConvTranspose1d", nn.ConvTranspose1d(3, 4, 3), x(2, 3, 5)),
        (
            "ConvTranspose1d/all",
            nn.ConvTranspose1d(4, 6, 3, stride=3, padding=1, output_padding=1, groups=2, dilation=2),
            x(2, 4, 4),
        ),
        ("ConvTranspose2d", nn.ConvTranspose2d(2, 3, 3), x(1, 2, 3, 4)),
        ("ConvTranspose2d/no-bias", nn.ConvTranspose2d(2, 3, 2, stride=2, bias=False), x(2, 2, 3, 3)),
        (
            "ConvTranspose2d/all",
            nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
            x(1, 4, 3, 3),
        ),
        ("ConvTranspose3d", nn.ConvTranspose3d(2, 2, 2), x(1, 2, 2, 3, 2)),
        ("ConvTranspose2d/dilation", nn.ConvTranspose2d(2, 3, 2, dilation=2), x(1, 2, 3, 4)),
    ]


def norms():
    return [
        ("BatchNorm1d", nn.BatchNorm1d(4), x(6, 4)),
        ("BatchNorm1d/sequence", nn.BatchNorm1d(3), x(2, 3, 5)),
        ("BatchNorm1d/eval", nn.BatchNorm1d(4), x(6, 4), EVAL),
        ("BatchNorm2d", nn.BatchNorm2d(3), x(2, 3, 4, 3)),
        ("BatchNorm2d/momentum", nn.BatchNorm2d(3, momentum=0.25, eps=1e-3), x(2, 3, 3, 3)),
        ("BatchNorm2d/eval", nn.BatchNorm2d(3), x(2, 3, 2, 3), EVAL),
        ("BatchNorm3d", nn.BatchNorm3d(2), x(2, 2, 2, 3, 2)),
        ("LayerNorm", nn.LayerNorm(6), x(2, 3, 6)),
        ("LayerNorm/two-axes", nn.LayerNorm([3, 4]), x(3, 3, 4)),
        ("LayerNorm/eps", nn.LayerNorm(5, eps=0.125), x(4, 5)),
        # PyTorch's default eps is that of the dtype, and wgrad's that of f32.
        ("RMSNorm", nn.RMSNorm(6, eps=torch.finfo(torch.float32).eps), x(2, 3, 6)),
        ("RMSNorm/eps", nn.RMSNorm(6, eps=0.125), x(4, 6)),
        ("GroupNorm", nn.GroupNorm(2, 6), x(2, 6, 5)),
        ("GroupNorm/images", nn.GroupNorm(3, 6), x(2, 6, 3, 2)),
        ("InstanceNorm1d", nn.InstanceNorm1d(3), x(2, 3, 5)),
        ("InstanceNorm1d/affine", nn.InstanceNorm1d(3, affine=True), x(2, 3, 5)),
        ("InstanceNorm2d", nn.InstanceNorm2d(3), x(2, 3, 3, 4)),
        ("InstanceNorm2d/affine", nn.InstanceNorm2d(3, affine=True), x(2, 3, 3, 4)),
        ("InstanceNorm1d/tracking", nn.InstanceNorm1d(3, affine=True, track_running_stats=True), x(2, 3, 5)),
        ("InstanceNorm2d/tracking", nn.InstanceNorm2d(3, momentum=0.25, track_running_stats=True), x(2, 3, 3, 4)),
        ("InstanceNorm2d/eval", nn.InstanceNorm2d(3, affine=True, track_running_stats=True), x(2, 3, 3, 4), EVAL),
    ]


def pools():
    return [
        ("MaxPool1d", nn.MaxPool1d(3, stride=2, padding=1), x(2, 3, 8)),
        ("MaxPool2d", nn.MaxPool2d(2), x(2, 3, 5, 6)),
        ("MaxPool2d/overlapping", nn.MaxPool2d(3, stride=2, padding=1), x(2, 2, 7, 6)),
        ("MaxPool2d/ceil", nn.MaxPool2d(2, ceil_mode=True), x(2, 2, 5, 3)),
        ("MaxPool3d", nn.MaxPool3d(2), x(1, 2, 4, 4, 5)),
        ("AvgPool1d", nn.AvgPool1d(3, stride=2, padding=1), x(2, 3, 8)),
        ("AvgPool2d", nn.AvgPool2d(2), x(2, 3, 5, 6)),
        ("AvgPool2d/overlapping", nn.AvgPool2d(3, stride=2, padding=1), x(2, 2, 7, 6)),
        ("AvgPool2d/no-pad", nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), x(2, 2, 7, 6)),
        ("AvgPool2d/ceil", nn.AvgPool2d(2, ceil_mode=True), x(2, 2, 5, 3)),
        ("AvgPool3d", nn.AvgPool3d(2), x(1, 2, 4, 4, 5)),
        ("AdaptiveAvgPool1d", nn.AdaptiveAvgPool1d(3), x(2, 3, 7)),
        ("AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d((2, 3)), x(2, 2, 5, 7)),
        ("AdaptiveAvgPool2d/one", nn.AdaptiveAvgPool2d(1), x(2, 3, 4, 5)),
        ("AdaptiveAvgPool3d", nn.AdaptiveAvgPool3d((2, 3, 1)), x(1, 2, 3, 4, 5)),
        ("AdaptiveMaxPool3d", nn.AdaptiveMaxPool3d((2, 3, 1)), x(1, 2, 3, 4, 5)),
        ("AdaptiveMaxPool1d", nn.AdaptiveMaxPool1d(3), x(2, 3, 7)),
        ("AdaptiveMaxPool2d", nn.AdaptiveMaxPool2d((2, 3)), x(2, 2, 5, 7)),
        ("Upsample", nn.Upsample(scale_factor=2), x(2, 2, 3, 2)),
        ("Upsample/bilinear", nn.Upsample(scale_factor=2, mode="bilinear"), x(1, 2, 3, 4)),
        ("Upsample/corners", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), x(1, 2, 3, 4)),
        ("LPPool1d", nn.LPPool1d(2, 3, stride=2), x(2, 2, 7)),
        ("LPPool2d", nn.LPPool2d(2, 2), x(2, 2, 4, 5)),
        ("PixelShuffle", nn.PixelShuffle(2), x(1, 8, 2, 3)),
        ("PixelUnshuffle", nn.PixelUnshuffle(2), x(1, 2, 4, 6)),
        ("PReLU", nn.PReLU(), x(3, 4)),
        ("PReLU/channels", nn.PReLU(3), x(2, 3, 4)),
    ]


def recurrent():
    cases = []
    for Class in [nn.RNN, nn.LSTM, nn.GRU]:
        name = Class.__name__
        cases += [
            (name, Class(3, 4, batch_first=True), x(2, 5, 3)),
            (f"{name}/no-bias", Class(3, 4, bias=False, batch_first=True), x(2, 3, 3)),
            (f"{name}/deep", Class(3, 4, 2, batch_first=True), x(2, 4, 3)),
            (f"{name}/bidirectional", Class(3, 2, 2, bidirectional=True, batch_first=True), x(2, 4, 3)),
        ]
    relu = nn.RNN(3, 4, nonlinearity="relu", batch_first=True)
    return cases + [
        ("RNN/relu", relu, x(2, 4, 3)),
        ("RNN/state", nn.RNN(3, 4, batch_first=True), x(2, 4, 3), x(1, 2, 4)),
        ("LSTM/state", WithState(nn.LSTM(3, 4, batch_first=True)), x(2, 4, 3), x(1, 2, 4), x(1, 2, 4)),
        ("GRU/state", nn.GRU(3, 4, batch_first=True), x(2, 4, 3), x(1, 2, 4)),
    ]


class Wrapped(nn.Module):
    """A module under its own names that is called in another way."""

    def __init__(self, module):
        super().__init__()
        # Not as a submodule, so that its parameters keep their names.
        object.__setattr__(self, "module", module)

    def state_dict(self, *args, **kwargs):
        return self.module.state_dict(*args, **kwargs)

    def named_parameters(self, *args, **kwargs):
        return self.module.named_parameters(*args, **kwargs)

    def named_buffers(self, *args, **kwargs):
        return self.module.named_buffers(*args, **kwargs)

    def train(self, mode=True):
        self.module.train(mode)
        return self


class WithState(Wrapped):
    """An LSTM that takes its two initial states as arguments."""

    def forward(self, sequence, hidden, cell):
        return self.module(sequence, (hidden, cell))


class SelfAttention(Wrapped):
    """Attention of a sequence to itself, with masks as in `forward`."""

    def __init__(self, module, causal=False, padded=False):
        super().__init__(module)
        self.causal, self.padded = causal, padded

    def forward(self, sequence):
        n, t = sequence.shape[:2]
        mask = nn.Transformer.generate_square_subsequent_mask(t) if self.causal else None
        padding = torch.arange(t) >= torch.tensor([[t], [t - 2]]) if self.padded else None
        if padding is not None:
            padding = torch.zeros(n, t).masked_fill(padding, float("-inf"))
        options = {"attn_mask": mask, "key_padding_mask": padding, "need_weights": False}
        return self.module(sequence, sequence, sequence, **options)[0]


class CrossAttention(Wrapped):
    """Attention of a query to keys and values."""

    def forward(self, query, key, value):
        return self.module(query, key, value, need_weights=False)[0]


class Masked(Wrapped):
    """An encoder or decoder whose own sequence is causal."""

    def forward(self, sequence, *memory):
        mask = nn.Transformer.generate_square_subsequent_mask(sequence.shape[1])
        return self.module(sequence, *memory, mask)


def transformers():
    def attention(**options):
        return nn.MultiheadAttention(6, 2, batch_first=True, **options)

    def layer(Class, **options):
        return Class(6, 2, dim_feedforward=8, dropout=0.0, batch_first=True, **options)

    encoder, decoder = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
    return [
        ("MultiheadAttention", SelfAttention(attention()), x(2, 5, 6)),
        ("MultiheadAttention/causal", SelfAttention(attention(), causal=True), x(2, 5, 6)),
        ("MultiheadAttention/padded", SelfAttention(attention(), padded=True), x(2, 5, 6)),
        ("MultiheadAttention/no-bias", SelfAttention(attention(bias=False)), x(2, 3, 6)),
        ("MultiheadAttention/cross", CrossAttention(attention()), x(2, 3, 6), x(2, 4, 6), x(2, 4, 6)),
        (
            "MultiheadAttention/widths",
            CrossAttention(attention(kdim=4, vdim=5)),
            *(x(2, 3, 6), x(2, 4, 4), x(2, 4, 5)),
        ),
        ("TransformerEncoderLayer", layer(encoder), x(2, 4, 6)),
        ("TransformerEncoderLayer/pre-norm", layer(encoder, norm_first=True, activation="gelu"), x(2, 4, 6)),
        ("TransformerEncoderLayer/causal", Masked(layer(encoder)), x(2, 4, 6)),
        ("TransformerDecoderLayer", Masked(layer(decoder)), x(2, 3, 6), x(2, 4, 6)),
        ("TransformerDecoderLayer/pre-norm", Masked(layer(decoder, norm_first=True)), x(2, 3, 6), x(2, 4, 6)),
        ("TransformerEncoder", nn.TransformerEncoder(layer(encoder), 2), x(2, 4, 6)),
        (
            "TransformerEncoder/norm",
            nn.TransformerEncoder(layer(encoder, norm_first=True), 2, nn.LayerNorm(6), enable_nested_tensor=False),
            x(2, 4, 6),
        ),
        ("TransformerDecoder", Masked(nn.TransformerDecoder(layer(decoder), 2)), x(2, 3, 6), x(2, 4, 6)),
    ]


def sinusoidal(sequence):
    """Vaswani et al., 2017, section 3.5."""
    positions, width = sequence.shape[-2:]
    angle = torch.arange(positions)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return sequence + torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def rotary(sequence, interleaved=False):
    """Su et al., 2021: pairs of features are complex numbers that turn with their position."""
    positions, size = sequence.shape[-2:]
    angle = torch.arange(positions)[:, None] * 10_000 ** (-torch.arange(0, size, 2) / size)
    parts = sequence.unflatten(-1, (-1, 2)) if interleaved else sequence.unflatten(-1, (2, -1)).transpose(-1, -2)
    turned = torch.view_as_complex(parts.contiguous()) * torch.polar(torch.ones_like(angle), angle)
    turned = torch.view_as_real(turned)
    return (turned if interleaved else turned.transpose(-1, -2)).flatten(-2)


def positions():
    return [
        ("SinusoidalPositions", sinusoidal, x(2, 5, 6)),
        ("RotaryEmbedding", rotary, x(2, 2, 5, 4)),
        ("RotaryEmbedding/interleaved", lambda sequence: rotary(sequence, interleaved=True), x(2, 2, 5, 4)),
    ]


def blocks():
    return [
        ("BasicBlock", BasicBlock(4, 4, 1), x(2, 4, 4, 4)),
        ("BasicBlock/stride", BasicBlock(3, 4, 2), x(2, 3, 5, 5)),
        ("Bottleneck", Bottleneck(4, 2, 2), x(2, 4, 5, 4)),
        ("InvertedResidual", InvertedResidual(4, 4, 1, 2), x(2, 4, 4, 3)),
        ("InvertedResidual/stride", InvertedResidual(3, 4, 2, 1), x(2, 3, 5, 4)),
    ]


def table():
    groups = [linear, convolutions, norms, pools, recurrent, transformers, positions, blocks]
    return collect([case for group in groups for case in group()])
