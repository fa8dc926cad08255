"""Rows for real noise on single elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...variants import continuous_dropout, gaussian_dropout, gaussian_noise, information_dropout
from ..case import Arrays, Case, normal


def limited_alpha(x: Any, alpha: Any, p: Any, **options: Any) -> Any:
    """The one parameter of the table is the limit on alpha, which is an input."""
    return information_dropout(x, alpha, max_alpha=p, **options)


def signal_and_alpha(rows: int, columns: int) -> Arrays:
    return normal(rows, columns), np.abs(normal(rows, columns, seed=1))


def log_normal_mean(x: Any, alpha: Any, p: float) -> Any:
    return x * np.exp(np.minimum(alpha, p) ** 2 / 2)


def log_normal_variance(x: Any, alpha: Any, p: float) -> Any:
    square = np.minimum(alpha, p) ** 2
    return x**2 * np.exp(square) * (np.exp(square) - 1)


CASES = (
    Case(
        name="gaussian_dropout",
        call=gaussian_dropout,
        formula=lambda xp, x, e, p: x * (1 + (p / (1 - p)) ** 0.5 * e),
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        at_one="raises",
        real_noise="normal",
        applies_to=("dense", "recurrent", "attention", "embedding", "graph"),
        elsewhere={"Keras": "keras.layers.GaussianDropout"},
    ),
    Case(
        name="continuous_dropout",
        call=continuous_dropout,
        formula=lambda xp, x, u, p: x * (2 * u - 1) * (3 * p / (1 - p)) ** 0.5 + x,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        at_one="raises",
        real_noise="uniform",
        applies_to=("dense", "conv"),
    ),
    Case(
        name="gaussian_noise",
        call=gaussian_noise,
        formula=lambda xp, x, e, p: x + p * e,
        mean=lambda x, p: x,
        variance=lambda x, p: np.full_like(x, p * p),
        rates=(0.0, 0.1, 0.5, 2.0),  # p is sigma
        at_one="formula",
        real_noise="normal",
        not_applicable={"signed zero": "noise is added"},
        applies_to=("input", "dense", "conv"),
        elsewhere={"Keras": "keras.layers.GaussianNoise: sigma at most 1"},
    ),
    Case(
        name="information_dropout",
        call=limited_alpha,
        inputs=signal_and_alpha,
        formula=lambda xp, x, alpha, e, p: x * xp.exp(xp.clip(alpha, 0.0, p) * e),
        mean=log_normal_mean,
        variance=log_normal_variance,
        rates=(0.0, 0.1, 0.7, 2.0),  # p is max_alpha
        at_one="formula",
        real_noise="normal",
        applies_to=("dense", "conv"),
    ),
)
