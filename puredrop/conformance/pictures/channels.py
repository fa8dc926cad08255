"""Panels of decisions for whole channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import (
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    spatial_concrete_dropout,
    spatial_dropout,
)
from .draw import INK, KEY, Draw, Panel, blocks, drawn, masks, shades

IMAGES = np.ones((3, 4, 5, 5))  # (N, C, H, W)
SEQUENCES = np.ones((3, 3, 16))  # (N, C, L)
CHANNELS_LAST = np.ones((2, 12, 8))  # (N, L, C)
VOLUME = np.ones((4, 3, 4, 4))  # (C, D, H, W)
TILES = "C, each channel H x W"


def images(operation: Any, key: Key = KEY) -> Draw:
    """The mask of a batch of images, a block for each channel of each."""
    return lambda axes: masks(axes, drawn(operation, IMAGES, key=key), TILES, "N")


def volume(axes: Any) -> None:
    """Slices of depth below each other, channels beside each other."""
    masks(axes, drawn(dropout3d, VOLUME).swapaxes(0, 1), "C, each slice H x W", "D")


def channels_last(axes: Any) -> None:
    keep = drawn(spatial_dropout, CHANNELS_LAST, spatial_dims=1, channel_axis=-1)  # (N, L, C)
    masks(axes, keep[None], "C, for two examples", "L")


def sequences(axes: Any) -> None:
    masks(axes, drawn(dropout1d, SEQUENCES)[:, None], "L", "N\n\neach\nC x L")


def relaxed(axes: Any) -> None:
    logit_p = np.array([-1.0, 0.0, 1.0, 2.0])
    x = np.ones((3, 4, 3, 3))
    _, u = spatial_concrete_dropout(x, logit_p, 2 / 3, key=KEY, return_mask=True)  # (N, C, 1, 1)
    z = 1 / (1 + np.exp(-(logit_p[:, None, None] + np.log(u / (1 - u))) * 1.5))  # how much is dropped
    tiles = np.broadcast_to(shades(z, INK), x.shape)
    blocks(axes, list(tiles), TILES, "N")


PANELS = (
    Panel("dropout", "for comparison: a decision for each element", images(dropout)),
    Panel("dropout2d", "a decision for each channel of each image", images(dropout2d)),
    Panel("dropout3d", "a channel of a volume goes in all of its slices", volume),
    Panel("dropout1d", "a channel of a sequence goes at all of its positions", sequences),
    Panel("spatial_dropout", "the same, whichever axis the channels are on: here the last one", channels_last),
    Panel(
        "feature_alpha_dropout",
        "whole channels are set to the value where SELU saturates",
        images(feature_alpha_dropout, Key(18)),
    ),
    Panel("spatial_concrete_dropout", "each channel goes in part, at a rate of its own that is learned", relaxed),
)
