"""The figures: each panel is a function (axes, result) that draws numbers of the result and computes none.

The page takes panels as SVG one by one, so that they sit side by side on a desk and one below the other on a phone.
`save_pictures` puts some of them together as PNG. The colours are Okabe and Ito's, told apart by colour-blind eyes
too; every colour is the name of a role, which the page swaps for one that suits a dark background.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..random import Index, Key
from ..variants import keep_mask
from .data import CLASSES, SIDE
from .guarantee import RATES

INK, MUTED, FAINT, PAPER = "#1b1f24", "#606873", "#d5d9de", "#ffffff"
COLOURS = {"without": "#7b828c", "with": "#0072b2", "samples": "#d55e00"}
GOOD = "#009e73"
ROLES = {  # colour -> the name of the page's variable for it
    INK: "ink",
    MUTED: "muted",
    FAINT: "faint",
    PAPER: "paper",
    GOOD: "good",
    **{colour: name for name, colour in COLOURS.items()},
}
MARKERS = {"without": "s", "with": "o", "samples": "D"}
LABELS = {"without": "without dropout", "with": "with dropout, one pass", "samples": "with dropout, samples"}
STYLE = {
    "svg.fonttype": "none",  # text stays text: the page's font, and a reader may search it
    "svg.hashsalt": "puredrop",  # equal numbers give equal files
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}
Panel = Callable[[Any, dict[str, Any]], None]


# ------------------------------------------------------------------------------------------ training
def training_curves(axes: Any, result: dict[str, Any]) -> None:
    """Mean over seeds as a line, each seed as a thin one; test solid, train dashed."""
    for name, curves in result["curves"].items():
        for field, line in (("test_nll", "-"), ("train_nll", (0, (3, 1.5)))):
            values = np.array([c[field] for c in curves])  # (seeds, epochs)
            epochs = np.arange(1, values.shape[1] + 1)
            label = f"{LABELS[name].split(',')[0]}, {'test' if field == 'test_nll' else 'train'}"
            axes.plot(epochs, values.T, ls=line, color=COLOURS[name], lw=0.6, alpha=0.35)
            axes.plot(epochs, values.mean(axis=0), ls=line, color=COLOURS[name], label=label)
    axes.set(yscale="log", xlabel="epoch", title="NLL of train and test digits")
    axes.set_ylim(top=30)  # room for the legend above the curves
    axes.grid(True)
    axes.legend(loc="upper right", handlelength=2.4)


def test_curves(axes: Any, result: dict[str, Any]) -> None:
    """The same test curves on a linear axis, where overfitting shows."""
    ends = []
    for name, curves in result["curves"].items():
        values = np.array([c["test_nll"] for c in curves])
        epochs = np.arange(1, values.shape[1] + 1)
        mean = values.mean(axis=0)
        axes.plot(epochs, values.T, color=COLOURS[name], lw=0.6, alpha=0.35)
        axes.plot(epochs, mean, color=COLOURS[name], label=LABELS[name].split(",")[0])
        axes.plot(mean.argmin() + 1, mean.min(), marker=MARKERS[name], color=COLOURS[name], ms=6)
        ends.append(mean[mean.size // 4 :].max())
    axes.set(xlabel="epoch", title="NLL of the test digits")
    axes.set_ylim(0, 1.25 * max(ends))
    axes.grid(True)
    axes.legend(loc="lower right")


# ------------------------------------------------------------------------------------------ calibration
FEW = 10  # a bin with fewer predictions says too little to be drawn


def reliability(axes: Any, result: dict[str, Any]) -> None:
    """Accuracy over confidence; a dot's area grows with the predictions in its bin."""
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.9, ls=(0, (4, 3)))
    axes.annotate("right as often as confident", (0.30, 0.32), rotation=45, color=MUTED, fontsize=8.5, ha="center")
    for name, bins in result["reliability"].items():
        rows, right, sure = (np.array(bins[f]) for f in ("rows", "accuracy", "confidence"))
        filled = rows >= FEW
        axes.plot(sure[filled], right[filled], color=COLOURS[name], lw=1, alpha=0.6)
        area = 8 + 90 * np.sqrt(rows[filled] / rows.sum())
        axes.scatter(sure[filled], right[filled], s=area, color=COLOURS[name], marker=MARKERS[name], label=LABELS[name])
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), aspect="equal")
    axes.set(xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.grid(True, axis="both")
    for handle in axes.legend(loc="lower right").legend_handles:
        handle.set_sizes([30])


# ------------------------------------------------------------------------------------------ doubt
def uncertain_digit(picture: Any, bars: Any, digit: dict[str, Any], peak: float) -> None:
    """The digit above, the mean probability of each class below: the true one blue, a wrong choice orange."""
    label, said = digit["label"], digit["predicted"]
    pixels = np.array(digit["pixels"]).reshape(SIDE, SIDE)
    picture.imshow(pixels, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    picture.set_axis_off()
    colour = INK if label == said else COLOURS["samples"]
    picture.set_title(f"is {label}, said {said}", fontsize=9.5, loc="center", pad=4, color=colour)
    roles = ["with" if c == label else "samples" if c == said else "without" for c in range(CLASSES)]
    bars.bar(range(CLASSES), digit["mean"], color=[COLOURS[role] for role in roles], width=0.8)
    bars.set(ylim=(0, peak), yticks=[], xticks=range(CLASSES), xlabel=f"MI {digit['mutual_information']:.2f}")
    bars.tick_params(axis="x", length=0, pad=2, labelsize=7)
    bars.xaxis.label.set_size(8.5)
    bars.spines["left"].set_visible(False)


def information(axes: Any, result: dict[str, Any]) -> None:
    """Histograms of the mutual information, one strip for each sort of input, the digits on top."""
    rows = result["inputs"]
    top = max(max(row["mutual_information"]) for row in rows) or 1.0
    edges = np.linspace(0, top, 41)
    for i, row in enumerate(rows):
        share = np.histogram(row["mutual_information"], edges)[0] / row["count"]
        height = 0.6 * share / share.max()
        base = len(rows) - 1 - i
        colour = COLOURS["with" if i == 0 else "samples"]
        axes.stairs(base + height, edges, baseline=base, fill=True, color=colour, alpha=0.85, lw=0)
        axes.axhline(base, color=FAINT, lw=0.8)
        found = f", AUROC {np.mean(row['auroc']['mutual_information']):.2f}" if i else ""
        axes.text(top, base + 0.76, row["name"] + found, ha="right", va="center", fontsize=9)
    threshold = rows[0]["threshold"][0]
    axes.axvline(threshold, color=INK, lw=0.9, ls=(0, (4, 3)))
    axes.text(threshold + 0.015 * top, len(rows) - 0.6, "5% of digits beyond", fontsize=8.5, color=MUTED, va="center")
    axes.set(xlim=(0, top), ylim=(-0.02, len(rows)), yticks=[])
    axes.set(xlabel="mutual information, nats", title="What the samples disagree on")
    axes.spines["left"].set_visible(False)


# ------------------------------------------------------------------------------------------ masks
MASK = (14, 24)
SHARD = (slice(4, 11), slice(9, 20))


def masks_at(rate: float) -> Panel:
    """The mask of the seed's key at one rate; what is kept at a higher rate is darker, at every rate."""

    def draw(axes: Any, result: dict[str, Any]) -> None:
        key = Key(result["settings"]["seed"])
        kept = [keep_mask(key, MASK, p) for p in RATES]
        here = keep_mask(key, MASK, rate)
        cells(axes, ~here, PAPER, edge=FAINT)
        for mask, nxt, colour in zip(kept, [*kept[1:], np.zeros(MASK, np.bool_)], MASK_SHADES, strict=True):
            cells(axes, here & mask & ~nxt, colour)
        axes.set_title(f"p = {rate}: {here.mean():.0%} kept", pad=6)

    return draw


MASK_SHADES = ("#8fc1e3", COLOURS["with"], "#003b5c")  # kept at p = 0.1 only; at 0.5 too; at 0.9 too
ROLES |= {MASK_SHADES[0]: "kept-low", MASK_SHADES[2]: "kept-high"}


def shard(axes: Any, result: dict[str, Any]) -> None:
    """The whole mask, with the part drawn alone laid upon it."""
    from matplotlib.patches import Rectangle

    key = Key(result["settings"]["seed"])
    rows, columns = SHARD
    whole, alone = keep_mask(key, MASK, 0.5), keep_mask(key, Index.whole(MASK)[SHARD], 0.5)
    placed = np.zeros(MASK, np.bool_)
    placed[SHARD] = alone
    inside = np.zeros(MASK, np.bool_)
    inside[SHARD] = True
    cells(axes, ~(whole & ~inside | placed), PAPER, edge=FAINT)
    cells(axes, whole & ~inside, COLOURS["with"])
    cells(axes, placed, COLOURS["samples"])
    across, down = columns.stop - columns.start, rows.stop - rows.start
    outline = Rectangle((columns.start - 0.5, rows.start - 0.5), across, down, fill=False, lw=1.4, clip_on=False)
    outline.set_edgecolor(COLOURS["samples"])
    axes.add_patch(outline)
    same = "the same bits" if np.array_equal(alone, whole[SHARD]) else "OTHER BITS"
    axes.set_title(f"p = 0.5, a part drawn alone: {same}", pad=6)


def cells(axes: Any, where: np.ndarray, colour: str, edge: str = "none") -> None:
    """A square for each True, and axes that hold the mask and nothing else."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    squares = [Rectangle((column - 0.42, row - 0.42), 0.84, 0.84) for row, column in np.argwhere(where)]
    axes.add_collection(PatchCollection(squares, facecolor=colour, edgecolor=edge, lw=0.5))
    axes.set(xlim=(-0.6, where.shape[1] - 0.4), ylim=(where.shape[0] - 0.4, -0.6), aspect="equal")
    axes.set_axis_off()


# ------------------------------------------------------------------------------------------ benchmark
def bench_sizes(result: dict[str, Any]) -> list[int]:
    """The sizes worth a panel: the largest, and the one in the middle."""
    sizes = sorted({row["size"] for row in result["bench"]["rows"] if row["dtype"] == "float32"})
    return sorted({sizes[len(sizes) // 2], sizes[-1]}) if sizes else []


def bench_bars(size: int) -> Panel:
    """Nanoseconds an element of every contender, forward and with backward."""

    def draw(axes: Any, result: dict[str, Any]) -> None:
        rows = [row for row in result["bench"]["rows"] if row["size"] == size and row["dtype"] == "float32"]
        fastest_first = sorted(rows, key=lambda row: row["ns_per_element"]["median"])
        contenders = list(dict.fromkeys(row["contender"] for row in fastest_first))
        longest = max(max(row["ns_per_element"].values()) for row in rows)
        for row in rows:
            backward = row["pass"] != "forward"
            place = contenders.index(row["contender"]) + (0.2 if backward else -0.2)
            colour = COLOURS["with"] if row["contender"].startswith("puredrop") else COLOURS["without"]
            spread = row["ns_per_element"]
            axes.barh(place, spread["median"], height=0.36, color=colour, alpha=0.5 if backward else 1.0)
            axes.plot([spread["low"], spread["high"]], [place, place], color=INK, lw=1)
            end = max(spread["median"], spread["high"]) + 0.015 * longest
            axes.text(end, place, f"{spread['median']:.2g}", va="center", fontsize=8.5, color=MUTED)
        axes.set(yticks=range(len(contenders)), yticklabels=contenders, xlabel="ns an element")
        axes.set(title=f"{size:,} elements, float32", xlim=(0, 1.15 * longest))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(True, axis="x")

    return draw


# ------------------------------------------------------------------------------------------ files
PANELS: dict[str, tuple[Panel, tuple[float, float]]] = {  # name -> (what draws it, inches)
    "test-curves": (test_curves, (4.4, 3.2)),
    "training-curves": (training_curves, (4.4, 3.2)),
    "reliability": (reliability, (4.4, 4.2)),
    "information": (information, (4.4, 4.2)),
    **{f"mask-{p}": (masks_at(p), (4.4, 2.8)) for p in RATES},
    "shard": (shard, (4.4, 2.8)),
}


def svg(result: dict[str, Any], name: str) -> str:
    """A panel of the page as an inline SVG element, with the page's variables for colours."""
    draw, inches = PANELS[name]
    return svg_of(draw, inches, result, name)


def svg_of(draw: Panel, inches: tuple[float, float], result: dict[str, Any], name: str) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.subplots(), result)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(text.getvalue(), name)


def bench_svg(result: dict[str, Any], size: int) -> str:
    """The benchmark's panel for one size, as tall as it has contenders."""
    contenders = {row["contender"] for row in result["bench"]["rows"]}
    return svg_of(bench_bars(size), (4.6, 0.9 + 0.42 * len(contenders)), result, f"bench-{size}")


def for_page(document: str, name: str) -> str:
    """The <svg> element alone: ids unique on the page, colours by role, size from the page."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", element)
    element = re.sub(r'<svg ([^>]*?)width="([\d.]+)pt" height="[\d.]+pt"', r"<svg \1", element, count=1)
    element = element.replace("<svg ", f'<svg role="img" aria-label="{name.replace("-", " ")}" ', 1)
    return re.sub("|".join(ROLES), lambda found: f"var(--{ROLES[found[0]]})", element)


def save_pictures(result: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write demo-training.png, demo-uncertain.png, demo-inputs.png and demo-masks.png; returns their paths."""
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, compose in PICTURES.items():
        with matplotlib.rc_context(STYLE):
            path = folder / f"demo-{name}.png"
            figure = compose(result)
            figure.savefig(
                path, dpi=160, facecolor=PAPER, bbox_inches="tight", pad_inches=0.12, metadata={"Software": None}
            )
        paths.append(path)
    return paths


def _training_picture(result: dict[str, Any]) -> Any:
    return _side_by_side(result, [test_curves, reliability], (9.2, 3.9))


def _inputs_picture(result: dict[str, Any]) -> Any:
    return _side_by_side(result, [information], (6.4, 4.4))


def _side_by_side(result: dict[str, Any], panels: list[Panel], inches: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, result)
    return figure


def _uncertain_picture(result: dict[str, Any]) -> Any:
    """Rows of six digits, each above its bars."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    digits = result["uncertain"]["digits"]
    peak = max(max(digit["mean"]) for digit in digits)
    figure = Figure(figsize=(9.2, 4.8), layout=ConstrainedLayoutEngine(h_pad=0.07))
    grid = figure.subplots(len(digits) // 3, 6, height_ratios=[2.4, 1] * (len(digits) // 6))
    for i, digit in enumerate(digits):
        row, column = divmod(i, 6)
        uncertain_digit(grid[2 * row, column], grid[2 * row + 1, column], digit, peak)
    return figure


def _masks_picture(result: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 5.6), layout="constrained")
    panels = [*(masks_at(p) for p in RATES), shard]
    for axes, draw in zip(figure.subplots(2, 2).flat, panels, strict=True):
        draw(axes, result)
    return figure


PICTURES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "training": _training_picture,
    "uncertain": _uncertain_picture,
    "inputs": _inputs_picture,
    "masks": _masks_picture,
}
