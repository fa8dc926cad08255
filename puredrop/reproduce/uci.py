"""Monte-Carlo dropout on the UCI sets: Gal & Ghahramani (2016), by the protocol of 4,000 epochs.

The protocol is that of Gal's repository, of whose three tables one has published numbers for each split (see `sets`):
one hidden layer; input and hidden units dropped at the same rate; squared error of targets scaled to unit variance plus
l^2 (1 - p) / (2 N tau) |W|^2 of the weights, l = 0.01, where tau is in the units of the target as it came (so it was
published); Adam, batches of 128; 100 times the epochs in n_epochs.txt. The repository's "standard dropout" is one
stochastic pass; the evaluation with scaled weights is reported beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, optim
from ..tensor import no_grad
from ..uncertainty import predict_samples
from ..uncertainty.normal import log_mean_exp, normal_log_density
from .sets import RegressionSet, load_sets
from .table import Protocol, Table, column, paired, part
from .training import Job, Scaling, Workshop, in_equal_stacks, trained

LABELS = {"rmse": "RMSE", "ll": "LL"}
LENGTH_SCALE = 1e-2
EPOCH_FACTOR = 100
BATCH = 128
SAMPLES = 10_000
NUMBERS_AT_ONCE = 1 << 22  # samples x rows held in memory
TRAINED_TOGETHER = 240


class Config(NamedTuple):
    """One net: which split, dropout rate and precision, its rows for training and testing."""

    split: int
    p: float
    tau: float
    train: np.ndarray
    test: np.ndarray


def measured(sets: list[RegressionSet], protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each set: for every split the rates and what came out, beside what was published of it."""
    return [_of_one_set(data, protocol, workshop) for data in sets]


def _of_one_set(data: RegressionSet, protocol: Protocol, workshop: Workshop) -> dict[str, Any]:
    if data.published is None and not protocol.grid:
        raise ValueError(f"the set {data.name!r} has no published rates and precisions; --grid searches for them")
    chosen, seconds = _searched(data, protocol, workshop) if protocol.grid else (_published_rates(data), 0.0)
    configs = [Config(i, *chosen[i], *split) for i, split in enumerate(data.splits)]
    results, more = _results(data, configs, protocol, workshop, data.name)
    rows = [{"p": c.p, "tau": c.tau, **result} for c, result in zip(configs, results, strict=True)]
    published = None
    if data.published is not None:
        published = {"rmse": data.published.mc_rmse.tolist(), "ll": data.published.ll.tolist()}
    lines = {m: paired(column(rows, m), None if published is None else np.array(published[m])) for m in LABELS}
    plain, single = (column(rows, f"{name}_rmse").mean() for name in ("deterministic", "one_pass"))
    note = f"RMSE in eval mode {plain:.3f}, of one pass {single:.3f}"
    facts = {"epochs": _epochs(data, protocol), "cpu_seconds": round(seconds + more, 1)}
    return part(data.name, rows, lines, [note], published, **facts)


def _epochs(data: RegressionSet, protocol: Protocol) -> int:
    return protocol.epochs or EPOCH_FACTOR * data.epochs


def _published_rates(data: RegressionSet) -> list[tuple[float, float]]:
    assert data.published is not None
    return list(zip(data.published.p.tolist(), data.published.tau.tolist(), strict=True))


def _searched(data: RegressionSet, protocol: Protocol, workshop: Workshop) -> tuple[list[tuple[float, float]], float]:
    """For each split the rate and precision of the best likelihood on the last fifth of its training rows."""
    grid = [(float(p), float(tau)) for p, tau in product(data.grid_p, data.grid_tau)]
    configs = []
    for i, split in enumerate(data.splits):
        cut = int(0.8 * len(split.train))
        configs += [Config(i, *pair, split.train[:cut], split.train[cut:]) for pair in grid]
    results, seconds = _results(data, configs, protocol, workshop, f"{data.name} grid")
    ll = np.array([result["ll"] for result in results]).reshape(len(data.splits), len(grid))
    return [grid[best] for best in ll.argmax(axis=1)], seconds


def _results(
    data: RegressionSet, configs: Sequence[Config], protocol: Protocol, workshop: Workshop, stage: str
) -> tuple[list[dict[str, float]], float]:
    """What every net gives on its test rows, and the seconds of it all."""
    stacks = in_equal_stacks([-(-len(config.train) // BATCH) for config in configs], TRAINED_TOGETHER)
    results: dict[int, dict[str, float]] = {}
    seconds = 0.0
    for number, members in enumerate(stacks):
        some = [configs[m] for m in members]
        nets = [(*config[:3], len(config.train)) for config in some]
        facts = [data.name, data.digest(), vars(protocol), _epochs(data, protocol), members, nets]
        note = f"stack {number + 1} of {len(stacks)}" if len(stacks) > 1 else ""
        compute = partial(_trained_and_measured, data, some, members, protocol, workshop, (stage, note))
        kept = workshop.kept("uci", facts, compute)
        results |= dict(zip(members, kept["results"], strict=True))
        seconds += kept["cpu_seconds"]
    return [results[m] for m in range(len(configs))], seconds


def _trained_and_measured(
    data: RegressionSet,
    configs: Sequence[Config],
    numbers: Sequence[int],
    protocol: Protocol,
    workshop: Workshop,
    stage: tuple[str, str],
    checkpoint: Path,
) -> dict[str, Any]:
    """Train one stack, then predict with each of its members."""
    seeds = [protocol.seed * 1_000_000 + number for number in numbers]
    scalings = [(Scaling(data.x[config.train]), Scaling(data.y[config.train])) for config in configs]
    batches = [
        nn.Batches(sx.of(data.x[c.train]), sy.of(data.y[c.train])[:, None], batch_size=BATCH, seed=seed)
        for c, (sx, sy), seed in zip(configs, scalings, seeds, strict=True)
    ]
    models = [net(data.x.shape[1], data.hidden, c.p).seed(seed) for c, seed in zip(configs, seeds, strict=True)]
    decays = np.array([decay(c.p, c.tau, len(c.train)) for c in configs]).reshape(-1, 1, 1)

    def optimizer(stack: nn.Stacked) -> optim.Adam:
        each: list[Any] = [decays if p.ndim > 2 else 0.0 for p in stack.parameters()]  # weights, and not biases
        return optim.Adam(stack.parameters(), lr=1e-3, eps=1e-7, weight_decay=each)

    job = Job(models, batches, _epochs(data, protocol), nn.mse, optimizer)
    name, note = stage
    members, seconds = trained(job, checkpoint, lambda done, total: workshop.tell(name, done, total, note))

    def result(m: int) -> dict[str, float]:
        workshop.tell(f"{name} test", m + 1, len(configs), note)
        return scores(members[m], data, configs[m], scalings[m], protocol.samples or SAMPLES)

    return {"results": workshop.one_by_one(checkpoint, len(configs), result), "cpu_seconds": seconds}


def net(inputs: int, hidden: int, p: float) -> nn.Sequential:
    """Dropout on inputs and hidden units; weights by Glorot & Bengio, biases 0, as Keras begins."""
    layers = [nn.Linear(a, b, init=nn.init.glorot_uniform(a, b)) for a, b in ((inputs, hidden), (hidden, 1))]
    for layer in layers:
        assert layer.bias is not None
        layer.bias.init = nn.init.zeros
    return nn.Sequential(nn.Dropout(p), layers[0], nn.ReLU(), nn.Dropout(p), layers[1])


def decay(p: float, tau: float, rows: int) -> float:
    """The weight decay whose gradient is that of l^2 (1 - p) / (2 N tau) |W|^2."""
    return 2 * LENGTH_SCALE**2 * (1 - p) / (2 * rows * tau)


def scores(
    model: nn.Module, data: RegressionSet, config: Config, scaling: tuple[Scaling, Scaling], samples: int
) -> dict[str, float]:
    """On the test rows, in the target's own units: RMSE of the mean of samples, and with it the log likelihood.

    Math: ll = mean_n log mean_t N(y_n; f_t(x_n), 1 / tau). Beside it the RMSE in eval mode, and that of sample 0 alone.
    """
    x, y = scaling[0].of(data.x[config.test]), data.y[config.test]
    at_once = max(1, NUMBERS_AT_ONCE // len(x))
    total, log_density = np.zeros(len(y)), np.full(len(y), -np.inf)  # (N,) each
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        drawn = scaling[1].back(predict_samples(model, x, count, first=first)[..., 0])  # (count, N)
        total += drawn.sum(axis=0)
        share = log_mean_exp(normal_log_density(y, drawn, 1 / config.tau)) + math.log(count / samples)
        log_density = np.logaddexp(log_density, share)
    one_pass = scaling[1].back(predict_samples(model, x, 1)[0, :, 0])  # (N,)
    with no_grad():
        deterministic = scaling[1].back(model.eval()(x).numpy()[:, 0])  # (N,)
    return {
        "rmse": rmse(total / samples, y),
        "ll": float(log_density.mean()),
        "deterministic_rmse": rmse(deterministic, y),
        "one_pass_rmse": rmse(one_pass, y),
    }


def rmse(prediction: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(((prediction - y) ** 2).mean()))


TABLE = Table(
    title="Monte-Carlo dropout (Gal & Ghahramani 2016), one hidden layer",
    labels=LABELS,
    over="splits",
    load=lambda folder, names: list(load_sets(folder, names)),
    measure=measured,
    has_sets=True,
    has_grid=True,
    by_split=True,
)
