"""Writes goldens/*.safetensors: what PyTorch computes, for the tests of this folder to compare with.

    python tests/pytorch/make_goldens.py [table ...]

needs torch, torchvision and safetensors. Every value comes from PyTorch in f64 and is stored rounded to f32, so a golden
value is right to half a unit in the last place of f32. Inputs and parameters are numbers that f16
holds exactly: they are stored as such, and both sides start from the same ones.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

sys.dont_write_bytecode = True
from tables import curves, functions, gains, layers, losses, models, optimizers, published, schedules

TABLES = {
    "layers": layers.table,
    "functions": functions.table,
    "losses": losses.table,
    "models": models.table,
    "published": published.table,
    "optimizers": optimizers.table,
    "schedules": schedules.table,
    "gains": gains.table,
    "curves": curves.table,
}


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    folder = pathlib.Path(__file__).parent / "goldens"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or TABLES:
        tensors = {key: value.contiguous() for key, value in sorted(TABLES[name]().items())}
        path = folder / f"{name}.safetensors"
        save_file(tensors, path, metadata={"torch": torch.__version__})
        print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
