"""Noise as an array, for variants that do more with it than select.

Each function takes the injected noise (`mask=`) in place of the draw, and gives arrays, never tensors: noise is
a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backends, streams
from ..random import Draw, Index, Keys, threshold
from ..tensor import Tensor, raw
from .door import checked_key


def keep_array(
    operation: str, like: Any, p: Any, index: Index, *, key: Keys | None, mask: Any = None, backend: Any = None
) -> Any:
    """The boolean mask (True = kept) of `index.noise_shape`, drawn at rate p or given; asks the source in force."""
    if mask is not None:
        return streams.checked_mask(mask, index.noise_shape)
    draw = Draw(key, index, threshold(p))  # type: ignore[arg-type]  # without a key, a source must answer
    answer = streams.answered(np.broadcast_to(raw(like).dtype.type(1), index.noise_shape), draw, p)
    if answer is not None:
        return answer[1]
    return _backend_of(like, backend).keep(required_key(operation, key), index, draw.threshold)


def normal_array(
    operation: str, like: Any, index: Index, *, key: Keys | None, mask: Any = None, backend: Any = None
) -> Any:
    """Standard normal numbers of `index.noise_shape`, in the dtype of `like`."""
    return _real(operation, like, index, key, mask, _backend_of(like, backend).normal)


def uniform_array(
    operation: str, like: Any, index: Index, *, key: Keys | None, mask: Any = None, backend: Any = None
) -> Any:
    """Uniform numbers on (0, 1) of `index.noise_shape`, in the dtype of `like`."""
    return _real(operation, like, index, key, mask, _backend_of(like, backend).uniform)


def _real(operation: str, like: Any, index: Index, key: Keys | None, given: Any, draw: Callable[..., Any]) -> Any:
    dtype = raw(like).dtype
    if given is None:
        return draw(required_key(operation, key), index, dtype)
    noise = given if hasattr(given, "dtype") else np.asarray(given, dtype)
    if noise.dtype.kind != "f" or noise.shape != index.noise_shape:
        raise ValueError(
            f"{operation}: the noise handed in must be real numbers of shape {index.noise_shape}, "
            f"got {noise.dtype} of shape {noise.shape}"
        )
    return noise.astype(dtype, copy=False)


def required_key(operation: str, key: Keys | None) -> Keys:
    """The key, unless there is none, or something that is no key."""
    if checked_key(operation, key) is None:
        raise ValueError(f"{operation}: nothing to draw with; give key=Key(seed), or mask=")
    return key  # type: ignore[return-value]  # not None


def draw_of(key: Keys | None, number: int) -> Keys | None:
    """Independent draw `number` at the same address, for variants that draw several times."""
    if key is None:
        return None
    return tuple(one.draw(number) for one in key) if isinstance(key, tuple) else key.draw(number)


def _backend_of(like: Any, backend: Any) -> backends.Backend:
    return backends.get(like.backend if isinstance(like, Tensor) else backend)
