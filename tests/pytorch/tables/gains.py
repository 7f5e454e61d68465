"""Initializers that are not random: the gain table, and the weights that pass their input on."""

import torch
from torch import nn


def table():
    gains = {
        "linear": nn.init.calculate_gain("linear"),
        "sigmoid": nn.init.calculate_gain("sigmoid"),
        "tanh": nn.init.calculate_gain("tanh"),
        "relu": nn.init.calculate_gain("relu"),
        "leaky_relu": nn.init.calculate_gain("leaky_relu"),
        "slope": nn.init.calculate_gain("leaky_relu", 0.25),
        "selu": nn.init.calculate_gain("selu"),
    }
    tensors = {f"gain/{name}": torch.tensor(gain) for name, gain in gains.items()}
    dirac = nn.init.dirac_(torch.empty(4, 3, 3, 2))
    grouped = nn.init.dirac_(torch.empty(4, 2, 3), groups=2)
    tensors |= {"eye": nn.init.eye_(torch.empty(4, 3)), "dirac": dirac, "dirac/groups": grouped}
    return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}
