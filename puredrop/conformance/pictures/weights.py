"""Panels of noise on weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import drop_connect, mixout, quant_noise, shakeout, targeted_dropout, weight_drop
from .draw import INK, PALE, PAPER, Panel, blocks, mask, masks

WEIGHT = np.random.default_rng(1).standard_normal((6, 8))  # (O, I)


def connections(axes: Any) -> None:
    _, keep = drop_connect(np.ones((4, 8)), WEIGHT, None, 0.4, key=Key(7), return_mask=True)  # (N, O, I)
    masks(axes, keep.reshape(2, 2, 6, 8), "I, for each of 4 examples", "O")


def the_same_at_every_step(axes: Any) -> None:
    _, keep = weight_drop(WEIGHT, 0.4, key=Key(7), return_mask=True)
    masks(axes, np.broadcast_to(keep, (2, 2, 6, 8)), "I, at each of 4 steps", "O")


def candidates(axes: Any) -> None:
    _, keep = targeted_dropout(WEIGHT, 0.5, fraction=0.5, key=Key(7), return_mask=True)
    small = np.argsort(np.argsort(abs(WEIGHT), axis=1), axis=1) < 4
    blocks(axes, [[np.where(keep, np.where(small, PALE, PAPER), INK)]], "I, grey: the smaller half", "O")


def quantised(axes: Any) -> None:
    _, keep = quant_noise(np.ones((6, 12)) * np.arange(12), 0.3, block=4, key=Key(7), return_mask=True)
    mask(axes, np.repeat(keep, 4, axis=1), "I, in blocks of 4", "O")


def pretrained(axes: Any) -> None:
    _, keep = mixout(WEIGHT, np.zeros_like(WEIGHT), 0.4, key=Key(7), return_mask=True)
    mask(axes, keep, "I", "O")


def shaken(axes: Any) -> None:
    _, keep = shakeout(WEIGHT, 0.4, key=Key(7), return_mask=True)
    mask(axes, keep, "I", "O")


PANELS = (
    Panel("drop_connect", "other weights for each example", connections),
    Panel("weight_drop", "the same weights throughout a sequence, as for W_hh of an LSTM", the_same_at_every_step),
    Panel("mixout", "dropped: back to the weight before fine-tuning", pretrained),
    Panel("targeted_dropout", "only the smaller weights of each output may go", candidates),
    Panel("quant_noise", "dropped: a block of weights is quantised", quantised),
    Panel("shakeout", "dropped: all weights of an input unit become -c times their sign", shaken),
)
