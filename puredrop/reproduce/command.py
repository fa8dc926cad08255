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
from .report import Comparison, as_text, paired, picture, unpaired
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
    ours = {metric: np.array([row[metric] for row in rows]) for metric in ("rmse", "ll")}
    if table == "uci":
        known = data.published
        published = known and {"rmse": known.mc_rmse, "ll": known.ll}
        lines = {metric: paired(values, published and published[metric]) for metric, values in ours.items()}
        means = {name: float(np.mean([row[f"{name}_rmse"] for row in rows])) for name in ("deterministic", "one_pass")}
        notes = [f"RMSE in eval mode {means['deterministic']:.3f}, of one pass {means['one_pass']:.3f}"]
        listed = published and {metric: values.tolist() for metric, values in published.items()}
        return {"comparison": _as_json(lines), "published": listed, "notes": notes}
    if data.name not in ensembles.PAPER:
        return {
            "comparison": _as_json({m: paired(values, None) for m, values in ours.items()}),
            "published": None,
            "notes": [],
        }
    (rmse, rmse_deviation), (nll, nll_deviation) = ensembles.PAPER[data.name]
    lines = {"rmse": unpaired(ours["rmse"], rmse, rmse_deviation), "ll": unpaired(ours["ll"], -nll, nll_deviation)}
    return {"comparison": _as_json(lines), "published": None, "notes": []}


def _as_json(lines: dict[str, Comparison]) -> dict[str, Any]:
    """Numbers that are none (the standard error of one split) become null, which JSON has."""
    pairs = {metric: line._asdict() | {"errors": line.errors} for metric, line in lines.items()}
    return {
        m: {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in pair.items()}
        for m, pair in pairs.items()
    }
