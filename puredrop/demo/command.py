"""The whole demonstration, in order: check what may go wrong, train, measure, verify, bench, write the page."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from .. import backends
from . import findings, guarantee, sentences
from .data import Digits, load_digits, no_digits
from .page import page
from .progress import Tell, progress
from .training import Net, Settings, checkpoint_name, train

PACKAGES = ("numpy", "numba", "scikit-learn", "matplotlib")  # versions of these are reported
CHECKED_DIGITS = 50  # how many digits the guarantee of Monte-Carlo samples is checked on


def run(
    report: str | Path = "report",
    seed: int = 0,
    epochs: int | None = None,
    verify: Callable[[], dict[str, Any]] | None = None,
    bench: Callable[[Callable[..., None]], dict[str, Any]] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train on digits with and without dropout, measure, and write `report/index.html` and `report/results.json`.

    `verify()` and `bench(progress)` give the results of those commands; without them their sections say so. Equal seeds
    give equal numbers. What has been trained is kept in `report/checkpoints` until the page is written, so that an
    interrupted run goes on where it was. Returns all numbers, as in `results.json`.
    Raises, before anything starts: ImportError naming what to install; ValueError or TypeError for seed or epochs;
    OSError where the folder cannot be written. KeyboardInterrupt, with a message, for Ctrl-C.
    """
    require_packages()
    settings = Settings(seed=seed) if epochs is None else Settings(seed=seed, epochs=epochs)
    folder = writable_folder(Path(report))
    checkpoints = folder / "checkpoints"
    try:
        with progress(quiet) as tell:
            result = measured(settings, checkpoints, tell)
            result |= {"verify": None, "bench": None}
            if verify is not None:
                result["verify"] = verified(verify, result["seconds"], tell)
            if bench is not None:
                result["bench"] = benched(bench, result["seconds"], tell)
        result["report"] = str(write_report(result, folder))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"demo: stopped, and no report was written. What has been trained is kept in {checkpoints}; "
            f"the same command goes on from there."
        ) from None
    forget(settings, checkpoints)
    if not quiet:
        print(summary(result))
    return result


# ------------------------------------------------------------------------------------------ before anything starts
def require_packages() -> None:
    missing = [name for name, module in (("scikit-learn", "sklearn"), ("matplotlib",) * 2) if find_spec(module) is None]
    if missing:
        raise ImportError(f"demo needs {' and '.join(missing)}: pip install puredrop[demo]")


def writable_folder(folder: Path) -> Path:
    """The folder, made if need be, once a file could be written there."""
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        for place in (folder, folder / "checkpoints"):
            with tempfile.NamedTemporaryFile(dir=place):
                pass
        if (folder / "index.html").is_dir():
            raise IsADirectoryError(21, "index.html is a folder")
    except OSError as error:
        raise type(error)(
            f"demo: the report cannot be written to {folder} ({error.strerror}); choose another folder"
        ) from None
    return folder


# ------------------------------------------------------------------------------------------ the numbers
def measured(settings: Settings, checkpoints: Path, tell: Tell) -> dict[str, Any]:
    """Everything but verify and bench. On one BLAS thread: the rounding of a matrix product depends on their number."""
    from threadpoolctl import threadpool_limits

    digits, seconds = load_digits(settings.train_per_class), dict[str, float]()
    with threadpool_limits(1, user_api="blas"):
        with timed(seconds, "training"):
            nets = trained(settings, digits, checkpoints, tell)
        with timed(seconds, "samples"):
            numbers = found(settings, digits, nets, tell)
    return {
        "settings": asdict(settings)
        | {"seeds": list(settings.seeds), "backend": backends.default_name()}
        | {"train_digits": len(digits.y_train), "test_digits": len(digits.y_test)},
        "versions": versions(),
        **numbers,
        "seconds": seconds,
    }


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 2)


def trained(settings: Settings, digits: Digits, checkpoints: Path, tell: Tell) -> dict[str, list[Net]]:
    """A net without dropout and one with it for each seed."""
    nets: dict[str, list[Net]] = {"without": [], "with": []}
    total = len(plan(settings)) * settings.epochs
    for number, (seed, (name, p)) in enumerate(plan(settings)):
        after_epoch = partial(told, tell, number * settings.epochs, total, f"{name} dropout, seed {seed}")
        nets[name].append(train(settings, digits, p, seed, checkpoints, after_epoch))
        after_epoch(settings.epochs, nets[name][-1].test_nll[-1])  # a resumed net may have had nothing left to do
    return nets


def plan(settings: Settings) -> list[tuple[int, tuple[str, float]]]:
    """The nets to train: (seed, (name, p))."""
    return list(product(settings.seeds, (("without", 0.0), ("with", settings.p))))


def told(tell: Tell, before: int, total: int, note: str, epoch: int, test_nll: float) -> None:
    tell("training", before + epoch, total, f"{note}, test NLL {test_nll:.3f}")


def found(settings: Settings, digits: Digits, nets: dict[str, list[Net]], tell: Tell) -> dict[str, Any]:
    """The numbers that follow from the nets, and the sentences that follow from the numbers."""
    inputs = {"test digits": digits.x_test, **no_digits(digits.x_test, digits.y_test, settings.seed)}
    runs: dict[str, findings.Inputs] = {}
    for i, (name, x) in enumerate(inputs.items()):
        pairs = zip(nets["without"], nets["with"], strict=True)
        runs[name] = findings.Inputs(x, [findings.answers(*pair, x, settings.samples) for pair in pairs])
        tell("samples", i + 1, len(inputs), f"{settings.samples} Monte-Carlo samples of {name}")
    real = runs.pop("test digits")
    labels = digits.y_test
    return {
        "curves": {
            name: [{"train_nll": n.train_nll, "test_nll": n.test_nll} for n in some] for name, some in nets.items()
        },
        "table": findings.table(settings, real.runs, labels),
        "comparisons": {
            "dropout": findings.comparison(real.runs, labels, "without", "with"),
            "samples": findings.comparison(real.runs, labels, "with", "samples"),
        },
        "reliability": findings.reliabilities(real.runs, labels),
        "uncertain": findings.uncertain_digits(digits, real.runs[0].samples),
        "inputs": findings.no_digit_rows(real, runs),
        "guarantee": guarantee.checks(settings.seed, nets["with"][0].model, digits.x_test[:CHECKED_DIGITS]),
    }


def versions() -> dict[str, str]:
    from .. import __version__

    found = {"puredrop": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {"machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"}


# ------------------------------------------------------------------------------------------ verify and bench
def verified(verify: Callable[[], dict[str, Any]], seconds: dict[str, float], tell: Tell) -> dict[str, Any]:
    """The rows of verify, counted by variant and status; those that failed in full."""
    tell("verify", 0, None, "every variant against its checks")
    with timed(seconds, "verify"):
        rows = verify()["rows"]
    tell("verify", len(rows), len(rows), "")
    statuses = ("passed", "failed", "skipped", "not_applicable")
    variants: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = variants.setdefault(row["variant"], dict.fromkeys(statuses, 0))
        counts[row["status"]] += 1
    return {
        "variants": variants,
        "backends": sorted({row["backend"] for row in rows}),
        "counts": {status: sum(counts[status] for counts in variants.values()) for status in statuses},
        "failures": [row for row in rows if row["status"] == "failed"],
    }


def benched(bench: Callable[..., dict[str, Any]], seconds: dict[str, float], tell: Tell) -> dict[str, Any]:
    tell("bench", 0, None, "")
    with timed(seconds, "bench"):
        return bench(lambda done, total, note="": tell("bench", done, total, str(note)))


# ------------------------------------------------------------------------------------------ what is written
def write_report(result: dict[str, Any], folder: Path) -> Path:
    """Both files, each complete or absent. Returns the page's path."""
    text = page(result)
    write_whole(folder / "results.json", json.dumps(result, indent=1, default=float))
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def forget(settings: Settings, checkpoints: Path) -> None:
    """Remove the checkpoints of this run, so that the next one trains; those of other settings stay."""
    for seed, (_, p) in plan(settings):
        (checkpoints / checkpoint_name(settings, p, seed)).unlink(missing_ok=True)
    if not any(checkpoints.iterdir()):
        checkpoints.rmdir()


def write_whole(path: Path, text: str) -> None:
    """Beside its place first, then moved there: a reader never sees half a file."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def summary(result: dict[str, Any]) -> str:
    """The table, the checks and where the page is, for the terminal."""
    lines = [f"{'':42}  accuracy    NLL    ECE   (mean of {len(result['settings']['seeds'])} seeds)"]
    for row in result["table"]:
        accuracy, nll, ece = (sum(row[m]) / len(row[m]) for m in ("accuracy", "nll", "ece"))
        lines.append(f"{row['model'] + ', ' + row['prediction']:<42}  {accuracy:8.1%}  {nll:5.3f}  {ece:5.3f}")
    lines += [f"{'passed' if c['passed'] else 'FAILED'}  {c['claim']}" for c in result["guarantee"]]
    return "\n".join([*lines, *sentences.about_no_digits(result), f"report: {Path(result['report']).resolve()}"])
