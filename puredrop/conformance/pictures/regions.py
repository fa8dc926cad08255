"""Panels of contiguous regions, and of pooling by chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import band_dropout, cutout, drop_block, max_pool_dropout, stochastic_pool
from .draw import INK, MUTED, Panel, blocks, dots, mask, masks, shades

SIZE = 8


def blocks_of_three(axes: Any) -> None:
    _, keep = drop_block(np.ones((2, 2, 12, 12)), 0.15, block_size=3, key=Key(7), return_mask=True)
    masks(axes, keep, "C, each channel H x W", "N")


def boxes(axes: Any) -> None:
    _, keep = cutout(np.ones((4, 1, 12, 12)), size=5, key=Key(7), return_mask=True)
    masks(axes, keep.reshape(2, 2, 12, 12), "4 images H x W", "")


def bands(axes: Any) -> None:
    spectrogram = np.ones((1, 14, 24))
    _, frequency = band_dropout(spectrogram, axis=1, width=(2, 4), key=Key(3), return_mask=True)
    _, time = band_dropout(spectrogram, axis=2, width=(2, 5), key=Key(7), return_mask=True)
    mask(axes, (frequency & time)[0], "time: a second call", "frequency")


def window_lines(axes: Any) -> None:
    """The borders of windows of two by two."""
    for place in range(0, SIZE + 1, 2):
        axes.plot([0, SIZE], [place, place], color=MUTED, lw=1)
        axes.plot([place, place], [0, SIZE], color=MUTED, lw=1)


def in_windows(values: np.ndarray) -> np.ndarray:
    """(H, W) -> the four elements of each window: (windows, windows, 4)."""
    half = SIZE // 2
    return values.reshape(half, 2, half, 2).swapaxes(1, 2).reshape(half, half, 4)


def from_windows(values: np.ndarray) -> np.ndarray:
    half = SIZE // 2
    return values.reshape(half, half, 2, 2).swapaxes(1, 2).reshape(SIZE, SIZE)


def largest_left(axes: Any) -> None:
    x = np.random.default_rng(0).random((SIZE, SIZE))
    y, keep = max_pool_dropout(x[None, None], 0.5, size=2, key=Key(7), return_mask=True)
    blocks(axes, [[np.where(keep[0, 0], shades(0.75 * x), INK)]], "W, blue: the activation", "H")
    window_lines(axes)
    dots(axes, keep[0, 0] & from_windows(in_windows(x) == y[0, 0][..., None]))


def one_by_chance(axes: Any) -> None:
    x = np.random.default_rng(0).random((SIZE, SIZE))
    y = stochastic_pool(x[None, None], size=2, key=Key(7))
    blocks(axes, [[shades(0.75 * x)]], "W, blue: the activation", "H")
    window_lines(axes)
    dots(axes, from_windows(in_windows(x) == y[0, 0][..., None]))


BLOCKS = (
    Panel("drop_block", "blocks of 3 x 3, in each channel for itself", blocks_of_three),
    Panel("cutout", "a box of 5 x 5 round a random centre, in all channels", boxes),
    Panel("band_dropout", "a band of frequencies or of time, as in SpecAugment", bands),
)
POOLING = (
    Panel("max_pool_dropout", "the largest of what is left of each window is taken: the dots", largest_left),
    Panel("stochastic_pool", "one of each window is taken, the large ones more often", one_by_chance),
)
