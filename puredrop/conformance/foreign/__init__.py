"""The checks on somebody else's dropout: adapters, what is known of masks, findings."""

from .check import check
from .checks import FOREIGN_CHECKS
from .finding import Finding, Report, Result
from .target import Answer, Call, Target

__all__ = ["FOREIGN_CHECKS", "Answer", "Call", "Finding", "Report", "Result", "Target", "check"]
