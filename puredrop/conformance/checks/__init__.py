"""The checks, by name, in the order in which a table shows them."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from ..case import Subject
from . import edges, pytorch, statistics, values

Check = Callable[[Subject], float | None]

# What anybody's function of (x, p, seed) can be asked.
OUTSIDE: dict[str, Check] = {
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
}

# What needs keys, tensors, injected masks or a backend besides.
INSIDE: dict[str, Check] = {
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
    "errors": edges.errors,
    "pytorch live": pytorch.live,
    "pytorch golden": pytorch.golden,
}

STATISTICAL = ("rate", "structure", "calls", "moments", "addresses")

CHECKS = MappingProxyType({**OUTSIDE, **INSIDE})
