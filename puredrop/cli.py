"""The command line: puredrop demo | verify | bench | backends."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import __version__, backends


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the return value is the exit status."""
    args = _parser().parse_args(argv)
    return args.run(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="puredrop", description="A dropout engine: exact masks, exact gradients.")
    parser.add_argument("--version", action="version", version=f"puredrop {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    listing = commands.add_parser("backends", help="the backends that are installed")
    listing.set_defaults(run=_backends)
    return parser


def _backends(args: argparse.Namespace) -> int:
    for name in backends.available():
        print(name + (" (default)" if name == backends.default_name() else ""))
    return 0
