"""Two nets that differ in dropout alone, trained in a way that can be stopped and resumed bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .. import nn, optim
from ..ops import softmax
from ..random import Key
from ..tensor import no_grad
from ..uncertainty import nll
from .checkpoints import checkpoint_file, resumed
from .data import CLASSES, SIDE, Digits

AfterEpoch = Callable[[int, float], None]  # what is told after each epoch: how many are done, and the test NLL


@dataclass(frozen=True)
class Settings:
    """What the numbers depend on. Common values, equal for both nets.

    Raises: TypeError or ValueError for a seed that is no whole number in [0, 2^64), or less than one epoch.
    """

    seed: int = 0
    epochs: int = 100
    repeats: int = 3  # nets of each sort, with seeds seed, seed + 1, ...: one training run says little
    samples: int = 100
    p: float = 0.5
    hidden: int = 256
    learning_rate: float = 1e-3
    batch_size: int = 32
    train_per_class: int = 60

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", Key(self.seed).seed)  # a plain int, whatever whole number it was
        if type(self.epochs) is not int or self.epochs < 1:
            raise ValueError(f"demo: epochs must be a whole number of at least 1, got {self.epochs!r}")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple((self.seed + i) % 2**64 for i in range(self.repeats))


@dataclass
class Net:
    """A trained net and its curves: the NLL of all train and test digits after each epoch, with dropout off."""

    model: nn.Sequential
    train_nll: list[float]
    test_nll: list[float]


def mlp(settings: Settings, p: float) -> nn.Sequential:
    """64 - hidden - hidden - 10 with ReLU, and dropout on the hidden layers unless p is 0."""
    sizes = (SIDE * SIDE, settings.hidden, settings.hidden)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), *([nn.Dropout(p)] if p else [])]
    return nn.Sequential(*layers, nn.Linear(settings.hidden, CLASSES))


def probabilities(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """Class probabilities in eval mode, float64. (N, 10)"""
    model.eval()
    with no_grad():
        logits = model(x).numpy()
    return softmax(logits.astype(np.float64), backend="numpy")


def train(settings: Settings, digits: Digits, p: float, seed: int, checkpoints: Path, tell: AfterEpoch) -> Net:
    """A net after all its epochs. Equal seeds give equal first weights and batches, with dropout and without.

    Each epoch ends in a checkpoint, and training goes on from the one it finds.
    """
    model = mlp(settings, p).seed(seed)
    optimizer = optim.Adam(model.parameters(), lr=settings.learning_rate)
    batches = nn.Batches(digits.x_train, digits.y_train, batch_size=settings.batch_size, seed=seed)
    path = checkpoints / checkpoint_name(settings, p, seed)
    net = Net(model, **resumed(path, {"train_nll": [], "test_nll": []}, model, optimizer, batches))
    while len(net.test_nll) < settings.epochs:
        train_epoch(model, optimizer, batches)
        net.train_nll.append(nll(probabilities(model, digits.x_train), digits.y_train))
        net.test_nll.append(nll(probabilities(model, digits.x_test), digits.y_test))
        nn.save(path, model, optimizer, batches, train_nll=net.train_nll, test_nll=net.test_nll)
        tell(len(net.test_nll), net.test_nll[-1])
    return net


def train_epoch(model: nn.Module, optimizer: optim.Optimizer, batches: nn.Batches) -> None:
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        nn.cross_entropy(model(x), y).backward()
        optimizer.step()


def checkpoint_name(settings: Settings, p: float, seed: int) -> str:
    """Of the net that is trained with these settings."""
    facts = asdict(settings) | {"p": p, "seed": seed, "repeats": None, "samples": None}
    return checkpoint_file(f"seed{seed}-p{p}", facts)
