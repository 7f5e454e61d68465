"""Loss curves: 100 training steps of two small networks in f32, as anybody would run them."""

import gzip
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

from .case import set_state, stored

STEPS = 100
ROOT = pathlib.Path(__file__).parents[3]


def digits():
    """The digits that wgrad carries: images [1797, 1, 8, 8] in 0..1 and labels."""
    lines = gzip.open(ROOT / "crates/data/assets/digits.csv.gz", "rt").read().split()
    table = torch.tensor([[int(float(value)) for value in line.split(",")] for line in lines])
    return table[:, :-1].to(torch.float32).reshape(-1, 1, 8, 8) / 16, table[:, -1]


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc(x.flatten(1))


def cnn():
    """Step i takes the digits 32·i, 32·i + 1, … in the file's order; an epoch is 57 steps, of which the last is
    filled up from the start."""
    images, classes = digits()
    model = Cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def loss(step):
        at = (32 * (step % 57) + torch.arange(32)) % len(images)
        return F.cross_entropy(model(images[at]), classes[at])

    return model, optimizer, loss


class Block(nn.Module):
    """A layer of GPT-2, pre-norm, with nanoGPT's names."""

    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.heads = heads

    def forward(self, x):
        n, t, width = x.shape
        split = lambda part: part.view(n, t, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = map(split, self.attn["c_attn"](self.ln_1(x)).split(width, dim=2))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](seen.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, characters, length, width, layers, heads):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(characters, width),
            "wpe": nn.Embedding(length, width),
            "h": nn.ModuleList([Block(width, heads) for _ in range(layers)]),
            "ln_f": nn.LayerNorm(width),
        })
        self.lm_head = nn.Linear(width, characters, bias=False)

    def forward(self, text):
        t = self.transformer
        x = t["wte"](text) + t["wpe"](torch.arange(text.shape[1]))
        for block in t["h"]:
            x = block(x)
        return self.lm_head(t["ln_f"](x))


def gpt():
    """Step i takes eight pieces of 16 characters that start at 7·(8·i), 7·(8·i + 1), …"""
    text = (pathlib.Path(__file__).parents[1] / "sonnet.txt").read_text()
    alphabet = sorted(set(text))
    codes = torch.tensor([alphabet.index(character) for character in text])
    model = Gpt(len(alphabet), 16, 16, 2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def loss(step):
        start = 7 * (8 * step + torch.arange(8)) % (len(codes) - 16)
        at = start[:, None] + torch.arange(16)
        return F.cross_entropy(model(codes[at]).transpose(1, 2), codes[at + 1])

    return model, optimizer, loss


def table():
    tensors = {}
    for name, make in [("cnn", cnn), ("gpt", gpt)]:
        torch.set_default_dtype(torch.float32)
        model, optimizer, loss = make()
        set_state(name, model)
        tensors |= {f"{name}.var.{key}": stored(value.clone(), exact=True) for key, value in model.state_dict().items()}
        losses = []
        for step in range(STEPS):
            optimizer.zero_grad()
            value = loss(step)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert sum(losses[-10:]) < 0.75 * 10 * losses[0] and all(map(math.isfinite, losses)), losses
        tensors[f"{name}.losses"] = torch.tensor(losses, dtype=torch.float32)
        torch.set_default_dtype(torch.float64)
    return tensors
