"""A table as a command: check what may go wrong, compute it set by set, compare, write."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..demo.command import versions, writable_folder, write_whole
from ..demo.progress import progress
from ..nn.datasets import data_folder
from . import ensembles, uci
from .report import LABELS, Comparison, as_text, paired, picture, unpaired
from .sets import RegressionSet, load_sets
from .training import Workshop
from .uci import Protocol

TABLES = {"uci": uci, "ensembles": ensembles}


def run(
    table: str,
    sets: list[str] | None = None,
    data: str | Path | None = None,
    report: str | Path = "report",
    seed: int = 0,
    epochs: int | None = None,
    samples: int = uci.SAMPLES,
    grid: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compute a published table again; write `TABLE.json` and `TABLE.png` into `report`, and print it.

    table: "uci" or "ensembles".  sets: names of regression sets, which may be shortened; all in the folder for None.
    data: the folder that holds them; PUREDROP_DATA for None.  epochs, samples: fewer for a quick look.  grid: choose
    rate and precision by validation, in place of those that were published.
    Equal seeds give equal numbers, on one machine. What is under way is kept in `report/checkpoints` until the table is
    done: an interrupted run goes on where it was.
    Raises, before anything starts: ImportError naming what to install; ValueError for the table, a set or a number;
    OSError for files. KeyboardInterrupt, with a message, for Ctrl-C.
    """
    protocol = checked(table, seed, epochs, samples, grid)
    chosen = list(load_sets(data_folder(data), sets))
    folder = writable_folder(Path(report))
    try:
        with progress(quiet) as tell:
            workshop = Workshop(folder / "checkpoints", tell, [])
            result = computed(table, chosen, protocol, workshop)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"reproduce: stopped. What has been trained is kept in {folder / 'checkpoints'}; "
            f"the same command goes on from there."
        ) from None
    write_whole(folder / f"{table}.json", json.dumps(result, indent=1))
    picture(result, folder / f"{table}.png")
    workshop.clear()
    if not any(workshop.folder.iterdir()):
        workshop.folder.rmdir()
    if not quiet:
        print(as_text(result))
    return result


def checked(table: str, seed: int, epochs: int | None, samples: int, grid: bool) -> Protocol:
    """The protocol, of numbers that make sense, where all that is needed is installed."""
    if table not in TABLES:
        raise ValueError(f"reproduce: table must be one of {', '.join(TABLES)}, got {table!r}")
    if grid and table != "uci":
        raise ValueError(f"reproduce: {table} has no grid to search")
    for name, value, least in (("seed", seed, 0), ("epochs", epochs, 1), ("samples", samples, 1)):
        if value is not None and value < least:
            raise ValueError(f"reproduce: {name} must be at least {least}, got {value}")
    if find_spec("matplotlib") is None:
        raise ImportError("reproduce needs matplotlib: pip install puredrop[demo]")
    return Protocol(seed, epochs, samples, grid)


def computed(table: str, sets: list[RegressionSet], protocol: Protocol, workshop: Workshop) -> dict[str, Any]:
    """All numbers of the table, ready for JSON."""
    from threadpoolctl import threadpool_limits

    parts = []
    with threadpool_limits(1, user_api="blas"):  # the rounding of a matrix product depends on the number of threads
        for data in sets:
            part = TABLES[table].measured(data, protocol, workshop)
            parts.append(part | against_published(table, data, part["rows"]))
    facts = {"table": table, "title": TABLES[table].TITLE, **vars(protocol)}
    return facts | {"parts": parts, "versions": versions()}


def against_published(table: str, data: RegressionSet, rows: list[dict[str, float]]) -> dict[str, Any]:
    """The comparison of each metric, the published numbers of the splits where there are some, and what to add."""
    ours = {metric: np.array([row[metric] for row in rows]) for metric in LABELS}
    published, notes = None, []
    lines = {metric: paired(values, None) for metric, values in ours.items()}
    if table == "uci":
        means = {name: float(np.mean([row[f"{name}_rmse"] for row in rows])) for name in ("deterministic", "one_pass")}
        notes = [f"RMSE in eval mode {means['deterministic']:.3f}, of one pass {means['one_pass']:.3f}"]
        if data.published is not None:
            published = {"rmse": data.published.mc_rmse.tolist(), "ll": data.published.ll.tolist()}
            lines = {metric: paired(values, np.array(published[metric])) for metric, values in ours.items()}
    elif data.name in ensembles.PAPER:
        paper = ensembles.PAPER[data.name]
        lines = {metric: unpaired(values, *paper[metric]) for metric, values in ours.items()}
        notes = [bars(LABELS[metric], values, *paper[metric]) for metric, values in ours.items() if len(values) > 1]
    return {
        "comparison": {metric: as_json(line) for metric, line in lines.items()},
        "published": published,
        "notes": notes,
    }


def bars(label: str, ours: np.ndarray, mean: float, deviation: float) -> str:
    """Whether bars of one standard deviation meet, as the paper reads its table."""
    own = float(ours.std(ddof=1))
    meet = abs(float(ours.mean()) - mean) <= own + deviation
    return (
        f"standard deviation of {label} over splits {deviation:.2f} in the paper, {own:.2f} here: "
        f"the bars {'overlap' if meet else 'do not overlap'}"
    )


def as_json(line: Comparison) -> dict[str, Any]:
    """Numbers that are none (the standard error of one split) become null, which JSON has."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else value

    pairs = {name: pair and [number(value) for value in pair] for name, pair in line._asdict().items()}
    return {**pairs, "errors": number(line.errors)}
