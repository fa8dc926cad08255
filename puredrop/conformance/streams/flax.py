"""Beside Flax, in both of its interfaces, and Equinox: values bit for bit."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...streams import NNX, Broadcast, Equinox, Flax, JAXKey, Stream, draw_from
from ...variants import dropout
from .golden import Described, compared
from .jax import RATES, mode
from .row import Counts, Row, installed, total
from .torch import compared as same
from .torch import inputs

SEEDS = (0, -3, 2**32 + 7)
SHAPES: tuple[tuple[int, ...], ...] = ((1,), (7, 9), (0, 4), (2, 3, 5))
DTYPES = ("float32", "float64", "float16")
ATTENTION = "scaled_dot_product_attention"


def linen_network(p: float) -> Any:
    """Seven dropouts: nested, of one layer called twice, along an axis, and with a key of its own."""
    nn, jax = installed("flax.linen"), installed("jax")

    class Block(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            layer = nn.Dropout(p, deterministic=False)
            return layer(x), layer(x)

    class Network(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            first = nn.Dropout(p, deterministic=False)(x)
            shared = nn.Dropout(p, broadcast_dims=(0,), deterministic=False)(x)
            own = nn.Dropout(p, name="named", deterministic=False)(x, rng=jax.random.key(5))
            return first, *Block()(x), shared, own, *Block(name="outer")(x)

    return Network()


def linen_paths(x64: bool) -> list[Any]:
    return [
        "Dropout_0",
        *["Block_0/Dropout_0"] * 2,
        Broadcast("Dropout_1", (0,)),
        JAXKey(5, x64=x64),
        *["outer/Dropout_0"] * 2,
    ]


def linen(
    shape: tuple[int, ...], dtype: str, p: float, seed: int, jit: bool = False, separator: bool = False
) -> Counts:
    """The network beside as many dropouts of ours."""
    jax, x, x64 = installed("jax"), inputs(shape, dtype), dtype == "float64"
    with mode(x64), installed("flax").config.temp_flip_flag("fix_rng_separator", separator):
        apply = linen_network(p).apply
        theirs = (jax.jit(apply) if jit else apply)({}, jax.numpy.asarray(x), rngs={"dropout": jax.random.key(seed)})
        theirs = [np.asarray(y) for y in theirs]
    stream = Flax(JAXKey(seed, x64=x64), linen_paths(x64), jit=jit, separator=separator)
    with draw_from(stream):
        return total(same(dropout(x, p), y) for y in theirs)


def linen_dropout() -> Counts:
    """Rates and seeds; then shapes; then the 64-bit mode."""
    rates = total(linen((7, 9), "float32", p, seed) for p, seed in product(RATES, SEEDS))
    return rates + total(linen(s, "float32", 0.3, 1) for s in SHAPES) + linen((7, 9), "float64", 0.3, 1)


def linen_values(jit: bool) -> Counts:
    """One mask in all dtypes and at all rates: how values are rounded."""
    nn, jax, counts = installed("flax.linen"), installed("jax"), Counts(0, 0)

    def all_rates(x: Any, key: Any) -> list[Any]:
        return [nn.Dropout(p, deterministic=False).apply({}, x, rng=key) for p in RATES]

    for shape, dtype in product(((1,), (31, 33)), DTYPES):
        x, x64 = inputs(shape, dtype), dtype == "float64"
        with mode(x64):
            apply = jax.jit(all_rates) if jit else all_rates
            theirs = [np.asarray(y) for y in apply(jax.numpy.asarray(x), jax.random.key(6))]
        with draw_from(Flax(0, JAXKey(6, x64=x64), jit=jit)):
            counts += total(same(dropout(x, p), y) for y, p in zip(theirs, RATES, strict=True))
    return counts


def bfloat16() -> Counts:
    """Masks for a dtype that NumPy does not have: those of its values that are not zero."""
    nn, jax = installed("flax.linen"), installed("jax")
    layer, x = nn.Dropout(0.3, deterministic=False), jax.numpy.ones((7, 9), "bfloat16")
    theirs = [np.asarray(layer.apply({}, x, rngs={"dropout": jax.random.key(seed)}) != 0) for seed in SEEDS]
    ours = [Flax(seed, "").mask((7, 9), 0.3, dtype="bfloat16") for seed in SEEDS]
    return total(same(mine, yours) for mine, yours in zip(ours, theirs, strict=True))


def linen_attention(broadcast: bool) -> Counts:
    """The weights of a MultiHeadDotProductAttention after its dropout, beside ours of the weights before."""
    nn, jax, seen = installed("flax.linen"), installed("jax"), []

    def attend(
        query: Any, key: Any, value: Any, dropout_rng: Any, dropout_rate: Any, broadcast_dropout: Any
    ) -> Any:  # named, for Flax hands over what the function names
        seen.extend(weights(nn, query, key, (dropout_rng, dropout_rate, broadcast_dropout)))
        return value

    layer = nn.MultiHeadDotProductAttention(
        2, dropout_rate=0.4, broadcast_dropout=broadcast, deterministic=False, attention_fn=attend
    )
    variables = layer.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, tokens())
    seen.clear()
    layer.apply(variables, tokens(), rngs={"dropout": jax.random.key(8)})
    return dropped_weights(Flax(8, Broadcast("", (-4, -3)) if broadcast else ""), *seen)


def nnx_attention(broadcast: bool) -> Counts:
    """The same of an nnx.MultiHeadAttention, over two calls."""
    nnx, seen = installed("flax.nnx"), []

    def attend(query: Any, key: Any, value: Any, **given: Any) -> Any:
        asked = given["dropout_rng"], given["dropout_rate"], given["broadcast_dropout"]
        seen.extend(weights(installed("flax.nnx.nn.attention"), query, key, asked))
        return value

    layer = nnx.MultiHeadAttention(
        2,
        8,
        dropout_rate=0.4,
        broadcast_dropout=broadcast,
        deterministic=False,
        attention_fn=attend,
        decode=False,
        rngs=nnx.Rngs(params=0, dropout=8),
    )
    layer(tokens())
    layer(tokens())
    stream = NNX(8, Broadcast(0, (-4, -3)) if broadcast else 0)
    return dropped_weights(stream, *seen[:2]) + dropped_weights(stream, *seen[2:])


def tokens() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 5, 8)).astype(np.float32)


def weights(module: Any, query: Any, key: Any, asked: tuple[Any, Any, Any]) -> list[np.ndarray]:
    """The weights before and after the dropout that a layer asks its attention function for."""
    rng, rate, broadcast = asked
    options = {"dropout_rng": rng, "dropout_rate": rate, "broadcast_dropout": broadcast}
    compute = module.dot_product_attention_weights
    return [np.asarray(compute(query, key, deterministic=off, **options)) for off in (True, False)]


def dropped_weights(stream: Any, before: np.ndarray, after: np.ndarray) -> Counts:
    keep = stream.mask(before.shape, 0.4, operation=ATTENTION)
    return same(stream.arithmetic(ATTENTION, 0.4)(np, before, keep, 1.0, None, 0.0), after)


def linen_large() -> Counts:
    """A million elements: a layer called seven times."""
    jax, nn, x = installed("jax"), installed("flax.linen"), np.ones((1000, 150), np.float32)

    class Repeated(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            layer = nn.Dropout(0.1, deterministic=False)
            return [layer(x) for _ in range(7)]

    theirs = Repeated().apply({}, x, rngs={"dropout": jax.random.key(2)})
    with draw_from(Flax(2)):
        return total(same(dropout(x, 0.1), np.asarray(y)) for y in theirs)


def nnx_large() -> Counts:
    nnx, x = installed("flax.nnx"), np.ones((1000, 150), np.float32)
    layer = nnx.Dropout(0.1, rngs=nnx.Rngs(2))
    theirs = [np.asarray(layer(installed("jax").numpy.asarray(x))) for _ in range(7)]
    with draw_from(NNX(2)):
        return total(same(dropout(x, 0.1), y) for y in theirs)


def equinox_large() -> Counts:
    jax, x = installed("jax"), np.ones((1000, 150), np.float32)
    layer, keys = installed("equinox").nn.Dropout(0.1), jax.random.split(jax.random.key(2), 7)
    theirs = [np.asarray(layer(jax.numpy.asarray(x), key=key)) for key in keys]
    with draw_from(Equinox(list(JAXKey(2).split(7)))):
        return total(same(dropout(x, 0.1), y) for y in theirs)


def nnx_dropout() -> Counts:
    """Two layers behind others that take from the same stream, called three times; then rngs at the call."""
    jax, nnx, counts = installed("jax"), installed("flax.nnx"), Counts(0, 0)
    for shape, p, seed in product(SHAPES, RATES, SEEDS):
        x, rngs = inputs(shape, "float32"), nnx.Rngs(seed)
        first = nnx.Dropout(p, rngs=rngs)
        nnx.Linear(2, 2, rngs=rngs)  # takes two keys
        second = nnx.Dropout(p, rngs=rngs, broadcast_dims=(0,))
        theirs = [np.asarray(layer(jax.numpy.asarray(x))) for _ in range(3) for layer in (first, second)]
        with draw_from(NNX(seed, [0, Broadcast(3, (0,))])):
            counts += total(same(dropout(x, p), y) for y in theirs)
        later, call = nnx.Rngs(dropout=seed), nnx.Dropout(p)
        theirs = [np.asarray(call(jax.numpy.asarray(x), rngs=later)) for _ in range(2)]
        with draw_from(NNX(seed, None)):
            counts += total(same(dropout(x, p), y) for y in theirs)
    return counts


def equinox_dropout() -> Counts:
    """A key each; and under vmap, a key for each row."""
    jax, equinox, counts = installed("jax"), installed("equinox"), Counts(0, 0)
    for shape, p, seed in product(SHAPES, RATES[:-1], SEEDS):
        x, layer = inputs(shape, "float32"), equinox.nn.Dropout(p)
        theirs = jax.random.split(jax.random.key(seed))
        with draw_from(Equinox(list(JAXKey(seed).split()))):
            counts += total(same(dropout(x, p), np.asarray(layer(jax.numpy.asarray(x), key=key))) for key in theirs)
    x, rows = inputs((40, 9), "float32"), jax.random.split(jax.random.key(4), 40)
    layer = equinox.nn.Dropout(0.3)
    theirs = jax.vmap(lambda row, key: layer(row, key=key))(jax.numpy.asarray(x), rows)
    with draw_from(Equinox([JAXKey(4).split(40)])):
        return counts + same(dropout(x, 0.3), np.asarray(theirs))


def golden_stream(made: Described) -> Stream:
    if "key" in made:  # in the place of a path
        return Flax(0, JAXKey(made["key"], x64=made["x64"]), jit=made["jit"])
    if made["library"] == "equinox":
        return Equinox(list(JAXKey(made["seed"]).split(made["keys"])))
    if made["library"] == "nnx":
        return NNX(made["seed"], [Broadcast(fork, made["broadcast_dims"]) for fork in range(made["forks"])])
    return Flax(made["seed"], Broadcast(made["path"], made["broadcast_dims"]), separator=made["separator"])


def golden(library: str) -> Counts:
    return compared("jax", golden_stream, lambda made: made["library"] == library)


ROWS = (
    Row("flax", "linen.Dropout", "live", linen_dropout),
    Row("flax", "linen.Dropout, jit", "live", partial(linen, (7, 9), "float32", 0.3, 1, jit=True)),
    Row(
        "flax",
        "linen.Dropout, flax_fix_rng_separator",
        "live",
        partial(linen, (7, 9), "float32", 0.3, 1, separator=True),
    ),
    Row("flax", "linen.Dropout, values", "live", partial(linen_values, False)),
    Row("flax", "linen.Dropout, values, jit", "live", partial(linen_values, True)),
    Row("flax", "linen.Dropout, bfloat16", "live", bfloat16),
    Row("flax", "linen.Dropout, a million", "live", linen_large),
    Row("flax", "linen.MultiHeadDotProductAttention", "live", partial(linen_attention, False)),
    Row("flax", "linen.MultiHeadDotProductAttention, broadcast", "live", partial(linen_attention, True)),
    Row("flax", "nnx.Dropout", "live", nnx_dropout),
    Row("flax", "nnx.Dropout, a million", "live", nnx_large),
    Row("flax", "nnx.MultiHeadAttention", "live", partial(nnx_attention, False)),
    Row("flax", "nnx.MultiHeadAttention, broadcast", "live", partial(nnx_attention, True)),
    Row("flax", "linen.Dropout", "golden", partial(golden, "flax")),
    Row("flax", "nnx.Dropout", "golden", partial(golden, "nnx")),
    Row("equinox", "nn.Dropout", "live", equinox_dropout),
    Row("equinox", "nn.Dropout, a million", "live", equinox_large),
    Row("equinox", "nn.Dropout", "golden", partial(golden, "equinox")),
)
