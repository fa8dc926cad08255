"""Studies: one model with and without each dropout that suits it, trained on real data and compared.

`run_model` does it all. In reading order: `study` (what a study is, how it runs and resumes), `images` and `text` (the
four of them), `page` (the report), `command`.
"""

from .command import MODELS, run_model
from .page import save_picture

__all__ = ["MODELS", "run_model", "save_picture"]
