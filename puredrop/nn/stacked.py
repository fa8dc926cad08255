"""Many small models trained as one: a leading axis of every array numbers them.

Small models cost mostly what surrounds the arithmetic, and a stack pays that once. Each member draws with its own seed
and at its own rate, so it stays the model that it is alone: the same masks, and weights equal to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..random import Key, Rng, passes
from .dropout import Dropout
from .init import zeros
from .layers import ELU, GELU, SELU, Identity, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, SiLU, Softmax, Tanh
from .module import Module, Parameter, Site
from .shell import Rated
from .structured import LockedDropout

__all__ = ["Stacked"]

_ELEMENTWISE = (Identity, ReLU, LeakyReLU, ELU, SELU, SiLU, GELU, Tanh, Sigmoid, Softmax)  # a leading axis is no matter


class Stacked(Module):
    """M models of one make as one, which maps x (M, N, ...) to y (M, N, ...): x[m] by model m to y[m].

    The models are those given, in their order: built alike, seeded, at the same step of training, perhaps with other
    rates. They are copied; `member(m)` gives one back as it is now. A load sets weights and steps and keeps the seeds.
    To give all members the same x, stretch it: `np.broadcast_to(x, (M, *x.shape))`. `StackedBatches` gives batches of
    data of their own, and losses take its weights; an optimiser may have a weight decay for each.

    Math: each member is what it is alone, in masks bit for bit, in values to rounding. What adds up over a member's
        examples, as gradients do, needs the sum over members of their losses, and that is what weighted losses give.
    Draws: member m as that model: Key(its seed, site, step), its elements numbered without the leading axis, so that
        examples added at the end of a member's batch change nothing.
    Raises: TypeError for a layer that cannot be stacked, by name; ValueError for models that differ in more than
        weights, seeds and rates, or whose training stands at different steps; RuntimeError for models without a seed.

    >>> from puredrop import nn
    >>> nets = [Sequential(Dropout(p), Linear(3, 2)).seed(s) for s, p in enumerate([0.1, 0.5])]
    >>> stack = Stacked(nets)
    >>> x = np.ones((4, 3), np.float32)
    >>> y = stack(np.broadcast_to(x, (2, 4, 3)))
    >>> y.shape, bool(np.allclose(y.numpy()[1], nets[1](x).numpy()))
    ((2, 4, 2), True)
    """

    def __init__(self, models: Sequence[Module]) -> None:
        models = list(models)
        if not models or not all(isinstance(model, Module) for model in models):
            raise TypeError(f"Stacked: expected a list of models, got {models!r}")
        for model in models:
            model.require_parameters()
        self.layers = _together(models, "the model")
        for what in ("named_state", "named_sites"):
            if len(list(getattr(self.layers, what)())) != len(list(getattr(models[0], what)())):
                raise ValueError("Stacked: a layer stands in the model twice; give each place a layer of its own")
        self._originals = _Kept(models)
        self.backend = models[0].backend
        self._set_mode(models[0].mode)

    def forward(self, x: Any) -> Any:
        run = passes.current()
        if run is not None and len(run.samples) > 1:
            raise ValueError("Stacked: several samples at once; for those use predict_samples(stack.member(m), x)")
        if not x.shape or x.shape[0] != len(self):
            raise ValueError(
                f"Stacked: x needs a leading axis of {len(self)} members, got shape {x.shape}; "
                f"for the same x for all write np.broadcast_to(x, ({len(self)}, *x.shape))"
            )
        return self.layers(x)

    def require_parameters(self) -> None:
        """Nothing to look for, at every step: the members had their numbers, or there would be no stack."""

    def __len__(self) -> int:
        return len(self._originals.models)

    def member(self, m: int) -> Module:
        """Model m as it is now: an ordinary model, a copy."""
        model = copy.deepcopy(self._originals.models[m])
        for module in model.modules():
            module.backend = self.backend
        for (_, own), (_, all_of_them) in zip(model.named_state(), self.layers.named_state(), strict=True):
            wanted, own.requires_grad = own.requires_grad, False
            own.backend = all_of_them.backend
            own.data = own.backend.xp.array(all_of_them.data[m])
            own.requires_grad = wanted
        for (_, site), (_, stacked) in zip(model.named_sites(), self.layers.named_sites(), strict=True):
            own_stream: Any = site.rng
            site.rng = Rng(own_stream.seed, own_stream.site, stacked.rng.step)  # type: ignore[union-attr]
        return model._set_mode(self.mode)

    def members(self) -> list[Module]:
        """All models as they are now."""
        return [self.member(m) for m in range(len(self))]

    def seed(self, seed: int) -> Any:
        raise TypeError("Stacked: each member has a seed of its own; seed the models, then stack them")

    def reset_parameters(self, seed: int) -> Any:
        raise TypeError("Stacked: each member has a seed of its own; reset the models, then stack them")


class _Kept:
    """The models as they came, where the walk over parameters does not see them."""

    def __init__(self, models: list[Module]) -> None:
        self.models = copy.deepcopy(models)


class StackedLinear(Module):
    """`Linear` for each member. Shapes: x (M, ..., inputs) -> (M, ..., outputs); weight (M, outputs, inputs)."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.inputs, self.outputs = layers[0].inputs, layers[0].outputs
        self.weight = _stacked_parameter([layer.weight for layer in layers])
        biases = [layer.bias for layer in layers if layer.bias is not None]
        if biases and len(biases) < len(layers):
            raise ValueError("Stacked: some of the models have a bias where others have none")
        self.bias = _stacked_parameter(biases) if biases else None

    def forward(self, x: Any) -> Any:
        if len(x.shape) < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"StackedLinear: the last axis of x must be {self.inputs}, got shape {x.shape}")
        if self.bias is None:
            return ops.stacked_linear(x, self.weight, np.zeros((len(self.weight), self.outputs), self.weight.dtype))
        return ops.stacked_linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{len(self.weight)} x ({self.inputs} -> {self.outputs})" + (", no bias" if self.bias is None else "")


class StackedNoise(Site):
    """A layer that drops, for each member with its seed and rate. x (M, N, ...); the masks are those of the members."""

    def __init__(self, layers: Sequence[Rated]) -> None:
        self._first = _Kept([layers[0]])
        self.rates = tuple(layer.p for layer in layers)
        streams = [layer.rng for layer in layers if layer.rng is not None]
        if len(streams) < len(layers):
            raise RuntimeError("Stacked: the models have nothing to draw with; call .seed(s) on each")
        first = streams[0]
        if any((one.site, one.step) != (first.site, first.step) for one in streams):
            raise ValueError("Stacked: the models stand at different steps of their training; stack those that agree")
        self.rng = Rng(first.seed, first.site, first.step)
        self.seeds = tuple(one.seed for one in streams)

    def forward(self, x: Any) -> Any:
        layer: Any = self._first.models[0]
        shape = tuple(x.shape[1:])  # (N, ...)
        where = self.address(*layer.noise(shape))
        if where is None:
            return layer.applied(None, x)
        key, index = where
        assert isinstance(key, Key)
        keys = tuple(Key(seed, key.site, key.step, key.sample) for seed in self.seeds)
        return layer.function(x, self._rates(key, len(shape)), key=keys, index=index, **layer.options)

    def is_idle(self) -> bool:
        return all(self.has_no_rate(p) for p in self.rates)

    def _rates(self, key: Key, rank: int) -> Any:
        """One rate, or (M, 1, ..., 1) where they differ."""
        rates = [self.rate(p, key) for p in self.rates]
        return rates[0] if len(set(rates)) == 1 else np.array(rates).reshape(-1, *[1] * rank)

    def extra_repr(self) -> str:
        p = self.rates[0] if len(set(self.rates)) == 1 else list(self.rates)
        return f"{type(self._first.models[0]).__name__}, {len(self.rates)} members, p={p}"


class StackedParameter(Parameter):
    """A parameter of all members: its first axis numbers them."""

    __slots__ = ()
    stacked = True


def _stacked_parameter(parameters: Sequence[Parameter]) -> Parameter:
    """(M, ...) of M parameters alike."""
    first = parameters[0]
    alike = {(p.shape, p.dtype, p.backend.name, p.requires_grad) for p in parameters}
    if len(alike) > 1:
        raise ValueError(
            f"Stacked: parameters differ in shape, dtype, backend or requires_grad: {sorted(map(str, alike))}"
        )
    stacked = StackedParameter((len(parameters), *first.shape), zeros, first.dtype)
    stacked.requires_grad, stacked.backend = False, first.backend
    stacked.fill(np.stack([p.numpy() for p in parameters]))
    stacked.requires_grad = first.requires_grad
    return stacked


def _sequential(layers: Sequence[Any], name: str) -> Module:
    if len({len(layer) for layer in layers}) > 1:
        raise ValueError(f"Stacked: {name} has different numbers of layers")
    return Sequential(*(_together(each, f"layer {i} of {name}") for i, each in enumerate(zip(*layers, strict=True))))


def _elementwise(layers: Sequence[Module], name: str) -> Module:
    settings = [{k: v for k, v in vars(layer).items() if k not in ("mode", "backend", "_runs")} for layer in layers]
    if any(one != settings[0] for one in settings):
        raise ValueError(f"Stacked: {name}, {type(layers[0]).__name__}, has different settings: {layers!r}")
    return copy.copy(layers[0])


def _locked(layers: Sequence[Any], name: str) -> Module:
    if any(layer.time_axis != layers[0].time_axis for layer in layers) or layers[0].time_axis == 0:
        raise ValueError(
            f"Stacked: {name}, LockedDropout, needs its time_axis behind the batch, the same in all members"
        )
    return StackedNoise(layers)


_STACKED: dict[type[Module], Callable[[Sequence[Any], str], Module]] = {
    Sequential: _sequential,
    Linear: lambda layers, name: StackedLinear(layers),
    Dropout: lambda layers, name: StackedNoise(layers),
    LockedDropout: _locked,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
}


def _together(layers: Sequence[Module], name: str) -> Module:
    """The layers of all members at one place as one. Raises as `Stacked`."""
    kinds = {type(layer) for layer in layers}
    if len(kinds) > 1:
        raise ValueError(
            f"Stacked: {name} is not the same in all models: {', '.join(sorted(k.__name__ for k in kinds))}"
        )
    [kind] = kinds
    if kind not in _STACKED:
        raise TypeError(
            f"Stacked: {name} is a {kind.__name__}, which cannot be stacked; "
            f"those that can are {', '.join(sorted(k.__name__ for k in _STACKED))}"
        )
    return _STACKED[kind](layers, name)
