"""The exact answer that Monte-Carlo estimates: every mask, with its probability."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any, Literal, NamedTuple, TypeVar, overload

import numpy as np

from ..nn.module import Module
from ..random.passes import Pass, Window
from ..streams import draw_from, enumerate_masks
from ..tensor import no_grad
from .all_masks import AllMasks, ChangedError, Decisions, Survey, probabilities, same, unseen
from .categorical import CategoricalPrediction
from .executors import checked_executor, one_blas_thread, run_all
from .inputs import checked_inputs
from .likelihood import Likelihood, checked_likelihood, interpreted, results_wanted
from .normal_prediction import NormalPrediction
from .predictive import Prediction
from .progress import Progress, told
from .sampling import Work, outputs, require_draws, work_of

P = TypeVar("P", bound=Prediction)
Enumerated = tuple[tuple[np.ndarray, ...], np.ndarray]  # outputs (masks, N, ...), and probabilities (masks, 1 or N)

ROWS_PER_TILE = 4096
NUMBERS = 1 << 28  # of the result, at most


@overload
def exact_predict(
    model: Module, x: Any, *, likelihood: Literal["categorical"] = "categorical", **options: Any
) -> CategoricalPrediction: ...


@overload
def exact_predict(
    model: Module, x: Any, *, likelihood: Literal["gaussian", "heteroscedastic"], **options: Any
) -> NormalPrediction: ...


def exact_predict(
    model: Module,
    x: Any,
    *,
    likelihood: Likelihood = "categorical",
    noise_variance: Any = None,
    noise_precision: Any = None,
    limit: int = 1 << 20,
    executor: Executor | None = None,
    progress: Progress = None,
    **inputs: Any,
) -> Prediction:
    """The prediction of `predict` without Monte-Carlo error: all masks of the model, weighed by their probability.

    Math: p(y | x) = sum_m P(m) p(y | x, m), over the 2^K masks of K droppable units of one example. Every example is
        a question of its own, for its masks are independent of those of others, so that K does not grow with N.
    Returns: as `predict`, with `weights`, the probabilities of the masks; so mean, variances, entropy, mutual
        information and log_prob are exact, up to the rounding of the model's dtype. Beside them stand
        `geometric_mean`, and `weight_scaling`, what the model gives in evaluation: for the softmax of a linear layer
        behind dropout of its inputs the two are equal, in depth the latter approximates.
    Memory: 2^K x N x C numbers; give few rows at a time. Time: masks are run together in tiles, as samples are; where
        what is dropped depends on what was dropped before (data-dependent rates), one by one.
    Options: likelihood, noise and further inputs as `predict`; limit: of masks; executor and progress as
        `predict_samples`.
    Raises: ValueError for more masks than `limit`; for layers that draw real noise, or a fixed number of units; for
        examples with different numbers of masks; and as `predict`.
    Reference: Baldi & Sadowski, "The dropout learning algorithm" (2014), for the normalised geometric mean.

    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)).seed(0).astype(np.float64)
    >>> exact = exact_predict(net, np.ones((4, 3)))
    >>> exact.samples.shape, bool(np.allclose(exact.geometric_mean, exact.weight_scaling))
    ((8, 4, 2), True)
    """
    noise = checked_likelihood("exact_predict", likelihood, noise_variance, noise_precision)
    executor = checked_executor("exact_predict", executor)
    given = checked_inputs("exact_predict", model, x, inputs)
    require_draws("exact_predict", model)
    window = Window(0, given.rows, given.rows)
    work = work_of("exact_predict", results_wanted(likelihood), model, given, window, "pass")
    with no_grad(), one_blas_thread():
        work = work.with_prefix_done()
        deterministic = outputs(work, Pass("eval", window=work.window))
        found, weights = _enumerated(work, Run(limit, executor, progress))
    scaled = interpreted("exact_predict", likelihood, deterministic, noise).mean
    return interpreted("exact_predict", likelihood, found, noise, weights, scaled)


class Run(NamedTuple):
    """How to go about it."""

    limit: int
    executor: Executor | None
    progress: Progress


def _enumerated(work: Work, run: Run) -> Enumerated:
    """All masks: shared by all examples where that is the same to each of them, else for one after the other."""
    rows = [_row(work, i) for i in range(work.inputs.rows)]
    try:
        alone = _surveyed(rows[0])
        together = [] if any(d.by_element for d in alone) else _surveyed(work)
        if len(alone) == len(together) and all(map(same, alone, together)):
            return _in_tiles(work, together, run)
    except ChangedError:
        pass
    each = [_of_one(row, run) for row in rows]
    if len({len(weights) for _, weights in each}) > 1:
        raise ValueError(
            f"exact_predict: these examples have {sorted({len(w) for _, w in each})} masks; predict those with equally "
            f"many together, or one at a time"
        )
    found = tuple(np.concatenate(parts, axis=1) for parts in zip(*(y for y, _ in each), strict=True))
    return found, np.concatenate([weights for _, weights in each], axis=1)


def _row(work: Work, i: int) -> Work:
    """The work on one example, with masks of its own."""
    return replace(work, inputs=work.inputs.chunk(i, i + 1), window=Window(0, 1, 1), masks="example")


def _of_one(row: Work, run: Run) -> Enumerated:
    try:
        return _in_tiles(row, _surveyed(row), run)
    except ChangedError:
        return _one_by_one(row, run)


def _surveyed(work: Work) -> list[Decisions]:
    """All that is decided in one pass. Raises ChangedError where the rates depend on the data."""
    source, run = Survey("exact_predict"), _pass(work, 1)
    with draw_from(source):
        outputs(work, run)
    missing = unseen(work.sites, run.calls, source.found)
    if missing:
        raise ValueError(f"exact_predict: the masks of sites {missing} cannot be enumerated; use predict instead")
    return source.found


def _pass(work: Work, samples: int) -> Pass:
    return Pass("sample", range(samples), work.window, work.masks)


class Tile(NamedTuple):
    """Some of the masks, for a worker."""

    work: Work
    surveyed: Sequence[Decisions]
    masks: range


def _in_tiles(work: Work, surveyed: list[Decisions], run: Run) -> Enumerated:
    """Many masks at a time."""
    count = sum(int(d.free.sum()) for d in surveyed)
    if count > math.log2(run.limit):
        each = Counter({d.site: 0 for d in surveyed})
        for d in surveyed:
            each[d.site] += int(d.free.sum())
        raise ValueError(
            f"exact_predict: {count} droppable units have 2^{count} masks, more than the limit of {run.limit}; units "
            f"by site: {dict(each)}. Drop fewer, or use predict"
        )
    size = min(1 << count, 1 << max(0, int(math.log2(ROWS_PER_TILE / work.inputs.rows))))
    tiles = [Tile(work, surveyed, range(start, start + size)) for start in range(0, 1 << count, size)]
    with told(run.progress, "exact_predict", len(tiles)) as tell:
        done = run_all(run_tile, tiles, run.executor, tell)
    found = tuple(np.concatenate(parts) for parts in zip(*done, strict=True))
    return found, probabilities(surveyed, range(1 << count))[:, None]


def run_tile(tile: Tile) -> tuple[np.ndarray, ...]:
    """The outputs for some masks: (masks, N, ...)."""
    work, surveyed, masks = tile
    source = AllMasks("exact_predict", surveyed, masks)
    with no_grad(), one_blas_thread(), draw_from(source):
        found = outputs(work, _pass(work, len(masks)))
    source.require_all_asked()
    if found[0].size // len(masks) * 2 ** sum(int(d.free.sum()) for d in surveyed) > NUMBERS:
        raise ValueError(
            f"exact_predict: the outputs of all masks are more than {NUMBERS} numbers; give fewer rows at a time"
        )
    return found


def _one_by_one(row: Work, run: Run) -> Enumerated:
    """One mask at a time, as a tree."""
    leaves = list(enumerate_masks(lambda: outputs(row, _pass(row, 1)), run.limit))
    found = tuple(np.concatenate(parts) for parts in zip(*(y for _, y in leaves), strict=True))
    return found, np.array([[q] for q, _ in leaves])


def expected_plug_in(exact: P, quantity: Callable[[P], Any], samples: int, *, limit: int = 1 << 16) -> Any:
    """What a quantity of T Monte-Carlo samples is on average: exactly, over all that T samples can be.

    Math: E[quantity(m_1, ..., m_T)] with independent masks m_t, summed over the multisets of T masks. Entropy, mutual
        information and log_prob are not linear in the samples, so that their estimates are biased at small T: this
        says by how much, and what a `correction` makes of it.
    quantity: a function of a Monte-Carlo prediction such as `lambda p: p.entropy`, which gives an array (N, ...).
    Raises: ValueError for a prediction that is not exact, or for more multisets than `limit`.

    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)).seed(0)
    >>> exact = exact_predict(net, np.ones((1, 2), np.float32))
    >>> plug_in = expected_plug_in(exact, lambda p: p.entropy, samples=3)
    >>> bool(np.all(plug_in < exact.entropy))
    True
    """
    if exact.weights is None:
        raise ValueError("expected_plug_in: expected a prediction of exact_predict, got one of samples")
    masks = len(exact.weights)
    count = math.comb(masks + samples - 1, samples)
    if count > limit:
        raise ValueError(
            f"expected_plug_in: {samples} samples of {masks} masks are {count} multisets, more than the limit "
            f"of {limit}"
        )
    total: Any = 0.0
    for chosen in combinations_with_replacement(range(masks), samples):
        orders = math.factorial(samples) // math.prod(map(math.factorial, Counter(chosen).values()))
        probability = orders * exact.weights[list(chosen)].prod(axis=0)  # (1,) or (N,)
        value = np.asarray(quantity(exact.resampled(list(chosen))))
        total = total + value * probability.reshape(-1, *[1] * (value.ndim - 1))
    return total
