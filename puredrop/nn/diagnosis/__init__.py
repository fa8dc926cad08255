"""What is likely to be wrong with the dropout of a model, in plain words.

A rule looks at the layers in the order of the tree, or at the trace of a run, and yields findings.
"""

from .diagnose import diagnose
from .finding import Finding

__all__ = ["Finding", "diagnose"]
