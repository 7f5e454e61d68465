"""One case: a module (or function), its inputs, and everything PyTorch computes from them.

A case `Class/variant` becomes the tensors `Class/variant.in.0` (inputs), `var.NAME` (the state dict before),
`out.0` (outputs), `din.0` and `dvar.NAME` (gradients of Σ upstream·out), `up.0` (that upstream gradient) and
`after.NAME` (buffers afterwards).
"""

import math
import zlib

import torch


def noise(name, shape, low=-1.0, high=1.0):
    """1024 equal steps between low and high, without the two ends, rounded to f16; each at most once while
    there are enough of them. The same ones for the same name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    count = math.prod(shape)
    if count <= 1024:
        k = torch.randperm(1024, generator=generator)[:count]
    else:
        k = torch.randint(1024, (count,), generator=generator)
    unit = (k.to(torch.float64) + 0.5) / 1024
    return (low + (high - low) * unit).to(torch.float16).to(torch.float64).reshape(shape)


class Input:
    """How an input is made, and whether its gradient is wanted."""

    def __init__(self, make, differentiable):
        self.make, self.differentiable = make, differentiable


def x(*shape, low=-1.0, high=1.0):
    """Noise, differentiated."""
    return Input(lambda name: noise(name, shape, low, high), True)


def target(*shape, low=-1.0, high=1.0):
    """Noise, not differentiated."""
    return Input(lambda name: noise(name, shape, low, high), False)


def given(values):
    """These values, not differentiated."""
    return Input(lambda name: torch.tensor(values), False)


def labels(classes, *shape):
    """Whole numbers below a bound."""
    return Input(lambda name: (noise(name, shape, 0.0, 1.0) * classes).floor().to(torch.int64), False)


def set_state(case, module):
    """Gives every parameter and buffer values that are neither 0 nor 1."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not tensor.is_floating_point():
            continue
        key = f"{case}.var.{name}"
        if name.endswith("running_var"):
            values = noise(key, tensor.shape, 0.5, 1.5)
        else:
            fan_in = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 1
            bound = 2.0 ** -math.ceil(math.log2(max(fan_in, 1)) / 2)
            values = noise(key, tensor.shape, -bound, bound)
        tensor.data.copy_(values)


def stored(tensor, exact=False):
    """As it lies in the file: exact values as f16, computed ones as f32, whole numbers as i32."""
    if not tensor.is_floating_point():
        return tensor.to(torch.int32)
    if exact:
        assert torch.equal(tensor.to(torch.float16).to(tensor.dtype), tensor)
        return tensor.detach().to(torch.float16)
    return tensor.detach().to(torch.float32)


def run(case, function, *inputs, train=True):
    """The tensors of one case, by name."""
    module = function if isinstance(function, torch.nn.Module) else None
    tensors, values = {}, []
    for i, spec in enumerate(inputs):
        value = spec.make(f"{case}.in.{i}")
        tensors[f"in.{i}"] = stored(value, exact=True)
        values.append(value.requires_grad_() if spec.differentiable else value)
    if module is not None:
        module.train(train)
        set_state(case, module)
        for name, value in module.state_dict().items():
            tensors[f"var.{name}"] = stored(value.clone(), exact=True)
    outputs = function(*values)
    outputs = flat(outputs)
    loss = 0.0
    for i, output in enumerate(outputs):
        tensors[f"out.{i}"] = stored(output)
        if output.requires_grad:
            upstream = noise(f"{case}.up.{i}", output.shape)
            tensors[f"up.{i}"] = stored(upstream, exact=True)
            loss = loss + (upstream * output).sum()
    if torch.is_tensor(loss):
        loss.backward()
    for i, value in enumerate(values):
        if value.requires_grad:
            tensors[f"din.{i}"] = stored(value.grad)
    if module is not None:
        for name, value in module.named_parameters():
            tensors[f"dvar.{name}"] = stored(value.grad)
        for name, value in module.named_buffers():
            tensors[f"after.{name}"] = stored(value)
    return {f"{case}.{key}": value for key, value in tensors.items()}


def flat(outputs):
    """Outputs as a list: a tensor, or tuples of tensors within each other."""
    if torch.is_tensor(outputs):
        return [outputs]
    return [tensor for part in outputs if part is not None for tensor in flat(part)]


def collect(cases):
    """The tensors of a list of cases (name, function, inputs…) or (name, function, inputs…, options)."""
    tensors = {}
    for name, function, *inputs in cases:
        options = inputs.pop() if inputs and isinstance(inputs[-1], dict) else {}
        results = run(name, function, *inputs, **options)
        assert not tensors.keys() & results.keys(), f"{name} is there twice"
        tensors.update(results)
    return tensors
