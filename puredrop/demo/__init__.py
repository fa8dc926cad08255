"""The demonstration: digits with and without dropout, measured, drawn, and written as one page.

`run` does it all. In reading order: `data` (digits, and inputs that are no digits), `training` (two nets, resumable),
`findings` (the numbers), `sentences` (what follows from them), `guarantee` (bits compared), `plots`, `page`, `command`.
"""

from .command import run
from .plots import save_pictures

__all__ = ["run", "save_pictures"]
