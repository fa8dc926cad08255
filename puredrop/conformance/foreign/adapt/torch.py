"""PyTorch: modules, and functions of tensors."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ...case import Case
from ..target import Call, Target
from .functions import caller, name_of, seed_the_world, with_rate

DTYPES = ("float32", "float64")


def is_module(target: Any) -> bool:
    """A torch.nn.Module or a class of them, without importing PyTorch."""
    kind = target if inspect.isclass(target) else type(target)
    return any(f"{one.__module__}.{one.__qualname__}" == "torch.nn.modules.module.Module" for one in kind.__mro__)


def module(target: Any, device: str | None = None) -> Target:
    """A module, whose rate is set under the name that it has there, or a class that is called with the rate."""
    rates = None
    if inspect.isclass(target):
        make: Callable[[float], Any] = target
    else:
        make = _with_rate(target)
        if not with_rate(copy.copy(target), 0.5, vars(target)):
            raise TypeError(
                f"check: {type(target).__name__} has no rate under a known name (p, rate, drop_prob, ...); give a "
                f"class, or wrap it: def f(x, p, training): ..."
            )

    def apply(call: Call, tensors: list[Any]) -> Any:
        return make(call.p).to(device or "cpu").train(call.training)(*tensors)

    return built(name_of(target), apply, device, has_seed=True, evaluates=True, rates=rates)


def _with_rate(instance: Any) -> Callable[[float], Any]:
    def make(p: float) -> Any:
        if not 0 <= p <= 1:  # where a constructor checks it, setting it would not
            type(instance)(p)
        changed = copy.deepcopy(instance)
        with_rate(changed, p, vars(instance))
        return changed

    return make


def function(target: Callable[..., Any], case: Case, device: str | None = None) -> Target:
    """A function of tensors; it draws from PyTorch's generator unless it takes a seed or a generator."""
    import torch

    style, run_with = caller(target, case)

    def key(seed: int) -> Any:
        return torch.Generator(device or "cpu").manual_seed(seed)

    def apply(call: Call, tensors: list[Any]) -> Any:
        mask = None if call.mask is None else torch.tensor(call.mask, device=device)
        return run_with(call._replace(mask=mask), tensors, key)

    evaluates = bool(style.training or style.not_training)
    return built(name_of(target), apply, device, has_seed=True, evaluates=evaluates, takes_mask=style.mask is not None)


def built(name: str, apply: Callable[[Call, list[Any]], Any], device: str | None = None, **more: Any) -> Target:
    """A target of `apply(call, tensors)`. The rate may be a tensor, in asking for its gradient."""
    import torch

    _require_device(device)

    def run(call: Call) -> Any:
        _seed(call.seed)
        with torch.no_grad():
            return apply(call, [_tensor(a, device) for a in call.inputs])

    def gradient(call: Call, g: np.ndarray) -> Any:
        _seed(call.seed)
        leaves = [_tensor(a.copy(), device).requires_grad_(a.dtype.kind == "f") for a in call.inputs]
        raw = apply(call, leaves)
        y = raw[0] if isinstance(raw, (tuple, list)) else raw
        if y.requires_grad:
            y.backward(_tensor(g, device))
        return raw, [_gradient(leaf) for leaf in leaves]

    return Target(name, run, gradient, **more)


def _gradient(leaf: Any) -> Any:
    if not leaf.requires_grad:
        return None
    return np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.cpu().numpy()


def _tensor(a: np.ndarray, device: str | None) -> Any:
    """The same memory, where there is one and it may be written."""
    import torch

    if any(step < 0 for step in a.strides) or not a.flags.writeable:
        a = a.copy()
    tensor = torch.from_numpy(a) if a.ndim else torch.tensor(a[()])
    return tensor.to(device) if device else tensor


def _seed(seed: int) -> None:
    import torch

    seed_the_world(seed)
    torch.manual_seed(seed)


def _require_device(device: str | None) -> None:
    import torch

    if device is not None:
        try:
            torch.empty(0, device=device)
        except Exception as error:
            raise ValueError(f"check: there is no device {device!r} here: {str(error).splitlines()[0]}") from None
