"""Benchmarks: what puredrop costs beside other ways to do the same, on the machine at hand.

In reading order: `timing` (interleaved rounds), `suite` (contenders), `scaling` (dropout over sizes), `kernels` (single
operations), `tape`, `predict`, `streams`, `measure` (a run), `environment` (where it ran), `report` and `plot` (the
result as text and as a picture), `compare` (with an older result), `steps` (whole models), `load` (a busy machine).
"""

from .compare import compare, comparison_table
from .load import load_table, run_load
from .measure import PRESETS, SUITES, run
from .plot import check_picture, figure, picture
from .report import table
from .steps import run_steps, steps_table

__all__ = [
    "PRESETS",
    "SUITES",
    "check_picture",
    "compare",
    "comparison_table",
    "figure",
    "load_table",
    "picture",
    "run",
    "run_load",
    "run_steps",
    "steps_table",
    "table",
]
