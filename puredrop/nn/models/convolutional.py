"""A small convolutional network, and a small residual one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...variants.schedules import depth_rates
from ..blocks import ResidualBlock
from ..convolution import Conv2d
from ..forms import Form, Model, Noisy
from ..layers import Linear
from ..normalisation import BatchNorm2d
from ..pooling import MaxPool2d


class LeNet(Model):
    """Two convolutions, each with ReLU and max pooling, and three dense layers: x (N, channels, size, size).

    `channel_p` drops whole channels before the second convolution, `p` units before the dense layers.
    Reference: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (1998).
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        outputs: int = 10,
        *,
        kernel: int = 5,
        padding: int = 0,
        form: Form = "plain",
        p: float = 0.5,
        channel_p: float = 0.1,
    ) -> None:
        side = size
        for _ in range(2):
            side = (side + 2 * padding - kernel + 1) // 2
        if side < 1:
            raise ValueError(
                f"LeNet: images of {size} x {size} are too small for two {kernel} x {kernel} convolutions with padding "
                f"{padding}; use kernel=3, padding=1"
            )
        self.conv1 = Conv2d(channels, 6, kernel, padding=padding)
        self.conv2 = Noisy(form, channel_p, Conv2d(6, 16, kernel, padding=padding), "channels")
        self.pool = MaxPool2d(2)
        self.dense1 = Noisy(form, p, Linear(16 * side * side, 120))
        self.dense2 = Noisy(form, p, Linear(120, 84))
        self.dense3 = Noisy(form, p, Linear(84, outputs))

    def forward(self, x: Any) -> Any:
        x = self.pool(ops.relu(self.conv1(x)))  # (N, 6, H, W)
        x = self.pool(ops.relu(self.conv2(x)))  # (N, 16, H', W')
        x = ops.relu(self.dense1(ops.flatten(x, 1)))  # (N, 120)
        return self.dense3(ops.relu(self.dense2(x)))  # (N, outputs)


class ResNet(Model):
    """Residual blocks in stages, each stage of half the size: x (N, channels, H, W).

    `path_p` is the rate of the last block's stochastic depth, which grows linearly from the first on; `p` drops units
    before the last layer. Nothing is dropped between a convolution and its batch norm (Li et al. 2019).
    Reference: He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016); Huang et al., "Deep
    networks with stochastic depth" (2016).
    """

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        *,
        form: Form = "plain",
        p: float = 0.2,
        path_p: float = 0.0,
    ) -> None:
        self.stem = Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.norm = BatchNorm2d(widths[0])
        rates = iter(depth_rates(path_p, len(widths) * blocks, "l/L"))
        before = widths[0]
        self.blocks = []
        for stage, width in enumerate(widths):
            for number in range(blocks):
                stride = 2 if stage and not number else 1
                self.blocks.append(ResidualBlock(before, width, stride=stride, path_p=next(rates)))
                before = width
        self.head = Noisy(form, p, Linear(before, outputs))

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.norm(self.stem(x)))  # (N, C, H, W)
        for block in self.blocks:
            x = block(x)
        return self.head(ops.mean(x, axis=(2, 3)))  # (N, outputs)
