"""Run the rows of libraries; the matrix library x operation x check as text and JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ... import __version__
from ..foreign import FOREIGN_CHECKS, Finding, Report
from ..foreign.finding import finding_as_json
from . import jax, keras, others, torch
from .row import LibraryRow

ROWS: tuple[LibraryRow, ...] = (*torch.ROWS, *jax.ROWS, *keras.ROWS, *others.ROWS)
LIBRARIES = tuple(dict.fromkeys(row.library for row in ROWS))
MARKS = {"passed": "ok", "failed": "FAILED", "documented": "known", "skipped": "", "not_applicable": "-"}


@dataclass(frozen=True)
class Cell:
    """One row's report, or the reason why there is none. version: of the library, None where it is not installed."""

    row: LibraryRow
    version: str | None
    report: Report | None
    reason: str | None = None

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, and not documented."""
        return [one for one in self.all_findings if one.check not in self.row.documented]

    @property
    def documented(self) -> list[Finding]:
        """What deviates as the library documents, or is known to."""
        return [one for one in self.all_findings if one.check in self.row.documented]

    @property
    def all_findings(self) -> list[Finding]:
        return self.report.findings if self.report else []

    def mark(self, check: str) -> str:
        """What the table shows for a check."""
        result = next((one for one in self.report.results if one.check == check), None) if self.report else None
        if result is None:
            return ""
        known = result.status == "failed" and check in self.row.documented
        return MARKS["documented" if known else result.status]


@dataclass(frozen=True)
class Conformance:
    """All rows that were asked for, and where it was run."""

    cells: tuple[Cell, ...]
    machine: str

    @property
    def findings(self) -> list[tuple[Cell, Finding]]:
        return [(cell, finding) for cell in self.cells for finding in cell.findings]


def row_named(library: str, operation: str) -> LibraryRow:
    """The row of that name. Raises ValueError."""
    for row in ROWS:
        if (row.library, row.operation) == (library, operation):
            return row
    known = ", ".join(row.operation for row in ROWS if row.library == library) or ", ".join(LIBRARIES)
    raise ValueError(f"unknown operation {operation!r} of {library}; known are {known}")


def conform(
    libraries: Iterable[str] | None = None,
    operations: Iterable[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Conformance:
    """Hold the dropouts of those libraries (of all) against the kit. `progress(done, total, text)` is told of each.

    Keras runs on the backend that KERAS_BACKEND names, on NumPy where it names none.
    Raises: ValueError for a library that is not known.
    """
    wanted = list(libraries or LIBRARIES)
    for name in wanted:
        if name not in LIBRARIES:
            raise ValueError(f"unknown library {name!r}; known are {', '.join(LIBRARIES)}")
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    chosen = set(operations or ())
    rows = [row for row in ROWS if row.library in wanted and (not chosen or row.operation in chosen)]
    cells = []
    for done, row in enumerate(rows, 1):
        cells.append(_cell(row))
        if progress:
            progress(done, len(rows), row.name)
    return Conformance(tuple(cells), f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")


def _cell(row: LibraryRow) -> Cell:
    installed = row.installed()
    if installed is None:
        return Cell(row, None, None, f"{row.library} is not installed")
    try:
        return Cell(row, installed, row.report())
    except Exception as error:  # the library cannot be imported, or has no such function any more
        return Cell(row, installed, None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def as_json(conformance: Conformance) -> dict[str, Any]:
    """The matrix and the findings as JSON values."""
    return {
        "puredrop": __version__,
        "machine": conformance.machine,
        "rows": [_row_as_json(cell) for cell in conformance.cells],
    }


def _row_as_json(cell: Cell) -> dict[str, Any]:
    findings = [
        {**finding_as_json(finding), "status": status, "reproducer": cell.row.reproducer(finding)}
        for status, some in (("finding", cell.findings), ("documented", cell.documented))
        for finding in some
    ]
    return {
        "library": cell.row.library,
        "version": cell.version,
        "operation": cell.row.operation,
        "like": cell.row.case.name,
        "expression": cell.row.expression,
        "masks": cell.report.masks if cell.report else None,
        "skipped": cell.reason,
        "checks": {r.check: r.status for r in cell.report.results} if cell.report else {},
        "findings": findings,
    }


def as_text(conformance: Conformance) -> str:
    """For each library a table, a line for each check; then the findings; then what was skipped, and the sums."""
    parts = []
    for library in dict.fromkeys(cell.row.library for cell in conformance.cells):
        cells = [cell for cell in conformance.cells if cell.row.library == library]
        run = [cell for cell in cells if cell.report]
        if run:
            parts.append(f"{library} {run[0].version}\n\n{_table(run)}")
        parts += [f"{cell.row.name}: skipped: {cell.reason}" for cell in cells if not cell.report]
    sentences = [f"{cell.row.name}: {finding}" for cell, finding in conformance.findings]
    return "\n\n".join([*parts, *(["\n".join(sentences)] if sentences else []), summary(conformance)])


def _table(cells: Sequence[Cell]) -> str:
    legend = [f"{number}  {cell.row.operation} (like {cell.row.case.name})" for number, cell in enumerate(cells, 1)]
    lines = [["check", *(str(number) for number in range(1, len(cells) + 1))]]
    lines += [[check, *(cell.mark(check) for cell in cells)] for check in FOREIGN_CHECKS]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    table = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    table.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join([*legend, "", *table])


def summary(conformance: Conformance) -> str:
    """One sentence with the sums."""
    run = [cell for cell in conformance.cells if cell.report]
    known = sum(len(cell.documented) for cell in run)
    libraries = len({cell.row.library for cell in run})
    skipped = f", {len(conformance.cells) - len(run)} operations skipped"
    return (
        f"{len(run)} operations of {libraries} libraries: {len(conformance.findings)} findings, "
        f"{known} documented deviations{skipped}"
    )
