"""The result of a run as text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from .measure import elements

HEAD = ("ns/element", "/ {floor}", "/ torch")
WIDTH = 23  # of a column of numbers


def table(result: Mapping[str, Any]) -> str:
    """A block for each size and pass: medians, with the quartiles over the rounds in brackets."""
    rows = result["rows"]
    name_width = max((len(row["contender"]) for row in rows), default=0)
    lines = [heading(result)]
    for (size, which, rounds), block in groupby(rows, key=lambda row: (row["size"], row["pass"], row["rounds"])):
        lines += ["", f"{elements(size)} elements, {which}, {rounds} rounds"]
        lines.append(_line("", [column.format(**result) for column in HEAD], name_width))
        for row in block:
            values = (row["ns_per_element"], row["ratio_to_floor"], row["ratio_to_torch"])
            lines.append(_line(row["contender"], [spread_text(value) for value in values], name_width))
    return "\n".join([*lines, *remarks(result)])


def heading(result: Mapping[str, Any]) -> str:
    """The conditions and the versions, a line each."""
    return f"{conditions(result)}\n{versions(result['environment'])}"


def conditions(result: Mapping[str, Any]) -> str:
    """Machine, threads, types and rate, in a line."""
    dtypes = sorted({row["dtype"] for row in result["rows"]})
    return ", ".join([machine(result["environment"]), "one thread", *dtypes, f"p = {result['p']}"])


def machine(where: Mapping[str, Any]) -> str:
    return f"{where['cpu']}, {where['cores']} cores"


def versions(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {where[n]}" for n in ("puredrop", "python", "numpy", "numba", "torch") if where[n])


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What is missing from the rows, and why."""
    lines = [f"skipped: {one['contender']}: {one['reason']}" for one in result["skipped"]]
    if result["interrupted"]:
        lines.append("interrupted: what was finished is above")
    return ["", *lines] if lines else []


def spread_text(value: Mapping[str, float] | None) -> str:
    """`median (low-high)`, or a dash.

    >>> spread_text({"median": 12.341, "low": 12.2, "high": 13})
    '12.3 (12.2-13.0)'
    """
    return "{} ({}-{})".format(*(number(value[part]) for part in ("median", "low", "high"))) if value else "-"


def number(value: float) -> str:
    """Three digits, without an exponent.

    >>> [number(value) for value in (0.01234, 1.0, 240.4)]
    ['0.0123', '1.00', '240']
    """
    digits = f"{value:.2e}"
    decimals = 2 - int(digits.partition("e")[2])
    return f"{float(digits):.{max(decimals, 0)}f}"


def _line(name: str, columns: list[str], name_width: int) -> str:
    return (f"{name:<{name_width}}" + "".join(f"  {column:<{WIDTH}}" for column in columns)).rstrip()
