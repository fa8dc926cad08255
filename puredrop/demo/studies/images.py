"""Studies on images: a multi-layer perceptron and a convolutional net, on MNIST or scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import nn, ops, optim
from ...nn.datasets import Images, data_folder, mnist
from ...random import PERMUTATION, Key, bernoulli
from ...tensor import no_grad
from ...uncertainty import accuracy, ece, nll, predict
from ..data import load_digits
from .study import Contender, Metrics, Study

SAMPLES = 50
TRAIN, TEST = 2_000, 4_000  # how many images of a larger set are used: little data is where dropout matters
SHOWN = 72_000  # images in all epochs together, by default


def images(folder: str | Path | None) -> tuple[Images, str]:
    """MNIST from the data folder where one is named, else scikit-learn's digits; and a line that says which."""
    named = data_folder(folder)
    if named is None:
        digits = load_digits(60)
        square = [x.reshape(-1, 1, 8, 8) for x in (digits.x_train, digits.x_test)]
        found, source = Images(square[0], digits.y_train, square[1], digits.y_test), "scikit-learn's digits"
    else:
        whole = mnist(named)
        rows = [bernoulli.permutation(Key(1797), n, PERMUTATION) for n in (len(whole.y_train), len(whole.y_test))]
        train, test = rows[0][:TRAIN], rows[1][:TEST]
        found = Images(whole.x_train[train], whole.y_train[train], whole.x_test[test], whole.y_test[test])
        source = f"MNIST in {named.name}"
    size = " x ".join(map(str, found.x_train.shape[2:]))
    return found, f"{source}: {len(found.y_train):,} for training, {len(found.y_test):,} for testing, {size} pixels"


def mlp(folder: str | Path | None = None, epochs: int | None = None) -> Study:
    """Dropout on the hidden units of a perceptron: none, at a fixed rate, at a learned one, Gaussian."""
    data, source = images(folder)
    inputs = int(np.prod(data.x_train.shape[1:]))
    build = partial(nn.models.MLP, inputs, 10)
    contenders = (
        Contender("plain", "nothing", build, draws=False),
        Contender("dropout", "hidden units, p = 0.5", partial(build, form="mc")),
        Contender("dropout, inputs too", "hidden p = 0.5, inputs p = 0.2", partial(build, form="mc", input_p=0.2)),
        Contender("concrete", "hidden units, p learned", partial(build, form="concrete", p=0.2)),
        Contender("variational", "Gaussian noise on hidden units, learned", partial(build, form="variational", p=0.2)),
    )
    return _study("mlp", "A multi-layer perceptron", source, data, contenders, epochs)


def cnn(folder: str | Path | None = None, epochs: int | None = None) -> Study:
    """Dropout of units, of channels and of blocks in a convolutional net."""
    data, source = images(folder)
    size = data.x_train.shape[-1]
    shape: dict[str, Any] = {} if size >= 20 else {"kernel": 3, "padding": 1}
    build = partial(nn.models.LeNet, 1, size, **shape)
    contenders = (
        Contender("plain", "nothing", build, draws=False),
        Contender("dropout", "dense units, p = 0.5", partial(build, form="mc", channel_p=0.0)),
        Contender("spatial dropout", "dense units, channels p = 0.1", partial(build, form="mc")),
        Contender("DropBlock", "dense units, blocks of the first maps", partial(_with_blocks, build)),
        Contender("concrete", "units and channels, p learned", partial(build, form="concrete", p=0.2)),
        Contender("variational", "Gaussian noise, learned", partial(build, form="variational", p=0.2)),
    )
    return _study("cnn", "A convolutional net (LeNet)", source, data, contenders, epochs)


def _with_blocks(build: Callable[..., nn.Module]) -> nn.Module:
    model: Any = build(form="mc", channel_p=0.0)
    model.conv2.noise = nn.DropBlock(0.1, block_size=3)
    return model


def _study(
    name: str, title: str, source: str, data: Images, contenders: tuple[Contender, ...], epochs: int | None
) -> Study:
    return Study(
        name=name,
        title=title,
        data=source,
        metric="nll",
        contenders=contenders,
        train_epoch=partial(train_epoch, data),
        evaluate=partial(_evaluated, data),
        sampled=partial(_sampled, data),
        optimizer=lambda model: optim.Adam(model.parameters(), lr=1e-3),
        epochs=epochs or max(1, SHOWN // len(data.y_train)),
        settings={"optimizer": "Adam, 0.001", "batch_size": 32, "samples": SAMPLES},
    )


def train_epoch(data: Images, model: Any, optimizer: optim.Optimizer, seed: int, epoch: int) -> None:
    batches = nn.Batches(data.x_train, data.y_train, batch_size=32, seed=seed)
    batches.epoch = epoch
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), y) + model.regulariser(len(data.y_train))
        loss.backward()
        optimizer.step()


def _evaluated(data: Images, model: nn.Module) -> Metrics:
    with no_grad():
        logits = np.concatenate([model(x).numpy() for x in np.array_split(data.x_test, 8)])
    return _metrics(ops.softmax(logits.astype(np.float64), backend="numpy"), data.y_test)


def _sampled(data: Images, model: nn.Module) -> Metrics:
    return _metrics(predict(model, data.x_test, samples=SAMPLES, batch_size=500).mean, data.y_test)


def _metrics(probabilities: np.ndarray, labels: np.ndarray) -> Metrics:
    return {
        "accuracy": accuracy(probabilities, labels),
        "nll": nll(probabilities, labels),
        "ece": ece(probabilities, labels),
    }
