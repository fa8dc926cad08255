"""No rows: the objectives are losses of what other variants drew. tests/test_objectives.py holds them."""

from __future__ import annotations

from ..case import Case

CASES: tuple[Case, ...] = ()
