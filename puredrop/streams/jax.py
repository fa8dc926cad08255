"""The masks of JAX, for dropouts that are given a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from .jax_family import JAXFamily
from .jax_key import JAXKey
from .source import Rule
from .stream import Wanted

Turn: TypeAlias = JAXKey | tuple[JAXKey, ...]  # of one mask: its key, or a key for each of its rows
_DEFAULTS = {"impl": "threefry2x32", "partitionable": True, "x64": False}


class JAX(JAXFamily):
    """The masks `jax.random.bernoulli(key, 1 - p, shape)`, of keys that are spent in order, each on one mask.

    JAX has no state: a key names a mask, and to use it twice is a mistake. So keys are given, as many as there are
    dropouts to come.
    keys: a list of keys in the order of the dropouts; {site: key} for the layers of a network; or one key, for one
    dropout. A key is a `JAXKey`, a seed, or the words of a key; in its place may stand a list of keys, one for each row
    of the array, which is what a layer under `jax.vmap` is given.
    impl, partitionable, x64: of keys given as seeds or words, see `JAXKey`. jit: whether the values are computed under
    `jax.jit`. Values are those of the layers on top of JAX, see `Flax`.
    Raises: TypeError, ValueError for keys that are none. In use, LookupError where no key is left.

    >>> first, second = JAXKey(0).split()
    >>> stream = JAX([first, second])
    >>> stream.mask((2, 6), p=0.5).astype(int)
    array([[0, 1, 1, 1, 1, 0],
           [0, 1, 0, 1, 1, 0]])
    """

    library = "jax"
    verified = "jax 0.10.2 on x86 CPUs"

    def __init__(
        self,
        keys: Any,
        *,
        impl: str = "threefry2x32",
        partitionable: bool = True,
        x64: bool = False,
        jit: bool = False,
    ) -> None:
        options = {"impl": impl, "partitionable": partitionable, "x64": x64}
        self.jit = bool(jit)
        self._given = 0 if isinstance(keys, Mapping) else len(keys) if isinstance(keys, list) else 1
        turns = keys if isinstance(keys, Mapping) else dict(enumerate(keys if isinstance(keys, list) else [keys]))
        self._turns = {name: self._turn(key, options) for name, key in turns.items()}
        self._spent: set[int | None] = set()

    def _turn(self, key: Any, options: dict[str, Any]) -> Turn:
        if not isinstance(key, (list, tuple)):
            return as_key(type(self).__name__, key, options)
        keys = tuple(as_key(type(self).__name__, one, options) for one in key)
        if any("rbg" in one.impl for one in keys):
            self.refuse("a key of rbg for each row", "the other key implementations")
        return keys

    def draws_at(self, wanted: Wanted) -> bool:
        return wanted.p != 0  # a key is spent even at p = 1, or where there are no elements

    def next_layer(self, site: int | None) -> Turn:
        name = len(self._spent) if self._given else site
        if name in self._spent:
            raise LookupError(f"{type(self).__name__}: the key of site {name} is spent; give a new one for every step")
        if name not in self._turns:
            known = f"all {self._given} keys are spent" if self._given else f"no key was given for site {site}"
            raise LookupError(f"{type(self).__name__}: {known}; give a key for every dropout: key.split(n)")
        self._spent.add(name)
        return self._turns[name]

    def draw(self, wanted: Wanted) -> np.ndarray:
        turn = self.next_layer(wanted.site)
        keys = turn if isinstance(turn, tuple) else (turn,)
        for key in keys:
            self.require_mode(key, wanted.dtype)
        if isinstance(turn, JAXKey):
            return turn.bernoulli(1.0 - wanted.p, wanted.shape)
        if wanted.shape[:1] != (len(keys),):
            raise ValueError(f"{type(self).__name__}: {len(keys)} keys do not fit the rows of shape {wanted.shape}")
        return np.stack([key.bernoulli(1.0 - wanted.p, wanted.shape[1:]) for key in keys])


class Equinox(JAX):
    """The masks of `equinox.nn.Dropout`, which is called with a key: those of `JAX`, in the same forms.

    Under `jax.vmap`, as Equinox is used on batches, a list of keys stands in the place of one.
    Not covered: p = 1, where Equinox's gradient is NaN; equinox.nn.MultiheadAttention.
    Source: equinox/nn/_dropout.py.

    >>> Equinox(JAXKey(0)).mask((2, 6), p=0.5).astype(int)
    array([[0, 0, 1, 1, 0, 1],
           [1, 0, 0, 1, 0, 1]])
    """

    library = "equinox"
    verified = "equinox 0.13.8 with jax 0.10.2 on x86 CPUs"

    def arithmetic(self, operation: str, p: float) -> Rule:
        if p == 1:
            self.refuse("p = 1, where Equinox's gradient is NaN", "p below 1")
        return super().arithmetic(operation, p)


def as_key(where: str, key: Any, options: Mapping[str, Any] = _DEFAULTS) -> JAXKey:
    """The key; that of a seed or of words, with these options. Raises TypeError for a key and options beside it."""
    if not isinstance(key, JAXKey):
        return JAXKey(key, **options)
    if dict(options) != _DEFAULTS:
        raise TypeError(f"{where}: a JAXKey knows its options; give impl, partitionable and x64 to JAXKey(seed, ...)")
    return key
