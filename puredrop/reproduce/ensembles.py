"""Deep ensembles on the UCI sets: table 1 of Lakshminarayanan, Pritzel & Blundell (2017).

Five nets of one hidden layer with a mean and a variance each, 40 epochs in batches of 100, on the splits of the table
"uci"; scored is the Gaussian with the moments of the mixture. Two things differ from the paper: the learning rate is
0.01, for with the 0.1 of the text several sets come out many times worse than published, and there is no adversarial
training.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..uncertainty import heads_nll, predict_mixture
from .sets import RegressionSet, load_sets
from .table import Protocol, Table, column, paired, part, unpaired
from .training import Job, Scaling, Workshop, in_equal_stacks, trained
from .uci import LABELS, rmse

MEMBERS = 5
BATCH = 100
LEARNING_RATE = 0.01
TRAINED_TOGETHER = 100
# Mean and standard deviation over the splits. Sets whose deviation is 0.00 in the paper are left out.
PAPER = {
    "bostonhousing": {"rmse": (3.28, 1.00), "ll": (-2.41, 0.25)},
    "concrete": {"rmse": (6.03, 0.58), "ll": (-3.06, 0.18)},
    "energy": {"rmse": (2.09, 0.29), "ll": (-1.38, 0.22)},
    "power_plant": {"rmse": (4.11, 0.17), "ll": (-2.79, 0.04)},
    "protein_tertiary_structure": {"rmse": (4.71, 0.06), "ll": (-2.83, 0.02)},
    "wine_quality_red": {"rmse": (0.64, 0.04), "ll": (-0.94, 0.12)},
    "yacht": {"rmse": (1.58, 0.48), "ll": (-1.18, 0.21)},
}


def measured(sets: list[RegressionSet], protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each set: what came out for every split, and the published mean and deviation."""
    return [_of_one_set(data, protocol, workshop) for data in sets]


def _of_one_set(data: RegressionSet, protocol: Protocol, workshop: Workshop) -> dict[str, Any]:
    epochs = protocol.epochs or data.epochs
    nets = [(split, member) for split in range(len(data.splits)) for member in range(MEMBERS)]
    steps = [len(data.splits[split].train) for split, _ in nets]
    results: dict[int, dict[str, float]] = {}
    seconds = 0.0
    for numbers in in_equal_stacks(steps, TRAINED_TOGETHER):  # whole ensembles: five divides a hundred
        facts = [data.name, data.digest(), protocol.seed, epochs, numbers]
        kept = workshop.kept(
            "ensembles", facts, partial(_trained_and_measured, data, numbers, epochs, protocol, workshop)
        )
        results |= dict(zip([nets[n][0] for n in numbers[::MEMBERS]], kept["results"], strict=True))
        seconds += kept["cpu_seconds"]
    rows = [results[split] for split in range(len(data.splits))]
    lines, notes = {metric: paired(column(rows, metric), None) for metric in LABELS}, []
    if data.name in PAPER:
        paper, ours = PAPER[data.name], {metric: column(rows, metric) for metric in LABELS}
        lines = {metric: unpaired(values, *paper[metric]) for metric, values in ours.items()}
        notes = [bars(LABELS[metric], values, *paper[metric]) for metric, values in ours.items() if len(values) > 1]
    return part(data.name, rows, lines, notes, epochs=epochs, cpu_seconds=round(seconds, 1))


def bars(label: str, ours: np.ndarray, mean: float, deviation: float) -> str:
    """Whether bars of one standard deviation meet, as the paper reads its table."""
    own = float(ours.std(ddof=1))
    meet = abs(float(ours.mean()) - mean) <= own + deviation
    return (
        f"standard deviation of {label} over splits {deviation:.2f} in the paper, {own:.2f} here: "
        f"the bars {'overlap' if meet else 'do not overlap'}"
    )


def _trained_and_measured(
    data: RegressionSet, numbers: list[int], epochs: int, protocol: Protocol, workshop: Workshop, checkpoint: Path
) -> dict[str, Any]:
    """The ensembles of some splits as one stack; `numbers` holds those of the nets, five a split."""
    splits = [data.splits[number // MEMBERS] for number in numbers]
    scalings = [(Scaling(data.x[split.train]), Scaling(data.y[split.train])) for split in splits]
    seeds = [protocol.seed * 1_000_000 + number for number in numbers]
    batches = [
        nn.Batches(sx.of(data.x[split.train]), sy.of(data.y[split.train]), batch_size=BATCH, seed=seed)
        for split, (sx, sy), seed in zip(splits, scalings, seeds, strict=True)
    ]
    models = [net(data.x.shape[1], data.hidden).seed(seed) for seed in seeds]
    job = Job(models, batches, epochs, heads_nll, lambda stack: optim.Adam(stack.parameters(), lr=LEARNING_RATE))
    members, seconds = trained(job, checkpoint, lambda done, total: workshop.tell(data.name, done, total, ""))
    firsts = range(0, len(numbers), MEMBERS)
    results = [scores(members[m : m + MEMBERS], data, numbers[m] // MEMBERS, scalings[m]) for m in firsts]
    return {"results": results, "cpu_seconds": seconds}


def net(inputs: int, hidden: int) -> nn.Sequential:
    """A mean and a variance head on one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def scores(
    members: list[nn.Module], data: RegressionSet, split: int, scaling: tuple[Scaling, Scaling]
) -> dict[str, float]:
    """On the test rows, in the target's own units: RMSE of the mean, and mean log likelihood of the one Gaussian."""
    sx, sy = scaling
    test = data.splits[split].test
    mixture = predict_mixture(members, sx.of(data.x[test]))
    log_density = mixture.log_prob((data.y[test] - sy.mean) / sy.spread, kind="moment")  # of the scaled target
    return {
        "rmse": rmse(sy.back(mixture.mean), data.y[test]),
        "ll": float((log_density - np.log(sy.spread)).mean()),
    }


TABLE = Table(
    title="Deep ensembles (Lakshminarayanan et al. 2017), five nets, lr 0.01, no adversarial training",
    labels=LABELS,
    over="splits",
    load=lambda folder, names: list(load_sets(folder, names)),
    measure=measured,
    has_sets=True,
    by_split=True,
)
