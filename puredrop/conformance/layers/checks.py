"""What is compared of a layer and its reference: values, gradients, and the weights after many steps."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from ... import backends
from ...gradcheck import relative_error
from ...nn.module import Module
from ...tensor import Tensor
from ..case import Failed
from .case import LayerCase, normal
from .noise import Noise, Recorder

BOUND = {"float64": 1e-12, "float32": 1e-5}
STEPS, STEPS_BOUND = 200, 1e-9

Arrays = dict[str, np.ndarray]


def both(case: LayerCase, backend: Any, dtype: str = "float64") -> tuple[dict[str, Arrays], dict[str, Arrays]]:
    """(ours, PyTorch's), each {"forward": ..., "input gradient": ..., "parameter gradient": ...} of named arrays."""
    import torch

    recorder = Recorder(backends.get(backend))
    model = case.built(recorder.backend, dtype)
    arrays = case.example(dtype)
    weights = torch_weights(torch, model)
    xs = [Tensor(a, recorder.backend, requires_grad=True) if a.dtype.kind == "f" else a for a in arrays]
    y = model(*xs)
    g = normal(*y.shape, seed=1).astype(dtype)
    with recorder.paused():
        y.backward(g)
    inputs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    z = referred(torch, case, weights, recorder.drawn, inputs)
    z.backward(torch.tensor(g))
    ours = {
        "forward": {"output": y.numpy()},
        "input gradient": {str(i): _filled(x.grad, x) for i, x in enumerate(xs) if isinstance(x, Tensor)},
        "parameter gradient": {name: _filled(p.grad, p) for name, p in model.named_parameters()},
    }
    theirs = {
        "forward": {"output": z.detach().numpy()},
        "input gradient": {str(i): _theirs(x) for i, x in enumerate(inputs) if x.requires_grad},
        "parameter gradient": {name: _theirs(weights[name]) for name, _ in model.named_parameters()},
    }
    return ours, theirs


def torch_weights(torch: Any, model: Module) -> dict[str, Any]:
    """The state of a model as tensors of PyTorch; those that are learned ask for gradients."""
    learned = {name for name, _ in model.named_parameters()}
    return {name: torch.tensor(value, requires_grad=name in learned) for name, value in model.state_dict().items()}


def referred(torch: Any, case: LayerCase, weights: dict[str, Any], drawn: list[np.ndarray], inputs: Any) -> Any:
    """What the reference gives with these draws; every one of them must be used."""
    noise = Noise(torch, drawn)
    z = case.reference(torch, weights, noise, *inputs)
    noise.require_all_taken()
    return z


def _filled(gradient: Any, like: Any) -> np.ndarray:
    return np.zeros(like.shape, like.dtype) if gradient is None else backends.on_host(gradient)


def _theirs(x: Any) -> np.ndarray:
    return (x * 0 if x.grad is None else x.grad).detach().numpy()


def worst(ours: Arrays, theirs: Arrays) -> float:
    """The largest relative error over the named arrays.

    What vanishes but for rounding (a bias in front of batch norm) is held against the largest of all.
    """
    largest = max((np.abs(b).max(initial=0.0) for b in theirs.values()), default=0.0)

    def error(a: np.ndarray, b: np.ndarray) -> float:
        if np.abs(b).max(initial=0.0) <= 1e-9 * largest:
            return float(np.abs(a - b).max(initial=0.0) / (largest or 1.0))
        return relative_error(a, b)

    return max((error(ours[name], b) for name, b in theirs.items()), default=0.0)


def compared(case: LayerCase, backend: Any, dtype: str = "float64") -> dict[str, float]:
    """The largest relative error of output, input gradients and parameter gradients."""
    ours, theirs = both(case, backend, dtype)
    return {what: worst(ours[what], theirs[what]) for what in ours}


def after_steps(case: LayerCase, backend: Any, steps: int = STEPS) -> float:
    """The largest relative error of any weight or running statistic after steps of gradient descent with fresh draws.

    Both minimise the mean square of the output's distance to the same random target.
    """
    import torch

    recorder = Recorder(backends.get(backend))
    model = case.built(recorder.backend)
    arrays = case.example()
    weights = torch_weights(torch, model)
    inputs = [torch.tensor(a) for a in arrays]
    target: Any = None
    for _ in range(steps):
        recorder.drawn.clear()
        y = model(*arrays)
        target = normal(*y.shape, seed=2) if target is None else target
        model.zero_grad()
        with recorder.paused():
            ((y - target) ** 2).mean().backward()
        for p in model.parameters():
            if p.grad is not None:
                p.data -= case.learning_rate * p.grad
        _step(torch, case, weights, recorder.drawn, inputs, torch.tensor(target))
    ours = {name: array.numpy() for name, array in model.named_state() if array.dtype.kind == "f"}
    return worst(ours, {name: weights[name].detach().numpy() for name in ours})


def _step(torch: Any, case: LayerCase, weights: dict[str, Any], drawn: Any, inputs: Any, target: Any) -> None:
    learned = [w for w in weights.values() if w.requires_grad]
    for w in learned:
        w.grad = None
    ((referred(torch, case, weights, drawn, inputs) - target) ** 2).mean().backward()
    with torch.no_grad():
        for w in learned:
            if w.grad is not None:
                w -= case.learning_rate * w.grad


def _one(what: str) -> Callable[[LayerCase, Any], float]:
    return lambda case, backend: required(compared(case, backend)[what], BOUND["float64"], what)


def required(error: float, bound: float, what: str) -> float:
    if not error < bound:
        raise Failed(f"{what} differs from PyTorch by {error:.1e}, bound {bound:.0e}")
    return error


CHECKS = MappingProxyType(
    {
        "forward": _one("forward"),
        "input gradient": _one("input gradient"),
        "parameter gradient": _one("parameter gradient"),
        f"{STEPS} steps": lambda case, backend: required(after_steps(case, backend), STEPS_BOUND, "a weight"),
        "float32": lambda case, backend: required(
            max(compared(case, backend, "float32").values()), BOUND["float32"], "in float32 a value or gradient"
        ),
    }
)
