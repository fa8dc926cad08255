"""Residual blocks and the networks of them, with stochastic depth; parts are named as in torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from .. import ops
from ..variants.door import whole_number
from ..variants.schedules import Indexing, Schedule, depth_rates
from .convolution import Conv2d
from .init import he_normal
from .layers import Identity, Linear, Sequential
from .module import Module
from .normalisation import BatchNorm2d
from .pooling import MaxPool2d
from .residual import DropPath

__all__ = ["BasicBlock", "Bottleneck", "ResNet"]

Join = Callable[[float | Schedule], Module]  # what makes the layer that joins the two ways, given a rate


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> Conv2d:
    """Without a bias, for batch norm follows; first numbers by He et al. (2015), by the fan-out."""
    init = he_normal(outputs * kernel * kernel)
    return Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False, init=init)


class _ResidualBlock(Module):
    """Base: the way round, and how the two ways are joined."""

    expansion: ClassVar[int]

    def __init__(self, inputs: int, width: int, stride: int, depth_p: float | Schedule, join: Join) -> None:
        outputs = width * self.expansion
        changed = stride != 1 or inputs != outputs
        self.downsample = (
            Sequential(_convolution(inputs, outputs, 1, stride), BatchNorm2d(outputs)) if changed else Identity()
        )
        self.join = join(depth_p)

    def branch(self, x: Any) -> Any:
        """What is added to x."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        branch, around = self.branch(x), self.downsample(x)
        joined = around + self.join(branch) if isinstance(self.join, DropPath) else self.join(around, branch)
        return ops.relu(joined)


class BasicBlock(_ResidualBlock):
    """relu(x + branch(x)), the branch two 3x3 convolutions with batch norm: (N, inputs, H, W) -> (N, width, ...).

    Where the shape changes x goes through a 1x1 convolution with batch norm. The branch is dropped with probability
    depth_p, a number or a schedule. `join(depth_p)` makes the layer that joins the two ways: `DropPath` (put on the
    branch), or a layer of (x, branch) such as `StochasticDepth` or `ShakeDrop`.
    Reference: He et al., "Deep residual learning for image recognition" (2016); Huang et al., "Deep networks with
    stochastic depth" (2016).

    >>> import numpy as np
    >>> block = BasicBlock(4, 8, stride=2, depth_p=0.2).seed(0)
    >>> block(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int = 1, depth_p: float | Schedule = 0.0, join: Join = DropPath
    ) -> None:
        self.conv1, self.bn1 = _convolution(inputs, width, 3, stride), BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3), BatchNorm2d(width)
        super().__init__(inputs, width, stride, depth_p, join)

    def branch(self, x: Any) -> Any:
        return self.bn2(self.conv2(ops.relu(self.bn1(self.conv1(x)))))


class Bottleneck(_ResidualBlock):
    """As `BasicBlock`, the branch a 1x1, a 3x3 and a 1x1 convolution: (N, inputs, H, W) -> (N, 4 width, ...).

    The 3x3 convolution has the stride, as in torchvision; in the paper it is the first.
    """

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int = 1, depth_p: float | Schedule = 0.0, join: Join = DropPath
    ) -> None:
        self.conv1, self.bn1 = _convolution(inputs, width, 1), BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride), BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, 4 * width, 1), BatchNorm2d(4 * width)
        super().__init__(inputs, width, stride, depth_p, join)

    def branch(self, x: Any) -> Any:
        h = ops.relu(self.bn2(self.conv2(ops.relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(h))


class ResNet(Module):
    """Stages of residual blocks: (N, inputs, H, W) -> (N, classes).

    blocks: how many in each stage; stage i has the width width * 2^i, and from the second on half the size of the map.
    stem: "imagenet" is a 7x7 convolution of stride 2 and max pooling, "cifar" a 3x3 convolution. `depth_rates(depth_p,
    number of blocks, indexing)` gives each block its rate, and `join` makes its layer (see `BasicBlock`).
    ResNet(BasicBlock, (2, 2, 2, 2), 1000) has the names and shapes of torchvision's resnet18, and Bottleneck with
    (3, 4, 6, 3) those of its resnet50.
    Reference: He et al., "Deep residual learning for image recognition" (2016).

    >>> net = ResNet(BasicBlock, (1, 1), classes=10, width=4, stem="cifar", depth_p=0.5, indexing="l/L")
    >>> [block.join for block in net.blocks()]
    [DropPath(p=0.25, mode='row'), DropPath(p=0.5, mode='row')]
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        classes: int,
        inputs: int = 3,
        width: int = 64,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        depth_p: float = 0.0,
        indexing: Indexing = "l/L",
        join: Join = DropPath,
    ) -> None:
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"ResNet: stem must be 'imagenet' or 'cifar', got {stem!r}")
        counts = [whole_number("ResNet", "every number of blocks", count, 1) for count in blocks]
        if not counts:
            raise ValueError(f"ResNet: blocks must have one stage or more, got {blocks}")
        large = stem == "imagenet"
        self.conv1 = _convolution(inputs, width, 7, 2) if large else _convolution(inputs, width, 3)
        self.bn1 = BatchNorm2d(width)
        self.maxpool = MaxPool2d(3, stride=2, padding=1) if large else Identity()
        self.stages = len(counts)
        rates = iter(depth_rates(depth_p, sum(counts), indexing))
        came = width
        for stage, count in enumerate(counts):
            made = []
            for i in range(count):
                made.append(block(came, width << stage, 2 if stage and not i else 1, next(rates), join))
                came = (width << stage) * block.expansion
            setattr(self, f"layer{stage + 1}", Sequential(*made))
        self.fc: Module = Linear(came, classes)

    def blocks(self) -> list[_ResidualBlock]:
        """All blocks, from the input on."""
        return [block for i in range(self.stages) for block in getattr(self, f"layer{i + 1}")]

    def forward(self, x: Any) -> Any:
        x = self.maxpool(ops.relu(self.bn1(self.conv1(x))))
        for block in self.blocks():
            x = block(x)
        return self.fc(ops.mean(x, axis=(2, 3)))
