"""The command line: puredrop demo | verify | conform | masks | bench | reproduce | variants | backends."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, backends, streams
from .variants.door import whole_number

# The tables of `reproduce`, which is imported when it is run.
REPRODUCIBLE = (
    "uci",
    "ensembles",
    "concrete",
    "mnist",
    "ood",
    "active",
    "recurrent",
    "variance-shift",
    "early-dropout",
    "choose",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the return value is the exit status: 0 for good, 1 for a failure, 2 for a wrong call."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'interrupted'}", file=sys.stderr)
        return 130
    except (ImportError, OSError, ValueError, NotImplementedError, backends.BackendError) as error:
        print(f"puredrop {args.command}: {str(error).removeprefix(f'{args.command}: ')}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="puredrop", description="A dropout engine: exact masks, exact gradients.")
    parser.add_argument("--version", action="version", version=f"puredrop {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")

    demo = commands.add_parser("demo", help="train on real digits, compare with and without dropout, write a report")
    demo.add_argument(
        "--model", choices=("mlp", "cnn", "lstm", "transformer"), help="compare all dropouts of this model"
    )
    demo.add_argument("--data", metavar="FOLDER", help="MNIST for mlp and cnn, as IDX files or NPZ")
    demo.add_argument("--text", metavar="FILE", help="what lstm and transformer learn to write")
    demo.add_argument("--report", default="report", metavar="FOLDER", help="where the page goes (default: report)")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--epochs", type=int, help="fewer for a quick look")
    demo.add_argument("--pictures", metavar="FOLDER", help="save the pictures there too, as the README shows them")
    demo.set_defaults(run=_demo)

    verify = commands.add_parser("verify", help="run every check on every variant and backend; exit 1 on a failure")
    verify.add_argument("names", nargs="*", metavar="name", help="variants, layers or libraries; all by default")
    verify.add_argument(
        "--layers", action="store_true", help="the layers, beside PyTorch's with equal weights and masks"
    )
    verify.add_argument(
        "--streams", action="store_true", help="the streams, mask by mask beside the libraries that they reproduce"
    )
    verify.add_argument("--backend", action="append", metavar="NAME", help="only this one; may be repeated")
    verify.add_argument(
        "--host-emulation", action="store_true", help="cupy alone, without a GPU: its Python and kernels on the CPU"
    )
    verify.add_argument("--json", action="store_true", help="print JSON in place of the table")
    verify.set_defaults(run=_verify)

    _add_conform(commands)
    _add_masks(commands)

    bench = commands.add_parser("bench", help="time dropout beside PyTorch, NumPy's generator and a plain copy")
    bench.add_argument(
        "suite",
        nargs="?",
        default="scaling",
        help="scaling (dropout over sizes), kernels (single operations), tape, layers (training steps of models), "
        "predict (Monte-Carlo samples), streams (PyTorch's masks) or load (the slowest calls on a busy machine)",
    )
    bench.add_argument("--quick", action="store_true", help="ten seconds in place of a minute")
    bench.add_argument("--compare", metavar="FILE", help="an older result: exit 1 where it has become slower")
    bench.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write JSON, to the screen without FILE")
    bench.add_argument("--picture", metavar="FILE", help="draw the times into a .png or .svg file")
    bench.set_defaults(run=_bench)

    _add_reproduce(commands)

    catalogue = commands.add_parser("variants", help="every variant, a line each")
    catalogue.add_argument("--markdown", action="store_true", help="as docs/variants.md has it: formulas and sources")
    catalogue.add_argument("--pictures", metavar="FOLDER", help="draw the masks there, as docs/variants.md shows them")
    catalogue.set_defaults(run=_variants)

    listing = commands.add_parser("backends", help="every backend: usable, or why not and what to install")
    listing.set_defaults(run=_backends)
    return parser


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser("reproduce", help="compute a published table again, and compare")
    reproduce.add_argument("table", choices=REPRODUCIBLE)
    reproduce.add_argument("--sets", metavar="NAMES", help="yacht,energy: some of the sets in the folder")
    reproduce.add_argument("--data", metavar="FOLDER", help="what holds the sets (default: $PUREDROP_DATA)")
    reproduce.add_argument("--report", default="report", metavar="FOLDER", help="where it goes (default: report)")
    reproduce.add_argument("--seed", type=int, default=0)
    reproduce.add_argument("--grid", action="store_true", help="uci: choose rate and precision by validation")
    reproduce.add_argument("--epochs", type=int, help="fewer for a quick look")
    reproduce.add_argument("--samples", type=int, help="Monte-Carlo samples, fewer for a quick look")
    reproduce.set_defaults(run=_reproduce)


def _add_conform(commands: Any) -> None:
    conform = commands.add_parser("conform", help="hold the dropouts of other libraries against the same checks")
    conform.add_argument("names", nargs="*", metavar="library", help="torch, jax, flax, keras, ...; all by default")
    conform.add_argument("--operation", action="append", metavar="NAME", help="only this one; may be repeated")
    conform.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write JSON, to the screen without FILE")
    conform.add_argument("--html", metavar="FOLDER", help="write pages there: the matrix, and one for each finding")
    conform.set_defaults(run=_conform)


def _add_masks(commands: Any) -> None:
    masks = commands.add_parser("masks", help="print or save the masks that a library draws from a seed, without it")
    masks.add_argument(
        "--like",
        choices=streams.NAMES,
        default="puredrop",
        metavar="LIBRARY",
        help=f"one of {', '.join(streams.NAMES)}",
    )
    masks.add_argument("--seed", type=int, default=0)
    masks.add_argument("--shape", type=_shape, required=True, metavar="4x8", help="of the array that is dropped from")
    masks.add_argument("--p", type=float, default=0.5, help="the probability of dropping (default: 0.5)")
    masks.add_argument("--operation", default="dropout", help="dropout, dropout2d, alpha_dropout, ...")
    masks.add_argument("--dtype", default="float32", help="of the array (default: float32)")
    masks.add_argument("--count", type=int, metavar="N", help="the first N masks, one after the other")
    masks.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the stream, such as sm_count=132"
    )
    masks.add_argument("--save", metavar="FILE", help="write a .npy file in place of the screen")
    masks.add_argument("--json", action="store_true", help="print JSON")
    masks.set_defaults(run=_masks)


def _demo(args: argparse.Namespace) -> int:
    from . import bench, conformance, demo

    if args.pictures:
        _require_folder(Path(args.pictures))
    for option, models in (("data", ("mlp", "cnn")), ("text", ("lstm", "transformer"))):
        if getattr(args, option) and args.model not in models:
            raise ValueError(f"--{option} is for --model {' and --model '.join(models)}")
    if args.model:
        result = demo.run_model(args.model, args.report, args.seed, args.epochs, args.data, args.text)
        if args.pictures:
            demo.save_picture(result, args.pictures)
        return 0
    result = demo.run(
        args.report,
        seed=args.seed,
        epochs=args.epochs,
        verify=lambda: conformance.as_json(conformance.verify(["dropout"])),  # all variants take minutes
        bench=lambda progress: bench.run(preset="quick", progress=progress),
    )
    if args.pictures:
        demo.save_pictures(result, args.pictures)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from . import conformance

    rows, text = (_compared_streams if args.streams else _checked)(args)
    print(json.dumps(conformance.as_json(rows), indent=1) if args.json else text(rows))
    return int(any(row.status == "failed" for row in rows))


def _checked(args: argparse.Namespace) -> tuple[list[Any], Callable[[Any], str]]:
    """The rows of variants or layers, and what prints them."""
    from . import conformance
    from .backends.emulation import host_emulation
    from .conformance import layers

    run, text = (layers.verify_layers, layers.as_text) if args.layers else (conformance.verify, conformance.as_text)
    with host_emulation() if args.host_emulation else nullcontext():
        on = ["cupy"] if args.host_emulation else args.backend
        return run(args.names or None, on=on, progress=_progress()), text


def _compared_streams(args: argparse.Namespace) -> tuple[list[Any], Callable[[Any], str]]:
    """The rows of the streams, and what prints them."""
    from .conformance import streams as comparison

    if args.layers or args.backend or args.host_emulation:
        raise ValueError("--streams compares masks with other libraries; leave the options of backends and layers out")
    return comparison.verify_streams(args.names or None, progress=_progress()), comparison.as_text


def _conform(args: argparse.Namespace) -> int:
    from .conformance import libraries

    for path in filter(None, (args.html, args.json if args.json != "-" else None)):
        _require_folder(Path(path).parent)
    result = libraries.conform(args.names or None, args.operation, progress=_progress())
    text = json.dumps(libraries.as_json(result), indent=1)
    print(text if args.json == "-" else libraries.as_text(result))
    if args.json not in (None, "-"):
        Path(args.json).write_text(text + "\n")
    if args.html:
        print(libraries.write_html(result, args.html), file=sys.stderr)
    return int(bool(result.findings))


def _masks(args: argparse.Namespace) -> int:
    if args.save:
        _require_folder(Path(args.save).parent)
    stream = streams.named(args.like, args.seed, **dict(map(_option, args.set)))
    count = 1 if args.count is None else whole_number("masks", "count", args.count, 1)
    try:
        drawn = [stream.mask(args.shape, args.p, operation=args.operation, dtype=args.dtype) for _ in range(count)]
    except LookupError as error:  # a stream that was given keys or layers for fewer masks
        raise ValueError(str(error)) from error
    keep = drawn[0] if args.count is None else np.stack(drawn)
    if args.save:
        with open(args.save, "wb") as file:  # np.save would add an ending
            np.save(file, keep)
    elif args.json:
        known = {name: getattr(args, name) for name in ("like", "seed", "p", "operation", "dtype")}
        print(json.dumps({**known, "verified_with": stream.verified, "keep": keep.astype(int).tolist()}))
    else:
        print(streams.as_text(keep))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.lower().split("x"))


def _option(text: str) -> tuple[str, Any]:
    name, given, value = text.partition("=")
    if not given:
        raise ValueError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _bench(args: argparse.Namespace) -> int:
    from . import bench

    if args.picture:
        if args.suite in ("layers", "load"):
            raise ValueError(f"bench {args.suite} has no picture; leave one of the two out")
        bench.check_picture(args.picture)
    for path in filter(None, (args.picture, args.json if args.json != "-" else None)):
        _require_folder(Path(path).parent)
    older = json.loads(Path(args.compare).read_text()) if args.compare else None
    result, text = _benched(args)
    if args.json == "-":
        print(json.dumps(result, indent=1))
    else:
        print(text(result))
    if args.json not in (None, "-"):
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    if args.picture:
        bench.picture(result, args.picture)
    if older is None:
        return 0
    changes = bench.compare(result, older)
    print(bench.comparison_table(changes))
    return int(any(change["verdict"] == "slower" for change in changes))


def _benched(args: argparse.Namespace) -> tuple[dict[str, Any], Callable[[dict[str, Any]], str]]:
    """The result of a suite, and what makes a table of it."""
    from . import bench

    if args.suite == "layers":
        return bench.run_steps(seconds=12 if args.quick else 120, progress=_progress()), bench.steps_table
    if args.suite == "load":
        return bench.run_load(calls=500 if args.quick else 5000), bench.load_table
    return bench.run(preset="quick" if args.quick else "full", progress=_progress(), suite=args.suite), bench.table


def _reproduce(args: argparse.Namespace) -> int:
    from . import reproduce

    names = args.sets.split(",") if args.sets else None
    reproduce.run(args.table, names, args.data, args.report, args.seed, args.epochs, args.samples, args.grid)
    return 0


def _require_folder(folder: Path) -> None:
    """What would only be noticed when the work is done."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FileNotFoundError(f"{folder} is not a folder that can be written")


def _variants(args: argparse.Namespace) -> int:
    from .conformance import catalogue

    if args.pictures:
        _require_folder(Path(args.pictures))
        for path in catalogue.save_pictures(args.pictures):
            print(path)
    else:
        print(catalogue.as_markdown() if args.markdown else catalogue.as_text())
    return 0


def _backends(args: argparse.Namespace) -> int:
    for name in backends.KNOWN:
        reason = backends.why_not(name)
        usable = "usable, the default" if name == backends.default_name() else "usable"
        print(f"{name:6} {usable if reason is None else f'not usable: {reason}'}")
    return 0


def _progress() -> Callable[[int, int, str], None] | None:
    """A line that is written over on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int, text: str) -> None:
        line = f"[{done}/{total}] {text}"[:78]
        print(f"\r{line:78}", end="" if done < total else "\r" + " " * 78 + "\r", file=sys.stderr, flush=True)

    return show
