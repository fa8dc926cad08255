"""Rows for noise whose size is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Index
from ...variants import (
    concrete_dropout,
    local_reparametrisation_linear,
    masksembles,
    sparse_variational_linear,
    spatial_concrete_dropout,
    variational_gaussian_dropout,
)
from ..case import Arrays, Case, normal, part_of_x

TESTED = "tested in tests/test_learned.py"
A_TEMPERATURE = "p stands for the temperature, which cannot be 0"
A_SUM = {"signed zero": "y is a sum of products"}
NO_IDENTITY = {"identity": f"{A_TEMPERATURE}; small rates are {TESTED}"}


def with_one_a_column(rows: int, columns: int) -> Arrays:
    """x, and a parameter for each column."""
    return normal(rows, columns), normal(columns, seed=1)


def channels(rows: int, columns: int) -> Arrays:
    """x with two by two positions in each channel, and a parameter for each channel."""
    return normal(rows, columns, 2, 2), normal(columns, seed=1)


def dense(rows: int, columns: int) -> Arrays:
    """x, weight, a parameter for each weight, and bias. The noise is that of the outputs."""
    return normal(rows, 3), normal(columns, 3, seed=1), normal(columns, 3, seed=2), normal(columns, seed=3)


def outputs(x: Any, weight: Any, *_: Any) -> Index:
    """One number an output and example."""
    return Index.whole((len(x), len(weight)))


def smaller(xp: Any, a: Any, high: float) -> Any:
    """The smaller of a and a number."""
    return xp.where(a < high, a, xp.zeros_like(a) + high)


def relative_variance(xp: Any, weight: Any, log_sigma2: Any, p: float) -> Any:
    """sigma^2 / weight^2, kept within exp(-p) and exp(p)."""
    return xp.exp(xp.clip(log_sigma2 - xp.log(weight**2 + 1e-8), -p, p))


def noisy_outputs(x: Any, weight: Any, alpha: Any, bias: Any, e: Any) -> Any:
    """The mean, and noise with the variance of a sum over normal weights."""
    return x @ weight.T + bias + (x**2 @ (alpha * weight**2).T) ** 0.5 * e


def concrete(xp: Any, x: Any, rho: Any, u: Any, t: float) -> Any:
    """x (1 - z) / (1 - p), written with p and z themselves."""
    p = 1 / (1 + xp.exp(-rho))
    z = 1 / (1 + xp.exp(-(xp.log(p / (1 - p)) + xp.log(u / (1 - u))) / t))
    return x * (1 - z) / (1 - p)


def concrete_powers(rho: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of (1 - z) / (1 - p): the midpoint rule over the logistic noise."""
    at = np.linspace(-60, 60, 200001)
    density = np.exp(-abs(at)) / (1 + np.exp(-abs(at))) ** 2 * (at[1] - at[0])
    kept = [(1 + np.exp(r)) / (1 + np.exp((r + at) / t)) for r in rho]
    first, second = (np.array([np.sum(density * k**n) for k in kept]) for n in (1, 2))
    return first, second - first**2


def two_members(x: Any, p: float, **options: Any) -> Any:
    """`masksembles` with two members, its scale 1 + p."""
    return masksembles(x, 2, 1 + p, **options)


def even_rows(rows: int, columns: int) -> Arrays:
    """x of an even number of rows, and at least ten features."""
    return (normal(rows + rows % 2, max(columns, 10)),)


def by_halves(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """The first mask for the first half of the rows, the second for the second."""
    member = np.arange(len(x)) // max(1, len(x) // 2)  # (N,)
    return xp.where(keep[member], x, xp.zeros_like(x))


FIXED = "masks of a fixed number of features are shared by rows"

CASES = (
    Case(
        name="variational_gaussian_dropout",
        call=variational_gaussian_dropout,
        inputs=with_one_a_column,
        formula=lambda xp, x, la, e, p: x * (1 + smaller(xp, xp.exp(la), p) ** 0.5 * e) if p else x,
        mean=lambda x, la, p: x,
        variance=lambda x, la, p: x**2 * np.minimum(np.exp(la), p),
        rates=(0.0, 0.5, 1.5, 10.0),
        at_one="formula",
        real_noise="normal",
        axes=1,
        part=part_of_x,
        applies_to=("dense", "conv"),
    ),
    Case(
        name="local_reparametrisation_linear",
        call=local_reparametrisation_linear,
        inputs=dense,
        formula=lambda xp, x, w, la, b, e, p: noisy_outputs(x, w, smaller(xp, xp.exp(la), p) if p else 0, b, e),
        mean=lambda x, w, la, b, p: x @ w.T + b,
        variance=lambda x, w, la, b, p: x**2 @ (np.minimum(np.exp(la), p) * w**2).T,
        rates=(0.5, 1.5, 10.0),
        at_one="formula",
        evaluation=lambda xp, x, w, la, b, p: x @ w.T + b,
        any_shape=False,
        real_noise="normal",
        index=outputs,
        axes=1,
        part=part_of_x,
        not_applicable=A_SUM,
        applies_to=("dense",),
        elsewhere={
            "TFP": "tfp.layers.DenseLocalReparameterization: free variances; draws in evaluation too",
        },
    ),
    Case(
        name="sparse_variational_linear",
        call=lambda *arguments, **options: sparse_variational_linear(*arguments, threshold=0.25, **options),
        inputs=dense,
        formula=lambda xp, x, w, ls, b, e, p: noisy_outputs(x, w, relative_variance(xp, w, ls, p), b, e),
        mean=lambda x, w, ls, b, p: x @ w.T + b,
        variance=lambda x, w, ls, b, p: x**2 @ (relative_variance(np, w, ls, p) * w**2).T,
        rates=(0.0, 0.5, 8.0),
        at_one="formula",
        evaluation=lambda xp, x, w, ls, b, p: x @ (w * (relative_variance(xp, w, ls, p) <= np.exp(0.25))).T + b,
        any_shape=False,
        real_noise="normal",
        index=outputs,
        axes=1,
        part=part_of_x,
        not_applicable={**A_SUM, "identity": "p limits log alpha, and at every limit there is noise"},
        applies_to=("dense",),
    ),
    Case(
        name="concrete_dropout",
        call=concrete_dropout,
        inputs=with_one_a_column,
        formula=concrete,
        mean=lambda x, rho, p: x * concrete_powers(rho, p)[0],
        variance=lambda x, rho, p: x**2 * concrete_powers(rho, p)[1],
        rates=(0.1, 0.5, 2.0),
        at_one="formula",
        real_noise="uniform",
        axes=1,
        part=part_of_x,
        not_applicable=NO_IDENTITY,
        applies_to=("dense",),
    ),
    Case(
        name="spatial_concrete_dropout",
        call=spatial_concrete_dropout,
        inputs=channels,
        formula=lambda xp, x, rho, u, p: concrete(xp, x, rho[:, None, None], u, p),
        mean=lambda x, rho, p: x * concrete_powers(rho, p)[0][:, None, None],
        variance=lambda x, rho, p: x**2 * concrete_powers(rho, p)[1][:, None, None],
        rates=(0.1, 0.5, 2.0),
        at_one="formula",
        any_shape=False,
        real_noise="uniform",
        index=lambda x, rho: Index.whole(x.shape, shared=(2, 3)),
        axes=1,
        part=part_of_x,
        noise_matrix=lambda u: u[:, :, 0, 0],
        not_applicable=NO_IDENTITY,
        applies_to=("conv",),
    ),
    Case(
        name="masksembles",
        call=two_members,
        inputs=even_rows,
        formula=by_halves,
        mean=None,
        variance=None,
        any_shape=False,
        index=None,
        at_one="formula",
        not_applicable={
            **dict.fromkeys(("rate", "structure", "calls", "addresses", "nested"), f"{FIXED}; {TESTED}"),
            "shard": "a part of the batch would be divided among all members",
            "evaluation": f"masks are the same in evaluation; {TESTED}",
            "rate errors": f"p stands for scale - 1; {TESTED}",
        },
        applies_to=("dense", "conv"),
        elsewhere={"masksembles": "masksembles.torch.Masksembles1D: and 2D, for Keras too"},
    ),
)
