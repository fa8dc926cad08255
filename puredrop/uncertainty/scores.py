"""Scores of out-of-distribution inputs, all larger for what is stranger; measure them with `auroc` and its kin."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .door import checked_probabilities, chosen, finite, positive
from .information import entropy, mutual_information, variation_ratio


def max_probability_score(probabilities: Any) -> np.ndarray:
    """1 - max_c p_c: the maximum softmax probability turned, so that larger is stranger.

    Shapes: (..., C) -> (...). Raises: ValueError for what are no probabilities, such as logits.
    Reference: Hendrycks & Gimpel, "A baseline for detecting misclassified and out-of-distribution examples" (2017).

    >>> max_probability_score(np.array([[0.75, 0.25]])).tolist()
    [0.25]
    """
    return 1 - checked_probabilities("max_probability_score", probabilities, "(..., C)").max(axis=-1)


def free_energy(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """The energy of logits: larger (less negative) where no class has evidence.

    Math: -temperature log sum_c exp(z_c / temperature).
    Shapes: (..., C) -> (...). Dtypes: float64. Raises: ValueError for NaN or a temperature of 0 or less.
    Reference: Liu et al., "Energy-based out-of-distribution detection" (2020).

    >>> free_energy(np.array([[0.0, 0.0]])).round(4).tolist()
    [-0.6931]
    """
    t = float(positive("free_energy", "temperature", finite("free_energy", "temperature", temperature, ndim=0)))
    z = finite("free_energy", "logits", logits) / t
    peak = z.max(axis=-1, keepdims=True)
    return -t * (np.log(np.exp(z - peak).sum(axis=-1)) + peak[..., 0])


def ood_scores(logits: Any, *, energy_of: Literal["samples", "mean_logits"]) -> dict[str, np.ndarray]:
    """Every score of T samples of logits, by name.

    Math: of p_t = softmax(z_t) and their mean: max_probability, entropy, mutual_information, variation_ratio (votes);
        and energy: "samples": mean_t free_energy(z_t); "mean_logits": free_energy(mean_t z_t), as OpenOOD averages.
    Shapes: (T, N, C) -> (N,) each. Dtypes: float64. Raises: ValueError for NaN, other shapes, another energy.

    >>> sorted(ood_scores(np.zeros((2, 1, 3)), energy_of="samples"))
    ['energy', 'entropy', 'max_probability', 'mutual_information', 'variation_ratio']
    """
    z = finite("ood_scores", "logits", logits, ndim=3)
    of_samples = chosen("ood_scores", "energy_of", energy_of, ("samples", "mean_logits")) == "samples"
    samples = np.exp(z + free_energy(z)[..., None])  # softmax, (T, N, C)
    mean = samples.mean(axis=0)
    return {
        "max_probability": max_probability_score(mean),
        "energy": free_energy(z).mean(axis=0) if of_samples else free_energy(z.mean(axis=0)),
        "entropy": entropy(mean),
        "mutual_information": mutual_information(samples),
        "variation_ratio": variation_ratio(samples, kind="votes"),
    }
