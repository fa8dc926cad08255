"""puredrop's own variants as targets: the clean reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....random import Key
from ....tensor import Tensor
from ...case import Case
from ..target import Call, Target


def own_target(case: Case, backend: str, return_mask: bool = True) -> Target:
    """A variant on a backend. It returns its mask, unless that is to be recovered."""

    def apply(call: Call, inputs: Any) -> Any:
        given = {"mask": call.mask} if call.mask is not None else {"key": Key(call.seed)}
        options = {"return_mask": True} if return_mask else {}
        return case.call(*inputs, call.p, training=call.training, backend=backend, **given, **options)

    def gradient(call: Call, g: np.ndarray) -> Any:
        mixed = [Tensor(a, backend, requires_grad=True) if a.dtype.kind == "f" else a for a in call.inputs]
        raw = apply(call, mixed)
        y, mask = raw if return_mask else (raw, None)
        if getattr(y, "requires_grad", False):
            y.backward(g)
        grads = [getattr(t, "grad", None) if isinstance(t, Tensor) else None for t in mixed]
        plain = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
        return (plain, mask) if return_mask else plain, grads

    return Target(
        f"puredrop.{case.name} on {backend}",
        lambda call: apply(call, call.inputs),
        gradient,
        evaluates=True,
        takes_mask=not return_mask,
        dtypes=case.dtypes,
    )
