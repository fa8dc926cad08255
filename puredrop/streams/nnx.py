"""The masks of Flax's NNX layers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .jax import as_key
from .jax_key import JAXKey
from .jax_layers import Broadcast, Layered, Layers
from .numbers import whole_number


class NNX(Layered):
    """The masks of flax.nnx, over all calls of a model.

    A layer made with `rngs=rngs` forks at its construction: its own key is fold_in(key, n), with n how many keys the
    rng stream had given before. Call c of it, from 0, takes fold_in(own key, c). The mask is `jax.random.bernoulli`
    with that key and 1 - rate.
    key: that of the rng stream from which the layers fork: a `JAXKey`, a seed, or the words of a key. For
    nnx.Rngs(params=0, dropout=1) it is 1; for nnx.Rngs(0) all kinds of layers take from one stream.
    forks: n of each layer. A list has the layers in the order in which they draw, again and again; {site: n} has them
    by layer; one number is one layer. Dropouts alone count 0, 1, 2, ...; in nnx.Rngs(0), an nnx.Linear before them
    takes two. None: the calls are given `rngs`, and take fold_in(key, c) one after the other. In place of a number may
    stand `Broadcast(n, axes)`, for a layer with broadcast_dims or for nnx.MultiHeadAttention.
    jit: as for `Flax`, which computes the same values.
    Not covered: rng streams that are split or reset (nnx.split_rngs, nnx.reseed).
    Sources: flax/nnx/rnglib.py, flax/nnx/nn/stochastic.py, flax/nnx/nn/attention.py.
    Raises: TypeError, ValueError for a key or forks that are none.

    >>> stream = NNX(0)
    >>> stream.mask((2, 6), p=0.5).astype(int)
    array([[1, 0, 1, 0, 1, 1],
           [1, 0, 1, 1, 0, 0]])
    """

    library = "nnx"
    verified = "flax 0.12.8 with jax 0.10.2 on x86 CPUs"

    def __init__(self, key: Any, forks: Any = 0, *, jit: bool = False) -> None:
        self.key, self.jit = as_key("NNX", key), bool(jit)
        self.layers = Layers("NNX", "fork", forks, checked_fork, again=True)
        self._calls: Counter[int | None] = Counter()

    def key_of(self, layer: Any) -> JAXKey:
        call = self._calls[layer]
        self._calls[layer] += 1
        return (self.key if layer is None else self.key.fold_in(layer)).fold_in(call)


def checked_fork(fork: Any) -> Any:
    """The number of a fork, or what may stand in its place. Raises TypeError, ValueError."""
    if isinstance(fork, Broadcast):
        return fork._replace(layer=checked_fork(fork.layer))
    return None if fork is None else whole_number("NNX", "fork", fork, 0, 2**32)
