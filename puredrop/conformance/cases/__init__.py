"""The case table: a row for each public variant, a file for each family."""

from ..case import Case
from . import (
    alpha,
    attention,
    blocks,
    counts,
    data_dependent,
    elementwise,
    gaussian,
    graph,
    learned,
    objectives,
    pooling,
    recurrent,
    residual,
    structured,
    weights,
)

FAMILIES = (
    elementwise,
    gaussian,
    alpha,
    counts,
    structured,
    blocks,
    weights,
    recurrent,
    learned,
    data_dependent,
    residual,
    attention,
    pooling,
    graph,
    objectives,
)

CASES: dict[str, Case] = {case.name: case for family in FAMILIES for case in family.CASES}
