"""A table as text and as a picture: paper, ours, difference, standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..demo.plots import COLOURS, INK, MUTED, STYLE

CLOSE = 3.0  # standard errors within which a difference counts as none
LABELS = {"rmse": "RMSE", "ll": "LL"}


class Comparison(NamedTuple):
    """One line: means over splits and their standard errors. None where nothing was published."""

    paper: tuple[float, float] | None
    ours: tuple[float, float]
    difference: tuple[float, float] | None

    @property
    def errors(self) -> float | None:
        """The difference in standard errors."""
        return None if self.difference is None else self.difference[0] / self.difference[1]


def paired(ours: np.ndarray, paper: np.ndarray | None) -> Comparison:
    """Compared split by split: how hard a split is does not count."""
    if paper is None:
        return Comparison(None, mean_and_error(ours), None)
    return Comparison(mean_and_error(paper), mean_and_error(ours), mean_and_error(ours - paper))


def unpaired(ours: np.ndarray, mean: float, deviation: float) -> Comparison:
    """Compared with a published mean and standard deviation over as many splits."""
    own = mean_and_error(ours)
    error = deviation / len(ours) ** 0.5
    return Comparison((mean, error), own, (own[0] - mean, float(np.hypot(own[1], error))))


def mean_and_error(a: np.ndarray) -> tuple[float, float]:
    """Mean and standard error (ddof = 1). One split has no standard error: NaN."""
    return float(a.mean()), float(a.std(ddof=1) / len(a) ** 0.5) if len(a) > 1 else float("nan")


def as_text(result: dict[str, Any]) -> str:
    """The table for the terminal. Nothing in it depends on the machine's speed."""
    width = max(len(part["set"]) for part in result["parts"])
    lines = [
        f"{result['table']}: {result['title']}; seed {result['seed']}; mean (standard error) over splits",
        f"{'':{width}} {'':4} {'paper':>17} {'ours':>17} {'difference':>17}   in errors",
    ]
    for part in result["parts"]:
        for metric, label in LABELS.items():
            line = part["comparison"][metric]
            cells = " ".join(
                f"{_cell(line[name], name == 'difference'):>17}" for name in ("paper", "ours", "difference")
            )
            errors = "" if line["errors"] is None else f"{line['errors']:+.1f}"
            lines.append(f"{part['set']:{width}} {label:4} {cells}   {errors:>9}".rstrip())
        lines += [f"{'':{width}} {note}" for note in part["notes"]]
    return "\n".join([*lines, verdict(result)])


def _cell(pair: Any, sign: bool) -> str:
    if pair is None:
        return "-"
    mean, error = pair
    return f"{mean:{'+' if sign else ''}.3f} ({'-' if error is None else f'{error:.3f}'})"


def verdict(result: dict[str, Any]) -> str:
    """Whether all is as published."""
    errors = {
        f"{part['set']} {LABELS[metric]}": line["errors"]
        for part in result["parts"]
        for metric, line in part["comparison"].items()
        if line["errors"] is not None
    }
    far = [name for name, value in errors.items() if not abs(value) <= CLOSE]
    if not errors:
        return "nothing was published to compare with"
    return f"beyond {CLOSE:g} standard errors: {', '.join(far)}" if far else f"all within {CLOSE:g} standard errors"


def picture(result: dict[str, Any], path: Path) -> None:
    """For each set and metric every split as a point, the published number to the right, ours upwards."""
    import matplotlib
    from matplotlib.figure import Figure

    parts = result["parts"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(parts), 5.4), layout="constrained")
        for column, axes in zip(parts, figure.subplots(2, len(parts), squeeze=False).T, strict=True):
            for (metric, label), panel in zip(LABELS.items(), axes, strict=True):
                _panel(panel, column, metric, f"{column['set']}, {label}")
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _panel(axes: Any, part: dict[str, Any], metric: str, title: str) -> None:
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
