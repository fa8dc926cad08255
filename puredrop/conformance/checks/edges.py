"""Checks of the edges: where implementations differ, and where they break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np

from ...gradcheck import relative_error
from ...random import ELEMENT_LIMIT, Key
from ...tensor import Tensor
from ..case import Arrays, Case, Failed, Subject, called
from .values import drawn_at, require

NONFINITE = (np.nan, np.inf, -np.inf)


def identity(subject: Subject) -> None:
    """p = 0 leaves x as it is; where a variant does more than drop, it gives exactly what evaluation gives."""
    case, inputs = subject.case, subject.case.example(5, 7, np.float32)
    y = subject.apply(inputs, 0.0, 1)
    if np.array_equal(case.formula(np, *inputs, subject.noise(inputs, 0.0, 1), 0.0), inputs[0]):
        if not np.array_equal(y, inputs[0]):
            raise Failed("p = 0 must give x itself, and does not")
    elif not np.array_equal(y, called(case, *inputs, 0.0, training=False, backend=subject.backend)):
        raise Failed("p = 0 must give what evaluation gives, and does not")


def evaluation(subject: Subject) -> float:
    """Evaluation follows its rule: the same tensor (a new array) for the identity, else a formula."""
    case, inputs, p = subject.case, subject.case.example(5, 7), 0.5
    y = called(case, *inputs, p, training=False, backend=subject.backend)
    if callable(case.evaluation):
        error = relative_error(y, case.evaluation(np, *inputs, p))
        return require(error, 1e-12, "evaluation does not follow its formula")
    t = Tensor(inputs[0], subject.backend)
    if not np.array_equal(y, inputs[0]) or np.shares_memory(y, inputs[0]):
        raise Failed("evaluation must give a copy of the array x")
    if called(case, t, *inputs[1:], p, training=False, backend=subject.backend) is not t:
        raise Failed("evaluation must give the same tensor")
    return 0.0


def all_dropped(subject: Subject) -> None:
    """p = 1 gives zeros, or what the formula leaves, even for NaN in what is dropped; or it is refused."""
    case, inputs = subject.case, subject.case.example(4, 4, np.float32)
    if case.at_one == "raises":
        return _require_refusal(subject, inputs, 1.0)
    if case.at_one == "zeros":
        inputs[0][0] = np.nan
        if not np.array_equal(subject.apply(inputs, 1.0, 1), np.zeros_like(inputs[0])):
            raise Failed("p = 1 must give zeros, even for NaN in x; dividing by 1 - p before deciding gives NaN")
        return None
    expected = case.formula(np, *inputs, subject.noise(inputs, 1.0, 1), 1.0)
    for number, idle in _some((number, idle) for number, idle, _ in _unreached(subject, inputs, 1.0, 1)):
        y = subject.apply(_spoiled(inputs, number, idle, np.nan), 1.0, 1)
        require(relative_error(y, expected), 1e-6, "p = 1 does not give what the formula leaves, for NaN in the rest")
    return None


def nonfinite(subject: Subject) -> None:
    """A NaN or infinity at a dropped place does not reach the result; dropped is +0."""
    p, inputs = 0.5, subject.case.example(8, 8, np.float32)
    dropped = _some((number, idle) for number, idle, _ in _unreached(subject, inputs, p, 4))
    for (number, idle), bad in product(dropped, NONFINITE):
        if not np.isfinite(subject.apply(_spoiled(inputs, number, idle, bad), p, 4)).all():
            raise Failed(f"{bad} at a dropped place reaches the result; select, do not multiply by the mask")
    x, *rest = inputs
    if (x < 0).any():
        y = subject.apply((-np.abs(x), *rest), p, 4)
        if (np.signbit(y) & (y == 0)).any():
            raise Failed("a dropped negative number becomes -0; it should be +0")


def nonfinite_gradient(subject: Subject) -> None:
    """A NaN or infinity in the incoming gradient stops at dropped places."""
    p, inputs = 0.5, subject.case.example(8, 8)
    dropped = _some((number, closed) for number, _, closed in _unreached(subject, inputs, p, 4))
    for (number, closed), bad in product(dropped, NONFINITE):
        leaf = Tensor(inputs[number], subject.backend, requires_grad=True)
        mixed = (*inputs[:number], leaf, *inputs[number + 1 :])
        y = called(subject.case, *mixed, p, key=Key(4), backend=subject.backend)
        y.backward(np.where(closed.reshape(y.shape), bad, 1.0))
        if not np.isfinite(leaf.grad).all():
            raise Failed(f"{bad} in the gradient at a dropped place reaches the gradient of input {number}")


def _unreached(subject: Subject, inputs: Arrays, p: float, seed: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each input that the formula reads: its number; where it does not reach the result; where the result does not
    depend on it."""
    half, noise = subject.noise(inputs, 0.5, seed), subject.noise(inputs, p, seed)
    for number, a in enumerate(inputs):
        if a.dtype.kind == "f" and _reach(subject.case, inputs, number, half, 0.5).any():
            reach = _reach(subject.case, inputs, number, noise, p)
            idle, closed = (np.asarray(~reach.any(axis=axis)) for axis in (1, 0))
            yield number, idle.reshape(a.shape), closed


def _reach(case: Case, inputs: Arrays, number: int, noise: np.ndarray, p: float) -> np.ndarray:
    """Which elements of an input reach which of the result, by the formula, in which a NaN stops where x is dropped.
    (elements of the input, elements of the result)"""
    rows = []
    for i in range(inputs[number].size):
        here = np.arange(inputs[number].size).reshape(inputs[number].shape) == i
        with np.errstate(all="ignore"):
            rows.append(np.isnan(case.formula(np, *_spoiled(inputs, number, here, np.nan), noise, p)).ravel())
    return np.array(rows)


def _spoiled(inputs: Arrays, number: int, where: np.ndarray, bad: float) -> Arrays:
    """The inputs, one of them with a bad number at some places, of the sign of what was there."""
    a = inputs[number]
    return *inputs[:number], np.where(where, np.copysign(a.dtype.type(bad), a), a), *inputs[number + 1 :]


def _some(dropped: Iterator[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Those that are not empty, of which there must be one."""
    some = [(number, where) for number, where in dropped if where.any()]
    if not some:
        raise Failed("nothing is dropped here, so that the check says nothing; name it in not_applicable")
    return some


def signed_zero(subject: Subject) -> None:
    """Where the formula makes -0.0 of inputs of -0.0, as of a kept x, it stays -0.0."""
    inputs = tuple(np.full_like(a, -0.0) if a.dtype.kind == "f" else a for a in subject.case.example(8, 8, np.float32))
    expected = subject.case.formula(np, *inputs, subject.noise(inputs, 0.5, 6), 0.5)
    minus = np.signbit(expected) & (expected == 0)
    if not minus.any():
        raise Failed("nothing is -0.0 here, so that the check says nothing; name it in not_applicable")
    if not np.signbit(subject.apply(inputs, 0.5, 6)[minus]).all():
        raise Failed("a kept -0.0 became +0.0")


ANY_SHAPE = ((), (0,), (3, 0, 2), (1,), (7,), (3, 4, 5), (2, 3, 4, 5), (2, 3, 1, 2, 2))
SIZES = ((0, 4), (1, 1), (1, 7), (7, 1), (33, 3))


def shapes(subject: Subject) -> None:
    """Empty, single and odd sizes, and where x may have any shape 0-d and many-dimensional arrays, keep the shape and
    have the values of the formula."""
    case = subject.case
    examples = [case.example(*size, np.float32) for size in SIZES]
    if case.any_shape:
        kinds = [a.dtype for a in case.example(2, 2, np.float32)]
        examples = [tuple(np.ones(shape, kind) for kind in kinds) for shape in ANY_SHAPE] + examples
    for inputs in examples:
        shape, y, noise = inputs[0].shape, subject.apply(inputs, 0.5, 2), subject.noise(inputs, 0.5, 2)
        expected = np.asarray(case.formula(np, *inputs, noise, 0.5))
        if y.shape != (shape if case.any_shape else expected.shape):
            raise Failed(f"an array of shape {shape} came back with shape {y.shape}")
        require(relative_error(y, expected), 1e-6, f"an array of shape {shape} does not have the values of the formula")


def untouched(subject: Subject) -> None:
    """The inputs are not changed, read-only ones work, and the result is new memory."""
    inputs = subject.case.example(9, 9, np.float32)
    before = [a.copy() for a in inputs]
    for a in inputs:
        a.flags.writeable = False
    for p in {0.5, min(subject.case.rates)}:
        y = subject.apply(inputs, p, 2)
        for a, old in zip(inputs, before, strict=True):
            if not np.array_equal(a, old) or np.shares_memory(a, y):
                raise Failed(f"at p = {p} an input was changed, or the result shares its memory")


def layout(subject: Subject) -> None:
    """The noise depends on the position of an element, not on how the array lies in memory."""
    x, *rest = subject.case.example(12, 10, np.float32)
    wide = np.zeros((*(2 * n for n in x.shape),), x.dtype)
    every_other = tuple(slice(None, None, 2) for _ in x.shape)
    wide[every_other] = x
    flipped = tuple(slice(None, None, -1) for _ in x.shape)
    stretched = np.broadcast_to(x.reshape(-1)[0], x.shape)
    layouts = {
        "Fortran order": (np.asfortranarray(x), x),
        "strided": (wide[every_other], x),
        "reversed": (x[flipped].copy()[flipped], x),
        "expanded": (stretched, stretched.copy()),
    }
    for name, (same, plain) in layouts.items():
        error = relative_error(subject.apply((same, *rest), 0.5, 8), subject.apply((plain, *rest), 0.5, 8))
        require(error, 1e-6, f"the same numbers in another memory layout ({name}) get another mask")


def nested(subject: Subject) -> None:
    """At one address, what a smaller p drops a larger p drops too."""
    masks = [subject.matrix(64, 64, p, 3) for p in (0.01, 0.1, 0.5, 0.9, 0.99)]
    for small, large in pairwise(masks):
        if (large & ~small).any():
            raise Failed("a larger p keeps an element that a smaller p drops")


def huge_index(subject: Subject) -> None:
    """Elements just below 2^48 can be drawn, at their own address."""
    case, p = subject.case, 0.5
    inputs = case.example(24, 40, np.float32)
    assert case.index is not None
    near = case.index(*inputs)
    far = replace(near, offset=ELEMENT_LIMIT - 1 - int(near.elements().max()))
    of = (slice(5, None),)
    noise = drawn_at(subject, inputs, p, far)[1]
    again = drawn_at(subject, case.part(of, *inputs), p, far[of])[1]
    moved = drawn_at(subject, inputs, p, near)[1]
    if not np.array_equal(noise[(slice(None),) * case.in_front + of], again) or np.array_equal(noise, moved):
        raise Failed("elements near 2^48 are not drawn at their own address")


def rate_errors(subject: Subject) -> None:
    """A wrong p is refused with a message that names the operation."""
    inputs = subject.case.example(4, 4, np.float32)
    for p in (float("nan"), -0.1, *((1.1,) if 1.0 in subject.case.rates else ()), True, "0.5", None):
        _require_refusal(subject, inputs, p)


def dtype_errors(subject: Subject) -> None:
    """Whole numbers and booleans where numbers are wanted, or the reverse, are refused by name."""
    x, *rest = subject.case.example(4, 4, np.float32)
    for dtype in (np.int64, np.bool_) if x.dtype.kind == "f" else (np.float64, np.bool_):
        _require_refusal(subject, (x.astype(dtype), *rest), 0.5)


def _require_refusal(subject: Subject, inputs: Arrays, p: Any) -> None:
    try:
        called(subject.case, *inputs, p, key=Key(0), backend=subject.backend)
    except (TypeError, ValueError) as error:
        if subject.case.name not in str(error):
            raise Failed(f"the message for p = {p!r}, {inputs[0].dtype} does not name the operation: {error}") from None
    else:
        raise Failed(f"p = {p!r} with {inputs[0].dtype} was accepted")
