"""What the kit checks: anybody's dropout behind one face, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..case import Arrays


class Call(NamedTuple):
    """One call of a target: what goes in."""

    inputs: Arrays
    p: float
    seed: int
    training: bool = True
    mask: np.ndarray | None = None

    def __str__(self) -> str:
        names = ("x", "x2", "x3", "x4", "x5")
        shown = [f"{name} = {_as_code(a)}" for name, a in zip(names, self.inputs, strict=False)]
        shown += [f"p = {self.p}", f"seed = {self.seed}"]
        return ", ".join([*shown, *([] if self.training else ["training = False"])])


class Answer(NamedTuple):
    """What came back. mask: what was drawn, where the target returns it; True, or a number that is not 0, = kept."""

    y: np.ndarray
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Target:
    """Something that claims to be a dropout.

    run(call): y, or (y, mask), as NumPy arrays.
    gradient(call, g): (y, gradients) of one call, a gradient for each input, None where there is none; absent where the
        target has no autograd.
    rate_gradient(call): of the sum of y by p; absent where nothing can be asked.
    has_seed: it takes a seed or a key, so that it must give one mask for one seed.
    evaluates, takes_mask: it has a switch for training, a place to put a mask.
    rates: the rates it can be asked for; None for any.
    dtypes: those it is meant for.
    in_place: arrays reach it as they lie in memory, and could be changed.
    compiles: each new shape takes it a second or so; it is asked for fewer of them.
    stream(seed): the source of masks that replays it.
    """

    name: str
    run: Callable[[Call], Any]
    gradient: Callable[[Call, np.ndarray], Any] | None = None
    rate_gradient: Callable[[Call], float] | None = None
    has_seed: bool = True
    evaluates: bool = False
    takes_mask: bool = False
    rates: tuple[float, ...] | None = None
    dtypes: tuple[str, ...] = ("float32", "float64")
    in_place: bool = True
    compiles: bool = False
    stream: Callable[[int], Any] | None = None


def as_numpy(value: Any) -> np.ndarray:
    """An array of any library as a NumPy array. Raises TypeError for what is no array."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.resolve_conj() if hasattr(value, "resolve_conj") else value
    if hasattr(value, "cpu"):
        value = value.cpu()
    if hasattr(value, "numpy") and hasattr(value, "dtype"):
        return np.asarray(value.numpy())
    if hasattr(value, "__array__") or isinstance(value, (int, float, list, np.generic)):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise TypeError(f"a dropout must give an array, got {type(value).__name__}")


def answered(raw: Any) -> Answer:
    """What a target gave, as arrays: y, or (y, mask)."""
    if isinstance(raw, (tuple, list)) and len(raw) == 2 and hasattr(raw[0], "shape"):
        return Answer(as_numpy(raw[0]), as_numpy(raw[1]))
    return Answer(as_numpy(raw))


def _as_code(a: np.ndarray) -> str:
    if a.size > 16:
        return f"<{a.dtype} of shape {a.shape}>"
    return f'np.array({np.array2string(a, separator=", ", max_line_width=10_000)}, "{a.dtype}")'.replace("\n", "")
