"""Optimizers: 100 steps of each on one small problem that is neither quadratic nor convex.

The loss is the sum of (tanh(x·w) + b − t)² over six records, with w [4, 3] and b [3].
"""

import torch
from torch import optim
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import swa_utils

from .case import noise, stored

STEPS = 100
# The steps after which the parameters are stored.
KEPT = [1, 2, 3, 5, 10, 20, 50, 100]


class Problem(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(noise("problem w", (4, 3)))
        self.b = torch.nn.Parameter(noise("problem b", (3,)))

    x = noise("problem x", (6, 4), -2.0, 2.0)
    t = noise("problem t", (6, 3), -2.0, 2.0)

    def forward(self):
        return ((torch.tanh(self.x @ self.w) + self.b - self.t) ** 2).sum()


class Lion(optim.Optimizer):
    """Chen et al., 2023, algorithm 2."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                direction = (beta1 * m + (1 - beta1) * p.grad).sign()
                p.sub_(lr * (direction + decay * p))
                m.mul_(beta2).add_((1 - beta2) * p.grad)


class Lamb(optim.Optimizer):
    """You et al., 2020, algorithm 2, with φ the identity; a norm of 0 leaves the rate alone."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["t"] += 1
                state["m"].mul_(beta1).add_((1 - beta1) * p.grad)
                state["v"].mul_(beta2).add_((1 - beta2) * p.grad**2)
                m = state["m"] / (1 - beta1 ** state["t"])
                v = state["v"] / (1 - beta2 ** state["t"])
                r = m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p
                ratio = p.norm() / r.norm() if p.norm() > 0 and r.norm() > 0 else 1.0
                p.sub_(group["lr"] * ratio * r)


class Muon(optim.Muon):
    """PyTorch's, which orthogonalises in bf16: here in f64 like everything else."""

    def step(self):
        bf16, torch.bfloat16 = torch.bfloat16, torch.float64
        super().step()
        torch.bfloat16 = bf16


def optimizers():
    """Name to a function of the parameters. Settings are those that PyTorch has by default, or fractions of powers
    of two, which f32 holds exactly."""
    table = {}

    def add(name, Class, **settings):
        table[name] = lambda params: Class(params, **settings)

    add("SGD", optim.SGD, lr=0.02)
    add("SGD/momentum", optim.SGD, lr=0.01, momentum=0.9)
    add("SGD/dampening", optim.SGD, lr=1 / 256, momentum=0.875, dampening=0.25, weight_decay=0.125)
    add("SGD/nesterov", optim.SGD, lr=1 / 128, momentum=0.75, nesterov=True, weight_decay=1 / 16)
    add("SGD/maximize", optim.SGD, lr=1e-4, momentum=0.5, maximize=True)
    add("Adam", optim.Adam, lr=0.05)
    add("Adam/all", optim.Adam, lr=1 / 16, betas=(0.875, 0.9375), eps=1 / 1024, weight_decay=0.125, amsgrad=True)
    add("AdamW", optim.AdamW, lr=0.05)
    add("AdamW/all", optim.AdamW, lr=1 / 16, betas=(0.875, 0.9375), eps=1 / 1024, weight_decay=0.25, amsgrad=True)
    add("RMSprop", optim.RMSprop, lr=0.02)
    add("RMSprop/centered", optim.RMSprop, lr=1 / 256, alpha=0.875, eps=1 / 64, weight_decay=0.125, centered=True)
    add("RMSprop/momentum", optim.RMSprop, lr=1 / 256, alpha=0.875, momentum=0.5)
    add("Adagrad", optim.Adagrad, lr=0.2)
    add("Adagrad/all", optim.Adagrad, lr=0.25, lr_decay=0.125, weight_decay=0.125, initial_accumulator_value=0.5, eps=1 / 1024)
    add("Adadelta", optim.Adadelta)
    add("Adadelta/all", optim.Adadelta, lr=1 / 16, rho=0.75, eps=1 / 1024, weight_decay=0.125)
    add("Adamax", optim.Adamax, lr=0.05)
    add("Adamax/all", optim.Adamax, lr=1 / 32, betas=(0.875, 0.9375), eps=1 / 1024, weight_decay=0.125)
    add("NAdam", optim.NAdam, lr=0.05)
    add("NAdam/all", optim.NAdam, lr=1 / 64, betas=(0.875, 0.9375), eps=1 / 1024, weight_decay=0.125, momentum_decay=1 / 128)
    add("NAdam/decoupled", optim.NAdam, lr=1 / 16, weight_decay=0.125, decoupled_weight_decay=True)
    add("RAdam", optim.RAdam, lr=0.05)
    add("RAdam/all", optim.RAdam, lr=1 / 16, betas=(0.875, 0.9375), eps=1 / 1024, weight_decay=0.125)
    add("RAdam/decoupled", optim.RAdam, lr=1 / 16, weight_decay=0.125, decoupled_weight_decay=True)
    # PyTorch's first eps is by default that of the dtype, and wgrad's that of f32.
    add("Adafactor", optim.Adafactor, lr=0.05, eps=(torch.finfo(torch.float32).eps, 1e-3))
    add("Adafactor/all", optim.Adafactor, lr=1 / 64, beta2_decay=-0.5, d=1.5, weight_decay=0.125, eps=(2.0**-20, 1 / 64))
    add("Muon", Muon, lr=0.02)
    add("Muon/all", Muon, lr=1 / 64, weight_decay=0.25, momentum=0.75, nesterov=False, adjust_lr_fn="match_rms_adamw")
    add("Lion", Lion, lr=0.01)
    add("Lion/all", Lion, lr=1 / 256, betas=(0.875, 0.9375), weight_decay=0.125)
    add("Lamb", Lamb, lr=0.05)
    add("Lamb/all", Lamb, lr=1 / 64, betas=(0.875, 0.9375), eps=1 / 64, weight_decay=0.125)
    return table


def groups(params):
    """w and b with settings of their own."""
    w, b = params
    slow = {"params": [b], "lr": 0.005, "weight_decay": 0.0}
    return optim.AdamW([{"params": [w]}, slow], lr=0.05, weight_decay=0.1)


def trajectory(name, make, before_step=None, average=None):
    """The parameters after the kept steps; with an average, its values instead."""
    problem = Problem()
    # Muon takes matrices alone; the vector stays where it is.
    matrices_only = name.startswith("Muon")
    params = [problem.w] if matrices_only else [problem.w, problem.b]
    optimizer = make(params)
    averaged = average and average(problem)
    kept = {key: [] for key in ["w", "b"]}
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        problem().backward()
        if before_step:
            before_step(params)
        optimizer.step()
        if averaged:
            averaged.update_parameters(problem)
        if step in KEPT:
            source = averaged.module if averaged else problem
            for key, values in kept.items():
                values.append(getattr(source, key).detach().clone())
    return {f"{name}.{key}": stored(torch.stack(values)) for key, values in kept.items()}


def table():
    tensors = {f"given.{key}": stored(getattr(Problem(), key), exact=True) for key in "wbxt"}
    for name, make in optimizers().items():
        tensors.update(trajectory(name, make))
    sgd = optimizers()["SGD/momentum"]
    tensors.update(trajectory("groups", groups))
    tensors.update(trajectory("clip_grad_norm", sgd, lambda params: clip_grad_norm_(params, 1.0)))
    tensors.update(trajectory("clip_grad_value", sgd, lambda params: clip_grad_value_(params, 0.5)))
    ema = swa_utils.get_ema_multi_avg_fn(0.9)
    averaging = lambda problem: swa_utils.AveragedModel(problem, multi_avg_fn=ema)
    tensors.update(trajectory("exponential_average", sgd, average=averaging))
    tensors.update(trajectory("stochastic_average", sgd, average=swa_utils.AveragedModel))
    return tensors
