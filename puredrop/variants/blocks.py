"""Blocks of neighbouring elements of a feature map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np

from .. import streams
from ..random import Index, Keys
from ..tensor import backend_of
from .asked import Asked
from .bernoulli_map import map_given
from .door import Shape, checked_array, one_rate, unchanged, whole_number
from .noise import keep_over

__all__ = ["drop_block"]

GAMMA = ("paper", "exact")
NORMALIZE = ("batch", "sample", "expected", None)


def drop_block(
    x: Any,
    p: float = 0.1,
    *,
    block_size: int | Sequence[int] = 7,
    spatial_dims: int = 2,
    gamma: Literal["paper", "exact"] = "paper",
    gamma_scale: float = 1.0,
    normalize: Literal["batch", "sample", "expected"] | None = "batch",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop blocks of neighbouring elements, in every channel of every example on its own.

    Math: seeds z ~ Bernoulli(gamma) where a whole block fits (b_k of L_k along axis k: L_k - b_k + 1 places); an
        element is dropped (m = 0) where a block that starts at a seed covers it; y = x m s. gamma="paper" is
        p / prod b_k * prod L_k / (L_k - b_k + 1), which drops less than p since blocks overlap; "exact" solves
        mean over elements of 1 - (1 - gamma)^n = p, with n the number of places whose block covers the element. Either
        is multiplied by gamma_scale. s = elements / kept elements, counted over the batch (the paper) or over each
        example, or 1 / (1 - expected share dropped), or 1 for None. Gradient: dx = g m s. Elements near a border are
        dropped less often, so E[y] is x on the average of the map only. Evaluation and p = 0 give x; p = 1, or nothing
        kept, gives zeros.
    Shapes: x (N, C, L_1, ..., L_d) with d = spatial_dims, 1 or more; block_size a whole number or one for each axis,
        even ones too, none larger than the map. y like x.
    Dtypes: float32, float64 (and float16 on NumPy); y like x. Elements are counted in whole numbers.
    Draws: one halfword a seed, noise of shape (N, C, L_1 - b_1 + 1, ...); `index` says which part of a whole that is.
        K keys divide the rows of x into K equal parts, each a batch of its own. normalize="batch" makes an example
        depend on its neighbours; choose "sample" or "expected" where chunks of a batch must give what the whole gives.
        The mask (True = kept) is that of the elements of x, handed in or returned; the graph keeps it.
    Raises: TypeError, ValueError for a wrong p, rank, block_size or word.
    Reference: Ghiasi, Lin & Le, "DropBlock: a regularization method for convolutional networks" (2018), Algorithm 1.

    >>> from puredrop import Key
    >>> y, keep = drop_block(np.ones((1, 1, 4, 6)), 0.3, block_size=2, key=Key(3), return_mask=True)
    >>> keep[0, 0].astype(int)
    array([[1, 1, 1, 0, 0, 1],
           [1, 1, 1, 0, 0, 1],
           [1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1]])
    """
    name = "drop_block"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    block, seeds = seed_shape(name, x.shape, block_size, spatial_dims)
    require_choice(name, "gamma", gamma, GAMMA)
    require_choice(name, "normalize", normalize, NORMALIZE)
    if not (isinstance(gamma_scale, (int, float)) and 0 <= gamma_scale < math.inf):
        raise ValueError(f"{name}: gamma_scale must be a number, 0 or more, got {gamma_scale!r}")
    if not asked.draws(p):
        return asked.undrawn(unchanged(x))
    size = x.shape[2:]
    rate = 1.0 if p == 1 else min(1.0, float(gamma_scale) * _gamma(gamma, p, block, size))
    if mask is not None:
        keep = np.broadcast_to(streams.checked_mask(mask, x.shape), x.shape)
    elif p == 1:
        keep = asked.backend_of(x).xp.zeros(x.shape, np.bool_)
    else:
        keep = _blocks(keep_over(asked, x, rate, asked.index_in_parts(seeds), seeds), block, x.shape)
    if normalize == "expected":
        share = dropped_share(rate, block, size)
        scale: Any = 0.0 if share == 1 else 1 / (1 - share)
    else:
        scale = 1.0 if normalize is None else _realised(keep, normalize, len(key) if isinstance(key, tuple) else 1)
    return asked.answer(map_given(asked, x, keep, scale=scale), keep)


def dropped_share(gamma: float, block: Shape, size: Shape) -> float:
    """The expected share of a map that blocks drop when every place where one fits is a seed with probability gamma."""
    covers = [(tuple(np.unique(_covering(b, n), return_counts=True))) for b, n in zip(block, size, strict=True)]
    total = 0.0
    for combination in product(*(zip(values, counts, strict=True) for values, counts in covers)):
        places, elements = (math.prod(int(pair[i]) for pair in combination) for i in (0, 1))
        total += elements * -math.expm1(places * math.log1p(-gamma)) if gamma < 1 else elements
    return total / math.prod(size)


def seed_shape(operation: str, shape: Shape, block_size: int | Sequence[int], spatial_dims: int) -> tuple[Shape, Shape]:
    """The block, and the shape of the seeds for x of `shape`: the places where it fits. Raises where it never does."""
    dims = whole_number(operation, "spatial_dims", spatial_dims, 1)
    if len(shape) != dims + 2:
        raise ValueError(f"{operation}: x must be (N, C, and {dims} spatial axes), got shape {shape}; set spatial_dims")
    block = block_of(operation, "block_size", block_size, dims)
    size = shape[2:]
    if any(b > n for b, n in zip(block, size, strict=True)):
        raise ValueError(
            f"{operation}: a block of {block} does not fit a map of {size}; choose a block_size that does, "
            f"or spatial_dropout to drop whole maps"
        )
    return block, (*shape[:2], *(n - b + 1 for b, n in zip(block, size, strict=True)))


def block_of(operation: str, name: str, given: Any, dims: int) -> Shape:
    """A size for each spatial axis, from one number or from one for each."""
    sizes = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,) * dims
    if len(sizes) != dims:
        raise ValueError(f"{operation}: {name} has {len(sizes)} numbers for {dims} spatial axes")
    return tuple(whole_number(operation, name, size, 1) for size in sizes)


def _covering(b: int, n: int) -> np.ndarray:
    """How many blocks of b that fit into n cover each element. (n,)"""
    i = np.arange(n)
    return np.minimum(i, n - b) - np.maximum(0, i - b + 1) + 1


@lru_cache(maxsize=1024)
def _gamma(rule: str, p: float, block: Shape, size: Shape) -> float:
    """The probability of a seed."""
    places = math.prod(n - b + 1 for b, n in zip(block, size, strict=True))
    paper = p / math.prod(block) * math.prod(size) / places
    return paper if rule == "paper" else _exact_gamma(p, block, size)


def _exact_gamma(p: float, block: Shape, size: Shape) -> float:
    """The gamma at which the expected share dropped is p, by bisection until the float64 numbers are neighbours."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if dropped_share(middle, block, size) < p:
            low = middle
        else:
            high = middle
    return high


def _blocks(unseeded: Any, block: Shape, shape: Shape) -> Any:
    """The mask of elements: False on every block that starts where `unseeded` is False."""
    dropped = ~unseeded
    for axis, b in enumerate(block, start=2):  # a box is a product of intervals: one axis after the other
        wide = backend_of(dropped).xp.zeros((*dropped.shape[:axis], shape[axis], *dropped.shape[axis + 1 :]), np.bool_)
        for offset in range(b):
            wide[(slice(None),) * axis + (slice(offset, offset + dropped.shape[axis]),)] |= dropped
        dropped = wide
    return ~dropped


def _realised(keep: Any, over: str, batches: int) -> Any:
    """Elements / kept elements: one number for a single batch, else one for each row. 0 where none is kept."""
    groups = batches if over == "batch" else len(keep)
    if not keep.size:
        return 0.0
    kept = np.count_nonzero(keep.reshape(groups, -1), axis=1)  # (groups,)
    scale = np.where(kept > 0, keep.size // groups / np.maximum(kept, 1), 0.0)
    if groups == 1:
        return float(scale[0])
    return np.repeat(scale, len(keep) // groups).reshape(-1, *(1,) * (keep.ndim - 1))


def require_choice(operation: str, name: str, given: Any, choices: tuple[Any, ...]) -> None:
    """Raise ValueError unless `given` is one of the choices."""
    if given not in choices:
        raise ValueError(f"{operation}: {name} must be one of {', '.join(map(repr, choices))}, got {given!r}")
