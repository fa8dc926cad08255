"""The digits of scikit-learn, split by a key, and inputs of the same shape that are no digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..random import PERMUTATION, UNIFORM, Index, Key, bernoulli

SIDE = 8  # a digit has 8 x 8 pixels
CLASSES = 10
SPLIT = Key(seed=1797)  # which digits are for training: the same in every run, whatever the seed


class Digits(NamedTuple):
    """Pixels (N, 64) float32 in [0, 1], row after row, and labels (N,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load_digits(train_per_class: int) -> Digits:
    """The 1797 digits: the first `train_per_class` of each class, in an order drawn from a key, are for training."""
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    order = bernoulli.permutation(SPLIT, len(labels), PERMUTATION)
    x, y = (pixels[order] / 16).astype(np.float32), labels[order].astype(np.int64)  # pixels are 0..16
    train = np.zeros(len(y), np.bool_)
    for digit in range(CLASSES):
        train[np.flatnonzero(y == digit)[:train_per_class]] = True
    return Digits(x[train], y[train], x[~train], y[~train])


def no_digits(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Inputs that are no digits, most of them made of digits. Name -> pixels (M, 64)."""
    return {
        "uniform noise": uniform_noise(x.shape, Key(seed, step=0)),
        "digits with shuffled pixels": shuffled_pixels(x, Key(seed, step=1)),
        "digits in negative": 1 - x,
        "halves of two digits": joined_halves(x, y, Key(seed, step=2)),
    }


def uniform_noise(shape: tuple[int, ...], key: Key) -> np.ndarray:
    """Every pixel uniform in (0, 1)."""
    return bernoulli.uniform(key, Index.whole(shape)).astype(np.float32)


def shuffled_pixels(x: np.ndarray, key: Key) -> np.ndarray:
    """The pixels of each row in an order of their own: as much ink as before, and no shape."""
    order = np.argsort(bernoulli.words(key, Index.whole(x.shape), UNIFORM), axis=1, kind="stable")  # (N, 64)
    return np.take_along_axis(x, order, axis=1)


def joined_halves(x: np.ndarray, y: np.ndarray, key: Key) -> np.ndarray:
    """The left half of one digit beside the right half of a digit of another class."""
    other = bernoulli.permutation(key, len(x), PERMUTATION)
    left, right = (a.reshape(-1, SIDE, SIDE) for a in (x, x[other]))
    joined = np.concatenate([left[:, :, : SIDE // 2], right[:, :, SIDE // 2 :]], axis=2)
    return joined.reshape(len(x), -1)[y != y[other]]
