"""A table as a command: check what may go wrong, compute it set by set, compare, write."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..demo.command import versions, writable_folder, write_whole
from ..demo.progress import progress
from ..nn.datasets import data_folder
from . import active, choose, concrete, early_dropout, ensembles, mnist, ood, recurrent, uci, variance_shift
from .report import as_text, picture
from .table import Protocol, Table
from .training import Workshop

TABLES: dict[str, Table] = {
    "uci": uci.TABLE,
    "ensembles": ensembles.TABLE,
    "concrete": concrete.TABLE,
    "mnist": mnist.TABLE,
    "ood": ood.TABLE,
    "active": active.TABLE,
    "recurrent": recurrent.TABLE,
    "variance-shift": variance_shift.TABLE,
    "early-dropout": early_dropout.TABLE,
    "choose": choose.TABLE,
}


def run(
    table: str,
    sets: list[str] | None = None,
    data: str | Path | None = None,
    report: str | Path = "report",
    seed: int = 0,
    epochs: int | None = None,
    samples: int | None = None,
    grid: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compute a published table again; write `TABLE.json` and `TABLE.png` into `report`, and print it.

    table: one of `TABLES`.  sets: names of regression sets, which may be shortened; all in the folder for None.
    data: the folder that holds them; PUREDROP_DATA for None.  epochs, samples: fewer for a quick look.  grid: choose
    rate and precision by validation, in place of those that were published.
    Equal seeds give equal numbers, on one machine. What is under way is kept in `report/checkpoints` until the table is
    done: an interrupted run goes on where it was.
    Raises, before anything starts: ImportError naming what to install; ValueError for the table, a set or a number;
    OSError for files. KeyboardInterrupt, with a message, for Ctrl-C.
    """
    protocol = checked(table, sets, seed, epochs, samples, grid)
    loaded = TABLES[table].load(data_folder(data), sets)
    folder = writable_folder(Path(report))
    try:
        with progress(quiet) as tell:
            workshop = Workshop(folder / "checkpoints", tell, [])
            result = computed(table, loaded, protocol, workshop)
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


def checked(
    table: str, sets: list[str] | None, seed: int, epochs: int | None, samples: int | None, grid: bool
) -> Protocol:
    """The protocol, of numbers that make sense, where all that is needed is installed."""
    if table not in TABLES:
        raise ValueError(f"reproduce: table must be one of {', '.join(TABLES)}, got {table!r}")
    if grid and not TABLES[table].has_grid:
        raise ValueError(f"reproduce: {table} has no grid to search")
    if sets and not TABLES[table].has_sets:
        raise ValueError(f"reproduce: {table} has no sets to choose from")
    for name, value, least in (("seed", seed, 0), ("epochs", epochs, 1), ("samples", samples, 1)):
        if value is not None and value < least:
            raise ValueError(f"reproduce: {name} must be at least {least}, got {value}")
    if find_spec("matplotlib") is None:
        raise ImportError("reproduce needs matplotlib: pip install puredrop[demo]")
    return Protocol(seed, epochs, samples, grid)


def computed(name: str, loaded: Any, protocol: Protocol, workshop: Workshop) -> dict[str, Any]:
    """All numbers of the table, ready for JSON."""
    from threadpoolctl import threadpool_limits

    table = TABLES[name]
    with threadpool_limits(1, user_api="blas"):  # the rounding of a matrix product depends on the number of threads
        parts = table.measure(loaded, protocol, workshop)
    facts = {
        "table": name,
        "title": table.title,
        "labels": dict(table.labels),
        "over": table.over,
        "beside": table.beside,
    }
    kinds = {"is_same": table.is_same, "by_split": table.by_split, "by_method": table.by_method}
    found = {"parts": parts, "findings": table.findings(parts), "versions": versions()}
    return facts | kinds | asdict(protocol) | found
