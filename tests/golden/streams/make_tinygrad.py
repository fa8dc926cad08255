"""Write tinygrad.npz: `DEV=CPU python make_tinygrad.py`, with tinygrad 0.14.0 and clang."""

import sys

import numpy as np
from tinygrad import Device, Tensor
from tinygrad.helpers import Context
from writing import RATES, Golden, values


def dropout(x, p):
    with Context(TRAINING=1):
        return Tensor(x).dropout(p).numpy()


golden = Golden(f"tinygrad 0.14.0, device {Device.DEFAULT}, Python {sys.version.split()[0]}")
for seed in (0, 7, 2**31, 2**32 - 1, -1, 2**33 + 5):
    Tensor.manual_seed(seed)
    golden.chain(seed=seed)
    for shape in ((31, 17), (5,), (2, 3, 4, 1), (), (0, 3)):
        for p in (0.0, 1.0, *RATES):
            golden.mask(dropout(np.ones(shape, np.float32), p) != 0, p)
for dtype in ("float32", "float64", "float16"):
    Tensor.manual_seed(3)
    golden.chain(seed=3)
    for p in (0.1, 0.3, 0.9):
        golden.value(values(dtype), dropout(values(dtype), p), p)
for seed, shapes in ((1, [(1000, 1000), (7, 14_285), (200, 500)]), (11, [(300, 1000), (400_003,)])):
    Tensor.manual_seed(seed)
    golden.chain(seed=seed)
    for shape in shapes:
        golden.mask(dropout(np.ones(shape, np.float32), 0.3) != 0, 0.3)
golden.save("tinygrad")
