"""The address of a random draw, and who hands addresses out.

A `Key` names one noise tensor. Together with an element index it names one Philox counter, and nothing else ever
uses that counter: the packing below is injective, so there is no hashing and no birthday bound.

    counter word   bits
    c0             block, low 32
    c1             block, high 16  |  sample, low 16 << 16
    c2             step
    c3             site, 16        |  sample, high 8 << 16  |  purpose << 24        purpose = draw << 3 | kind
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

from .journal import journals_in_force, remembered

CONTRACT_VERSION = 1

# The purpose table: what the random bits of a key are used for. No two kinds share a counter.
MASK, TIE, UNIFORM, NORMAL, PERMUTATION, INITIALISATION = range(6)

_LIMITS = {"seed": 64, "site": 16, "step": 32, "sample": 24, "draw_index": 5}


@dataclass(frozen=True, slots=True)
class Key:
    """The address of a draw: an immutable value, equal keys give equal noise on every backend.

    seed: the experiment, in [0, 2^64).  site: which layer, below 2^16.  step: which training step, below 2^32.
    sample: which Monte-Carlo sample, below 2^24 (0 is training).

    Raises: TypeError for anything but whole numbers, ValueError outside those ranges.
    Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), for the generator below it.

    >>> Key(seed=7)
    Key(seed=7, site=0, step=0, sample=0)
    >>> Key(seed=-1)
    Traceback (most recent call last):
    ValueError: Key: seed must be a whole number in [0, 2^64), got -1
    """

    seed: int
    site: int = 0
    step: int = 0
    sample: int = 0
    draw_index: int = 0

    def __post_init__(self) -> None:
        # A key is made for every draw, so what is nearly always right is seen at one glance.
        if (
            type(self.seed) is type(self.site) is type(self.step) is type(self.sample) is type(self.draw_index) is int
            and 0 <= self.seed < 1 << 64
            and 0 <= self.site < 1 << 16
            and 0 <= self.step < 1 << 32
            and 0 <= self.sample < 1 << 24
            and 0 <= self.draw_index < 1 << 5
        ):
            return
        for field, bits in _LIMITS.items():
            value = getattr(self, field)
            if type(value) is not int:
                object.__setattr__(self, field, value := _whole_number(field, value))
            if not 0 <= value < 1 << bits:
                raise ValueError(f"Key: {field} must be a whole number in [0, 2^{bits}), got {value}")

    def __repr__(self) -> str:
        draw = f", draw_index={self.draw_index}" if self.draw_index else ""
        return f"Key(seed={self.seed}, site={self.site}, step={self.step}, sample={self.sample}{draw})"

    def draw(self, index: int) -> Key:
        """An independent draw at the same address, for variants that need several. 0 <= index < 32.

        Raises: ValueError for a key that is such a draw itself: its draws would be those of its neighbours.

        >>> Key(7).draw(1) == Key(7)
        False
        """
        if self.draw_index:
            raise ValueError(
                f"Key.draw: expected a key of which no draw was taken, got {self}; what draws several times takes the "
                f"draws itself, so give it Key({self.seed}, ...) with a site, step or sample of its own"
            )
        return replace(self, draw_index=index)

    def address(self, kind: int) -> tuple[int, int, int, int, int]:
        """Philox key words (k0, k1) and the counter words (c1, c2, c3) of block 0."""
        purpose = self.draw_index << 3 | kind
        return (
            self.seed & 0xFFFFFFFF,
            self.seed >> 32,
            (self.sample & 0xFFFF) << 16,
            self.step,
            self.site | self.sample >> 16 << 16 | purpose << 24,
        )


def _whole_number(field: str, value: object) -> int:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        raise TypeError(f"Key: {field} must be a whole number, got the truth value {value}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"Key: {field} must be a whole number, got {value!r}") from None


class Rng:
    """Hands out keys, one a call, in order. Its whole state is three integers: (seed, site, step).

    Give each thread its own: two threads that share one may receive the same key.

    >>> rng = Rng(7)
    >>> rng.next_key(), rng.next_key()
    (Key(seed=7, site=0, step=0, sample=0), Key(seed=7, site=0, step=1, sample=0))
    >>> rng
    Rng(seed=7, site=0, step=2)
    """

    __slots__ = ("seed", "site", "step")

    def __init__(self, seed: int, site: int = 0, step: int = 0) -> None:
        first = Key(seed, site, step)  # validates
        self.seed, self.site, self.step = first.seed, first.site, first.step

    def next_key(self) -> Key:
        """The key at the present step; the step then advances. A recomputation gets the same key again."""
        return remembered(self.advance) if journals_in_force() else self.advance()

    def advance(self) -> Key:
        """As `next_key`, for callers that see to recomputations themselves."""
        key = Key(self.seed, self.site, self.step)
        self.step += 1
        return key

    def __repr__(self) -> str:
        return f"Rng(seed={self.seed}, site={self.site}, step={self.step})"
