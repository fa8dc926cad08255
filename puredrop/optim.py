"""Optimisers, gradient clipping and learning-rate schedules.

A learning rate is a number, or a function of the number of steps taken: a schedule has no state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .backends import on_host
from .nn.module import Parameter
from .tensor import Tensor
from .variants.door import broadcasts

Rate: TypeAlias = float | Callable[[int], float]
Decay: TypeAlias = float | list[Any]


class Optimizer:
    """Base: parameters, a rate, and what is remembered for each parameter between steps. Updates are in place.

    weight_decay: a number, or a list with a number or an array for each parameter; an array broadcasts to it, so that
    the members of a stack may have a decay each.
    """

    memory: tuple[str, ...] = ()  # the arrays kept for each parameter
    decoupled = False  # whether the decay acts on the parameter before the step, and not by way of the gradient

    def __init__(self, params: Iterable[Parameter], lr: Rate, weight_decay: Decay = 0.0) -> None:
        self.params = list(params) if isinstance(params, Iterable) else [params]
        if not self.params:
            raise ValueError(f"{type(self).__name__}: no parameters to optimise")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{type(self).__name__}: a parameter is listed twice")
        if not all(isinstance(p, Tensor) for p in self.params):
            raise TypeError(f"{type(self).__name__}: params must be tensors; write model.parameters()")
        if not callable(lr) and not lr >= 0:
            raise ValueError(f"{type(self).__name__}: lr must be at least 0, got {lr}")
        self.lr = lr
        self.weight_decay = weight_decay
        self._decays = [self._decay_of(i, p) for i, p in enumerate(self.params)]
        self.steps = 0
        # zeros_like, and not p.data * 0: that would be no array for a parameter without axes, and nothing would be kept
        self.kept: dict[str, list[Any]] = {
            name: [p.backend.xp.zeros_like(p.data) for p in self.params] for name in self.memory
        }

    def _decay_of(self, i: int, p: Parameter) -> Any:
        """What parameter i decays by: a number, or an array of the parameter's dtype."""
        given = self.weight_decay if isinstance(self.weight_decay, (list, tuple)) else [self.weight_decay] * (i + 1)
        count, name = len(self.params), type(self).__name__
        if isinstance(self.weight_decay, (list, tuple)) and len(given) != count:
            raise ValueError(f"{name}: weight_decay must list one for each of {count} parameters, got {len(given)}")
        decay = np.asarray(given[i], p.dtype) if np.ndim(given[i]) else float(given[i])
        if not np.all(decay >= 0):
            raise ValueError(f"{name}: weight_decay must be at least 0, got {given[i]}")
        if not broadcasts(np.shape(decay), p.shape):
            raise ValueError(f"{name}: weight_decay of shape {np.shape(decay)} does not broadcast to {p.shape}")
        return p.backend.xp.asarray(decay) if np.ndim(decay) else decay

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.lr(self.steps) if callable(self.lr) else self.lr)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        lr = self.rate
        self.steps += 1
        for i, p in enumerate(self.params):
            if p.grad is not None:
                g = self._decayed(p.data, p.grad, lr, self._decays[i])
                self.update(p.data, g, lr, {name: arrays[i] for name, arrays in self.kept.items()})

    def _decayed(self, x: Any, g: Any, lr: float, decay: Any) -> Any:
        """The gradient of the decayed loss; where decay is decoupled g, with x made smaller in place."""
        if isinstance(decay, float) and decay == 0.0:
            return g
        if not self.decoupled:
            return g + decay * x
        x *= 1 - lr * decay
        return g

    def update(self, x: Any, g: Any, lr: float, kept: dict[str, Any]) -> None:
        """Change x, and what is kept for it, in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """`steps`, and a copy of the array for each parameter and kind of memory."""
        arrays = {f"{name}.{i}": np.array(on_host(a)) for name, kept in self.kept.items() for i, a in enumerate(kept)}
        return {"steps": np.asarray(self.steps), **arrays}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError, naming what differs, unless this state fits."""
        own = self.state_dict()
        wrong = sorted(set(own) ^ set(state)) or [n for n in own if np.shape(own[n]) != np.shape(state[n])]
        if wrong:
            raise ValueError(f"{type(self).__name__}: this state does not fit, nothing was loaded: {', '.join(wrong)}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where that state stood. Raises as `check_state`, and changes nothing then."""
        self.check_state(state)
        self.steps = int(state["steps"])
        for name, kept in self.kept.items():
            for i, a in enumerate(kept):
                a[...] = self.params[i].backend.xp.asarray(state[f"{name}.{i}"])


class SGD(Optimizer):
    """Stochastic gradient descent.

    Math: g += weight_decay x; v = momentum v + g (v = g at first); x -= lr v, nesterov: x -= lr (g + momentum v).
    `max_norm` then limits the norm of each unit's incoming weights (rows of arrays of two axes or more), as Srivastava
    et al. (2014) advise beside dropout.
    """

    memory = ("velocity",)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: Decay = 0.0,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum, self.nesterov, self.max_norm = momentum, nesterov, max_norm

    def update(self, x: Any, g: Any, lr: float, kept: dict[str, Any]) -> None:
        in_one_pass = self.params[0].backend.fused.get("sgd")
        if not (in_one_pass and in_one_pass(x, g, kept["velocity"], lr, self.momentum, self.nesterov)):
            self._composed(x, g, lr, kept)

    def _composed(self, x: Any, g: Any, lr: float, kept: dict[str, Any]) -> None:
        if self.momentum:
            v = kept["velocity"]  # zero before the first step, so that step gives v = g
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        x -= lr * g

    def step(self) -> None:
        super().step()
        for p in self.params:
            lead = 2 if getattr(p, "stacked", False) else 1  # the axes that number units
            if self.max_norm is not None and p.grad is not None and p.ndim > lead:
                limit_norm(p.data, self.max_norm, lead)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), with weight decay added to the gradient.

    Math: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; x -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
    """

    memory = ("m", "v")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Decay = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{type(self).__name__}: betas must lie in [0, 1), got {betas}")
        self.betas, self.eps = betas, eps

    def update(self, x: Any, g: Any, lr: float, kept: dict[str, Any]) -> None:
        (b1, b2), m, v = self.betas, kept["m"], kept["v"]
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * (g * g)
        denominator = v**0.5
        denominator /= math.sqrt(1 - b2**self.steps)
        denominator += self.eps
        x -= (lr / (1 - b1**self.steps)) * m / denominator


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): x *= 1 - lr weight_decay before Adam's step."""

    decoupled = True

    def __init__(
        self, params: Iterable[Parameter], lr: Rate = 1e-3, weight_decay: Decay = 1e-2, **options: Any
    ) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, **options)


def limit_norm(x: Any, max_norm: float, lead: int = 1) -> None:
    """Scale each row of x (all axes but the first `lead` together) down to the norm, in place."""
    norms = (x * x).sum(axis=tuple(range(lead, x.ndim)), keepdims=True) ** 0.5  # (rows, 1, ...)
    x *= (max_norm / norms.clip(max_norm)).astype(x.dtype)


def clip_grad_norm(params: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients so that their joint norm is at most `max_norm`; returns the norm before.

    Raises: ValueError where the norm is not finite (nothing is changed), or for a stack, whose members it would join.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, got {max_norm}")
    reached = [p for p in params if p.grad is not None]
    if any(getattr(p, "stacked", False) for p in reached):
        raise ValueError("clip_grad_norm: one norm would join the members of a stack; use clip_grad_value")
    norm = math.sqrt(sum(float((p.grad.astype(np.float64) ** 2).sum()) for p in reached))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the gradients' norm is {norm}; the loss or a step before it has overflowed")
    if norm > max_norm:
        for p in reached:
            p.grad *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[Parameter], limit: float) -> None:
    """Limit every gradient element to [-limit, limit]."""
    for p in params:
        if p.grad is not None:
            p.grad = p.grad.clip(-limit, limit)


def step_decay(lr: float, every: int, factor: float = 0.1) -> Callable[[int], float]:
    """lr times `factor` after each `every` steps.

    >>> [step_decay(1.0, every=2, factor=0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """A linear rise over `warmup` steps, then half a cosine down to `final` at step `steps` (Loshchilov & Hutter 2017).

    >>> [round(cosine(1.0, steps=4)(step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def rate(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (lr - final) * (1 + math.cos(math.pi * progress)) / 2

    return rate


def linear(lr: float, steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """A linear rise over `warmup` steps, then a straight line down to `final` at step `steps`.

    >>> [linear(1.0, steps=4)(step) for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def rate(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        return lr + (final - lr) * min(1.0, (step - warmup) / max(1, steps - warmup))

    return rate
