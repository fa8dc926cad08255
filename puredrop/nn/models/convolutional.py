"""A small convolutional network, and a small residual one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ..blocks import BasicBlock
from ..blocks import ResNet as ResidualNet
from ..convolution import Conv2d
from ..forms import Form, Model, Noisy
from ..layers import Linear
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
    """`nn.ResNet` of basic blocks, for small images: x (N, channels, H, W). What its last layer reads is dropped.

    `path_p` is the rate of the last block's drop path, which grows linearly from the first on. Nothing is dropped
    between a convolution and its batch norm (Li et al. 2019).
    Reference: He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016).

    >>> import numpy as np
    >>> ResNet(blocks=(1, 1), width=4, form="mc", path_p=0.2).seed(0)(np.zeros((2, 3, 8, 8), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 10,
        blocks: Sequence[int] = (1, 1, 1),
        width: int = 16,
        *,
        form: Form = "plain",
        p: float = 0.2,
        path_p: float = 0.0,
    ) -> None:
        self.net: Any = ResidualNet(BasicBlock, blocks, outputs, channels, width, "cifar", path_p)
        self.net.fc = Noisy(form, p, self.net.fc)

    def forward(self, x: Any) -> Any:
        return self.net(x)
