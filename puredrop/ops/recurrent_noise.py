"""What dropout does to a value of a recurrent cell at step t, and to its gradient.

A mask `keep` is bool, locked (N, H) or with a part for each step (L, N, H). What drops nothing copies nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..backends.select import select
from .masking import drop_given

Drop: TypeAlias = tuple[Any, float] | None  # keep, None for all; and the scale of what is kept
Zoneout: TypeAlias = Any  # keep, True for the new value; or the rate p, for the mean over all masks; or None


def dropped(x: Any, drop: Drop, t: int) -> Any:
    """`where(keep, x * scale, 0)`, composed."""
    if drop is None:
        return x
    keep, scale = drop
    return x * scale if keep is None else drop_given(x, 0.0, keep=_at(keep, t), rule=select, scale=scale)


def zoned(new: Any, old: Any, zoneout: Zoneout, t: int) -> Any:
    """`where(keep, new, old)`, or p old + (1 - p) new; composed."""
    if zoneout is None:
        return new
    if isinstance(zoneout, float):
        return zoneout * old + (1.0 - zoneout) * new
    return drop_given(new, old, keep=_at(zoneout, t), rule=select)


def _at(keep: Any, t: int) -> Any:
    return keep[t] if keep.ndim == 3 else keep


class Noise(NamedTuple):
    """The same for arrays, in place. A drop is its own gradient: state(t, x, out=y) gives y."""

    state: Callable[..., Any]
    update: Callable[..., Any]
    memory: Callable[..., Any]
    zoneout: Zoning
    zoneout_memory: Zoning


def noise_over(
    xp: Any, like: Any, *, state: Drop, update: Drop, memory: Drop, zoneout: Zoneout, zoneout_memory: Zoneout
) -> Noise:
    """For the steps of a sequence; `like` (L, N, H) has the shape and dtype of what is dropped."""
    of_state, of_update, of_memory = (_dropping(xp, like, one) for one in (state, update, memory))
    return Noise(of_state, of_update, of_memory, _zoning(xp, like, zoneout), _zoning(xp, like, zoneout_memory))


def _dropping(xp: Any, like: Any, drop: Drop) -> Callable[..., Any]:
    if drop is None:
        return lambda t, x, out: x
    keep, scale = drop
    if keep is None:
        return lambda t, x, out: xp.multiply(x, scale, out=out)
    bits = _bits(xp, keep, like)

    def selected(t: int, x: Any, out: Any) -> Any:
        xp.bitwise_and(x.view(bits.dtype), bits[t], out=out.view(bits.dtype))
        return xp.multiply(out, scale, out=out)

    return selected


class Zoning(Protocol):
    """How a state goes on from its old value to a new one."""

    def forward(self, t: int, new: Any, old: Any) -> None:
        """`new` becomes the state."""

    def backward(self, t: int, g: Any) -> Any:
        """The gradient of the state becomes that of the new value; gives that of the old one, None where it is 0."""


def _zoning(xp: Any, like: Any, zoneout: Zoneout) -> Zoning:
    if zoneout is None:
        return _New()
    return _Mean(zoneout) if isinstance(zoneout, float) else _Selected(_bits(xp, zoneout, like))


class _New:
    def forward(self, t: int, new: Any, old: Any) -> None:
        pass

    def backward(self, t: int, g: Any) -> Any:
        return None


class _Selected(NamedTuple):
    bits: Any

    def forward(self, t: int, new: Any, old: Any) -> None:
        new, old = new.view(self.bits.dtype), old.view(self.bits.dtype)
        new ^= old
        new &= self.bits[t]
        new ^= old

    def backward(self, t: int, g: Any) -> Any:
        bits, kept = self.bits[t], g.view(self.bits.dtype)
        rest = kept & ~bits
        kept &= bits
        return rest.view(g.dtype)


class _Mean(NamedTuple):
    p: float

    def forward(self, t: int, new: Any, old: Any) -> None:
        new *= 1.0 - self.p
        new += self.p * old

    def backward(self, t: int, g: Any) -> Any:
        rest = self.p * g
        g *= 1.0 - self.p
        return rest


def _bits(xp: Any, keep: Any, like: Any) -> Any:
    """All bits set where kept, none where dropped, in integers as wide as the numbers: (L, N, H).

    What is dropped loses its bits without a branch, and NaN with them.
    """
    return xp.broadcast_to(-keep.astype(f"i{like.dtype.itemsize}"), like.shape)
