"""Panels of gates on residual branches, paths and layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import drop_path, fractal_join, layer_drop, shake_drop, shake_shake, stochastic_depth, swapout
from ...variants.schedules import depth_rates
from .draw import BLUE, GAP, INK, MUTED, ORANGE, PAPER, Panel, blocks, mask, shades

EXAMPLES, BLOCKS = 8, 10
RATES = depth_rates(0.5, BLOCKS, "l/L")


def branches(operation: Any, *inputs: Any, **options: Any) -> np.ndarray:
    """The gates of all blocks for all examples, (N, L), block l at its rate and with its own site."""
    gates = [
        operation(*inputs, rate, key=Key(10, site=site), return_mask=True, **options)[1]
        for site, rate in enumerate(RATES)
    ]
    return np.stack([np.broadcast_to(gate, (EXAMPLES, 1))[:, 0] for gate in gates], axis=1)


def each_example(axes: Any) -> None:
    mask(axes, branches(drop_path, np.ones((EXAMPLES, 1))), "block 1 to L", "N")


def whole_batch(axes: Any) -> None:
    x = np.ones((EXAMPLES, 1))
    mask(axes, branches(stochastic_depth, x, x, mode="batch"), "block 1 to L", "N")


def layers_by_step(axes: Any) -> None:
    stack = [lambda y: y] * BLOCKS
    gates = [layer_drop(stack, np.ones(1), 0.3, key=Key(7, step=t), return_mask=True)[1] for t in range(EXAMPLES)]
    mask(axes, np.array(gates).reshape(EXAMPLES, BLOCKS), "layer 1 to L", "training\nstep")


def four_outcomes(axes: Any) -> None:
    x = np.ones((EXAMPLES, BLOCKS))
    _, (a, b) = swapout(x, x, 0.4, 0.4, key=Key(7), return_mask=True)
    fills = np.select([a & b, a, b], [PAPER, BLUE, ORANGE], INK)
    blocks(axes, [[fills]], "D\nwhite x + F(x), blue x, orange F(x)", "N")


def paths(axes: Any) -> None:
    _, gates = fractal_join([np.ones((EXAMPLES, 1))] * 4, 0.6, mode="row", key=Key(7), return_mask=True)
    mask(axes, np.asarray(gates).reshape(4, EXAMPLES).T, "path 1 to 4", "N")


def factors(axes: Any, forward: np.ndarray, backward: np.ndarray, low: float, across: str) -> None:
    """Two blocks (N, L), the darker the smaller the factor between `low` and 1."""
    fills = [[shades((1 - f) / (1 - low), INK) for f in (forward, backward)]]
    blocks(axes, fills, across, "N")
    for column, text in enumerate(("forward", "backward")):
        place = (column + 0.5) * forward.shape[1] + GAP * column
        axes.text(place, -0.2, text, ha="center", va="bottom", fontsize=7.5, color=MUTED)
    axes.set_ylim(EXAMPLES + 0.15, -1.0)


def shaken(axes: Any) -> None:
    x = np.ones((EXAMPLES, 1))
    drawn = [shake_drop(x, x, p, key=Key(7, site=i), return_mask=True)[1] for i, p in enumerate(RATES[1::2])]
    forward, backward = np.concatenate(drawn, axis=-1)  # (N, L)
    factors(axes, forward, backward, -1.0, "block; ink: the branch times -1")


def mixed(axes: Any) -> None:
    x = np.ones((EXAMPLES, 1))
    drawn = [shake_shake(x, x, x, key=Key(7, site=i), return_mask=True)[1] for i in range(5)]
    forward, backward = np.concatenate(drawn, axis=-1)
    factors(axes, forward, backward, 0.0, "block; ink: the second branch alone")


PANELS = (
    Panel("drop_path", "branches of residual blocks, for each example, deeper ones more often", each_example),
    Panel("stochastic_depth", "as first published: a branch goes for the whole batch", whole_batch),
    Panel("layer_drop", "whole layers, drawn anew at each training step", layers_by_step),
    Panel("swapout", "each unit: its input, its residual, both or neither", four_outcomes),
    Panel("fractal_join", "paths that are averaged; one is always kept", paths),
    Panel("shake_drop", "a branch that is dropped gets a random factor, and another one backward", shaken),
    Panel("shake_shake", "two branches in random proportion, in another one backward", mixed),
)
