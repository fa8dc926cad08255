"""What freezes contract version 1: `python tests/golden/make_native.py` writes native.npz."""

from pathlib import Path

import numpy as np

from puredrop import Index, Key, backends
from puredrop.random import (
    CONTRACT_VERSION,
    INITIALISATION,
    MASK,
    NORMAL,
    PERMUTATION,
    TIE,
    UNIFORM,
    bernoulli,
    threshold,
)

KEYS = {
    "zero": Key(0),
    "seven": Key(7, site=1, step=2, sample=3),
    "last": Key((1 << 64) - 1, (1 << 16) - 1, (1 << 32) - 1, (1 << 24) - 1, 31),
}
RATES = (1e-12, 0.1, 0.3, 0.5, 0.9, 1 - 1e-12)


def draw(backend):
    """Masks, ties, words, uniforms, normals and an order, at the addresses that matter."""
    far = Index.whole((1 << 46, 4))[(1 << 46) - 20 :]
    parts = {"whole": Index.whole((13, 40)), "strided": Index.whole((13, 40), shared=0)[:, 1::3], "far": far}
    drawn = {}
    for name, key in KEYS.items():
        for part, index in parts.items():
            for p in RATES:
                drawn[f"mask {name} {part} {p}"] = np.packbits(backend.keep(key, index, threshold(p)))
            drawn[f"words {name} {part}"] = backend.words(key, index, INITIALISATION)
            drawn[f"tie {name} {part}"] = backend.words(key, index, TIE)
            for dtype in (np.float32, np.float64):
                drawn[f"uniform {name} {part} {dtype.__name__}"] = backend.uniform(key, index, dtype, UNIFORM)
                drawn[f"normal {name} {part} {dtype.__name__}"] = backend.normal(key, index, dtype, NORMAL)
        halfwords = backend.words(key, Index.whole(64), MASK)[:16].astype("<u4").view("<u2")
        ties = [backend.keep(key, Index.whole(32), bernoulli.Threshold(int(h), 1 << 47)) for h in halfwords]
        drawn[f"settled {name}"] = np.packbits(np.array(ties))
        drawn[f"order {name}"] = bernoulli.permutation(key, 50, PERMUTATION)
    return drawn


if __name__ == "__main__":
    path = Path(__file__).parent / "native.npz"
    np.savez_compressed(path, version=CONTRACT_VERSION, **draw(backends.get("numpy")))
    print(path)
