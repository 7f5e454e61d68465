"""Whole networks at their full size, as torchvision defines them, with numbers that both sides make for themselves: a
file of all parameters would be too large."""

import math

import numpy
import torch
import torchvision

from .case import stored


def philox(key, blocks):
    """Words of Philox 4x32-10 (Salmon et al., 2011) with counters (block, 0, 0, 0) and the key (key, 0)."""
    x = [numpy.arange(blocks, dtype=numpy.uint64)] + [numpy.zeros(blocks, numpy.uint64)] * 3
    low, keys = numpy.uint64(0xFFFFFFFF), [key, 0]
    for _ in range(10):
        a, b = x[0] * numpy.uint64(0xD2511F53), x[2] * numpy.uint64(0xCD9E8D57)
        k = [numpy.uint64(part) for part in keys]
        x = [(b >> numpy.uint64(32)) ^ x[1] ^ k[0], b & low, (a >> numpy.uint64(32)) ^ x[3] ^ k[1], a & low]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return numpy.stack(x, 1).reshape(-1)


def noise(key, shape, low, high):
    """1024 equal steps between low and high, by the tensor's number."""
    count = math.prod(shape)
    steps = (philox(key, -(-count // 4))[:count] >> numpy.uint64(22)).astype(numpy.float64)
    return (low + (high - low) * torch.from_numpy((steps + 0.5) / 1024)).reshape(shape)


def fill(module):
    """Parameters and statistics under which values neither die out nor grow, numbered by their sorted names."""
    names = sorted(name for name, value in module.state_dict().items() if value.is_floating_point())
    for number, name in enumerate(names):
        tensor = module.state_dict()[name]
        if tensor.dim() > 1:
            # A power of two near He's bound √(6 / fan-in), so that f32 holds every value exactly.
            bound = 2.0 ** -round(math.log2(math.prod(tensor.shape[1:]) / 6) / 2)
            low, high = -bound, bound
        else:
            low, high = (0.5, 1.5) if name.endswith(("running_var", "weight")) else (-0.5, 0.5)
        tensor.copy_(noise(number, tensor.shape, low, high))


def run(build, call, watched, image, dtype=torch.float64):
    """Results, and gradients of Σ upstream·results for some parameters: the first values of each."""
    module = build(num_classes=10)
    with torch.no_grad():
        fill(module)
    module.to(dtype)
    results = call(module, noise(image, (2, 3, SIDE, SIDE), -1.0, 1.0).to(dtype))
    (noise(1000, results.shape, -1.0, 1.0).to(dtype) * results).sum().backward()
    gradients = dict(module.named_parameters())
    return {"out": results} | {f"d.{name}": gradients[name].grad.flatten()[:150] for name in watched}


# The last maps are 2×2 of it, of which two samples have eight values for a batch norm.
SIDE = 33


def from_kinks(build, call, image):
    """How far any value is from where a gradient jumps: f32 must not take another branch than f64."""
    module, nearest = build(num_classes=10), []

    def look(part, inputs, _):
        values = inputs[0].detach()
        if isinstance(part, torch.nn.MaxPool2d):
            # Ties at 0 have no gradient in the end.
            windows = torch.nn.functional.unfold(values.flatten(0, 1)[:, None], 3, stride=2, padding=1)
            first, second = windows.topk(2, 1).values.unbind(1)
            gaps = (first - second)[first > 0]
        else:
            gaps = values.abs() if isinstance(part, torch.nn.ReLU) else torch.minimum(values.abs(), (values - 6).abs())
        nearest.append(gaps.min().item())

    kinks = (torch.nn.ReLU, torch.nn.ReLU6, torch.nn.MaxPool2d)
    for part in module.modules():
        if isinstance(part, kinks):
            part.register_forward_hook(look)
            part.inplace = False
    with torch.no_grad():
        fill(module)
        call(module, noise(image, (2, 3, SIDE, SIDE), -1.0, 1.0))
    return min(nearest)


def with_errors(build, call, watched):
    """For the best of some images. Beside each value, as `f32.…`, how far PyTorch's own f32 is from it at most."""
    image = max(range(1001, 1041), key=lambda image: from_kinks(build, call, image))
    exact = run(build, call, watched, image)
    single = run(build, call, watched, image, torch.float32)
    errors = {f"f32.{name}": (single[name].double() - value).abs().max() for name, value in exact.items()}
    return {name: stored(value) for name, value in (exact | errors).items()} | {"image": torch.tensor(image)}


def table():
    models = torchvision.models
    cases = {
        "ResNet18": (
            models.resnet18,
            lambda model, x: model(x),
            ["conv1.weight", "bn1.bias", "layer2.0.downsample.0.weight", "layer4.1.bn2.weight", "fc.bias"],
        ),
        # What the classifier reads: before it there is a dropout.
        "MobileNetV2": (
            models.mobilenet_v2,
            lambda model, x: model.features(x).mean((2, 3)),
            ["features.0.0.weight", "features.9.conv.1.0.weight", "features.16.conv.2.weight", "features.18.1.bias"],
        ),
    }
    tensors = {}
    for case, arguments in cases.items():
        tensors |= {f"{case}.{name}": value for name, value in with_errors(*arguments).items()}
    return tensors
