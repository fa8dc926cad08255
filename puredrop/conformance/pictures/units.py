"""Panels of masks over the units of a dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import (
    batchwise_dropout,
    dropout,
    fixed_count_dropout,
    jumpout,
    masksembles,
    max_dropout,
    nested_dropout,
    standout,
)
from .draw import FAINT, INK, MUTED, PAPER, Draw, Panel, blocks, drawn, mask, shades

LAYER = np.ones((8, 12))  # (N, D)
RAMP = np.linspace(-3, 3, 12)  # what the units of a row receive


def layer(operation: Any, p: float = 0.4) -> Draw:
    """The mask of a layer's units for a batch."""
    return lambda axes: mask(axes, drawn(operation, LAYER, p), "D", "N")


def counted(axes: Any) -> None:
    keep = drawn(fixed_count_dropout, LAYER, 0.5)
    mask(axes, keep, "D", "N")
    for row, count in enumerate(keep.sum(1)):
        axes.text(12.3, row + 0.55, f"{count} kept", va="center", fontsize=7, color=MUTED)


def standing_out(axes: Any) -> None:
    a = np.broadcast_to(RAMP, LAYER.shape)
    _, keep = standout(LAYER, a, 1.0, 0.0, key=Key(7), return_mask=True)
    mask(axes, keep, "D, by pre-activation: low to high", "N")


def largest(axes: Any) -> None:
    x = np.random.default_rng(2).random(LAYER.shape)
    _, keep = max_dropout(x, 0.3, return_mask=True)
    blocks(axes, [[np.where(keep, shades(0.75 * x), INK)]], "D, blue: the activation", "N")


def active(axes: Any) -> None:
    x = np.random.default_rng(3).standard_normal(LAYER.shape)
    _, keep = jumpout(x, 0.3, p_min=0.3, key=Key(7), return_mask=True)
    blocks(axes, [[np.where(keep, np.where(x > 0, PAPER, FAINT), INK)]], "D, grey: 0 after the ReLU", "N")


def members(axes: Any) -> None:
    _, bank = masksembles(np.ones((8, 12)), 4, 2.0, key=Key(3), return_mask=True)  # (members, C)
    keep = np.repeat(bank, 2, axis=0)  # (N, C)
    mask(axes, keep, "C, the same masks in every pass", "N")


PANELS = (
    Panel("dropout", "for comparison: a decision for each element", layer(dropout)),
    Panel(
        "batchwise_dropout",
        "the same units in every example of the batch",
        layer(batchwise_dropout),
    ),
    Panel("fixed_count_dropout", "the same number in every row", counted),
    Panel(
        "nested_dropout",
        "all units after a random one: the first learn what matters most",
        layer(nested_dropout, 0.15),
    ),
    Panel("masksembles", "each member, here two rows of the batch, has a fixed mask", members),
    Panel("standout", "units of low pre-activation go most often", standing_out),
    Panel("max_dropout", "the largest activations go", largest),
    Panel("jumpout", "the rate is raised for the units that are 0 already", active),
)
