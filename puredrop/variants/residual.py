"""Gates on residual branches, paths and whole layers: what is dropped is large, and the network goes round it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .. import ops, streams
from ..random import Index, Keys
from .bernoulli_map import bernoulli_map, inverted_scale
from .door import checked_array, checked_key, checked_rate, fitting_index, one_rate, unchanged
from .gates import checked_alike, gate_index, spread_keys
from .noise import draw_of, keep_array
from .shake import shake_drop, shake_shake

__all__ = ["drop_path", "fractal_join", "layer_drop", "shake_drop", "shake_shake", "stochastic_depth", "swapout"]


def drop_path(
    x: Any,
    p: float,
    *,
    mode: Literal["row", "batch"] = "row",
    scale_by_keep: bool = True,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop a whole residual branch x with probability p, for each example or for the batch.

    Math: y = x * b / (1 - p), one gate b for each example (`mode="row"`) or one for all (`mode="batch"`); E[y] = x.
        `scale_by_keep=False` leaves out 1 / (1 - p). Gradient: dx = g * b / (1 - p). Evaluation and p = 0 give x; p = 1
        gives zeros with a zero gradient: the branch is removed. The block is `x + drop_path(branch(x), p)`.
    Shapes: x (N, ...), for `mode="batch"` any; y like x. `index` says which part of a global noise tensor x is; it
        shares all axes but the first.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one halfword a gate, at (key, number of the example). `mask=` (True = kept) replaces the draw and broadcasts
        to x; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], an unknown mode, x
        without a batch axis, an index or mask that does not fit, or no key.
    Reference: Huang et al., "Deep networks with stochastic depth" (2016); Larsson et al., "FractalNet" (2017).

    >>> from puredrop import Key
    >>> drop_path(np.ones((4, 2)), p=0.5, key=Key(7))[:, 0]
    array([0., 2., 2., 2.])
    """
    operation = "drop_path"
    x, p, key = checked_array(operation, x), one_rate(operation, p), checked_key(operation, key)
    index = gate_index(operation, x.shape, key, index, mode)
    if not training or (p == 0.0 and mask is None):
        return (unchanged(x), np.ones(x.shape, np.bool_)) if return_mask else unchanged(x)
    scale = inverted_scale(p) if scale_by_keep else 1.0
    return bernoulli_map(
        operation, x, p, key=key, mask=mask, index=index, scale=scale, return_mask=return_mask, backend=backend
    )


def stochastic_depth(
    x: Any,
    residual: Any,
    p: float,
    *,
    mode: Literal["row", "batch"] = "batch",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A residual block whose branch is dropped with probability p, as first published: not scaled when it is kept.

    Math: y = x + b * residual, one gate b for the batch (or, `mode="row"`, for each example). Gradient: g to x, g * b
        to the residual. Evaluation gives x + (1 - p) * residual, which is E[y]. p = 0 gives x + residual; p = 1
        gives x. For the scaled form write `x + drop_path(residual, p)`.
    Shapes: x and residual alike; y like them. `index` says which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for both; y like x.
    Draws: one halfword a gate, at (key, 0) or (key, number of the example). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask).
    Raises: TypeError for whole numbers, two dtypes, or a p that is no number; ValueError for p outside [0, 1], an
        unknown mode, shapes that differ, an index or mask that does not fit, or no key.
    Reference: Huang et al., "Deep networks with stochastic depth" (2016).

    >>> from puredrop import Key
    >>> x, residual = np.ones((2, 2)), np.full((2, 2), 10.0)
    >>> [float(stochastic_depth(x, residual, p=0.5, key=Key(7, step=t))[0, 0]) for t in range(4)]
    [1.0, 11.0, 11.0, 1.0]
    >>> float(stochastic_depth(x, residual, p=0.5, training=False)[0, 0])
    6.0
    """
    operation = "stochastic_depth"
    x, residual = checked_alike(operation, x=x, residual=residual)
    p, key = one_rate(operation, p), checked_key(operation, key)
    index = gate_index(operation, x.shape, key, index, mode)
    if not training or (p == 0.0 and mask is None):
        y = unchanged(x) if p == 1.0 else x + residual * (1.0 - p)
        return (y, np.ones(x.shape, np.bool_)) if return_mask else y
    branch = bernoulli_map(
        operation, residual, p, key=key, mask=mask, index=index, return_mask=return_mask, backend=backend
    )
    return (x + branch[0], branch[1]) if return_mask else x + branch


def swapout(
    x: Any,
    residual: Any,
    p1: float,
    p2: float,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Each unit takes its input, its residual, both or neither.

    Math: y = a * x + b * residual, a kept with probability 1 - p1 and b with 1 - p2, independently in every unit;
        Gradient: g * a to x, g * b to the residual. Evaluation gives (1 - p1) x + (1 - p2) residual, which is E[y]. The
        mean of a nonlinearity of y is not that of E[y] (relu of a fair sign: 0 for 0.5); the authors therefore average
        stochastic passes, which is a layer's sample mode.
    Shapes: x and residual alike; y like them. `index` says which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for both; y like x.
    Draws: two halfwords a unit: a at (key, element), b at (draw 1 of key, element). `mask=` (2, ...) replaces both;
        `return_mask=True` gives (y, both).
    Raises: TypeError for whole numbers, two dtypes, or rates that are no numbers; ValueError for rates outside [0, 1],
        shapes that differ, an index or mask that does not fit, or no key.
    Reference: Singh, Hoiem & Forsyth, "Swapout: learning an ensemble of deep architectures" (2016).

    >>> from puredrop import Key
    >>> swapout(np.ones(8), np.full(8, 10.0), 0.5, 0.5, key=Key(7))
    array([ 0.,  1.,  1.,  1.,  1.,  0.,  1., 10.])
    """
    operation = "swapout"
    x, residual = checked_alike(operation, x=x, residual=residual)
    p1, p2 = one_rate(operation, p1, "p1"), one_rate(operation, p2, "p2")
    key = checked_key(operation, key)
    index = fitting_index(operation, x.shape, key, index)
    if not training or (p1 == p2 == 0.0 and mask is None):
        y = _scaled(x, 1.0 - p1) + _scaled(residual, 1.0 - p2)
        return (y, np.ones((2, *x.shape), np.bool_)) if return_mask else y
    masks = (None, None) if mask is None else _taken_apart(operation, mask, 2)
    parts = [
        bernoulli_map(operation, a, p, key=k, mask=m, index=index, return_mask=True, backend=backend)
        for a, p, k, m in zip((x, residual), (p1, p2), (key, draw_of(key, 1)), masks, strict=True)
    ]
    y = parts[0][0] + parts[1][0]
    return (y, np.stack([keep for _, keep in parts])) if return_mask else y


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
    x, p, key = checked_array(operation, x), checked_rate(operation, p), checked_key(operation, key)
    stack = _checked_layers(operation, layers, p)
    if not training or (isinstance(p, float) and p == 0.0 and mask is None):
        keep = np.ones(len(stack), np.bool_)  # (L,)
    else:
        keep = _layer_gates(operation, x, p, len(stack), at_least_one, key, mask, backend)  # (L,) or (K, L)
    y = x
    for number, gate in enumerate(keep.tolist() if keep.ndim == 1 else keep.T):
        if gate is True or (gate is not False and gate.any()):
            y = _run_where(gate, stack[number], y, number)
    y = unchanged(x) if y is x else y
    return (y, keep) if return_mask else y


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
    paths, p, key = _checked_paths(operation, paths), one_rate(operation, p), checked_key(operation, key)
    index = gate_index(operation, paths[0].shape, key, index, mode)
    if column is not None:
        keep = np.arange(len(paths)) == _checked_column(operation, column, len(paths))  # (J,)
        keep = keep.reshape(-1, *[1] * len(paths[0].shape))
    elif not training or (p == 0.0 and mask is None):
        keep = np.ones((len(paths), *[1] * len(paths[0].shape)), np.bool_)
    elif mask is not None:
        keep = np.stack([streams.checked_mask(m, paths[0].shape) for m in _taken_apart(operation, mask, len(paths))])
    else:
        keep = _path_gates(operation, paths, p, index, key, backend)  # (J, N or 1, 1, ...)
    y = _mean_of_kept(paths, keep)
    return (y, keep) if return_mask else y


# ---------------------------------------------------------------------------------------------- layers and joins
def _scaled(x: Any, scale: float) -> Any:
    """x * scale; zeros for a scale of 0, whatever x is."""
    return x * scale if scale else ops.where(np.zeros((), np.bool_), x, 0.0)


def _taken_apart(operation: str, mask: Any, count: int) -> list[Any]:
    if len(mask) != count:
        raise ValueError(f"{operation}: mask must hold {count} masks on its first axis, got {len(mask)}")
    return [m if hasattr(m, "dtype") else np.asarray(m) for m in mask]


def _checked_layers(operation: str, layers: Any, p: Any) -> list[Callable[[Any], Any]]:
    stack = [layers] if callable(layers) else list(layers)
    for number, layer in enumerate(stack):
        if not callable(layer):
            raise TypeError(f"{operation}: layer {number} must be a function of x, got {type(layer).__name__}")
    if not isinstance(p, float) and p.shape != (len(stack),):
        raise ValueError(f"{operation}: p must be one number or one for each of {len(stack)} layers, got {p.shape}")
    return stack


def _layer_gates(
    operation: str, x: Any, p: Any, layers: int, at_least_one: bool, key: Keys | None, mask: Any, backend: Any
) -> Any:
    index = Index.whole(layers)
    keep = keep_array(operation, x, p, index, key=key, mask=mask, backend=backend)
    keep = np.broadcast_to(keep, (*keep.shape[: keep.ndim - 1], layers))
    if mask is not None or not at_least_one or layers == 0:
        return keep
    first = keep_array(operation, x, _not_this_one(layers), index, key=draw_of(key, 1), backend=backend)
    chosen = np.arange(layers) == np.argmax(first, axis=-1)[..., None]  # like keep
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


def _path_gates(operation: str, paths: list[Any], p: float, index: Index, key: Keys | None, backend: Any) -> Any:
    shape, count = paths[0].shape, len(paths)

    def gates(rate: float, number: int) -> Any:
        drawn = keep_array(
            operation, paths[0], rate, index, key=key if number == 0 else draw_of(key, number), backend=backend
        )
        return spread_keys(drawn, shape, key, index)

    keep = np.stack([gates(p, j) for j in range(count)])  # (J, N or 1, 1, ...)
    first = np.stack([gates(float(q), count + j) for j, q in enumerate(_not_this_one(count))])
    chosen = np.arange(count).reshape(-1, *[1] * (keep.ndim - 1)) == np.argmax(first, axis=0)
    return np.where(keep.any(axis=0), keep, chosen)


def _mean_of_kept(paths: list[Any], keep: Any) -> Any:
    """keep (J, ...), each part of which broadcasts to a path; zero where none is kept."""
    count = np.maximum(keep.sum(axis=0), 1)
    total = ops.where(keep[0], paths[0], 0.0)
    for kept, path in zip(keep[1:], paths[1:], strict=True):
        total = total + ops.where(kept, path, 0.0)
    return total * (1.0 / count).astype(paths[0].dtype)
