"""Rows for convolution, pooling and normalisation, and the networks of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from .... import nn
from ..case import LayerCase, normal

SIZES = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}  # of the map, by the number of axes
Layers = Callable[[Any], list[Any]]  # the layers of a network, made with puredrop.nn or torch.nn


def alike(
    layer: str, option: str, layers: Layers, *shape: int, smooth: bool = True, mode: str = "train", draws: bool = False
) -> LayerCase:
    """The same layers, one after the other, from both libraries; the names of their weights are the same.

    In `mode`, where PyTorch has only train and eval. `draws`: PyTorch's dropout takes what was drawn.
    """

    def reference(torch: Any, weights: dict[str, Any], noise: Any, x: Any) -> Any:
        model = torch.nn.Sequential(*layers(torch.nn))
        for module in model:  # sample mode is PyTorch's eval, but for dropout
            module.train(mode == "train" or (mode == "sample" and isinstance(module, torch.nn.Dropout)))
        with noise.in_place_of_pytorchs() if draws else nullcontext(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")  # only slower
            return torch.func.functional_call(model, weights, (x,))

    def make() -> nn.Module:
        model: nn.Module = getattr(nn.Sequential(*layers(nn)), mode)()
        for i, (_, buffer) in enumerate(model.named_buffers()):
            buffer.fill(1 + i + 0.5 * np.abs(normal(*buffer.shape)))  # not those of a fresh layer
        return model

    return LayerCase(layer, option, make, lambda: (normal(*shape),), reference, smooth)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2},
    "padding": {"padding": 1},
    "dilation": {"dilation": 2, "padding": 1},
    "groups": {"groups": 2},
    "same": {"padding": "same", "dilation": 2},
    "same, one more at the end": {"padding": "same"},
    "no bias": {"bias": False},
    "stride, padding, dilation, groups": {"stride": 2, "padding": 2, "dilation": 2, "groups": 2},
}
TRANSPOSED: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride and output padding": {"stride": 2, "output_padding": 1},
    "padding": {"padding": 1},
    "dilation and output padding": {"dilation": 2, "output_padding": 1},
    "groups": {"groups": 2},
    "no bias": {"bias": False},
    "stride as long as the kernel": {"stride": 2},
}


def convolution(axes: int, name: str, option: str, options: dict[str, Any]) -> LayerCase:
    """A layer of that name, kernel 2; two channels in and two out."""
    return alike(name, option, lambda lib: [getattr(lib, name)(2, 2, 2, **options)], 2, 2, *SIZES[axes])


def convolutions() -> list[LayerCase]:
    """Every option for one, two and three axes, and one row with another number for each axis."""
    rows = []
    for axes in SIZES:
        for kind, table in (("Conv", CONVOLUTIONS), ("ConvTranspose", TRANSPOSED)):
            rows += [convolution(axes, f"{kind}{axes}d", *row) for row in table.items()]
    uneven = {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}
    return [
        *rows,
        alike("Conv2d", "another number for each axis", lambda lib: [lib.Conv2d(2, 3, (3, 2), **uneven)], 2, 2, 5, 4),
        alike("Conv2d", "kernel of one element", lambda lib: [lib.Conv2d(2, 3, 1)], 2, 2, 3, 3),
    ]


POOLS: dict[str, dict[str, tuple[Any, ...]]] = {
    "MaxPool": {"plain": (2,), "stride": (2, 1), "padding": (2, 2, 1), "dilation": (2, 1, 0, 2)},
    "AvgPool": {"plain": (2,), "stride": (2, 1), "padding": (2, 2, 1)},
    "AdaptiveAvgPool": {"equal parts": (2,), "unequal parts": (3,), "global": (1,)},
    "AdaptiveMaxPool": {"equal parts": (2,), "unequal parts": (3,), "global": (1,)},
}


def pool(axes: int, kind: str, option: str, arguments: tuple[Any, ...], **keywords: Any) -> LayerCase:
    """A convolution, so that there is something to learn, and the pooling."""
    name = f"{kind}{axes}d"

    def layers(lib: Any) -> list[Any]:
        return [getattr(lib, f"Conv{axes}d")(1, 2, 1), getattr(lib, name)(*arguments, **keywords)]

    return alike(name, option, layers, 2, 1, *{1: (6,), 2: (4, 4), 3: (4, 4, 4)}[axes])


def pools() -> list[LayerCase]:
    """Every option over two axes, the plain one over the others."""
    rows = [pool(2, kind, option, arguments) for kind, table in POOLS.items() for option, arguments in table.items()]
    for axes in (1, 3):
        rows += [pool(axes, kind, *next(iter(table.items()))) for kind, table in POOLS.items()]
    return [*rows, pool(2, "AvgPool", "padding not counted", (2, 2, 1), count_include_pad=False)]


def normalisation(
    name: str, option: str, *arguments: Any, shape: tuple[int, ...], mode: str = "train", **keywords: Any
) -> LayerCase:
    """A layer of that name; behind a convolution where it has no weight, so that there is something to learn."""

    def layers(lib: Any) -> list[Any]:
        layer = getattr(lib, name)(*arguments, **keywords)
        return [layer] if layer.weight is not None else [lib.Conv2d(2, 2, 2, bias=False), layer]

    return alike(name, option, layers, *shape, mode=mode)


def norms() -> list[LayerCase]:
    """Batch norm in every mode, and what is the same in all of them."""
    map2d = (3, 2, 3, 2)
    rows = [
        normalisation(f"BatchNorm{axes}d", mode, 2, shape=(3, 2, *SIZES[axes]), mode=mode)
        for axes in SIZES
        for mode in ("train", "eval", "sample")
    ]
    return [
        *rows,
        normalisation("BatchNorm1d", "no spatial axis", 2, shape=(4, 2)),
        normalisation("BatchNorm2d", "mean of all batches", 2, momentum=None, shape=map2d),
        normalisation("BatchNorm2d", "no weight", 2, affine=False, shape=(3, 2, 4, 4)),
        normalisation("BatchNorm2d", "no running statistics", 2, track_running_stats=False, shape=map2d, mode="eval"),
        normalisation("GroupNorm", "groups", 2, 4, shape=(2, 4, 3, 2)),
        normalisation("GroupNorm", "instances", 2, 2, shape=map2d),
        normalisation("GroupNorm", "no weight", 1, 2, affine=False, shape=map2d),
        normalisation("LayerNorm", "one axis", 3, shape=(4, 3)),
        normalisation("LayerNorm", "whole maps", (2, 3, 2), shape=map2d),
        normalisation("LayerNorm", "no bias", 3, bias=False, shape=(4, 3)),
    ]


def normed(lib: Any) -> list[Any]:
    """A convolution with batch norm and dropout behind it."""
    return [
        lib.Conv2d(1, 2, 2, bias=False),
        lib.BatchNorm2d(2),
        lib.ReLU(),
        lib.Dropout(0.5),
        lib.Flatten(),
        lib.Linear(8, 2),
    ]


def lenet(lib: Any) -> list[Any]:
    """LeCun et al. (1998), with ReLU and max pooling."""
    return [
        *(lib.Conv2d(1, 6, 5), lib.ReLU(), lib.MaxPool2d(2)),
        *(lib.Conv2d(6, 16, 5), lib.ReLU(), lib.MaxPool2d(2), lib.Flatten()),
        *(lib.Linear(256, 120), lib.ReLU(), lib.Linear(120, 84), lib.ReLU(), lib.Linear(84, 10)),
    ]


def small_lenet(lib: Any) -> list[Any]:
    """The same with few numbers, to be differentiated numerically."""
    return [
        *(lib.Conv2d(1, 2, 3), lib.ReLU(), lib.MaxPool2d(2)),
        *(lib.Conv2d(2, 2, 2), lib.ReLU(), lib.Flatten(), lib.Linear(8, 3)),
    ]


def normalised(torch: Any, weights: dict[str, Any], name: str, x: Any) -> Any:
    """Batch norm by the batch, which moves the running statistics."""
    moved = (weights[f"{name}.running_mean"], weights[f"{name}.running_var"])
    affine = (weights[f"{name}.weight"], weights[f"{name}.bias"])
    return torch.nn.functional.batch_norm(x, *moved, *affine, training=True)


CASES = (
    *convolutions(),
    *pools(),
    *norms(),
    alike("LeNet", "28 by 28", lenet, 2, 1, 28, 28, smooth=False),
    alike("LeNet", "few numbers", small_lenet, 2, 1, 8, 8),
    *(
        alike("BatchNorm2d", f"before dropout, {m}", normed, 3, 1, 3, 3, mode=m, draws=True)
        for m in ("train", "sample")
    ),
)
