"""Layers with gates, and attention that drops: thin shells over the functions of the same name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from .. import variants
from ..ops.heads import weights_shape
from ..random import Keys
from ..variants.door import Shape, checked_rate, one_rate
from ..variants.gates import checked_mode
from ..variants.schedules import Schedule
from .module import Site
from .shell import Expectation, Rated, Shell

__all__ = [
    "DropHead",
    "DropKey",
    "DropPath",
    "FractalJoin",
    "LayerDrop",
    "ScaledDotProductAttention",
    "ShakeDrop",
    "ShakeShake",
    "StochasticDepth",
    "Swapout",
]

GateMode = Literal["row", "batch"]


class _OneRate(Rated):
    """A shell whose rate is one number, or a schedule; the repr shows no more."""

    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, p: float | Schedule, **options: Any) -> None:
        super().__init__(p if callable(p) else one_rate(type(self).__name__, p), **options)


class _Gated(_OneRate):
    """One gate for each example, or one for the batch."""

    shown = ("mode",)

    def __init__(self, p: float | Schedule, mode: GateMode, **options: Any) -> None:
        super().__init__(p, **options)
        self.gate_mode = checked_mode(type(self).__name__, mode)  # `mode` is the module's: train, eval, sample

    @property
    def options(self) -> dict[str, Any]:
        return {"mode": self.gate_mode, **super().options}

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, tuple(range(int(self.gate_mode == "row"), len(shape)))


class DropPath(_Gated):
    """`puredrop.drop_path` as a layer: put it behind the branch, `x + drop_path(branch(x))`.

    >>> DropPath(0.5).seed(7)(np.ones((4, 1), np.float32)).tolist()
    [[0.0], [2.0], [2.0], [2.0]]
    """

    function = staticmethod(variants.drop_path)
    scale_by_keep: bool

    def __init__(self, p: float | Schedule = 0.1, mode: GateMode = "row", scale_by_keep: bool = True) -> None:
        super().__init__(p, mode, scale_by_keep=scale_by_keep)


class StochasticDepth(_Gated, Expectation):
    """`puredrop.stochastic_depth` as a layer of (x, residual): in evaluation the residual counts 1 - p.

    >>> layer = StochasticDepth(0.5).eval()
    >>> layer(np.ones(2), np.full(2, 10.0)).tolist()
    [6.0, 6.0]
    """

    function = staticmethod(variants.stochastic_depth)

    def __init__(self, p: float | Schedule = 0.5, mode: GateMode = "batch") -> None:
        super().__init__(p, mode)

    def forward(self, x: Any, residual: Any) -> Any:  # type: ignore[override]
        return self.called(x, residual)


class ShakeDrop(_Gated, Expectation):
    """`puredrop.shake_drop` as a layer of (x, residual).

    >>> layer = ShakeDrop(0.5).eval()
    >>> layer(np.ones((2, 1)), np.full((2, 1), 10.0)).tolist()
    [[6.0], [6.0]]
    """

    function = staticmethod(variants.shake_drop)
    alpha: tuple[float, float]
    beta: tuple[float, float]

    def __init__(
        self,
        p: float | Schedule = 0.5,
        alpha: tuple[float, float] = (-1.0, 1.0),
        beta: tuple[float, float] = (0.0, 1.0),
        mode: GateMode = "row",
    ) -> None:
        super().__init__(p, mode, alpha=alpha, beta=beta)
        variants.shake_drop(np.zeros(1), np.zeros(1), 0.0, alpha=alpha, beta=beta)  # its door

    def forward(self, x: Any, residual: Any) -> Any:  # type: ignore[override]
        return self.called(x, residual)


class ShakeShake(_Gated):
    """`puredrop.shake_shake` as a layer of (x, first, second).

    >>> layer = ShakeShake().eval()
    >>> layer(np.ones((1, 1)), np.full((1, 1), 10.0), np.full((1, 1), 20.0)).tolist()
    [[16.0]]
    """

    function = staticmethod(variants.shake_shake)

    def __init__(self, mode: GateMode = "row") -> None:
        super().__init__(0.0, mode)

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return ()  # there is no rate

    def is_idle(self) -> bool:
        return False

    def forward(self, x: Any, first: Any, second: Any) -> Any:  # type: ignore[override]
        return self.called(x, first, second)

    def extra_repr(self) -> str:
        return f"mode={self.gate_mode!r}"


class FractalJoin(_Gated):
    """`puredrop.fractal_join` as a layer of several paths. `column=j` in the call keeps path j alone.

    >>> layer = FractalJoin(0.15).eval()
    >>> layer(np.zeros(1), np.full(1, 6.0)).tolist()
    [3.0]
    """

    function = staticmethod(variants.fractal_join)

    def __init__(self, p: float | Schedule = 0.15, mode: GateMode = "batch") -> None:
        super().__init__(p, mode)

    def forward(self, *paths: Any, column: int | None = None) -> Any:
        return self.applied(self.address(*self.noise(tuple(paths[0].shape))), paths, column=column)


class Swapout(Shell):
    """`puredrop.swapout` as a layer of (x, residual).

    >>> layer = Swapout(0.5, 0.5).eval()
    >>> layer(np.ones(1), np.full(1, 10.0)).tolist()
    [5.5]
    """

    function = staticmethod(variants.swapout)
    p1: float
    p2: float

    def __init__(self, p1: float = 0.5, p2: float = 0.5) -> None:
        super().__init__(p1=one_rate("Swapout", p1, "p1"), p2=one_rate("Swapout", p2, "p2"))

    def forward(self, x: Any, residual: Any) -> Any:  # type: ignore[override]
        return self.called(x, residual)

    def is_idle(self) -> bool:
        return self.has_no_rate(self.p1) and self.has_no_rate(self.p2)


class LayerDrop(Site):
    """`puredrop.layer_drop` as a stack of layers. p is one rate, one for each layer, or a schedule.

    In train mode one gate a layer serves the whole batch; each Monte-Carlo sample has gates of its own. `layers` is a
    plain list: keep a part of it for a pruned stack.

    >>> from puredrop.nn import ReLU
    >>> LayerDrop([ReLU(), ReLU()], 0.5).eval()(np.array([-1.0, 1.0])).tolist()
    [0.0, 1.0]
    """

    def __init__(
        self, layers: Sequence[Callable[[Any], Any]], p: float | list[float] | Schedule, at_least_one: bool = False
    ) -> None:
        self.layers = list(layers)
        self.p: Any = p if callable(p) else checked_rate("LayerDrop", np.asarray(p) if isinstance(p, list) else p)
        self.at_least_one = at_least_one
        if isinstance(self.p, np.ndarray) and self.p.shape != (len(self.layers),):
            raise ValueError(f"LayerDrop: p must be one number or one for each of {len(self.layers)} layers, got {p}")

    def forward(self, x: Any) -> Any:
        where = self.address(x.shape, tuple(range(len(x.shape))))
        if where is None:
            return variants.layer_drop(self.layers, x, 0.0, training=False)
        key, _ = where
        return variants.layer_drop(self.layers, x, self.rate(self.p, key), at_least_one=self.at_least_one, key=key)

    def is_idle(self) -> bool:
        return self.has_no_rate(self.p)


class ScaledDotProductAttention(_OneRate):
    """`puredrop.scaled_dot_product_attention` as a layer of (q, k, v); the leading axis is the batch.

    >>> layer = ScaledDotProductAttention(0.5).eval()
    >>> layer(np.zeros((1, 2, 1)), np.zeros((1, 4, 1)), np.ones((1, 4, 1))).tolist()
    [[[1.0], [1.0]]]
    """

    function = staticmethod(variants.scaled_dot_product_attention)
    causal: bool
    scale: float | None

    def __init__(
        self,
        p: float | Schedule = 0.1,
        causal: bool = False,
        scale: float | None = None,
        shared: int | Sequence[int] = (),
        tile: int | None = None,
    ) -> None:
        super().__init__(p, causal=causal, scale=scale, tile=tile)
        self.shared = (shared,) if isinstance(shared, int) else tuple(shared)

    def forward(  # type: ignore[override]
        self, q: Any, k: Any, v: Any, allowed: Any = None, bias: Any = None
    ) -> Any:
        weights = weights_shape(tuple(q.shape), tuple(k.shape))
        return self.applied(self.address(weights, self.shared), q, k, v, allowed=allowed, bias=bias)


class DropKey(_OneRate):
    """`puredrop.drop_key` as a layer: logits in, attention weights out.

    >>> DropKey(0.5).eval()(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    function = staticmethod(variants.drop_key)
    all_dropped: Literal["keep", "zero"]

    def __init__(
        self,
        p: float | Schedule = 0.1,
        all_dropped: Literal["keep", "zero"] = "keep",
        shared: int | Sequence[int] = (),
    ) -> None:
        super().__init__(p, all_dropped=all_dropped)
        variants.drop_key(np.zeros(1), 0.0, all_dropped=all_dropped)  # its door
        self.shared = (shared,) if isinstance(shared, int) else tuple(shared)

    def forward(self, logits: Any) -> Any:
        return self.called(logits)


class DropHead(_OneRate):
    """`puredrop.drop_head` as a layer.

    >>> DropHead(0.5).seed(7)(np.ones((1, 4, 1), np.float32)).numpy().ravel().round(2).tolist()
    [0.0, 1.3300000429153442, 1.3300000429153442, 1.3300000429153442]
    """

    function = staticmethod(variants.drop_head)
    head_axis: int

    def __init__(self, p: float | Schedule = 0.1, head_axis: int = 1) -> None:
        super().__init__(p, head_axis=head_axis)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        rank = len(shape)
        if not -rank <= self.head_axis < rank:
            raise ValueError(f"DropHead: head_axis {self.head_axis} does not exist in x of shape {shape}")
        return shape, tuple(set(range(rank)) - {0, self.head_axis % rank})
