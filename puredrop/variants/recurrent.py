"""Noise inside a recurrent cell: on its inputs, its update, its memory, its new state.

Each function is one time step. A mask is a pure function of its key, so the key alone says how long it lasts: one key
for the whole sequence locks the mask over time, a key for each step draws afresh. Zaremba's non-recurrent dropout is
`dropout` with a key for each step; Gal's with tied masks is `dropout` with a key for the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np  # noqa: F401  # the examples use it

from .. import ops
from ..random import Index, Keys
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale, map_and_mask
from .door import checked_alike, checked_array, counted, one_rate, unchanged

__all__ = ["locked_gate_dropout", "memory_dropout", "update_dropout", "zoneout"]


def locked_gate_dropout(
    x: Any,
    p: float = 0.25,
    *,
    gates: int = 4,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A copy of a cell's input, or of its state, for each gate, each with a mask of its own: Gal's untied masks.

    Math: y[k] = x * m[k] / (1 - p) for k = 1..gates; E[y[k]] = x. Gradient: dx = sum_k g[k] * m[k] / (1 - p).
        Evaluation and p = 0 give x for every gate; p = 1 gives zeros. Use the same key at every step: that locks the
        masks over time. Input and state need two keys, or two draws of one.
    Shapes: x (N, D), or any -> (gates, *x.shape). LSTM: 4 gates, GRU: 3. One draw along each of the `shared` axes of x:
        a whole sequence x (L, N, D) with shared=0 gets the masks of its steps.
    Dtypes: float32, float64; y like x.
    Draws: one halfword an element of the noise, gates on its leading axis: gate 0 has the mask of `dropout`. `mask=`
        (True = kept) replaces the draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x, a p that is no number, or a tuple of keys; ValueError for p outside [0, 1],
        fewer than one gate, a mask that does not fit, or no key.
    Reference: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks" (2016).

    >>> from puredrop import Key
    >>> h = np.ones((1, 6), np.float32)
    >>> locked_gate_dropout(h, 0.5, gates=2, key=Key(7))
    array([[[0., 2., 2., 2., 2., 0.]],
    <BLANKLINE>
           [[2., 0., 2., 0., 2., 2.]]], dtype=float32)
    """
    name = "locked_gate_dropout"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    x, p, gates = checked_array(name, x), one_rate(name, p), counted(name, "gates", gates, 1)  # LSTM 4, GRU 3
    if isinstance(key, tuple):
        raise TypeError(f"{name}: the leading axis is the gates', so it takes one key and not a tuple; loop over them")
    copies = ops.broadcast_to(x, shape=(gates, *x.shape), backend=backend)  # (gates, *x)
    axes = shared if isinstance(shared, Sequence) else (shared,)
    index = asked.index_for(copies.shape, [a if a < 0 else a + 1 for a in axes])
    return bernoulli_map(asked, copies, p, index, scale=inverted_scale(p))


def update_dropout(
    update: Any,
    memory: Any,
    forget_gate: Any,
    input_gate: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop what is written into a memory and never the memory: recurrent dropout without memory loss.

    Math: c = f * c_prev + i * d(u), d(u) = u * m / (1 - p); E[c] = f * c_prev + i * u. Evaluation and p = 0 give
        f * c_prev + i * u. Gradient: du = g * i * m / (1 - p); di = g * d(u); dc_prev = g * f. p = 1 gives f * c_prev.
        LSTM: f and i are its gates, u the tanh candidate. GRU: f = 1 - z, i = z, u the candidate state. The scale is
        safe here, for nothing that is scaled is scaled again at the next step.
    Shapes: all four the same; c like them. A key for each step, or one for the sequence: the paper has both.
    Dtypes: float32, float64, the same for all; c like them.
    Draws: one halfword an element, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (c, mask).
    Raises: TypeError for whole numbers, unequal dtypes or a p that is no number; ValueError for p outside [0, 1],
        unequal shapes, a mask or index that does not fit, or no key.
    Reference: Semeniuta, Severyn & Barth, "Recurrent dropout without memory loss" (2016).

    >>> from puredrop import Key
    >>> one = np.ones(6, np.float32)
    >>> update_dropout(3 * one, memory=one, forget_gate=one, input_gate=one, p=0.5, key=Key(7))
    array([1., 7., 7., 7., 7., 1.], dtype=float32)
    """
    name = "update_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    update, memory, forget_gate, input_gate = asked.placed(update, memory, forget_gate, input_gate)
    u, c, f, i = checked_alike(name, update=update, memory=memory, forget_gate=forget_gate, input_gate=input_gate)
    p = one_rate(name, p)
    u, keep = map_and_mask(asked, u, p, asked.index_for(u.shape), scale=inverted_scale(p))
    return asked.answer(f * c + i * u, keep)


def memory_dropout(
    update: Any,
    memory: Any,
    forget_gate: Any,
    input_gate: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop units of the memory itself, the same ones at every step: rnnDrop.

    Math: c = m * (f * c_prev + i * u), unscaled: a scale would compound to (1 - p)^-t. Evaluation gives
        f * c_prev + (1 - p) * i * u: as m is m again at the next step, the expectation of c at step t is (1 - p) times
        the undropped memory, and this recursion from a memory of 0 gives just that. (Scaling all of c at each step
        would shrink an old memory by (1 - p)^t.) Gradient: du = g * m * i; dc_prev = g * m * f. p = 0 drops nothing;
        p = 1 gives zeros.
    Shapes: all four the same; c like them. One key for the whole sequence.
    Dtypes: float32, float64, the same for all; c like them.
    Draws: one halfword an element, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (c, mask).
    Raises: TypeError for whole numbers, unequal dtypes or a p that is no number; ValueError for p outside [0, 1],
        unequal shapes, a mask or index that does not fit, or no key.
    Reference: Moon, Choi, Lee & Song, "RNNDROP: a novel dropout for RNNs in ASR" (2015).

    >>> from puredrop import Key
    >>> one = np.ones(6, np.float32)
    >>> memory_dropout(3 * one, memory=one, forget_gate=one, input_gate=one, p=0.5, key=Key(7))
    array([0., 4., 4., 4., 4., 0.], dtype=float32)
    """
    name = "memory_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    update, memory, forget_gate, input_gate = asked.placed(update, memory, forget_gate, input_gate)
    u, c, f, i = checked_alike(name, update=update, memory=memory, forget_gate=forget_gate, input_gate=input_gate)
    p = one_rate(name, p)
    y = f * c + (i * u if training else (1 - p) * (i * u))
    return bernoulli_map(asked, y, p, asked.index_for(u.shape))


def zoneout(
    new: Any,
    old: Any,
    p: float = 0.1,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Let units of a recurrent state keep their old value with probability p.

    Math: y = new where kept, old where dropped, unscaled. Gradient: d(new) = g * m, d(old) = g * (1 - m). Evaluation
        gives p * old + (1 - p) * new, which is E[y]. p = 0 gives new; p = 1 gives old.
    Shapes: new and old the same; y like them. One draw along each of the `shared` axes. A key for each step draws a
        fresh mask, as in the paper; LSTM: one call for h and one for c, with rates and keys of their own.
    Dtypes: float32, float64, the same for both; y like them.
    Draws: one halfword an element of the noise, at (key, element number). `mask=` (True = the new value) replaces the
        draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole numbers, unequal dtypes or a p that is no number; ValueError for p outside [0, 1],
        unequal shapes, a mask or index that does not fit, or no key.
    Reference: Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations" (2017).

    >>> from puredrop import Key
    >>> new, old = np.full(6, 5.0), np.full(6, 1.0)
    >>> zoneout(new, old, p=0.5, key=Key(7))
    array([1., 5., 5., 5., 5., 1.])
    >>> zoneout(new, old, p=0.25, training=False)[0]
    np.float64(4.0)
    """
    asked = Asked("zoneout", key, mask, training, index, return_mask, backend)
    new, old = checked_alike("zoneout", new=new, old=old)
    p, index = one_rate("zoneout", p), asked.index_for(new.shape, shared)
    if training or p == 0:
        return bernoulli_map(asked, new, p, index, fill=old)
    return asked.undrawn(unchanged(old) if p == 1 else p * old + (1 - p) * new)
