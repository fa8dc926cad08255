"""A small convolutional network, and a small residual one."""

from __future__ import annotations

from typing import Any

from ... import ops
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
