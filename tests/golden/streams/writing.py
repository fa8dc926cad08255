"""Golden files of other libraries' masks: what the scripts beside this one share. Needs NumPy only.

A file is an npz. `meta` is JSON: what it was made with, and the chains; a chain is a stream's arguments and what it
drew, one draw after the other. Small masks are kept whole, one after the other in `bits`, each packed to whole bytes;
of large ones only the SHA-256 of the packed bits is kept. Values stand beside the array that they are of: `x`, `y` of a
draw are the names of arrays. `conformance.streams.golden` reads the files.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[3] / "puredrop" / "conformance" / "golden" / "streams"
WHOLE = 4096  # elements of a mask that is kept whole
RATES = 1e-8, 0.1, 0.5, 0.9, 0.999999


class Golden:
    def __init__(self, made_with):
        self.meta, self.arrays = {"made_with": made_with, "chains": []}, []
        self.bits = [np.empty(0, np.uint8)]

    def chain(self, **stream):
        """What follows was drawn by one stream."""
        self.meta["chains"].append({"stream": stream, "draws": []})

    def mask(self, keep, p, **options):
        keep = np.asarray(keep, bool)
        bits = np.packbits(keep)
        if keep.size > WHOLE:
            options["sha256"] = hashlib.sha256(bits.tobytes()).hexdigest()
        else:
            options["kept"] = "bits"
            self.bits.append(bits)
        self._draw(shape=keep.shape, p=p, **options)

    def value(self, x, y, p, **options):
        self._draw(shape=x.shape, p=p, dtype=x.dtype.name, x=self._kept(x), y=self._kept(y), **options)

    def _draw(self, **draw):
        self.meta["chains"][-1]["draws"].append(draw)

    def _kept(self, array):
        self.arrays.append(array)
        return len(self.arrays) - 1

    def save(self, name):
        meta = np.frombuffer(json.dumps(self.meta).encode(), np.uint8)
        arrays = {str(number): array for number, array in enumerate(self.arrays)}
        np.savez_compressed(FOLDER / f"{name}.npz", meta=meta, bits=np.concatenate(self.bits), **arrays)
        sizes = [np.prod(draw["shape"], dtype=int) for chain in self.meta["chains"] for draw in chain["draws"]]
        print(f"{len(sizes)} draws, {sum(sizes):,} elements")


def values(dtype, n=240):
    """Numbers of every kind: of both signs, zeros, infinities, NaN."""
    x = np.sin(np.arange(n) * 1.7) * 9
    x[::7], x[3::11], x[5::13], x[6::17] = -0.0, np.nan, np.inf, -np.inf
    return x.astype(dtype)
