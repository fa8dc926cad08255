"""A result beside an older one of the same suite: what has become slower, and what quicker.

Machines differ in speed, and so does one machine from hour to hour. So what is compared are ratios to a contender that
did not change: to PyTorch where it took part in both, else to the floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORSE, BETTER = 1.1, 1 / 1.1  # nearer to 1 is noise, even where the quartiles lie apart


def compare(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each measurement of puredrop's that both results have.

    Each has "what", "to" (what the ratios are to), "old", "new", "change" (new over old) and "verdict": "slower" or
    "quicker" where the change is above a tenth and the quartiles do not overlap, else "same".
    Raises: ValueError for results of two suites, or without a measurement in common.
    """
    if new.get("suite") != old.get("suite"):
        raise ValueError(f"bench: the older result is of suite {old.get('suite')!r}, this one of {new.get('suite')!r}")
    before = {_name(row): row for row in old["rows"]}
    pairs = [(row, before[_name(row)]) for row in new["rows"] if _is_ours(row) and _name(row) in before]
    found = [_compared(now, then, to) for now, then in pairs if (to := _common(now, then))]
    if not found:
        raise ValueError("bench: the two results have no measurement in common")
    return found


def _name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(part) for part in ("model", "contender", "pass", "size", "dtype"))


def _is_ours(row: Mapping[str, Any]) -> bool:
    return "model" in row or row["contender"].startswith("puredrop")


def _common(now: Mapping[str, Any], then: Mapping[str, Any]) -> str | None:
    return next((to for to in ("ratio", "ratio_to_torch", "ratio_to_floor") if now.get(to) and then.get(to)), None)


def _compared(now: Mapping[str, Any], then: Mapping[str, Any], to: str) -> dict[str, Any]:
    new, old = now[to], then[to]
    change = new["median"] / old["median"]
    apart = new["low"] > old["high"] or new["high"] < old["low"]
    verdict = "slower" if change > WORSE else "quicker" if change < BETTER else "same"
    return {
        "what": ", ".join(str(part) for part in _name(now) if part is not None),
        "to": "the floor" if to == "ratio_to_floor" else "torch",
        "old": old["median"],
        "new": new["median"],
        "change": float(f"{change:.3g}"),
        "verdict": verdict if apart else "same",
    }


def comparison_table(rows: list[dict[str, Any]]) -> str:
    """A line for each measurement that changed, and how many did not."""
    changed = [row for row in rows if row["verdict"] != "same"]
    lines = [f"{row['verdict']}: {row['what']}: {row['old']} -> {row['new']} of {row['to']}" for row in changed]
    return "\n".join([*lines, f"{len(rows) - len(changed)} of {len(rows)} measurements are the same"])
