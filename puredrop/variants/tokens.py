"""One decision for many elements, made by looking up or choosing: words, patches, prefixes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops, streams
from ..backends import on_host
from ..random import PERMUTATION, Index, Keys
from ..tensor import Tensor
from .asked import Asked
from .bernoulli_map import inverted_scale, map_and_mask, map_given
from .door import checked_array, checked_ids, checked_rate, one_rate, unchanged, whole_number
from .noise import keep_over, spread

__all__ = [
    "embedding_dropout",
    "word_dropout",
    "patch_dropout",
    "nested_dropout",
]


def embedding_dropout(
    weight: Any,
    ids: Any,
    p: float = 0.1,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Look up words in an embedding matrix some rows of which are dropped: a dropped word is dropped everywhere.

    Math: y = (weight * m / (1 - p))[ids], one m for each row (word); E[y] = weight[ids]. Gradient: dweight =
        m / (1 - p) * (g added up by word). Evaluation and p = 0 give weight[ids]; p = 1 gives zeros.
    Shapes: weight (V, D), ids whole numbers in [0, V) of any shape; y (*ids.shape, D).
    Dtypes: y like weight.
    Draws: one halfword for each word that occurs, at (key, word number): the matrix (V, D) is never copied. K keys
        divide the first axis of ids into K equal parts. The mask has shape (*ids.shape, 1), handed in or returned.
    Raises: TypeError for ids that are no whole numbers; ValueError for ids outside [0, V), weight that is no matrix,
        or a wrong p or mask.
    Reference: Gal & Ghahramani (2016); Merity et al. (2018).

    >>> from puredrop import Key
    >>> embedding_dropout(np.ones((5, 2)), [4, 0, 3, 0], 0.5, key=Key(7)).tolist()
    [[2.0, 2.0], [0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
    """
    name = "embedding_dropout"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    weight, p = checked_array(name, weight), one_rate(name, p)
    if weight.ndim != 2:
        raise ValueError(f"{name}: weight must be a matrix (V, D), got shape {weight.shape}")
    v, d = weight.shape
    ids = on_host(checked_ids(name, ids, v))  # which rows are drawn is worked out on the host
    if mask is not None or not training or p == 0:
        y = ops.rows(weight, ids=ids, backend=backend)  # (*ids.shape, D)
        mask = asked.backend_of(weight).xp.ones(1, np.bool_) if mask is None else mask
        keep = np.broadcast_to(streams.checked_mask(mask, (*ids.shape, 1)), (*ids.shape, 1))
        if asked.mask is not None and training:
            y = map_given(asked, y, keep, scale=inverted_scale(p))
        return asked.answer(y, keep)
    # A word that occurs twice is looked up and decided once.
    words, place = np.unique(ids, return_inverse=True)  # (U,)
    place = place.reshape(-1)  # (n,)
    rows = ops.rows(weight, ids=words, backend=backend)  # (U, D)
    if isinstance(key, tuple):
        place = place + len(words) * _group(name, ids, len(key))
        rows = ops.broadcast_to(rows, shape=(len(key), *rows.shape), backend=backend)
    rows, keep = map_and_mask(asked, rows, p, Index.whole((v, d), shared=1)[words], scale=inverted_scale(p))
    rows = ops.reshape(rows, shape=(-1, d), backend=backend)
    y = ops.rows(rows, ids=place.reshape(ids.shape), backend=backend)  # (*ids.shape, D)
    return (y, keep.reshape(-1, d)[place, :1].reshape(*ids.shape, 1)) if return_mask else y


def word_dropout(
    ids: Any,
    p: Any = 0.1,
    *,
    unknown: int,
    protected: int | Sequence[int] = (),
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Replace each token by the unknown word with probability p.

    Math: y = ids where kept, else `unknown`; nothing is scaled. No gradient by ids; that of the embedding goes to the
        row of the unknown word. Evaluation and p = 0 give ids; p = 1 replaces all but the protected.
    Shapes: ids of any shape; y like ids.
    Dtypes: whole numbers; y like ids.
    Draws: one halfword a token. `protected` ids (padding, start and end marks) are drawn for and kept all the same.
        The mask that is returned is True where the token stands.
    Raises: TypeError for ids that are no whole numbers; ValueError for a wrong p or mask, or for an `unknown` that the
        dtype cannot hold.
    Reference: Iyyer et al. (2015); Bowman et al., "Generating sentences from a continuous space" (2016).

    >>> from puredrop import Key
    >>> word_dropout([[5, 6, 7, 8, 9, 0]], 0.5, unknown=1, protected=0, key=Key(7)).tolist()
    [[1, 6, 7, 8, 9, 0]]
    """
    name = "word_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    given, p, xp = ids, checked_rate(name, p), asked.backend_of(ids).xp
    ids = xp.asarray(checked_ids(name, ids))
    unknown = operator.index(unknown)
    if not np.iinfo(ids.dtype).min <= unknown <= np.iinfo(ids.dtype).max:
        raise ValueError(f"{name}: unknown = {unknown} does not fit ids of dtype {ids.dtype}")
    if not asked.draws(p):
        return asked.undrawn(given if isinstance(given, Tensor) else ids.copy())
    like = Tensor(np.float32(1), asked.backend_of(given))  # ids have no dtype to draw in
    keep = keep_over(asked, like, p, asked.index_for(ids.shape), ids.shape) | xp.isin(ids, xp.asarray(protected))
    y = xp.where(keep, ids, ids.dtype.type(unknown))
    return asked.answer(Tensor(y, given.backend) if isinstance(given, Tensor) else y, keep)


def patch_dropout(
    x: Any,
    p: float = 0.5,
    *,
    prefix: int = 0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Remove a share p of the tokens of each example: the sequence becomes shorter.

    Math: y = x at the kept tokens, in their old order; nothing is scaled. Of P = T - prefix tokens round(p P) are
        removed, every choice of them equally likely; the first `prefix` tokens (a class token) stay. Gradient: g at the
        kept tokens, else 0. Evaluation and p = 0 give x; p = 1 leaves the prefix.
    Shapes: x (N, T, D); y (N, T - round(p P), D); the mask (N, P), with equally many True in each row.
    Dtypes: y like x.
    Draws: one 32-bit word a token, those with the smallest words go; `index` (of shape (N, P)) says which part of a
        whole is drawn. K keys divide the rows of x into K equal parts.
    Raises: TypeError, ValueError for a wrong p, x that is not (N, T, D), a prefix beyond T, or a mask whose rows keep
        different numbers.
    Reference: Liu et al., "PatchDropout: economizing vision transformers using patch dropout" (2023); Li et al.,
        "Scaling language-image pre-training via masking" (2023).

    >>> from puredrop import Key
    >>> patch_dropout(np.arange(7.0).reshape(1, 7, 1), 0.5, prefix=1, key=Key(7)).ravel().tolist()
    [0.0, 1.0, 2.0, 6.0]
    """
    name = "patch_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    if x.ndim != 3:
        raise ValueError(f"{name}: x must be (N, T, D), got shape {x.shape}")
    prefix = whole_number(name, "prefix", prefix, 0)
    if prefix > x.shape[1]:
        raise ValueError(f"{name}: prefix = {prefix} tokens are more than the {x.shape[1]} of x")
    shape = (x.shape[0], x.shape[1] - prefix)
    if not asked.draws(p):
        return asked.undrawn(unchanged(x), shape=shape)
    if mask is None:
        keep = _fixed_count(asked, x, shape, round(p * shape[1]))
    else:
        keep = np.broadcast_to(streams.checked_mask(mask, shape), shape)  # (N, P)
    kept = keep.sum(axis=1)  # (N,)
    if kept.size and kept.min() != kept.max():
        raise ValueError(f"{name}: every row of a mask must keep equally many, got {kept.min()} to {kept.max()}")
    patches = prefix + keep.nonzero()[1].reshape(len(kept), int(kept.max()) if kept.size else 0)  # (N, k), in order
    xp = asked.backend_of(x).xp
    columns = xp.concatenate([xp.broadcast_to(xp.arange(prefix), (len(kept), prefix)), patches], axis=1)
    y = ops.take(x, index=(np.arange(len(kept))[:, None], columns), backend=backend)  # (N, prefix + k, D)
    return asked.answer(y, keep)


def nested_dropout(
    x: Any,
    p: float = 0.1,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Keep the first b units of the last axis, b geometric, so that the first units learn what matters most.

    Math: y_i = x_i for i <= b, else 0; nothing is scaled. P(b = k) = p (1 - p)^(k - 1) below D, and the whole rest at D
        (no renormalisation): unit i survives with probability (1 - p)^(i - 1), the first always. E[y_i] =
        (1 - p)^(i - 1) x_i. Gradient: g up to b. Evaluation and p = 0 give x; p = 1 keeps the first unit alone.
    Shapes: x (..., D), one b for each vector of the last axis; y like x.
    Dtypes: y like x.
    Draws: one halfword for every unit but the first: where the first of them is dropped the prefix ends, so b is
        geometric exactly. `index` (of shape (..., D - 1)) says which part of a whole is drawn. K keys divide the first
        axis of x into K equal parts.
    Raises: TypeError, ValueError for a wrong p, or x without a last axis.
    Reference: Rippel, Gelbart & Adams, "Learning ordered representations with nested dropout" (2014).

    >>> from puredrop import Key
    >>> nested_dropout(np.ones((3, 5)), 0.3, key=Key(7)).sum(axis=1).tolist()
    [5.0, 2.0, 5.0]
    """
    name = "nested_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"{name}: x must be (..., D) with D at least 1, got shape {x.shape}")
    if not asked.draws(p):
        return asked.undrawn(unchanged(x))
    if mask is None:
        shape = (*x.shape[:-1], x.shape[-1] - 1)
        goes_on = keep_over(asked, x, p, asked.index_in_parts(shape), shape)
        xp = asked.backend_of(x).xp
        first = xp.ones((*x.shape[:-1], 1), np.bool_)
        mask = xp.concatenate([first, goes_on], axis=-1).cumprod(axis=-1, dtype=np.uint8) == 1  # like x
    keep = np.broadcast_to(streams.checked_mask(mask, x.shape), x.shape)
    return asked.answer(map_given(asked, x, keep), keep)


def _fixed_count(asked: Asked, x: Any, shape: tuple[int, int], dropped: int) -> Any:
    """A mask that drops equally many in each row: those with the smallest (word, index)."""
    index = asked.index_in_parts(shape)
    words = asked.backend_of(x).words(asked.needed_key(), index, PERMUTATION)
    words = np.broadcast_to(spread(asked, words, index, shape), shape)  # (N, P)
    order = words.argsort(axis=-1, kind="stable")
    return order.argsort(axis=-1) >= dropped  # the order of an order is the place of each in it


def _group(operation: str, ids: Any, groups: int) -> Any:
    """The number of the key that each of `ids`, flat, belongs to. (n,)"""
    if not ids.ndim or ids.shape[0] % groups:
        raise ValueError(f"{operation}: {groups} keys do not divide the first axis of ids of shape {ids.shape}")
    return np.repeat(np.arange(groups), ids.size // groups)
