"""A study as a command: check what may go wrong, train, measure, write the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..command import require_packages, versions, writable_folder, write_whole
from ..progress import progress
from . import images, text
from .page import page
from .study import Study, run_study

MODELS = ("mlp", "cnn", "lstm", "transformer")


def run_model(
    model: str,
    report: str | Path = "report",
    seed: int = 0,
    epochs: int | None = None,
    data: str | Path | None = None,
    text_file: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train `model` with and without each dropout that suits it; write `MODEL.html` and `MODEL.json` into `report`.

    mlp and cnn learn images: MNIST from the folder `data` (or $PUREDROP_DATA), else scikit-learn's digits. lstm and
    transformer learn the characters of `text_file`, or of the novel that comes with the package. Equal seeds give equal
    numbers. Each epoch ends in a checkpoint, so that an interrupted run goes on where it was.
    Raises, before anything starts: ImportError naming what to install; ValueError for the model, the epochs or a text
    too short; OSError for files. KeyboardInterrupt, with a message, for Ctrl-C.
    """
    require_packages()
    study = chosen(model, epochs, data, text_file)
    folder = writable_folder(Path(report))
    checkpoints = folder / "checkpoints"
    try:
        with progress(quiet) as tell:
            result = run_study(study, seed, checkpoints, lambda done, total, note: tell(model, done, total, note))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"demo: stopped. What has been trained is kept in {checkpoints}; the same command goes on from there."
        ) from None
    result |= {"versions": versions(), "report": str(folder / f"{model}.html")}
    write_whole(folder / f"{model}.json", json.dumps(result, indent=1))
    write_whole(folder / f"{model}.html", page(result))
    if not any(checkpoints.iterdir()):
        checkpoints.rmdir()
    if not quiet:
        print(summary(result))
    return result


def chosen(model: str, epochs: int | None, data: str | Path | None, text_file: str | Path | None) -> Study:
    """The study of that name, on that data."""
    if model not in MODELS:
        raise ValueError(f"demo: model must be one of {', '.join(MODELS)}, got {model!r}")
    if epochs is not None and epochs < 1:
        raise ValueError(f"demo: epochs must be at least 1, got {epochs}")
    if model in ("mlp", "cnn"):
        return getattr(images, model)(data, epochs)
    return getattr(text, model)(text_file, epochs)


def summary(result: dict[str, Any]) -> str:
    """The table for the terminal."""
    metrics = list(result["rows"][0]["eval"])
    width = max(len(row["name"]) for row in result["rows"])
    lines = [result["data"], f"{'':{width}}  " + "".join(f"{metric:>11}{'samples':>9}" for metric in metrics)]
    for row in result["rows"]:
        cells = ((row["eval"][m], row["samples"] and row["samples"][m]) for m in metrics)
        shown = (f"{one:11.4f}" + (f"{many:9.4f}" if many is not None else f"{'-':>9}") for one, many in cells)
        lines.append(f"{row['name']:{width}}  {''.join(shown)}")
    return "\n".join([*lines, f"report: {Path(result['report']).resolve()}"])
