"""Learning-rate schedules: the rate of each of 100 steps, from a base rate of 0.1."""

import math

import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as S

STEPS = 100
RATE = 0.1


def schedules():
    """Name to a function of the optimizer."""

    def warmup_cosine(optimizer):
        parts = [S.LinearLR(optimizer, 0.1, total_iters=10), S.CosineAnnealingLR(optimizer, 90)]
        return S.SequentialLR(optimizer, parts, milestones=[10])

    def three_parts(optimizer):
        parts = [S.ConstantLR(optimizer, 0.5, 15), S.ExponentialLR(optimizer, 0.95), S.StepLR(optimizer, 10)]
        return S.SequentialLR(optimizer, parts, milestones=[20, 60])

    def chained(optimizer):
        return S.ChainedScheduler([S.LinearLR(optimizer, 0.25, total_iters=20), S.ExponentialLR(optimizer, 0.98)])

    def inverse_sqrt(optimizer):
        # Vaswani et al., 2017, scaled so that the peak, after 16 steps of warm-up, is the base rate.
        return S.LambdaLR(optimizer, lambda t: min((t + 1) / 16, math.sqrt(16 / (t + 1))))

    return {
        "LambdaLR": inverse_sqrt,
        "ConstantLR": lambda o: S.ConstantLR(o, 0.25, 30),
        "LinearLR": lambda o: S.LinearLR(o, total_iters=40),
        "LinearLR/down": lambda o: S.LinearLR(o, 1.0, 0.125, 70),
        "PolynomialLR": lambda o: S.PolynomialLR(o, 80),
        "PolynomialLR/power": lambda o: S.PolynomialLR(o, 80, 2.5),
        "ExponentialLR": lambda o: S.ExponentialLR(o, 0.95),
        "StepLR": lambda o: S.StepLR(o, 30, 0.3),
        "MultiStepLR": lambda o: S.MultiStepLR(o, [20, 45, 46], 0.3),
        "CosineAnnealingLR": lambda o: S.CosineAnnealingLR(o, 99),
        "CosineAnnealingLR/minimum": lambda o: S.CosineAnnealingLR(o, 40, 0.01),
        "CosineAnnealingWarmRestarts": lambda o: S.CosineAnnealingWarmRestarts(o, 30),
        "CosineAnnealingWarmRestarts/longer": lambda o: S.CosineAnnealingWarmRestarts(o, 7, 2, 0.01),
        "OneCycleLR": lambda o: S.OneCycleLR(o, RATE, STEPS),
        "OneCycleLR/linear": lambda o: S.OneCycleLR(o, RATE, STEPS, pct_start=0.4, anneal_strategy="linear"),
        "OneCycleLR/three-phase": lambda o: S.OneCycleLR(o, RATE, STEPS, three_phase=True, div_factor=10, final_div_factor=100),
        "CyclicLR": lambda o: S.CyclicLR(o, 0.01, RATE, 15, 10),
        "CyclicLR/triangular2": lambda o: S.CyclicLR(o, 0.01, RATE, 12, mode="triangular2"),
        "CyclicLR/exponential": lambda o: S.CyclicLR(o, 0.01, RATE, 12, mode="exp_range", gamma=0.98),
        "SequentialLR": warmup_cosine,
        "SequentialLR/three": three_parts,
        "ChainedScheduler": chained,
    }


def metric(step):
    """A loss that falls, stalls, falls again and stalls for good."""
    return max(1.0 - step / 20, 0.5) if step < 50 else max(0.5 - (step - 50) / 40, 0.25)


def plateau(**settings):
    """ReduceLROnPlateau sees the metric after each step."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = S.ReduceLROnPlateau(optimizer, **settings)
    rates = []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step(metric(step))
    return rates


def rates(make):
    """The rate that each step is taken with."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = make(optimizer)
    taken = []
    for _ in range(STEPS):
        taken.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(taken) < STEPS else None
    return taken


def table():
    tensors = {name: torch.tensor(rates(make), dtype=torch.float32) for name, make in schedules().items()}
    tensors["ReduceLROnPlateau"] = torch.tensor(plateau(factor=0.5, patience=4), dtype=torch.float32)
    cooled = plateau(factor=0.25, patience=3, threshold=0.05, cooldown=5, min_lr=0.002)
    tensors["ReduceLROnPlateau/cooldown"] = torch.tensor(cooled, dtype=torch.float32)
    tensors["given.metric"] = torch.tensor([metric(step) for step in range(STEPS)], dtype=torch.float32)
    return tensors
