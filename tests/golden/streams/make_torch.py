"""Write torch.npz: `python make_torch.py`, with torch 2.13.0."""

from itertools import product

import torch
from torch.nn import functional
from writing import RATES, Golden

SHAPES = ((), (1,), (313,), (7, 9), (3, 4, 5))
LAYOUTS = (  # shape and strides: transposed, channels last, sliced, expanded
    ((5, 6, 8), (1, 40, 5)),
    ((2, 6, 4, 5), (120, 1, 30, 6)),
    ((10, 8, 6), (1, 120, 20)),
    ((20, 6), (30, 0)),
)
CHANNELS = (("dropout1d", (6, 5, 2)), ("dropout1d", (9, 3)), ("dropout2d", (6, 5, 2, 2)), ("dropout3d", (30, 1, 2, 2)))
CALLS = 2  # of each, one after the other on one generator

golden = Golden(f"torch {torch.__version__}")


def chain(operation, seed, p, x, **options):
    torch.manual_seed(seed)
    golden.chain(seed=seed)
    for _ in range(CALLS):
        golden.mask((getattr(functional, operation)(x, p) != 0).numpy(), p, operation=operation, **options)


for seed, p in product((0, -3, 2**32 + 7), RATES):
    for shape in SHAPES:
        chain("dropout", seed, p, torch.ones(shape))
    for shape, strides in LAYOUTS:
        chain("dropout", seed, p, torch.ones(1000).as_strided(shape, strides), strides=strides)
    for operation, shape in CHANNELS:
        chain(operation, seed, p, torch.ones(shape))
golden.save("torch")
