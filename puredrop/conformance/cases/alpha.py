"""Rows for dropout that saturates and restores mean and variance."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ...random import Index
from ...variants import alpha_dropout, feature_alpha_dropout
from ..case import Case, normal

SATURATION = -1.7580993408473766  # Klambauer et al. (2017), the limit of SELU


def restored(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """The paper's affine map for mean 0 and variance 1; zeros at p = 1, its limit."""
    if p == 1:
        return x * 0
    a = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5
    return a * xp.where(keep, x, xp.full_like(x, SATURATION)) - a * p * SATURATION


def square_of_scale(p: float) -> float:
    return 1 / ((1 - p) * (1 + p * SATURATION**2))


OTHERWISE = MappingProxyType(
    {
        "signed zero": "a number is added",
    }
)

CASES = (
    Case(
        name="alpha_dropout",
        call=alpha_dropout,
        formula=restored,
        mean=lambda x, p: square_of_scale(p) ** 0.5 * (1 - p) * x,
        variance=lambda x, p: square_of_scale(p) * p * (1 - p) * (x - SATURATION) ** 2,
        pytorch="alpha_dropout",
        not_applicable=OTHERWISE,
        applies_to=("dense",),
        elsewhere={
            "PyTorch": "torch.nn.AlphaDropout",
            "Keras": "keras.layers.AlphaDropout: p below 1",
        },
    ),
    Case(
        name="feature_alpha_dropout",
        call=feature_alpha_dropout,
        inputs=lambda rows, columns: (normal(rows, columns, 2),),
        any_shape=False,
        index=lambda x: Index.whole(x.shape, shared=2),
        noise_matrix=lambda noise: noise[:, :, 0],
        formula=restored,
        mean=lambda x, p: square_of_scale(p) ** 0.5 * (1 - p) * x,
        variance=lambda x, p: square_of_scale(p) * p * (1 - p) * (x - SATURATION) ** 2,
        pytorch="feature_alpha_dropout",
        not_applicable=OTHERWISE,
        applies_to=("conv",),
        elsewhere={
            "PyTorch": "torch.nn.FeatureAlphaDropout",
            "Keras": "keras.layers.AlphaDropout(noise_shape=): p below 1",
        },
    ),
)
