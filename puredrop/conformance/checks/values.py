"""Checks of values: the formula, its gradients, and that every backend gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import get
from ...gradcheck import gradcheck, relative_error
from ...random import Index, Key
from ...streams import enumerate_masks
from ...tensor import Tensor, checkpoint, grad
from ..case import Failed, Subject

RATES = (0.0, 0.1, 0.5, 0.9, 1.0)
FORWARD_BOUND = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-12}
FIRST_BOUND, SECOND_BOUND = 1e-6, 1e-5


def example(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    """Normal numbers, none of them zero, so that a dropped element can be told from its value."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x + np.copysign(0.1, x)).astype(dtype)


def require(error: float, bound: float, sentence: str) -> float:
    """The error, unless it is beyond the bound."""
    if not error <= bound:
        raise Failed(f"{sentence} (relative error {error:.1e}, bound {bound:.0e})")
    return error


def formula(subject: Subject) -> float:
    """Kept elements have the values of the formula, dropped ones its fill, in every dtype and at every rate."""
    worst = 0.0
    for dtype in subject.case.dtypes:
        x = example((12, 21), dtype)
        for p in RATES:
            y = subject.apply(x, p, 3)
            keep = subject.mask(x.shape, p, 3)
            if y.dtype != x.dtype:
                raise Failed(f"{x.dtype} in gives {y.dtype} out; the dtype must stay")
            error = relative_error(y, subject.case.formula(x.astype(np.float64), keep, p))
            sentence = f"at p = {p} in {dtype} the kept elements do not have the values of the formula"
            worst = max(worst, require(error, FORWARD_BOUND[dtype], sentence))
    return worst


def gradient(subject: Subject) -> float:
    """The first derivative against finite differences with the key held fixed."""
    return max(_gradient_error(subject, p, second=False) for p in RATES)


def second_gradient(subject: Subject) -> float:
    """The derivative of the gradient against finite differences, of a function that bends."""
    return max(_gradient_error(subject, p, second=True) for p in RATES)


def _gradient_error(subject: Subject, p: float, second: bool) -> float:
    def f(x: Tensor) -> Tensor:
        y = subject.case.call(x * x, p, key=Key(5), backend=subject.backend)
        return y * y

    errors = gradcheck(f, example((3, 5)), second=second, backend=subject.backend)
    if second:
        assert errors.second is not None
        return require(errors.second, SECOND_BOUND, f"the second derivative at p = {p} is wrong")
    return require(errors.first, FIRST_BOUND, f"the gradient at p = {p} is wrong")


def same_bits(subject: Subject) -> float:
    """Masks and values equal the reference backend's, bit for bit."""
    reference = get("numpy")
    for dtype in subject.case.dtypes:
        x = example((37, 53), dtype)
        for p in (1e-12, *RATES, 1 - 1e-12):
            for key in (Key(0), Key((1 << 64) - 1, (1 << 16) - 1, (1 << 32) - 1, (1 << 24) - 1), Key(1).draw(31)):
                ours, theirs = (
                    subject.case.call(x, p, key=key, return_mask=True, backend=b) for b in (subject.backend, reference)
                )
                if ours[1].tobytes() != theirs[1].tobytes() or ours[0].tobytes() != theirs[0].tobytes():
                    raise Failed(f"at p = {p}, {key}, {dtype} the bits differ from the reference backend's")
    return 0.0


def enumeration(subject: Subject) -> float:
    """Mean and variance over all 2^n masks equal the paper's, exactly."""
    x, p = example((8,)), 0.3
    values = list(enumerate_masks(lambda: subject.case.call(x, p, backend=subject.backend)))
    weights, ys = np.array([q for q, _ in values]), np.array([y for _, y in values])  # (2^n,), (2^n, n)
    mean = weights @ ys
    error = max(
        relative_error(weights.sum(), 1.0),
        relative_error(mean, subject.case.mean(x, p)),
        relative_error(weights @ (ys - mean) ** 2, subject.case.variance(x, p)),
    )
    return require(error, 1e-12, "mean or variance over all masks is not the paper's")


def shard(subject: Subject) -> float:
    """A part of the array draws exactly its part of the whole."""
    x = example((24, 40), np.float32)
    whole, index = subject.case.call(x, 0.4, key=Key(9), backend=subject.backend), Index.whole(x.shape)
    rows = np.array([3, 17, 3, 0])
    for part in ((slice(5, 19),), (slice(None), slice(7, 33)), (slice(1, 24, 3), slice(0, 40, 2)), (rows, slice(4, 9))):
        y = subject.case.call(x[part], 0.4, key=Key(9), index=index[part], backend=subject.backend)
        if not np.array_equal(y, whole[part]):
            raise Failed(f"the shard {part} is not the slice of the whole")
    return 0.0


def recomputation(subject: Subject) -> float:
    """Gradients through a checkpoint are those without, bit for bit."""
    x = Tensor(example((6, 7)), subject.backend, requires_grad=True)

    def f(x: Tensor) -> Tensor:
        return subject.case.call(x * x, 0.5, key=Key(2), backend=subject.backend) * x

    [plain], [again] = grad(f(x).sum(), [x]), grad(checkpoint(f, x).sum(), [x])
    if not np.array_equal(plain, again):
        raise Failed("the gradient through a checkpoint differs from the one without")
    return 0.0


def injected_mask(subject: Subject) -> float:
    """A mask that is handed in is the one that is used, and is what `return_mask` gives."""
    x, keep = example((9, 11)), np.arange(99).reshape(9, 11) % 3 > 0
    y, used = subject.case.call(x, 0.25, mask=keep, return_mask=True, backend=subject.backend)
    if not np.array_equal(used, keep):
        raise Failed("the mask that came back is not the one that was handed in")
    return require(relative_error(y, subject.case.formula(x, keep, 0.25)), 1e-12, "an injected mask is not followed")
