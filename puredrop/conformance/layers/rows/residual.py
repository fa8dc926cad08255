"""Rows for residual blocks with batch norm and stochastic depth, and the network of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .... import nn
from ....variants.schedules import depth_rates
from ..case import LayerCase, normal
from .convolutional import normalised

Join = Callable[..., Any]  # (torch, noise, x, branch) -> the two ways joined


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


def residual(option: str, make: Callable[[], nn.Module], stride: int, join: Join) -> LayerCase:
    """A residual block whose two ways `join` joins."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        return block(torch, w, x, "", stride, partial(join, torch, noise))

    layer = type(make()).__name__
    # a seed without a kink close by, and without gradients that are small differences of large numbers (float32)
    return LayerCase(layer, option, make, lambda: (normal(3, 2, 4, 4, seed=5),), reference)


def added(torch: Any, noise: Any, x: Any, h: Any) -> Any:
    """x + h."""
    return x + h


def dropped_path(p: float) -> Join:
    """x + h where the path is kept, h scaled by 1 / (1 - p)."""
    return lambda torch, noise, x, h: x + noise.dropout(h, p)


def one_gate(p: float) -> Join:
    """The same with one gate for the batch, which must be one."""

    def join(torch: Any, noise: Any, x: Any, h: Any) -> Any:
        kept = noise.take()
        if len(kept.unique()) != 1:
            raise LookupError(f"one gate for the batch expected, drawn were {kept.unique()}")
        return x + h / (1 - p) if kept.all() else x + 0 * h

    return join


def stochastic_depth(torch: Any, noise: Any, x: Any, h: Any) -> Any:
    """x + h where the block is kept, else x."""
    return torch.where(noise.take(), x + h, x)


def small_resnet(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Two stages of a block each, with drop path."""
    F = torch.nn.functional
    h = torch.relu(normalised(torch, w, "bn1", F.conv2d(x, w["conv1.weight"], padding=1)))
    for i, p in enumerate(depth_rates(0.5, 2, "l/L")):
        h = block(torch, w, h, f"layer{i + 1}.0.", i + 1, partial(dropped_path(p), torch, noise))
    return F.linear(h.mean(dim=(2, 3)), w["fc.weight"], w["fc.bias"])


def basic(p: float = 0.0, width: int = 2, stride: int = 1, **join: Any) -> Callable[[], nn.Module]:
    """Makes a block of two input channels."""
    return lambda: nn.BasicBlock(2, width, stride, p, **join)


CASES = (
    residual("plain", basic(), 1, added),
    residual("another width", basic(width=3), 1, added),
    residual("drop path, a gate each", basic(0.5), 1, dropped_path(0.5)),
    residual("drop path, one gate a batch", basic(0.3, join=lambda p: nn.DropPath(p, "batch")), 1, one_gate(0.3)),
    residual("drop path, stride, another width", basic(0.5, width=3, stride=2), 2, dropped_path(0.5)),
    residual("stochastic depth", basic(0.5, join=lambda p: nn.StochasticDepth(p, "row")), 1, stochastic_depth),
    residual("plain", lambda: nn.Bottleneck(2, 2), 1, added),
    residual("drop path, stride", lambda: nn.Bottleneck(2, 2, 2, 0.5), 2, dropped_path(0.5)),
    LayerCase(
        layer="ResNet",
        option="two stages, drop path",
        make=lambda: nn.ResNet(nn.BasicBlock, (1, 1), classes=2, inputs=1, width=2, stem="cifar", depth_p=0.5),
        inputs=lambda: (normal(3, 1, 4, 4),),
        reference=small_resnet,
    ),
)
