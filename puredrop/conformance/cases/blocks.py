"""Rows for contiguous regions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...variants import band_dropout, cutout, drop_block
from ..case import Case, normal

STRICT = "its axes have meanings, and other ranks are refused (tests/test_blocks.py)"
SEEDS = "the index is that of the seeds or examples, not of x; shards are in tests/test_blocks.py"
PLACES = "positions are real numbers, not a mask"
FITS = {"shapes": STRICT, "shard": SEEDS, "huge index": SEEDS}


def normalised(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """x times elements / kept elements where kept, else 0."""
    kept = int(keep.sum())
    total = 1
    for n in x.shape:
        total *= n
    return xp.where(keep, x * (total / kept if kept else 0.0), xp.zeros_like(x))


def ends(noise: np.ndarray) -> np.ndarray:
    """The seeds of blocks of two on a map of three: the first element is dropped by one, the last by the other."""
    return noise[..., [0, 2]].reshape(len(noise), -1)


def single_examples(operation: Any, **settings: Any) -> Any:
    """The operation on x (rows, columns, L), every column an example of its own with one channel."""

    def call(x: Any, p: Any, *, mask: Any = None, return_mask: bool = False, **options: Any) -> Any:
        rows, columns, n = x.shape
        if not options.get("training", True):
            return operation(x, p, **settings, **options)
        if mask is not None:
            mask = mask.reshape(rows * columns, 1, n)
        flat = x.reshape(rows * columns, 1, n)
        y, keep = operation(flat, p, mask=mask, return_mask=True, **settings, **options)
        y = y.reshape(rows, columns, n)
        return (y, keep.reshape(rows, columns, n)) if return_mask else y

    return call


def covered_by_box(n: int, b: int) -> np.ndarray:
    """How likely a clipped box of b round a uniform centre covers each of n elements, by counting."""
    centres = [set(range(c - b // 2, c - b // 2 + b)) for c in range(n)]
    return np.array([sum(i in box for box in centres) / n for i in range(n)])


def covered_by_band(n: int, low: int, high: int) -> np.ndarray:
    """How likely a band covers each of n elements, by counting."""
    share = np.zeros(n)
    for w in range(low, high + 1):
        for start in range(n - w + 1):
            share[start : start + w] += 1 / ((high - low + 1) * (n - w + 1))
    return share


def undrawn(noise: np.ndarray) -> np.ndarray:
    """Where no region was drawn: nothing of the example is dropped."""
    whole: np.ndarray = np.all(noise, axis=-1)
    return whole


def region_row(name: str, call: Any, covered: np.ndarray, elsewhere: dict[str, str]) -> Case:
    """A row for one region in each example, drawn with probability p, that covers element i with probability
    `covered[i]`."""
    return Case(
        name=name,
        call=call,
        inputs=lambda rows, columns: (normal(rows, columns, len(covered)),),
        noise_matrix=undrawn,
        formula=lambda xp, x, keep, p: xp.where(keep, x, xp.zeros_like(x)),
        mean=lambda x, p: x * (1 - p * covered),
        variance=lambda x, p: x**2 * p * covered * (1 - p * covered),
        at_one="formula",
        not_applicable=FITS | {"enumeration": PLACES},
        applies_to=("input",),
        elsewhere=elsewhere,
    )


CASES = (
    Case(
        name="drop_block",
        # Blocks of 2 on maps of 3; gamma is (p / 2) (3 / 2), so that 4 / 3 of it makes p the rate of the seeds.
        call=partial(drop_block, spatial_dims=1, block_size=2, gamma_scale=4 / 3),
        inputs=lambda rows, columns: (normal(rows, columns // 2 or 1, 3),),
        noise_matrix=ends,
        formula=normalised,
        mean=None,
        variance=None,
        not_applicable=FITS,
        applies_to=("conv",),
        elsewhere={
            "torchvision": "torchvision.ops.DropBlock2d: and 3d; odd blocks only",
            "timm": "timm.layers.DropBlock2d: seeds the whole map, and drops more than p; one mask for all channels",
            "KerasCV": "keras_cv.layers.DropBlock2D: square maps",
        },
    ),
    region_row(
        "cutout",
        single_examples(cutout, spatial_dims=1, size=2),
        covered_by_box(4, 2),
        elsewhere={
            "Keras": "keras.layers.RandomErasing: boxes of random size",
            "torchvision": "torchvision.transforms.RandomErasing: boxes of random size, inside the image",
            "KerasCV": "keras_cv.layers.RandomCutout",
            "Kornia": "kornia.augmentation.RandomErasing: boxes of random size",
            "Albumentations": "albumentations.CoarseDropout: several boxes",
        },
    ),
    region_row(
        "band_dropout",
        single_examples(band_dropout, axis=2, width=(1, 2)),
        covered_by_band(4, 1, 2),
        elsewhere={
            "torchaudio": "torchaudio.transforms.TimeMasking: and FrequencyMasking",
            "Albumentations": "albumentations.TimeMasking: and FrequencyMasking",
        },
    ),
)
