"""Our own masks in the form of a stream, to be printed beside those of others."""

from __future__ import annotations

import numpy as np

from .. import backends
from ..random import CONTRACT_VERSION, Index, Rng, threshold
from .stream import PER_CHANNEL, Stream, Wanted


class Native(Stream):
    """The masks of a layer with that seed and site: of its first draw, of its second, ...

    >>> Native(seed=7).mask((2, 6), p=0.5).astype(int)
    array([[0, 1, 1, 1, 1, 0],
           [1, 0, 1, 0, 1, 1]])
    """

    library = "puredrop"
    verified = f"contract version {CONTRACT_VERSION}"
    operations = ("dropout", "alpha_dropout", *PER_CHANNEL)
    dtypes = ("float16", "float32", "float64")

    def __init__(self, seed: int, site: int = 0) -> None:
        self.rng = Rng(seed, site)

    def draw(self, wanted: Wanted) -> np.ndarray:
        return backends.get().keep(self.rng.advance(), Index.whole(wanted.shape), threshold(wanted.p))
