"""Masks that stay fixed: a small ensemble within one network."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import streams
from ..random import PERMUTATION, Index, Key, bernoulli
from .asked import Asked
from .bernoulli_map import map_given
from .door import checked_array, real_number

__all__ = ["masksembles"]


def masksembles(
    x: Any,
    members: int = 4,
    scale: float = 2.0,
    *,
    key: Key | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A few fixed masks over the features, one for each part of the batch: an ensemble within one network.

    Math: y = x * m_k for the rows of part k of `members` equal parts, m_k fixed by the key; there is no scale.
        Evaluation gives the same y. Gradient: dx = g * m_k. Each mask keeps the same number of features, every feature
        is kept by some member, and members share about 1 / scale of what they keep: scale 1 keeps all, larger ones make
        members less alike. For predictions repeat the batch, np.concatenate([x] * members), and average the parts.
        Other masks that stay are a choice of key: the same key again (fixed masks; or the key of a rollout, stored with
        it, in its later update), or an index of rows named by example, Index.whole(shape)[ids] (masks tied to
        examples).
    Shapes: x (N, C, ...), N a multiple of `members`; y like x; masks (members, C).
    Dtypes: float32, float64; y like x.
    Draws: permutation words, at (key, element number) of an array (attempts, members, pool); each member keeps the
        positions of the smallest, and the first attempt whose members together use C positions is taken. `mask=`
        (members, C), True = kept, replaces them; `return_mask=True` gives (y, masks).
    Raises: TypeError for whole-number x; ValueError for fewer than 10 features without `mask`, a scale outside [1, 6],
        an N that is no multiple of `members`, or no key.
    Reference: Durasov et al., "Masksembles for uncertainty estimation" (2021).

    >>> from puredrop import Key
    >>> masksembles(np.ones((2, 12)), members=2, scale=3.0, key=Key(0)).astype(int)
    array([[1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0],
           [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1]])
    """
    name = "masksembles"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    x = checked_array(name, x)
    if isinstance(members, bool) or not hasattr(members, "__index__") or members < 1:
        raise ValueError(f"{name}: members must be a whole number of at least 1, got {members!r}")
    if not 1 <= real_number(name, "scale", scale) <= 6:
        raise ValueError(f"{name}: scale must lie in [1, 6], got {scale}; 1 keeps all features in all members")
    if len(x.shape) < 2 or x.shape[0] % members:
        raise ValueError(f"{name}: x must be (N, C, ...), N a multiple of the {members} members, got shape {x.shape}")
    features = x.shape[1]
    if mask is None:
        one = asked.needed_key()
        if isinstance(one, tuple):
            raise ValueError(f"{name}: the members are fixed by one key, got {len(one)} keys")
        mask = _members_masks(one, members, features, float(scale))
    mask = asked.backend_of(x).xp.asarray(mask)
    bank = np.broadcast_to(streams.checked_mask(mask, (members, features)), (members, features))
    rows = np.repeat(bank, x.shape[0] // members, axis=0)  # (N, C)
    keep = np.broadcast_to(rows.reshape(*rows.shape, *(1 for _ in x.shape[2:])), x.shape)
    return asked.answer(map_given(asked, x, keep), bank)


@lru_cache(maxsize=64)
def _members_masks(key: Key, members: int, features: int, scale: float) -> np.ndarray:
    """Masks (members, features) that keep equally many each, and all features together."""
    if features < 10:
        raise ValueError(f"masksembles: masks need 10 features or more, got {features}; give mask= for fewer")
    share = scale * (1 - (1 - 1 / scale) ** members)  # features / kept, where members choose independently
    kept = min(features, max(round(features / share), -(-features // members)))
    pool = features
    while pool * (1 - (1 - kept / pool) ** members) < features - 0.5:  # expected number of positions in use
        pool += 1
    whole = Index.whole((1000, members, pool))
    for attempt in range(1000):
        words = bernoulli.words(key, whole[attempt : attempt + 1], PERMUTATION)[0]  # (members, pool)
        masks = np.zeros(words.shape, np.bool_)
        np.put_along_axis(masks, np.argsort(words, axis=1, kind="stable")[:, :kept], True, axis=1)
        used = masks.any(axis=0)
        if used.sum() == features:
            masks = masks[:, used]
            masks.flags.writeable = False
            return masks
    raise ValueError(f"masksembles: no masks for {features} features and scale {scale} in 1000 attempts; change one")
