"""Measures PyTorch, as `cargo xtask bench peers` calls it: `pytorch.py steps MODEL SECONDS | kernel KERNEL SECONDS`.

Sizes, parameter counts and the report are those of the Rust package `wgrad-measure`; batches are random.
On a machine with CUDA it runs there, else on the CPU. PYTORCH_COMPILE=1 compiles the models.
"""

import json
import os
import resource
import statistics
import sys
import time

START = time.perf_counter()

import torch  # noqa: E402  (importing it is part of the first step)
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride != 1 or inputs != outputs:
            project = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(outputs))

    def forward(self, x):
        hidden = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(hidden + self.downsample(x))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        batch, sequence, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, sequence, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, sequence, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary=65, sequence=128, width=128, layers=4, heads=4):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(sequence, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.blocks(self.tokens(tokens) + self.positions)
        return self.head(self.norm(x)).flatten(0, 1)


def perceptron(*widths):
    pairs = list(zip(widths, widths[1:]))
    layers = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(3136, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        Residual(32, 32, 1), Residual(32, 64, 2), Residual(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )


def noise(*shape):
    return 2 * torch.rand(shape) - 1


def classes(count, *shape):
    return torch.randint(0, count, shape)


# Name: model, optimizer, a batch.
MODELS = {
    "tiny": (lambda: perceptron(2, 16, 1), lambda p: torch.optim.SGD(p, 0.01),
             lambda: (noise(8, 2), noise(8, 1))),
    "mlp": (lambda: perceptron(784, 512, 512, 10), lambda p: torch.optim.Adam(p, 1e-3),
            lambda: (noise(128, 784), classes(10, 128))),
    "cnn": (cnn, lambda p: torch.optim.Adam(p, 1e-3),
            lambda: (noise(64, 1, 28, 28), classes(10, 64))),
    "resnet": (resnet, lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
               lambda: (noise(32, 3, 32, 32), classes(10, 32))),
    "gpt": (Transformer, lambda p: torch.optim.AdamW(p, 3e-4, weight_decay=0.01),
            lambda: (classes(65, 16, 128), classes(65, 16, 128))),
}
PARAMETERS = {"tiny": 65, "mlp": 669_706, "cnn": 421_642, "resnet": 309_994, "gpt": 826_368}


def repeat(step, seconds, every):
    """Groups of steps with a wait after each, and the milliseconds of a step."""
    samples, start = [], time.perf_counter()
    while not samples or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        for number in range(1, every + 1):
            step(number == every)
        samples.append((time.perf_counter() - begin) * 1e3 / every)
    return {"median_ms": statistics.median(samples), "min_ms": min(samples)}


def kernel(name, seconds):
    if name == "conv/forward":
        x, weight = noise(32, 64, 32, 32).to(DEVICE), noise(64, 64, 3, 3).to(DEVICE)
    else:
        size = int(name.removeprefix("matmul/"))
        x, weight = noise(size, size).to(DEVICE), noise(size, size).to(DEVICE)

    def run(_):
        x @ weight if x.dim() == 2 else F.conv2d(x, weight, padding=1)
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        for _ in range(4):
            run(True)
        print(json.dumps({"kernel": name, "times": repeat(run, seconds, 1)}))


def steps(name, seconds):
    build, optimize, draw = MODELS[name]
    model = build().to(DEVICE)
    # Parameters and running statistics, without the counters of batch norms.
    numbers = sum(t.numel() for t in model.state_dict().values() if t.is_floating_point())
    if numbers != PARAMETERS[name]:
        sys.exit(f"{name} has {numbers} parameters instead of {PARAMETERS[name]}")
    optimizer = optimize(model.parameters())
    compiled = os.environ.get("PYTORCH_COMPILE") == "1"
    forward = torch.compile(model) if compiled else model
    batches = [draw() for _ in range(4)]
    count = 0

    def step(wait):
        nonlocal count
        x, y = (tensor.to(DEVICE) for tensor in batches[count % 4])
        count += 1
        optimizer.zero_grad(set_to_none=True)
        output = forward(x)
        loss = F.mse_loss(output, y) if name == "tiny" else F.cross_entropy(output, y.flatten())
        loss.backward()
        optimizer.step()
        if wait:
            loss.item()

    step(True)
    first_ms = (time.perf_counter() - START) * 1e3
    every_step = every_20 = None
    if seconds > 0:
        for _ in range(3):
            step(True)
        every_step, every_20 = repeat(step, seconds, 1), repeat(step, seconds, 20)
    place = torch.cuda.get_device_name() if DEVICE == "cuda" else "the CPU"
    how = "torch.compile" if compiled else "eager"
    print(json.dumps({
        "framework": f"PyTorch {torch.__version__} ({how}) on {place}",
        "model": name,
        "samples": batches[0][0].shape[0],
        "steps": {"first_ms": first_ms, "every_step": every_step, "every_20": every_20},
        # Linux counts in KiB.
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device": None,
    }))


def main():
    match sys.argv[1:]:
        case ["steps", name, seconds]:
            steps(name, float(seconds))
        case ["kernel", name, seconds]:
            kernel(name, float(seconds))
        case _:
            sys.exit("usage: pytorch.py steps MODEL SECONDS | kernel KERNEL SECONDS")


if __name__ == "__main__":
    main()
