"""A whole LSTM sequence as one primitive: thousands of small operations would each pay for their node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..tensor import fused
from .dense import linear
from .elementwise import sigmoid, tanh
from .joining import stack
from .recurrent_noise import Drop, Noise, Zoneout, dropped, noise_over, zoned


def lstm_steps(
    x: Any,
    h: Any,
    c: Any,
    w_ih: Any,
    w_hh: Any,
    b: Any,
    *,
    state: Drop = None,
    update: Drop = None,
    memory: Drop = None,
    zoneout: Zoneout = None,
    zoneout_memory: Zoneout = None,
    reverse: bool = False,
) -> Any:
    """`lstm_sequence`, composed."""
    steps, first, hidden = x.shape[0], h, c.shape[-1]
    a = linear(x, w_ih, b)  # (L, N, 4 H)
    hs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        gates = a[t] + linear(dropped(h, state, t), w_hh, 0.0)  # (N, 4 H)
        i, f, g, o = (gates[:, k * hidden : (k + 1) * hidden] for k in range(4))
        new_c = dropped(sigmoid(f) * c + sigmoid(i) * dropped(tanh(g), update, t), memory, t)
        new_h = sigmoid(o) * tanh(new_c)
        h, c = zoned(new_h, h, zoneout, t), zoned(new_c, c, zoneout_memory, t)
        hs[t] = h
    return stack([*hs, first, c] if reverse else [first, *hs, c])


@fused(lstm_steps)
def lstm_sequence(
    backend: Any,
    x: Any,
    h: Any,
    c: Any,
    w_ih: Any,
    w_hh: Any,
    b: Any,
    *,
    state: Drop = None,
    update: Drop = None,
    memory: Drop = None,
    zoneout: Zoneout = None,
    zoneout_memory: Zoneout = None,
    reverse: bool = False,
) -> Any:
    """An LSTM over all time steps of x, from the last to the first for `reverse`.

    Math: i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x_t + W_hh state(h_{t-1}) + b;
        c = memory(f c_{t-1} + i update(g)); h_t = zoneout(o tanh(c), h_{t-1}); c_t = zoneout_memory(c, c_{t-1}).
        state, update and memory are (keep, scale): d(x) = where(keep, x * scale, 0), or x * scale without a mask.
        zoneout and zoneout_memory are keep: z(new, old) = where(keep, new, old); or a float p: p old + (1 - p) new.
    Shapes: x (L, N, D), h and c (N, H), w_ih (4 H, D), w_hh (4 H, H), b (4 H,), every keep (N, H) bool, for all steps,
        or (L, N, H) -> (L + 2, N, H): h in front of the first step, h_1 ... h_L, c_L; for `reverse` h_1 ... h_L, the h
        behind the last step, c_1.
    """
    asked = {
        "state": state,
        "update": update,
        "memory": memory,
        "zoneout": zoneout,
        "zoneout_memory": zoneout_memory,
    }
    y, trace = _forward(backend.xp, x, h, c, w_ih, w_hh, b, asked, reverse)
    return y, lambda g, needed: _backward(backend.xp, g, needed, x, w_ih, w_hh, trace)


class _Trace(NamedTuple):
    """What the way back needs. Arrays (L, N, .) by position, whatever the direction."""

    order: range  # of the positions
    start: int  # where y has the h in front of the first step
    gates: Any  # i, f, g, o side by side
    dropped_h: Any  # state(h_{t-1})
    c_before: Any
    squashed: Any  # tanh(c_t)
    noise: Noise


def _forward(
    xp: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b: Any, asked: Mapping[str, Any], reverse: bool
) -> tuple[Any, _Trace]:
    steps, rows, hidden = len(x), len(c), c.shape[-1]
    gates = _flat(x) @ w_ih.T
    gates += b
    gates = gates.reshape(steps, rows, 4 * hidden)
    y, cells, squashed = (xp.empty((steps + more, rows, hidden), gates.dtype) for more in (2, 1, 0))
    before, after = (y[1:-1], y[:-2]) if reverse else (y[:-2], y[1:-1])  # h_{t-1} and h_t at position t
    c_before, c_after = (cells[1:], cells[:-1]) if reverse else (cells[:-1], cells[1:])
    order, start = (range(steps)[::-1], steps) if reverse else (range(steps), 0)
    y[start], cells[start] = h, c
    noise = noise_over(xp, squashed, **asked)
    dropped_h = before if asked["state"] is None else xp.empty_like(squashed)
    slope, shift = _tanh_to_gates(xp, hidden, gates.dtype)  # (4 H,) each
    product, written = xp.empty_like(gates[0]), xp.empty_like(squashed[0])
    for t in order:
        a = gates[t]  # (N, 4 H)
        a += xp.matmul(noise.state(t, before[t], out=dropped_h[t]), w_hh.T, out=product)
        a *= slope
        xp.tanh(a, out=a)
        a *= slope
        a += shift
        i, f, g, o = _four(a)
        xp.multiply(f, c_before[t], out=c_after[t])
        c_after[t] += xp.multiply(i, noise.update(t, g, out=written), out=written)
        noise.memory(t, c_after[t], out=c_after[t])
        xp.multiply(o, xp.tanh(c_after[t], out=squashed[t]), out=after[t])
        noise.zoneout.forward(t, after[t], before[t])
        noise.zoneout_memory.forward(t, c_after[t], c_before[t])
    y[-1] = cells[steps - start]
    return y, _Trace(order, start, gates, dropped_h, c_before, squashed, noise)


def _backward(
    xp: Any, grad: Any, needed: Sequence[bool], x: Any, w_ih: Any, w_hh: Any, trace: _Trace
) -> tuple[Any, ...]:
    order, start, gates, dropped_h, c_before, squashed, noise = trace
    da = xp.empty_like(gates)
    slope, part = xp.empty_like(gates[0]), xp.empty_like(squashed[0])
    dh, dc = xp.zeros_like(squashed[0]), grad[-1].copy()
    for t in order[::-1]:
        dh += grad[t if start else t + 1]
        past_h, past_c = noise.zoneout.backward(t, dh), noise.zoneout_memory.backward(t, dc)
        i, f, g, o = _four(gates[t])
        di, df, dg, do = _four(da[t])
        _slope_of_tanh(xp, squashed[t], out=part)
        part *= o
        part *= dh
        dc += part
        noise.memory(t, dc, out=dc)
        xp.multiply(dc, noise.update(t, g, out=part), out=di)
        xp.multiply(dc, c_before[t], out=df)
        noise.update(t, xp.multiply(dc, i, out=dg), out=dg)
        xp.multiply(dh, squashed[t], out=do)
        xp.multiply(gates[t], gates[t], out=slope)
        xp.subtract(gates[t], slope, out=slope)  # of a sigmoid: s - s^2
        _slope_of_tanh(xp, g, out=_four(slope)[2])
        da[t] *= slope
        dc *= f
        if past_c is not None:
            dc += past_c
        noise.state(t, xp.matmul(da[t], w_hh, out=dh), out=dh)
        if past_h is not None:
            dh += past_h
    dh += grad[start]
    rows = _flat(da)  # (L N, 4 H)
    return (
        (rows @ w_ih).reshape(x.shape) if needed[0] else None,
        dh,
        dc,
        rows.T @ _flat(x) if needed[3] else None,
        rows.T @ _flat(dropped_h) if needed[4] else None,
        rows.sum(axis=0) if needed[5] else None,
    )


def _tanh_to_gates(xp: Any, hidden: int, dtype: Any) -> tuple[Any, Any]:
    """sigmoid(a) = tanh(a / 2) / 2 + 1 / 2, so all four gates are slope * tanh(slope * a) + shift. (4 H,) each."""
    slope = xp.asarray([0.5, 0.5, 1.0, 0.5], dtype).repeat(hidden)
    return slope, 1 - slope


def _slope_of_tanh(xp: Any, y: Any, out: Any) -> None:
    """1 - y^2."""
    xp.multiply(y, y, out=out)
    xp.subtract(1, out, out=out)


def _four(a: Any) -> list[Any]:
    """The four gates, side by side: views."""
    hidden = a.shape[-1] // 4
    return [a[:, k * hidden : (k + 1) * hidden] for k in range(4)]


def _flat(a: Any) -> Any:
    """(L, N, D) -> (L N, D)."""
    return a.reshape(-1, a.shape[-1])
