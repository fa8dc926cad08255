"""Variants x backends x checks: run them, print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .. import backends
from .case import Case, Failed, Skipped, Subject, own
from .cases import CASES
from .checks import CHECKS, Check, why_not

Status = Literal["passed", "failed", "skipped", "not_applicable"]
MARKS: dict[Status, str] = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "not_applicable": "-"}


@dataclass(frozen=True)
class Row:
    """One cell of the matrix. `error` is what the check measured, `reason` why it did not pass, or did not run."""

    variant: str
    backend: str
    check: str
    status: Status
    error: float | None = None
    reason: str | None = None


def run_check(subject: Subject, name: str, check: Check) -> Row:
    """One check on one subject. An exception that is no verdict counts as a failure."""
    case, backend = subject.case, getattr(subject.backend, "name", "")

    def row(status: Status, error: float | None = None, reason: str | None = None) -> Row:
        return Row(case.name, backend, name, status, error, reason)

    if (reason := why_not(case, name)) is not None:
        return row("not_applicable", reason=reason)
    try:
        return row("passed", error=check(subject))
    except Failed as verdict:
        return row("failed", reason=str(verdict))
    except Skipped as verdict:
        return row("skipped", reason=str(verdict))
    except Exception as error:
        return row("failed", reason=f"{type(error).__name__}: {error}")


def verify(
    variants: Iterable[str] | None = None,
    on: Iterable[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Row]:
    """Run every check on every variant and backend (or on those named). `progress(done, total, text)` is told of each.

    Raises: ValueError for a name that is not known.

    >>> {row.status for row in verify(["dropout"], on=["numpy"])} <= {"passed", "skipped"}
    True
    """
    cases = [_case(name) for name in (variants or CASES)]
    subjects = [own(case, backends.get(name)) for case in cases for name in (on or backends.available())]
    rows: list[Row] = []
    for subject in subjects:
        for name, check in CHECKS.items():
            rows.append(run_check(subject, name, check))
            if progress:
                progress(len(rows), len(subjects) * len(CHECKS), f"{subject.case.name}, {subject.backend.name}: {name}")
    return rows


def _case(name: str) -> Case:
    if name not in CASES:
        raise ValueError(f"unknown variant {name!r}; known are {', '.join(CASES)}")
    return CASES[name]


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as JSON values."""
    return {"rows": [asdict(row) for row in rows]}


def as_text(rows: Sequence[Row]) -> str:
    """A table: a line for each check, a column for each variant and backend; then every reason, then the sums."""
    columns = list(dict.fromkeys((row.variant, row.backend) for row in rows))
    cells = {(row.check, row.variant, row.backend): _cell(row) for row in rows}
    checks = list(dict.fromkeys(row.check for row in rows))
    table = [["check", *(f"{variant} [{backend}]" for variant, backend in columns)]]
    table += [[check, *(cells.get((check, *column), "") for column in columns)] for check in checks]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    lines.insert(1, "-" * len(lines[0]))
    reasons = [f"{MARKS[r.status]}: {r.variant} [{r.backend}] {r.check}: {r.reason}" for r in rows if r.reason]
    return "\n".join([*lines, "", *reasons, *([""] if reasons else []), summary(rows)])


def _cell(row: Row) -> str:
    measured = "" if row.error is None or row.status != "passed" else f" {row.error:.0e}"
    return MARKS[row.status] + measured


def summary(rows: Sequence[Row]) -> str:
    """One sentence with the sums; what was skipped or does not apply is counted apart."""
    sums = Counter(row.status for row in rows)
    return (
        f"{sums['passed']} passed, {sums['failed']} failed, {sums['skipped']} skipped, "
        f"{sums['not_applicable']} not applicable"
    )
