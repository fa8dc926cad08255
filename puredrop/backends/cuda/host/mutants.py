"""Deliberate one-line bugs in the kernels, and what must see them: a test of the tests."""

from __future__ import annotations

from typing import NamedTuple

from .. import source


class Mutant(NamedTuple):
    """One line that is replaced by another, the check that must then fail, and under what."""

    line: str
    instead: str
    check: str
    sanitizer: str | None = None  # None: the comparison with the reference is enough


_BARRIER = "__syncthreads();"
MUTANTS = {
    "nine rounds": Mutant("round < ROUNDS; ++round", "round < ROUNDS - 1; ++round", "keep"),
    "threshold off by one": Mutant("return h < hi ||", "return h <= hi ||", "keep"),
    "threshold off by one, eight at once": Mutant("u32 t = hi | hi << 16;", "u32 t = (hi | hi << 16) + 1;", "keep"),
    "tie off by one": Mutant("return t >> 16 < lo;", "return t >> 16 <= lo;", "keep"),
    "no guard of the tail": Mutant(
        "for (u64 i = first; i < least(first + 8, where.size); ++i)",
        "for (u64 i = first; i < first + 8; ++i)",
        "drop",
    ),
    "the bits of the group before": Mutant(
        "Kept kept = kept_at(where, 0, draw, draw, 0, 0, first + i * step);",
        "Kept kept = kept_at(where, 0, draw, draw, 0, 0, first);",
        "patterns",
    ),
    "the last group left out": Mutant(
        "if (COUNT == 2 && first < whole)", "if (COUNT == 2 && first + step < whole)", "patterns"
    ),
    "index of 32 bits": Mutant("return (u64)blockIdx.x * blockDim.x", "return blockIdx.x * blockDim.x", "far"),
    "missing barrier": Mutant(
        f"{_BARRIER}\n      ONE_BY_ONE for (u32 t = threadIdx.x; t < high * TILE;",
        "ONE_BY_ONE for (u32 t = threadIdx.x; t < high * TILE;",
        "blocks",
    ),
    "missing barrier before a later write": Mutant(
        f"{_BARRIER}  // before the next reduction writes", "", "softmax", "thread"
    ),
    "uninitialised shared memory": Mutant("covered[i][j] = any;", "covered[i][j] |= any;", "blocks"),
    "row number read beside the list": Mutant(
        "if (position < walk.size) cursor = cursor_at(walk, rows, position);",
        "cursor = cursor_at(walk, rows, position);",
        "keep",
        "address",
    ),
}


def spoiled(name: str) -> str:
    """The source with that bug in it. Raises ValueError where the line is not there exactly once."""
    text, mutant = source(), MUTANTS[name]
    if text.count(mutant.line) != 1:
        raise ValueError(f"mutant {name!r}: its line stands {text.count(mutant.line)} times in the source")
    return text.replace(mutant.line, mutant.instead)
