"""What is known about a variant, and what is held against it.

A *case* is a row of the table: a variant with its independent formula and its moments from the paper. A *subject* is
something that claims to be that variant: puredrop's own on one backend, or somebody else's function. A *check* takes
a subject and returns the largest error it found; it raises `Failed` with a sentence that says plainly what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ..random import Key


class Failed(Exception):  # noqa: N818  # a verdict, not a malfunction
    """The subject does not do what the variant must."""


class Skipped(Exception):  # noqa: N818
    """The check could not run here."""


@dataclass(frozen=True)
class Case:
    """One variant. A check that does not apply is named in `not_applicable`, with the reason.

    call(x, p, *, key, mask, training, return_mask, backend): the public function.
    formula(x, keep, p): what the paper says, written a second time in plain NumPy.
    mean(x, p), variance(x, p): of y over the masks, as the paper states them.
    pytorch(torch, x, p): PyTorch's own operation, whose mask can be read off its result; None where it has none.
    """

    name: str
    call: Callable[..., Any]
    formula: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    mean: Callable[[np.ndarray, float], np.ndarray]
    variance: Callable[[np.ndarray, float], np.ndarray]
    at_one: Literal["zeros"]
    eval: Literal["identity"]
    dtypes: tuple[str, ...] = ("float32", "float64")
    pytorch: Callable[[Any, Any, float], Any] | None = None
    not_applicable: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Subject:
    """Something to be checked: apply(x, p, seed) -> y, and mask(shape, p, seed) -> bool where kept."""

    case: Case
    apply: Callable[[np.ndarray, float, int], np.ndarray]
    mask: Callable[[tuple[int, ...], float, int], np.ndarray]
    backend: Any = None  # None for somebody else's function


def own(case: Case, backend: Any) -> Subject:
    """puredrop's variant on a backend."""

    def mask(shape: tuple[int, ...], p: float, seed: int) -> np.ndarray:
        return case.call(np.ones(shape), p, key=Key(seed), return_mask=True, backend=backend)[1]

    return Subject(case, lambda x, p, seed: case.call(x, p, key=Key(seed), backend=backend), mask, backend)


def foreign(case: Case, function: Callable[[np.ndarray, float, int], Any]) -> Subject:
    """Somebody's function of (x, p, seed). Its mask is read off its result on ones: what is not zero was kept."""

    def apply(x: np.ndarray, p: float, seed: int) -> np.ndarray:
        return np.asarray(function(x, p, seed))

    def mask(shape: tuple[int, ...], p: float, seed: int) -> np.ndarray:
        y = apply(np.ones(shape, np.float32), p, seed)
        if y.shape != shape:
            raise Failed(f"the result has shape {y.shape} for an input of shape {shape}")
        return y != 0

    return Subject(case, apply, mask)
