"""Keras: layers, on whichever backend Keras runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..target import Call, Target
from .functions import RATES, name_of, seed_the_world


def is_layer(target: Any) -> bool:
    """A Keras layer or a class of them, without importing Keras."""
    kind = target if inspect.isclass(target) else type(target)
    return any(one.__module__.startswith("keras") and one.__name__ == "Layer" for one in kind.__mro__)


def layer(target: Any) -> Target:
    """A layer, remade from its configuration with another rate and seed, or a class, which is called with them."""
    if inspect.isclass(target):
        make: Any = target
        return built(name_of(target), lambda p, seed: make(p, seed=seed))
    config, kind = target.get_config(), type(target)
    rate = next((name for name in (*RATES, "stddev") if name in config), None)
    if rate is None or "seed" not in config:
        raise TypeError(
            f"check: the configuration of {kind.__name__} has no rate or no seed; give a function: "
            f"conformance.foreign.adapt.keras.built(name, lambda p, seed: layer)"
        )
    return built(name_of(kind), lambda p, seed: kind.from_config({**config, rate: p, "seed": seed}))


def built(name: str, make: Callable[[float, int], Any], **more: Any) -> Target:
    """A target of the layers that `make(p, seed)` gives; one is made for every call, as its generator moves on."""
    import keras

    backend = keras.backend.backend()

    def apply(call: Call, x: Any) -> Any:
        return make(call.p, call.seed)(x, training=call.training)

    def run(call: Call) -> Any:
        seed_the_world(call.seed)
        [x] = call.inputs
        return np.asarray(keras.ops.convert_to_numpy(apply(call, keras.ops.convert_to_tensor(x, x.dtype.name))))

    gradients = {"jax": _by_jax, "torch": _by_torch}
    gradient = gradients[backend](make) if backend in gradients else None
    fixed: dict[str, Any] = {
        "evaluates": True,
        "in_place": False,
        "dtypes": ("float32",),
    }  # what a layer computes in by default
    return Target(f"{name} on {backend}", run, gradient, **fixed, **more)


def _by_jax(make: Callable[[float, int], Any]) -> Callable[[Call, np.ndarray], Any]:
    import jax
    import jax.numpy as jnp

    def gradient(call: Call, g: np.ndarray) -> Any:
        one = make(call.p, call.seed)
        one(jnp.asarray(call.inputs[0]), training=False)  # builds it
        state = [variable.value for variable in one.trainable_variables]
        rest = [variable.value for variable in one.non_trainable_variables]

        def of_x(x: Any) -> Any:
            return one.stateless_call(state, rest, x, training=call.training)[0]

        y, pull = jax.vjp(of_x, jnp.asarray(call.inputs[0]))
        return np.asarray(y), [np.asarray(pull(jnp.asarray(g, y.dtype))[0])]

    return gradient


def _by_torch(make: Callable[[float, int], Any]) -> Callable[[Call, np.ndarray], Any]:
    import torch

    def gradient(call: Call, g: np.ndarray) -> Any:
        leaf = torch.tensor(call.inputs[0], requires_grad=True)
        y = make(call.p, call.seed)(leaf, training=call.training)
        y.backward(torch.tensor(g))
        return y, [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()]

    return gradient
