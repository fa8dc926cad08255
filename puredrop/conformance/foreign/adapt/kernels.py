"""Raw kernels: a pair (forward, backward) of functions of arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...case import Case
from ..target import Call, Target, answered
from .functions import MASKS, RATES, SEEDS, function, name_of


def pair(forward: Callable[..., Any], backward: Callable[..., Any], case: Case) -> Target:
    """forward(x, p, seed) -> y or (y, mask); backward(g, ...) -> dx, or a tuple of gradients.

    backward may take, by name, what forward had (x, p, seed) and what it gave (y, mask).
    """
    target = function(forward, case)
    names = list(inspect.signature(backward).parameters)

    def gradient(call: Call, g: np.ndarray) -> Any:
        raw = target.run(call)
        y, mask = answered(raw)
        known = {"x": call.inputs[0], "y": y, **dict.fromkeys(RATES, call.p), **dict.fromkeys(SEEDS, call.seed)}
        known |= dict.fromkeys(MASKS, mask)
        missing = [name for name in names[1:] if name not in known]
        if missing:
            raise TypeError(f"backward takes {missing[0]!r}, which is none of {', '.join(known)}")
        dx = backward(g, **{name: known[name] for name in names[1:]})
        found = list(dx) if isinstance(dx, (tuple, list)) else [dx]
        return raw, found + [None] * (len(call.inputs) - len(found))

    return replace(target, name=name_of(forward), gradient=gradient)
