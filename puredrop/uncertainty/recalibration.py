"""Making probabilities mean what they say: maps fitted on rows the model was not trained on. fit, then transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..variants.door import counted
from .door import checked_labels, checked_probabilities, chosen, classified, finite
from .proper_scores import one_hot

STEPS = 200  # of Newton; a problem that has a minimum takes about ten
ROUNDING = 1e-16


class NoMinimumError(ValueError):
    """The rows can be fitted without end: the likelihood has no maximum at finite parameters."""


class TemperatureScaling:
    """One number that divides all logits, by maximum likelihood; the most probable class stays the same.

    Math: p = softmax(z / temperature), temperature = argmin NLL. NLL is convex in 1 / temperature; there
        mean z_y = mean sum_c p_c z_c.
    Shapes: fit(logits (N, C), labels (N,)), transform(logits (M, C)) -> (M, C). Dtypes: float64.
    Raises: TypeError, ValueError for NaN or labels that do not fit; NoMinimumError where every row is right, so that
        the best temperature is 0, or where the logits are no better than chance, so that it is infinite.
    Reference: Guo et al., "On calibration of modern neural networks" (2017).

    >>> logits, labels = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), np.array([0, 0, 1])
    >>> scaling = TemperatureScaling().fit(logits, labels)
    >>> scaling.temperature.__round__(4), scaling.transform(logits)[0].round(4).tolist()
    (2.8854, [0.6667, 0.3333])
    """

    temperature: float

    def fit(self, logits: Any, labels: Any) -> TemperatureScaling:
        z, y = _logits("TemperatureScaling", logits, labels)
        z = z - z.max(axis=1, keepdims=True)
        scale = _scale(z)
        z = z / scale

        def derivatives(beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            p = _softmax(beta[0] * z)
            mean = (p * z).sum(axis=1)
            slope = (mean - z[np.arange(len(y)), y]).mean()
            curvature = ((p * z**2).sum(axis=1) - mean**2).mean()
            return _loss(p, y), np.array([slope]), np.array([[curvature]])

        if derivatives(np.zeros(1))[1][0] >= 0:
            raise NoMinimumError(
                "TemperatureScaling: these logits say less than equal probabilities would, so the best temperature is "
                "infinite; check that labels and logits belong together"
            )
        if (z[np.arange(len(y)), y] == 0).all():
            raise NoMinimumError(
                "TemperatureScaling: the label has the largest logit in every row, so the best temperature is 0; "
                "fit on more rows, of which some are wrong"
            )
        self.temperature = float(scale / _newton("TemperatureScaling", derivatives, np.zeros(1), rank=1)[0])
        return self

    def transform(self, logits: Any) -> np.ndarray:
        return _softmax(finite("TemperatureScaling", "logits", logits, ndim=2) / self.temperature)


class VectorScaling:
    """A factor and a shift for each class's logit, by maximum likelihood.

    Math: p = softmax(weight * z + bias), sum of bias 0 (softmax does not see it).
    Shapes: fit(logits (N, C), labels (N,)), transform(logits (M, C)) -> (M, C); weight, bias (C,). Dtypes: float64.
    Raises: TypeError, ValueError for NaN or labels that do not fit; NoMinimumError where these logits separate the
        classes, or a class has no row.
    Reference: Guo et al., "On calibration of modern neural networks" (2017).

    >>> logits = np.array([[2.0, 0.0]] * 3 + [[0.0, 2.0]] * 3 + [[0.0, 0.0]] * 2)
    >>> scaling = VectorScaling().fit(logits, np.array([0, 0, 1, 1, 1, 0, 0, 1]))
    >>> scaling.transform(logits)[[0, 3, 6], 0].round(4).tolist()
    [0.6667, 0.3333, 0.5]
    """

    weight: np.ndarray
    bias: np.ndarray

    def fit(self, logits: Any, labels: Any) -> VectorScaling:
        z, y = _logits("VectorScaling", logits, labels)
        N, C = z.shape
        if len(np.unique(y)) < C:
            missing = sorted(set(range(C)) - set(y.tolist()))
            raise NoMinimumError(f"VectorScaling: needs rows of every class, got none of {missing}")
        happened, scale = one_hot(y, C), _scale(z)
        z = z / scale

        def derivatives(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            p = _softmax(theta[:C] * z + theta[C:])
            features = [z, np.ones_like(z)]
            gradient = np.concatenate([((p - happened) * f).mean(axis=0) for f in features])
            blocks = [[np.diag((p * f * g).mean(axis=0)) - (p * f).T @ (p * g) / N for g in features] for f in features]
            return _loss(p, y), gradient, np.block(blocks)

        theta = _newton("VectorScaling", derivatives, np.zeros(2 * C), rank=2 * C - 1)
        self.weight, self.bias = theta[:C] / scale, theta[C:] - theta[C:].mean()
        return self

    def transform(self, logits: Any) -> np.ndarray:
        return _softmax(finite("VectorScaling", "logits", logits, ndim=2) * self.weight + self.bias)


class PlattScaling:
    """A logistic curve over the score of a binary classifier, by maximum likelihood.

    Math: p(1) = 1 / (1 + exp(-(slope s + shift))). targets: "labels": 0 and 1 (logistic regression without a penalty);
        "smoothed": (n1 + 1) / (n1 + 2) for a row of class 1 and 1 / (n0 + 2) for one of class 0, which has a minimum
        always (Platt's, scikit-learn's).
    Shapes: fit(scores (N,), labels (N,) of 0 and 1), transform(scores (M,)) -> (M,), of class 1. Dtypes: float64.
    Raises: TypeError, ValueError for NaN, other labels, or one class only; NoMinimumError for "labels" where the scores
        separate the classes.
    Reference: Platt, "Probabilistic outputs for support vector machines" (1999); Lin, Lin & Weng (2007).

    >>> scaling = PlattScaling(targets="labels").fit([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], [1, 1, 0, 0, 0, 1])
    >>> scaling.transform([1.0, -1.0]).round(4).tolist()
    [0.6667, 0.3333]
    """

    slope: float
    shift: float

    def __init__(self, *, targets: Literal["labels", "smoothed"]) -> None:
        self.targets = chosen("PlattScaling", "targets", targets, ("labels", "smoothed"))

    def fit(self, scores: Any, labels: Any) -> PlattScaling:
        s, y = _binary("PlattScaling", "scores", scores, labels)
        ones = int(y.sum())
        soft = self.targets == "smoothed"
        high, low = ((ones + 1) / (ones + 2), 1 / (len(y) - ones + 2)) if soft else (1.0, 0.0)
        wanted = np.where(y == 1, high, low)
        scale = _scale(s)
        features = np.stack([s / scale, np.ones_like(s)])  # (2, N)

        def derivatives(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            a = theta @ features
            p = _sigmoid(a)
            loss = (np.logaddexp(0, a) - wanted * a).mean()
            return float(loss), features @ (p - wanted) / len(s), features * (p * (1 - p)) @ features.T / len(s)

        slope, shift = _newton("PlattScaling", derivatives, np.zeros(2), rank=2)
        self.slope, self.shift = float(slope / scale), float(shift)
        return self

    def transform(self, scores: Any) -> np.ndarray:
        return _sigmoid(self.slope * finite("PlattScaling", "scores", scores, ndim=1) + self.shift)


class _OneAgainstRest:
    """A map of each class's probability, fitted against 1[y = c]; rows are then divided by their sums."""

    maps: list[Callable[[np.ndarray], np.ndarray]]

    def fit(self, probabilities: Any, labels: Any) -> Any:
        p, y = classified(type(self).__name__, probabilities, labels)
        self.maps = [self._fitted(p[:, c], (y == c).astype(np.float64)) for c in range(p.shape[1])]
        return self

    def transform(self, probabilities: Any) -> np.ndarray:
        """Rows in which every class maps to 0 get equal probabilities."""
        name = type(self).__name__
        p = checked_probabilities(name, probabilities)
        if p.shape[1] != len(self.maps):
            raise ValueError(f"{name}: was fitted on {len(self.maps)} classes, got {p.shape[1]}")
        mapped = np.stack([of_class(p[:, c]) for c, of_class in enumerate(self.maps)], axis=1)  # (N, C)
        total = mapped.sum(axis=1, keepdims=True)
        return np.where(total > 0, mapped / np.where(total > 0, total, 1.0), 1 / p.shape[1])

    def _fitted(self, p: np.ndarray, happened: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        raise NotImplementedError


class IsotonicScaling(_OneAgainstRest):
    """The increasing step function nearest to what happened, for each class against the rest; by scikit-learn.

    Math: pool adjacent violators on (p_c, 1[y = c]), straight between its points, constant outside; rows are then
        divided by their sums, as scikit-learn's CalibratedClassifierCV does.
    Shapes: fit(probabilities (N, C), labels (N,)), transform(probabilities (M, C)) -> (M, C). Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, or another number of classes.
    Reference: Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates" (2002).

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    >>> IsotonicScaling().fit(p, np.array([0, 1, 1, 1])).transform(p)[[0, 2]].tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    def _fitted(self, p: np.ndarray, happened: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, happened)
        return fitted.predict


class HistogramBinning(_OneAgainstRest):
    """The frequency of its bin in place of each probability, for each class against the rest.

    Math: bins of p_c, (k - 1) / B < p <= k / B for binning="width", or between the quantiles k / B of the fitted rows
        for "mass"; a bin in which no row lay gives its middle. Rows are then divided by their sums.
    Shapes: fit(probabilities (N, C), labels (N,)), transform(probabilities (M, C)) -> (M, C). Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, no bins, another number of classes.
    Reference: Zadrozny & Elkan, "Obtaining calibrated probability estimates from decision trees and naive Bayesian
        classifiers" (2001).

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    >>> HistogramBinning(2, binning="width").fit(p, np.array([0, 1, 1, 1])).transform(p)[[0, 2]].tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    def __init__(self, bins: int = 10, *, binning: Literal["width", "mass"]) -> None:
        self.bins = counted("HistogramBinning", "bins", bins, 1)
        self.binning = chosen("HistogramBinning", "binning", binning, ("width", "mass"))

    def _fitted(self, p: np.ndarray, happened: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        levels = np.linspace(0, 1, self.bins + 1)
        inner = (levels if self.binning == "width" else np.quantile(p, levels))[1:-1]
        edges = np.concatenate([[0.0], inner, [1.0]])
        place = np.searchsorted(inner, p, side="left")
        rows = np.bincount(place, minlength=self.bins)
        hits = np.bincount(place, happened, minlength=self.bins)
        frequency = np.where(rows > 0, hits / np.maximum(rows, 1), (edges[1:] + edges[:-1]) / 2)
        return lambda q: frequency[np.searchsorted(inner, q, side="left")]


def _logits(operation: str, logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    z = finite(operation, "logits", logits, ndim=2)
    return z, checked_labels(operation, labels, *z.shape)


def _binary(operation: str, name: str, scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    s = finite(operation, name, scores, ndim=1)
    y = checked_labels(operation, labels, len(s), 2)
    if y.min() == y.max():
        raise ValueError(f"{operation}: needs rows of both classes, got only class {y[0]}")
    return s, y


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def _loss(p: np.ndarray, y: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(-np.log(p[np.arange(len(y)), y]).mean())


Derivatives = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


def _scale(x: np.ndarray) -> float:
    """The size of numbers, so that what is fitted does not depend on their unit; 1 where all are 0."""
    return float(np.abs(x).max()) or 1.0


def _newton(operation: str, derivatives: Derivatives, theta: np.ndarray, rank: int) -> np.ndarray:
    """The minimum of a convex function, given its value, gradient and Hessian, whose rank there should be `rank`.

    Where the gradient vanishes only at infinity, the Hessian vanishes on the way there and loses rank.
    """
    value, gradient, hessian = derivatives(theta)
    for _ in range(STEPS):
        step = np.linalg.lstsq(hessian, gradient, rcond=1e-13)[0]
        decrement = float(gradient @ step)  # twice what a quadratic would still fall
        if decrement <= ROUNDING * value:  # the value can tell steps apart no longer, and a last whole one is exact
            theta = theta - step
            break
        scale = 1.0
        while scale and (new := derivatives(theta - scale * step))[0] > value - 1e-4 * scale * decrement:
            scale = scale / 2 if scale > 1e-9 else 0.0
        if not scale:  # the value no longer falls: rounding
            break
        theta = theta - scale * step
        value, gradient, hessian = new
    if np.linalg.matrix_rank(hessian, tol=1e-10) < rank:
        raise NoMinimumError(
            f"{operation}: there is no single best fit: the rows separate some class from the rest, or the scores of "
            f"some class are constant; fit on more rows"
        )
    return theta
