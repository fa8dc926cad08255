"""The catalogue: every variant on one page, made from the code, with pictures of the masks."""

from ..pictures import save_pictures
from .other_names import OTHER_NAMES, SETUP, OtherName
from .page import as_markdown, as_text
from .parts import SECTIONS, citation, evaluation, sections

__all__ = [
    "OTHER_NAMES",
    "SECTIONS",
    "SETUP",
    "OtherName",
    "as_markdown",
    "as_text",
    "citation",
    "evaluation",
    "save_pictures",
    "sections",
]
