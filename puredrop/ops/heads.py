"""Products over heads, where one head of the right operand may serve several of the left (grouped queries).

With H heads on the left and h on the right, right head i serves the left heads i H / h to (i + 1) H / h - 1. Nothing is
repeated: the rows of the heads that share one are laid below one another, and multiplied together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Shape = tuple[int, ...]


def shared_heads(many: Shape, few: Shape) -> int | None:
    """How many heads (axis -3) the smaller operand has, where each serves several of the larger; None otherwise."""
    if len(many) < 3 or len(few) < 3 or few[-3] >= many[-3] or few[-3] == 0 or many[-3] % few[-3]:
        return None
    return few[-3]


def fold(x: Any, like: Any) -> Any:
    """x (..., H, T, D) -> (..., h, H / h * T, D), where `like` has h heads that serve several of x."""
    heads = shared_heads(x.shape, like.shape)
    if heads is None:
        return x
    return x.reshape((*x.shape[:-3], heads, x.shape[-3] // heads * x.shape[-2], x.shape[-1]))


def product(a: Any, b: Any) -> Any:
    """a b. Shapes: a (..., H, T, D), b (..., H or h, D, S) -> (..., H, T, S)."""
    y = fold(a, b) @ b
    if shared_heads(a.shape, b.shape) is None:
        return y
    return y.reshape((*y.shape[:-3], *a.shape[-3:-1], b.shape[-1]))


def product_into(xp: Any, out: Any, a: Any, b: Any) -> None:
    """Write a b to `out`."""
    if shared_heads(a.shape, b.shape) is None:
        xp.matmul(a, b, out=out)
    else:
        out[...] = product(a, b)


def transposed_product(a: Any, b: Any, like: Any) -> Any:
    """a^T b, added up over the heads that share one of `like`.

    Shapes: a (..., H, T, S), b (..., H, T, D) -> (..., h, S, D).
    """
    return fold(a, like).swapaxes(-1, -2) @ fold(b, like)


def transposed_product_into(xp: Any, out: Any, a: Any, b: Any) -> None:
    """Write a^T b, added up over the heads that share one of `out`, to `out`."""
    xp.matmul(fold(a, out).swapaxes(-1, -2), fold(b, out), out=out)


def weights_shape(q: Shape, k: Shape) -> Shape:
    """The shape of the attention weights of queries (..., T, D) and keys (..., S, D)."""
    batch = q[:-2], k[:-2]
    if shared_heads(q, k) is not None:
        batch = q[:-2], (*k[:-3], 1)
    return (*np.broadcast_shapes(*batch), q[-2], k[-2])


def empty_heads(xp: Any, shape: Shape, dtype: Any) -> Any:
    """An array (..., H, T, D) whose memory is (..., T, H, D): to lay the heads side by side then costs nothing."""
    if len(shape) < 3:
        return xp.empty(shape, dtype)
    return xp.empty((*shape[:-3], shape[-2], shape[-3], shape[-1]), dtype).swapaxes(-2, -3)
