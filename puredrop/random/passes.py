"""The pass: who gets which key while a model runs.

The outermost call of a model opens a pass. In *train* mode a site draws at (sample 0, its saved step), and the step
advances. In *sample* mode it draws at (sample t + 1, its call number within the pass); nothing saved is touched, so a
prediction in the middle of training changes nothing, and Monte-Carlo sample t is the same however it is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from .bernoulli import Keys
from .index import Index
from .key import Key, Rng

Mode = Literal["train", "eval", "sample"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Window(NamedTuple):
    """Which rows of the whole batch a chunk holds."""

    start: int
    stop: int
    total: int


@dataclass
class Pass:
    """One run of a model.

    mode: overrides the modes that the layers have, for this run.  samples: which Monte-Carlo samples are in flight;
    several lie one after the other along the batch axis.  window: the rows of the batch that this chunk holds.
    masks: "example" draws for each example, "pass" shares one mask over the batch (one function for all inputs).
    """

    mode: Mode | None = None
    samples: range = range(1)
    window: Window | None = None
    masks: Literal["example", "pass"] = "example"
    calls: Counter[int] = field(default_factory=Counter)

    def address(
        self,
        rng: Rng,
        mode: Mode,
        shape: Sequence[int],
        shared: Sequence[int] = (),
        batch_axis: int = 0,
        keys: Keys | None = None,
    ) -> tuple[Keys, Index]:
        """Where the next draw of a site takes place, for an array of `shape`; `keys` are a draw's that goes on."""
        in_flight = 1 if mode == "train" else len(self.samples)
        index = self._index(tuple(shape), tuple(shared), batch_axis, in_flight)
        if keys is not None:
            drawn = len(keys) if isinstance(keys, tuple) else 1
            if drawn != in_flight:
                raise ValueError(f"a draw of {drawn} sample(s) cannot go on with {in_flight} in flight; begin anew")
            return keys, index
        if mode == "train":
            return rng.advance(), index
        step = self.calls[rng.site]
        self.calls[rng.site] += 1
        keys = _sample_keys(rng.seed, rng.site, step, self.samples)
        return keys if len(keys) > 1 else keys[0], index

    def _index(self, shape: tuple[int, ...], shared: tuple[int, ...], axis: int, in_flight: int) -> Index:
        """This chunk's part of the global noise, without the axis of the samples in flight."""
        if self.masks == "pass":
            shared = (*shared, axis)
        if in_flight == 1 and self.window is None:
            return Index.whole(shape, shared)
        start, stop, total = self.window or (0, shape[axis] // in_flight, shape[axis] // in_flight)
        # A layer may have merged another axis with the batch: its rows are then a multiple of the batch's.
        multiple, rest = divmod(shape[axis], in_flight * (stop - start))
        if rest:
            raise ValueError(
                f"an array of shape {shape} does not hold {in_flight} samples of {stop - start} rows on axis {axis}; "
                f"a layer that draws must keep the batch on its batch axis, alone or merged with others"
            )
        whole = Index.whole((*shape[:axis], total * multiple, *shape[axis + 1 :]), shared)
        return whole[(slice(None),) * axis + (slice(start * multiple, stop * multiple),)]


@lru_cache(maxsize=32)
def _sample_keys(seed: int, site: int, step: int, samples: range) -> tuple[Key, ...]:
    """The keys of samples in flight. Passes over the same samples follow each other where masks are enumerated."""
    return tuple(Key(seed, site, step, t + 1) for t in samples)


_current: ContextVar[Pass | None] = ContextVar("pass", default=None)


def current() -> Pass | None:
    """The pass that is under way in this context."""
    return _current.get()


@contextmanager
def entered(run: Pass | None) -> Iterator[Pass | None]:
    """Make `run` the pass of what happens inside."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)
