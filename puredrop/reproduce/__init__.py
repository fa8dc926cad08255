"""Published tables, computed again: what the paper has, what comes out here, the difference and its standard error.

`run` does it all. In reading order: `sets` (the data, their splits and the published numbers), `training` (a stack that
can be interrupted), `uci` and `ensembles` (a table each), `report` (text and picture), `command`.
"""

from .command import TABLES, run

__all__ = ["TABLES", "run"]
