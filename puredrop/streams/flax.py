"""The masks of Flax's linen layers, from the paths of the modules."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from .jax import as_key
from .jax_key import JAXKey
from .jax_layers import Broadcast, Layered, Layers


class Flax(Layered):
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
    array([[0, 1, 1, 0, 1, 1],
           [1, 0, 0, 1, 1, 0]])
    """

    library = "flax"
    verified = "flax 0.12.8 with jax 0.10.2 on x86 CPUs"

    def __init__(self, key: Any, paths: Any = "Dropout_0", *, separator: bool = False, jit: bool = False) -> None:
        self.key = as_key("Flax", key)
        self.separator, self.jit = bool(separator), bool(jit)
        self.layers = Layers("Flax", "path", paths, checked_path)
        self._calls: Counter[str] = Counter()

    def key_of(self, layer: Any) -> JAXKey:
        if isinstance(layer, JAXKey):
            return layer
        self._calls[layer] += 1
        return self.key.fold_in(path_number(layer, self._calls[layer], self.separator))


def path_number(path: str, call: int, separator: bool = False) -> int:
    """What Flax folds into a key for the call of a module: four bytes of a SHA-1.

    >>> path_number("Dropout_0", 1)
    2711844646
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
