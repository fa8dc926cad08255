"""Convolution and its transpose over any number of spatial axes: window copies, and one product for each group.

The sum over g * (x convolved with w) is linear in g, in x and in w. Three primitives, `convolve`, `spread` and
`correlate`, are its derivatives by g, by x and by w; so the gradient of each is the other two, and second derivatives
need no code. Each works through the map a few rows at a time: copies of windows then stay in the cache, they are never
all in memory at once, and none is kept until backward.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..tensor import primitive
from .shape import reshape
from .windows import (
    Sizes,
    Window,
    batch_first,
    batch_last,
    cropped,
    fitting_places,
    padded,
    per_axis,
    window_of,
    windows,
)

ELEMENTS_AT_ONCE = 1 << 19  # of window copies: 2 MB in float32


@primitive(
    x=lambda g, w, x_shape, window, groups: spread(g, w, shape=x_shape, window=window, groups=groups),
    w=lambda g, x, w_shape, window, groups: correlate(g, x, shape=w_shape, window=window, groups=groups),
)
def convolve(backend: Any, x: Any, w: Any, *, window: Window, places: Sizes, groups: int) -> Any:
    """Shapes: x (N, C, L_1, ...), w (O, C / G, kernel) -> (N, O, places)."""
    xp, n = backend.xp, x.shape[0]
    z, taps = xp.ascontiguousarray(padded(xp, x, window)), _taps(w, groups)  # (C, padded L, N), (G, O / G, K)
    y = xp.empty((*taps.shape[:2], math.prod(places) * n), xp.result_type(x, w))  # (G, O / G, places * N)
    for copies, here, _ in _windows_by_rows(xp, z, window, places):
        xp.matmul(taps, _columns(copies, groups), out=y[:, :, here])
    return batch_first(y.reshape(w.shape[0], *places, n))


@primitive(
    g=lambda d, w, g_shape, window, groups: convolve(d, w, window=window, places=g_shape[2:], groups=groups),
    w=lambda d, g, w_shape, window, groups: correlate(g, d, shape=w_shape, window=window, groups=groups),
)
def spread(backend: Any, g: Any, w: Any, *, shape: Sizes, window: Window, groups: int) -> Any:
    """The transpose of `convolve` in x. Shapes: g (N, O, places), w (O, C / G, kernel) -> (N, C, L_1, ...), `shape`."""
    xp, (n, channels, *size), places = backend.xp, shape, g.shape[2:]
    taps, rows = _taps(w, groups).swapaxes(1, 2), _flat(xp, g, groups)  # (G, K, O / G), (G, O / G, places * N)
    if window.is_identity:
        return batch_first((taps @ rows).reshape(channels, *size, n))
    z = xp.zeros((channels, *window.padded(tuple(size)), n), xp.result_type(g, w))  # (C, padded L, N)
    for held, here, part in _windows_by_rows(xp, z, window, places):
        columns = (taps @ rows[:, :, here]).reshape(held.shape)  # (C, kernel, places, N)
        if not window.overlaps:
            held[...] = columns
            continue
        for element, where in window.elements(held.shape[-1 - len(places) : -1]):
            part[(slice(None), *where)] += columns[(slice(None), *element)]
    return cropped(z, window, tuple(size))


@primitive(
    g=lambda d, x, g_shape, window, groups: convolve(x, d, window=window, places=g_shape[2:], groups=groups),
    x=lambda d, g, x_shape, window, groups: spread(g, d, shape=x_shape, window=window, groups=groups),
)
def correlate(backend: Any, g: Any, x: Any, *, shape: Sizes, window: Window, groups: int) -> Any:
    """The transpose of `convolve` in w. Shapes: g (N, O, places), x (N, C, L_1, ...) -> (O, C / G, kernel), `shape`."""
    xp = backend.xp
    z, rows = xp.ascontiguousarray(padded(xp, x, window)), _flat(xp, g, groups)  # (C, padded L, N), (G, O / G, ...)
    w = xp.zeros((groups, rows.shape[1], math.prod(shape[1:])), xp.result_type(g, x))  # (G, O / G, K)
    for copies, here, _ in _windows_by_rows(xp, z, window, g.shape[2:]):
        w += rows[:, :, here] @ _columns(copies, groups).swapaxes(1, 2)
    return w.reshape(shape)


def _windows_by_rows(xp: Any, z: Any, window: Window, places: Sizes) -> Iterator[tuple[Any, slice, Any]]:
    """The windows of z, some rows of the first axis of places at a time: few enough for the cache.

    Yields a view of them (C, kernel, places, N), which of all places * N they are, and z from their first row on.
    """
    row = math.prod(places[1:]) * z.shape[-1]
    many = max(1, ELEMENTS_AT_ONCE // max(1, z.shape[0] * math.prod(window.kernel) * row))
    for start in range(0, places[0], many):
        stop, part = min(start + many, places[0]), z[:, start * window.stride[0] :]
        yield windows(xp, part, window, (stop - start, *places[1:])), slice(start * row, stop * row), part


def _columns(copies: Any, groups: int) -> Any:
    """Windows (C, kernel, places, N), each a column: (G, K, places * N). A copy, but for kernels of one element."""
    axes = (copies.ndim - 2) // 2
    rows = copies.shape[0] // groups * math.prod(copies.shape[1 : 1 + axes])
    return copies.reshape(groups, rows, math.prod(copies.shape[1 + axes :]))


def _taps(w: Any, groups: int) -> Any:
    """(O, C / G, kernel) -> (G, O / G, K), K = C / G * kernel."""
    return w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))


def _flat(xp: Any, g: Any, groups: int) -> Any:
    """(N, O, places) -> (G, O / G, places * N)."""
    size = math.prod(g.shape[2:]) * g.shape[0]
    return xp.ascontiguousarray(batch_last(g)).reshape(groups, g.shape[1] // groups, size)


def convolution(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    name: str = "convolution",
) -> Any:
    """Each window of x times each kernel, summed: what deep learning calls convolution (kernels are not flipped).

    Math: y[n, o, p] = b[o] + sum over c, k of w[o, c, k] x[n, c, p stride + k dilation - padding], c within the group.
    Shapes: x (N, C, L_1, ..., L_d), w (O, C / groups, k_1, ..., k_d), b (O,) -> (N, O, ...), along each axis
        (L + padding - dilation (k - 1) - 1) // stride + 1, with the padding of both ends.
    stride, padding and dilation are whole numbers, or one for each axis; padding="same" keeps the size at stride 1 (one
    more at the end where it is odd). `name` is what errors call the operation.
    Raises: TypeError, ValueError for what does not fit, with the shapes.

    >>> import numpy as np
    >>> convolution(np.arange(5.0).reshape(1, 1, 5), np.array([[[1.0, 0.0, -1.0]]])).tolist()
    [[[-2.0, -2.0, -2.0]]]
    """
    _require_fitting(name, x, w, b, groups, inputs=w.shape[1] * groups, outputs=w.shape[0])
    window = window_of(name, len(w.shape) - 2, w.shape[2:], stride, padding, dilation)
    places = fitting_places(name, window, x.shape[2:])
    return _biased(convolve(x, w, window=window, places=places, groups=groups), b)


def transposed_convolution(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    name: str = "transposed_convolution",
) -> Any:
    """The gradient map of a convolution, as a layer: each element of x spreads over a window of y.

    Math: y[n, o, p stride + k dilation - padding] gathers w[c, o, k] x[n, c, p], over c within the group; plus b[o].
    Shapes: x (N, C, L_1, ..., L_d), w (C, O / groups, k_1, ..., k_d), b (O,) -> (N, O, ...), along each axis
        (L - 1) stride - 2 padding + dilation (k - 1) + 1 + output_padding.
    output_padding, below stride or dilation, chooses among the sizes that a convolution would have brought to L.
    Raises: TypeError, ValueError for what does not fit, with the shapes.

    >>> import numpy as np
    >>> transposed_convolution(np.ones((1, 1, 2)), np.array([[[1.0, 2.0, 3.0]]]), stride=2).tolist()
    [[[1.0, 2.0, 4.0, 2.0, 3.0]]]
    """
    outputs = w.shape[1] * groups
    _require_fitting(name, x, w, b, groups, inputs=w.shape[0], outputs=outputs)
    window = window_of(name, len(w.shape) - 2, w.shape[2:], stride, padding, dilation)
    extra = per_axis(name, "output_padding", output_padding, len(w.shape) - 2, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, window.stride, window.dilation, strict=True)):
        raise ValueError(
            f"{name}: output_padding must be below stride or dilation, got {extra} with stride {window.stride} "
            f"and dilation {window.dilation}"
        )
    size = tuple(n + e for n, e in zip(window.size(x.shape[2:]), extra, strict=True))
    if min(size) < 1:
        raise ValueError(f"{name}: nothing is left of x {x.shape} after padding {window.before}: the size is {size}")
    return _biased(spread(x, w, shape=(x.shape[0], outputs, *size), window=window, groups=groups), b)


def _biased(y: Any, b: Any) -> Any:
    return y if b is None else y + reshape(b, shape=(-1, *(1,) * (len(y.shape) - 2)))


def _require_fitting(name: str, x: Any, w: Any, b: Any, groups: int, inputs: int, outputs: int) -> None:
    """Raise ValueError unless x, weight, bias and groups fit one another."""
    axes = len(w.shape) - 2
    if axes < 1:
        raise ValueError(f"{name}: the weight must have two axes of channels and one or more of space, got {w.shape}")
    if len(x.shape) != axes + 2:
        raise ValueError(
            f"{name}: x must be (N, {inputs}, and {axes} spatial axes), got shape {x.shape}; "
            f"for one example write x[None]"
        )
    per_axis(name, "groups", groups, 1, 1)
    if x.shape[1] != inputs:
        raise ValueError(f"{name}: axis 1 of x must have {inputs} channels for a weight {w.shape}, got x {x.shape}")
    if inputs % groups or outputs % groups:
        raise ValueError(f"{name}: {groups} groups do not divide {inputs} input and {outputs} output channels")
    if b is not None and b.shape != (outputs,):
        raise ValueError(f"{name}: the bias must have shape ({outputs},), got {b.shape}")
