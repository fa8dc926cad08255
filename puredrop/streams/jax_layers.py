"""Layers that take their keys from where they stand in a model: what Flax's two interfaces share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .jax_family import JAXFamily
from .jax_key import JAXKey
from .stream import Wanted


class Broadcast(NamedTuple):
    """A layer that draws once along some axes: Flax's `broadcast_dims`.

    layer: what stands in its place otherwise. axes: those of the array; -4 and -3 of attention weights (N, heads, T, S)
    for a MultiHeadDotProductAttention with its default, broadcast_dropout=True.
    """

    layer: Any
    axes: tuple[int, ...]


class Layers:
    """Whose turn it is: the layers in a list, in order; by site; or the same one always.

    Raises: LookupError, when asked, where the list is at its end or the site is unknown.
    """

    def __init__(
        self, where: str, name: str, given: Any, checked: Callable[[Any], Any], *, again: bool = False
    ) -> None:
        self.where, self.name, self.again = where, name, again
        self._by_site = {site: checked(one) for site, one in given.items()} if isinstance(given, Mapping) else None
        self._all = [checked(one) for one in given] if isinstance(given, list) else None
        self._one = checked(given) if self._by_site is None and self._all is None else None
        self._in_order: Iterator[Any] = iter(self._all or ())

    def next(self, site: int | None) -> Any:
        if self._by_site is not None:
            if site not in self._by_site:
                raise LookupError(
                    f"{self.where}: no {self.name} was given for site {site}; given are sites {sorted(self._by_site)}"
                )
            return self._by_site[site]
        if self._all is None:
            return self._one
        for layer in self._in_order:
            return layer
        if not self.again or not self._all:
            raise LookupError(f"{self.where}: all {len(self._all)} {self.name}s are used up; name one for every call")
        self._in_order = iter(self._all)
        return next(self._in_order)


class Layered(JAXFamily):
    """A stream whose keys come from layers. A subclass has the `layers`, and says what key one takes."""

    layers: Layers

    def key_of(self, layer: Any) -> JAXKey:
        """The key that this layer takes now; moves on."""
        raise NotImplementedError

    def draws_at(self, wanted: Wanted) -> bool:
        return 0 < wanted.p < 1  # a call counts even where there are no elements

    def draw(self, wanted: Wanted) -> np.ndarray:
        layer = self.layers.next(wanted.site)
        layer, axes = layer if isinstance(layer, Broadcast) else (layer, ())
        shape = shared(wanted.shape, axes)
        key = self.key_of(layer)
        self.require_mode(key, wanted.dtype)
        return np.broadcast_to(key.bernoulli(1.0 - wanted.p, shape), wanted.shape)


def shared(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with one draw along these axes. Raises ValueError for an axis that does not exist."""
    for axis in axes:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"Broadcast: axis {axis} does not exist in an array of shape {shape}")
    chosen = {axis % len(shape) for axis in axes}
    return tuple(1 if axis in chosen else n for axis, n in enumerate(shape))
