"""Layers over the structured, block and pooling variants. The batch is on axis 0, unless a layer says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from .. import variants
from ..variants.blocks import GAMMA, NORMALIZE, block_of, require_choice, seed_shape
from ..variants.door import Shape, checked_rate, whole_number
from ..variants.holes import width_range
from ..variants.pooling import pooled_shape
from ..variants.schedules import Schedule
from ..variants.structured import spatial_axes
from .module import by_sample
from .shell import Expectation, Rated, Shell

__all__ = [
    "SpatialDropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "LockedDropout",
    "BatchwiseDropout",
    "TokenDropout",
    "EmbeddingDropout",
    "WordDropout",
    "PatchDropout",
    "NestedDropout",
    "DropBlock",
    "Cutout",
    "BandDropout",
    "MaxPoolDropout",
    "StochasticPool",
]


class SpatialDropout(Rated):
    """`puredrop.spatial_dropout` as a layer, for x with a batch on axis 0.

    >>> import numpy as np
    >>> y = SpatialDropout(0.5, spatial_dims=2, channel_axis=-1).seed(7)(np.ones((2, 4, 4, 3), np.float32))
    >>> y.numpy()[:, 0, 0].tolist()
    [[0.0, 2.0, 2.0], [2.0, 2.0, 0.0]]
    """

    function: ClassVar[Any] = staticmethod(variants.spatial_dropout)

    def __init__(self, p: float | Schedule = 0.5, *, spatial_dims: int, channel_axis: int) -> None:
        name = type(self).__name__
        dims = whole_number(name, "spatial_dims", spatial_dims, 1)
        spatial_axes(name, dims + 2, dims, channel_axis, 0)
        super().__init__(p, spatial_dims=dims, channel_axis=channel_axis)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, spatial_axes(type(self).__name__, len(shape), batch_axis=0, **self.options)


class _ChannelsFirst(SpatialDropout):
    dims: ClassVar[int]
    shown = ()

    def __init__(self, p: float | Schedule = 0.5) -> None:
        super().__init__(p, spatial_dims=self.dims, channel_axis=1)

    @property
    def options(self) -> dict[str, Any]:
        return {}  # the function of that name has none of them

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, spatial_axes(type(self).__name__, len(shape), self.dims, channel_axis=1, batch_axis=0)


class Dropout1d(_ChannelsFirst):
    """`puredrop.dropout1d` as a layer, for (N, C, L). For x without a batch call the function."""

    function = staticmethod(variants.dropout1d)
    dims = 1


class Dropout2d(_ChannelsFirst):
    """`puredrop.dropout2d` as a layer, for (N, C, H, W)."""

    function = staticmethod(variants.dropout2d)
    dims = 2


class Dropout3d(_ChannelsFirst):
    """`puredrop.dropout3d` as a layer, for (N, C, D, H, W). For x without a batch call the function."""

    function = staticmethod(variants.dropout3d)
    dims = 3


class LockedDropout(Rated):
    """`puredrop.locked_dropout` as a layer: x (N, T, ...) for time_axis=1, (T, N, ...) for time_axis=0.

    >>> import numpy as np
    >>> y = LockedDropout(0.5, time_axis=1).seed(7)(np.ones((2, 3, 4), np.float32)).numpy()
    >>> bool((y == y[:, :1]).all())
    True
    """

    function = staticmethod(variants.locked_dropout)
    time_axis: int

    def __init__(self, p: float | Schedule = 0.5, *, time_axis: int) -> None:
        super().__init__(p, time_axis=whole_number("LockedDropout", "time_axis", time_axis, 0))
        self.batch_axis = 0 if time_axis else 1

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if len(shape) < 2 or self.time_axis >= len(shape):
            raise ValueError(f"LockedDropout: x of shape {shape} has no time_axis = {self.time_axis}")
        return shape, (self.time_axis,)

    def forward(self, x: Any) -> Any:
        where = self.address(*self.noise(tuple(x.shape)))
        if where is None:
            return self.applied(None, x)
        return by_sample(partial(self.applied, where), x, where[0], self.batch_axis)


class BatchwiseDropout(Rated):
    """`puredrop.batchwise_dropout` as a layer: one mask for all examples of a pass."""

    function = staticmethod(variants.batchwise_dropout)

    def __init__(self, p: float | Schedule = 0.5) -> None:
        super().__init__(p)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, (0,)


class TokenDropout(Rated):
    """`puredrop.token_dropout` as a layer, for (N, T, D)."""

    function = staticmethod(variants.token_dropout)

    def __init__(self, p: float | Schedule = 0.1) -> None:
        super().__init__(p)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape, (len(shape) - 1,) if shape else ()


class EmbeddingDropout(Rated):
    """`puredrop.embedding_dropout` as a layer: call it with the embedding matrix and the ids, (N, T).

    >>> import numpy as np
    >>> EmbeddingDropout(0.5).seed(7)(np.ones((5, 2), np.float32), np.array([[4, 0, 3, 0]])).numpy()[0, :, 0].tolist()
    [2.0, 0.0, 2.0, 0.0]
    """

    function = staticmethod(variants.embedding_dropout)

    def __init__(self, p: float | Schedule = 0.1) -> None:
        super().__init__(p)

    def forward(self, weight: Any, ids: Any) -> Any:  # type: ignore[override]
        where = self.address(tuple(ids.shape))
        if where is None:
            return variants.embedding_dropout(weight, ids, training=False)
        key, _ = where  # a word has one place in the noise, whichever example it occurs in
        return variants.embedding_dropout(weight, ids, self.rate(self.p, key), key=key)


class WordDropout(Rated):
    """`puredrop.word_dropout` as a layer, for ids (N, T)."""

    function = staticmethod(variants.word_dropout)

    def __init__(self, p: float | Schedule = 0.1, *, unknown: int, protected: int | Sequence[int] = ()) -> None:
        super().__init__(p, unknown=whole_number("WordDropout", "unknown", unknown, 0), protected=protected)


class PatchDropout(Rated):
    """`puredrop.patch_dropout` as a layer, for (N, T, D)."""

    function = staticmethod(variants.patch_dropout)
    prefix: int

    def __init__(self, p: float | Schedule = 0.5, *, prefix: int = 0) -> None:
        super().__init__(p, prefix=whole_number("PatchDropout", "prefix", prefix, 0))

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if len(shape) != 3 or shape[1] < self.prefix:
            raise ValueError(f"PatchDropout: x must be (N, T, D) with T >= {self.prefix}, got {shape}")
        return (shape[0], shape[1] - self.prefix), ()


class NestedDropout(Rated):
    """`puredrop.nested_dropout` as a layer, for (N, ..., D)."""

    function = staticmethod(variants.nested_dropout)

    def __init__(self, p: float | Schedule = 0.1) -> None:
        super().__init__(p)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if len(shape) < 2 or not shape[-1]:
            raise ValueError(f"NestedDropout: x must be (N, ..., D) with D at least 1, got shape {shape}")
        return (*shape[:-1], shape[-1] - 1), ()


class DropBlock(Rated):
    """`puredrop.drop_block` as a layer, for (N, C, ...) with `spatial_dims` more axes.

    A ramp of p over training, as in the paper, is a schedule: DropBlock(schedules.linear(...)).

    >>> import numpy as np
    >>> layer = DropBlock(0.2, block_size=3).seed(7)
    >>> layer(np.ones((2, 8, 14, 14), np.float32)).shape, layer.eval()(np.ones((1, 1, 5, 5))).numpy().min().item()
    ((2, 8, 14, 14), 1.0)
    """

    function = staticmethod(variants.drop_block)
    block_size: tuple[int, ...]
    spatial_dims: int

    def __init__(
        self,
        p: float | Schedule = 0.1,
        *,
        block_size: int | Sequence[int] = 7,
        spatial_dims: int = 2,
        gamma: Literal["paper", "exact"] = "paper",
        gamma_scale: float = 1.0,
        normalize: Literal["batch", "sample", "expected"] | None = "batch",
    ) -> None:
        dims = whole_number("DropBlock", "spatial_dims", spatial_dims, 1)
        require_choice("DropBlock", "gamma", gamma, GAMMA)
        require_choice("DropBlock", "normalize", normalize, NORMALIZE)
        super().__init__(
            p,
            block_size=block_of("DropBlock", "block_size", block_size, dims),
            spatial_dims=dims,
            gamma=gamma,
            gamma_scale=gamma_scale,
            normalize=normalize,
        )

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return seed_shape("DropBlock", shape, self.block_size, self.spatial_dims)[1], ()


class Cutout(Rated):
    """`puredrop.cutout` as a layer, for (N, C, ...): it belongs in front of a model."""

    function = staticmethod(variants.cutout)

    def __init__(
        self, p: float | Schedule = 1.0, *, size: int | Sequence[int], spatial_dims: int = 2, fill: float = 0.0
    ) -> None:
        dims = whole_number("Cutout", "spatial_dims", spatial_dims, 1)
        super().__init__(p, size=block_of("Cutout", "size", size, dims), spatial_dims=dims, fill=fill)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return shape[:1], ()


class BandDropout(Rated):
    """`puredrop.band_dropout` as a layer, for (N, ...)."""

    function = staticmethod(variants.band_dropout)
    bands: int

    def __init__(
        self,
        p: float | Schedule = 1.0,
        *,
        axis: int,
        width: int | tuple[int, int],
        bands: int = 1,
        fill: float = 0.0,
    ) -> None:
        bands = whole_number("BandDropout", "bands", bands, 1)
        width_range("BandDropout", width)
        super().__init__(p, axis=axis, width=width, bands=bands, fill=fill)

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return (*shape[:1], self.bands), ()


class MaxPoolDropout(Expectation):
    """`puredrop.max_pool_dropout` as a layer: max pooling of what dropout leaves; its mean in evaluation.

    >>> import numpy as np
    >>> layer = MaxPoolDropout(0.5, size=2).seed(7)
    >>> layer.eval()(np.arange(4.0).reshape(1, 1, 2, 2)).item()
    2.125
    """

    function = staticmethod(variants.max_pool_dropout)

    def __init__(
        self,
        p: float = 0.5,
        *,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        spatial_dims: int = 2,
    ) -> None:
        # p is a number: evaluation needs it, where a schedule has no step
        super().__init__(checked_rate("MaxPoolDropout", p), **_pooling("MaxPoolDropout", size, stride, spatial_dims))


class StochasticPool(Shell):
    """`puredrop.stochastic_pool` as a layer: one element of each window, its mean in evaluation."""

    function = staticmethod(variants.stochastic_pool)

    def __init__(
        self, *, size: int | Sequence[int], stride: int | Sequence[int] | None = None, spatial_dims: int = 2
    ) -> None:
        super().__init__(**_pooling("StochasticPool", size, stride, spatial_dims))

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        return pooled_shape("StochasticPool", shape, **self.options), ()


def _pooling(
    name: str, size: int | Sequence[int], stride: int | Sequence[int] | None, spatial_dims: int
) -> dict[str, Any]:
    dims = whole_number(name, "spatial_dims", spatial_dims, 1)
    window = block_of(name, "size", size, dims)
    step = window if stride is None else block_of(name, "stride", stride, dims)
    return {"size": window, "stride": step, "spatial_dims": dims}
