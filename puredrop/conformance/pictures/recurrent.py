"""Panels of noise over time: the mask above, what goes on to the next step below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...random import Key
from ...variants import dropout, locked_dropout, locked_gate_dropout, memory_dropout, update_dropout, zoneout
from .draw import GAP, MUTED, Draw, Panel, frame, kept_or_dropped, shades, squares

STEPS, UNITS = 16, 6
NEW = 0.25 + 0.75 * np.random.default_rng(5).random((STEPS, UNITS))  # what each step comes up with
Step = Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (t, new, old) -> (state, keep)


def run(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """The masks and the states of a sequence, both (units, steps)."""
    state, states, masks = np.zeros(UNITS), [], []
    for t, new in enumerate(NEW):
        state, keep = step(t, new, state)
        states.append(state)
        masks.append(np.broadcast_to(keep, state.shape))
    return np.array(masks).T, np.array(states).T


def over_time(step: Step, below: str) -> Draw:
    """The mask above, the states below."""

    def draw(axes: Any) -> None:
        keep, states = run(step)
        squares(axes, kept_or_dropped(keep))
        squares(axes, shades(0.9 * states / states.max()), top=UNITS + GAP)
        frame(axes, STEPS, 2 * UNITS + GAP, "T")
        for text, place in (("mask", UNITS / 2), (below, 1.5 * UNITS + GAP)):
            axes.text(-0.4, place, text, ha="right", va="center", fontsize=8, color=MUTED)

    return draw


def key_for_each_step(t: int, new: np.ndarray, old: np.ndarray) -> Any:
    return dropout(new, 0.4, key=Key(7, step=t), return_mask=True)


def one_key(t: int, new: np.ndarray, old: np.ndarray) -> Any:
    y, keep = locked_dropout(new[None, None], 0.4, time_axis=1, key=Key(9), return_mask=True)
    return y[0, 0], keep[0, 0]


def update(t: int, new: np.ndarray, old: np.ndarray) -> Any:
    forget, write = np.full(UNITS, 0.7), np.full(UNITS, 0.3)
    return update_dropout(new, old, forget, write, 0.4, key=Key(7, step=t), return_mask=True)


def memory(t: int, new: np.ndarray, old: np.ndarray) -> Any:
    forget, write = np.full(UNITS, 0.7), np.full(UNITS, 0.3)
    return memory_dropout(new, old, forget, write, 0.4, key=Key(9), return_mask=True)


def zoned(t: int, new: np.ndarray, old: np.ndarray) -> Any:
    return zoneout(new, old, 0.6, key=Key(7, step=t), return_mask=True)


def gates(axes: Any) -> None:
    """Four masks, one for each gate of an LSTM, each locked over time."""
    _, keep = locked_gate_dropout(np.ones((1, 3)), 0.4, gates=4, key=Key(8), return_mask=True)  # (4, 1, 3)
    for number, gate in enumerate("ifgo"):
        top = number * (3 + 0.3)
        squares(axes, np.repeat(kept_or_dropped(keep[number].T), STEPS, axis=1), top=top)
        axes.text(-0.4, top + 1.5, f"gate {gate}", ha="right", va="center", fontsize=8, color=MUTED)
    frame(axes, STEPS, 2 * UNITS + GAP, "T")


PANELS = (
    Panel("dropout", "a key for each step: Zaremba's, on inputs", over_time(key_for_each_step, "input")),
    Panel("locked_dropout", "one key: the same units at every step", over_time(one_key, "input")),
    Panel("locked_gate_dropout", "one key, and a mask for each gate: Gal's untied masks", gates),
    Panel(
        "update_dropout",
        "dropped: nothing is written; the memory fades and is never lost",
        over_time(update, "memory"),
    ),
    Panel("memory_dropout", "the same units of the memory are empty throughout", over_time(memory, "memory")),
    Panel("zoneout", "dropped: the unit keeps its old state", over_time(zoned, "state")),
)
