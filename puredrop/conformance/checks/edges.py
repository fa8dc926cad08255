"""Checks of the edges: where implementations differ, and where they break."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...random import Index, Key
from ...tensor import Tensor
from ..case import Failed, Subject
from .values import example

NONFINITE = (np.nan, np.inf, -np.inf)


def identity(subject: Subject) -> None:
    """p = 0 leaves x as it is."""
    x = example((5, 7), np.float32)
    if not np.array_equal(subject.apply(x, 0.0, 1), x):
        raise Failed("p = 0 must give x itself, and does not")


def evaluation(subject: Subject) -> None:
    """Evaluation gives x: the same tensor, or a new array."""
    x = example((5, 7), np.float32)
    y = subject.case.call(x, 0.5, training=False, backend=subject.backend)
    t = Tensor(x, subject.backend)
    if not np.array_equal(y, x) or np.shares_memory(y, x):
        raise Failed("evaluation must give a copy of the array x")
    if subject.case.call(t, 0.5, training=False) is not t:
        raise Failed("evaluation must give the same tensor")


def all_dropped(subject: Subject) -> None:
    """p = 1 gives zeros, not NaN, for any input."""
    x = example((4, 4), np.float32)
    x[0] = np.nan
    y = subject.apply(x, 1.0, 1)
    if not np.array_equal(y, np.zeros_like(x)):
        raise Failed("p = 1 must give zeros, even for NaN in x; dividing by 1 - p before deciding gives NaN")


def nonfinite(subject: Subject) -> None:
    """A NaN or infinity at a dropped place does not reach the result; dropped is +0."""
    shape, p = (16, 16), 0.5
    keep = subject.mask(shape, p, 4)
    for bad in NONFINITE:
        x = np.where(keep, 1.0, bad).astype(np.float32)
        y = subject.apply(x, p, 4)
        if not np.isfinite(y).all():
            raise Failed(f"{bad} at a dropped place reaches the result; select, do not multiply by the mask")
    y = subject.apply(np.full(shape, -1.0, np.float32), p, 4)
    if np.signbit(y[~keep]).any():
        raise Failed("a dropped negative number becomes -0; it should be +0")


def nonfinite_gradient(subject: Subject) -> None:
    """A NaN or infinity in the incoming gradient stops at dropped places."""
    shape, p = (16, 16), 0.5
    keep = subject.mask(shape, p, 4)
    for bad in NONFINITE:
        x = Tensor(np.ones(shape), subject.backend, requires_grad=True)
        g = np.where(keep, 1.0, bad)
        subject.case.call(x, p, key=Key(4), backend=subject.backend).backward(g)
        if not np.isfinite(x.grad).all():
            raise Failed(f"{bad} in the gradient at a dropped place reaches the gradient of x")


def signed_zero(subject: Subject) -> None:
    """A kept -0.0 stays -0.0."""
    x = np.full((8, 8), -0.0, np.float32)
    keep = subject.mask(x.shape, 0.5, 6)
    if not np.signbit(subject.apply(x, 0.5, 6)[keep]).all():
        raise Failed("a kept -0.0 became +0.0")


def shapes(subject: Subject) -> None:
    """Empty, 0-d and 5-d arrays keep their shape."""
    for shape in ((), (0,), (3, 0, 2), (1,), (2, 3, 1, 2, 2)):
        y = subject.apply(np.ones(shape, np.float32), 0.5, 2)
        if y.shape != shape:
            raise Failed(f"an array of shape {shape} came back with shape {y.shape}")


def untouched(subject: Subject) -> None:
    """The input is not changed, read-only input works, and the result is new memory."""
    x = example((9, 9), np.float32)
    before = x.copy()
    x.flags.writeable = False
    y = subject.apply(x, 0.5, 2)
    if not np.array_equal(x, before) or np.shares_memory(x, y):
        raise Failed("the input was changed, or the result shares its memory")


def layout(subject: Subject) -> None:
    """The mask depends on the position of an element, not on how the array lies in memory."""
    x = example((12, 10), np.float32)
    expected = subject.apply(x, 0.5, 8)
    wide = np.zeros((24, 30), np.float32)
    wide[::2, ::3] = x
    layouts = {
        "Fortran order": np.asfortranarray(x),
        "strided": wide[::2, ::3],
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
    }
    for name, same in layouts.items():
        if not np.array_equal(subject.apply(same, 0.5, 8), expected):
            raise Failed(f"the same numbers in another memory layout ({name}) get another mask")
    stretched = np.broadcast_to(np.float32(1), (12, 10))
    if not np.array_equal(subject.apply(stretched, 0.5, 8) != 0, expected != 0):
        raise Failed("an expanded array gets another mask")


def nested(subject: Subject) -> None:
    """At one address, what a smaller p drops a larger p drops too."""
    masks = [subject.mask((64, 64), p, 3) for p in (0.01, 0.1, 0.5, 0.9, 0.99)]
    for small, large in pairwise(masks):
        if (large & ~small).any():
            raise Failed("a larger p keeps an element that a smaller p drops")


def huge_index(subject: Subject) -> None:
    """Elements just below 2^48 can be drawn, and are those of the reference formula."""
    whole = Index.whole((1 << 47, 2))
    part = whole[(1 << 47) - 33 :]
    x = np.ones(part.shape, np.float32)
    y = subject.case.call(x, 0.5, key=Key(1), index=part, backend=subject.backend)
    again = subject.case.call(x[5:], 0.5, key=Key(1), index=part[5:], backend=subject.backend)
    moved = subject.case.call(x, 0.5, key=Key(1), index=replace(part, offset=0), backend=subject.backend)
    if not np.array_equal(y[5:], again) or np.array_equal(y, moved):
        raise Failed("elements near 2^48 are not drawn at their own address")


def errors(subject: Subject) -> None:
    """A wrong p or dtype is refused with a message that names it."""
    x = np.ones(4, np.float32)
    bad: list[tuple[Any, Any]] = [(x, p) for p in (float("nan"), -0.1, 1.1, True, "0.5", None)]
    bad += [(np.arange(4), 0.5), (np.ones(4, np.bool_), 0.5)]
    for array, p in bad:
        try:
            subject.case.call(array, p, key=Key(0), backend=subject.backend)
        except (TypeError, ValueError) as error:
            if subject.case.name not in str(error):
                raise Failed(f"the message for p = {p!r}, {array.dtype} does not name the operation: {error}") from None
        else:
            raise Failed(f"p = {p!r} with {array.dtype} was accepted")
