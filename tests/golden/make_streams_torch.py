"""Masks that PyTorch draws on the CPU, kept for machines without it: python -m tests.golden.make_streams_torch

Written to puredrop/conformance/golden/streams/torch.npz; made with torch 2.13.0.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np

RATES = (1e-8, 0.1, 0.5, 0.9, 0.999999)
SEEDS = (0, -3, 2**32 + 7)
SHAPES = ((), (1,), (313,), (7, 9), (3, 4, 5))
LAYOUTS = (  # shape and strides: transposed, channels last, sliced, expanded
    ((5, 6, 8), (1, 40, 5)),
    ((2, 6, 4, 5), (120, 1, 30, 6)),
    ((10, 8, 6), (1, 120, 20)),
    ((20, 6), (30, 0)),
)
CHANNELS = (("dropout1d", (6, 5, 2)), ("dropout1d", (9, 3)), ("dropout2d", (6, 5, 2, 2)), ("dropout3d", (30, 1, 2, 2)))
CALLS = 2  # of each, one after the other on one generator


def masks():
    """(what was asked, the masks of all calls)."""
    import torch
    from torch.nn import functional

    def kept(call):
        return np.stack([(call() != 0).numpy() for _ in range(CALLS)])

    for seed, p in product(SEEDS, RATES):
        for shape, strides in (*((shape, None) for shape in SHAPES), *LAYOUTS):
            x = torch.ones(shape) if strides is None else torch.ones(1000).as_strided(shape, strides)
            torch.manual_seed(seed)
            operation = "dropout" if strides is None else "dropout, strides"
            yield (
                {"op": operation, "seed": seed, "p": p, "data": shape, "strides": strides},
                kept(lambda x=x, p=p: functional.dropout(x, p)),
            )
        for name, shape in CHANNELS:
            torch.manual_seed(seed)
            call = getattr(functional, name)
            yield (
                {"op": name, "seed": seed, "p": p, "data": shape},
                kept(lambda call=call, shape=shape, p=p: call(torch.ones(shape), p)),
            )


def main() -> None:
    import torch

    arrays, cases = {}, []
    for number, (case, keep) in enumerate(masks()):
        arrays[str(number)] = np.packbits(keep)
        cases.append({"i": number, "kind": "mask", "shape": keep.shape, **case})
    meta = json.dumps({"made_with": f"torch {torch.__version__}", "cases": cases})
    arrays["meta"] = np.frombuffer(meta.encode(), np.uint8)
    file = Path(__file__).parents[2] / "puredrop" / "conformance" / "golden" / "streams" / "torch.npz"
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
