"""The demonstration: digits with and without dropout, measured, drawn, and written as one page.

`run` does it all. In reading order: `data` (digits, and inputs that are no digits), `training` (two nets, resumable),
`findings` (the numbers), `sentences` (what follows from them), `guarantee` (bits compared), `plots`, `page`, `command`.
`run_model` compares the dropouts of one model: see `studies`.
"""

from .command import run
from .plots import save_pictures
from .studies import run_model, save_picture

__all__ = ["run", "run_model", "save_picture", "save_pictures"]
