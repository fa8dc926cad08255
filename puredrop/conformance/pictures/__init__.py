"""Pictures of the masks, drawn by the variants themselves: `puredrop variants --pictures docs`."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import attention, channels, graph, recurrent, regions, residual, sequences, units, weights
from .draw import FAINT, INK, MUTED, PAPER, STYLE, Panel

__all__ = ["PICTURES", "PLAIN", "Picture", "save_pictures"]


@dataclass(frozen=True)
class Picture:
    """A figure with a panel for each of several variants, and the family (a file of cases/) under which it is shown."""

    family: str
    panels: tuple[Panel, ...]
    columns: int = 4
    height: float = 2.0  # of a panel's drawing, in inches

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of its panels."""
        return tuple(panel.variant for panel in self.panels)


PICTURES = MappingProxyType(
    {
        "masks-channels.png": Picture("structured", channels.PANELS, height=1.7),
        "masks-sequences.png": Picture("structured", sequences.PANELS, columns=3, height=2.1),
        "masks-units.png": Picture("counts", units.PANELS, height=1.5),
        "masks-blocks.png": Picture("blocks", regions.BLOCKS, columns=3),
        "masks-weights.png": Picture("weights", weights.PANELS, columns=3, height=1.7),
        "masks-recurrent.png": Picture("recurrent", recurrent.PANELS, columns=3, height=1.8),
        "masks-residual.png": Picture("residual", residual.PANELS, height=1.85),
        "masks-attention.png": Picture("attention", attention.PANELS, columns=3, height=1.75),
        "masks-pooling.png": Picture("pooling", regions.POOLING, columns=2),
        "masks-graph.png": Picture("graph", graph.PANELS, columns=3, height=1.9),
    }
)

ELEMENTS = "a decision for each element, like dropout"
REAL = "real numbers and no mask"
PLAIN = MappingProxyType(  # variant -> why it has no picture
    {
        "classic_dropout": ELEMENTS,
        "alpha_dropout": ELEMENTS,
        "concrete_dropout": ELEMENTS,
        "gaussian_dropout": REAL,
        "continuous_dropout": REAL,
        "gaussian_noise": REAL,
        "information_dropout": REAL,
        "flipout": "signs and no mask",
        "hard_concrete_gate": REAL,
        "hard_concrete_penalty": "nothing is drawn",
        "variational_gaussian_dropout": REAL,
        "local_reparametrisation_linear": REAL,
        "sparse_variational_linear": REAL,
    }
)
# Inches: a panel's drawing, the room for letters on its left, for its name and caption above, its axis below.
WIDTH, LEFT, ABOVE, BELOW = 2.15, 0.62, 0.62, 0.42
LEGEND = 0.3
CAPTION = 42  # letters in a line of a caption


def save_pictures(folder: str | Path) -> list[Path]:
    """Write every picture into a folder; returns their paths. Raises ImportError without matplotlib."""
    if find_spec("matplotlib") is None:
        raise ImportError("variants: the pictures need matplotlib: pip install 'puredrop[docs]'")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(picture, folder / name) for name, picture in PICTURES.items()]


def _save(picture: Picture, path: Path) -> Path:
    import matplotlib
    from matplotlib.figure import Figure

    rows = math.ceil(len(picture.panels) / picture.columns)
    across, down = LEFT + WIDTH, ABOVE + picture.height + BELOW  # of a panel with all that belongs to it
    width, height = across * picture.columns, down * rows + LEGEND
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for number, panel in enumerate(picture.panels):
            row, column = divmod(number, picture.columns)
            left, top = column * across + LEFT, height - row * down - ABOVE
            place = left / width, (top - picture.height) / height, WIDTH / width, picture.height / height
            axes = figure.add_axes(place, anchor="NW")
            panel.draw(axes)
            _name(figure, panel, left / width, top / height, 0.05 / height)
        _legend(figure)
        figure.savefig(path, dpi=150, facecolor=PAPER, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    return path


def _name(figure: Any, panel: Panel, left: float, top: float, gap: float) -> None:
    """The variant's name in bold, and below it what there is to see, as two lines."""
    lines = [*textwrap.wrap(panel.caption, CAPTION), ""][:2]
    text = {"ha": "left", "va": "bottom", "linespacing": 1.15}
    figure.text(left, top + 6.2 * gap, panel.variant, fontsize=9.5, fontweight="bold", **text)
    figure.text(left, top + gap, "\n".join(lines), fontsize=7.5, color=MUTED, **text)


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    fills = ("kept", PAPER), ("dropped", INK)
    handles = [Patch(facecolor=fill, edgecolor=FAINT, label=label) for label, fill in fills]
    place = LEFT / figure.get_figwidth() - 0.01, 0.0
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=2, frameon=False, fontsize=8)
