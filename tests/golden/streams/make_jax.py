"""Write jax.npz: `python make_jax.py`, with jax 0.10.2, flax 0.12.8, equinox 0.13.8."""

from itertools import product

import equinox
import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from writing import RATES, Golden, values

MODES = tuple(  # the second flag changes Threefry, and what divides its keys by it
    (impl, partitionable, x64)
    for impl in ("threefry2x32", "threefry4x32", "philox2x32", "philox4x32", "rbg", "unsafe_rbg")
    for partitionable, x64 in product((True, False), (False, True))
    if partitionable or impl in ("threefry2x32", "rbg")
)
SEEDS = (0, -1, 2**32 + 5)


class Repeated(linen.Module):
    """One dropout, called three times."""

    broadcast_dims: tuple[int, ...]

    @linen.compact
    def __call__(self, x):
        layer = linen.Dropout(0.4, broadcast_dims=self.broadcast_dims, deterministic=False)
        return [layer(x) for _ in range(3)]


class Outer(linen.Module):
    """The same, within another module."""

    broadcast_dims: tuple[int, ...]

    @linen.compact
    def __call__(self, x):
        return Repeated(self.broadcast_dims, name="inner")(x)


def at_all_rates(x, key):
    return [linen.Dropout(p, deterministic=False).apply({}, x, rng=key) for p in (*RATES, 1.0)]


def keys_and_masks(golden, seed, impl, partitionable, x64):
    """Of a key: itself, one for the number 7, three out of it; and its masks."""
    key = jax.random.key(seed, impl=impl)
    keys = key, jax.random.fold_in(key, np.uint32(7)), *jax.random.split(key, 3)
    words = [jax.random.key_data(one).tolist() for one in keys]
    golden.chain(library="jax", seed=seed, impl=impl, partitionable=partitionable, x64=x64, words=words)
    for shape, p in product(((101,), (7, 9), (), (0, 3)), RATES):
        golden.mask(jax.random.bernoulli(key, 1.0 - p, shape), p)
    if seed == SEEDS[-1]:
        golden.mask(jax.random.bernoulli(key, 1.0 - 0.3, (499, 1003)), 0.3)


golden = Golden(f"jax {jax.__version__}, flax {flax.__version__}, equinox {equinox.__version__}")
for seed, (impl, partitionable, x64) in product(SEEDS, MODES):
    with jax.enable_x64(x64), jax.threefry_partitionable(partitionable):
        keys_and_masks(golden, seed, impl, partitionable, x64)
x = jnp.ones((12, 13))
for seed, axes in product(SEEDS, ((), (0,), (1,))):
    for (path, module), separator in product((("Dropout_0", Repeated), ("inner/Dropout_0", Outer)), (False, True)):
        golden.chain(library="flax", seed=seed, path=path, broadcast_dims=axes, separator=separator)
        with flax.config.temp_flip_flag("fix_rng_separator", separator):
            for y in module(axes).apply({}, x, rngs={"dropout": jax.random.key(seed)}):
                golden.mask(np.asarray(y) != 0, 0.4)
    rngs = nnx.Rngs(seed)
    layers = [nnx.Dropout(0.4, broadcast_dims=axes, rngs=rngs) for _ in range(2)]
    golden.chain(library="nnx", seed=seed, forks=2, broadcast_dims=axes)
    for layer in layers * 2:
        golden.mask(np.asarray(layer(x)) != 0, 0.4)
for seed in SEEDS:
    golden.chain(library="equinox", seed=seed, keys=3)
    for key in jax.random.split(jax.random.key(seed), 3):
        golden.mask(np.asarray(equinox.nn.Dropout(0.4)(x, key=key)) != 0, 0.4)
for dtype, n, jit in product(("float16", "float32", "float64"), (1, 100), (False, True)):
    with jax.enable_x64(dtype == "float64"):
        golden.chain(library="flax", key=6, x64=dtype == "float64", jit=jit)
        given = np.ones(1, dtype) / 3 if n == 1 else values(dtype, n)
        made = (jax.jit(at_all_rates) if jit else at_all_rates)(jnp.asarray(given), jax.random.key(6))
        for p, y in zip((*RATES, 1.0), made, strict=True):
            golden.value(given, np.asarray(y), p)
golden.save("jax")
