"""Whole layers and whole paths that are skipped, at least one of which may have to stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .. import ops, streams
from ..random import Index, Keys
from .asked import Asked
from .door import checked_alike, checked_array, checked_rate, one_rate, unchanged
from .gates import gate_index, masks_apart
from .noise import keep_array, spread

__all__ = ["fractal_join", "layer_drop"]


def layer_drop(
    layers: Callable[[Any], Any] | Sequence[Callable[[Any], Any]],
    x: Any,
    p: Any,
    *,
    at_least_one: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Apply a stack of layers to x, skipping each with probability p. A skipped layer is not run.

    Math: y = f_L(... f_1(x)), f_l = layer l where its gate is open, else the identity; nothing is scaled. The gradient
        passes a skipped layer unchanged and does not reach its parameters. Evaluation gives x run through all layers; a
        part of the list, such as `layers[::2]`, evaluates a pruned stack. p = 1 gives x. With `at_least_one`, where all
        gates are closed one layer, each equally likely, is run: layer l then runs with probability 1 - p + p^L / L.
    Shapes: x any, and every layer keeps its shape. p is one number or one a layer, (L,). A tuple of K keys: the leading
        axis of x holds K samples, each with gates of its own (a layer then runs where one sample needs it).
    Dtypes: float32, float64; y as the layers give it.
    Draws: one halfword a layer, at (key, number of the layer), for the whole batch: all machines that share the key
        skip the same layers. `at_least_one`: L halfwords more, in draw 1. `mask=` (L,) replaces the gates;
        `return_mask=True` gives (y, gates).
    Raises: TypeError for whole-number x, something that is not callable, or a p that is no number; ValueError for p
        outside [0, 1], rates that do not fit, a layer that changes the shape, a mask that does not fit, or no key.
    Reference: Fan, Grave & Joulin, "Reducing transformer depth on demand with structured dropout" (2020).

    >>> from puredrop import Key
    >>> layers = [lambda x: x + 1, lambda x: x + 10, lambda x: x + 100]
    >>> layer_drop(layers, np.zeros(1), p=0.5, key=Key(7))
    array([110.])
    """
    operation = "layer_drop"
    asked = Asked(operation, key, mask, training, None, return_mask, backend)
    x = asked.placed(x)
    x, p = checked_array(operation, x), checked_rate(operation, p)
    stack = _checked_layers(operation, layers, p)
    if asked.draws(p):
        keep = _layer_gates(asked, x, p, len(stack), at_least_one)  # (L,) or (K, L)
    else:
        keep = asked.backend_of(x).xp.ones(len(stack), np.bool_)
    y = x
    for number, gate in enumerate(keep.tolist() if keep.ndim == 1 else keep.T):
        if gate is True or (gate is not False and gate.any()):
            y = _run_where(gate, stack[number], y, number)
    return asked.answer(unchanged(x) if y is x else y, keep)


def fractal_join(
    paths: Sequence[Any],
    p: float,
    *,
    mode: Literal["row", "batch"] = "batch",
    column: int | None = None,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """The mean of those paths that are kept: each is dropped with probability p, but never all of them.

    Math: y = sum_j b_j x_j / sum_j b_j over J paths; where all are dropped one, each equally likely, is kept.
        Evaluation gives the mean of all paths, which by symmetry is E[y]. Gradient: g b_j / sum b to path j. `column=j`
        keeps path j alone, in training and evaluation: the *global* drop of a column; whoever builds the net draws one
        for all joins. p = 0: the mean; p = 1: one path at random.
    Shapes: up to 16 paths, all alike; y like one of them. Gates for each example (`mode="row"`) or one set for the
        batch. `index` says which part of a global noise tensor a path is.
    Dtypes: float32, float64 (and float16 on NumPy), one for all; y like them.
    Draws: for path j one halfword a gate at (draw j of key, number of the example), and one, for the choice of the path
        that is kept at least, at draw J + j. `mask=` (J, ...) replaces both; `return_mask=True` gives (y, gates).
    Raises: TypeError for whole numbers, two dtypes, or a p that is no number; ValueError for p outside [0, 1], an
        unknown mode, no path or more than 16, shapes that differ, a column that does not exist, an index or mask that
        does not fit, or no key.
    Reference: Larsson, Maire & Shakhnarovich, "FractalNet: ultra-deep neural networks without residuals" (2017).

    >>> from puredrop import Key
    >>> paths = [np.zeros(1), np.full(1, 6.0), np.full(1, 12.0)]
    >>> [float(fractal_join(paths, p=0.5, key=Key(7, step=t))[0]) for t in range(4)]
    [12.0, 6.0, 3.0, 12.0]
    """
    operation = "fractal_join"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    paths = asked.placed(paths)
    paths, p = _checked_paths(operation, paths), one_rate(operation, p)
    shape, single = paths[0].shape, (1,) * len(paths[0].shape)
    index, xp = gate_index(asked, shape, mode), asked.backend_of(paths[0]).xp
    if column is not None:
        keep = xp.arange(len(paths)) == _checked_column(operation, column, len(paths))  # (J,)
        keep = keep.reshape(-1, *single)
    elif not asked.draws(p):
        keep = xp.ones((len(paths), *single), np.bool_)
    elif mask is not None:
        keep = xp.stack([streams.checked_mask(one.mask, shape) for one in masks_apart(asked, len(paths))])
    else:
        keep = _path_gates(asked, paths, p, index)  # (J, N or 1, 1, ...)
    return asked.answer(_mean_of_kept(paths, keep), keep)


def _checked_layers(operation: str, layers: Any, p: Any) -> list[Callable[[Any], Any]]:
    stack = [layers] if callable(layers) else list(layers)
    for number, layer in enumerate(stack):
        if not callable(layer):
            raise TypeError(f"{operation}: layer {number} must be a function of x, got {type(layer).__name__}")
    if not isinstance(p, float) and p.shape != (len(stack),):
        raise ValueError(f"{operation}: p must be one number or one for each of {len(stack)} layers, got {p.shape}")
    return stack


def _layer_gates(asked: Asked, x: Any, p: Any, layers: int, at_least_one: bool) -> Any:
    index = Index.whole(layers)
    keep = keep_array(asked, x, p, index)
    keep = np.broadcast_to(keep, (*keep.shape[: keep.ndim - 1], layers))
    if asked.mask is not None or not at_least_one or layers == 0:
        return keep
    first = keep_array(asked.another(1), x, _not_this_one(layers), index)
    chosen = asked.backend_of(x).xp.arange(layers) == first.argmax(axis=-1)[..., None]  # like keep
    return np.where(keep.any(axis=-1, keepdims=True), keep, chosen)


def _not_this_one(count: int) -> np.ndarray:
    """The rates (count - 1) / count, ..., 1/2, 0, after which the first that is kept is each with equal chance."""
    return 1 - 1 / np.arange(count, 0, -1)


def _run_where(keep: Any, layer: Callable[[Any], Any], x: Any, number: int) -> Any:
    """The layer, for all of x (keep is True) or for those samples whose gate is open, (K,)."""
    y = layer(x)
    if y.shape != x.shape:
        raise ValueError(
            f"layer_drop: layer {number} makes shape {y.shape} of {x.shape}; such a layer cannot be skipped, "
            f"so keep it out of the list"
        )
    if keep is True or keep.all():
        return y
    if x.shape[0] % len(keep):
        raise ValueError(f"layer_drop: {len(keep)} keys need a leading axis that they divide, got x of shape {x.shape}")
    rows = np.repeat(keep, x.shape[0] // len(keep)).reshape(-1, *[1] * (len(x.shape) - 1))
    return ops.where(rows, y, x)


def _checked_paths(operation: str, paths: Sequence[Any]) -> list[Any]:
    if not 1 <= len(paths) <= 16:
        raise ValueError(f"{operation}: a join has 1 to 16 paths, got {len(paths)}")
    return checked_alike(operation, **{f"path {j}": path for j, path in enumerate(paths)})


def _checked_column(operation: str, column: Any, paths: int) -> int:
    if isinstance(column, bool) or not isinstance(column, (int, np.integer)) or not 0 <= column < paths:
        raise ValueError(f"{operation}: column must be a whole number in [0, {paths}), got {column!r}")
    return int(column)


def _path_gates(asked: Asked, paths: list[Any], p: float, index: Index) -> Any:
    x, count = paths[0], len(paths)

    def gates(rate: float, number: int) -> Any:
        one = asked if number == 0 else asked.another(number)
        return spread(asked, keep_array(one, x, rate, index), index, x.shape)

    xp = asked.backend_of(x).xp
    keep = xp.stack([gates(p, j) for j in range(count)])  # (J, N or 1, 1, ...)
    first = xp.stack([gates(float(q), count + j) for j, q in enumerate(_not_this_one(count))])
    chosen = xp.arange(count).reshape(-1, *[1] * (keep.ndim - 1)) == first.argmax(axis=0)
    return xp.where(keep.any(axis=0), keep, chosen)


def _mean_of_kept(paths: list[Any], keep: Any) -> Any:
    """keep (J, ...), each part of which broadcasts to a path; zero where none is kept."""
    count = np.maximum(keep.sum(axis=0), 1)
    total = ops.where(keep[0], paths[0], 0.0)
    for kept, path in zip(keep[1:], paths[1:], strict=True):
        total = total + ops.where(kept, path, 0.0)
    return total * (1.0 / count).astype(paths[0].dtype)
