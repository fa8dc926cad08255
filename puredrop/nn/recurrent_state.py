"""What a recurrent layer knows of the past: h, or h and c; and where the masks of its sequence are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..backends import Backend
from ..random import Keys
from ..tensor import Tensor
from ..tensor.tensor import bare

__all__ = ["LSTMState"]


class Carried(NamedTuple):
    """Where the masks of a sequence are drawn, and how many of its steps are done."""

    keys: Mapping[str, Keys]
    steps: int


class HiddenState(Tensor):
    """A state h that carries the masks of its sequence along. Whatever is computed from it is a plain tensor."""

    __slots__ = ("carried",)

    carried: Carried

    @classmethod
    def of(cls, h: Tensor, carried: Carried | None) -> Tensor:
        """h, carrying that."""
        if carried is None:
            return h
        state = bare(h.data, h.backend, h.node, cls)
        assert isinstance(state, cls)
        state.carried = carried
        return state

    def detach(self) -> Tensor:
        """The same state outside the graph: truncated backpropagation. The masks go on."""
        return self.of(super().detach(), self.carried)

    def to(self, backend: str | Backend) -> Tensor:
        """The same state on another backend, outside the graph. The masks go on: they are the same on every backend."""
        return self.of(super().to(backend), self.carried)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.data, self.backend, self.requires_grad, self.carried)


def _rebuilt(data: Any, backend: Any, requires_grad: bool, carried: Carried) -> Tensor:
    return HiddenState.of(Tensor(data, backend, requires_grad), carried)


class LSTMState(NamedTuple):
    """The state of an LSTM: `h, c = state`. h is what it gives, c its memory."""

    h: Any
    c: Any

    def detach(self) -> LSTMState:
        """The same state outside the graph: truncated backpropagation. Masks that h carries along go on."""
        return LSTMState(self.h.detach(), self.c.detach())


def opened(
    layer: str, state: Any, x: Tensor, shapes: tuple[tuple[int, ...], ...]
) -> tuple[list[Tensor], Carried | None]:
    """The parts of a state, checked and as tensors like x, zeros for None; and what it carries along."""
    if state is None:
        return [Tensor(x.backend.xp.zeros(shape, x.dtype), x.backend) for shape in shapes], None
    if len(shapes) == 2 and not (isinstance(state, (tuple, list)) and len(state) == 2):
        raise TypeError(f"{layer}: the state must be a pair (h, c), got {type(state).__name__}")
    given = list(state) if len(shapes) == 2 else [state]
    parts = [h if isinstance(h, Tensor) else Tensor(h, x.backend) for h in given]
    for name, part, shape in zip("hc", parts, shapes, strict=False):
        if part.shape != shape:
            raise ValueError(f"{layer}: the state {name} must have shape {shape}, got {part.shape}")
        if part.dtype != x.dtype:
            raise TypeError(f"{layer}: the state {name} must have the dtype of x, {x.dtype}, got {part.dtype}")
    return parts, getattr(parts[0], "carried", None)


def closed(parts: list[Any], carried: Carried | None) -> Any:
    """The state that a layer gives back: h, or (h, c)."""
    h = HiddenState.of(parts[0], carried)
    return LSTMState(h, parts[1]) if len(parts) == 2 else h
