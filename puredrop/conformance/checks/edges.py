"""Checks of the edges: where implementations differ, and where they break."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...gradcheck import relative_error
from ...random import Index, Key
from ...tensor import Tensor
from ..case import Failed, Subject
from .values import require

NONFINITE = (np.nan, np.inf, -np.inf)


def identity(subject: Subject) -> None:
    """p = 0 leaves x as it is."""
    inputs = subject.case.example(5, 7, np.float32)
    if not np.array_equal(subject.apply(inputs, 0.0, 1), inputs[0]):
        raise Failed("p = 0 must give x itself, and does not")


def evaluation(subject: Subject) -> float:
    """Evaluation follows its rule: the same tensor (a new array) for the identity, else a formula."""
    case, inputs, p = subject.case, subject.case.example(5, 7), 0.5
    y = case.call(*inputs, p, training=False, backend=subject.backend)
    if callable(case.evaluation):
        error = relative_error(y, case.evaluation(np, *inputs, p))
        return require(error, 1e-12, "evaluation does not follow its formula")
    t = Tensor(inputs[0], subject.backend)
    if not np.array_equal(y, inputs[0]) or np.shares_memory(y, inputs[0]):
        raise Failed("evaluation must give a copy of the array x")
    if case.call(t, *inputs[1:], p, training=False) is not t:
        raise Failed("evaluation must give the same tensor")
    return 0.0


def all_dropped(subject: Subject) -> None:
    """p = 1 gives zeros, not NaN, for any input (or is refused, where the row says so)."""
    inputs = subject.case.example(4, 4, np.float32)
    if subject.case.at_one == "raises":
        return _require_refusal(subject, inputs, 1.0)
    inputs[0][0] = np.nan
    if not np.array_equal(subject.apply(inputs, 1.0, 1), np.zeros_like(inputs[0])):
        raise Failed("p = 1 must give zeros, even for NaN in x; dividing by 1 - p before deciding gives NaN")
    return None


def nonfinite(subject: Subject) -> None:
    """A NaN or infinity at a dropped place does not reach the result; dropped is +0."""
    p, (x, *rest) = 0.5, subject.case.example(16, 16, np.float32)
    keep = np.broadcast_to(subject.noise((x, *rest), p, 4), x.shape)
    for bad in NONFINITE:
        if not np.isfinite(subject.apply((np.where(keep, x, np.float32(bad)), *rest), p, 4)).all():
            raise Failed(f"{bad} at a dropped place reaches the result; select, do not multiply by the mask")
    y = subject.apply((-np.abs(x), *rest), p, 4)
    if not rest and np.signbit(y[~keep]).any():
        raise Failed("a dropped negative number becomes -0; it should be +0")


def nonfinite_gradient(subject: Subject) -> None:
    """A NaN or infinity in the incoming gradient stops at dropped places."""
    p, (x, *rest) = 0.5, subject.case.example(16, 16)
    keep = np.broadcast_to(subject.noise((x, *rest), p, 4), x.shape)
    for bad in NONFINITE:
        leaf = Tensor(x, subject.backend, requires_grad=True)
        subject.case.call(leaf, *rest, p, key=Key(4), backend=subject.backend).backward(np.where(keep, 1.0, bad))
        if not np.isfinite(leaf.grad).all():
            raise Failed(f"{bad} in the gradient at a dropped place reaches the gradient of x")


def signed_zero(subject: Subject) -> None:
    """A kept -0.0 stays -0.0."""
    x, *rest = subject.case.example(8, 8, np.float32)
    x = np.full_like(x, -0.0)
    keep = np.broadcast_to(subject.noise((x, *rest), 0.5, 6), x.shape)
    if not np.signbit(subject.apply((x, *rest), 0.5, 6)[keep]).all():
        raise Failed("a kept -0.0 became +0.0")


def shapes(subject: Subject) -> None:
    """Empty, 0-d and many-dimensional arrays keep their shape, and have the values of the formula."""
    for shape in ((), (0,), (3, 0, 2), (1,), (7,), (3, 4, 5), (2, 3, 4, 5), (2, 3, 1, 2, 2)):
        inputs = tuple(np.ones(shape, np.float32) for _ in subject.case.example(2, 2))
        y = subject.apply(inputs, 0.5, 2)
        if y.shape != shape:
            raise Failed(f"an array of shape {shape} came back with shape {y.shape}")
        expected = subject.case.formula(np, *inputs, subject.noise(inputs, 0.5, 2), 0.5)
        require(relative_error(y, expected), 1e-6, f"an array of shape {shape} does not have the values of the formula")


def untouched(subject: Subject) -> None:
    """The inputs are not changed, read-only ones work, and the result is new memory."""
    inputs = subject.case.example(9, 9, np.float32)
    before = [a.copy() for a in inputs]
    for a in inputs:
        a.flags.writeable = False
    for p in (0.5, 0.0):
        y = subject.apply(inputs, p, 2)
        for a, old in zip(inputs, before, strict=True):
            if not np.array_equal(a, old) or np.shares_memory(a, y):
                raise Failed(f"at p = {p} an input was changed, or the result shares its memory")


def layout(subject: Subject) -> None:
    """The noise depends on the position of an element, not on how the array lies in memory."""
    x, *rest = subject.case.example(12, 10, np.float32)
    expected = subject.apply((x, *rest), 0.5, 8)
    wide = np.zeros((*(2 * n for n in x.shape),), np.float32)
    every_other = tuple(slice(None, None, 2) for _ in x.shape)
    wide[every_other] = x
    flipped = tuple(slice(None, None, -1) for _ in x.shape)
    layouts = {
        "Fortran order": np.asfortranarray(x),
        "strided": wide[every_other],
        "reversed": x[flipped].copy()[flipped],
    }
    for name, same in layouts.items():
        if not np.array_equal(subject.apply((same, *rest), 0.5, 8), expected):
            raise Failed(f"the same numbers in another memory layout ({name}) get another mask")
    stretched = np.broadcast_to(np.float32(1), x.shape)
    if not np.array_equal(subject.apply((stretched, *rest), 0.5, 8), subject.apply((stretched.copy(), *rest), 0.5, 8)):
        raise Failed("an expanded array gets another mask")


def nested(subject: Subject) -> None:
    """At one address, what a smaller p drops a larger p drops too."""
    masks = [subject.matrix(64, 64, p, 3) for p in (0.01, 0.1, 0.5, 0.9, 0.99)]
    for small, large in pairwise(masks):
        if (large & ~small).any():
            raise Failed("a larger p keeps an element that a smaller p drops")


def huge_index(subject: Subject) -> None:
    """Elements just below 2^48 can be drawn, at their own address."""
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
    x, *rest = subject.case.example(4, 4, np.float32)
    for p in (float("nan"), -0.1, *((1.1,) if 1.0 in subject.case.rates else ()), True, "0.5", None):
        _require_refusal(subject, (x, *rest), p)
    for dtype in (np.int64, np.bool_):
        _require_refusal(subject, (x.astype(dtype), *rest), 0.5)


def _require_refusal(subject: Subject, inputs: tuple[np.ndarray, ...], p: Any) -> None:
    try:
        subject.case.call(*inputs, p, key=Key(0), backend=subject.backend)
    except (TypeError, ValueError) as error:
        if subject.case.name not in str(error):
            raise Failed(f"the message for p = {p!r}, {inputs[0].dtype} does not name the operation: {error}") from None
    else:
        raise Failed(f"p = {p!r} with {inputs[0].dtype} was accepted")
