"""The masks of Flax's linen layers, from the paths of the modules."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .jax import as_key
from .jax_family import Broadcast, JAXFamily
from .jax_key import JAXKey
from .stream import Wanted


class Flax(JAXFamily):
    """The masks of flax.linen in one `module.apply(variables, x, rngs={"dropout": key})`.

    A module's call number c takes fold_in(key, d), with d the first four bytes of the SHA-1 of its path and c, each
    name as it is written, then c in as few bytes as hold it; c counts from 1. The mask is
    `jax.random.bernoulli` with that key and 1 - rate.
    key: what `rngs` gives; a `JAXKey`, a seed, or the words of a key. One stream is one apply: for training, where the
    key of a step is commonly `jax.random.fold_in(key, step)`, make `Flax(key.fold_in(step), paths)` in each step.
    paths: of the modules, "Dropout_0" or "Block_1/Dropout_0", "" for the outermost. A list has them in the order of the
    calls, a module that is called twice twice; {site: path} gives them by layer; one path is for all calls. Only calls
    that draw count: 0 < rate < 1. In place of a path may stand `Broadcast(path, axes)` for a layer with broadcast_dims
    or for MultiHeadDotProductAttention, and a `JAXKey` where the call is given an `rng`.
    separator: the flag flax_fix_rng_separator. jit: whether the apply is under `jax.jit`; then arrays of a single
    element are computed otherwise. Values are select(keep, x * (1 / (1 - rate)), 0), both numbers in the dtype of x:
    XLA makes that of x / (1 - rate).
    Not covered: modules lifted by nn.scan, nn.vmap and the like with split keys; other collections than "dropout".
    Sources: flax/core/scope.py, flax/linen/stochastic.py, flax/linen/attention.py.
    Raises: TypeError, ValueError for a key or paths that are none. In use, LookupError where no path is left.

    >>> stream = Flax(JAXKey(0), ["Dropout_0", "Dropout_1"])
    >>> stream.mask((2, 6), p=0.5).astype(int)
    array([[1, 0, 1, 1, 1, 0],
           [0, 1, 0, 1, 0, 0]])
    """

    library = "flax"
    verified = "flax 0.12.8 with jax 0.10.2 on x86 CPUs"

    def __init__(self, key: Any, paths: Any = "Dropout_0", *, separator: bool = False, jit: bool = False) -> None:
        self.key = as_key("Flax", key)
        self.separator, self.jit = bool(separator), bool(jit)
        self._layers = Layers("Flax", "path", paths, checked_path)
        self._calls: Counter[str] = Counter()

    def draws_at(self, wanted: Wanted) -> bool:
        return 0 < wanted.p < 1  # a call counts even where there are no elements

    def next_layer(self, site: int | None) -> Any:
        return self._layers.next(site)

    def key_of(self, layer: Any) -> JAXKey:
        if isinstance(layer, JAXKey):
            return layer
        self._calls[layer] += 1
        return self.key.fold_in(path_number(layer, self._calls[layer], self.separator))


def path_number(path: str, call: int, separator: bool = False) -> int:
    """What Flax folds into a key for the call of a module: four bytes of a SHA-1.

    >>> path_number("Dropout_0", 1)
    3042785377
    """
    sha1 = hashlib.sha1(usedforsecurity=False)
    number = call.to_bytes((call.bit_length() + 7) // 8, "big")
    for part in (*(name.encode() for name in path.split("/") if name), number):
        sha1.update(b"\0" * separator + part)
    return int.from_bytes(sha1.digest()[:4], "big")


def checked_path(path: Any) -> Any:
    """The path, or what may stand in its place. Raises TypeError."""
    if isinstance(path, Broadcast):
        return path._replace(layer=checked_path(path.layer))
    if not isinstance(path, (str, JAXKey)):
        raise TypeError(f"Flax: a path is a string such as 'Block_1/Dropout_0', got {path!r}")
    return path


class Layers:
    """Whose turn it is: the layers in a list, in order; by site; or the same one always.

    Raises: LookupError, when asked, where the list is at its end or the site is unknown.
    """

    def __init__(self, where: str, name: str, given: Any, checked: Any, *, again: bool = False) -> None:
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
