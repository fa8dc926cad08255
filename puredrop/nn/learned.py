"""Layers whose noise is learned, or depends on the data. What they add to the loss is their `regulariser`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .. import ops, variants
from ..random import Keys
from ..variants.door import Shape, checked_rate
from ..variants.special import concrete_regulariser, log_uniform_kl, sparse_log_alpha
from .init import Initialiser, fan_in_uniform
from .module import Parameter
from .shell import Shell

__all__ = [
    "ConcreteDropout",
    "SparseVariationalLinear",
    "SpatialConcreteDropout",
    "Standout",
    "VariationalGaussianDropout",
]


class ConcreteDropout(Shell):
    """`puredrop.concrete_dropout` as a layer: dropout that learns its one rate, from p on.

    Put it before a layer with a weight and add `regulariser(weight)` to the loss, which is a mean over N examples:
    weight_scale is l^2 / (tau N), dropout_scale 2 / (tau N), or 1 / N for cross-entropy. Evaluation gives x; for the
    paper's predictions, averages over masks, use sample mode. There is one draw along each of the `shared` axes.

    >>> layer = ConcreteDropout(p=0.2).seed(0)
    >>> layer(np.ones((2, 3), np.float32)).shape, round(layer.p, 3)
    ((2, 3), 0.2)
    """

    function: ClassVar[Any] = staticmethod(variants.concrete_dropout)
    temperature: float
    hard: bool
    correct_mean: bool

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 0.1,
        weight_scale: float = 1e-6,
        dropout_scale: float = 1e-5,
        hard: bool = False,
        correct_mean: bool = False,
        shared: tuple[int, ...] = (),
    ) -> None:
        name = type(self).__name__
        self.shared = tuple(shared)
        self.logit_p = Parameter((), _Constant(_logit(name, p)))
        super().__init__(temperature=temperature, hard=hard, correct_mean=correct_mean)
        self.weight_scale, self.dropout_scale = weight_scale, dropout_scale
        variants.concrete_dropout(np.zeros(0), 0.0, **self.options, training=False)  # refuses wrong ones now

    @property
    def p(self) -> float:
        """The rate as learned so far."""
        return 1 / (1 + math.exp(-float(self.logit_p.numpy())))

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return (self.logit_p,)

    def regulariser(self, weight: Any, units: int | None = None) -> Any:
        """What to add to the loss, for the weight (outputs, inputs, ...) of the layer whose input is dropped here."""
        scales = {"weight_scale": self.weight_scale, "dropout_scale": self.dropout_scale}
        return concrete_regulariser(weight, self.logit_p, units=units, **scales)

    def extra_repr(self) -> str:
        return f"p={self.p:.3g}, temperature={self.temperature:.3g}" if self.logit_p.drawn else "p not drawn yet"


class SpatialConcreteDropout(ConcreteDropout):
    """`puredrop.spatial_concrete_dropout` as a layer: whole channels of x (N, C, positions ...), before a convolution.

    `regulariser(weight)` takes the input channels of the convolution for its units.

    >>> layer = SpatialConcreteDropout(p=0.2, correct_mean=True).seed(0)
    >>> layer(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    function = staticmethod(variants.spatial_concrete_dropout)

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 2 / 3,
        weight_scale: float = 1e-6,
        dropout_scale: float = 1e-5,
        hard: bool = False,
        correct_mean: bool = False,
    ) -> None:
        super().__init__(p, temperature, weight_scale, dropout_scale, hard, correct_mean)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if len(shape) < 3:
            raise ValueError(f"SpatialConcreteDropout: x must be (N, C, positions ...), got shape {shape}")
        return shape, tuple(range(2, len(shape)))


class VariationalGaussianDropout(Shell):
    """`puredrop.variational_gaussian_dropout` as a layer: Gaussian noise that learns its variance, from p / (1 - p) on.

    shape: that of log_alpha, () for one, or such that it broadcasts to one example. Add `regulariser()` to the loss,
    divided by the number of examples where that is a mean. There is one draw along each of the `shared` axes.

    >>> layer = VariationalGaussianDropout(p=0.2).seed(0)
    >>> layer(np.ones((2, 3), np.float32)).shape, round(float(layer.log_alpha.numpy()), 4)
    ((2, 3), -1.3863)
    """

    function = staticmethod(variants.variational_gaussian_dropout)
    max_alpha: float

    def __init__(
        self,
        p: float = 0.5,
        shape: int | tuple[int, ...] = (),
        max_alpha: float = math.inf,
        shared: tuple[int, ...] = (),
    ) -> None:
        self.shared = tuple(shared)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.log_alpha = Parameter(shape, _Constant(_logit("VariationalGaussianDropout", p)))
        super().__init__(max_alpha=max_alpha)
        variants.variational_gaussian_dropout(np.zeros(0), 0.0, max_alpha, training=False)  # refuses a wrong one now

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return (self.log_alpha,)

    def regulariser(self) -> Any:
        """The divergence from the log-uniform prior, summed."""
        return ops.sum(log_uniform_kl(self.log_alpha))

    def extra_repr(self) -> str:
        return f"{self.log_alpha.shape}, max_alpha={self.max_alpha}"


class SparseVariationalLinear(Shell):
    """`puredrop.sparse_variational_linear` as a layer: a Linear that learns which of its weights are noise.

    Evaluation does without weights of log alpha > threshold. Add `regulariser()` to the loss, divided by the number of
    examples where that is a mean.

    >>> layer = SparseVariationalLinear(4, 2).seed(0)
    >>> layer(np.ones((3, 4), np.float32)).shape, layer.regulariser().shape, layer.sparsity()
    ((3, 2), (), 0.0)
    """

    function = staticmethod(variants.sparse_variational_linear)
    threshold: float

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        threshold: float = 3.0,
        log_sigma2: float = -10.0,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(threshold=threshold)
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter((outputs, inputs), init or fan_in_uniform(inputs))
        self.log_sigma2 = Parameter((outputs, inputs), _Constant(log_sigma2))
        self.bias = Parameter((outputs,), fan_in_uniform(inputs)) if bias else None

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if not shape or shape[-1] != self.inputs:
            raise ValueError(f"SparseVariationalLinear: the last axis of x must be {self.inputs}, got shape {shape}")
        return (*shape[:-1], self.outputs), ()

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return self.weight, self.log_sigma2, self.bias

    def regulariser(self) -> Any:
        """The divergence of all weights from the log-uniform prior."""
        return ops.sum(log_uniform_kl(sparse_log_alpha(self.weight, self.log_sigma2)))

    def sparsity(self) -> float:
        """The share of weights that evaluation does without."""
        return float((sparse_log_alpha(self.weight.numpy(), self.log_sigma2.numpy()) > self.threshold).mean())

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.outputs}, threshold={self.threshold}" + (
            ", no bias" if self.bias is None else ""
        )


class Standout(Shell):
    """`puredrop.standout` as a layer: called with the activation and its pre-activation.

    >>> layer = Standout().eval()
    >>> layer(np.ones(2, np.float32), np.zeros(2, np.float32)).tolist()
    [0.5, 0.5]
    """

    function = staticmethod(variants.standout)
    alpha: float
    beta: float

    def __init__(self, alpha: float = 1.0, beta: float = 0.0) -> None:
        super().__init__(alpha=alpha, beta=beta)
        variants.standout(np.zeros(0), np.zeros(0), alpha, beta, training=False)  # refuses wrong ones now

    def forward(self, x: Any, pre_activation: Any) -> Any:  # type: ignore[override]
        return self.called(x, pre_activation)


class _Constant:
    """The same number everywhere."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, key: Any, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)


def _logit(name: str, p: Any) -> float:
    """log(p / (1 - p)) of a rate that can be learned."""
    p = checked_rate(name, p)
    if not isinstance(p, float) or p in (0.0, 1.0):
        raise ValueError(
            f"{name}: p must be one number between 0 and 1, both excluded, got {p}: it is learned from there"
        )
    return math.log(p / (1 - p))
