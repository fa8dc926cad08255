"""The report of a study: one HTML file that needs nothing else, in the style of the demonstration's."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..page import document, figure, html_table, paragraph, section
from ..plots import COLOURS, INK, MUTED, PAPER, STYLE, svg_of

SHADES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
SHOWN = {"accuracy": "{:.2%}", "perplexity": "{:.3f}", "nll": "{:.4f}", "ece": "{:.4f}"}


def page(result: dict[str, Any]) -> str:
    """The whole document, from the numbers alone."""
    parts = (first_screen, curves, reproduce)
    return document(f"puredrop: {result['title']}", "\n".join(part(result) for part in parts))


def first_screen(result: dict[str, Any]) -> str:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(result))
    return f"""<header>
<p class="name">puredrop {escape(result["versions"]["puredrop"])}, a study of dropout</p>
<h1>{escape(result["title"])}, with and without.</h1>
<p class="lead">{escape(result["data"])}.</p>
</header>
<div class="box"><div class="scroll">{table(result)}</div>
<p class="note">{result["epochs"]} epochs, one seed. Samples: the mean prediction over Monte-Carlo masks, the same mask
for the whole pass; in all other columns nothing is dropped. Except for accuracy, lower is better.</p></div>
<ul class="said">{said}</ul>"""


def table(result: dict[str, Any]) -> str:
    metrics = list(result["rows"][0]["eval"])
    head = ["", *(f"{m}<small>{way}</small>" for m in metrics for way in ("one pass", "samples")), "seconds"]
    rows = []
    for row in result["rows"]:
        cells = [f"{escape(row['name'])}<small>{escape(row['drops'])}</small>"]
        for m in metrics:
            cells.append(SHOWN[m].format(row["eval"][m]))
            cells.append(SHOWN[m].format(row["samples"][m]) if row["samples"] else "")
        rows.append([*cells, f"{row['seconds']:.0f}"])
    return html_table(head, rows)


def sentences(result: dict[str, Any]) -> list[str]:
    """What follows from the numbers, for this seed."""
    metric, rows = result["metric"], result["rows"]
    plain, others = rows[0], rows[1:]
    best = min(others, key=lambda row: row["eval"][metric])
    said = [compared(metric, plain, best)]
    lowest = {row["name"]: min(row["curve"]) for row in rows}
    rising = [row["name"] for row in rows if row["curve"][-1] > 1.05 * lowest[row["name"]]]
    if rising:
        said.append(f"Past its best, by more than a twentieth of {metric} at the end: {', '.join(rising)}.")
    gains = {row["name"]: row["eval"][metric] - row["samples"][metric] for row in others if row["samples"]}
    better = [name for name, gain in gains.items() if gain > 0]
    said.append(f"The mean over samples has a lower {metric} than one pass in {len(better)} of {len(gains)} models.")
    return said


def compared(metric: str, plain: dict[str, Any], best: dict[str, Any]) -> str:
    one, other = best["eval"][metric], plain["eval"][metric]
    shown = SHOWN[metric].format
    if one < other:
        return f"Of {metric}, {best['name']} has the lowest: {shown(one)}, where without dropout it is {shown(other)}."
    return f"No dropout improves on {metric} here: {shown(other)} without, {shown(one)} for {best['name']}, the next."


def curves(result: dict[str, Any]) -> str:
    """Left: the metric over the epochs. Right: where it ends, in one pass and over samples."""
    height = 1.1 + 0.38 * len(result["rows"])
    panels = [
        svg_of(draw_curves, (4.6, 3.6), result, f"{result['name']}-curves"),
        svg_of(draw_ends, (4.6, max(height, 2.6)), result, f"{result['name']}-ends"),
    ]
    return section(
        "Over the epochs",
        figure(
            panels,
            f"Left: {escape(result['metric'])} of the held-out data after each epoch, nothing dropped. Right: at the "
            f"end, in one pass (dot) and over samples (diamond); the line is the model without dropout.",
        ),
    )


def draw_curves(axes: Any, result: dict[str, Any]) -> None:
    values = np.array([row["curve"] for row in result["rows"]])  # (contenders, epochs)
    epochs = np.arange(1, values.shape[1] + 1)
    marker = "o" if len(epochs) == 1 else None
    for i, row in enumerate(result["rows"]):
        style = {"color": SHADES[(i - 1) % len(SHADES)]} if i else {"color": COLOURS["without"], "ls": "--"}
        axes.plot(epochs, values[i], label=row["name"], lw=1.5, marker=marker, **style)
    late = values[:, len(epochs) // 4 :]
    axes.set(xlabel="epoch", title=f"{result['metric']} of the held-out data")
    axes.set_ylim(0.97 * values.min(), max(1.15 * late.max(), 1.1 * values.min()))
    axes.grid(True)
    axes.legend(fontsize=8, loc="upper right")


def draw_ends(axes: Any, result: dict[str, Any]) -> None:
    metric, rows = result["metric"], result["rows"]
    for place, row in enumerate(rows):
        one, many = row["eval"][metric], row["samples"] and row["samples"][metric]
        if many is not None:
            axes.plot([one, many], [place, place], color=MUTED, lw=1)
            axes.plot(
                many, place, marker="D", ms=5, color=COLOURS["samples"], ls="", label="_" * (place > 1) + "samples"
            )
        colour = COLOURS["with" if place else "without"]
        axes.plot(one, place, marker="o", ms=6, color=colour, ls="", label="_" * (place != 1) + "one pass")
    axes.axvline(rows[0]["eval"][metric], color=INK, lw=0.9, ls=(0, (4, 3)))
    axes.set(yticks=range(len(rows)), yticklabels=[row["name"] for row in rows], xlabel=metric, title="At the end")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")
    axes.legend(fontsize=8)


def save_picture(result: dict[str, Any], folder: str | Path) -> Path:
    """Write both panels as study-NAME.png; returns its path."""
    import matplotlib
    from matplotlib.figure import Figure

    path = Path(folder) / f"study-{result['name']}.png"
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(9.6, 3.8), layout="constrained")
        for axes, draw in zip(picture.subplots(1, 2), (draw_curves, draw_ends), strict=True):
            draw(axes, result)
        picture.savefig(path, dpi=160, facecolor=PAPER, metadata={"Software": None})
    return path


def reproduce(result: dict[str, Any]) -> str:
    command = f"puredrop demo --model {result['name']} --seed {result['seed']} --epochs {result['epochs']}"
    facts = [*result["versions"].items(), *result["settings"].items()]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts)
    return section(
        "Reproduce",
        paragraph(
            f"The same seed gives the same numbers on the same machine. All of them are in {result['name']}.json "
            f"beside this page."
        ),
        f"<pre><code>{escape(command)}</code></pre>",
        f"<dl>{listed}</dl>",
    )
