"""Rows for noise that is balanced: weight units, exact counts, fair signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...variants import fixed_count_dropout, flipout, shakeout
from ..case import Arrays, Case, normal

C = 0.25
GROUP = 10  # (1 - p) GROUP is whole at every rate of the checks of chance
ELSEWHERE = "see tests/test_elementwise_variants.py"


def shake(w: Any, p: Any, **options: Any) -> Any:
    """Weights whose first two axes number the input units."""
    return shakeout(w, p, C, axis=(0, 1), **options)


def shaken(xp: Any, w: Any, keep: Any, p: float) -> Any:
    kept = (w + C * p * xp.sign(w)) / (1 - p) if p < 1 else w * 0
    return xp.where(keep, kept, -C * xp.sign(w))


def counted(xp: Any, x: Any, keep: Any, p: float) -> Any:
    k = round((1 - p) * x.shape[-1])
    return xp.where(keep, x * (x.shape[-1] / max(k, 1)), xp.zeros_like(x))


def kept_of_group(p: float) -> int:
    return round((1 - p) * GROUP)


def scaled_flipout(x: Any, w: Any, perturbation: Any, p: float, **options: Any) -> Any:
    """The one parameter of the table is the size of the perturbation."""
    return flipout(x, w, perturbation * p, **options)


def flipped(xp: Any, x: Any, w: Any, d: Any, positive: Any, p: float) -> Any:
    """One sample at a time would be x @ (w + d * s r^T): here all of them at once, by their own weights."""
    sign = positive * 2.0 - 1.0  # (N, I + O)
    r, s = sign[:, None, : x.shape[1]], sign[:, x.shape[1] :, None]
    return ((w + p * d * s * r) * x[:, None, :]).sum(-1)


def layer(rows: int, columns: int) -> Arrays:
    inputs, outputs = columns // 2, columns - columns // 2
    return normal(rows, inputs), normal(outputs, inputs, seed=1), normal(outputs, inputs, seed=2)


CASES = (
    Case(
        name="shakeout",
        call=shake,
        inputs=lambda rows, columns: (normal(rows, columns, 2),),
        noise_matrix=lambda noise: noise[:, :, 0],
        formula=shaken,
        mean=lambda w, p: w,
        variance=lambda w, p: (np.abs(w) + C) ** 2 * p / (1 - p),
        at_one="formula",
        not_applicable={
            "shapes": f"needs the axes of the input units; {ELSEWHERE}",
            "shard": f"the index must share the axes of the output units; {ELSEWHERE}",
            "signed zero": "c p sgn(w) is added",
        },
        applies_to=("dense", "conv"),
    ),
    Case(
        name="fixed_count_dropout",
        call=fixed_count_dropout,
        inputs=lambda rows, columns: (normal(rows, columns, GROUP),),
        noise_matrix=lambda noise: noise[:, :, 0],  # groups are independent, elements of a group are not
        formula=counted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * (GROUP / kept_of_group(p) - 1),
        not_applicable={
            "shapes": f"needs an axis to count along; {ELSEWHERE}",
            "enumeration": f"the masks of a fixed count are not independent decisions; {ELSEWHERE}",
        },
        applies_to=("dense", "conv", "attention"),
    ),
    Case(
        name="flipout",
        call=scaled_flipout,
        inputs=layer,
        formula=flipped,
        mean=lambda x, w, d, p: x @ w.T,
        variance=lambda x, w, d, p: x**2 @ (p * d).T ** 2,
        rates=(0.0, 0.1, 0.5, 2.0),  # p is the size of the perturbation
        at_one="formula",
        evaluation=lambda xp, x, w, d, p: x @ w.T,
        not_applicable={
            **dict.fromkeys(
                ("rate", "structure", "calls", "addresses", "nested"),
                f"the signs are fair at every size of the perturbation; {ELSEWHERE}",
            ),
            **dict.fromkeys(("nonfinite", "nonfinite gradient", "signed zero"), "signs drop nothing"),
            "identity": f"p = 0 gives the linear layer; {ELSEWHERE}",
            "shapes": f"the result has the shape of a linear layer; {ELSEWHERE}",
            "errors": f"takes no rate; {ELSEWHERE}",
            "shard": f"has several inputs; {ELSEWHERE}",
            "huge index": f"has several inputs; {ELSEWHERE}",
        },
        applies_to=("dense", "recurrent"),
        elsewhere={"TFP": "tfp.layers.DenseFlipout: it draws the perturbation too, in evaluation as well"},
    ),
)
