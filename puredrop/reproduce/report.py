"""A table as text and as a picture: paper, ours, difference, standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..demo.plots import COLOURS, INK, MUTED, STYLE

CLOSE = 3.0  # standard errors within which a difference counts as none


def as_text(result: dict[str, Any]) -> str:
    """The table for the terminal. Nothing in it depends on the machine's speed but the costs of methods."""
    labels = result["labels"]
    if result["by_method"]:
        return _methods_as_text(result)
    width = max(len(part["set"]) for part in result["parts"])
    wide = max(len(label) for label in labels.values())
    lines = [
        f"{result['table']}: {result['title']}; seed {result['seed']}; mean (standard error) over {result['over']}",
        f"{'':{width}} {'':{wide}} {result['beside']:>17} {'ours':>17} {'difference':>17}   in errors",
    ]
    for part in result["parts"]:
        for metric, line in part["comparison"].items():
            cells = " ".join(
                f"{_cell(line[name], name == 'difference'):>17}" for name in ("paper", "ours", "difference")
            )
            errors = "" if line["errors"] is None else f"{line['errors']:+.1f}"
            lines.append(f"{part['set']:{width}} {labels[metric]:{wide}} {cells}   {errors:>9}".rstrip())
        lines += [f"{'':{width}} {note}" for note in part["notes"]]
    return "\n".join([*lines, verdict(result), *result["findings"]])


def _methods_as_text(result: dict[str, Any]) -> str:
    """A line for each method, and a block for each group of them."""
    lines = [
        f"{result['table']}: {result['title']}; seed {result['seed']}; mean (standard error) over {result['over']}"
    ]
    width = max(len(part["set"]) for part in result["parts"])
    for group, parts in _in_groups(result["parts"]).items():
        head = [f"{result['labels'][metric]:>15}" for metric in parts[0]["comparison"]]
        lines.append(" ".join([f"{group:{width}}", *head, *(f"{kind:>10}" for kind in parts[0]["costs"])]))
        for part in parts:
            scores = [f"{_cell(line['ours'], False):>15}" for line in part["comparison"].values()]
            costs = [f"{f'x {ratio:.2f}' if ratio < 10 else f'x {ratio:.0f}':>10}" for ratio in part["costs"].values()]
            lines.append(" ".join([f"{part['set']:{width}}", *scores, *costs]))
    return "\n".join([*lines, *result["findings"]])


def _in_groups(parts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [part for part in parts if part["group"] == name] for name in {part["group"]: 0 for part in parts}}


def _cell(pair: Any, sign: bool) -> str:
    if pair is None:
        return "-"
    mean, error = pair
    return f"{mean:{'+' if sign else ''}.3f} ({'-' if error is None else f'{error:.3f}'})"


def verdict(result: dict[str, Any]) -> str:
    """Whether all is as in the paper."""
    errors = {
        f"{part['set']}, {result['labels'][metric]}": line["errors"]
        for part in result["parts"]
        for metric, line in part["comparison"].items()
        if line["errors"] is not None
    }
    far = [name for name, value in errors.items() if not abs(value) <= CLOSE]
    if not errors:
        return "nothing was published to compare with"
    if not result["is_same"]:
        return f"{result['beside']}: another experiment, of which the signs at most can be compared"
    return f"beyond {CLOSE:g} standard errors: {'; '.join(far)}" if far else f"all within {CLOSE:g} standard errors"


def picture(result: dict[str, Any], path: Path) -> None:
    """Split by split where the table has that, else a line for each part or method: what was published beside ours."""
    import matplotlib
    from matplotlib.figure import Figure

    parts, labels = result["parts"], result["labels"]
    with matplotlib.rc_context(STYLE):
        if result["by_method"]:
            figure = Figure(figsize=(14, 1.6 + 0.32 * len(parts)), layout="constrained")
            _by_method(figure, parts, labels)
        elif result["by_split"]:
            figure = Figure(figsize=(2.9 * len(parts), 2.7 * len(labels)), layout="constrained")
            panels = figure.subplots(len(labels), len(parts), squeeze=False).T
            for column, axes in zip(parts, panels, strict=True):
                for (metric, label), panel in zip(labels.items(), axes, strict=True):
                    _by_split(panel, column, metric, f"{column['set']}, {label}")
        else:
            figure = Figure(figsize=(1.6 + 2.4 * len(labels), 1.4 + 0.3 * len(parts)), layout="constrained")
            panels = figure.subplots(1, len(labels), squeeze=False, sharey=True)[0]
            for (metric, label), panel in zip(labels.items(), panels, strict=True):
                _in_lines(panel, parts, metric, label, result["beside"])
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _by_method(figure: Any, parts: list[dict[str, Any]], labels: dict[str, str]) -> None:
    """A row of panels for each group of methods, a panel for each score."""
    groups = _in_groups(parts)
    rows = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=[2 + len(some) for some in groups.values()])
    for (name, methods), row in zip(groups.items(), rows[:, 0], strict=True):
        row.suptitle(name)
        panels = row.subplots(1, len(methods[0]["comparison"]), squeeze=False, sharey=True)[0]
        for metric, panel in zip(methods[0]["comparison"], panels, strict=True):
            _in_lines(panel, methods, metric, labels[metric], "")


def _in_lines(axes: Any, parts: list[dict[str, Any]], metric: str, title: str, beside: str) -> None:
    """Ours with three standard errors to either side, and what was published."""
    axes.set_title(title)
    lines = [part["comparison"].get(metric) for part in parts]
    ours = [(y, *line["ours"]) for y, line in enumerate(lines) if line]
    paper = [(y, line["paper"][0]) for y, line in enumerate(lines) if line and line["paper"]]
    places, means, errors = (list(values) for values in zip(*ours, strict=True))
    axes.errorbar(
        means, places, xerr=[CLOSE * (e or 0.0) for e in errors], fmt="o", color=COLOURS["with"], ms=5, label="ours"
    )
    if paper:
        axes.plot([mean for _, mean in paper], [y for y, _ in paper], "D", color=INK, mfc="none", ms=7, label=beside)
    axes.set_yticks(range(len(parts)), [part["set"] for part in parts])
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(True, axis="x")


def _by_split(axes: Any, part: dict[str, Any], metric: str, title: str) -> None:
    """Every split as a point, the published number to the right, ours upwards."""
    ours, paper = np.array([row[metric] for row in part["rows"]]), part["published"]
    axes.set_title(title)
    axes.set_ylabel("ours")
    line = part["comparison"][metric]
    if paper is None:  # no numbers of the splits, at most a mean: its band is one standard error
        axes.plot(range(len(ours)), ours, "o", color=COLOURS["with"], ms=4)
        axes.set_xlabel("split")
        if line["paper"] is not None:
            mean, error = line["paper"]
            axes.axhspan(mean - error, mean + error, color=MUTED, alpha=0.25, lw=0)
            axes.axhline(mean, color=INK, lw=0.9, label="paper")
            axes.legend()
        return
    both = np.concatenate([ours, paper[metric]])
    ends = [both.min(), both.max()]
    axes.locator_params(nbins=4)
    axes.plot(ends, ends, color=MUTED, lw=0.9)
    axes.plot(paper[metric], ours, "o", color=COLOURS["with"], ms=4)
    axes.set_xlabel("published, split by split")
