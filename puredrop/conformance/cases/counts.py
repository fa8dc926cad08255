"""Rows for noise that is balanced: weight units, exact counts, fair signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Index
from ...variants import fixed_count_dropout, flipout, shakeout
from ..case import Arrays, Case, normal, part_of_x

C = 0.25
GROUP = 10  # (1 - p) GROUP is whole at every rate of the checks of chance
ELSEWHERE = "see tests/test_elementwise_variants.py"


def shake(w: Any, p: Any, **options: Any) -> Any:
    """Weights whose first two axes number the input units."""
    return shakeout(w, p, C, axis=(0, 1), **options)


def shaken(xp: Any, w: Any, keep: Any, p: float) -> Any:
    one = xp.ones_like(w)
    sign = xp.where(w > 0, one, xp.where(w < 0, -one, 0 * one))  # 0 for a NaN
    kept = (w + C * p * sign) / (1 - p) if p < 1 else w * 0
    return xp.where(keep, kept, -C * sign)


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
        any_shape=False,
        index=lambda w: Index.whole(w.shape, shared=2),
        noise_matrix=lambda noise: noise[:, :, 0],
        formula=shaken,
        mean=lambda w, p: w,
        variance=lambda w, p: (np.abs(w) + C) ** 2 * p / (1 - p),
        at_one="formula",
        not_applicable={"signed zero": "c p sgn(w) is added", "all dropped": "p = 1 gives -c sgn(w) of every weight"},
        applies_to=("dense", "conv"),
    ),
    Case(
        name="fixed_count_dropout",
        call=fixed_count_dropout,
        inputs=lambda rows, columns: (normal(rows, columns // 4 or 1, GROUP),),
        any_shape=False,
        noise_matrix=lambda noise: noise[:, :, 0],  # groups are independent, elements of a group are not
        formula=counted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * (GROUP / kept_of_group(p) - 1),
        not_applicable={
            "enumeration": f"the masks of a fixed count are not independent decisions; {ELSEWHERE}",
        },
        applies_to=("dense", "conv", "attention"),
    ),
    Case(
        name="flipout",
        call=scaled_flipout,
        inputs=layer,
        any_shape=False,
        index=lambda x, w, d: Index.whole((len(x), sum(w.shape))),
        axes=1,
        part=part_of_x,
        drop_rate=lambda p: 0.5,  # the signs are fair at every size of the perturbation
        formula=flipped,
        mean=lambda x, w, d, p: x @ w.T,
        variance=lambda x, w, d, p: x**2 @ (p * d).T ** 2,
        rates=(0.0, 0.1, 0.5, 2.0),  # p is the size of the perturbation
        at_one="formula",
        evaluation=lambda xp, x, w, d, p: x @ w.T,
        rounds=True,
        not_applicable={
            **dict.fromkeys(("nonfinite", "nonfinite gradient", "signed zero", "all dropped"), "signs drop nothing"),
            "rate errors": f"takes no rate; {ELSEWHERE}",
        },
        applies_to=("dense", "recurrent"),
        elsewhere={"TFP": "tfp.layers.DenseFlipout: it draws the perturbation too, in evaluation as well"},
    ),
)
