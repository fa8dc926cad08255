"""The catalogue of variants, made from their docstrings and rows: it cannot go out of date."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from .cases import FAMILIES
from .checks import CHECKS, why_not

SECTIONS = ("Math", "Shapes", "Dtypes", "Draws", "Raises", "Reference")


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """The parts of a variant's docstring: its first line as "Summary", and each section as one line of text.

    >>> from puredrop import dropout
    >>> sections(dropout)["Summary"]
    'Drop each element with probability p and scale the rest by 1 / (1 - p).'
    """
    doc = inspect.getdoc(function) or ""
    text = doc.split(">>> ")[0]
    parts = re.split(rf"^({'|'.join(SECTIONS)}):", text, flags=re.MULTILINE)
    found = {"Summary": " ".join(parts[0].split("\n\n")[0].split())}
    return found | {name: " ".join(body.split()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def as_markdown() -> str:
    """The catalogue as a page: a heading for each family, and for each variant what it does, its formula and source."""
    lines = [
        "# Every variant",
        "",
        "Made by `puredrop variants --markdown` from the docstrings and the case table; do not edit.",
        "",
    ]
    for family in FAMILIES:
        if family.CASES:
            lines += [f"## {_title(family)}", ""]
            for case in family.CASES:
                lines += [*_entry(case), ""]
    return "\n".join(lines)


def _title(family: Any) -> str:
    return (family.__doc__ or "").strip().splitlines()[0].removeprefix("Rows for ").rstrip(".").capitalize()


def _entry(case: Any) -> list[str]:
    parts = sections(case.function)
    skipped = [name for name in CHECKS if why_not(case, name) is not None]
    return [
        f"### `{case.name}`",
        "",
        parts["Summary"],
        "",
        *(f"- **{name}**: {parts[name]}" for name in ("Math", "Shapes", "Draws", "Reference") if name in parts),
        f"- **Checked**: {len(CHECKS) - len(skipped)} of {len(CHECKS)} checks apply"
        + (f"; not {', '.join(skipped)}" if skipped else ""),
    ]


def as_text() -> str:
    """One line for each variant."""
    cases = [case for family in FAMILIES for case in family.CASES]
    width = max(len(case.name) for case in cases)
    return "\n".join(f"{case.name:{width}}  {sections(case.function)['Summary']}" for case in cases)
