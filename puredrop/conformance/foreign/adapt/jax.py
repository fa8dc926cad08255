"""JAX: functions of arrays and a key; Flax, Equinox and Haiku come as such functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...case import Case
from ..target import Call, Target
from .functions import caller, name_of, seed_the_world


def function(target: Callable[..., Any], case: Case) -> Target:
    """A function of JAX arrays, a rate and a key."""
    style, run_with = caller(target, case)
    return built(
        name_of(target),
        lambda call, arrays, key: run_with(call, arrays, lambda seed: key),
        has_seed=bool(style.seed or style.key),
        evaluates=bool(style.training or style.not_training),
        takes_mask=style.mask is not None,
    )


def built(name: str, apply: Callable[[Call, list[Any], Any], Any], **more: Any) -> Target:
    """A target of `apply(call, arrays, key)`. The rate may be traced, in asking for its gradient."""
    import jax
    import jax.numpy as jnp

    wide = bool(jax.config.read("jax_enable_x64"))

    def run(call: Call) -> Any:
        seed_the_world(call.seed)
        return apply(call, [jnp.asarray(a) for a in call.inputs], jax.random.PRNGKey(call.seed))

    def gradient(call: Call, g: np.ndarray) -> Any:
        seed_the_world(call.seed)
        key, floats = jax.random.PRNGKey(call.seed), [a.dtype.kind == "f" for a in call.inputs]

        def of_floats(*some: Any) -> Any:
            rest = iter(some)
            mixed = [next(rest) if real else jnp.asarray(a) for a, real in zip(call.inputs, floats, strict=True)]
            y = apply(call, mixed, key)
            return (y[0], y[1]) if isinstance(y, tuple) else (y, None)

        leaves = [jnp.asarray(a) for a, real in zip(call.inputs, floats, strict=True) if real]
        y, pull, mask = jax.vjp(of_floats, *leaves, has_aux=True)
        found = iter(pull(jnp.asarray(g, y.dtype)))
        return (y if mask is None else (y, mask)), [np.asarray(next(found)) if real else None for real in floats]

    def rate_gradient(call: Call) -> float:
        arrays = [jnp.asarray(a) for a in call.inputs]

        def total(p: Any) -> Any:
            y = apply(call._replace(p=p), arrays, jax.random.PRNGKey(call.seed))
            return (y[0] if isinstance(y, tuple) else y).sum()

        return float(jax.grad(total)(call.p))

    dtypes = ("float32", "float64") if wide else ("float32",)
    return Target(name, run, gradient, rate_gradient, dtypes=dtypes, in_place=False, compiles=True, **more)
