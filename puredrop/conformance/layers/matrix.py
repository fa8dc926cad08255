"""Layers x options x checks: run them, print them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec

from ... import backends
from ..case import Failed
from ..matrix import MARKS, Row, summary
from .case import LayerCase
from .checks import CHECKS
from .rows import CASES


def verify_layers(
    layers: Iterable[str] | None = None,
    on: Iterable[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Row]:
    """Compare every layer and option with PyTorch (or the layers named), on every backend (or on those named).

    Raises: ImportError without PyTorch; ValueError for a layer or backend that is not known.

    >>> {row.status for row in verify_layers(["Linear"], on=["numpy"])}
    {'passed'}
    """
    if find_spec("torch") is None:
        raise ImportError("verify --layers compares with PyTorch: pip install torch==2.13.0 (its CPU build is enough)")
    known = list(dict.fromkeys(case.layer for case in CASES))
    if unknown := sorted(set(layers or ()) - set(known)):
        raise ValueError(f"unknown layer {', '.join(unknown)}; known are {', '.join(known)}")
    cases = [case for case in CASES if layers is None or case.layer in set(layers)]
    names = [backends.get(name).name for name in (on or backends.available())]
    jobs = [(case, name, check) for case in cases for name in names for check in CHECKS]
    rows = []
    for case, backend, check in jobs:
        rows.append(_row(case, backend, check))
        if progress:
            progress(len(rows), len(jobs), f"{case.name}, {backend}: {check}")
    return rows


def _row(case: LayerCase, backend: str, check: str) -> Row:
    try:
        return Row(case.name, backend, check, "passed", error=CHECKS[check](case, backend))
    except Failed as verdict:
        return Row(case.name, backend, check, "failed", reason=str(verdict))
    except Exception as error:  # one that is no verdict counts as a failure
        return Row(case.name, backend, check, "failed", reason=f"{type(error).__name__}: {error}")


def as_text(rows: Sequence[Row]) -> str:
    """A table: a line for each layer and option with the largest error in each cell; then every reason and the sums."""
    lines = [["layer and option", "backend", *CHECKS]]
    for name, backend in dict.fromkeys((row.variant, row.backend) for row in rows):
        cells = {row.check: row for row in rows if (row.variant, row.backend) == (name, backend)}
        lines.append([name, backend, *(_cell(cells[check]) for check in CHECKS)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    table.insert(1, "-" * len(table[0]))
    reasons = [
        f"{MARKS[row.status]}: {row.variant} [{row.backend}] {row.check}: {row.reason}" for row in rows if row.reason
    ]
    return "\n".join([*table, "", *reasons, *([""] if reasons else []), summary(rows)])


def _cell(row: Row) -> str:
    return MARKS[row.status] if row.error is None else f"{row.error:.0e}"
