"""Contiguous regions: blocks of a feature map, a hole in an image, bands of a spectrogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np

from .. import streams
from ..random import Index, Keys
from ..tensor import Tensor
from .bernoulli_map import bernoulli_map
from .door import checked_array, checked_key, one_rate, whole_number
from .noise import keep_array, uniform_array
from .structured import left_alone, noise_index, spread

__all__ = ["drop_block", "cutout", "band_dropout"]

GAMMA = ("paper", "exact")
NORMALIZE = ("batch", "sample", "expected", None)


# ---------------------------------------------------------------------------------------- drop_block
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
    x, p, key = checked_array(name, x), one_rate(name, p), checked_key(name, key)
    block, seeds = seed_shape(name, x.shape, block_size, spatial_dims)
    require_choice(name, "gamma", gamma, GAMMA)
    require_choice(name, "normalize", normalize, NORMALIZE)
    if not (isinstance(gamma_scale, (int, float)) and 0 <= gamma_scale < math.inf):
        raise ValueError(f"{name}: gamma_scale must be a number, 0 or more, got {gamma_scale!r}")
    if not training or (p == 0 and mask is None):
        return left_alone(x, return_mask)
    size = x.shape[2:]
    rate = 1.0 if p == 1 else min(1.0, float(gamma_scale) * _gamma(gamma, p, block, size))
    if mask is not None:
        keep = np.broadcast_to(streams.checked_mask(mask, x.shape), x.shape)
    elif p == 1:
        keep = np.zeros(x.shape, np.bool_)
    else:
        index = noise_index(name, seeds, key, index)
        drawn = spread(keep_array(name, x, rate, index, key=key, backend=backend), seeds, key, index)
        keep = _blocks(drawn, block, x.shape)
    if normalize == "expected":
        share = dropped_share(rate, block, size)
        scale: Any = 0.0 if share == 1 else 1 / (1 - share)
    else:
        scale = 1.0 if normalize is None else _realised(keep, normalize, len(key) if isinstance(key, tuple) else 1)
    return bernoulli_map(name, x, p, key=None, mask=keep, scale=scale, return_mask=return_mask, backend=backend)


def dropped_share(gamma: float, block: tuple[int, ...], size: tuple[int, ...]) -> float:
    """The expected share of a map that blocks drop when every place where one fits is a seed with probability gamma."""
    covers = [(tuple(np.unique(_covering(b, n), return_counts=True))) for b, n in zip(block, size, strict=True)]
    total = 0.0
    for combination in product(*(zip(values, counts, strict=True) for values, counts in covers)):
        places, elements = (math.prod(int(pair[i]) for pair in combination) for i in (0, 1))
        total += elements * -math.expm1(places * math.log1p(-gamma)) if gamma < 1 else elements
    return total / math.prod(size)


def seed_shape(
    operation: str, shape: tuple[int, ...], block_size: int | Sequence[int], spatial_dims: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
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


def block_of(operation: str, name: str, given: Any, dims: int) -> tuple[int, ...]:
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
def _gamma(rule: str, p: float, block: tuple[int, ...], size: tuple[int, ...]) -> float:
    """The probability of a seed."""
    places = math.prod(n - b + 1 for b, n in zip(block, size, strict=True))
    paper = p / math.prod(block) * math.prod(size) / places
    return paper if rule == "paper" else _exact_gamma(p, block, size)


def _exact_gamma(p: float, block: tuple[int, ...], size: tuple[int, ...]) -> float:
    """The gamma at which the expected share dropped is p, by bisection until the float64 numbers are neighbours."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if dropped_share(middle, block, size) < p:
            low = middle
        else:
            high = middle
    return high


def _blocks(unseeded: Any, block: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The mask of elements: False on every block that starts where `unseeded` is False."""
    dropped = ~unseeded
    for axis, b in enumerate(block, start=2):  # a box is a product of intervals: one axis after the other
        wide = np.zeros((*dropped.shape[:axis], shape[axis], *dropped.shape[axis + 1 :]), np.bool_)
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


# ---------------------------------------------------------------------------------------- holes, bands
def cutout(
    x: Any,
    p: float = 1.0,
    *,
    size: int | Sequence[int],
    spatial_dims: int = 2,
    fill: Any = 0.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Cut a box out of each example, in all of its channels, with probability p.

    Math: y = fill inside the box, x outside; nothing is scaled. The centre c is uniform over the map and the box
        clipped at its border: it covers c - b // 2 to c - b // 2 + b - 1, so b elements for odd b too. Gradient: g
        outside, by fill g inside. Evaluation and p = 0 give x; p = 1 cuts every example.
    Shapes: x (N, C, L_1, ..., L_d) with d = spatial_dims; `size` b a whole number or one for each axis; fill a number,
        or what broadcasts to x (a mean for each channel (C, 1, 1), noise like x). y like x.
    Dtypes: y like x.
    Draws: one halfword an example for whether, d uniforms for where; `index` (of shape (N,)) says which examples of a
        whole these are. K keys divide the rows of x into K equal parts. The mask (True = outside) broadcasts to x; the
        one returned has a single channel.
    Raises: TypeError, ValueError for a wrong p, rank or size.
    Reference: DeVries & Taylor, "Improved regularization of convolutional neural networks with Cutout" (2017), p = 1;
        Zhong et al., "Random erasing data augmentation" (2020), for p below 1 and fills.

    >>> from puredrop import Key
    >>> cutout(np.ones((1, 1, 4, 6)), size=3, key=Key(1))[0, 0].astype(int)
    array([[1, 1, 0, 0, 0, 1],
           [1, 1, 0, 0, 0, 1],
           [1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1]])
    """
    name = "cutout"
    x, p, key = checked_array(name, x), one_rate(name, p), checked_key(name, key)
    dims = whole_number(name, "spatial_dims", spatial_dims, 1)
    if x.ndim != dims + 2 or 0 in x.shape[2:]:
        raise ValueError(f"{name}: x must be (N, C, and {dims} spatial axes), got shape {x.shape}; set spatial_dims")
    box = block_of(name, "size", size, dims)
    if not training or (p == 0 and mask is None):
        return left_alone(x, return_mask, (len(x), 1, *x.shape[2:]))
    if mask is None:
        whole, centres = _decisions(name, x, p, 1, dims, key, index, backend)  # (N, 1), (N, d)
        mask = np.broadcast_to(whole.reshape(-1, *(1,) * (dims + 1)), (len(x), 1, *x.shape[2:]))
        outside = np.zeros_like(mask)
        for axis, (n, b) in enumerate(zip(x.shape[2:], box, strict=True)):
            first = np.floor(centres[:, axis] * n) - b // 2  # (N,)
            outside |= ~_interval(first, first + b, n, axis + 2, x.ndim)
        mask = mask | outside
    mask = streams.checked_mask(mask, x.shape)
    y = bernoulli_map(name, x, p, key=None, mask=mask, fill=fill, backend=backend)
    return (y, mask) if return_mask else y


def band_dropout(
    x: Any,
    p: float = 1.0,
    *,
    axis: int,
    width: int | tuple[int, int],
    bands: int = 1,
    fill: Any = 0.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop bands of one axis, of time or of frequency, each with probability p.

    Math: y = fill inside a band, x outside; nothing is scaled. Each of `bands` bands has a width w uniform in 0..width
        (or in low..high for a pair) and then a start uniform in 0..L - w; bands may overlap. Gradient: g outside, by
        fill g inside. Evaluation and p = 0 give x; p = 1 draws every band.
    Shapes: x (N, ...) with L elements along `axis`, never 0, the examples; y like x.
    Dtypes: y like x.
    Draws: one halfword a band and example for whether, two uniforms for where; `index` (of shape (N, bands)) says which
        part of a whole that is. K keys divide the rows of x into K equal parts. The mask (True = outside) broadcasts to
        x; the one returned has size 1 on all axes but the first and `axis`.
    Raises: TypeError, ValueError for a wrong p, axis, or a width beyond L.
    Reference: Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition" (2019),
        p = 1.

    >>> from puredrop import Key
    >>> band_dropout(np.ones((2, 8)), axis=1, width=4, key=Key(1)).astype(int)
    array([[1, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 1, 1, 1]])
    """
    name = "band_dropout"
    x, p, key = checked_array(name, x), one_rate(name, p), checked_key(name, key)
    number = whole_number(name, "axis", axis, -x.ndim)
    if number >= x.ndim or number in (0, -x.ndim):
        raise ValueError(f"{name}: axis must be one of 1 to {x.ndim - 1} (axis 0 has the examples), got {axis}")
    axis, n = number % x.ndim, x.shape[number]
    low, high = width_range(name, width)
    if high > n:
        raise ValueError(f"{name}: a band of {high} is wider than the {n} elements of axis {axis}")
    bands = whole_number(name, "bands", bands, 1)
    shape = tuple(m if i in (0, axis) else 1 for i, m in enumerate(x.shape))
    if not training or (p == 0 and mask is None):
        return left_alone(x, return_mask, shape)
    if mask is None:
        whole, places = _decisions(name, x, p, bands, 2, key, index, backend)  # (N, bands), (N, 2 bands)
        mask = np.ones(shape, np.bool_)
        for band in range(bands):
            widths = low + np.floor(places[:, 2 * band] * (high - low + 1))  # (N,)
            first = np.floor(places[:, 2 * band + 1] * (n - widths + 1))
            last = np.where(whole[:, band], first, first + widths)  # an empty interval where the band is not drawn
            mask &= ~_interval(first, last, n, axis, x.ndim)
    mask = streams.checked_mask(mask, x.shape)
    y = bernoulli_map(name, x, p, key=None, mask=mask, fill=fill, backend=backend)
    return (y, mask) if return_mask else y


def width_range(operation: str, width: Any) -> tuple[int, int]:
    """The narrowest and the widest band. Raises TypeError, ValueError."""
    low, high = width if isinstance(width, tuple) and len(width) == 2 else (0, width)
    low = whole_number(operation, "width", low, 0)
    return low, whole_number(operation, "width", high, low)


def _decisions(
    operation: str, x: Any, p: float, each: int, uniforms: int, key: Keys | None, index: Index | None, backend: Any
) -> tuple[Any, Any]:
    """For each example `each` decisions (True = kept whole), (N, each), and `uniforms` numbers beside every one."""
    shape = (len(x), each)
    if index is not None and index.shape[1:] == () and each == 1:  # an index of the examples alone
        index = _with_last_axis(index, 1)
    index = noise_index(operation, shape, key, index)
    backend = x.backend if isinstance(x, Tensor) else backend
    like = np.zeros(0)  # float64: a float32 number could be rounded up to 1
    whole = spread(keep_array(operation, like, p, index, key=key, backend=backend), shape, key, index)
    finer = _with_last_axis(index, uniforms)  # (N, each, uniforms)
    places = uniform_array(operation, like, finer, key=key, backend=backend)
    return whole, spread(places, (*shape, uniforms), key, finer).reshape(len(x), each * uniforms)


def _with_last_axis(index: Index, n: int) -> Index:
    """The index of noise that has n elements in place of each one."""
    strides = (*(stride * n for stride in index.strides), 1 if n > 1 else 0)
    return Index((*index.shape, n), strides, index.offset * n, index.rows)


def _interval(first: Any, stop: Any, n: int, axis: int, rank: int) -> Any:
    """Where an axis of n elements lies in [first, stop), for each example: (N, 1, ..., n, ..., 1)."""
    i = np.arange(n).reshape(*(n if k == axis else 1 for k in range(rank)))
    first, stop = (a.reshape(-1, *(1,) * (rank - 1)) for a in (first, stop))
    return (i >= first) & (i < stop)
