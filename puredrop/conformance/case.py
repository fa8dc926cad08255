"""What is known about a variant, and what is held against it.

A *case* is a row of the table: a variant with its independent formula and its moments from the paper. A *subject* is
something that claims to be that variant: puredrop's own on one backend, or somebody else's function. A *check* takes
a subject and returns the largest error it found; it raises `Failed` with a sentence that says plainly what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from .. import variants
from ..backends import get, on_host
from ..random import Index, Key
from ..tensor import Tensor

Arrays = tuple[np.ndarray, ...]
LayerFamily = Literal["input", "embedding", "dense", "conv", "recurrent", "attention", "residual", "pooling", "graph"]
LAYER_FAMILIES: tuple[str, ...] = get_args(LayerFamily)


class Failed(Exception):  # noqa: N818  # a verdict, not a malfunction
    """The subject does not do what the variant must."""


class Skipped(Exception):  # noqa: N818
    """The check could not run here."""


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, none of them near zero, so that a dropped element can be told from its value."""
    x = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return x + np.copysign(0.1, x)


def part_of_x(of: Any, x: np.ndarray, *rest: np.ndarray) -> Arrays:
    """A part of x alone: the other inputs, such as weights, serve every part."""
    return x[of], *rest


@dataclass(frozen=True, eq=False)  # a row is itself, and may be a key
class Case:
    """One variant. A check that does not apply is named in `not_applicable`, with the reason.

    call(*inputs, p, *, key, mask, training, index, return_mask, backend): the public function; p is its one parameter,
        a rate unless the row says otherwise.
    inputs(rows, columns): example arrays whose noise is about rows x columns; the first is x.
    any_shape: x may have any shape, and the other inputs its shape.
    formula(xp, *inputs, noise, p): what the paper says, written a second time in functions that NumPy and PyTorch
        share: NumPy gives the values, PyTorch's autograd the gradients. Selects, so that what it says of a NaN holds.
    index(*inputs): how their noise is numbered. None: the variant takes no index.
    in_front: how many axes the noise has in front of those of the index, for variants that draw several times.
    draws_several: it takes the draws of its key itself, and so refuses a key that is one of several draws.
    axes: how many leading axes of the index may be cut into parts.
    part(of, *inputs): the inputs that the part `of` of the noise belongs to.
    noise_matrix(noise): the noise of inputs(rows, columns) as a matrix of independent elements, rows x columns.
    drop_rate(p): the rate of that matrix.
    mean(*inputs, p), variance(*inputs, p): of y over the draws, as the paper states them. None: not stated, see
        `not_applicable`.
    at_one: what p = 1 means: "zeros", "raises", or "formula" where the formula holds there too.
    evaluation: "identity" in x, or a formula(xp, *inputs, p).
    real_noise: the noise is not a mask but real numbers of this distribution; backends then agree to the contract's
        tolerance, and the checks of chance look at which numbers exceed their p-quantile.
    rounds: values come of exponentials or sums, which each backend rounds in its own way; masks are equal still.
    pytorch: the function in torch.nn.functional that does the same; None where there is none.
    applies_to: the families of layers where the variant is used.
    elsewhere: library -> its name there, followed by ": " and what is different. Only what is really there.
    """

    name: str
    call: Callable[..., Any]
    formula: Callable[..., Any]
    mean: Callable[..., Any] | None
    variance: Callable[..., Any] | None
    inputs: Callable[[int, int], Arrays] = lambda rows, columns: (normal(rows, columns),)
    any_shape: bool = True
    index: Callable[..., Index] | None = lambda x, *_: Index.whole(x.shape)
    in_front: int = 0
    draws_several: bool = False
    axes: int = 2
    part: Callable[..., Arrays] = lambda of, *inputs: tuple(a[of] for a in inputs)
    noise_matrix: Callable[[np.ndarray], np.ndarray] = lambda noise: noise
    drop_rate: Callable[[float], float] = lambda p: p
    rates: tuple[float, ...] = (0.0, 0.1, 0.5, 0.9, 1.0)
    at_one: Literal["zeros", "raises", "formula"] = "zeros"
    evaluation: Literal["identity"] | Callable[..., Any] = "identity"
    dtypes: tuple[str, ...] = ("float32", "float64")
    real_noise: Literal["normal", "uniform"] | None = None
    rounds: bool = False
    pytorch: str | None = None
    not_applicable: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    applies_to: tuple[LayerFamily, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def function(self) -> Callable[..., Any]:
        """The public function of that name, whose docstring is the documentation."""
        return getattr(variants, self.name)

    def example(self, rows: int, columns: int, dtype: Any = np.float64) -> Arrays:
        """The example inputs, floating-point ones in `dtype`."""
        return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in self.inputs(rows, columns))

    def mask_matrix(self, noise: np.ndarray, p: float) -> np.ndarray:
        """The noise as a matrix of independent decisions, True with probability 1 - drop_rate(p)."""
        matrix = self.noise_matrix(noise)
        if matrix.dtype == np.bool_:
            return matrix
        return matrix > (NormalDist().inv_cdf(p) if self.real_noise == "normal" else p)


@dataclass(frozen=True)
class Subject:
    """Something to be checked.

    apply(inputs, p, seed) -> y; noise(inputs, p, seed) -> what was drawn for it; matrix(rows, columns, p, seed) -> a
    noise matrix, True = kept.
    """

    case: Case
    apply: Callable[[Arrays, float, int], np.ndarray]
    noise: Callable[[Arrays, float, int], np.ndarray]
    backend: Any = None  # None for somebody else's function

    def matrix(self, rows: int, columns: int, p: float, seed: int) -> np.ndarray:
        """The noise of an example as a matrix of independent elements."""
        return self.case.mask_matrix(self.noise(self.case.example(rows, columns, np.float32), p, seed), p)


def called(case: Case, *inputs: Any, backend: Any, **options: Any) -> Any:
    """`case.call` with arrays of NumPy, whatever the backend: in they go to where it computes, out they come back."""
    backend = get(backend)
    if backend.place is None:
        return case.call(*inputs, backend=backend, **options)
    options = {name: backend.place(value) for name, value in options.items()}
    answer = case.call(*map(backend.place, inputs), backend=backend, **options)
    return tuple(map(_home, answer)) if isinstance(answer, tuple) else _home(answer)


def _home(answer: Any) -> Any:
    return answer if isinstance(answer, Tensor) else on_host(answer)


def own(case: Case, backend: Any) -> Subject:
    """puredrop's variant on a backend."""

    def apply(inputs: Arrays, p: float, seed: int) -> np.ndarray:
        return called(case, *inputs, p, key=Key(seed), backend=backend)

    def noise(inputs: Arrays, p: float, seed: int) -> np.ndarray:
        return called(case, *inputs, p, key=Key(seed), return_mask=True, backend=backend)[1]

    return Subject(case, apply, noise, backend)
