"""What a suite of benchmarks is: contenders that do the same work, each in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .timing import Call


class UnavailableError(Exception):
    """Why a contender cannot take part here; its text is the reason that the result gives."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work. `prepare(*inputs)` gives a call for each pass, or raises UnavailableError."""

    name: str
    prepare: Callable[..., Mapping[str, Call]]


@dataclass(frozen=True)
class Suite:
    """Contenders to be timed against each other.

    passes: the kinds of work, as `Contender.prepare` names them.  inputs(size): what all contenders of a round share.
    p, dtype: the rate and the type of all numbers.  floor: the contender that does no more than it must.
    sizes: those that this suite is about, in place of a preset's. A contender may lack some of the passes.
    """

    name: str
    passes: tuple[str, ...]
    contenders: tuple[Contender, ...]
    inputs: Callable[[int], tuple[Any, ...]]
    p: float
    dtype: str
    floor: str
    sizes: tuple[int, ...] | None = None

    def here(self) -> tuple[Suite, list[dict[str, str]]]:
        """The suite with the contenders that can take part on this machine, and the others with their reasons."""
        taking_part, skipped = [], []
        for contender in self.contenders:
            try:
                contender.prepare(*self.inputs(1))
                taking_part.append(contender)
            except UnavailableError as reason:
                skipped.append({"contender": contender.name, "reason": str(reason)})
        return replace(self, contenders=tuple(taking_part)), skipped
