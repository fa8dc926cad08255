"""Conformance: what every dropout must do, as a table of cases, checks and backends.

`verify()` runs it on puredrop, `check(function, like="dropout")` on anybody's function of (x, p, seed).
"""

from .case import Case, Failed, Skipped, Subject, own
from .cases import CASES
from .checks import CHECKS, STATISTICAL
from .foreign import FOREIGN_CHECKS, Finding, Report, Target, check
from .matrix import Row, as_json, as_text, run_check, summary, verify

__all__ = [
    "CASES",
    "CHECKS",
    "STATISTICAL",
    "FOREIGN_CHECKS",
    "Case",
    "Failed",
    "Finding",
    "Report",
    "Target",
    "check",
    "Row",
    "Skipped",
    "Subject",
    "as_json",
    "as_text",
    "own",
    "run_check",
    "summary",
    "verify",
]
