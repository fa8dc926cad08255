"""One decision for many elements: channels, time steps, tokens, batches.

All of these are `dropout` with shared axes; none of them guesses what an axis means.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np  # noqa: F401  # the examples use it

from ..random import Index, Keys
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale
from .door import checked_array, checked_ids, checked_rate, whole_number

__all__ = [
    "spatial_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "locked_dropout",
    "batchwise_dropout",
    "token_dropout",
]


def spatial_dropout(
    x: Any,
    p: Any = 0.5,
    *,
    spatial_dims: int,
    channel_axis: int,
    batch_axis: int | None = 0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole channels with probability p and scale the rest by 1 / (1 - p).

    Math: y = x * m / (1 - p), one m for each channel of each example; E[y] = x. Gradient: dx = g * m / (1 - p).
        Evaluation and p = 0 give x; p = 1 gives zeros.
    Shapes: x has exactly `spatial_dims` axes besides `channel_axis` and `batch_axis` (None: no batch); what an axis
        means is said and never guessed from the rank. y like x.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one halfword a channel and example, at (key, element number); `index` says which part of a whole x is. A
        tuple of keys enumerates an axis in front, which the axes named here do not count.
    Raises: TypeError, ValueError for a wrong p, x of another rank, or axes that do not exist or are one and the same.
    Reference: Tompson et al., "Efficient object localization using convolutional networks" (2015).

    >>> from puredrop import Key
    >>> y = spatial_dropout(np.ones((2, 3, 4, 4)), 0.5, spatial_dims=2, channel_axis=1, key=Key(7))
    >>> y[:, :, 0, 0].tolist(), bool((y == y[:, :, :1, :1]).all())
    ([[0.0, 2.0, 2.0], [2.0, 2.0, 0.0]], True)
    """
    asked = Asked("spatial_dropout", key, mask, training, index, return_mask, backend)
    x = checked_array("spatial_dropout", x)
    rank = len(asked.shape_of_one_key(x.shape))
    return _shared(asked, x, p, spatial_axes("spatial_dropout", rank, spatial_dims, channel_axis, batch_axis))


def dropout1d(
    x: Any,
    p: Any = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole channels of sequences: `spatial_dropout` for (N, C, L) and (C, L).

    Math: y = x * m / (1 - p), one m for each channel; E[y] = x. Gradient: dx = g * m / (1 - p). Evaluation and p = 0
        give x; p = 1 gives zeros.
    Shapes: x (N, C, L), or (C, L) without a batch, as in PyTorch; any other rank is refused. y like x.
    Dtypes: as `dropout`.
    Draws: one halfword a channel and example.
    Raises: as `spatial_dropout`.
    Reference: Tompson et al. (2015).

    >>> from puredrop import Key
    >>> dropout1d(np.ones((3, 4)), 0.5, key=Key(7)).tolist()
    [[0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]]
    """
    asked = Asked("dropout1d", key, mask, training, index, return_mask, backend)
    return _by_rank(asked, x, p, {3: "(N, C, L)", 2: "(C, L)"})


def dropout2d(
    x: Any,
    p: Any = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole channels of images: `spatial_dropout` for (N, C, H, W).

    Math: y = x * m / (1 - p), one m for each channel; E[y] = x. Gradient: dx = g * m / (1 - p). Evaluation and p = 0
        give x; p = 1 gives zeros.
    Shapes: x (N, C, H, W) and nothing else. Three axes are refused: PyTorch reads them as (N, C, L), most readers as
        (C, H, W). Say which: `dropout1d`, or `spatial_dropout(spatial_dims=2, channel_axis=0, batch_axis=None)`.
    Dtypes: as `dropout`.
    Draws: one halfword a channel and example.
    Raises: as `spatial_dropout`.
    Reference: Tompson et al. (2015).

    >>> from puredrop import Key
    >>> dropout2d(np.ones((2, 3, 4, 4)), 0.5, key=Key(7))[:, :, 0, 0].tolist()
    [[0.0, 2.0, 2.0], [2.0, 2.0, 0.0]]
    """
    asked = Asked("dropout2d", key, mask, training, index, return_mask, backend)
    return _by_rank(asked, x, p, {4: "(N, C, H, W)"})


def dropout3d(
    x: Any,
    p: Any = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole channels of volumes: `spatial_dropout` for (N, C, D, H, W) and (C, D, H, W).

    Math: y = x * m / (1 - p), one m for each channel; E[y] = x. Gradient: dx = g * m / (1 - p). Evaluation and p = 0
        give x; p = 1 gives zeros.
    Shapes: x (N, C, D, H, W), or (C, D, H, W) without a batch, as in PyTorch; any other rank is refused. y like x.
    Dtypes: as `dropout`.
    Draws: one halfword a channel and example.
    Raises: as `spatial_dropout`.
    Reference: Tompson et al. (2015).

    >>> from puredrop import Key
    >>> dropout3d(np.ones((2, 3, 2, 4, 4)), 0.5, key=Key(7))[:, :, 0, 0, 0].tolist()
    [[0.0, 2.0, 2.0], [2.0, 2.0, 0.0]]
    """
    asked = Asked("dropout3d", key, mask, training, index, return_mask, backend)
    return _by_rank(asked, x, p, {5: "(N, C, D, H, W)", 4: "(C, D, H, W)"})


def locked_dropout(
    x: Any,
    p: Any = 0.5,
    *,
    time_axis: int | None = None,
    sequences: Any = None,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop the same features at every time step of a sequence.

    Math: y = x * m / (1 - p), one m for each feature of each sequence; E[y] = x. Gradient: dx = g * m / (1 - p).
        Evaluation and p = 0 give x; p = 1 gives zeros.
    Shapes: x (N, T, ...) with `time_axis=1`, or (T, N, ...) with `time_axis=0`: sequence n has the same mask in both.
        Sequences of different lengths may be packed: x (P, ...) with `sequences` (P,), the number of the sequence that
        each row belongs to; their masks are those of the padded form. y like x.
    Dtypes: as `dropout`.
    Draws: one halfword a feature and sequence, at (key, n * D + feature). One key for a whole sequence that is
        read in chunks keeps the mask over the chunks.
    Raises: TypeError, ValueError for a wrong p, both or neither of time_axis and sequences, or what does not fit.
    Reference: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks" (2016);
        Merity et al., "Regularizing and optimizing LSTM language models" (2018).

    >>> from puredrop import Key
    >>> padded = locked_dropout(np.ones((2, 3, 4)), 0.5, time_axis=1, key=Key(7))
    >>> padded[:, 0].tolist(), bool((padded == padded[:, :1]).all())
    ([[0.0, 2.0, 2.0, 2.0], [2.0, 0.0, 2.0, 0.0]], True)
    >>> packed = locked_dropout(np.ones((5, 4)), 0.5, sequences=[0, 1, 0, 1, 0], key=Key(7))
    >>> bool((packed == padded[[0, 1, 0, 1, 0], 0]).all())
    True
    """
    name = "locked_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x = checked_array(name, x)
    shape = asked.shape_of_one_key(x.shape)
    if (time_axis is None) == (sequences is None):
        raise ValueError(f"{name}: give time_axis (padded sequences) or sequences (packed ones), one of them")
    if time_axis is not None:
        return _shared(asked, x, p, (_axis(name, "time_axis", time_axis, len(shape)),))
    if index is not None:
        raise ValueError(f"{name}: give either index or sequences, got both; sequence numbers say which part x is")
    rows = _row_numbers(name, "sequences", sequences)
    if not shape or rows.shape != shape[:1]:
        raise ValueError(f"{name}: sequences of shape {rows.shape} do not number the rows of x of shape {x.shape}")
    whole = Index.whole((int(rows.max(initial=-1)) + 1, *shape[1:]))
    return _shared(replace(asked, index=whole[rows]), x, p, ())


def batchwise_dropout(
    x: Any,
    p: Any = 0.5,
    *,
    batch_axis: int = 0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop the same elements in every example of a batch, so that the next product can leave them out.

    Math: y = x * m / (1 - p), one m for the whole batch; E[y] = x. Gradient: dx = g * m / (1 - p). Evaluation and
        p = 0 give x; p = 1 gives zeros. With K the kept columns, y @ w = x[:, K] @ w[K] / (1 - p): the smaller product.
    Shapes: x any of rank 1 or more; y like x; the mask has size 1 on `batch_axis`.
    Dtypes: as `dropout`.
    Draws: one halfword an element of one example. `keep_mask(key, (1, D), p)` is the mask, for the smaller product.
    Raises: TypeError, ValueError for a wrong p, or a batch_axis that does not exist.
    Reference: Graham, Reizenstein & Robinson, "Efficient batchwise dropout training using submatrices" (2015).

    >>> from puredrop import Key, keep_mask
    >>> x, w = np.arange(12.0).reshape(2, 6), np.arange(18.0).reshape(6, 3)
    >>> kept = keep_mask(Key(7), (1, 6), 0.5)[0]
    >>> bool((batchwise_dropout(x, 0.5, key=Key(7)) @ w == x[:, kept] @ w[kept] / 0.5).all())
    True
    """
    asked = Asked("batchwise_dropout", key, mask, training, index, return_mask, backend)
    x = checked_array("batchwise_dropout", x)
    rank = len(asked.shape_of_one_key(x.shape))
    return _shared(asked, x, p, (_axis("batchwise_dropout", "batch_axis", batch_axis, rank),))


def token_dropout(
    x: Any,
    p: Any = 0.1,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole vectors, those of the last axis, and scale the rest by 1 / (1 - p).

    Math: y = x * m / (1 - p), one m for each vector; E[y] = x. Gradient: dx = g * m / (1 - p). Evaluation and p = 0
        give x; p = 1 gives zeros.
    Shapes: x (..., D), as (N, T, D); the mask has size 1 on the last axis. y like x.
    Dtypes: as `dropout`.
    Draws: one halfword a vector.
    Raises: TypeError, ValueError for a wrong p, or x of rank 0 or 1, which has no vectors to choose from.
    Reference: Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification" (2015), where
        the mean over the kept tokens takes the place of the scale.

    >>> from puredrop import Key
    >>> token_dropout(np.ones((1, 3, 2)), 0.5, key=Key(7)).tolist()
    [[[0.0, 0.0], [2.0, 2.0], [2.0, 2.0]]]
    """
    asked = Asked("token_dropout", key, mask, training, index, return_mask, backend)
    x = checked_array("token_dropout", x)
    rank = len(asked.shape_of_one_key(x.shape))
    if rank < 2:
        raise ValueError(f"token_dropout: x must be (..., D) with two axes or more, got shape {x.shape}")
    return _shared(asked, x, p, (rank - 1,))


def _shared(asked: Asked, x: Any, p: Any, shared: tuple[int, ...]) -> Any:
    """`dropout` of a checked x with shared axes, which an index that is given knows itself."""
    p = checked_rate(asked.operation, p)
    index = asked.index_for(x.shape, shared if asked.index is None else ())
    return bernoulli_map(asked, x, p, index, scale=inverted_scale(p))


def _by_rank(asked: Asked, x: Any, p: Any, ranks: dict[int, str]) -> Any:
    """Channels of an array whose rank alone says what its axes are: the smaller of two ranks has no batch."""
    x = checked_array(asked.operation, x)
    rank = len(asked.shape_of_one_key(x.shape))
    if rank not in ranks:
        raise ValueError(
            f"{asked.operation}: x must be {' or '.join(ranks.values())}, got shape {x.shape}; "
            f"spatial_dropout takes other layouts by name"
        )
    first_spatial = 1 if ranks[rank].startswith("(C") else 2
    return _shared(asked, x, p, tuple(range(first_spatial, rank)))


def spatial_axes(
    operation: str, rank: int, spatial_dims: int, channel_axis: int, batch_axis: int | None
) -> tuple[int, ...]:
    """The axes that are neither channel nor batch, if there are `spatial_dims` of them."""
    dims = whole_number(operation, "spatial_dims", spatial_dims, 1)
    named = ("channel_axis", channel_axis), ("batch_axis", batch_axis)
    expected = dims + 1 + (batch_axis is not None)
    if rank != expected:
        batch = "no batch axis" if batch_axis is None else "a batch axis"
        raise ValueError(
            f"{operation}: {dims} spatial axes, a channel axis and {batch} make {expected}, got x with {rank}; "
            f"set spatial_dims, or batch_axis=None for x without a batch"
        )
    taken = [_axis(operation, name, axis, rank) for name, axis in named if axis is not None]
    if len(set(taken)) < len(taken):
        raise ValueError(f"{operation}: channel_axis and batch_axis are both axis {taken[0]}")
    return tuple(axis for axis in range(rank) if axis not in taken)


def _row_numbers(operation: str, name: str, rows: Any) -> Any:
    rows = checked_ids(operation, rows, name=name)
    if rows.size and rows.min() < 0:
        raise ValueError(f"{operation}: {name} must not be negative, got {rows.min()}")
    return rows


def _axis(operation: str, name: str, axis: Any, rank: int) -> int:
    number = whole_number(operation, name, axis, -rank)
    if number >= rank:
        raise ValueError(f"{operation}: {name} = {number} does not exist in an array of {rank} axes")
    return number % rank
