"""Monte-Carlo prediction: many masks, one model, results that do not depend on how the work was cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..backends import on_host
from ..nn.module import Module
from ..ops import softmax
from ..random.passes import Pass, Window, entered
from ..tensor import no_grad, raw
from .metrics import entropy, mutual_information

ROWS_PER_TILE = 1024
SAMPLES_PER_TILE = 32


def predict_samples(
    model: Module,
    x: Any,
    samples: int = 100,
    *,
    first: int = 0,
    masks: Literal["example", "pass"] = "example",
    batch_size: int | None = None,
) -> np.ndarray:
    """The outputs of Monte-Carlo samples first, first + 1, ... of a model: (samples, N, ...).

    Math: output t is the model with the masks of sample t. The model's own modes and counters are not touched.
    Shapes: x (N, ...); the model keeps the batch on axis 0.
    Draws: sample t draws at Key(seed, site, call, sample=t + 1); `masks="pass"` shares one mask over the batch, so
        that each sample is one function. Sample t is bit for bit the same whatever `samples` and `first` are, on one
        machine; over `batch_size` and backends, masks are equal and values agree to rounding.
    Raises: ValueError where nothing in the model draws, or for samples below 1; TypeError for a model with several
        results; RuntimeError for an unseeded model.
    Reference: Gal & Ghahramani, "Dropout as a Bayesian approximation" (2016).

    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).seed(0)
    >>> predict_samples(net, np.ones((4, 3), np.float32), samples=10).shape
    (10, 4, 2)
    """
    from threadpoolctl import threadpool_limits

    x = raw(x)
    if samples < 1 or first < 0:
        raise ValueError(f"predict_samples: samples must be at least 1 and first at least 0, got {samples} and {first}")
    if masks not in ("example", "pass"):
        raise ValueError(f"predict_samples: masks must be 'example' or 'pass', got {masks!r}")
    if not len(x) or (batch_size is not None and batch_size < 1):
        raise ValueError(f"predict_samples: needs rows and a batch_size of at least 1, got {len(x)} and {batch_size}")
    if not any(True for _ in model.named_sites()):
        raise ValueError("predict_samples: nothing in this model draws, so all samples would be equal; add nn.Dropout")
    model.require_parameters()
    chunk = batch_size or len(x)
    with no_grad(), threadpool_limits(1, user_api="blas"):
        parts = [
            _chunk_samples(
                model,
                x[start : start + chunk],
                Window(start, min(start + chunk, len(x)), len(x)),
                first,
                samples,
                masks,
            )
            for start in range(0, len(x), chunk)
        ]
    return np.concatenate(parts, axis=1)  # (T, N, ...)


def _chunk_samples(
    model: Module, x: Any, window: Window, first: int, samples: int, masks: Literal["example", "pass"]
) -> np.ndarray:
    """Whole tiles of samples, aligned so that a sample always lies in the same tile; what is too much is discarded.

    A tile is one batch of samples x rows: a matrix product's rounding depends on its shape, so the shape must not
    depend on how many samples were asked for.
    """
    per_tile = max(1, min(SAMPLES_PER_TILE, ROWS_PER_TILE // max(1, len(x))))
    tiles = []
    start = first - first % per_tile
    for t in range(start, first + samples, per_tile):
        run = Pass(mode="sample", samples=range(t, t + per_tile), window=window, masks=masks)
        repeated = np.tile(x, (per_tile, *[1] * (x.ndim - 1)))  # (per_tile * N, ...)
        with entered(run):
            y = _output(model(model.placed(repeated)))
        tiles.append(y.reshape(per_tile, len(x), *y.shape[1:]))
    return np.concatenate(tiles)[first - start :][:samples]


def _output(y: Any) -> np.ndarray:
    if isinstance(y, (tuple, list)):
        raise TypeError(
            f"predict_samples: the model gives {len(y)} results; wrap it in a Module whose forward gives the one that "
            f"is wanted, such as model(x)[0]"
        )
    return on_host(raw(y))


@dataclass(frozen=True)
class Prediction:
    """What T samples of class probabilities say. All float64.

    samples (T, N, C); mean (N, C) the predictive probabilities; variance (N, C) over samples, divisor T;
    entropy (N,) of the mean: total uncertainty; mutual_information (N,): the part that more data would remove.
    """

    samples: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray


def predict(model: Module, x: Any, samples: int = 100, **options: Any) -> Prediction:
    """Monte-Carlo prediction of a classifier whose outputs are logits (N, C). Options as for `predict_samples`.

    Plug-in entropies are biased at small T: entropy of the mean is too small by about (C - 1) / (2 T).

    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).seed(0)
    >>> p = predict(net, np.ones((4, 3), np.float32), samples=10)
    >>> p.mean.shape, bool(np.all(p.mutual_information >= 0))
    ((4, 2), True)
    """
    logits = predict_samples(model, x, samples, **options).astype(np.float64)
    if logits.ndim != 3:
        raise ValueError(f"predict: expected logits (N, C) from the model, got {logits.shape[1:]} for each sample")
    p = softmax(logits, backend="numpy")  # (T, N, C)
    mean = p.mean(axis=0)
    return Prediction(p, mean, p.var(axis=0), entropy(mean), mutual_information(p))
