"""Predictions of classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .information import entropy
from .predictive import Correction, Kind, Prediction, checked_kind, corrected, log_joint, log_mean


@dataclass(frozen=True, eq=False)
class CategoricalPrediction(Prediction):
    """`Prediction` of one class among C: samples (T, N, ..., C) are probabilities, and so is the mean (N, ..., C).

    Variances are those of the indicator of each class. Entropies and mutual information are (N, ...).
    """

    @property
    def probabilities(self) -> np.ndarray:
        """(N, ..., C): the mean."""
        return self.mean

    @cached_property
    def aleatoric_variance(self) -> np.ndarray:
        return self.mean_of(self.samples * (1 - self.samples))

    @cached_property
    def entropy(self) -> np.ndarray:
        """Of the mean. From T samples too small on average, by about sum_c Var[p_c] / (2 T mean_c)."""
        return entropy(self.mean)

    @cached_property
    def expected_entropy(self) -> np.ndarray:
        """The mean of the entropies of the functions: aleatoric uncertainty. Unbiased."""
        return self.mean_of(entropy(self.samples))

    @property
    def mutual_information(self) -> np.ndarray:
        """entropy - expected_entropy (BALD; Houlsby et al. 2011). As much too small as the entropy."""
        return self.entropy - self.expected_entropy

    @cached_property
    def geometric_mean(self) -> np.ndarray:
        """The normalised geometric mean of the functions, (N, ..., C).

        For a softmax layer behind dropout of its inputs it is what evaluation gives (`weight_scaling`), exactly;
        in depth that is an approximation (Goodfellow et al. 2013, "Maxout networks").
        """
        with np.errstate(divide="ignore"):
            logs = self.mean_of(np.log(self.samples))
        unnormalised = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return unnormalised / unnormalised.sum(axis=-1, keepdims=True)

    def corrected_entropy(self, correction: Correction) -> np.ndarray:
        """The entropy with its bias at small T estimated and taken away: by the delta method, or the jackknife."""
        return corrected(self, self.samples, entropy, lambda m: -1 / m, correction)

    def corrected_mutual_information(self, correction: Correction) -> np.ndarray:
        """The mutual information, corrected in the same way. It may fall below 0, where the estimate is noise."""
        return self.corrected_entropy(correction) - self.expected_entropy

    def log_prob(self, y: Any, kind: Kind = "mixture", correction: Correction | None = None) -> np.ndarray:
        """The logarithm of the probability of classes y, whole numbers (N, ...).

        kind: "mixture": log of the mean probability, (N, ...); from T samples too small on average, by about
        Var[p] / (2 T p^2), unless a `correction` is asked for. "expected": the mean of the logarithms. "joint": of all
        of y under one function, a number, for `masks="pass"`.
        Raises: TypeError, ValueError for y that are no classes of these examples.
        """
        checked_kind(kind, ("mixture", "expected", "joint"))
        picked = np.take_along_axis(self.samples, self._checked(y)[None, ..., None], axis=-1)[..., 0]  # (T, N, ...)
        with np.errstate(divide="ignore"):
            logs = np.log(picked)
        if kind == "mixture":
            return log_mean(self, logs, correction)
        return self.mean_of(logs) if kind == "expected" else np.asarray(log_joint(self, logs))

    def _checked(self, y: Any) -> np.ndarray:
        y, shape, classes = np.asarray(y), self.samples.shape[1:-1], self.samples.shape[-1]
        if y.dtype.kind not in "iu":
            raise TypeError(f"log_prob: classes must be whole numbers, got {y.dtype}")
        if y.shape != shape or y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"log_prob: y must be of shape {shape}, with classes from 0 to {classes - 1}, got shape {y.shape} "
                f"and numbers from {y.min(initial=0)} to {y.max(initial=0)}"
            )
        return y
