"""Write keras_<backend>.npz, one a run: `KERAS_BACKEND=jax python make_keras.py`, with Keras 3.15.1.

Made with numpy 2.4.6, jax 0.10.2, torch 2.13.0 and tensorflow-cpu 2.21.0. The masks are those of layers.
"""

import keras
import numpy as np
from writing import RATES, Golden, values

BACKEND = keras.backend.backend()
SEEDS = {"numpy": (2**31, 2**32 - 1), "jax": (2**31, 2**32 - 1), "torch": (-1, -(2**31)), "tensorflow": (-1, 2**40)}
DTYPES = [name for name in ("float32", "float16", "float64") if (BACKEND, name) != ("jax", "float64")]


def called(layer, x):
    return keras.ops.convert_to_numpy(layer(x, training=True))


golden = Golden(f"keras {keras.__version__}, backend {BACKEND}, numpy {np.__version__}")
for seed in (0, 7, 2**31 - 1, *SEEDS[BACKEND]):
    for p in (*RATES, 1.0):
        layer = keras.layers.Dropout(p, seed=seed)
        golden.chain(seed=seed, backend=BACKEND)
        for shape in ((31, 17), (5,), (2, 3, 4, 1), (0, 3), (3, 1)):
            golden.mask(called(layer, np.ones(shape, np.float32)) != 0, p)
for dtype in DTYPES:
    for p in (0.1, 0.3, 0.9, 1.0):
        layer = keras.layers.Dropout(p, seed=3, dtype=dtype)
        golden.chain(seed=3, backend=BACKEND)
        golden.value(values(dtype), called(layer, values(dtype)), p)
        golden.value(values(dtype), called(layer, values(dtype)), p)
for dims in (1, 2, 3):
    layer = getattr(keras.layers, f"SpatialDropout{dims}D")(0.4, seed=8)
    golden.chain(seed=8, backend=BACKEND)
    noise = called(layer, np.ones((6, *(2,) * dims, 9), np.float32))[(slice(None), *(slice(1),) * dims)]
    golden.mask(noise != 0, 0.4)
layer = keras.layers.Dropout(0.4, noise_shape=(None, 1, 9), seed=8)
golden.chain(seed=8, backend=BACKEND)
golden.mask(called(layer, np.ones((6, 4, 9), np.float32))[:, :1] != 0, 0.4)
keras.utils.set_random_seed(12)
keras.layers.Dense(3).build((None, 4))
layer = keras.layers.Dropout(0.4, noise_shape=(6, 9))
golden.chain(default_seed=12, made_before=1, backend=BACKEND)
golden.mask(called(layer, np.ones((6, 9), np.float32)) != 0, 0.4)
for p in RATES:
    layer = keras.layers.Dropout(p, seed=1)
    golden.chain(seed=1, backend=BACKEND)
    for shape in ((401, 499), (7, 1, 14_285)):
        golden.mask(called(layer, np.ones(shape, np.float32)) != 0, p)
golden.save(f"keras_{BACKEND}")
