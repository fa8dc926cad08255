"""The dropouts of other libraries, one after the other in front of the kit."""

from .html import write_html
from .row import LibraryRow
from .run import LIBRARIES, ROWS, Cell, Conformance, as_json, as_text, conform, row_named

__all__ = [
    "LIBRARIES",
    "ROWS",
    "Cell",
    "Conformance",
    "LibraryRow",
    "as_json",
    "as_text",
    "conform",
    "row_named",
    "write_html",
]
