"""Rates that change over training, and over depth.

A schedule is a value that maps the number of steps taken to a drop probability: `schedule(step) -> p`. Layers take
one in place of p and ask it at the step of their draw, so it has no counter of its own: it cannot advance in evaluation
or in a recomputation. Masks are nested in p, so a rising rate drops supersets at an equal address.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from .door import checked_rate

Schedule: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class _Timed:
    """Base: a rate p and the step at which the schedule is complete."""

    p: float
    steps: int

    def __post_init__(self) -> None:
        checked_rate(type(self).__name__, self.p)
        if self.steps < 1:
            raise ValueError(f"{type(self).__name__}: steps must be at least 1, got {self.steps}")

    def progress(self, step: int) -> float:
        """How far training is, from 0 to 1."""
        return min(1.0, step / self.steps)


@dataclass(frozen=True)
class Constant:
    """p throughout.

    >>> Constant(0.1)(1000)
    0.1
    """

    p: float

    def __post_init__(self) -> None:
        checked_rate("Constant", self.p)

    def __call__(self, step: int) -> float:
        return self.p


class LinearRamp(_Timed):
    """From 0 to p in `steps` steps, then p: DropBlock (Ghiasi et al. 2018), scheduled drop path (Zoph et al. 2018).

    >>> [LinearRamp(0.2, steps=4)(step) for step in (0, 1, 4, 9)]
    [0.0, 0.05, 0.2, 0.2]
    """

    def __call__(self, step: int) -> float:
        return self.p * self.progress(step)


class Annealed(_Timed):
    """From p to 0 in `steps` steps, then 0 (Rennie et al. 2014).

    >>> [Annealed(0.4, steps=4)(step) for step in (0, 2, 4, 9)]
    [0.4, 0.2, 0.0, 0.0]
    """

    def __call__(self, step: int) -> float:
        return self.p * (1 - self.progress(step))


class Curriculum(_Timed):
    """From 0 towards p as p (1 - exp(-10 t / steps)) (Morerio et al. 2017, with their gamma = 10 / steps).

    >>> [round(Curriculum(0.5, steps=10)(step), 3) for step in (0, 1, 10)]
    [0.0, 0.316, 0.5]
    """

    def __call__(self, step: int) -> float:
        return self.p * (1 - math.exp(-10 * step / self.steps))


class Early(_Timed):
    """p for the first `steps` steps, then 0: early dropout against underfitting (Liu et al. 2023).

    >>> [Early(0.1, steps=3)(step) for step in (0, 2, 3)]
    [0.1, 0.1, 0.0]
    """

    def __call__(self, step: int) -> float:
        return self.p if step < self.steps else 0.0


class EarlyLinear(Annealed):
    """From p to 0 over the first `steps` steps, then 0: the linear form of early dropout (Liu et al. 2023)."""


class Late(_Timed):
    """0 for the first `steps` steps, then p (Liu et al. 2023).

    >>> [Late(0.1, steps=3)(step) for step in (0, 2, 3)]
    [0.0, 0.0, 0.1]
    """

    def __call__(self, step: int) -> float:
        return 0.0 if step < self.steps else self.p


class VShape(_Timed):
    """From p down to 0 at half of `steps`, and back up: DropHead's schedule (Zhou et al. 2020).

    >>> [VShape(0.2, steps=4)(step) for step in range(5)]
    [0.2, 0.1, 0.0, 0.1, 0.2]
    """

    def __call__(self, step: int) -> float:
        return self.p * abs(1 - 2 * self.progress(step))


class Cosine(_Timed):
    """From 0 to p along half a cosine.

    >>> [round(Cosine(0.2, steps=2)(step), 3) for step in range(3)]
    [0.0, 0.1, 0.2]
    """

    def __call__(self, step: int) -> float:
        return self.p * (1 - math.cos(math.pi * self.progress(step))) / 2


@dataclass(frozen=True)
class Steps:
    """Another constant rate from each boundary on: `rates` has one more entry than `boundaries`.

    >>> [Steps((0.0, 0.1, 0.3), boundaries=(2, 4))(step) for step in (0, 2, 3, 4)]
    [0.0, 0.1, 0.1, 0.3]
    """

    rates: tuple[float, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        for p in self.rates:
            checked_rate("Steps", p, "every rate")
        if len(self.rates) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(self.boundaries):
            raise ValueError(
                f"Steps: needs rising boundaries and one rate more, got {len(self.rates)} rates for {self.boundaries}"
            )

    def __call__(self, step: int) -> float:
        return self.rates[sum(step >= boundary for boundary in self.boundaries)]


def scheduled_drop_path(p: float, layer: int, layers: int, steps: int) -> LinearRamp:
    """The rate of one cell of NASNet: it rises over training to p (layer + 1) / layers (Zoph et al. 2018).

    >>> scheduled_drop_path(0.4, layer=0, layers=2, steps=100)(50)
    0.1
    """
    return LinearRamp(depth_rates(p, layers, "l/L")[layer], steps)


Indexing: TypeAlias = Literal["l/L", "i/L", "i/(L-1)", "uniform", "decreasing"]


def depth_rates(p: float, layers: int, indexing: Indexing) -> list[float]:
    """The rate of each of `layers` layers, first to last. The indexing has no default: each is somebody's.

    "l/L": p l / L for l = 1..L (Huang et al. 2016, ShakeDrop). "i/L": p i / L for i = 0..L-1, never p (torchvision).
    "i/(L-1)": from 0 to p (timm, ConvNeXt, Swin). "uniform": p everywhere. "decreasing": p (1 - l / L) (DropKey).
    Raises: ValueError for another indexing or fewer than one layer.

    >>> for indexing in ("l/L", "i/L", "i/(L-1)"):
    ...     print(depth_rates(0.5, 5, indexing))
    [0.1, 0.2, 0.3, 0.4, 0.5]
    [0.0, 0.1, 0.2, 0.3, 0.4]
    [0.0, 0.125, 0.25, 0.375, 0.5]
    """
    p = checked_rate("depth_rates", p)
    if layers < 1:
        raise ValueError(f"depth_rates: layers must be at least 1, got {layers}")
    laws: dict[str, Callable[[int], float]] = {
        "l/L": lambda i: (i + 1) / layers,
        "i/L": lambda i: i / layers,
        "i/(L-1)": lambda i: i / max(1, layers - 1),  # a single layer has rate 0
        "uniform": lambda i: 1.0,
        "decreasing": lambda i: 1 - (i + 1) / layers,
    }
    if indexing not in laws:
        raise ValueError(f"depth_rates: unknown indexing {indexing!r}; known are {', '.join(laws)}")
    return [p * laws[indexing](i) for i in range(layers)]


class CommonRate(NamedTuple):
    """Rates that are commonly used for something, and who used them."""

    low: float
    high: float
    source: str


COMMON_RATES: dict[str, CommonRate] = {
    "large pre-training": CommonRate(0.0, 0.0, "PaLM (Chowdhery et al. 2022) trains without dropout, as T5 1.1 does"),
    "BERT-size pre-training": CommonRate(0.1, 0.1, "BERT (Devlin et al. 2019): 0.1 on all layers"),
    "small-data fine-tuning": CommonRate(0.05, 0.1, "QLoRA (Dettmers et al. 2023): 0.1 to 13B parameters, 0.05 beyond"),
    "classification head": CommonRate(
        0.1, 0.3, "BERT (Devlin et al. 2019) 0.1; EfficientNet-B0 to B3 (Tan & Le 2019) 0.2-0.3"
    ),
    "Monte-Carlo dropout": CommonRate(
        0.1, 0.2, "Gal & Ghahramani (2016) up to 0.1 for regression; Kendall & Gal (2017) 0.2"
    ),
    "hidden layers": CommonRate(0.5, 0.5, "Srivastava et al. (2014)"),
    "input layer": CommonRate(0.2, 0.2, "Srivastava et al. (2014)"),
    "recurrent layers": CommonRate(0.2, 0.5, "Gal & Ghahramani (2016b); Zaremba et al. (2014) 0.5 for the medium LSTM"),
}


def common_rates(scenario: str) -> CommonRate:
    """The rates commonly used for a scenario, with their source. A place to start from, not advice.

    Raises: ValueError, listing the scenarios, for another one.

    >>> common_rates("hidden layers")
    CommonRate(low=0.5, high=0.5, source='Srivastava et al. (2014)')
    """
    if scenario not in COMMON_RATES:
        raise ValueError(f"common_rates: unknown scenario {scenario!r}; known are {', '.join(COMMON_RATES)}")
    return COMMON_RATES[scenario]
