"""Run the rows, print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..case import Skipped
from . import (
    flax,
    jax,
    keras,
    mlx,
    onnx,
    tensorflow,
    tinygrad,
    torch,
    torch_attention,
    torch_compiled,
    torch_cuda,
    torch_golden,
)
from .row import Row

PYTORCH = (torch, torch_attention, torch_compiled, torch_golden, torch_cuda)
MODULES = (*PYTORCH, jax, flax, tensorflow, keras, onnx, mlx, tinygrad)
ROWS: tuple[Row, ...] = tuple(row for module in MODULES for row in module.ROWS)


@dataclass(frozen=True)
class Outcome:
    """What a row gave. `reason` says why it was skipped, or failed without a count."""

    library: str
    operation: str
    source: Literal["live", "golden"]
    status: Literal["passed", "failed", "skipped"]
    elements: int = 0
    mismatches: int = 0
    reason: str | None = None


def outcome(row: Row) -> Outcome:
    """Run one row. An exception that is no verdict counts as a failure, and so does a row that compared nothing."""
    try:
        elements, mismatches = row.compare()
    except Skipped as verdict:
        return Outcome(*row[:3], "skipped", reason=str(verdict))
    except Exception as error:
        return Outcome(*row[:3], "failed", reason=f"{type(error).__name__}: {error}")
    reason = None if elements else "compared nothing"
    return Outcome(*row[:3], "failed" if mismatches or not elements else "passed", elements, mismatches, reason)


def verify_streams(
    libraries: Iterable[str] | None = None, progress: Callable[[int, int, str], None] | None = None
) -> list[Outcome]:
    """Compare every operation of every library (or of those named). `progress(done, total, text)` is told of each.

    Raises: ValueError for a library that is not known.
    """
    known = list(dict.fromkeys(row.library for row in ROWS))
    wanted = list(libraries or known)
    for name in wanted:
        if name not in known:
            raise ValueError(f"unknown library {name!r}; known are {', '.join(known)}")
    rows = [row for row in ROWS if row.library in wanted]
    outcomes = []
    for done, row in enumerate(rows, 1):
        outcomes.append(outcome(row))
        if progress:
            progress(done, len(rows), f"{row.library}: {row.operation}")
    return outcomes


def as_text(outcomes: Sequence[Outcome]) -> str:
    """A table, a line for each row; then the sums."""
    table = [("library", "operation", "source", "elements", "mismatches", "")]
    table += [
        (one.library, one.operation, one.source, f"{one.elements:,}", f"{one.mismatches:,}", _remark(one))
        for one in outcomes
    ]
    widths = [max(len(line[i]) for line in table) for i in range(6)]
    lines = ["  ".join(_aligned(line[i], i, width) for i, width in enumerate(widths)) for line in table]
    lines.insert(1, "-" * (sum(widths[:5]) + 8))
    return "\n".join([*(line.rstrip() for line in lines), "", summary(outcomes)])


def _remark(one: Outcome) -> str:
    if one.status == "passed":
        return ""
    return f"{'FAILED' if one.status == 'failed' else 'skipped'}{f': {one.reason}' if one.reason else ''}"


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.rjust(width) if column in (3, 4) else cell.ljust(width)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One sentence with the sums."""
    sums = Counter(one.status for one in outcomes)
    elements, mismatches = sum(one.elements for one in outcomes), sum(one.mismatches for one in outcomes)
    return (
        f"{elements:,} elements compared, {mismatches:,} mismatches; "
        f"{sums['passed']} rows passed, {sums['failed']} failed, {sums['skipped']} skipped"
    )
