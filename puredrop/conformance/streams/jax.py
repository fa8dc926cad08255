"""Beside JAX: keys, random bits, uniform numbers and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...streams import JAX, JAXKey, draw_from
from ...streams.jax_words import PARTITIONABLE
from ...variants import dropout
from .golden import compared, values
from .row import Counts, Row, installed
from .torch import compared as same
from .torch import total

RATES = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SEEDS = (0, -1, 2**31, 2**32 + 5, -(2**40))
LARGE = 1_000_003
# impl, partitionable, x64; the second flag is for Threefry, and for what divides its keys by it
MODES = tuple(
    (impl, partitionable, x64)
    for impl, partitionable, x64 in product(PARTITIONABLE, (True, False), (False, True))
    if partitionable or impl in ("threefry2x32", "rbg")
)


@contextmanager
def mode(x64: bool = False, partitionable: bool = True) -> Iterator[None]:
    """Inside, JAX has these flags."""
    jax = installed("jax")
    with jax.enable_x64(x64), jax.threefry_partitionable(partitionable):
        yield


def both(seed: int, impl: str, partitionable: bool, x64: bool) -> tuple[Any, JAXKey]:
    """The key of JAX, and ours."""
    return installed("jax").random.key(seed, impl=impl), JAXKey(seed, impl=impl, partitionable=partitionable, x64=x64)


def words(*keys: JAXKey) -> np.ndarray:
    """Keys as arrays. (n, words)"""
    return np.array([key.words for key in keys], np.uint32)


def in_every_mode(compare: Callable[[Any, JAXKey], Counts], seeds: Iterable[int] = (2**32 + 5,)) -> Counts:
    """Every implementation, with both flags on and off."""
    counts = Counts(0, 0)
    for impl, partitionable, x64 in MODES:
        with mode(x64, partitionable):
            counts += total(compare(*both(seed, impl, partitionable, x64)) for seed in seeds)
    return counts


def keys(theirs: Any, ours: JAXKey) -> Counts:
    """A key, seven out of it, and one for a number."""
    random = installed("jax").random
    pairs = (
        (words(ours)[0], theirs),
        (words(*ours.split(7)), random.split(theirs, 7)),
        (words(ours.fold_in(2**32 - 3))[0], random.fold_in(theirs, np.uint32(2**32 - 3))),
        (words(ours.split()[1].fold_in(9))[0], random.fold_in(random.split(theirs)[1], 9)),
    )
    return total(same(mine, random.key_data(yours)) for mine, yours in pairs)


def bits(theirs: Any, ours: JAXKey) -> Counts:
    random, dtypes = installed("jax").random, ("uint8", "uint16", "uint32", *("uint64",) * ours.x64)
    return total(same(ours.bits((7, 9), d), random.bits(theirs, (7, 9), d)) for d in dtypes)


def uniform(theirs: Any, ours: JAXKey) -> Counts:
    random, dtypes = installed("jax").random, ("float16", "float32", *("float64",) * ours.x64)
    return total(same(ours.uniform(501, d), random.uniform(theirs, (501,), d)) for d in dtypes)


def bernoulli(theirs: Any, ours: JAXKey) -> Counts:
    """Probabilities in every dtype, and as Python numbers."""
    jax, dtypes = installed("jax"), ("float16", "bfloat16", "float32", *("float64",) * ours.x64)
    counts = Counts(0, 0)
    for p in RATES:
        counts += same(ours.bernoulli(p, 501), jax.random.bernoulli(theirs, p, (501,)))
        for dtype in dtypes:
            probability = jax.numpy.asarray(p, dtype)
            counts += same(ours.bernoulli(p, 501, dtype), jax.random.bernoulli(theirs, probability, (501,)))
    return counts


def large(impl: str) -> Counts:
    """A million elements of a stream, beside jax.random.bernoulli."""
    counts = Counts(0, 0)
    for partitionable, x64 in ((True, False), (True, True), (False, False)):
        with mode(x64, partitionable):
            theirs, ours = both(7, impl, partitionable, x64)
            keep = installed("jax").random.bernoulli(theirs, 1.0 - 0.3, (LARGE,))
            counts += same(JAX(ours).mask(LARGE, 0.3), keep)
    return counts


def shapes() -> Counts:
    """Shapes without elements, and without axes."""
    random = installed("jax").random
    counts = Counts(0, 0)
    for shape, partitionable in product(((), (0,), (1,), (3, 0, 2), (2, 3, 4)), (True, False)):
        with mode(partitionable=partitionable):
            ours = JAXKey(1, partitionable=partitionable)
            counts += same(ours.bernoulli(0.5, shape), random.bernoulli(random.key(1), 0.5, shape))
    return counts


def chain() -> Counts:
    """Dropouts one after the other, of arrays that lie in memory in five ways, with a key each."""
    jax, x = installed("jax"), np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    views = (x, x.T, np.asfortranarray(x), x[::2, ::3], x[::-1])
    theirs = jax.random.split(jax.random.key(3), len(views))
    masks = []
    with draw_from(JAX(list(JAXKey(3).split(len(views))))):
        masks = [dropout(view, 0.4, return_mask=True)[1] for view in views]
    return total(
        same(mask, jax.random.bernoulli(key, 1.0 - 0.4, mask.shape)) for mask, key in zip(masks, theirs, strict=True)
    )


def golden_key(case: dict[str, Any]) -> JAXKey:
    return JAXKey(case["seed"], impl=case["impl"], partitionable=case["part"])


GOLDEN: dict[str, Callable[[JAXKey], np.ndarray]] = {
    "key_data": lambda key: words(key)[0],
    "split(3)": lambda key: words(*key.split(3)),
    "fold_in(7)": lambda key: words(key.fold_in(7))[0],
    "bits32": lambda key: key.bits(9),
}


def golden_values(operation: str) -> Counts:
    return total(same(GOLDEN[operation](golden_key(case)), value) for case, value in values("jax", operation))


def golden_masks(case: dict[str, Any]) -> np.ndarray:
    return golden_key(case).bernoulli(case["p"], case["shape"])


ROWS = (
    Row("jax", "keys", "live", partial(in_every_mode, keys, SEEDS)),
    Row("jax", "random.bits", "live", partial(in_every_mode, bits)),
    Row("jax", "random.uniform", "live", partial(in_every_mode, uniform)),
    Row("jax", "random.bernoulli", "live", partial(in_every_mode, bernoulli)),
    Row("jax", "random.bernoulli, a million", "live", partial(large, "threefry2x32")),
    Row("jax", "random.bernoulli, a million, rbg", "live", partial(large, "rbg")),
    Row("jax", "random.bernoulli, shapes", "live", shapes),
    Row("jax", "dropouts in a row", "live", chain),
    *(Row("jax", operation, "golden", partial(golden_values, operation)) for operation in GOLDEN),
    Row("jax", "random.bernoulli", "golden", partial(compared, "jax", "bernoulli", golden_masks)),
)
