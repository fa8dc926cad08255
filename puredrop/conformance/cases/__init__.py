"""The case table: a row for each public variant, a file for each family."""

from ..case import Case
from . import elementwise

CASES: dict[str, Case] = {case.name: case for case in (*elementwise.CASES,)}
