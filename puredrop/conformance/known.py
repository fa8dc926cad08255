"""Known deviations: a file that says which findings are known, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .foreign import FOREIGN_CHECKS


class Known(NamedTuple):
    """One known deviation. target, like: of which targets and variants; None for all."""

    check: str
    reason: str
    target: str | None = None
    like: str | None = None


def read_known(path: str | Path) -> list[Known]:
    """The deviations of a TOML file: tables [[known]] with check and reason, and perhaps target and like.

    Raises: ValueError for a table that is not so; OSError.
    """
    found = []
    for table in tomllib.loads(Path(path).read_text()).get("known", []):
        if not table.keys() <= set(Known._fields) or not table.get("reason"):
            raise ValueError(f"{path}: [[known]] has check and reason, and perhaps target and like; got {table}")
        if table.get("check") not in FOREIGN_CHECKS:
            raise ValueError(f"{path}: unknown check {table.get('check')!r}; known are {', '.join(FOREIGN_CHECKS)}")
        found.append(Known(**table))
    return found


def reasons_for(known: Iterable[Known], target: str, like: str) -> dict[str, str]:
    """check -> reason, of those that are about this target and variant.

    >>> reasons_for([Known("layout", "it follows memory"), Known("seeds", "x", target="other")], "mine", "dropout")
    {'layout': 'it follows memory'}
    """
    return {one.check: one.reason for one in known if one.target in (None, target) and one.like in (None, like)}
