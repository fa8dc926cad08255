"""What the caller of a variant asks for beside the data. It is passed on whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import backends
from ..random import Index, Key, Keys
from ..tensor import backend_of
from .door import Shape, checked_key


@dataclass(slots=True)  # a value; not frozen, for that costs more than all else at the door
class Asked:
    """What the caller of a variant asks for beside the data: where to draw, and what to give back.

    The fields are the keyword arguments that variants have in common, in the order in which they stand there.
    Raises: TypeError for a key that is none.
    """

    operation: str
    key: Keys | None = None
    mask: Any = None
    training: bool = True
    index: Index | None = None
    return_mask: bool = False
    backend: Any = None

    def __post_init__(self) -> None:
        if type(self.key) is not Key:
            checked_key(self.operation, self.key)

    def draws(self, p: Any) -> bool:
        """Whether anything can be dropped: not in evaluation, and not at p = 0 unless a mask was handed in."""
        return self.training and not (self.mask is None and isinstance(p, float) and p == 0.0)

    def shape_of_one_key(self, shape: Shape) -> Shape:
        """The shape of what one key draws for an array of `shape`, whose first axis may enumerate keys."""
        if isinstance(self.index, Index):
            return self.index.shape
        return shape[1:] if isinstance(self.key, tuple) else shape

    def index_for(self, shape: Shape, shared: int | Sequence[int] = ()) -> Index:
        """The index handed in, if it fits an array of `shape`, or the whole of that shape.

        A tuple of K keys enumerates a leading axis of size K, which may be merged with the axis after it.
        Raises: TypeError for something that is no Index; ValueError where it does not fit, or stands beside `shared`.
        """
        keys = len(self.key) if isinstance(self.key, tuple) else None
        if self.index is None:
            if keys is None and type(shared) is tuple and not shared:
                return Index.of(shape)
            if keys is not None and (not shape or shape[0] != keys):
                raise ValueError(
                    f"{self.operation}: {keys} keys need a leading axis of size {keys}, got x of shape {shape}"
                )
            return Index.whole(shape if keys is None else shape[1:], shared)
        if not isinstance(self.index, Index):
            raise TypeError(f"{self.operation}: index must be an Index, got {self.index!r}; write Index.whole(shape)")
        if shared != ():
            raise ValueError(
                f"{self.operation}: give either index or shared; an index knows its shared axes: "
                f"Index.whole(shape, shared)"
            )
        part = self.index.shape
        fits = {part} if keys is None else {(keys, *part), (keys * part[0], *part[1:]) if part else (keys,)}
        if shape not in fits:
            raise ValueError(
                f"{self.operation}: an index of shape {part} with {keys or 1} key(s) does not fit x of shape {shape}"
            )
        return self.index

    def index_sharing(self, shape: Shape, shared: Sequence[int], rule: str) -> Index:
        """The same with one draw along the `shared` axes, which an index handed in must share too: `rule` says so."""
        if self.index is None:
            return self.index_for(shape, shared)
        index = self.index_for(shape)
        if any(index.noise_shape[axis] != 1 for axis in shared):
            raise ValueError(
                f"{self.operation}: {rule}, got one with noise of shape {index.noise_shape}; "
                f"write Index.whole(shape, shared={tuple(shared)})"
            )
        return index

    def index_in_parts(self, shape: Shape) -> Index:
        """The index of noise of `shape`, whose first axis K keys divide into K equal parts."""
        if self.index is not None or not isinstance(self.key, tuple):
            return self.index_for(shape)
        rows, rest = divmod(shape[0], len(self.key)) if shape else (0, 1)
        if rest:
            raise ValueError(
                f"{self.operation}: {len(self.key)} keys do not divide a first axis of noise of shape {shape}"
            )
        return Index.whole((rows, *shape[1:]))

    def needed_key(self) -> Keys:
        """The key. Raises ValueError where there is none."""
        if self.key is None:
            raise ValueError(f"{self.operation}: nothing to draw with; give key=Key(seed), or mask=")
        return self.key

    def another(self, number: int) -> Asked:
        """The same with independent draw `number` at the same address, for variants that draw several times."""
        key = self.key
        if key is not None:
            key = tuple(one.draw(number) for one in key) if isinstance(key, tuple) else key.draw(number)
        return replace(self, key=key, mask=None)

    def backend_of(self, x: Any) -> backends.Backend:
        """That of a tensor; for an array the one asked for."""
        return backend_of(x, self.backend)

    def placed(self, *arrays: Any) -> Any:
        """Arrays where the backend computes that was asked for by name; one, or a tuple of several.

        For variants that calculate with the arrays themselves; operations see to it of their own accord.
        """
        backend = None if self.backend is None else backends.get(self.backend)
        if backend is not None and backend.place is not None:
            arrays = tuple(map(backend.place, arrays))
        return arrays[0] if len(arrays) == 1 else arrays

    def answer(self, y: Any, noise: Any) -> Any:
        """y, or (y, noise) where that was asked for."""
        return (y, noise) if self.return_mask else y

    def neutral(self, y: Any, noise: Any = True, shape: Shape | None = None) -> Any:
        """The noise that changes nothing, like y: by default a mask that keeps all. None where nobody asked for it."""
        if not self.return_mask:
            return None
        return self.backend_of(y).xp.full(y.shape if shape is None else shape, noise)

    def undrawn(self, y: Any, noise: Any = True, shape: Shape | None = None) -> Any:
        """The answer y where nothing was drawn."""
        return self.answer(y, self.neutral(y, noise, shape))
