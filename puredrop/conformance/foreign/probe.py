"""A target beside the variant that it claims to be: calls, what was drawn, and what should have come of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ...random import Key
from ...streams import draw_from
from ...tensor import Tensor
from ..case import Arrays, Case, Skipped
from .guard import Guard
from .masks import REVEALING, as_noise, decoder_of, own_noise, undrawn_noise, zero_or_not
from .target import Answer, Call, Target, answered

SMALL = (4, 8)  # of most examples: libraries that compile do so for each shape
ELEMENTS = 1 << 22  # of the largest array that is handed to a target, about


class Probe:
    """What the checks ask. `seed` moves all draws, so that the whole report can be repeated with others."""

    def __init__(self, target: Target, case: Case, guard: Guard, seed: int = 0) -> None:
        self.target, self.case, self.guard, self.seed = target, case, guard, seed
        self.last: Call | None = None
        self.decode = decoder_of(case)
        self.masks = "unknown"
        self._templates: dict[Any, np.ndarray] = {}

    # What is asked for.
    def rates(self, *wanted: float) -> tuple[float, ...]:
        """Those of the wanted rates (by default those of the variant) that the target and the variant know."""
        known = wanted or tuple(p for p in self.case.rates if not (p == 1 and self.case.at_one == "raises"))
        return tuple(p for p in known if self.target.rates is None or p in self.target.rates)

    def middle(self) -> float:
        """One rate at which something happens."""
        inside = [p for p in self.rates() if p not in (0.0, 1.0)]
        if not inside:
            raise Skipped(f"the target has the rates {self.target.rates} only")
        return min(inside, key=lambda p: abs(p - 0.5))

    def require_rate(self, p: float) -> float:
        """The rate, if the target knows it. Raises Skipped."""
        if self.target.rates is not None and p not in self.target.rates:
            raise Skipped(f"the target has the rates {self.target.rates} only")
        return p

    def dtypes(self) -> tuple[str, ...]:
        return tuple(dtype for dtype in self.case.dtypes if dtype in self.target.dtypes)

    def example(self, rows: int, columns: int, dtype: str | None = None) -> Arrays:
        return self.case.example(rows, columns, dtype or self.dtypes()[0])

    def call(self, inputs: Arrays, p: float, seed: int = 0, training: bool = True) -> Call:
        return Call(inputs, p, seed + self.seed, training)

    # What comes back.
    def run(self, call: Call) -> Answer:
        """The target's answer. Raises Trouble."""
        self.last = call
        copies = call._replace(inputs=tuple(a.copy() for a in call.inputs))  # what it does to them is another check
        return self.guard(lambda: answered(self.target.run(copies)))

    def run_as_is(self, call: Call) -> Answer:
        """The same with the very arrays: their memory, and whatever the target does to it."""
        self.last = call
        return self.guard(lambda: answered(self.target.run(call)))

    def gradient(self, call: Call, g: np.ndarray) -> tuple[Answer, list[np.ndarray | None]]:
        """The answer of a call and the gradient of each input, by the target's own autograd.

        Raises Trouble; Skipped where it has none.
        """
        if self.target.gradient is None:
            raise Skipped("the target has no gradient that could be asked for")
        self.last, ask = call, self.target.gradient
        raw, gradients = self.guard(lambda: ask(call, g))
        return answered(raw), [None if one is None else np.asarray(one) for one in gradients]

    # What was drawn.
    def noise(self, call: Call, answer: Answer) -> np.ndarray:
        """The noise of that answer, in the shape in which the variant draws it. Raises Skipped where none can know."""
        return _known(self._noise(call, answer, self.template(call)))

    def template(self, call: Call) -> np.ndarray:
        """Noise of the shape and dtype that the variant draws for such inputs."""
        kind = tuple((a.shape, a.dtype.str) for a in call.inputs)
        if kind not in self._templates:
            like = (undrawn_noise if self._evaluation_tells else own_noise)(self.case, call.inputs, self.middle())
            self._templates[kind] = np.zeros(like.shape, like.dtype)
        return self._templates[kind]

    @cached_property
    def _evaluation_tells(self) -> bool:
        """Whether the noise that evaluation returns, which costs nothing, is like that of training."""
        pairs = [
            [noise(self.case, self.case.example(*size), self.middle()) for noise in (own_noise, undrawn_noise)]
            for size in ((4, 8), (5, 6))
        ]
        return all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)

    def _noise(self, call: Call, answer: Answer, template: np.ndarray) -> np.ndarray | None:
        if answer.mask is not None:
            mask = answer.mask != 0 if template.dtype == np.bool_ else answer.mask
            return _broadcast(mask, template)
        if call.mask is not None:
            return np.asarray(call.mask)
        if self.decode and call.training:
            inputs = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in call.inputs)
            with np.errstate(all="ignore"):
                return as_noise(self.decode(self.case, inputs, answer.y, call.p, template), template)
        if self.case.name in REVEALING:
            return self._revealed(call, template)
        return self.replayed(call) if self.target.stream else None

    def _revealed(self, call: Call, template: np.ndarray) -> np.ndarray | None:
        revealed = self.run(call._replace(inputs=REVEALING[self.case.name](call.inputs)))
        self.last = call
        return as_noise(revealed.y != 0, template)

    def injected(self, call: Call) -> Call:
        """The call with a mask of ours, where the target takes one."""
        if not self.target.takes_mask or self.case.real_noise:
            return call
        return call._replace(mask=own_noise(self.case, call.inputs, call.p, call.seed))

    def replayed(self, call: Call) -> np.ndarray:
        """The noise that the target's stream says it draws from this seed."""
        assert self.target.stream is not None
        with draw_from(self.target.stream(call.seed)):
            noise = self.case.call(*call.inputs, call.p, key=Key(0), return_mask=True)[1]
        return np.asarray(noise)

    def known(self) -> str:
        """How masks are known, by trying."""
        call = self.injected(self.call(self.example(*SMALL), self.middle()))
        answer = self.run(call)
        try:
            self.noise(call, answer)
        except Skipped:
            return "unknown"
        if answer.mask is not None:
            return "returned"
        if call.mask is not None:
            return "injected"
        return "recovered" if self.decode or self.case.name in REVEALING else "replayed"

    def distrust(self) -> None:
        """Values are wrong: a mask that was read off them is unknown, unless what is not zero is what was kept."""
        if self.masks == "recovered" and self.decode is not zero_or_not:
            self.decode, self.masks = None, "unknown"

    # What should have come.
    def expected(self, call: Call, noise: np.ndarray) -> np.ndarray:
        """What the formula makes of that noise, in float64."""
        wide = (a.astype(np.float64) if a.dtype.kind == "f" else a for a in call.inputs)
        with np.errstate(all="ignore"):
            return np.asarray(self.case.formula(np, *wide, noise, call.p))

    def expected_gradient(self, call: Call, noise: np.ndarray, g: np.ndarray) -> list[np.ndarray | None]:
        """Of each input, by puredrop with that noise, in float64."""
        mixed = [
            Tensor(a.astype(np.float64), "numpy", requires_grad=True) if a.dtype.kind == "f" else a for a in call.inputs
        ]
        with np.errstate(all="ignore"):
            y = self.case.call(*mixed, call.p, mask=noise if noise.dtype == np.bool_ else noise.astype(np.float64))
            y.backward(g.astype(np.float64))
        return [
            (np.zeros(t.shape) if t.grad is None else np.asarray(t.grad)) if isinstance(t, Tensor) else None
            for t in mixed
        ]

    # Masks for the statistics.
    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """As many rows and columns of decisions as arrays of the variant can hold, of the same proportions or so."""
        per_decision = max(a.size for a in self.case.example(16, 16)) / 256
        shrink = max(1.0, rows * columns * per_decision / ELEMENTS) ** 0.5
        return max(2, int(rows / shrink)), max(2, int(columns / shrink))

    def matrix(self, rows: int, columns: int, p: float, seed: int) -> np.ndarray:
        """The decisions of one call as a matrix, True with probability 1 - drop_rate(p)."""
        if self.masks in ("unknown", "injected") and not (self.decode or self.case.name in REVEALING):
            raise Skipped("what it draws is unknown; let the target return (y, mask)")
        call = self.call(self.example(rows, columns), p, seed)
        if self.masks == "recovered" and not self.decode:  # the result of the call itself says nothing
            noise = _known(self._revealed(call, self.template(call)))
        else:
            noise = self.noise(call, self.run(call))
        return self.case.mask_matrix(noise, p)

    def matrices(self, count: int, rows: int, columns: int, p: float) -> Iterator[np.ndarray]:
        """Those of several calls."""
        return (self.matrix(rows, columns, p, 100 + number) for number in range(count))


def _known(noise: np.ndarray | None) -> np.ndarray:
    if noise is None:
        raise Skipped("the mask is unknown; let the target return (y, mask), or take mask=")
    return noise


def _broadcast(mask: np.ndarray, template: np.ndarray) -> np.ndarray | None:
    """A returned mask in the shape of the noise; it may hold a decision once where it is shared."""
    if mask.shape == template.shape:
        return mask
    try:
        return np.broadcast_to(mask, template.shape)
    except ValueError:
        return as_noise(mask, template)


def shown(expected: Any, got: Any) -> tuple[str, str]:
    """Both in few characters: whole where they are small, else the first element in which they differ."""
    a, b = np.asarray(expected), np.asarray(got)
    if max(a.size, b.size) <= 16 or a.shape != b.shape:
        return brief(a), brief(b)
    different = ~np.isclose(a, b, rtol=1e-5, equal_nan=True) | (np.signbit(a) != np.signbit(b))
    place = tuple(int(i[0]) for i in np.nonzero(different)) if different.any() else (0,) * a.ndim
    where = f"element {place} = "
    return f"{where}{a[place]:.7g}", f"{where}{b[place]:.7g}"


def brief(value: Any) -> str:
    """A number or an array in few characters."""
    array = np.asarray(value)
    if array.size > 16:
        return f"an array of shape {array.shape}"
    return np.array2string(array, precision=6, separator=", ", max_line_width=10_000).replace("\n", "")
