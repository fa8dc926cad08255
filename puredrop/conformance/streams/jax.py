"""Beside JAX: keys, random bits, uniform numbers and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...streams import JAX, JAXKey, draw_from
from ...variants import dropout
from .golden import Described, chains, compared
from .row import Counts, Row, installed, total
from .torch import compared as same

RATES = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SEEDS = (0, -1, 2**31, 2**32 + 5, -(2**40))
LARGE = 1_000_003
BITS, FLOATS = ("uint8", "uint16", "uint32", "uint64"), ("float16", "float32", "float64")
# impl, partitionable, x64. JAX compiles anew in each of these, so this is few: its 64-bit mode has the dtypes of the
# other one too, and the golden masks are of every mode.
COMMON = (("threefry2x32", True, True), ("threefry2x32", False, True), ("rbg", True, True))
NARROW = ("threefry2x32", True, False)
MODES = (
    *COMMON,
    ("rbg", False, True),
    *((impl, True, True) for impl in ("threefry4x32", "philox2x32", "philox4x32", "unsafe_rbg")),
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


def in_modes(
    modes: Iterable[tuple[str, bool, bool]],
    theirs: Callable[[Any], list[Any]],
    ours: Callable[[JAXKey], list[Any]],
    seeds: Iterable[int] = (2**32 + 5,),
) -> Counts:
    """What JAX draws with a key, compiled once in a mode, beside ours."""
    jax, counts = installed("jax"), Counts(0, 0)
    for impl, partitionable, x64 in modes:
        with mode(x64, partitionable):
            draw = jax.jit(theirs)
            for seed in seeds:
                yours, mine = both(seed, impl, partitionable, x64)
                counts += total(same(*pair) for pair in zip(ours(mine), draw(yours), strict=True))
    return counts


def their_keys(key: Any) -> list[Any]:
    """The key, seven out of it, and one for a number; and of one out of it."""
    random = installed("jax").random
    seven = random.split(key, 7)
    made = key, seven, random.fold_in(key, np.uint32(2**32 - 3)), random.fold_in(seven[1], np.uint32(9))
    return [random.key_data(one) for one in made]


def our_keys(key: JAXKey) -> list[Any]:
    seven = key.split(7)
    return [words(key)[0], words(*seven), words(key.fold_in(2**32 - 3))[0], words(seven[1].fold_in(9))[0]]


def their_numbers(key: Any) -> list[Any]:
    random = installed("jax").random
    bits = [random.bits(key, (7, 9), dtype) for dtype in BITS]
    return bits + [random.uniform(key, (501,), dtype) for dtype in FLOATS]


def our_numbers(key: JAXKey) -> list[Any]:
    bits = [key.bits((7, 9), dtype) for dtype in BITS]
    return bits + [key.uniform(501, dtype) for dtype in FLOATS]


def their_bernoulli(key: Any) -> list[Any]:
    """Probabilities in every dtype."""
    jax = installed("jax")
    each = jax.vmap(lambda p: jax.random.bernoulli(key, p, (501,)))
    return [each(jax.numpy.asarray(RATES, dtype)) for dtype in ("bfloat16", *FLOATS)]


def our_bernoulli(key: JAXKey) -> list[Any]:
    return [np.array([key.bernoulli(p, 501, dtype) for p in RATES]) for dtype in ("bfloat16", *FLOATS)]


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


def golden_key(made: Described) -> JAXKey:
    return JAXKey(made["seed"], impl=made["impl"], partitionable=made["partitionable"], x64=made["x64"])


def golden_keys() -> Counts:
    """The key, one for the number 7, and three out of it."""
    chains_of_keys = (made for made, _ in chains("jax") if "words" in made)
    pairs = ((golden_key(made), made["words"]) for made in chains_of_keys)
    return total(same(words(key, key.fold_in(7), *key.split(3)), np.uint32(theirs)) for key, theirs in pairs)


def golden_masks() -> Counts:
    """Many masks with one key."""
    return compared("jax", lambda made: JAX([golden_key(made)] * 99), lambda made: made["library"] == "jax")


ROWS = (
    Row("jax", "keys", "live", partial(in_modes, (NARROW, *MODES), their_keys, our_keys, SEEDS)),
    Row("jax", "random.bits, uniform", "live", partial(in_modes, COMMON, their_numbers, our_numbers)),
    Row("jax", "random.bernoulli", "live", partial(in_modes, MODES, their_bernoulli, our_bernoulli)),
    Row("jax", "random.bernoulli, a million", "live", partial(large, "threefry2x32")),
    Row("jax", "random.bernoulli, a million, rbg", "live", partial(large, "rbg")),
    Row("jax", "random.bernoulli, shapes", "live", shapes),
    Row("jax", "dropouts in a row", "live", chain),
    Row("jax", "keys", "golden", golden_keys),
    Row("jax", "random.bernoulli", "golden", golden_masks),
)
