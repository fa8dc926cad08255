"""What JAX, Flax and Equinox drew, for those who do not have them: `python tests/golden/make_streams_jax.py`.

Needs jax, flax and equinox; writes puredrop/conformance/golden/streams/jax.npz.
"""

import json
from itertools import product
from pathlib import Path

import equinox
import flax
import jax
import numpy as np
from flax import linen, nnx

import puredrop
from puredrop.conformance.streams.jax import mode
from puredrop.conformance.streams.torch import inputs

MODES = tuple(  # partitionable only changes Threefry, and what divides its keys by it
    (impl, partitionable, x64)
    for impl in ("threefry2x32", "threefry4x32", "philox2x32", "philox4x32", "rbg", "unsafe_rbg")
    for partitionable, x64 in product((True, False), (False, True))
    if partitionable or impl in ("threefry2x32", "rbg")
)
SEEDS = (0, -1, 2**32 + 5)
RATES = (1e-8, 0.1, 0.5, 0.9, 0.999999)


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


def of_keys():
    """Keys, and masks of every mode, at several rates and in several dtypes of the probability."""
    for (impl, partitionable, x64), seed in product(MODES, SEEDS):
        about = {"impl": impl, "partitionable": partitionable, "x64": x64, "seed": seed}
        with mode(x64, partitionable):
            key = jax.random.key(seed, impl=impl)
            seven = jax.random.fold_in(key, np.uint32(7))
            keys = [jax.random.key_data(one) for one in (key, seven, *jax.random.split(key, 3))]
            yield "keys", about, np.array(keys, np.uint32)
            masks = [jax.random.bernoulli(key, p, (101,)) for p in RATES]
            yield "random.bernoulli", {**about, "p": RATES, "p_dtype": None}, np.array(masks)
            for dtype in ("float16", "bfloat16") if seed == 0 else ():
                masks = [jax.random.bernoulli(key, jax.numpy.asarray(p, dtype), (101,)) for p in RATES]
                yield "random.bernoulli", {**about, "p": RATES, "p_dtype": dtype}, np.array(masks)


def of_layers():
    """Masks of the layers."""
    x = jax.numpy.ones((12, 13))
    for seed, axes in product(SEEDS, ((), (0,), (1,))):
        about = {"seed": seed, "rate": 0.4, "broadcast_dims": axes}
        for path, module in (("Dropout_0", Repeated), ("inner/Dropout_0", Outer)):
            masks = module(axes).apply({}, x, rngs={"dropout": jax.random.key(seed)})
            yield "linen.Dropout", {**about, "path": path}, np.array(masks) != 0
        rngs = nnx.Rngs(seed)
        layers = [nnx.Dropout(0.4, broadcast_dims=axes, rngs=rngs) for _ in range(2)]
        masks = [layer(x) for _ in range(2) for layer in layers]
        yield "nnx.Dropout", about, np.array(masks) != 0
    for seed in SEEDS:
        masks = [equinox.nn.Dropout(0.4)(x, key=key) for key in jax.random.split(jax.random.key(seed), 3)]
        yield "nn.Dropout", {"seed": seed, "rate": 0.4}, np.array(masks) != 0


def of_values():
    """Values of one mask at several rates: how they are rounded, eagerly and under jit."""

    def at_all_rates(x, key):
        return [linen.Dropout(p, deterministic=False).apply({}, x, rng=key) for p in RATES]

    for dtype, shape, jit in product(("float16", "float32", "float64"), ((1,), (7, 9)), (False, True)):
        x64 = dtype == "float64"
        with mode(x64):
            apply = jax.jit(at_all_rates) if jit else at_all_rates
            values = apply(jax.numpy.asarray(inputs(shape, dtype)), jax.random.key(6))
            yield "values", {"input": shape, "rates": RATES, "x64": x64, "jit": jit}, np.array(values)


def described(i, operation, about, array):
    kind = "mask" if array.dtype == bool else "value"
    return {"i": i, "op": operation, "kind": kind, "shape": array.shape, "dtype": array.dtype.name, **about}


if __name__ == "__main__":
    made = [*of_keys(), *of_layers(), *of_values()]
    versions = f"jax {jax.__version__} flax {flax.__version__} equinox {equinox.__version__}"
    meta = {"made_with": versions, "cases": [described(i, *case) for i, case in enumerate(made)]}
    arrays = {str(i): np.packbits(a) if a.dtype == bool else a for i, (_, _, a) in enumerate(made)}
    path = Path(puredrop.__file__).parent / "conformance" / "golden" / "streams" / "jax.npz"
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez_compressed(path, meta=text, **arrays)
    print(path)
