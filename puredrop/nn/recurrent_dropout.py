"""Dropout inside recurrent layers: what may be dropped, where it draws, and what a sequence carries along.

All noise of a sequence is numbered (L, N, D), whatever `batch_first`: a locked mask is (1, N, D), a fresh one has a
part for each step. So the masks of a sequence do not depend on how it is cut into calls, as long as its state carries
the keys along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import ops, variants
from ..random import Index, Keys, passes
from ..variants.asked import Asked
from ..variants.bernoulli_map import inverted_scale
from ..variants.door import checked_rate, one_rate
from ..variants.noise import keep_array
from ..variants.schedules import Schedule
from .module import Module, Site
from .recurrent_state import Carried

__all__ = ["RecurrentDropout"]

Rate: TypeAlias = float | Schedule

IN_THE_CELL = ("input", "state", "update", "memory", "zoneout", "zoneout_memory", "weight")
BEHIND_THE_LAYER = ("output", "between")
MIXED_IN_EVALUATION = ("memory", "zoneout", "zoneout_memory")  # evaluation is their expectation; the others' is x


@dataclass(frozen=True, repr=False)
class RecurrentDropout:
    """What one recurrent layer drops. Every rate is a number or a schedule, and 0 where nothing is said.

    input: the input x_t, with one mask for all steps (Gal & Ghahramani 2016).
    state: the state h_{t-1} on its way into the gates, with one mask for all steps (Gal & Ghahramani 2016).
    tied: one mask for all gates, or with tied=False one for each gate, of the input and of the state.
    update: what is written into the memory, with a fresh mask at each step (Semeniuta et al. 2016). LSTM and GRU.
    update_locked: one mask for all steps instead.
    memory: the memory c_t, unscaled, with one mask for all steps (Moon et al. 2015). LSTM. Evaluation scales what is
        written by 1 - p, which is the expectation for a sequence that begins with an empty memory.
    zoneout: units of h_t that keep their old value, fresh at each step (Krueger et al. 2017). Evaluation mixes the old
        value and the new one in these proportions.
    zoneout_memory: the same for c_t. LSTM.
    weight: the single weights of W_hh, once for each call (Merity et al. 2018). The weights themselves stay.
    output: what the layer gives, with one mask for all steps (Merity et al. 2018). The state is not dropped by it.
    between: what the layer gives to the next layer, with a fresh mask at each step (Zaremba et al. 2014).

    Masks of input and state stand in front of the products only: where a cell mixes its old state into the new one, the
    old state is whole.
    Raises: TypeError, ValueError for a rate that is none, for `update` beside `memory`, and for a `tied` or
        `update_locked` that speaks of masks that are not there.

    >>> RecurrentDropout(input=0.25, state=0.25, tied=False)
    RecurrentDropout(input=0.25, state=0.25, tied=False)
    """

    input: Rate = 0.0
    state: Rate = 0.0
    tied: bool = True
    update: Rate = 0.0
    update_locked: bool = False
    memory: Rate = 0.0
    zoneout: Rate = 0.0
    zoneout_memory: Rate = 0.0
    weight: Rate = 0.0
    output: Rate = 0.0
    between: Rate = 0.0

    def __post_init__(self) -> None:
        for name in (*IN_THE_CELL, *BEHIND_THE_LAYER):
            p = getattr(self, name)
            if not callable(p):
                object.__setattr__(self, name, one_rate("RecurrentDropout", p, name))
        if self.update and self.memory:
            raise ValueError(
                "RecurrentDropout: update and memory are two ways to drop what a memory learns; give one of them"
            )
        if not self.tied and not (self.input or self.state):
            raise ValueError("RecurrentDropout: tied=False needs masks to untie; give input, state or both a rate")
        if self.update_locked and not self.update:
            raise ValueError("RecurrentDropout: update_locked=True needs a rate for update")

    def __repr__(self) -> str:
        said = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return f"RecurrentDropout({', '.join(said)})"

    def check(self, layer: str, gates: int, has_memory: bool, is_cell: bool = False) -> None:
        """Raise ValueError for what a layer of that kind cannot drop."""
        wrong = []
        if not has_memory:
            wrong += [(name, "it has no memory c") for name in ("memory", "zoneout_memory")]
        if gates == 1:
            wrong.append(("update", "nothing gates its update; use state or zoneout"))
        if is_cell:
            wrong += [(name, "what a cell gives is its state; drop a copy of it") for name in BEHIND_THE_LAYER]
        for name, reason in wrong:
            if getattr(self, name):
                raise ValueError(f"{layer}: dropout has a rate for {name}, but {reason}")
        if gates == 1 and not self.tied:
            raise ValueError(f"{layer}: tied=False needs several gates, and there is one")


class Drawn(NamedTuple):
    """A rate and its mask; no mask in evaluation."""

    p: float
    mask: Any = None


class RecurrentSite(Site):
    """One place in a recurrent layer that draws: at addresses only, it is never called itself."""

    batch_axis = 1

    def __init__(self, name: str, p: Rate) -> None:
        self.name, self.p = name, p

    def evaluation_rate(self) -> float:
        """p; of a schedule what it says at the step of the next draw."""
        if not callable(self.p):
            return self.p
        return checked_rate(self.name, self.p(0 if self.rng is None else self.rng.step))

    def is_idle(self) -> bool:
        return self.has_no_rate(self.p)

    def drew(self, keys: Keys) -> bool:
        """Whether these may be keys of this site in the mode that it is in; in evaluation they may be anybody's."""
        run, first = passes.current(), keys[0] if isinstance(keys, tuple) else keys
        mode = (run and run.mode) or self.mode
        own = self.rng is not None and (first.seed, first.site) == (self.rng.seed, self.rng.site)
        return mode == "eval" or (own and (first.sample > 0) == (mode == "sample"))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Draws:
    """The draws of one call of a layer: at the addresses that a state carries along, or at new ones.

    New ones where there is no state, or one of another layer (an encoder's), seed, or mode.
    """

    def __init__(self, layer: Module, carried: Carried | None = None) -> None:
        goes_on = carried is not None and _belongs(carried, layer)
        self.keys: dict[str, Keys] = dict(carried.keys) if carried and goes_on else {}
        self.past = carried.steps if carried and goes_on else 0

    def carried(self, steps: int) -> Carried | None:
        """What the state takes along after these steps; None where nothing was drawn."""
        return Carried(self.keys, self.past + steps) if self.keys else None

    def address(self, site: RecurrentSite, shape: tuple[int, ...], fresh: bool) -> tuple[Keys, Index] | None:
        """Where a site draws (steps, rows, D), of a noise that goes on where the last call stopped, or (..., rows, D).

        None in evaluation.
        """
        past = self.past if fresh else 0
        where = site.address((past + shape[0], *shape[1:]), keys=self.keys.get(site.name))
        if where is None:
            return None
        key, index = where
        self.keys[site.name] = key
        return key, index[past:] if past else index

    def mask(self, site: RecurrentSite, like: Any, shape: tuple[int, ...], fresh: bool = False) -> Drawn:
        """A mask of `shape`, (..., rows, D)."""
        where = self.address(site, shape, fresh)
        if where is None:
            return Drawn(site.evaluation_rate())
        key, index = where
        p = site.rate(site.p, key)
        return Drawn(p, _by_row(keep_array(Asked(site.name, key), like, p, index), key, index))

    def weights(self, site: RecurrentSite, weight: Any, rows: int) -> Any:
        """Weights (G H, H) with single ones dropped; (samples, G H, H) where several samples are in flight."""
        # The batch stands in front of the axes of the weight, and shares one mask.
        where = site.address((rows, *weight.shape), (0,), keys=self.keys.get(site.name))
        if where is None:
            return weight
        key, index = where
        self.keys[site.name] = key
        samples = len(key) if isinstance(key, tuple) else 1
        copies = ops.broadcast_to(weight, shape=(samples, *weight.shape))
        dropped = variants.weight_drop(copies, site.rate(site.p, key), key=key, index=index[:1])
        return dropped if samples > 1 else ops.reshape(dropped, shape=weight.shape)


def _belongs(carried: Carried, layer: Module) -> bool:
    sites = {site.name: site for _, site in layer.named_sites() if isinstance(site, RecurrentSite)}
    return all(name in sites and sites[name].drew(key) for name, key in carried.keys.items())


def _by_row(keep: Any, key: Keys, index: Index) -> Any:
    """A mask for the rows of a batch, with the samples in flight one after the other: (..., samples * N, D)."""
    if not isinstance(key, tuple):
        return np.broadcast_to(keep, index.shape)
    first, rows, width = index.shape
    apart = np.broadcast_to(keep, (len(key), first, rows, width))
    return apart.swapaxes(0, 1).reshape(first, len(key) * rows, width)


def _mean(p: float) -> Any:
    """The rate of a mean of old and new; at 0 and 1 a mask instead, for there the other one does not count at all."""
    return np.full((1, 1), p == 0.0) if p in (0.0, 1.0) else p


class CellDropout(Module):
    """The sites of one direction of one layer: one for each rate that is not 0."""

    def __init__(self, name: str, dropout: RecurrentDropout, gates: int) -> None:
        self.masks = 1 if dropout.tied else gates  # of the input and of the state
        self.update_locked = dropout.update_locked
        for field in IN_THE_CELL:
            if getattr(dropout, field):
                site = RecurrentSite(f"{name}.{field}", getattr(dropout, field))
                site.batch_axis = 0 if field == "weight" else 1
                setattr(self, field, site)

    def noise(self, draws: Draws, x: Any, h: int, c: int) -> Noise:
        """The masks for a run over x (L, rows, D), with states of h and c units."""
        steps, rows, inputs = x.shape
        shapes = {
            "input": (self.masks, rows, inputs),
            "state": (self.masks, rows, h),
            "update": (1 if self.update_locked else steps, rows, c),
            "memory": (1, rows, c),
            "zoneout": (steps, rows, h),
            "zoneout_memory": (steps, rows, c),
        }
        fresh = {"zoneout", "zoneout_memory", *(() if self.update_locked else ("update",))}
        drawn = {}
        for name, shape in shapes.items():
            if hasattr(self, name):
                p, mask = draws.mask(getattr(self, name), x, shape, name in fresh)
                if mask is not None and name not in fresh and shape[0] == 1:
                    mask = mask[0]  # (rows, D)
                if mask is not None or name in MIXED_IN_EVALUATION:
                    drawn[name] = Drawn(p, mask)
        return Noise(drawn, frozenset(fresh))

    def weights(self, draws: Draws, weight: Any, rows: int) -> Any:
        """W_hh, dropped where there is a rate for it."""
        site = getattr(self, "weight", None)
        return weight if site is None else draws.weights(site, weight, rows)


class Noise(NamedTuple):
    """What one direction of one layer draws for a run of steps; `at(t)` is the part of one step.

    Masks: locked (rows, D), or (gates, rows, D) where each gate has one; fresh (L, rows, D).
    """

    drawn: Mapping[str, Drawn] = {}
    fresh: frozenset[str] = frozenset()

    def at(self, t: int) -> Noise:
        """Step t: fresh masks have a part for it, locked ones are the same at every step."""
        step = {
            name: Drawn(d.p, d.mask[t]) if name in self.fresh and d.mask is not None else d
            for name, d in self.drawn.items()
        }
        return Noise(step)

    def input(self, x: Any) -> Any:
        """d(x); (gates, *x.shape) where each gate has a mask of its own."""
        return self._locked("input", x)

    def state(self, h: Any) -> Any:
        """d(h), for the products only; (gates, *h.shape) where each gate has a mask of its own."""
        return self._locked("state", h)

    def _locked(self, name: str, x: Any) -> Any:
        if name not in self.drawn:
            return x
        p, mask = self.drawn[name]
        if mask.ndim == 2:
            return variants.dropout(x, p, mask=mask)
        gates, *rest = mask.shape
        over_time = (1,) * (len(x.shape) - len(rest))
        return variants.locked_gate_dropout(x, p, gates=gates, mask=mask.reshape(gates, *over_time, *rest))

    def written(self, update: Any, memory: Any, forget: Any, write: Any) -> Any:
        """forget * memory + write * update, with dropout of the update or of the memory."""
        for name, variant in (("update", variants.update_dropout), ("memory", variants.memory_dropout)):
            if name in self.drawn:
                p, mask = self.drawn[name]
                return variant(update, memory, forget, write, p, mask=mask, training=mask is not None)
        return forget * memory + write * update

    def zoned(self, name: str, new: Any, old: Any) -> Any:
        """The new state, or for units that are zoned out the old one."""
        if name not in self.drawn:
            return new
        p, mask = self.drawn[name]
        return variants.zoneout(new, old, p, mask=mask, training=mask is not None)

    def of_a_sequence(self) -> dict[str, Any]:
        """The same for all steps at once, as `ops.lstm_sequence` takes it."""
        asked: dict[str, Any] = {}
        for name, (p, mask) in self.drawn.items():
            if name in ("state", "update"):
                asked[name] = mask, inverted_scale(p)
            elif name == "memory":
                asked |= {"update": (None, 1.0 - p)} if mask is None else {"memory": (mask, 1.0)}
            elif name in ("zoneout", "zoneout_memory"):
                asked[name] = _mean(p) if mask is None else mask
        return asked
