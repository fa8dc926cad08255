"""Write mlx.npz: `python make_mlx.py`, with mlx-cpu 0.32.4."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from writing import RATES, Golden, values

mx.set_default_device(mx.cpu)
DTYPES = {"float32": mx.float32, "float64": mx.float64, "float16": mx.float16, "bfloat16": mx.bfloat16}


def kept(layer, x):
    return np.array((layer(x) > 0).astype(mx.uint8)) != 0  # 0 * inf is NaN where the scale overflows


golden = Golden("mlx-cpu 0.32.4")
for seed in (0, 7, 2**32 - 1, 2**33 + 5, 2**64 - 1):
    for dtype, kind in DTYPES.items():
        mx.random.seed(seed)
        golden.chain(seed=seed)
        for shape in ((31, 17), (5,), (2, 3, 4, 1), (), (0, 3)):
            for p in (0.0, *RATES):
                golden.mask(kept(nn.Dropout(p), mx.ones(shape, kind)), p, dtype=dtype)
for dtype in ("float32", "float64", "float16"):
    mx.random.seed(3)
    golden.chain(seed=3)
    for p in (0.1, 0.3, 0.9):
        golden.value(values(dtype), np.array(nn.Dropout(p)(mx.array(values(dtype), DTYPES[dtype]))), p)
for operation, layer, space in (("dropout2d", nn.Dropout2d, (2, 3)), ("dropout3d", nn.Dropout3d, (2, 1, 2))):
    mx.random.seed(4)
    golden.chain(seed=4)
    for p in (0.2, 0.5):
        noise = kept(layer(p), mx.ones((6, *space, 9)))[(slice(None), *(0,) * len(space))]
        golden.mask(noise.reshape(6, 9, *(1,) * len(space)), p, operation=operation)
for seed in (1, 11):
    mx.random.seed(seed)
    golden.chain(seed=seed)
    for shape in ((1000, 1000), (7, 14_285), (1, 99_999)):
        for p in RATES:
            golden.mask(kept(nn.Dropout(p), mx.ones(shape)), p)
golden.save("mlx")
