"""A stack in PyTorch, as one writes it by hand: batched products, one dropout over all members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn


def stacked_in_torch(torch: Any, members: Sequence[Any]) -> Any:
    """PyTorch's Sequentials of Linear, ReLU and Dropout as one, (M, N, D) -> (M, N, C); `.member(m)` gives one back."""

    class Linear(torch.nn.Module):
        def __init__(self, layers: Sequence[Any]) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))  # (M, O, I)
            self.bias = torch.nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))  # (M, O)

        def forward(self, x: Any) -> Any:
            return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))

        def member(self, m: int) -> Any:
            layer = torch.nn.Linear(*reversed(self.weight.shape[1:]))
            layer.weight.data, layer.bias.data = self.weight[m].detach(), self.bias[m].detach()
            return layer

    class Stack(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            places = zip(*members, strict=True)
            joined = [Linear(place) if isinstance(place[0], torch.nn.Linear) else place[0] for place in places]
            self.layers = torch.nn.Sequential(*joined)
            self.count = len(members)

        def forward(self, x: Any) -> Any:
            return self.layers(x)

        def member(self, m: int) -> Any:
            return torch.nn.Sequential(*(x.member(m) if isinstance(x, Linear) else x for x in self.layers))

    return Stack()


def twin_of(model: Any) -> nn.Module:
    """The same layers, weights and rates in puredrop, seeded; a stack of a stack."""
    if not hasattr(model, "member"):
        return nn.from_torch(model).seed(0)
    return nn.Stacked([nn.from_torch(model.member(m)).seed(m) for m in range(model.count)])
