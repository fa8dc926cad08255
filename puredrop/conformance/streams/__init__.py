"""Streams beside the libraries that they reproduce: every mask from its seed, element by element.

A row compares one operation of one library: live, with the library installed here, or golden, with masks that the
library once made. What counts is exact equality.
"""

from .row import Counts, Row
from .run import ROWS, Outcome, as_text, verify_streams

__all__ = ["ROWS", "Counts", "Outcome", "Row", "as_text", "verify_streams"]
