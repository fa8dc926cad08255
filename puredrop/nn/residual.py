"""Layers with gates, and attention that drops: thin shells over the functions of the same name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .. import variants
from ..ops.heads import weights_shape
from ..variants.door import checked_rate, one_rate
from ..variants.gates import checked_mode
from ..variants.schedules import Schedule
from .module import Site

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


class _Rated(Site):
    """A site with one rate: a number, or a schedule."""

    def __init__(self, p: float | Schedule) -> None:
        self.p = p if callable(p) else one_rate(type(self).__name__, p)

    def eval_rate(self) -> Any:
        """The rate that an expectation is taken at: a schedule says it for the step that comes next."""
        if not callable(self.p):
            return self.p
        if self.rng is None:
            raise RuntimeError(
                f"{type(self).__name__}: a schedule needs the step it stands at; call .seed(s) on the model, "
                f"or load its random state"
            )
        return one_rate(type(self).__name__, self.p(self.rng.step))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _Gated(_Rated):
    """A site with one gate for each example, or one for the batch."""

    def __init__(self, p: float | Schedule, mode: GateMode) -> None:
        super().__init__(p)
        self.gate_mode = checked_mode(type(self).__name__, mode)

    def gates(self, x: Any) -> Any:
        """The address of this layer's gates, or None."""
        return self.address(x.shape, tuple(range(int(self.gate_mode == "row"), len(x.shape))))

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.gate_mode!r}"


class DropPath(_Gated):
    """`puredrop.drop_path` as a layer: put it behind the branch, `x + drop_path(branch(x))`.

    >>> DropPath(0.5).seed(7)(np.ones((4, 1), np.float32)).tolist()
    [[0.0], [2.0], [2.0], [2.0]]
    """

    def __init__(self, p: float | Schedule = 0.1, mode: GateMode = "row", scale_by_keep: bool = True) -> None:
        super().__init__(p, mode)
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Any) -> Any:
        where = self.gates(x)
        if where is None:
            return variants.drop_path(x, 0.0, mode=self.gate_mode, training=False)
        key, index = where
        return variants.drop_path(
            x, self.rate(self.p, key), mode=self.gate_mode, scale_by_keep=self.scale_by_keep, key=key, index=index
        )


class StochasticDepth(_Gated):
    """`puredrop.stochastic_depth` as a layer of (x, residual): in evaluation the residual counts 1 - p.

    >>> layer = StochasticDepth(0.5).eval()
    >>> layer(np.ones(2), np.full(2, 10.0)).tolist()
    [6.0, 6.0]
    """

    def __init__(self, p: float | Schedule = 0.5, mode: GateMode = "batch") -> None:
        super().__init__(p, mode)

    def forward(self, x: Any, residual: Any) -> Any:
        where = self.gates(x)
        if where is None:
            return variants.stochastic_depth(x, residual, self.eval_rate(), mode=self.gate_mode, training=False)
        key, index = where
        return variants.stochastic_depth(x, residual, self.rate(self.p, key), mode=self.gate_mode, key=key, index=index)


class ShakeDrop(_Gated):
    """`puredrop.shake_drop` as a layer of (x, residual).

    >>> layer = ShakeDrop(0.5).eval()
    >>> layer(np.ones((2, 1)), np.full((2, 1), 10.0)).tolist()
    [[6.0], [6.0]]
    """

    def __init__(
        self,
        p: float | Schedule = 0.5,
        alpha: tuple[float, float] = (-1.0, 1.0),
        beta: tuple[float, float] = (0.0, 1.0),
        mode: GateMode = "row",
    ) -> None:
        super().__init__(p, mode)
        self.alpha, self.beta = alpha, beta
        variants.shake_drop(np.zeros(1), np.zeros(1), 0.0, alpha=alpha, beta=beta)  # its door

    def forward(self, x: Any, residual: Any) -> Any:
        options: dict[str, Any] = {"alpha": self.alpha, "beta": self.beta, "mode": self.gate_mode}
        where = self.gates(x)
        if where is None:
            return variants.shake_drop(x, residual, self.eval_rate(), training=False, **options)
        key, index = where
        return variants.shake_drop(x, residual, self.rate(self.p, key), key=key, index=index, **options)


class ShakeShake(_Gated):
    """`puredrop.shake_shake` as a layer of (x, first, second).

    >>> layer = ShakeShake().eval()
    >>> layer(np.ones((1, 1)), np.full((1, 1), 10.0), np.full((1, 1), 20.0)).tolist()
    [[16.0]]
    """

    def __init__(self, mode: GateMode = "row") -> None:
        super().__init__(0.0, mode)

    def forward(self, x: Any, first: Any, second: Any) -> Any:
        where = self.gates(x)
        if where is None:
            return variants.shake_shake(x, first, second, mode=self.gate_mode, training=False)
        key, index = where
        return variants.shake_shake(x, first, second, mode=self.gate_mode, key=key, index=index)

    def extra_repr(self) -> str:
        return f"mode={self.gate_mode!r}"


class FractalJoin(_Gated):
    """`puredrop.fractal_join` as a layer of several paths. `column=j` in the call keeps path j alone.

    >>> layer = FractalJoin(0.15).eval()
    >>> layer(np.zeros(1), np.full(1, 6.0)).tolist()
    [3.0]
    """

    def __init__(self, p: float | Schedule = 0.15, mode: GateMode = "batch") -> None:
        super().__init__(p, mode)

    def forward(self, *paths: Any, column: int | None = None) -> Any:
        where = self.gates(paths[0])
        if where is None:
            return variants.fractal_join(paths, 0.0, mode=self.gate_mode, column=column, training=False)
        key, index = where
        return variants.fractal_join(
            paths, self.rate(self.p, key), mode=self.gate_mode, column=column, key=key, index=index
        )


class Swapout(Site):
    """`puredrop.swapout` as a layer of (x, residual).

    >>> layer = Swapout(0.5, 0.5).eval()
    >>> layer(np.ones(1), np.full(1, 10.0)).tolist()
    [5.5]
    """

    def __init__(self, p1: float = 0.5, p2: float = 0.5) -> None:
        self.p1, self.p2 = one_rate("Swapout", p1, "p1"), one_rate("Swapout", p2, "p2")

    def forward(self, x: Any, residual: Any) -> Any:
        where = self.address(x.shape)
        if where is None:
            return variants.swapout(x, residual, self.p1, self.p2, training=False)
        key, index = where
        return variants.swapout(x, residual, self.p1, self.p2, key=key, index=index)

    def extra_repr(self) -> str:
        return f"p1={self.p1}, p2={self.p2}"


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


class ScaledDotProductAttention(_Rated):
    """`puredrop.scaled_dot_product_attention` as a layer of (q, k, v); the leading axis is the batch.

    >>> layer = ScaledDotProductAttention(0.5).eval()
    >>> layer(np.zeros((1, 2, 1)), np.zeros((1, 4, 1)), np.ones((1, 4, 1))).tolist()
    [[[1.0], [1.0]]]
    """

    def __init__(
        self,
        p: float | Schedule = 0.1,
        causal: bool = False,
        scale: float | None = None,
        shared: int | Sequence[int] = (),
        tile: int | None = None,
    ) -> None:
        super().__init__(p)
        self.causal, self.scale, self.tile = causal, scale, tile
        self.shared = (shared,) if isinstance(shared, int) else tuple(shared)

    def forward(self, q: Any, k: Any, v: Any, allowed: Any = None, bias: Any = None) -> Any:
        options: dict[str, Any] = {
            "allowed": allowed,
            "bias": bias,
            "causal": self.causal,
            "scale": self.scale,
            "tile": self.tile,
        }
        where = self.address(weights_shape(tuple(q.shape), tuple(k.shape)), self.shared)
        if where is None:
            return variants.scaled_dot_product_attention(q, k, v, training=False, **options)
        key, index = where
        return variants.scaled_dot_product_attention(q, k, v, self.rate(self.p, key), key=key, index=index, **options)


class DropKey(_Rated):
    """`puredrop.drop_key` as a layer: logits in, attention weights out.

    >>> DropKey(0.5).eval()(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def __init__(
        self,
        p: float | Schedule = 0.1,
        all_dropped: Literal["keep", "zero"] = "keep",
        shared: int | Sequence[int] = (),
    ) -> None:
        super().__init__(p)
        variants.drop_key(np.zeros(1), 0.0, all_dropped=all_dropped)  # its door
        self.all_dropped: Literal["keep", "zero"] = all_dropped
        self.shared = (shared,) if isinstance(shared, int) else tuple(shared)

    def forward(self, logits: Any) -> Any:
        where = self.address(logits.shape, self.shared)
        if where is None:
            return variants.drop_key(logits, 0.0, training=False)
        key, index = where
        return variants.drop_key(logits, self.rate(self.p, key), all_dropped=self.all_dropped, key=key, index=index)


class DropHead(_Rated):
    """`puredrop.drop_head` as a layer.

    >>> DropHead(0.5).seed(7)(np.ones((1, 4, 1), np.float32)).numpy().ravel().round(2).tolist()
    [0.0, 1.3300000429153442, 1.3300000429153442, 1.3300000429153442]
    """

    def __init__(self, p: float | Schedule = 0.1, head_axis: int = 1) -> None:
        super().__init__(p)
        self.head_axis = head_axis

    def forward(self, x: Any) -> Any:
        rank = len(x.shape)
        if not -rank <= self.head_axis < rank:
            raise ValueError(f"DropHead: head_axis {self.head_axis} does not exist in x of shape {x.shape}")
        where = self.address(x.shape, tuple(set(range(rank)) - {0, self.head_axis % rank}))
        if where is None:
            return variants.drop_head(x, 0.0, head_axis=self.head_axis, training=False)
        key, index = where
        return variants.drop_head(x, self.rate(self.p, key), head_axis=self.head_axis, key=key, index=index)
