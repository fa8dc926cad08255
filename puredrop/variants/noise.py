"""Noise as an array, for variants that do more with it than select.

`keep_array`, `normal_array` and `uniform_array` give the noise as it is drawn: of `index.noise_shape`, with an axis in
front where there are several keys. The others give it so that it fits the data. The noise that a caller hands in
(`mask=`) takes the place of the draw. Noise is a constant: arrays, never tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import streams
from ..backends.select import select
from ..random import Draw, Index, threshold
from ..tensor import on_backend, raw
from .asked import Asked
from .door import Shape


def foreign_mask(asked: Asked, x: Any, p: Any, draw: Draw) -> tuple[streams.Rule, Any] | None:
    """The mask of array x and the rule for it: handed in, or from the source in force. None: the backend draws it."""
    if asked.mask is not None:
        return select, streams.checked_mask(asked.mask, x.shape)
    return streams.answered(asked.operation, x, draw, p)


def draw_at(asked: Asked, p: Any, index: Index) -> Draw:
    """The address of a Bernoulli noise. Its key may be None, where a mask is handed in or a source answers."""
    return Draw(asked.key, index, threshold(p))  # type: ignore[arg-type]


def keep_array(asked: Asked, like: Any, p: Any, index: Index) -> Any:
    """The boolean mask (True = kept), drawn at rate p; asks the source in force."""
    draw = draw_at(asked, p, index)
    foreign = foreign_mask(asked, np.broadcast_to(raw(like).dtype.type(1), index.noise_shape), p, draw)
    backend = asked.backend_of(like)
    return backend.keep(asked.needed_key(), *draw[1:]) if foreign is None else on_backend(backend, foreign[1])


def normal_array(asked: Asked, like: Any, index: Index, dtype: Any = None) -> Any:
    """Standard normal numbers, in `dtype` or else that of `like`."""
    return _real(asked, like, index, dtype, asked.backend_of(like).normal)


def uniform_array(asked: Asked, like: Any, index: Index, dtype: Any = None) -> Any:
    """Uniform numbers on (0, 1), in `dtype` or else that of `like`."""
    return _real(asked, like, index, dtype, asked.backend_of(like).uniform)


def _real(asked: Asked, like: Any, index: Index, dtype: Any, draw: Callable[..., Any]) -> Any:
    dtype = np.dtype(raw(like).dtype if dtype is None else dtype)
    if asked.mask is not None:
        return _handed_in(asked, index.noise_shape, dtype)
    source = streams.current()
    if source is not None:
        source.real(asked.operation)
    return draw(asked.needed_key(), index, dtype)


def _handed_in(asked: Asked, shape: Shape, dtype: Any) -> Any:
    noise = asked.mask if hasattr(asked.mask, "dtype") else np.asarray(asked.mask, dtype)
    if noise.dtype.kind != "f" or noise.shape != shape:
        raise ValueError(
            f"{asked.operation}: the noise handed in must be real numbers of shape {shape}, "
            f"got {noise.dtype} of shape {noise.shape}"
        )
    return noise.astype(dtype, copy=False)


def spread(asked: Asked, noise: Any, index: Index, shape: Shape) -> Any:
    """Noise as it is drawn, so that it broadcasts to an array of `shape`: shared axes stay of size 1."""
    if not isinstance(asked.key, tuple):
        return noise if noise.shape == index.noise_shape else np.broadcast_to(noise, index.noise_shape)
    noise = np.broadcast_to(noise, (len(asked.key), *index.noise_shape))
    if len(shape) > len(index.shape):
        return noise
    keys, rows, rest = len(asked.key), index.shape[0], index.noise_shape[1:]
    return np.broadcast_to(noise, (keys, rows, *rest)).reshape(keys * rows, *rest)  # the two axes are merged in x


def keep_over(asked: Asked, like: Any, p: Any, index: Index, shape: Shape) -> Any:
    """The mask of an array of `shape`, whole: drawn at rate p, or handed in for that shape."""
    if asked.mask is not None:
        return np.broadcast_to(streams.checked_mask(asked.mask, shape), shape)
    return np.broadcast_to(spread(asked, keep_array(asked, like, p, index), index, shape), shape)


def real_for(asked: Asked, draw: Callable[..., Any], like: Any, index: Index, shape: Shape, dtype: Any = None) -> Any:
    """Real noise that broadcasts to `shape`, drawn by `normal_array` or `uniform_array`, or handed in like that."""
    if asked.mask is None:
        return spread(asked, draw(asked, like, index, dtype), index, shape)
    needed = spread(asked, np.True_, index, shape).shape
    return _handed_in(asked, needed, np.dtype(raw(like).dtype if dtype is None else dtype))


def logistic(asked: Asked, u: Any, dtype: Any) -> Any:
    """Logistic numbers: the logits of uniform ones, which must lie strictly between 0 and 1."""
    if not ((u > 0) & (u < 1)).all():
        raise ValueError(f"{asked.operation}: the uniform numbers handed in must lie between 0 and 1, both excluded")
    return (np.log(u) - np.log1p(-u)).astype(dtype)
