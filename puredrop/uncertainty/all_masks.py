"""All masks of a model as sources of masks: first what is decided at all, then many ways to decide it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backends.select import select
from ..random import Index
from ..streams import Request, Rule

COUNTED = ("fixed_count_dropout",)  # their decisions are not independent


class Decisions(NamedTuple):
    """The decisions of one draw: which site draws, and the rate of every element of the noise.

    by_element: whether the site told a rate for each, which may then depend on the data.
    """

    site: int
    p: np.ndarray
    by_element: bool

    @property
    def free(self) -> np.ndarray:
        """Where there is something to decide."""
        return (self.p > 0) & (self.p < 1)


class ChangedError(Exception):
    """What is decided depends on what was decided before, so that no list of decisions says it."""


class _Enumerating:
    """Base: what sources that enumerate have in common."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def rule(self, request: Request) -> Rule:
        return select

    def real(self, operation: str) -> None:
        raise ValueError(
            f"{self.operation}: {operation} draws real noise, which has no masks to enumerate; use predict instead"
        )

    def decisions(self, request: Request) -> Decisions:
        key = request.draw.key[0] if isinstance(request.draw.key, tuple) else request.draw.key
        if request.operation in COUNTED:
            raise ValueError(
                f"{self.operation}: {request.operation} drops a fixed number, and its masks are not enumerated; "
                f"use predict instead"
            )
        if key is None or key.sample == 0:
            raise ValueError(f"{self.operation}: {request.operation} draws at a key of its own, not as a layer")
        try:
            p = np.broadcast_to(np.asarray(request.p, np.float64), request.draw.index.noise_shape)
            return Decisions(key.site, p, np.ndim(request.p) > 0)
        except ValueError:  # a rate for every example or mask
            raise ChangedError from None


class Survey(_Enumerating):
    """Keeps what can be kept, and notes down what there is to decide."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.found: list[Decisions] = []

    def keep(self, request: Request) -> np.ndarray:
        self.found.append(self.decisions(request))
        return self.found[-1].p < 1


class AllMasks(_Enumerating):
    """Masks number first, first + 1, ... of those that a survey found, for as many samples in flight.

    Bit k of the number of a mask decides decision k: 1 keeps. Raises ChangedError where others are asked for.
    """

    def __init__(self, operation: str, surveyed: Sequence[Decisions], masks: range) -> None:
        super().__init__(operation)
        self.ahead = list(surveyed)
        self.bits = bits(masks, sum(int(d.free.sum()) for d in surveyed))

    def keep(self, request: Request) -> np.ndarray:
        asked, key = self.decisions(request), request.draw.key
        in_flight = len(key) if isinstance(key, tuple) else 1
        if in_flight != len(self.bits) or not self.ahead or not same(self.ahead[0], asked):
            raise ChangedError
        free = self.ahead.pop(0).free
        now, self.bits = np.split(self.bits, [int(free.sum())], axis=1)
        keep = np.repeat((asked.p < 1)[None], len(now), axis=0)  # (samples, *noise)
        keep[:, free] = now
        return laid_out(keep, request.draw.index, request.x.shape)

    def require_all_asked(self) -> None:
        """Raise ChangedError where not all that was to be decided was asked for."""
        if self.ahead:
            raise ChangedError


def bits(masks: range, count: int) -> np.ndarray:
    """The binary digits of numbers, lowest first: bool (len(masks), count)."""
    return (np.arange(masks.start, masks.stop)[:, None] >> np.arange(count) & 1).astype(np.bool_)


def probabilities(surveyed: Sequence[Decisions], masks: range) -> np.ndarray:
    """How probable each mask is."""
    p = np.concatenate([d.p[d.free] for d in surveyed])
    return np.where(bits(masks, len(p)), 1 - p, p).prod(axis=1)


def same(a: Decisions, b: Decisions) -> bool:
    """Whether two draws decide the same."""
    return a.site == b.site and np.array_equal(a.p, b.p)


def laid_out(keep: np.ndarray, index: Index, shape: tuple[int, ...]) -> np.ndarray:
    """Masks (samples, *noise) as an array of `shape` needs them, whose samples may be merged with its first axis."""
    if len(keep) == 1:
        return keep[0]
    if len(shape) > len(index.shape) or shape == index.noise_shape:
        return keep
    whole = np.broadcast_to(keep, (len(keep), index.shape[0], *index.noise_shape[1:]))
    return whole.reshape(-1, *index.noise_shape[1:])


def unseen(sites: frozenset[int], called: Any, surveyed: Sequence[Decisions]) -> list[int]:
    """The sites that were to draw, and asked nobody."""
    return sorted(sites & set(called) - {d.site for d in surveyed})
