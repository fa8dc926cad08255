"""How masks are drawn: a square for each element, white where kept, ink where dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...random import Key

INK, MUTED, FAINT, PAPER = "#1b1f24", "#606873", "#c9ced5", "#ffffff"
BLUE, ORANGE, PALE = "#0072b2", "#d55e00", "#e6e9ed"  # Okabe and Ito's, which colour-blind eyes tell apart
STYLE = {
    "font.size": 9,
    "axes.labelcolor": MUTED,
    "text.color": INK,
}
GAP = 0.9  # between blocks of squares, in squares
KEY = Key(33)  # one under which something is dropped in every row
Draw = Callable[[Any], None]


@dataclass(frozen=True)
class Panel:
    """One variant: its name, what there is to see, and what draws it into axes of matplotlib."""

    variant: str
    caption: str
    draw: Draw


def drawn(operation: Any, x: np.ndarray, p: float = 0.4, key: Key = KEY, **options: Any) -> np.ndarray:
    """The mask that an operation draws for x, in the shape of x."""
    _, keep = operation(x, p, key=key, return_mask=True, **options)
    return np.broadcast_to(keep, x.shape)


def squares(axes: Any, fills: np.ndarray, left: float = 0.0, top: float = 0.0) -> None:
    """A square for each entry of `fills` (rows, columns), which holds colours."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    places = list(np.ndindex(fills.shape))
    patches = [Rectangle((left + column + 0.04, top + row + 0.04), 0.92, 0.92) for row, column in places]
    colours = [fills[place] for place in places]
    axes.add_collection(PatchCollection(patches, facecolor=colours, edgecolor=FAINT, lw=0.5))


def kept_or_dropped(keep: np.ndarray) -> np.ndarray:
    """Colours: white where kept, ink where dropped."""
    return np.where(keep, PAPER, INK)


def shades(values: np.ndarray, colour: str = BLUE) -> np.ndarray:
    """Colours from white for 0 to `colour` for 1."""
    from matplotlib.colors import to_hex, to_rgb

    full = np.array(to_rgb(colour))
    mixed = [to_hex(1 - v * (1 - full)) for v in np.clip(values, 0, 1).ravel()]
    return np.array(mixed, dtype=object).reshape(values.shape)


def frame(axes: Any, width: float, height: float, across: str = "", down: str = "") -> None:
    """Axes that hold a picture of that many squares, first row on top, with the letters of its axes."""
    axes.set(xlim=(-0.15, width + 0.15), ylim=(height + 0.15, -0.15), aspect="equal", xticks=[], yticks=[])
    axes.set_xlabel(across, fontsize=8)
    axes.set_ylabel(down, fontsize=8, rotation=0, ha="right", va="center")
    axes.set_frame_on(False)


def blocks(axes: Any, fills: Sequence[Sequence[np.ndarray]], across: str = "", down: str = "") -> None:
    """Blocks of squares in rows and columns, all of one size; `fills[row][column]` holds colours."""
    height, width = fills[0][0].shape
    for row, line in enumerate(fills):
        for column, block in enumerate(line):
            squares(axes, block, column * (width + GAP), row * (height + GAP))
    rows, columns = len(fills), len(fills[0])
    frame(axes, columns * (width + GAP) - GAP, rows * (height + GAP) - GAP, across, down)


def mask(axes: Any, keep: np.ndarray, across: str, down: str) -> None:
    """A mask (rows, columns)."""
    blocks(axes, [[kept_or_dropped(keep)]], across, down)


def masks(axes: Any, keep: np.ndarray, across: str, down: str) -> None:
    """Masks (rows, columns, h, w), a block for each of the first two axes."""
    blocks(axes, list(kept_or_dropped(keep)), across, down)


def words(axes: Any, text: Sequence[Sequence[str]], keep: np.ndarray, replacement: str | None = None) -> None:
    """A word in each box; where dropped white on ink, and `replacement` in place of the word."""
    from matplotlib.patches import Rectangle

    wide = 2.4
    for (row, column), kept in np.ndenumerate(keep):
        box = Rectangle((wide * column + 0.04, row + 0.04), wide - 0.08, 0.92, ec=FAINT, lw=0.5)
        box.set_facecolor(PAPER if kept else INK)
        axes.add_patch(box)
        shown = text[row][column] if kept or replacement is None else replacement
        middle = wide * (column + 0.5), row + 0.54
        axes.text(*middle, shown, color=INK if kept else PAPER, ha="center", va="center", fontsize=7.5)
    frame(axes, wide * len(text[0]), len(text), "T", "N")


def dots(axes: Any, chosen: np.ndarray, colour: str = ORANGE) -> None:
    """A dot in each square that is True in `chosen` (rows, columns)."""
    rows, columns = np.nonzero(chosen)
    axes.scatter(columns + 0.5, rows + 0.5, s=26, color=colour, zorder=3, lw=0)
