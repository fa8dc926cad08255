"""The methods on digits: each is a function from images to probabilities, and what it took to get there.

Data, net and training are those of the table "mnist", and what is no digit that of "ood", told by the entropy of the
mean. A deep ensemble is five nets, without dropout or with it, each in one pass. Laplace is the full Gauss-Newton
matrix of the last layer, with the prior of the largest marginal likelihood. SWAG trains the net without dropout on, by
SGD at a constant rate. Temperatures are fitted on the validation digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..random import Key
from ..uncertainty import (
    Laplace,
    Swag,
    TemperatureScaling,
    accuracy,
    auroc,
    ece,
    entropy,
    fit_laplace,
    nll,
    predict_samples,
)
from .costs import entry, numbers_of, timed, timed_once, warm_up
from .mnist import BATCH, EPOCHS, logits, net, softmax
from .ood import Strangers
from .table import Protocol, digest
from .training import Job, Workshop, trained, trained_alone

SEEDS = 3
MEMBERS = 5
SAMPLES = 100
FEW = 10
SWAG_SAMPLES = 30
SWAG_EPOCHS = 20
# Of seven pairs of rate and decay these have the best likelihood on the validation digits, with another seed.
SWAG_RATE = 0.1
SWAG_DECAY = 3e-3
LENGTH_SCALE = 1e-4  # of concrete dropout
OF_SAMPLES = 1000  # a site that no layer has

Told = Callable[[int, int], None]
Predict = Callable[[np.ndarray], np.ndarray]


def measured(data: Strangers, protocol: Protocol, workshop: Workshop) -> dict[str, list[dict[str, Any]]]:
    """For each method what it gave and what it cost, seed by seed."""
    facts = [digest(*data.digits, *data.others.values()), protocol.seed, protocol.epochs, protocol.samples]
    each = [_of_seed(data, protocol, workshop, facts, number) for number in range(SEEDS)]
    return {name: [one[name] for one in each] for name in each[0]}


def _of_seed(
    data: Strangers, protocol: Protocol, workshop: Workshop, facts: list[Any], number: int
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for kind, compute in KINDS.items():

        def told(done: int, total: int, kind: str = kind) -> None:
            workshop.tell("digits", done, total, f"{kind}, seed {number + 1} of {SEEDS}")

        seed = MEMBERS * (protocol.seed * SEEDS + number)  # of the first member: seeds of ensembles do not meet
        found |= workshop.kept("choose", [*facts, number, kind], partial(compute, data, protocol, seed, told))
    return found


def _of_one_net(
    data: Strangers, protocol: Protocol, seed: int, told: Told, checkpoint: Path
) -> dict[str, dict[str, Any]]:
    """A net without dropout, and what can be made of it afterwards."""
    [model], seconds = _trained([net(0.0).seed(seed)], [seed], data, protocol, checkpoint, told)
    weights, one_pass = numbers_of(model), partial(_one_pass, model)
    found = {
        "one pass": _entry(one_pass, data, seconds, 1.0),
        "temperature": _with_temperature(partial(logits, model), data, seconds, 1.0),
    }

    (front, laplace), more = timed_once(partial(last_layer_laplace, model, data))
    assert laplace.vectors is not None
    kept = laplace.curvatures.size + laplace.vectors.size
    predict = partial(laplace_probabilities, front, laplace, protocol.samples or SAMPLES, seed)
    found["Laplace, last layer"] = _entry(predict, data, seconds + more, 1 + kept / weights)

    swag, more = timed_once(partial(_swag, model, data, seed, protocol.epochs or SWAG_EPOCHS))  # trains the model on
    kept = swag.mean.size + swag.squares.size + swag.deviations.size
    predict = partial(_swag_probabilities, swag, min(SWAG_SAMPLES, protocol.samples or SAMPLES), seed)
    found["SWAG"] = _entry(predict, data, seconds + more, kept / weights)
    return found


def _of_dropout(
    data: Strangers, protocol: Protocol, seed: int, told: Told, checkpoint: Path
) -> dict[str, dict[str, Any]]:
    """A net with dropout: in one pass, with temperature, with samples."""
    [model], seconds = _trained([net(0.5).seed(seed)], [seed], data, protocol, checkpoint, told)
    most = protocol.samples or SAMPLES
    return {
        "dropout, one pass": _entry(partial(_one_pass, model), data, seconds, 1.0),
        "dropout, temperature": _with_temperature(partial(logits, model), data, seconds, 1.0),
        **{
            f"dropout, {count} samples": _entry(partial(_mean_of_samples, model, count), data, seconds, 1.0)
            for count in sorted({min(FEW, most), most})
        },
    }


def _of_concrete_dropout(
    data: Strangers, protocol: Protocol, seed: int, told: Told, checkpoint: Path
) -> dict[str, dict[str, Any]]:
    """A net that learns its two rates."""
    x, y = data.digits.x_train, data.digits.y_train
    model = concrete_net(len(x)).seed(seed)
    optimizer, batches = optim.Adam(model.parameters(), 1e-3), nn.Batches(x, y, batch_size=BATCH, seed=seed)
    epochs, samples = protocol.epochs or EPOCHS, protocol.samples or SAMPLES
    concrete_loss(model, x[:2], y[:2]).backward()  # whatever is compiled on its first use
    seconds = trained_alone(model, optimizer, batches, epochs, concrete_loss, checkpoint, told)
    memory = numbers_of(model) / numbers_of(net(0.0).seed(0))
    return {f"concrete, {samples} samples": _entry(partial(_mean_of_samples, model, samples), data, seconds, memory)}


def _of_ensemble(
    p: float, prefix: str, data: Strangers, protocol: Protocol, seed: int, told: Told, checkpoint: Path
) -> dict[str, dict[str, Any]]:
    """Five nets as one stack: as they are, and with one temperature for the mean of their probabilities."""
    seeds = range(seed, seed + MEMBERS)
    members, seconds = _trained([net(p).seed(one) for one in seeds], seeds, data, protocol, checkpoint, told)

    def predict(x: np.ndarray) -> np.ndarray:
        return np.mean([_one_pass(member, x) for member in members], axis=0)

    def log_mean(x: np.ndarray) -> np.ndarray:
        return np.log(predict(x))

    return {
        f"{prefix}ensemble of {MEMBERS}": _entry(predict, data, seconds, float(MEMBERS)),
        f"{prefix}ensemble, temperature": _with_temperature(log_mean, data, seconds, float(MEMBERS)),
    }


KINDS: dict[str, Callable[..., dict[str, dict[str, Any]]]] = {
    "one net": _of_one_net,
    "dropout": _of_dropout,
    "concrete": _of_concrete_dropout,
    "ensemble": partial(_of_ensemble, 0.0, ""),
    "ensemble with dropout": partial(_of_ensemble, 0.5, "dropout, "),
}


def _trained(
    models: list[nn.Module], seeds: Sequence[int], data: Strangers, protocol: Protocol, checkpoint: Path, told: Told
) -> tuple[list[nn.Module], float]:
    """By the protocol of the table "mnist"."""
    x, y = data.digits.x_train, data.digits.y_train
    batches = [nn.Batches(x, y, batch_size=BATCH, seed=seed) for seed in seeds]
    epochs = protocol.epochs or EPOCHS
    job = Job(models, batches, epochs, nn.cross_entropy, lambda stack: optim.Adam(stack.parameters(), 1e-3))
    warm_up(replace(job, batches=[nn.Batches(x[:2], y[:2], batch_size=2) for _ in seeds], epochs=1))
    return trained(job, checkpoint, told)


def _entry(predict: Predict, data: Strangers, training: float, memory: float) -> dict[str, Any]:
    """What the probabilities are worth. The seconds of prediction are those of the test digits."""
    predict(data.digits.x_test[:2])  # whatever is compiled on its first use
    p, seconds = timed(partial(predict, data.digits.x_test))
    inside, labels = entropy(p), data.digits.y_test
    told_apart = {name: auroc(inside, entropy(predict(x)), positive="ood") for name, x in data.others.items()}
    scores = {"accuracy": accuracy(p, labels), "nll": nll(p, labels), "ece": ece(p, labels), **told_apart}
    return entry(scores, training, seconds, memory)


def _one_pass(model: nn.Module, x: np.ndarray) -> np.ndarray:
    return softmax(logits(model, x))


def _mean_of_samples(model: nn.Module, samples: int, x: np.ndarray) -> np.ndarray:
    return softmax(predict_samples(model, x, samples).astype(np.float64)).mean(axis=0)


def _with_temperature(scores: Predict, data: Strangers, training: float, memory: float) -> dict[str, Any]:
    """`scores` gives the logits. The temperature is one number more, a hundred thousandth of a net."""
    digits = data.digits
    scores(digits.x_validation[:2])  # whatever is compiled on its first use
    scaling, seconds = timed(lambda: TemperatureScaling().fit(scores(digits.x_validation), digits.y_validation))
    return _entry(lambda x: scaling.transform(scores(x)), data, training + seconds, memory)


def last_layer_laplace(model: Any, data: Strangers) -> tuple[nn.Module, Laplace]:
    """All layers but the last, and the posterior of that one on what they give: as `weights="last_layer"` is, but
    without a pass through all layers for each Jacobian."""
    *layers, last = model
    front = nn.Sequential(*layers)
    features = logits(front, data.digits.x_train)  # (N, 256)
    head = nn.Linear(last.inputs, last.outputs).seed(0).astype(np.float64)
    for own, trained_to in zip(head.parameters(), last.parameters(), strict=True):
        own.fill(trained_to.numpy())
    return front, fit_laplace(head, features, data.digits.y_train, progress=False).optimised()


def laplace_probabilities(front: nn.Module, laplace: Laplace, samples: int, seed: int, x: np.ndarray) -> np.ndarray:
    """The mean over draws of the last layer. It is linear, so that these are the samples of `laplace.predict`."""
    features, weight_shape = logits(front, x), laplace.parameters[0].shape
    drawn = laplace.sample(samples, Key(seed, OF_SAMPLES))  # (T, P)
    weights, biases = np.split(drawn, [weight_shape[0] * weight_shape[1]], axis=1)
    total = np.zeros((len(x), weight_shape[0]))  # (N, 10)
    for weight, bias in zip(weights, biases, strict=True):
        total += softmax(features @ weight.reshape(weight_shape).T + bias)
    return total / samples


def _swag(model: nn.Module, data: Strangers, seed: int, epochs: int) -> Swag:
    """The path of the weights, a step an epoch."""
    batches = nn.Batches(data.digits.x_train, data.digits.y_train, batch_size=BATCH, seed=seed + 1)
    optimizer = optim.SGD(model.parameters(), lr=SWAG_RATE, momentum=0.9, weight_decay=SWAG_DECAY)
    swag = Swag(model.train(), rank=20)
    while batches.epoch < epochs:
        for x, y in batches:
            optimizer.zero_grad()
            nn.cross_entropy(model(x), y).backward()
            optimizer.step()
        swag.collect()
    return swag


def _swag_probabilities(swag: Swag, samples: int, seed: int, x: np.ndarray) -> np.ndarray:
    return swag.predict(x, samples, key=Key(seed, OF_SAMPLES), progress=False).mean


def concrete_net(rows: int) -> nn.Sequential:
    """`mnist.net` with rates that are learned, from 0.1 on."""

    def drop() -> nn.Module:
        return nn.ConcreteDropout(0.1, 0.1, LENGTH_SCALE**2 / rows, 1 / rows)

    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), drop(), nn.Linear(256, 256), nn.ReLU(), drop(), nn.Linear(256, 10)
    )


def concrete_loss(model: Any, x: Any, y: Any) -> Any:
    """Cross-entropy and the regulariser of both layers that drop."""
    layers = list(model)
    behind = [(layer, layers[i + 1]) for i, layer in enumerate(layers) if isinstance(layer, nn.ConcreteDropout)]
    return sum((layer.regulariser(linear.weight) for layer, linear in behind), start=nn.cross_entropy(model(x), y))
