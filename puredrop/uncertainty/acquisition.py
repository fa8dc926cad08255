"""Which inputs to have labelled next, by what samples of class probabilities say of them. Pool on axis 1: (T, N, C)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..random import Index, Key
from ..random.bernoulli import uniform
from ..variants.door import not_negative, whole_number
from .door import checked_probabilities, chosen, finite
from .information import _entropy

CONFIGURATIONS = 100_000  # of the labels of a batch that are enumerated, unless told otherwise


class Batch(NamedTuple):
    """Rows of the pool in the order of their choice, and the mutual information of the batch up to each. (k,) each."""

    rows: np.ndarray
    scores: np.ndarray


def margin(probabilities: Any) -> np.ndarray:
    """The most probable class's lead, turned so that larger is more uncertain: p_(2) - p_(1), from -1 to 0.

    Shapes: (..., C) -> (...); of samples give their mean. Raises: ValueError for what are no probabilities, one class.
    Reference: Scheffer, Decomain & Wrobel, "Active hidden Markov models for information extraction" (2001).

    >>> margin(np.array([[0.5, 0.25, 0.25]])).tolist()
    [-0.25]
    """
    p = checked_probabilities("margin", probabilities, "(..., C)")
    if p.shape[-1] < 2:
        raise ValueError(f"margin: needs two classes or more, got shape {p.shape}")
    top = np.sort(p, axis=-1)[..., -2:]
    return top[..., 0] - top[..., 1]


def top_rows(scores: Any, k: int) -> np.ndarray:
    """The rows of the k largest scores, the largest first; of equal ones the earlier. int64, (k,).

    Raises: ValueError for NaN, or a k that is more than there are.

    >>> top_rows([0.1, 0.9, 0.5], 2).tolist()
    [1, 2]
    """
    s = finite("top_rows", "scores", scores, ndim=1)
    return np.argsort(-s, kind="stable")[: _batch_size("top_rows", k, len(s))]


def stochastic_rows(
    scores: Any, k: int, *, kind: Literal["power", "softmax", "softrank"], key: Key, coldness: float = 1.0
) -> np.ndarray:
    """k rows drawn without replacement, more often where the score is larger: batches that are not all alike.

    Math: the k largest of coldness f(s) + Gumbel noise; "power": f = log s (negative scores count as 0, which is drawn
        last), "softmax": f = s, "softrank": f = -log rank. So the chance of being first is in proportion to
        s^coldness, exp(coldness s), rank^-coldness.
    Shapes: (N,) -> (k,), int64. Draws: N uniform numbers at `key`.
    Raises: TypeError without a key; ValueError for NaN, another kind, a negative coldness, or a k too large.
    Reference: Kirsch et al., "Stochastic batch acquisition: a simple baseline for deep active learning" (2023).

    >>> sorted(stochastic_rows([0.0, 2.0, 1.0, 0.0], 2, kind="power", key=Key(0)).tolist())
    [1, 2]
    """
    s = finite("stochastic_rows", "scores", scores, ndim=1)
    chosen("stochastic_rows", "kind", kind, ("power", "softmax", "softrank"))
    coldness = not_negative("stochastic_rows", "coldness", coldness)
    _needs_key("stochastic_rows", key)
    if kind == "power":
        with np.errstate(divide="ignore"):
            f = np.maximum(np.log(np.maximum(s, 0.0)), -1e300)  # finite, so that the noise orders what has no score
    else:
        f = s if kind == "softmax" else -np.log(np.argsort(np.argsort(-s, kind="stable")) + 1.0)
    gumbel = -np.log(-np.log(uniform(key, Index.whole(len(s)))))
    order = np.lexsort((gumbel, coldness * f + gumbel))[::-1]
    return order[: _batch_size("stochastic_rows", k, len(s))]


def batchbald(
    samples: Any, k: int, *, joint: Literal["exact", "sampled"], draws: int | None = None, key: Key | None = None
) -> Batch:
    """k rows of the pool that together tell most about the model: rows that say the same are not taken twice.

    Math: greedily, the row that adds most to H(y_1..y_j) - sum_i mean_t H(p_ti), with the joint probability
        mean_t prod_i p_ti[y_i]. "exact": all C^j labels of the batch so far are enumerated; "sampled": from the step at
        which they are more than `draws`, the entropy is an average over `draws` labels of the batch so far, drawn
        equally often from each sample t.
    Shapes: (T, N, C), N >= k. Time N C^k T for "exact". Dtypes: float64.
    Draws: for "sampled", draws * k uniform numbers at `key`.
    Raises: TypeError, ValueError for what are no probabilities, a k too large, more than 100,000 configurations to
        enumerate, options of the other kind.
    Reference: Kirsch, van Amersfoort & Gal, "BatchBALD: efficient and diverse batch acquisition" (2019).

    >>> p = np.array([[[1.0, 0.0], [1.0, 0.0], [0.9, 0.1]], [[0.0, 1.0], [0.0, 1.0], [0.9, 0.1]]])
    >>> batchbald(p, 2, joint="exact").scores.round(4).tolist()
    [0.6931, 0.6931]
    """
    p = checked_probabilities("batchbald", samples, "(T, N, C)")
    T, N, C = p.shape
    k = _batch_size("batchbald", k, N)
    limit = _enumerated("batchbald", joint, draws, key, C, k)
    conditional = _entropy(p).mean(axis=0)  # (N,)
    rows: list[int] = []
    scores: list[float] = []
    likelihoods = np.ones((T, 1))  # of each configuration under each sample, (T, M)
    weights: np.ndarray | None = None  # of configurations that were drawn, (M,)
    for _ in range(k):
        information = _joint_entropy(likelihoods, weights, p) - conditional - conditional[rows].sum()
        information[rows] = -np.inf
        rows.append(int(information.argmax()))
        scores.append(float(information[rows[-1]]))
        if weights is None and C ** len(rows) <= limit:
            likelihoods = (likelihoods[:, :, None] * p[:, rows[-1], None, :]).reshape(T, -1)
        elif key is not None:
            likelihoods = _drawn(p[:, rows], limit, key)
            weights = 1 / (limit * likelihoods.mean(axis=0))
    return Batch(np.array(rows), np.array(scores))


def _joint_entropy(likelihoods: np.ndarray, weights: np.ndarray | None, p: np.ndarray) -> np.ndarray:
    """The entropy of the labels of the batch and of one more row, for each row. (N,)"""
    result = np.zeros(p.shape[1])
    for c in range(p.shape[2]):
        both = p[:, :, c].T @ likelihoods / len(p)  # the mean over samples of the product, (N, M)
        terms = -both * np.log(np.where(both > 0, both, 1.0))
        result += terms.sum(axis=1) if weights is None else terms @ weights
    return result


def _drawn(p: np.ndarray, draws: int, key: Key) -> np.ndarray:
    """The likelihoods under every sample of labels drawn from each in turn, for a batch (T, j, C). (T, draws)"""
    T, j = p.shape[:2]
    u = uniform(key, Index.whole((draws, j)))
    below = p.cumsum(axis=-1)
    below = below[..., :-1] / below[..., -1:]  # a last class of probability 0 starts at 1 exactly, (T, j, C - 1)
    labels = (below[np.arange(draws) % T] <= u[..., None]).sum(axis=-1)  # (draws, j)
    likelihoods = np.ones((T, draws))
    for i in range(j):
        likelihoods *= p[:, i, labels[:, i]]
    return likelihoods


def _enumerated(operation: str, joint: str, draws: int | None, key: Key | None, C: int, k: int) -> int:
    """How many configurations are enumerated at most. Raises TypeError, ValueError."""
    if chosen(operation, "joint", joint, ("exact", "sampled")) == "sampled":
        _needs_key(operation, key)
        return whole_number(operation, "draws", draws, 1)
    if draws is not None or key is not None:
        raise ValueError(f"{operation}: joint='exact' draws nothing; leave draws and key out, or say joint='sampled'")
    if C ** (k - 1) > CONFIGURATIONS:
        raise ValueError(
            f"{operation}: {C} classes and {k} rows have {C ** (k - 1):,} joint labels to enumerate, more than "
            f"{CONFIGURATIONS:,}; say joint='sampled' with draws and key"
        )
    return CONFIGURATIONS


def epig(samples: Any, targets: Any) -> np.ndarray:
    """What the label of each row of the pool would tell about the labels of the targets, on average.

    Math: mean over targets of the mutual information of y and y* under mean_t p_t p*_t.
    Shapes: samples (T, N, C), targets (T, M, C*), the same T functions (`predict_samples` with masks="pass") -> (N,).
    Dtypes: float64. Time N M C C* T. Raises: ValueError for what are no probabilities, or different T.
    Reference: Bickford Smith et al., "Prediction-oriented Bayesian active learning" (2023).

    >>> p = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    >>> epig(p, p[:, :1]).round(4).tolist()
    [0.6931, 0.0]
    """
    p = checked_probabilities("epig", samples, "(T, N, C)")
    q = checked_probabilities("epig", targets, "(T, N, C)")
    if len(p) != len(q):
        raise ValueError(f"epig: pool and targets must have the same samples, got {len(p)} and {len(q)}")
    flat = q.reshape(len(q), -1)  # (T, M C*)
    together = sum(_plogp(p[:, :, c].T @ flat / len(p)).sum(axis=1) for c in range(p.shape[2])) / q.shape[1]  # (N,)
    return together + _entropy(p.mean(axis=0)) + _entropy(q.mean(axis=0)).mean()


def _plogp(p: np.ndarray) -> np.ndarray:
    return p * np.log(np.where(p > 0, p, 1.0))


def _batch_size(operation: str, k: int, rows: int) -> int:
    if whole_number(operation, "k", k, 1) > rows:
        raise ValueError(f"{operation}: cannot choose {k} of {rows} rows")
    return k


def _needs_key(operation: str, key: Any) -> None:
    if not isinstance(key, Key):
        raise TypeError(f"{operation}: key must be a Key, got {key!r}; write Key(seed)")
