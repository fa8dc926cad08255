"""Checks of values: the formula, its gradients, and that every backend gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import get, on_host
from ...gradcheck import gradcheck, relative_error
from ...random import Index, Key
from ...streams import enumerate_masks
from ...tensor import Tensor, checkpoint, grad
from ..case import Arrays, Case, Failed, Subject, called

FORWARD_BOUND = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-12, "int64": 0.0}
FIRST_BOUND, SECOND_BOUND = 1e-6, 1e-5


def require(error: float, bound: float, sentence: str) -> float:
    """The error, unless it is beyond the bound."""
    if not error <= bound:
        raise Failed(f"{sentence} (relative error {error:.1e}, bound {bound:.0e})")
    return error


def rates(subject: Subject) -> tuple[float, ...]:
    """The rates at which the variant has values."""
    case = subject.case
    return tuple(p for p in case.rates if not (p == 1 and case.at_one == "raises"))


def formula(subject: Subject) -> float:
    """y has the values of the formula for what was drawn, in every dtype and at every rate."""
    worst = 0.0
    for dtype in subject.case.dtypes:
        inputs = subject.case.example(12, 21, dtype)
        for p in rates(subject):
            y, noise = subject.apply(inputs, p, 3), subject.noise(inputs, p, 3)
            if y.dtype != inputs[0].dtype:
                raise Failed(f"{inputs[0].dtype} in gives {y.dtype} out; the dtype must stay")
            sentence = f"at p = {p} in {dtype} the result does not have the values of the formula"
            worst = max(worst, require_formula(subject.case, inputs, y, noise, p, sentence))
    return worst


def require_formula(case: Case, inputs: Arrays, y: Any, noise: Any, p: float, sentence: str) -> float:
    """How far y is from the formula in float64 for the same inputs and noise, which must be within rounding."""
    wide = (a.astype(np.float64) if a.dtype.kind == "f" else a for a in inputs)
    return require(relative_error(y, case.formula(np, *wide, noise, p)), FORWARD_BOUND[str(y.dtype)], sentence)


def gradient(subject: Subject) -> float:
    """The first derivative by every input against finite differences with the key held fixed."""
    return max(_gradient_error(subject, p, second=False) for p in rates(subject))


def second_gradient(subject: Subject) -> float:
    """The derivative of the gradient against finite differences, of a function that bends."""
    return max(_gradient_error(subject, p, second=True) for p in rates(subject))


def _gradient_error(subject: Subject, p: float, second: bool) -> float:
    inputs = subject.case.example(3, 4)
    floats = [i for i, a in enumerate(inputs) if a.dtype.kind == "f"]

    def f(*tensors: Tensor) -> Tensor:
        given: list[Any] = list(inputs)
        for i, t in zip(floats, tensors, strict=True):
            given[i] = t * t
        y = called(subject.case, *given, p, key=Key(5), backend=subject.backend)
        return y * y

    errors = gradcheck(f, *(np.abs(inputs[i]) ** 0.5 for i in floats), second=second, backend=subject.backend)
    if second:
        assert errors.second is not None
        return require(errors.second, SECOND_BOUND, f"the second derivative at p = {p} is wrong")
    return require(errors.first, FIRST_BOUND, f"the gradient at p = {p} is wrong")


def same_bits(subject: Subject) -> float:
    """Noise and values equal the reference backend's, bit for bit (real noise, and what rounds: to a tolerance)."""
    reference = get("numpy")
    worst = 0.0
    extremes = (1e-12, 1 - 1e-12) if 1.0 in subject.case.rates else ()
    for dtype in subject.case.dtypes:
        inputs = subject.case.example(37, 53, dtype)
        for p in (*extremes, *rates(subject)):
            for key in (Key(0), Key((1 << 64) - 1, (1 << 16) - 1, (1 << 32) - 1, (1 << 24) - 1), Key(1, step=7)):
                pairs = (
                    called(subject.case, *inputs, p, key=key, return_mask=True, backend=b)
                    for b in (subject.backend, reference)
                )
                where = f"at p = {p}, {key}, {dtype}"
                worst = max(worst, *(_difference(subject, a, b, where) for a, b in zip(*pairs, strict=True)))
    return worst


def _difference(subject: Subject, ours: np.ndarray, theirs: np.ndarray, where: str) -> float:
    """0 for equal bits; else the error, for real noise within what the contract allows for normals. Masks are equal."""
    if ours.tobytes() == theirs.tobytes():
        return 0.0
    if ours.dtype == np.bool_ or not (subject.case.real_noise or subject.case.rounds):
        raise Failed(f"{where} the bits differ from the reference backend's")
    bound = 2e-6 if ours.dtype == np.float32 else 1e-12
    return require(relative_error(ours, theirs), bound, f"{where} the values differ from the reference backend's")


def enumeration(subject: Subject) -> float:
    """Mean and variance over all 2^n masks equal the paper's, exactly."""
    case, p = subject.case, 0.3
    assert case.mean is not None
    assert case.variance is not None
    inputs = case.example(2, 4)
    values = list(enumerate_masks(lambda: called(case, *inputs, p, backend=subject.backend)))
    weights, ys = np.array([q for q, _ in values]), np.array([y for _, y in values])  # (2^n,), (2^n, ...)
    mean = np.tensordot(weights, ys, axes=1)
    error = max(
        relative_error(weights.sum(), 1.0),
        relative_error(mean, case.mean(*inputs, p)),
        relative_error(np.tensordot(weights, (ys - mean) ** 2, axes=1), case.variance(*inputs, p)),
    )
    return require(error, 1e-12, "mean or variance over all masks is not the paper's")


def shard(subject: Subject) -> float:
    """A part draws exactly its part of the noise of the whole, and has the values of the formula."""
    case, p = subject.case, 0.4
    inputs = case.example(24, 40, np.float32)
    index = case.index(*inputs) if case.index else None
    whole = drawn_at(subject, inputs, p, index)[1]
    rows = np.array([3, 17, 3, 0])
    parts: list[tuple[Any, ...]] = [(slice(5, 19),), (slice(1, 24, 3),), (rows,)]
    if case.axes > 1:
        parts += [(slice(None), slice(7, 13)), (slice(1, 24, 3), slice(0, 40, 2)), (rows, slice(4, 9))]
    worst = 0.0
    for of in parts:
        cut = case.part(of, *inputs)
        y, noise = drawn_at(subject, cut, p, index and index[of])
        if not np.array_equal(noise, whole[(slice(None),) * case.in_front + of]):
            raise Failed(f"the shard {of} is not the slice of the whole")
        sentence = f"the shard {of} does not have the values of the formula"
        worst = max(worst, require_formula(case, cut, y, noise, p, sentence))
    return worst


def drawn_at(subject: Subject, inputs: Arrays, p: float, index: Index | None) -> tuple[np.ndarray, np.ndarray]:
    """The result and its noise, at the elements that `index` names (None: those that the inputs name)."""
    options: dict[str, Any] = {} if index is None else {"index": index}
    return called(subject.case, *inputs, p, key=Key(9), return_mask=True, backend=subject.backend, **options)


def recomputation(subject: Subject) -> float:
    """Gradients through a checkpoint are those without, bit for bit."""
    inputs = subject.case.example(6, 7)
    x = Tensor(inputs[0], subject.backend, requires_grad=True)

    def f(x: Tensor) -> Tensor:
        return called(subject.case, x * x, *inputs[1:], 0.5, key=Key(2), backend=subject.backend) * 2.0

    [plain], [again] = grad(f(x).sum(), [x]), grad(checkpoint(f, x).sum(), [x])
    if not np.array_equal(on_host(plain), on_host(again)):
        raise Failed("the gradient through a checkpoint differs from the one without")
    return 0.0


def injected_mask(subject: Subject) -> float:
    """Noise that is handed in is what is used, and is what `return_mask` gives."""
    case, inputs, p = subject.case, subject.case.example(9, 11), 0.25
    noise = subject.noise(inputs, p, 12)
    y, used = called(case, *inputs, p, mask=noise, return_mask=True, backend=subject.backend)
    if not np.array_equal(used, noise):
        raise Failed("the mask that came back is not the one that was handed in")
    return require(relative_error(y, case.formula(np, *inputs, noise, p)), 1e-12, "an injected mask is not followed")
