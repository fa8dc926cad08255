"""The checks, by name, in the order in which a table shows them."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from ..case import Case, Subject
from . import edges, pytorch, statistics, values

Check = Callable[[Subject], float | None]

_CHECKS: dict[str, Check] = {
    "formula": values.formula,
    "identity": edges.identity,
    "all dropped": edges.all_dropped,
    "nonfinite": edges.nonfinite,
    "signed zero": edges.signed_zero,
    "shapes": edges.shapes,
    "untouched": edges.untouched,
    "layout": edges.layout,
    "rate": statistics.rate,
    "structure": statistics.structure,
    "calls": statistics.calls,
    "moments": statistics.moments,
    "gradient": values.gradient,
    "second gradient": values.second_gradient,
    "nonfinite gradient": edges.nonfinite_gradient,
    "same bits": values.same_bits,
    "enumeration": values.enumeration,
    "shard": values.shard,
    "recomputation": values.recomputation,
    "injected mask": values.injected_mask,
    "evaluation": edges.evaluation,
    "nested": edges.nested,
    "huge index": edges.huge_index,
    "addresses": statistics.addresses,
    "rate errors": edges.rate_errors,
    "dtype errors": edges.dtype_errors,
    "pytorch autograd": pytorch.autograd,
    "pytorch live": pytorch.live,
    "pytorch golden": pytorch.golden,
}

STATISTICAL = ("rate", "structure", "calls", "moments", "addresses")

# Checks that hold only for rows that state what they need.
_NEEDS = {
    "pytorch live": ("pytorch", "PyTorch has no such function; the formula is compared by its autograd"),
    "pytorch golden": ("pytorch", "PyTorch has no such function; the formula is compared by its autograd"),
    "moments": ("mean", "no mean and variance are stated in closed form"),
    "enumeration": ("mean", "no mean and variance are stated in closed form"),
    "huge index": ("index", "it takes no index"),
}
_MASKS_ONLY = ("nonfinite", "nonfinite gradient", "enumeration")


def why_not(case: Case, check: str) -> str | None:
    """Why a check does not apply to a row; None where it does."""
    if check in case.not_applicable:
        return case.not_applicable[check]
    needed, reason = _NEEDS.get(check, (None, None))
    if needed and getattr(case, needed) is None:
        return reason
    if case.real_noise and check in _MASKS_ONLY:
        return "the noise is real numbers, not a mask"
    if check == "all dropped" and case.at_one == "formula" and case.real_noise:
        return "nothing is dropped at p = 1; its values are held against the formula"
    return None


CHECKS = MappingProxyType(_CHECKS)
