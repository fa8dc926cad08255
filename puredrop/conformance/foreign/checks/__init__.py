"""The checks of foreign targets, by name, in the order in which they run: each one duty, named by what may go wrong.

A check takes a probe and yields findings. It raises `Skipped` with the reason where it cannot say anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...case import Case
from ..finding import Finding
from ..probe import Probe
from . import chance, edges, evaluation, gradients, manners, values

Check = Callable[[Probe], Iterator[Finding]]

FOREIGN_CHECKS: dict[str, Check] = {
    "runs": manners.runs,
    "shape": values.shape,
    "dtype": values.dtype,
    "scale": values.scale,
    "values": values.values,
    "shared axes": manners.shared_axes,
    "p = 0": evaluation.nothing_dropped,
    "p = 1": edges.all_dropped,
    "evaluation": evaluation.evaluation,
    "nonfinite": edges.nonfinite,
    "signed zero": edges.signed_zero,
    "shapes": edges.shapes,
    "layout": edges.layout,
    "whole numbers": edges.whole_numbers,
    "half precision": edges.half_precision,
    "untouched": manners.untouched,
    "silence": manners.silence,
    "rate errors": manners.rate_errors,
    "gradient mask": gradients.gradient_mask,
    "gradient scale": gradients.gradient_scale,
    "gradient": gradients.gradient,
    "gradient at p = 1": gradients.gradient_at_one,
    "nonfinite gradient": gradients.nonfinite_gradient,
    "rate gradient": gradients.rate_gradient,
    "seeds": chance.seeds,
    "replay": manners.replay,
    "rate": chance.rate,
    "small rates": chance.small_rates,
    "rows": chance.rows,
    "columns": chance.columns,
    "neighbours": chance.neighbours,
    "shards": chance.parts,
    "calls": chance.calls,
    "moments": chance.moments,
}

# After one of these has found something, the rest would say it again.
DECISIVE = ("runs", "shape")

_OF_OURS = {  # reasons that a row of the table gives for puredrop's own checks
    "p = 0": "identity",
    "p = 1": "all dropped",
    "gradient mask": "gradient",
    "gradient scale": "gradient",
    "rows": "structure",
    "columns": "structure",
    "neighbours": "structure",
    "shards": "structure",
    "small rates": "rate",
}
_MASKS_ONLY = ("nonfinite", "nonfinite gradient", "signed zero", "shared axes", "half precision", "gradient at p = 1")


def why_not_foreign(case: Case, check: str) -> str | None:
    """Why a check does not apply to a variant; None where it does."""
    for name in (check, _OF_OURS.get(check, check)):
        if name in case.not_applicable:
            return case.not_applicable[name]
    if check == "moments" and case.mean is None:
        return "no mean and variance are stated in closed form"
    if case.real_noise and check in _MASKS_ONLY:
        return "the noise is real numbers, not a mask"
    return None
