"""Whole models, small, under the names that published weights have."""

import torch
import torch.nn.functional as F
from torch import nn

from .case import collect, given, labels, x
from .curves import Gpt

EVAL = {"train": False}


def heads(tensor, count):
    """[N, T, width] to [N, heads, T, width / heads]."""
    return tensor.unflatten(2, (count, -1)).transpose(1, 2)


class VitBlock(nn.Module):
    """A block of timm's vision transformer (Dosovitskiy et al., 2021)."""

    def __init__(self, width, count):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.count = count

    def forward(self, x):
        q, k, v = (heads(part, self.count) for part in self.attn["qkv"](self.norm1(x)).chunk(3, 2))
        seen = F.scaled_dot_product_attention(q, k, v)
        x = x + self.attn["proj"](seen.transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, image, patch, channels, layers, count, width, classes):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, width, patch, stride=patch)})
        self.blocks = nn.Sequential(*[VitBlock(width, count) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, image):
        patches = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(image), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class BertBlock(nn.Module):
    """A block of the transformers library's BERT (Devlin et al., 2019)."""

    def __init__(self, width, count, wide):
        super().__init__()
        linear = lambda: nn.Linear(width, width)
        norm = lambda: nn.LayerNorm(width, eps=1e-12)
        self.attention = nn.ModuleDict({
            "self": nn.ModuleDict({"query": linear(), "key": linear(), "value": linear()}),
            "output": nn.ModuleDict({"dense": linear(), "LayerNorm": norm()}),
        })
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, wide)})
        self.output = nn.ModuleDict({"dense": nn.Linear(wide, width), "LayerNorm": norm()})
        self.count = count

    def forward(self, x, padding):
        q, k, v = (heads(self.attention["self"][name](x), self.count) for name in ["query", "key", "value"])
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=padding[:, None, None, :].logical_not())
        after = self.attention["output"]
        x = after["LayerNorm"](x + after["dense"](seen.transpose(1, 2).flatten(2)))
        narrow = self.output["dense"](F.gelu(self.intermediate["dense"](x)))
        return self.output["LayerNorm"](x + narrow)


class Bert(nn.Module):
    def __init__(self, vocabulary, context, layers, count, width, wide):
        super().__init__()
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(vocabulary, width),
            "position_embeddings": nn.Embedding(context, width),
            "token_type_embeddings": nn.Embedding(2, width),
            "LayerNorm": nn.LayerNorm(width, eps=1e-12),
        })
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList([BertBlock(width, count, wide) for _ in range(layers)])})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, tokens, segments, padding):
        e = self.embeddings
        positions = e["position_embeddings"](torch.arange(tokens.shape[1]))
        x = e["LayerNorm"](e["word_embeddings"](tokens) + positions + e["token_type_embeddings"](segments))
        for block in self.encoder["layer"]:
            x = block(x, padding > 0)
        return x, self.pooler["dense"](x[:, 0]).tanh()


class DoubleConv(nn.Module):
    """Of the usual PyTorch version of U-Net (Ronneberger et al., 2015)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        conv = lambda a: [nn.Conv2d(a, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.double_conv = nn.Sequential(*conv(inputs), *conv(outputs))

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv = DoubleConv(inputs, outputs)

    def forward(self, x, skipped):
        return self.conv(torch.cat([skipped, self.up(x)], 1))


class UNet(nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.inc = DoubleConv(channels, width)
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(width, classes, 1)})
        for level in range(4):
            wide, narrow = width << 4 - level, width << 3 - level
            self.add_module(f"down{level + 1}", Down(width << level, width << level + 1))
            self.add_module(f"up{level + 1}", Up(wide, narrow))

    def forward(self, x):
        seen = [self.inc(x)]
        for level in range(4):
            seen.append(getattr(self, f"down{level + 1}")(seen[-1]))
        x = seen.pop()
        for level in range(4):
            x = getattr(self, f"up{level + 1}")(x, seen.pop())
        return self.outc["conv"](x)


def table():
    padding = given([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]])
    return collect([
        ("Gpt", Gpt(7, 6, 6, 2, 2), labels(7, 2, 5)),
        ("Vit", Vit(6, 3, 2, 2, 2, 6, 4), x(2, 2, 6, 6)),
        ("Bert", Bert(7, 6, 2, 2, 6, 8), labels(7, 2, 5), labels(2, 2, 5), padding),
        ("UNet", UNet(2, 3, 1), x(1, 2, 16, 16), EVAL),
    ])
