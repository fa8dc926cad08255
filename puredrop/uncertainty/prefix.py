"""The part of a model in front of the first layer that draws: it gives the same for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn.layers import Sequential
from ..nn.module import Module
from ..random.passes import Pass, Window, entered
from ..tensor import Tensor, no_grad, raw


def draws(model: Module) -> bool:
    """Whether anything in the model draws, at rates other than 0."""
    return any(not site.is_idle() for _, site in model.named_sites())


def split(model: Module) -> tuple[tuple[Module, ...], tuple[Module, ...]]:
    """(the layers in front of the first that draws, that one and all behind it).

    Only a Sequential says what its order is, and those that begin a Sequential; anything else is one layer.
    """
    if not isinstance(model, Sequential) or type(model).forward is not Sequential.forward:
        return (), (model,)
    layers = list(model)
    first = next(i for i, layer in enumerate(layers) if draws(layer))
    before, behind = split(layers[first])
    return (*layers[:first], *before), (*behind, *layers[first + 1 :])


def through(layers: Sequence[Module], x: Any, backend: Any, **further: Any) -> Any:
    """What the layers give for an array, in the pass that is under way. The first takes the further inputs."""
    x = placed(x, backend)
    further = {name: placed(a, backend) for name, a in further.items()}
    for layer in layers:
        x, further = layer(x, **further), {}
    return x


def placed(x: Any, backend: Any) -> Any:
    """A floating-point array as a tensor; anything else as it is."""
    is_float_array = not isinstance(x, Tensor) and getattr(getattr(x, "dtype", None), "kind", "") == "f"
    return Tensor(x, backend) if is_float_array else x


def prefixed(layers: Sequence[Module], x: Any, backend: Any, window: Window) -> Any:
    """What layers that draw nothing give for these rows of the batch: an array."""
    if not layers:
        return x
    with no_grad(), entered(Pass(mode="sample", window=window)):
        return raw(through(layers, x, backend))
