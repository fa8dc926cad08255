"""Recurrent cells: one time step, as the papers write it. The sequences of nn/recurrent.py repeat these equations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from .. import ops
from ..variants.door import checked_array, whole_number
from .init import Initialiser, fan_in_uniform
from .module import Module, Parameter
from .recurrent_dropout import CellDropout, Draws, Noise, RecurrentDropout
from .recurrent_state import closed, opened

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

State = tuple[Any, ...]  # (h,) or (h, c)


class Weights(NamedTuple):
    """Of one direction of one layer, in PyTorch's layouts; a bias that is absent is 0."""

    ih: Any  # (G H, inputs)
    hh: Any  # (G H, H)
    bias_ih: Any  # (G H,)
    bias_hh: Any  # (G H,)
    hr: Any = None  # (projection, H)


def rnn_step(a: Any, state: State, w: Weights, noise: Noise, activation: Callable[[Any], Any]) -> State:
    """a = W_ih x + b_ih. One step of a simple RNN (Elman 1990)."""
    (h,) = state
    new = activation(a + products(noise.state(h), w.hh, w.bias_hh))
    return (noise.zoned("zoneout", new, h),)


def lstm_step(a: Any, state: State, w: Weights, noise: Noise) -> State:
    """a = W_ih x + b_ih. One step of an LSTM (Hochreiter & Schmidhuber 1997; forget gate by Gers et al. 2000).

    With W_hr the state is a projection of what the cell gives (Sak et al. 2014).
    """
    h, c = state
    i, f, g, o = split(a + products(noise.state(h), w.hh, w.bias_hh), 4)
    i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
    new_c = noise.written(g, c, f, i)  # f c + i g
    new_h = o * ops.tanh(new_c)
    if w.hr is not None:
        new_h = ops.linear(new_h, w.hr, 0.0)
    return noise.zoned("zoneout", new_h, h), noise.zoned("zoneout_memory", new_c, c)


def gru_step(a: Any, state: State, w: Weights, noise: Noise, reset_after: bool) -> State:
    """a = W_ih x + b_ih. One step of a GRU (Cho et al. 2014)."""
    (h,) = state
    d = noise.state(h)  # (N, H), or (3, N, H) with a mask for each gate
    a_r, a_z, a_n = split(a, 3)
    if reset_after:
        u_r, u_z, u_n = split(products(d, w.hh, w.bias_hh), 3)
        r, z = ops.sigmoid(a_r + u_r), ops.sigmoid(a_z + u_z)
        n = ops.tanh(a_n + r * u_n)
    else:
        d_gates, d_n = (d, d) if len(d.shape) == 2 else (d[:2], d[2])
        (gates, candidate), hidden = _cut_after_gates(w), h.shape[-1]
        u = products(d_gates, *gates)  # (N, 2 H)
        r, z = ops.sigmoid(a_r + u[:, :hidden]), ops.sigmoid(a_z + u[:, hidden:])
        n = ops.tanh(a_n + products(r * d_n, *candidate))
    new = noise.written(n, h, z, 1.0 - z)  # z h + (1 - z) n
    return (noise.zoned("zoneout", new, h),)


def _cut_after_gates(w: Weights) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """W_hh and b_hh of a GRU's gates r and z, and of its candidate n."""
    cut = w.hh.shape[-2] // 3 * 2
    b, c = (0.0, 0.0) if isinstance(w.bias_hh, float) else (w.bias_hh[:cut], w.bias_hh[cut:])
    return (w.hh[..., :cut, :], b), (w.hh[..., cut:, :], c)


def products(x: Any, weight: Any, bias: Any) -> Any:
    """W x + b for all gates: (rows, G H).

    x is (rows, D), or (G, rows, D) with something else for each gate; W is (G H, D), or (samples, G H, D) with other
    weights for each of the samples in flight, whose rows lie one after the other.
    """
    if len(x.shape) == len(weight.shape) == 2:
        return ops.linear(x, weight, bias)
    gates, samples = x.shape[0] if len(x.shape) == 3 else 1, weight.shape[0] if len(weight.shape) == 3 else 1
    (rows, inputs), outputs = x.shape[-2:], weight.shape[-2] // gates
    x = ops.reshape(x, shape=(gates, samples, rows // samples, inputs))
    w = ops.transpose(ops.reshape(weight, shape=(samples, gates, outputs, inputs)), axes=(1, 0, 3, 2))
    y = ops.transpose(ops.matmul(x, w), axes=(1, 2, 0, 3))  # (samples, N, gates, outputs)
    return ops.reshape(y, shape=(rows, gates * outputs)) + bias


def split(a: Any, gates: int) -> list[Any]:
    """(N, G H) -> one (N, H) for each gate."""
    hidden = a.shape[-1] // gates
    return [a[:, k * hidden : (k + 1) * hidden] for k in range(gates)]


class Kind(NamedTuple):
    """A recurrent equation, and what it is made of."""

    layer: str
    gates: int
    step: Callable[[Any, State, Weights, Noise], State]
    has_memory: bool = False

    def check(self, dropout: RecurrentDropout, is_cell: bool) -> RecurrentDropout:
        """That record, if a layer of this kind can do what it says."""
        name = f"{self.layer}Cell" if is_cell else self.layer
        if not isinstance(dropout, RecurrentDropout):
            raise TypeError(f"{name}: dropout must be a RecurrentDropout, got {dropout!r}")
        dropout.check(name, self.gates, self.has_memory, is_cell)
        return dropout


def rnn(nonlinearity: str) -> Kind:
    """tanh or relu."""
    activations = {"tanh": ops.tanh, "relu": ops.relu}
    if nonlinearity not in activations:
        raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return Kind("RNN", 1, partial(rnn_step, activation=activations[nonlinearity]))


LSTM_KIND = Kind("LSTM", 4, lstm_step, has_memory=True)


def gru(reset_after: bool) -> Kind:
    """The reset gate after the product (PyTorch), or before it (Cho et al.)."""
    return Kind("GRU", 3, partial(gru_step, reset_after=bool(reset_after)))


def add_weights(
    module: Module, suffix: str, kind: Kind, sizes: tuple[int, int, int], bias: bool, init: Initialiser | None
) -> None:
    """PyTorch's parameters of one direction; sizes: of its input, its memory and what it gives."""
    inputs, hidden, given = sizes
    law, rows = fan_in_uniform(hidden), kind.gates * hidden
    setattr(module, f"weight_ih{suffix}", Parameter((rows, inputs), init or law))
    setattr(module, f"weight_hh{suffix}", Parameter((rows, given), init or law))
    for name in ("bias_ih", "bias_hh"):
        setattr(module, f"{name}{suffix}", Parameter((rows,), law) if bias else None)
    if given != hidden:
        setattr(module, f"weight_hr{suffix}", Parameter((given, hidden), init or law))


def add_dropout(module: Module, suffix: str, dropout: RecurrentDropout, gates: int) -> None:
    """The sites of one direction, or None where nothing in it is dropped."""
    sites = CellDropout(f"dropout{suffix}", dropout, gates)
    setattr(module, f"dropout{suffix}", sites if any(True for _ in sites.named_sites()) else None)


def begun(module: Module, suffix: str, kind: Kind, x: Any, draws: Draws) -> tuple[Any, Weights, Noise]:
    """What a run of one direction over x (L, rows, inputs) needs: input and weights after dropout, and its noise."""
    ih, hh, b_ih, b_hh, hr = (
        getattr(module, f"{name}{suffix}", None)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    )
    w = Weights(ih, hh, 0.0 if b_ih is None else b_ih, 0.0 if b_hh is None else b_hh, hr)
    sites = getattr(module, f"dropout{suffix}")
    if sites is None:
        return x, w, Noise()
    noise = sites.noise(draws, x, w.hh.shape[1], w.hh.shape[0] // kind.gates)
    return noise.input(x), w._replace(hh=sites.weights(draws, w.hh, x.shape[1])), noise


def into_gates(x: Any, w: Weights) -> Any:
    """W_ih x + b_ih at all steps at once: (L, rows, G H), for x (L, rows, D) or (G, L, rows, D)."""
    *lead, steps, rows, inputs = x.shape
    a = products(ops.reshape(x, shape=(*lead, steps * rows, inputs)), w.ih, w.bias_ih)
    return ops.reshape(a, shape=(steps, rows, -1))


class _Cell(Module):
    """One time step: x (N, inputs) and the state before it -> the state after it."""

    def __init__(
        self,
        kind: Kind,
        inputs: int,
        hidden: int,
        projection: int | None,
        bias: bool,
        dropout: RecurrentDropout | None,
        init: Initialiser | None,
    ) -> None:
        name = type(self).__name__
        self.kind, self.inputs = kind, whole_number(name, "inputs", inputs, 1)
        self.hidden = whole_number(name, "hidden", hidden, 1)
        self.given = projected(name, self.hidden, projection)
        add_weights(self, "", kind, (self.inputs, self.hidden, self.given), bias, init)
        add_dropout(self, "", kind.check(dropout or RecurrentDropout(), is_cell=True), kind.gates)

    def forward(self, x: Any, state: Any = None) -> Any:
        name = type(self).__name__
        x = self.placed(checked_array(name, x))
        if len(x.shape) != 2 or x.shape[1] != self.inputs:
            raise ValueError(f"{name}: x must be (N, {self.inputs}), one time step, got shape {x.shape}")
        rows = x.shape[0]
        shapes = ((rows, self.given), (rows, self.hidden))[: 1 + self.kind.has_memory]
        before, carried = opened(name, state, x, shapes)
        draws = Draws(self, carried)
        x, w, noise = begun(self, "", self.kind, ops.unsqueeze(x, 0), draws)
        after = self.kind.step(into_gates(x, w)[0], tuple(before), w, noise.at(0))
        return closed(list(after), draws.carried(1))

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.hidden}" + (f", projection={self.given}" if self.given != self.hidden else "")


def projected(name: str, hidden: int, projection: int | None) -> int:
    """How many units a layer gives: those of its projection, or all."""
    if projection is None:
        return hidden
    size = whole_number(name, "projection", projection, 1)
    if size >= hidden:
        raise ValueError(f"{name}: projection must be smaller than hidden, {hidden}, got {size}; leave it out")
    return size


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.

    Shapes: x (N, inputs), h (N, hidden), 0 where not given -> h' (N, hidden). weight_ih (hidden, inputs), weight_hh
        (hidden, hidden), bias_ih and bias_hh (hidden,): PyTorch's, with its first numbers; `init` is for the weights.
    Draws: as `dropout` says. A state that this cell gave belongs to a sequence: passed on, it goes on with the masks of
        that sequence; without a state, or with another one, a sequence begins.
    Raises: ValueError for shapes that do not fit, or a dropout that a cell of this kind cannot do.
    Reference: Elman, "Finding structure in time" (1990).

    >>> import numpy as np
    >>> cell = RNNCell(3, 4).seed(0)
    >>> h = cell(np.ones((2, 3), np.float32))
    >>> cell(np.ones((2, 3), np.float32), h).shape
    (2, 4)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        dropout: RecurrentDropout | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(rnn(nonlinearity), inputs, hidden, None, bias, dropout, init)


class LSTMCell(_Cell):
    """i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g; h' = o tanh(c').

    With a projection h' = W_hr (o tanh(c')).
    Shapes: x (N, inputs), state (h, c) of (N, hidden) each, h (N, projection) with one; 0 where not given -> the same.
        weight_ih (4 hidden, inputs), weight_hh (4 hidden, hidden), biases (4 hidden,), the gates in the order i, f, g,
        o, weight_hr (projection, hidden): PyTorch's, with its first numbers; `init` is for the weights.
    Draws: as `dropout` says. A state that this cell gave belongs to a sequence: passed on, it goes on with the masks of
        that sequence; without a state, or with another one, a sequence begins.
    Raises: TypeError for a state that is no pair; ValueError for shapes that do not fit.
    Reference: Hochreiter & Schmidhuber, "Long short-term memory" (1997); Gers et al., "Learning to forget" (2000);
        Sak et al., "Long short-term memory recurrent neural network architectures for large scale acoustic modeling"
        (2014), for the projection.

    >>> import numpy as np
    >>> h, c = LSTMCell(3, 4, projection=2).seed(0)(np.ones((5, 3), np.float32))
    >>> h.shape, c.shape
    ((5, 2), (5, 4))
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        bias: bool = True,
        projection: int | None = None,
        dropout: RecurrentDropout | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(LSTM_KIND, inputs, hidden, projection, bias, dropout, init)


class GRUCell(_Cell):
    """r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh); h' = z h + (1 - z) n.

    The candidate is n = tanh(W_in x + b_in + r (W_hn h + b_hn)) with reset_after=True, the form of cuDNN and PyTorch,
    and n = tanh(W_in x + b_in + W_hn (r h) + b_hn) with reset_after=False, the form of Cho et al.
    Shapes: x (N, inputs), h (N, hidden), 0 where not given -> h' (N, hidden). weight_ih (3 hidden, inputs), weight_hh
        (3 hidden, hidden), biases (3 hidden,), the gates in the order r, z, n: PyTorch's, with its first numbers;
        `init` is for the weights.
    Draws: as `dropout` says. A state that this cell gave belongs to a sequence: passed on, it goes on with the masks of
        that sequence; without a state, or with another one, a sequence begins.
    Raises: ValueError for shapes that do not fit, or a dropout that a cell of this kind cannot do.
    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
        translation" (2014).

    >>> import numpy as np
    >>> GRUCell(3, 4).seed(0)(np.ones((2, 3), np.float32)).shape
    (2, 4)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        bias: bool = True,
        reset_after: bool = True,
        dropout: RecurrentDropout | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(gru(reset_after), inputs, hidden, None, bias, dropout, init)
