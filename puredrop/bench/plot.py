"""The result of a run as a picture: nanoseconds an element over size, a panel for each pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measure import elements
from .report import conditions

INK, MUTED, FAINT = "#1b1f24", "#606873", "#d5d9de"
# Okabe and Ito's colours, which colour-blind eyes tell apart; grey for the floor. Line and marker say the same again.
LOOKS: dict[str, dict[str, Any]] = {
    "copy": {"color": "#7b828c", "marker": ".", "ls": "-"},
    "masks alone": {"color": "#e69f00", "marker": ".", "ls": (0, (4, 2))},
    "copy into out=": {"color": "#7b828c", "marker": ".", "ls": (0, (2, 2))},
    "numpy generator": {"color": "#009e73", "marker": "^"},
    "torch": {"color": "#d55e00", "marker": "s"},
    "puredrop[numpy]": {"color": "#56b4e9", "marker": "D"},
    "puredrop[numba]": {"color": "#0072b2", "marker": "o", "lw": 2.6},
}
OTHER_COLOURS = ("#cc79a7", "#f0e442", "#000000")
STYLE = {
    "svg.fonttype": "none",  # text stays text: a reader may search it
    "svg.hashsalt": "puredrop",  # equal numbers give equal files
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}
LABEL_GAP = 0.055  # between the middles of two lines of text, as a share of a panel's height
ENDINGS = (".png", ".svg")


def picture(result: Mapping[str, Any], path: str | Path) -> None:
    """Save `figure(result)` as PNG or SVG, by the path's ending. Raises as `check_picture` does."""
    check_picture(path)
    import matplotlib

    with matplotlib.rc_context(STYLE):
        metadata = {"Date": None} if Path(path).suffix.lower() == ".svg" else {"Software": None}
        figure(result).savefig(path, dpi=160, metadata=metadata)


def check_picture(path: str | Path) -> None:
    """What can be known before a run takes its minute. Raises ValueError for another ending, ImportError."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise ValueError(f"bench: a picture's path must end in {' or '.join(ENDINGS)}, got {str(path)!r}")
    _require_matplotlib()


def figure(result: Mapping[str, Any]) -> Any:
    """A matplotlib Figure. Raises ImportError, naming what to install, without matplotlib."""
    _require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    rows = result["rows"]
    passes = list(dict.fromkeys(row["pass"] for row in rows)) or ["no measurement was finished"]
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(5.2 * len(passes) + 0.4, 4.6), layout="constrained")
        panels = drawing.subplots(1, len(passes), sharey=True, squeeze=False)[0]
        ends = [
            _panel(axes, which, [row for row in rows if row["pass"] == which])
            for axes, which in zip(panels, passes, strict=True)
        ]
        for axes, end in zip(panels, ends, strict=True):  # once the common scale is known
            _label_ends(axes, end)
        drawing.supylabel("nanoseconds an element", fontsize=10, color=MUTED)
        drawing.supxlabel(caption(result), fontsize=8.5, color=MUTED, x=0.01, ha="left")
    return drawing


def caption(result: Mapping[str, Any]) -> str:
    """The conditions, and what lines and bands are."""
    return f"{conditions(result)}. Lines: medians over interleaved rounds; bands: quartiles. Lower is faster."


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("bench: a picture needs matplotlib: pip install puredrop[demo]") from None


def _panel(axes: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """Draw the lines; gives where each ends."""
    axes.set_title(title)
    if not rows:
        axes.set_axis_off()
        return {}
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    ends = {}
    for name, look in looks(contenders).items():
        mine = [row for row in rows if row["contender"] == name]
        sizes, spreads = [row["size"] for row in mine], [row["ns_per_element"] for row in mine]
        axes.plot(sizes, [one["median"] for one in spreads], **look)
        band = [one["low"] for one in spreads], [one["high"] for one in spreads]
        axes.fill_between(sizes, *band, color=look["color"], alpha=0.18, lw=0)
        ends[name] = sizes[-1], spreads[-1]["median"]
    _size_axis(axes, sorted({row["size"] for row in rows}))
    return ends


def looks(contenders: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each contender is drawn; those without a look of their own take the colours that are left."""
    others = [name for name in contenders if name not in LOOKS]
    spare = {name: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, name in enumerate(others)}
    return {name: LOOKS.get(name) or {"color": spare[name], "marker": "v"} for name in contenders}


def _size_axis(axes: Any, sizes: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    labels = [f"$2^{{{n.bit_length() - 1}}}$" if n & (n - 1) == 0 else elements(n) for n in sizes]
    axes.set_xticks(sizes, labels)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("elements")
    axes.grid(True)


def _label_ends(axes: Any, ends: Mapping[str, tuple[int, float]]) -> None:
    """The name of each line at its right end, moved apart where lines end close together."""
    names = sorted(ends, key=lambda name: ends[name][1])
    low, high = axes.get_ylim()
    heights = [math.log(ends[name][1] / low) / math.log(high / low) for name in names]  # as shares of the panel
    for name, height in zip(names, apart(heights, LABEL_GAP), strict=True):
        line = {"arrowstyle": "-", "color": looks([name])[name]["color"], "lw": 0.8, "shrinkA": 1, "shrinkB": 4}
        place = {"xytext": (1.04, height), "textcoords": "axes fraction", "va": "center"}
        axes.annotate(name, ends[name], **place, fontsize=9, arrowprops=line)


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved so that neighbours are at least `gap` apart and the whole stays where it was.

    >>> apart([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    clusters: list[list[float]] = []
    for height in heights:
        clusters.append([height])
        while len(clusters) > 1 and _bottom(clusters[-1], gap) - _top(clusters[-2], gap) < gap:
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    return [_bottom(cluster, gap) + i * gap for cluster in clusters for i in range(len(cluster))]


def _bottom(cluster: Sequence[float], gap: float) -> float:
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def _top(cluster: Sequence[float], gap: float) -> float:
    return _bottom(cluster, gap) + gap * (len(cluster) - 1)
