"""How much samples disagree: entropies, mutual information and their simpler relatives. In nats, sample axis first."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..variants.door import broadcasts
from .door import checked_probabilities, chosen, finite, not_below_zero


def entropy(probabilities: Any, axis: int = -1) -> np.ndarray:
    """The Shannon entropy of distributions along an axis.

    Math: -sum_c p_c log p_c, with 0 log 0 = 0.
    Shapes: any, with the classes on `axis`, which is summed out. Dtypes: float64.
    Raises: ValueError for what does not sum to one or leaves [0, 1], such as logits.
    Reference: Shannon, "A mathematical theory of communication" (1948).

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 0.6931]
    """
    return _entropy(checked_probabilities("entropy", probabilities, "(..., C)", axis), axis)


def _entropy(p: np.ndarray, axis: int = -1) -> np.ndarray:
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=axis) + 0.0  # no -0


def predictive_entropy(samples: Any) -> np.ndarray:
    """The entropy of the mean of the samples: all of the uncertainty.

    Math: H(mean_t p_t).
    Shapes: (T, ..., C) -> (...). Dtypes: float64.
    Raises: ValueError for what are no probabilities.
    Reference: Gal, "Uncertainty in deep learning" (2016), section 3.3.

    >>> predictive_entropy(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).round(4).tolist()
    [0.6931]
    """
    return _entropy(_samples("predictive_entropy", samples).mean(axis=0))


def expected_entropy(samples: Any) -> np.ndarray:
    """The mean of the samples' entropies: the uncertainty that more data would leave.

    Math: mean_t H(p_t).
    Shapes: (T, ..., C) -> (...). Dtypes: float64.
    Raises: ValueError for what are no probabilities.
    Reference: Gal, "Uncertainty in deep learning" (2016), section 3.3.

    >>> expected_entropy(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).tolist()
    [0.0]
    """
    return _entropy(_samples("expected_entropy", samples)).mean(axis=0)


def mutual_information(samples: Any) -> np.ndarray:
    """What the samples' disagreement says: the uncertainty that more data would remove (BALD).

    Math: H(mean_t p_t) - mean_t H(p_t) >= 0; where all samples agree, rounding may leave some -1e-16.
    Shapes: (T, ..., C) -> (...). Dtypes: float64.
    Raises: ValueError for what are no probabilities, such as logits (of which it may be negative).
    Reference: Houlsby et al., "Bayesian active learning for classification and preference learning" (2011).

    >>> mutual_information(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).round(4).tolist()
    [0.6931]
    """
    p = _samples("mutual_information", samples)
    return _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0)


def variation_ratio(samples: Any, *, kind: Literal["mean", "votes"]) -> np.ndarray:
    """How far from certain the most favoured class is.

    Math: "mean": 1 - max_c mean_t p_tc; "votes": 1 - max_c #{t: argmax p_t = c} / T (a tie votes for the lower class).
    Shapes: (T, ..., C) -> (...). Dtypes: float64.
    Raises: ValueError for what are no probabilities or another kind.
    Reference: Freeman, "Elementary applied statistics" (1965); Gal et al., "Deep Bayesian active learning" (2017).

    >>> p = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.2, 0.8]]])
    >>> variation_ratio(p, kind="mean").round(4).tolist(), variation_ratio(p, kind="votes").round(4).tolist()
    ([0.4667], [0.3333])
    """
    p = _samples("variation_ratio", samples)
    if chosen("variation_ratio", "kind", kind, ("mean", "votes")) == "mean":
        return 1 - p.mean(axis=0).max(axis=-1)
    votes = p.argmax(axis=-1)[..., None] == np.arange(p.shape[-1])  # (T, ..., C)
    return 1 - votes.mean(axis=0).max(axis=-1)


def mean_std(samples: Any) -> np.ndarray:
    """The mean over classes of the samples' standard deviation, divisor T.

    Math: mean_c sqrt(mean_t p_tc^2 - (mean_t p_tc)^2).
    Shapes: (T, ..., C) -> (...). Dtypes: float64.
    Raises: ValueError for what are no probabilities.
    Reference: Kampffmeyer et al. (2016), as in Gal et al., "Deep Bayesian active learning" (2017).

    >>> mean_std(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).tolist()
    [0.5]
    """
    return _samples("mean_std", samples).std(axis=0).mean(axis=-1)


class RegressionUncertainty(NamedTuple):
    """Variances: of the means over samples, the mean of the samples' own, and their sum."""

    epistemic: np.ndarray
    aleatoric: np.ndarray
    total: np.ndarray


def regression_uncertainty(means: Any, variances: Any) -> RegressionUncertainty:
    """The law of total variance over samples of a mean and a variance.

    Math: epistemic = var_t mean_t (divisor T), aleatoric = mean_t variance_t, total = their sum: the variance of the
        mixture of the T distributions.
    Shapes: means (T, ...), variances of the same shape or one that broadcasts to it. Dtypes: float64.
    Raises: ValueError for negative variances, NaN, or shapes that do not fit.
    Reference: Kendall & Gal, "What uncertainties do we need in Bayesian deep learning?" (2017).

    >>> regression_uncertainty(np.array([[0.0], [2.0]]), 0.5).total.tolist()
    [1.5]
    """
    m = finite("regression_uncertainty", "means", means)
    v = not_below_zero("regression_uncertainty", "variances", finite("regression_uncertainty", "variances", variances))
    if not (m.ndim and broadcasts(v.shape, m.shape)):
        raise ValueError(f"regression_uncertainty: variances {v.shape} must broadcast to means (T, ...), got {m.shape}")
    epistemic, aleatoric = m.var(axis=0), np.broadcast_to(v, m.shape).mean(axis=0)
    return RegressionUncertainty(epistemic, aleatoric, epistemic + aleatoric)


def regression_mutual_information(means: Any, variances: Any) -> np.ndarray:
    """The mutual information of a Gaussian whose variances are those of `regression_uncertainty`.

    Math: log(total / aleatoric) / 2, the Gaussian approximation to the entropy of the mixture.
    Shapes: as `regression_uncertainty`, (T, ...) -> (...). Dtypes: float64.
    Raises: as `regression_uncertainty`; infinite where samples without noise disagree, 0 where they agree.
    Reference: Depeweg et al., "Decomposition of uncertainty in Bayesian deep learning" (2018).

    >>> regression_mutual_information(np.array([[0.0], [2.0]]), 1.0).round(4).tolist()
    [0.3466]
    """
    parts = regression_uncertainty(means, variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = 0.5 * np.log1p(parts.epistemic / parts.aleatoric)
    return np.where(parts.epistemic > 0, information, 0.0)


def _samples(operation: str, samples: Any) -> np.ndarray:
    return checked_probabilities(operation, samples, "(T, ..., C)")
