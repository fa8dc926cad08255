"""Masks made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..backends.select import select
from ..random import Draw
from .source import Request, Rule


class Given:
    """Masks in the order in which they are asked for, or by site (then the same one at every call).

    Masks are boolean, True = kept, and broadcast to the array that they are for.
    Raises: LookupError where no mask is left or the site has none; ValueError for a mask that does not fit.
    """

    def __init__(self, masks: Iterable[Any] | Mapping[int, Any]) -> None:
        self._by_site = dict(masks) if isinstance(masks, Mapping) else None
        self._in_order = iter(() if isinstance(masks, Mapping) else masks)
        self._used = 0

    def keep(self, request: Request) -> Any:
        return checked_mask(self._next(request.draw), request.x.shape)

    def _next(self, draw: Draw) -> Any:
        if self._by_site is not None:
            site = getattr(draw.key[0] if isinstance(draw.key, tuple) else draw.key, "site", None)
            if site not in self._by_site:
                raise LookupError(f"no mask was given for site {site}; given are sites {sorted(self._by_site)}")
            return self._by_site[site]
        for mask in self._in_order:
            self._used += 1
            return mask
        raise LookupError(f"all {self._used} given masks are used up; this draw is number {self._used + 1}")

    def rule(self, request: Request) -> Rule:
        return select

    def real(self, operation: str) -> None:
        """Real noise is no mask: it is drawn as ever."""


def checked_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    """The mask, if it is boolean and broadcasts to `shape`."""
    mask = mask if hasattr(mask, "dtype") else np.asarray(mask)
    if mask.dtype != np.bool_:
        raise TypeError(f"a mask must be boolean (True = kept), got dtype {mask.dtype}; compare it first: mask != 0")
    fits = len(mask.shape) <= len(shape) and all(
        m in (1, n) for m, n in zip(mask.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"a mask of shape {mask.shape} does not broadcast to the array's shape {shape}")
    return mask
