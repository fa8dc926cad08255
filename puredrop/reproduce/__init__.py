"""Published tables, computed again: what the paper has, what comes out here, the difference and its standard error.

`run` does it all. In reading order: `table` (what a table is), `sets` (the regression sets, their splits and published
numbers), `training` (a stack that can be interrupted), `uci` and the others (a table each), `report` (text, picture),
`command`.
"""

from .command import TABLES, run

__all__ = ["TABLES", "run"]
