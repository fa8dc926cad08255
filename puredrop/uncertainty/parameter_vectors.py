"""The parameters of a model as one vector, what the model says with them, and how likely that makes the data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from .. import ops
from ..nn.module import Module, Parameter
from ..random.passes import Pass, entered
from ..tensor import Tensor, no_grad, raw
from ..variants.door import real_number
from .door import checked_labels
from .likelihood import Likelihood, checked_likelihood, results_wanted
from .prefix import placed
from .progress import Progress, told, void

Fixed = Literal["categorical", "gaussian"]  # the likelihoods without a noise that the model gives


def parameter_vector(parameters: Iterable[Parameter]) -> np.ndarray:
    """All numbers of the parameters, one after the other. float64, (P,)."""
    return np.concatenate([parameter.numpy().ravel().astype(np.float64) for parameter in parameters])


def fill_parameters(parameters: Iterable[Parameter], vector: np.ndarray) -> None:
    """The way back: each parameter takes its share of the vector, in its own dtype."""
    start = 0
    for parameter in parameters:
        parameter.fill(vector[start : start + parameter.size].reshape(parameter.shape))
        start += parameter.size


def own_copy(model: Module) -> Module:
    """A copy that later training of the model does not change. Raises RuntimeError for an unseeded model."""
    model.require_parameters()
    return copy.deepcopy(model)


def evaluated(model: Module, x: Any) -> Any:
    """What the model gives in evaluation, whatever its mode is: a tensor, or several. Nothing is advanced."""
    with entered(Pass(mode="eval")):
        return model(placed(x, model.backend))


def one_output(operation: str, model: Module, x: Any) -> Tensor:
    """The same of a model with one result. Raises TypeError for several, ValueError for a batch off axis 0."""
    y = evaluated(model, x)
    if not isinstance(y, Tensor):
        raise TypeError(f"{operation}: expected one result from the model, got {type(y).__name__}")
    if not y.ndim or len(y) != len(x):
        raise ValueError(f"{operation}: the model gives shape {y.shape} for {len(x)} rows; the batch must be on axis 0")
    return y


def checked_rows(operation: str, x: Any) -> np.ndarray:
    """x (N, ...) with at least one row, as an array. Raises ValueError."""
    x = np.asarray(raw(x))
    if not x.ndim or not len(x):
        raise ValueError(f"{operation}: x must be (N, ...) with at least one row, got shape {x.shape}")
    return x


def checked_noise(operation: str, likelihood: str, noise_variance: Any) -> float | None:
    """The variance of the noise, one number; None for classes.

    Raises: ValueError as `checked_likelihood`, and for "heteroscedastic"; TypeError for several numbers.
    """
    if likelihood == "heteroscedastic":
        raise ValueError(f"{operation}: likelihood must be 'categorical' or 'gaussian', got {likelihood!r}")
    noise = checked_likelihood(operation, likelihood, noise_variance, None)
    return None if noise is None else real_number(operation, "noise_variance", noise_variance, "one number")


def positive_number(operation: str, name: str, value: Any) -> float:
    """A finite number above 0. Raises TypeError, ValueError."""
    number = real_number(operation, name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{operation}: {name} must be positive and finite, got {value}")
    return number


def checked_targets(operation: str, likelihood: Fixed, y: Any, shape: Sequence[int]) -> np.ndarray:
    """What was observed, for outputs of this shape: classes (N,) for logits (N, C), or numbers of the same shape.

    Numbers (N,) do for outputs (N, 1). Raises: TypeError, ValueError for targets that do not fit, or are not finite.
    """
    y = np.asarray(raw(y))
    if likelihood == "categorical":
        return _checked_classes(operation, y, tuple(shape))
    if y.dtype.kind not in "fiu":
        raise TypeError(f"{operation}: y must be numbers, got dtype {y.dtype}")
    y = y.astype(np.float64)
    if (*y.shape, 1) == tuple(shape):
        y = y[..., None]
    if y.shape != tuple(shape):
        raise ValueError(f"{operation}: y must have the shape of the outputs, {tuple(shape)}, got {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"{operation}: {int((~np.isfinite(y)).sum())} of {y.size} numbers of y are not finite")
    return y


def _checked_classes(operation: str, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(f"{operation}: expected logits (N, C) with C at least 2 from the model, got {shape}")
    return checked_labels(operation, y, *shape)


def log_likelihood(
    likelihood: Fixed, outputs: np.ndarray, y: np.ndarray, noise: float | None
) -> tuple[float, np.ndarray]:
    """log p(y | outputs), summed over the data, and its gradient by the outputs. float64."""
    outputs = outputs.astype(np.float64)
    if likelihood == "categorical":
        logs, rows = ops.log_softmax(outputs, backend="numpy"), np.arange(len(y))
        gradient = -np.exp(logs)
        gradient[rows, y] += 1
        return float(logs[rows, y].sum()), gradient
    assert noise is not None
    d = y - outputs
    return -0.5 * (float((d * d).sum()) / noise + y.size * math.log(2 * math.pi * noise)), d / noise


def outputs_with(
    operation: str,
    model: Module,
    vectors: np.ndarray,
    x: Any,
    likelihood: Likelihood,
    progress: Progress,
    prepare: Callable[[Module], object] = void,
) -> tuple[np.ndarray, ...]:
    """The results of the model with each of the vectors (T, P): (T, N, ...) of each. The model keeps the last one.

    prepare: what is done with the model after it took a vector.
    """
    x, parameters = checked_rows(operation, x), model.parameters()
    found: list[tuple[np.ndarray, ...]] = []
    with no_grad(), told(progress, operation, len(vectors)) as tell:
        for vector in vectors:
            fill_parameters(parameters, vector)
            prepare(model)
            found.append(_results(operation, evaluated(model, x), results_wanted(likelihood)))
            tell(len(found))
    return tuple(np.stack(one) for one in zip(*found, strict=True))


def _results(operation: str, y: Any, most: int) -> tuple[np.ndarray, ...]:
    results = y if isinstance(y, (tuple, list)) else (y,)
    if len(results) > most:
        raise TypeError(f"{operation}: expected at most {most} result(s) from the model, got {len(results)}")
    return tuple(np.asarray(raw(one)) for one in results)
