"""Rows for noise on weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Index
from ...variants import (
    drop_connect,
    hard_concrete_gate,
    hard_concrete_penalty,
    mixout,
    quant_noise,
    targeted_dropout,
    weight_drop,
)
from ..case import Arrays, Case, normal, part_of_x
from .elementwise import inverted

BLOCK = 2
CHANCE = ("rate", "structure", "calls", "addresses", "nested")
TESTED = "tested in tests/test_weights.py"
NO_PARTS = {"shard": "a weight is ranked or quantised as a whole and takes no part of one"}


def dense(rows: int, columns: int) -> Arrays:
    """x, weight, bias; one output in small examples, for all masks of it are enumerated."""
    outputs = 1 if columns <= 4 else 2
    return normal(rows, columns), normal(outputs, columns, seed=1), normal(outputs, seed=2)


def dropped_connections(xp: Any, x: Any, weight: Any, bias: Any, keep: Any, p: float) -> Any:
    """Every example has a weight matrix of its own."""
    return xp.einsum("noi,ni->no", inverted(xp, weight, keep, p), x) + bias


def two(rows: int, columns: int) -> Arrays:
    """Weights, and other weights."""
    return normal(rows, columns), normal(rows, columns, seed=1)


def mixed(xp: Any, w: Any, u: Any, keep: Any, p: float) -> Any:
    """((1 - z) w + z u - p u) / (1 - p), z = 1 where dropped; u at p = 1."""
    return (xp.where(keep, w, u) - p * u) / (1 - p) if p < 1 else u


def small_then_large(rows: int, columns: int) -> Arrays:
    """Weights whose first half is the smaller: those are the candidates."""
    return (np.concatenate([normal(rows, columns) / 100, normal(rows, columns, seed=1) + 50], axis=1),)


def smaller_half(w: Any) -> Any:
    """Whether fewer than half of its row are smaller than a weight."""
    size = abs(w)
    return (size[:, None, :] < size[:, :, None]).sum(-1) < w.shape[1] / 2


def targeted_mean(w: Any, p: float) -> Any:
    return np.where(smaller_half(w), (1 - p) * w, w)


def eight_bits(xp: Any, w: Any) -> Any:
    """Scale, zero point, round, and back."""
    if 0 in w.shape:
        return w
    s = (w.max() - w.min()) / 255
    zero = xp.round(w.min() / s)
    return (xp.round(w / s - zero) + zero) * s


def noisy_blocks(xp: Any, w: Any, keep: Any, p: float) -> Any:
    """Kept blocks as they are, others quantised; PyTorch's gradient is that of w, for the difference is detached."""
    each = xp.stack([keep] * BLOCK, -1).reshape(w.shape)
    return w + constant(xp.where(each, w, eight_bits(xp, w)) - w)


def constant(a: Any) -> Any:
    """Without a gradient."""
    return a.detach() if hasattr(a, "detach") else a


def concrete(xp: Any, log_alpha: Any, u: Any, temperature: float) -> Any:
    """A stretched and clipped binary concrete number."""
    s = 1 / (1 + xp.exp(-(xp.log(u / (1 - u)) + log_alpha) / temperature))
    return xp.clip(s * 1.2 - 0.1, 0, 1)


def gate_moments(log_alpha: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the gate: the midpoint rule over u."""
    u = (np.arange(10_000) + 0.5) / 10_000
    gates = [concrete(np, a, u, temperature) for a in log_alpha.reshape(-1)]
    mean, variance = (np.array([f(gate) for gate in gates]).reshape(log_alpha.shape) for f in (np.mean, np.var))
    return mean, variance


def penalty(x: Any, p: Any, return_mask: bool = False, backend: Any = None, **_: Any) -> Any:
    """`hard_concrete_penalty` draws nothing: its noise is empty."""
    y = hard_concrete_penalty(x, p, backend=backend)
    return (y, np.zeros(0)) if return_mask else y


CASES = (
    Case(
        name="drop_connect",
        call=drop_connect,
        inputs=dense,
        any_shape=False,
        index=lambda x, w, b: Index.whole((len(x), *w.shape)),
        axes=1,
        part=part_of_x,
        formula=dropped_connections,
        mean=lambda x, w, b, p: x @ w.T + b,
        variance=lambda x, w, b, p: p / (1 - p) * (x**2 @ (w**2).T),
        noise_matrix=lambda keep: keep[:, -1],
        at_one="formula",
        evaluation=lambda xp, x, w, b, p: x @ w.T + b,
        rounds=True,
        not_applicable={
            "nonfinite": f"a weight is dropped for some examples only; {TESTED}",
            "nonfinite gradient": f"weights are dropped, not elements of x; {TESTED}",
            "signed zero": "y is a sum of products",
        },
        applies_to=("dense",),
        elsewhere={"Chainer": "chainer.functions.simplified_dropconnect"},
    ),
    Case(
        name="weight_drop",
        call=weight_drop,
        formula=inverted,
        mean=lambda w, p: w,
        variance=lambda w, p: w**2 * p / (1 - p),
        pytorch="dropout",
        applies_to=("recurrent", "dense"),
        elsewhere={"fastai": "fastai.text.models.awdlstm.WeightDropout"},
    ),
    Case(
        name="mixout",
        call=mixout,
        inputs=two,
        formula=mixed,
        mean=lambda w, u, p: w,
        variance=lambda w, u, p: (w - u) ** 2 * p / (1 - p),
        at_one="formula",
        not_applicable={"signed zero": "a kept weight is corrected by -p u"},
        applies_to=("dense", "conv", "attention"),
    ),
    Case(
        name="targeted_dropout",
        call=targeted_dropout,
        inputs=small_then_large,
        any_shape=False,
        index=None,
        formula=lambda xp, w, keep, p: xp.where(keep | ~smaller_half(w), w, xp.zeros_like(w)),
        mean=targeted_mean,
        variance=lambda w, p: np.where(smaller_half(w), p * (1 - p) * w**2, 0),
        noise_matrix=lambda keep: keep[:, : keep.shape[1] // 2],
        at_one="formula",
        evaluation=lambda xp, w, p: xp.where(smaller_half(w), xp.zeros_like(w), w),
        not_applicable={
            **NO_PARTS,
            "nonfinite": f"a NaN counts as the largest weight and changes who is a candidate; {TESTED}",
            "all dropped": f"a NaN counts as the largest weight and changes who is a candidate; {TESTED}",
        },
        applies_to=("dense", "conv"),
    ),
    Case(
        name="quant_noise",
        call=lambda w, p, **options: quant_noise(w, p, block=BLOCK, **options),
        inputs=lambda rows, columns: (normal(rows, BLOCK * columns),),
        any_shape=False,
        index=None,
        formula=noisy_blocks,
        mean=lambda w, p: (1 - p) * w + p * eight_bits(np, w),
        variance=lambda w, p: p * (1 - p) * (eight_bits(np, w) - w) ** 2,
        at_one="formula",
        evaluation=lambda xp, w, p: eight_bits(xp, w),
        not_applicable={
            **NO_PARTS,
            "nonfinite": "the step between levels depends on every weight",
            "all dropped": "the step between levels depends on every weight",
            "gradient": "straight through by definition, not the derivative; held against PyTorch's autograd",
            "second gradient": f"straight through by definition, not the derivative; {TESTED}",
            "nonfinite gradient": "the gradient passes straight through, by definition",
            "signed zero": f"a difference is added; {TESTED}",
        },
        applies_to=("dense", "conv", "embedding", "attention"),
        elsewhere={
            "fairseq": "fairseq.modules.quant_noise.quant_noise: overwrites the weights, so that zeros add up",
        },
    ),
    Case(
        name="hard_concrete_gate",
        call=hard_concrete_gate,
        formula=concrete,
        mean=lambda x, p: gate_moments(x, p)[0],
        variance=lambda x, p: gate_moments(x, p)[1],
        rates=(0.1, 0.5, 0.9),
        at_one="formula",
        evaluation=lambda xp, x, p: xp.clip(1.2 / (1 + xp.exp(-x)) - 0.1, 0, 1),
        real_noise="uniform",
        not_applicable={
            "identity": "p stands for the temperature, and gates are no function that could be the identity",
            "signed zero": "a gate of -0 would be a clipped one, which is +0",
        },
        applies_to=("dense", "conv"),
    ),
    Case(
        name="hard_concrete_penalty",
        call=penalty,
        formula=lambda xp, x, noise, p: 1 / (1 + xp.exp(-(x - p * np.log(0.1 / 1.1)))),
        mean=lambda x, p: 1 / (1 + np.exp(-(x - p * np.log(0.1 / 1.1)))),
        variance=lambda x, p: 0 * x,
        rates=(0.1, 0.5, 0.9),
        index=None,
        at_one="formula",
        evaluation=lambda xp, x, p: 1 / (1 + xp.exp(-(x - p * np.log(0.1 / 1.1)))),
        real_noise="uniform",
        not_applicable=dict.fromkeys(
            ("identity", "signed zero", "shard", "injected mask", *CHANCE),
            "a probability: nothing is drawn, and p stands for the temperature, which cannot be 0",
        ),
        applies_to=("dense", "conv"),
    ),
)
