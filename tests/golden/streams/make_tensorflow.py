"""Write tensorflow.npz: `python make_tensorflow.py`, with tensorflow-cpu 2.21.0 and ml_dtypes."""

import tensorflow as tf
from writing import RATES, Golden, values

DTYPES = "float32", "float64", "float16", "bfloat16"
PAIRS = (0, 0), (1, 2), (-1, -5), (2**31, 7), (2**33 + 1, -(2**40) - 3), (2**63 - 1, -(2**63))
stateless = tf.nn.experimental.stateless_dropout


def kept(y):
    return (y != 0).numpy()


def compiled(x, p, pair):
    return tf.function(lambda x: stateless(x, p, seed=pair), jit_compile=True)(x)


golden = Golden("tensorflow-cpu 2.21.0")
for xla, dropout in ((False, stateless), (True, compiled)):
    for number, pair in enumerate(PAIRS):
        for dtype in DTYPES if number < 2 or not xla else DTYPES[:1]:
            golden.chain(seed=pair, xla=xla)
            for p in RATES:
                golden.mask(kept(dropout(tf.ones((31, 17), dtype), p, tf.constant(pair, tf.int64))), p, dtype=dtype)
    for dtype in DTYPES[:3]:
        golden.chain(seed=(3, 4), xla=xla)
        for p in (0.1, 0.3, 0.9):
            golden.value(values(dtype), dropout(values(dtype), p, (3, 4)).numpy(), p)
    for dtype in DTYPES:
        golden.chain(seed=(5, -6), xla=xla)
        for p in RATES:
            golden.mask(kept(dropout(tf.ones((401, 499), dtype), p, tf.constant((5, -6), tf.int64))), p, dtype=dtype)

# One operation seed and many, dtypes mixed on it; no operation seed; (0, 0), which TensorFlow replaces.
for seed, op_seed in ((5, 9), (-3, 2**34), (2**33 + 1, -1), (0, 0), (7, None), (-1, None), (2**31 - 1, 2**31 - 1)):
    tf.random.set_seed(seed)
    golden.chain(seed=seed, op_seed=op_seed)
    for shape in ((31, 17), (5,), (2, 3, 4, 1), (), (0, 3), (101, 103)):
        for dtype in DTYPES:
            for p in (0.0, *RATES):
                golden.mask(kept(tf.nn.dropout(tf.ones(shape, dtype), p, seed=op_seed)), p, dtype=dtype)
tf.random.set_seed(1)
golden.chain(seed=1, op_seed=2)
for p in RATES:
    golden.mask(kept(tf.nn.dropout(tf.ones((1000, 1000)), p, seed=2)), p)
golden.chain(seed=(8, 9))
noise = kept(stateless(tf.ones((6, 4, 4, 9)), 0.4, seed=(8, 9), noise_shape=(6, 1, 1, 9)))[:, :1, :1]
golden.mask(noise, 0.4)
golden.save("tensorflow")
