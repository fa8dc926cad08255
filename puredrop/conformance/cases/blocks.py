"""Rows for contiguous regions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...random import Index
from ...variants import band_dropout, cutout, drop_block
from ..case import Case, normal

PLACES = "positions are real numbers, not a mask"
FINER = "the numbers of a band's positions are twice its own, so that its index ends at 2^47"


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
    """Where no region was drawn, nothing of the example is dropped. As a matrix."""
    whole: np.ndarray = np.all(noise, axis=-1)
    return whole.reshape(512, -1)


def region_row(
    name: str,
    call: Any,
    covered: np.ndarray,
    index_shape: tuple[int, ...],
    *,
    elsewhere: dict[str, str],
    **not_applicable: str,
) -> Case:
    """A row for one region in each example, drawn with probability p, that covers element i with probability
    `covered[i]`. Its index has the examples, and then `index_shape`."""
    return Case(
        name=name,
        call=call,
        inputs=lambda rows, columns: (normal(rows * columns, 1, len(covered)),),
        any_shape=False,
        index=lambda x: Index.whole((len(x), *index_shape)),
        axes=1,
        noise_matrix=undrawn,
        formula=lambda xp, x, keep, p: xp.where(keep, x, xp.zeros_like(x)),
        mean=lambda x, p: x * (1 - p * covered),
        variance=lambda x, p: x**2 * p * covered * (1 - p * covered),
        at_one="formula",
        not_applicable={"enumeration": PLACES, **not_applicable},
        applies_to=("input",),
        elsewhere=elsewhere,
    )


CASES = (
    Case(
        name="drop_block",
        # Blocks of 2 on maps of 3; gamma is (p / 2) (3 / 2), so that 4 / 3 of it makes p the rate of the seeds.
        call=partial(drop_block, spatial_dims=1, block_size=2, gamma_scale=4 / 3),
        inputs=lambda rows, columns: (normal(rows, columns // 2 or 1, 3),),
        any_shape=False,
        index=lambda x: Index.whole((*x.shape[:2], 2)),
        noise_matrix=ends,
        formula=normalised,
        mean=None,
        variance=None,
        applies_to=("conv",),
        elsewhere={
            "torchvision": "torchvision.ops.DropBlock2d: and 3d; odd blocks only",
            "timm": "timm.layers.DropBlock2d: seeds the whole map, and drops more than p; one mask for all channels",
            "KerasCV": "keras_cv.layers.DropBlock2D: square maps",
        },
    ),
    region_row(
        "cutout",
        partial(cutout, spatial_dims=1, size=2),
        covered_by_box(4, 2),
        (),
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
        partial(band_dropout, axis=2, width=(1, 2)),
        covered_by_band(4, 1, 2),
        (1,),
        elsewhere={
            "torchaudio": "torchaudio.transforms.TimeMasking: and FrequencyMasking",
            "Albumentations": "albumentations.TimeMasking: and FrequencyMasking",
        },
        **{"huge index": FINER},
    ),
)
