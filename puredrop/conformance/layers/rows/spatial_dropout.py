"""Rows for the dropout of convolutional networks, between layers of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .... import nn
from ..case import LayerCase, normal
from .convolutional import normalised

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


CASES = (
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
