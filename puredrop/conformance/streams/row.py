"""What a row of the comparison is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from ..case import Skipped


class Counts(NamedTuple):
    """How many elements were compared, and how many of them differed."""

    elements: int
    mismatches: int

    def __add__(self, other: Any) -> Counts:
        return Counts(self.elements + other[0], self.mismatches + other[1])


def total(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    return sum(counts, Counts(0, 0))


class Row(NamedTuple):
    """One operation of one library. `compare` imports what it needs; it raises Skipped where that is missing."""

    library: str
    operation: str
    source: Literal["live", "golden"]
    compare: Callable[[], Counts]


def installed(package: str) -> Any:
    """The package, or a module of it. Raises Skipped, naming the package, where it is not installed."""
    root = package.partition(".")[0]
    if find_spec(root) is None:
        raise Skipped(f"{root} is not installed")
    return import_module(package)
