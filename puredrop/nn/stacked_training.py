"""The loop that trains a stack: every member to the end of its own last epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .module import Module
from .stacked import Stacked
from .stacked_batches import StackedBatches

__all__ = ["train_stacked"]


def train_stacked(
    stack: Stacked,
    optimizer: Any,
    batches: StackedBatches,
    epochs: int,
    loss: Callable[..., Any],
    after_step: Callable[[int], None] = lambda step: None,
) -> list[Module]:
    """Train every member for so many epochs of its own data; gives the members, each as it was at its end.

    Math: a step descends the sum over members of `loss(output, target, weight)`, which is to be a weighted loss such as
        `nn.mse`: each member moves as it would alone. Members with fewer batches an epoch are done first; they are
        copied out then, and what the stack does to them afterwards is lost.
    `batches` have two arrays, inputs and targets. `after_step(step)` is called after each, to save or to show progress.
        It goes on from `batches.step`, where a load has set it.
    Raises: ValueError where a member's end lies before that step, so that it is no longer to be had.

    >>> import numpy as np
    >>> from puredrop import nn, optim
    >>> x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> stack = nn.Stacked([nn.Sequential(nn.Linear(1, 1)).seed(s) for s in range(3)])
    >>> batches = nn.StackedBatches([nn.Batches(x, slope * x, batch_size=5, seed=slope) for slope in range(3)])
    >>> nets = train_stacked(stack, optim.SGD(stack.parameters(), lr=0.1), batches, 60, nn.mse)
    >>> [round(net[0].weight.item(), 2) + 0 for net in nets]
    [0.0, 1.0, 2.0]
    """
    ends = batches.steps_of(epochs)
    if batches.step > min(ends):
        raise ValueError(f"train_stacked: at step {batches.step}, but a member is done after {min(ends)}; start anew")
    done = {m: stack.member(m) for m, end in enumerate(ends) if end == batches.step}
    for x, target, weight in batches.steps(max(ends) - batches.step):
        optimizer.zero_grad()
        loss(stack(x), target, weight).backward()
        optimizer.step()
        done |= {m: stack.member(m) for m, end in enumerate(ends) if end == batches.step}
        after_step(batches.step)
    return [done[m] for m in range(len(ends))]
