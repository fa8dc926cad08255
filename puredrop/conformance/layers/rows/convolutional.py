"""Rows for convolution, pooling and the networks of them, and for the dropout that belongs there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .... import nn
from ....variants.schedules import depth_rates
from ..case import LayerCase, normal

SIZES = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}  # of the map, by the number of axes
Layers = Callable[[Any], list[Any]]  # the layers of a network, made with puredrop.nn or torch.nn


def alike(layer: str, option: str, layers: Layers, *shape: int, smooth: bool = True) -> LayerCase:
    """The same layers, one after the other, from both libraries; the names of their weights are the same."""

    def reference(torch: Any, weights: dict[str, Any], noise: Any, x: Any) -> Any:
        model = torch.nn.Sequential(*layers(torch.nn))
        return torch.func.functional_call(model, weights, (x,))

    return LayerCase(layer, option, lambda: nn.Sequential(*layers(nn)), lambda: (normal(*shape),), reference, smooth)


# ------------------------------------------------------------------------------------------------------- convolutions
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2},
    "padding": {"padding": 1},
    "dilation": {"dilation": 2, "padding": 1},
    "groups": {"groups": 2},
    "same": {"padding": "same", "dilation": 2},
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


# ------------------------------------------------------------------------------------------------------------ pooling
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


# ----------------------------------------------------------------------------------------------------------- networks
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
    """Batch norm, by the batch."""
    F = torch.nn.functional
    return F.batch_norm(x, None, None, weights[f"{name}.weight"], weights[f"{name}.bias"], training=True)


def block(torch: Any, w: dict[str, Any], x: Any, at: str, stride: int, joined: Callable[[Any, Any], Any]) -> Any:
    """A residual block of PyTorch's functions; three convolutions where there is a third weight."""
    F = torch.nn.functional
    bottleneck = f"{at}conv3.weight" in w
    kernels = {1: (1, 1), 2: (stride, 3), 3: (1, 1)} if bottleneck else {1: (stride, 3), 2: (1, 3)}
    h = x
    for i, (step, kernel) in kernels.items():
        h = F.conv2d(h if i == 1 else torch.relu(h), w[f"{at}conv{i}.weight"], stride=step, padding=kernel // 2)
        h = normalised(torch, w, f"{at}bn{i}", h)
    if f"{at}downsample.0.weight" in w:
        x = normalised(torch, w, f"{at}downsample.1", F.conv2d(x, w[f"{at}downsample.0.weight"], stride=stride))
    return torch.relu(joined(x, h))


def residual(option: str, make: Callable[[], nn.Module], stride: int, join: Callable[..., Any]) -> LayerCase:
    """A residual block; `join(torch, noise, x, h)` joins the two ways."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        return block(torch, w, x, "", stride, lambda around, branch: join(torch, noise, around, branch))

    layer = type(make()).__name__
    return LayerCase(layer, option, make, lambda: (normal(3, 2, 4, 4),), reference)


def dropped_path(torch: Any, noise: Any, x: Any, h: Any) -> Any:
    """x + h where the path is kept, scaled by 1 / (1 - p)."""
    return x + noise.dropout(h, 0.5)


def stochastic_depth(torch: Any, noise: Any, x: Any, h: Any) -> Any:
    """x + h where the block is kept, else x."""
    return torch.where(noise.take(), x + h, x)


def small_resnet(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Two stages of a block each, with drop path."""
    F = torch.nn.functional
    h = torch.relu(normalised(torch, w, "bn1", F.conv2d(x, w["conv1.weight"], padding=1)))
    for i, p in enumerate(depth_rates(0.5, 2, "l/L")):
        h = block(torch, w, h, f"layer{i + 1}.0.", i + 1, lambda x, h, p=p: x + noise.dropout(h, p))
    return F.linear(h.mean(dim=(2, 3)), w["fc.weight"], w["fc.bias"])


RESIDUAL = (
    residual("plain", lambda: nn.BasicBlock(2, 2), 1, lambda torch, noise, x, h: x + h),
    residual("drop path, a gate each", lambda: nn.BasicBlock(2, 2, depth_p=0.5), 1, dropped_path),
    residual(
        "drop path, one gate a batch",
        lambda: nn.BasicBlock(2, 2, depth_p=0.5, join=lambda p: nn.DropPath(p, "batch")),
        1,
        dropped_path,
    ),
    residual("stride, another width", lambda: nn.BasicBlock(2, 3, 2, 0.5), 2, dropped_path),
    residual(
        "stochastic depth",
        lambda: nn.BasicBlock(2, 2, depth_p=0.5, join=lambda p: nn.StochasticDepth(p, "row")),
        1,
        stochastic_depth,
    ),
    residual("stride, drop path", lambda: nn.Bottleneck(2, 2, 2, 0.5), 2, dropped_path),
    LayerCase(
        layer="ResNet",
        option="two stages, drop path",
        make=lambda: nn.ResNet(nn.BasicBlock, (1, 1), classes=2, inputs=1, width=2, stem="cifar", depth_p=0.5),
        inputs=lambda: (normal(3, 1, 4, 4),),
        reference=small_resnet,
    ),
)
# ------------------------------------------------------------------------------------------- convolution with dropout
Middle = Callable[[Any, dict[str, Any], Any, Any], Any]  # (torch, weights, noise, x) -> what the layer makes of x


def between(layer: nn.Module, middle: Middle, option: str = "between convolutions") -> LayerCase:
    """Convolution, batch norm, relu, the layer, convolution."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        F = torch.nn.functional
        h = torch.relu(normalised(torch, w, "1", F.conv2d(x, w["0.weight"])))
        return F.conv2d(middle(torch, w, noise, h), w["4.weight"], w["4.bias"])

    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2), nn.ReLU(), layer, nn.Conv2d(2, 2, 2))

    return LayerCase(type(layer).__name__, option, make, lambda: (normal(3, 1, 5, 5),), reference)


def drop_block(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Blocks of two by two from each seed; what is left is scaled by elements / kept elements of the batch."""
    seeds = (~noise.take()).to(x.dtype)  # (N, C, H - 1, W - 1)
    F = torch.nn.functional
    dropped = F.max_pool2d(F.pad(seeds, (1, 1, 1, 1)), 2, stride=1) > 0  # (N, C, H, W)
    return torch.where(dropped, 0.0, x * (dropped.numel() / (~dropped).sum().item()))


def spatial_concrete(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """x (1 - z) / (1 - p), z = sigmoid((logit_p + log u - log(1 - u)) / t)."""
    u, logit_p = noise.take(), w["3.logit_p"]
    z = torch.sigmoid((logit_p + torch.log(u) - torch.log(1 - u)) / (2 / 3))
    return (x * (1 - z) / (1 - torch.sigmoid(logit_p))).to(x.dtype)


def max_pool_of_kept(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Dropout without a scale, then max pooling."""
    return torch.nn.functional.max_pool2d(torch.where(noise.take(), x, 0.0), 2)


def pool_in_proportion(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """From each window the first element at which the running sum exceeds u times the sum."""
    n, c, height, width = x.shape
    pairs = x.reshape(n, c, height // 2, 2, width // 2, 2).transpose(3, 4)
    each = pairs.reshape(n, c, height // 2, width // 2, 4)
    sums = each.detach().double().cumsum(-1)
    place = (sums <= noise.take()[..., None] * sums[..., -1:]).sum(-1, keepdim=True)
    return each.gather(-1, torch.where(sums[..., -1:] == 0, 0, place)).squeeze(-1)


def cutout(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """A hole of three by three round a centre, clipped at the border, then a convolution."""
    whole, centres = noise.take(), noise.take().reshape(len(x), 2)
    holes = torch.ones(len(x), 1, *x.shape[2:], dtype=torch.bool)
    for axis, n in enumerate(x.shape[2:]):
        first = torch.floor(centres[:, axis] * n) - 1
        at = torch.arange(n)
        inside = (at >= first[:, None]) & (at < first[:, None] + 3)  # (N, n)
        holes = holes & inside.reshape(len(x), 1, *((n, 1) if axis == 0 else (1, n)))
    kept = whole.reshape(-1, 1, 1, 1) | ~holes
    return torch.nn.functional.conv2d(torch.where(kept, x, 0.0), w["1.weight"], w["1.bias"])


DROPPED = (
    between(nn.Dropout2d(0.5), lambda torch, w, noise, x: noise.dropout(x, 0.5)),
    between(nn.DropBlock(0.3, block_size=2), drop_block),
    between(nn.SpatialConcreteDropout(0.3), spatial_concrete),
    between(nn.MaxPoolDropout(0.5, size=2), max_pool_of_kept),
    between(nn.StochasticPool(size=2), pool_in_proportion),
    LayerCase(
        layer="Cutout",
        option="before a convolution",
        make=lambda: nn.Sequential(nn.Cutout(0.7, size=3), nn.Conv2d(1, 2, 2)),
        inputs=lambda: (normal(3, 1, 5, 5),),
        reference=cutout,
    ),
)
CASES = (
    *convolutions(),
    *pools(),
    alike("LeNet", "28 by 28", lenet, 2, 1, 28, 28, smooth=False),
    alike("LeNet", "few numbers", small_lenet, 2, 1, 8, 8),
    *RESIDUAL,
    *DROPPED,
)
