"""Benchmarks: what puredrop costs beside other ways to do the same, on the machine at hand.

In reading order: `timing` (interleaved rounds), `suite` (contenders), `kernels` (dropout alone), `measure` (a run),
`environment` (where it ran), `report` and `plot` (the result as text and as a picture), `steps` (whole models).
"""

from .measure import PRESETS, SUITES, run
from .plot import check_picture, figure, picture
from .report import table
from .steps import run_steps, steps_table

__all__ = ["PRESETS", "SUITES", "check_picture", "figure", "picture", "run", "run_steps", "steps_table", "table"]
