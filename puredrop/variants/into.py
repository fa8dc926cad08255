"""Arrays to write results to."""

from __future__ import annotations

from typing import Any

from .. import streams
from ..random import Index
from ..tensor import Tensor
from .asked import Asked
from .bernoulli_map import bernoulli_map
from .noise import draw_at


def checked_out(asked: Asked, out: Any, x: Any) -> None:
    """Raise TypeError, ValueError unless the map of array x can be written to `out`."""
    name = asked.operation
    if isinstance(x, Tensor) or isinstance(out, Tensor):
        raise TypeError(f"{name}: out= is for arrays; what a tensor holds must not change, for a graph may need it")
    if not hasattr(out, "flags"):
        raise TypeError(f"{name}: out must be an array, got {type(out).__name__}")
    if (out.shape, out.dtype) != (x.shape, x.dtype):
        raise ValueError(f"{name}: out must be {x.dtype} of shape {x.shape}, got {out.dtype} of shape {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: out cannot be written to; give a copy, out=np.empty_like(x)")
    if overlaps_itself(out):
        raise ValueError(f"{name}: out has elements that share memory, as a broadcast view has; give an array without")
    if asked.return_mask:
        raise ValueError(f"{name}: give either out or return_mask; for the mask call keep_mask with the same key")


def overlaps_itself(a: Any) -> bool:
    """Whether two elements of an array may lie in one place.

    >>> import numpy as np
    >>> overlaps_itself(np.broadcast_to(np.zeros(3), (2, 3))), overlaps_itself(np.zeros((4, 6))[::2, ::-3])
    (True, False)
    """
    reach = a.itemsize  # of the axes so far, the closest first
    for step, n in sorted((abs(step), n) for step, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if step < reach:
            return a.size > 0
        reach += step * (n - 1)
    return False


def map_into(asked: Asked, out: Any, x: Any, p: Any, index: Index, *, scale: Any) -> Any:
    """`bernoulli_map` of a checked array into a checked `out`, which may be x itself or overlap it."""
    kernel = asked.backend_of(x).fused.get("drop_into")
    fits = x.dtype.char in "fd" and out.flags.c_contiguous and (out is x or _is_apart(asked, out, x))
    drawn_here = asked.draws(p) and asked.mask is None and streams.current() is None
    if kernel is None or not fits or not drawn_here:
        out[...] = bernoulli_map(asked, x, p, index, scale=scale)
        return out
    asked.needed_key()
    kernel(out, x, *draw_at(asked, p, index), scale)
    return out


def _is_apart(asked: Asked, out: Any, x: Any) -> bool:
    """Whether x can be read while `out` is written: no common memory, or element by element the same."""
    if not asked.backend_of(x).xp.may_share_memory(out, x):
        return True
    return out.ctypes.data == x.ctypes.data and out.strides == x.strides
