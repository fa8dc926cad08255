"""Masks and values that libraries made, kept in files: `tests/golden/streams` holds the scripts that write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from math import prod
from typing import Any

import numpy as np

from ...streams import Stream, draw_from
from ...variants import dropout
from .row import Counts, total

Described = dict[str, Any]  # a chain's arguments, or what one draw was asked for


def compared(
    file: str, stream: Callable[[Described], Stream], chosen: Callable[[Described], bool] = lambda made: True
) -> Counts:
    """All that our streams draw, beside what the library drew: `stream` makes one from the arguments of a chain."""
    counts = Counts(0, 0)
    for made, drawn in chains(file):
        if chosen(made):
            ours = stream(made)
            counts += total(_one(ours, draw, theirs) for draw, theirs in drawn)
    return counts


def chains(file: str) -> Iterator[tuple[Described, list[tuple[Described, Any]]]]:
    """The chains of a file: a stream's arguments, and of each draw what was asked for, and what came.

    What came is a mask, the digest of one, or an array and the values that dropout made of it.
    """
    with (files("puredrop.conformance") / "golden" / "streams" / f"{file}.npz").open("rb") as opened:
        arrays = dict(np.load(opened))
    at = 0
    for chain in json.loads(bytes(arrays["meta"]))["chains"]:
        drawn = []
        for draw in chain["draws"]:
            theirs, at = _what_came(arrays, draw, at)
            drawn.append((draw, theirs))
        yield chain["stream"], drawn


def _what_came(arrays: dict[str, np.ndarray], draw: Described, at: int) -> tuple[Any, int]:
    """And where the bits of the next mask begin."""
    if "y" in draw:
        return (arrays[str(draw["x"])], arrays[str(draw["y"])]), at
    if "sha256" in draw:
        return draw["sha256"], at
    size = prod(draw["shape"])
    stop = at + -(-size // 8)
    return np.unpackbits(arrays["bits"][at:stop])[:size].reshape(draw["shape"]) == 1, stop


def _one(stream: Stream, draw: Described, theirs: Any) -> Counts:
    return _value(stream, draw, *theirs) if "y" in draw else _mask(stream, draw, theirs)


def _mask(stream: Stream, draw: Described, theirs: Any) -> Counts:
    options = {name: draw[name] for name in ("operation", "dtype", "strides") if name in draw}
    ours = np.broadcast_to(stream.mask(draw["shape"], draw["p"], **options), draw["shape"])
    if isinstance(theirs, str):  # of a mask that differs somewhere, nobody knows where
        return Counts(ours.size, ours.size * (hashlib.sha256(np.packbits(ours).tobytes()).hexdigest() != theirs))
    return Counts(ours.size, int((ours != theirs).sum()))


def _value(stream: Stream, draw: Described, x: np.ndarray, theirs: np.ndarray) -> Counts:
    with draw_from(stream):
        return same_values(dropout(x, draw["p"]), theirs)


def same_values(ours: np.ndarray, theirs: np.ndarray) -> Counts:
    """Equal to the last bit, signed zeros too; one NaN is as good as another."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return Counts(theirs.size, theirs.size)
    bits = np.dtype(f"u{ours.itemsize}")
    same = (np.ascontiguousarray(ours).view(bits) == np.ascontiguousarray(theirs).view(bits)) | (
        np.isnan(ours) & np.isnan(theirs)
    )
    return Counts(ours.size, int((~same).sum()))


def inputs(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of both signs with NaN and infinities among them."""
    x = np.sin(np.arange(np.prod(shape)) * 1.7) * 9
    x[::7], x[3::11], x[5::13], x[6::17] = -0.0, np.nan, np.inf, -np.inf
    return x.reshape(shape)
