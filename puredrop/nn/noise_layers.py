"""Layers for noise on single elements and channels: thin shells over the functions of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from .. import variants
from ..variants.alpha import SELU_SATURATION
from ..variants.door import Shape, checked_rate
from ..variants.schedules import Schedule
from .shell import Expectation, Rated, Shell

__all__ = [
    "AlphaDropout",
    "ClassicDropout",
    "ContinuousDropout",
    "FeatureAlphaDropout",
    "FixedCountDropout",
    "GaussianDropout",
    "GaussianNoise",
]

# A layer checks its options where it is made, by way of its function: evaluation checks all and draws nothing.
_PROBE = np.zeros((1,) * 32, np.float32)  # has every axis that an option may name


class _Noise(Rated):
    """Base: checks its options by way of the function."""

    def __init__(self, p: float | Schedule, **options: Any) -> None:
        super().__init__(p, **options)
        self.function(_PROBE, 0.5 if callable(p) else self.p, training=False, **options)


class GaussianDropout(_Noise):
    """`puredrop.gaussian_dropout` as a layer: multiplies by normal numbers of mean 1 and variance p / (1 - p).

    >>> GaussianDropout(0.2).eval()(np.ones(3, np.float32)).tolist()
    [1.0, 1.0, 1.0]
    """

    function = staticmethod(variants.gaussian_dropout)

    def __init__(self, p: float | Schedule = 0.5) -> None:
        super().__init__(p)


class ContinuousDropout(_Noise):
    """`puredrop.continuous_dropout` as a layer: multiplies by uniform numbers of mean 1 and variance p / (1 - p).

    >>> ContinuousDropout(0.25, distribution="normal")
    ContinuousDropout(p=0.25, distribution='normal')
    """

    function = staticmethod(variants.continuous_dropout)

    def __init__(self, p: float | Schedule = 0.25, *, distribution: Literal["uniform", "normal"] = "uniform") -> None:
        super().__init__(p, distribution=distribution)


class AlphaDropout(_Noise):
    """`puredrop.alpha_dropout` as a layer, for networks of SELU units.

    >>> AlphaDropout(1.0).seed(7)(np.ones(3, np.float32)).tolist()
    [0.0, 0.0, 0.0]
    """

    function: ClassVar[Any] = staticmethod(variants.alpha_dropout)

    def __init__(
        self,
        p: float | Schedule = 0.5,
        *,
        mean: float = 0.0,
        variance: float = 1.0,
        saturation: float = SELU_SATURATION,
    ) -> None:
        super().__init__(p, mean=mean, variance=variance, saturation=saturation)


class FeatureAlphaDropout(AlphaDropout):
    """`puredrop.feature_alpha_dropout` as a layer: whole channels of x (N, C, ...).

    >>> y = FeatureAlphaDropout(0.5).seed(7)(np.zeros((2, 4, 3), np.float32)).data
    >>> bool((y == y[:, :, :1]).all())
    True
    """

    function = staticmethod(variants.feature_alpha_dropout)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, tuple(range(2, len(shape)))


class FixedCountDropout(_Noise):
    """`puredrop.fixed_count_dropout` as a layer: keeps exactly round((1 - p) n) of the n elements along `axis`.

    The batch axis cannot be counted along: a batch may come in parts.

    >>> FixedCountDropout(0.75).seed(7)(np.ones((2, 8), np.float32)).data.sum(axis=1).tolist()
    [8.0, 8.0]
    """

    function = staticmethod(variants.fixed_count_dropout)
    axis: int | Sequence[int]

    def __init__(self, p: float | Schedule = 0.5, *, axis: int | Sequence[int] = -1) -> None:
        super().__init__(p, axis=axis)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        axes, rank = self.axis, len(shape)
        if any(a % rank == self.batch_axis for a in ((axes,) if isinstance(axes, int) else axes) if rank):
            raise ValueError(f"FixedCountDropout: axis {axes} of x {shape} counts along the batch axis; name others")
        return shape, ()


class ClassicDropout(Expectation):
    """`puredrop.classic_dropout` as a layer: no scale in training, 1 - p in evaluation.

    p is a number: a schedule has no rate for evaluation.

    >>> ClassicDropout(0.25).eval()(np.ones(3, np.float32)).tolist()
    [0.75, 0.75, 0.75]
    """

    function = staticmethod(variants.classic_dropout)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(checked_rate("ClassicDropout", p))


class GaussianNoise(Shell):
    """`puredrop.gaussian_noise` as a layer: adds normal numbers of standard deviation sigma.

    sigma is a number, or an array or tensor that broadcasts to x. A `Parameter` is learned; it must stay above 0, so
    where training may take it below, learn its logarithm: `gaussian_noise(x, log_sigma.exp())`.

    >>> GaussianNoise(0.0).seed(7)(np.ones(3, np.float32)).tolist()
    [1.0, 1.0, 1.0]
    """

    function = staticmethod(variants.gaussian_noise)
    sigma: Any

    def __init__(self, sigma: Any = 0.1) -> None:
        variants.gaussian_noise(np.zeros(getattr(sigma, "shape", ()), np.float32), sigma, training=False)
        super().__init__(sigma=sigma)

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}"
