"""Recurrent sequences: the cells of nn/cells.py over time, layers and directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from .. import ops, variants
from ..streams import lying_as
from ..variants.door import checked_array, whole_number
from .cells import LSTM_KIND, Kind, Weights, add_dropout, add_weights, begun, gru, into_gates, projected, rnn
from .init import Initialiser
from .module import Module, by_sample
from .packing import checked_lengths
from .recurrent_dropout import BEHIND_THE_LAYER, Draws, Noise, Rate, RecurrentDropout, RecurrentSite
from .recurrent_state import closed, opened

__all__ = ["GRU", "LSTM", "RNN"]

Dropouts: TypeAlias = Rate | RecurrentDropout | Sequence[RecurrentDropout]


class _Recurrent(Module):
    """Cells over time. Parameters are PyTorch's: weight_ih_l0, weight_hh_l0_reverse, ..."""

    def __init__(
        self,
        kind: Kind,
        inputs: int,
        hidden: int,
        layers: int,
        projection: int | None,
        bidirectional: bool,
        batch_first: bool,
        bias: bool,
        dropout: Dropouts,
        masks_per: str,
        init: Initialiser | None,
    ) -> None:
        name = type(self).__name__
        self.kind, self.batch_first, self.masks_per = kind, batch_first, masks_per
        self.inputs, self.hidden = whole_number(name, "inputs", inputs, 1), whole_number(name, "hidden", hidden, 1)
        self.layers, self.given = whole_number(name, "layers", layers, 1), projected(name, self.hidden, projection)
        self.directions = ("", "_reverse") if bidirectional else ("",)
        if masks_per not in ("chunk", "sequence"):
            raise ValueError(f"{name}: masks_per must be 'chunk' or 'sequence', got {masks_per!r}")
        if masks_per == "sequence" and bidirectional:
            raise ValueError(
                f"{name}: a reverse direction needs the whole sequence; masks_per='sequence' is for chunks"
            )
        for k, record in enumerate(each_layer(name, dropout, self.layers)):
            self._add_layer(k, kind.check(record, is_cell=False), bias, init)

    def _add_layer(self, k: int, dropout: RecurrentDropout, bias: bool, init: Initialiser | None) -> None:
        inputs = self.given * len(self.directions) if k else self.inputs
        for direction in self.directions:
            suffix = f"_l{k}{direction}"
            add_weights(self, suffix, self.kind, (inputs, self.hidden, self.given), bias, init)
            add_dropout(self, suffix, dropout, self.kind.gates)
        for field in BEHIND_THE_LAYER:
            p = getattr(dropout, field)
            setattr(self, f"{field}_l{k}", RecurrentSite(f"{field}_l{k}", p) if p else None)

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        x = self._time_first(self.placed(checked_array(type(self).__name__, x)))  # (L, N, inputs)
        valid = self._valid(x, lengths)
        if valid is not None:
            x = ops.where(valid, x, 0.0)  # nothing behind the end of a sequence reaches a product
        runs, rows = self.layers * len(self.directions), x.shape[1]
        shapes = ((runs, rows, self.given), (runs, rows, self.hidden))[: 1 + self.kind.has_memory]
        before, carried = opened(type(self).__name__, state, x, shapes)
        draws = Draws(self, carried if self.masks_per == "sequence" else None)
        after: list[Any] = []
        for k in range(self.layers):
            given = []
            for direction in self.directions:
                first = tuple(part[len(after)] for part in before)
                y, last = self._run(x, f"_l{k}{direction}", first, draws, valid)
                given.append(y)
                after.append(last)
            x = given[0] if len(given) == 1 else ops.concatenate(given, axis=-1)  # (L, N, directions * H)
            x = self._behind(k, x, draws)
        last = [ops.stack(parts) for parts in zip(*after, strict=True)]
        state = closed(last, draws.carried(x.shape[0]) if self.masks_per == "sequence" else None)
        return ops.swapaxes(x, a=0, b=1) if self.batch_first else x, state

    def _time_first(self, x: Any) -> Any:
        if len(x.shape) != 3 or x.shape[2] != self.inputs or not x.shape[self.batch_first]:
            axes = "N, L" if self.batch_first else "L, N"
            name = type(self).__name__
            raise ValueError(f"{name}: x must be ({axes}, {self.inputs}) with L at least 1, got shape {x.shape}")
        return ops.swapaxes(x, a=0, b=1) if self.batch_first else x

    def _valid(self, x: Any, lengths: Any) -> Any:
        """Which steps belong to a sequence, (L, N, 1); None where all do."""
        if lengths is None:
            return None
        steps, rows, _ = x.shape
        numbers = x.backend.xp.asarray(checked_lengths(type(self).__name__, lengths, rows, steps))
        return (x.backend.xp.arange(steps)[:, None] < numbers)[..., None]

    def _run(self, x: Any, suffix: str, state: tuple[Any, ...], draws: Draws, valid: Any) -> tuple[Any, Any]:
        """One direction of one layer: (L, N, H), and its last state."""
        reverse = suffix.endswith("_reverse")
        x, w, noise = begun(self, suffix, self.kind, x, draws)
        if valid is None and self.kind is LSTM_KIND and _runs_fused(x, w, noise):
            return _fused(x, state, w, noise, reverse)
        return over_time(self.kind, into_gates(x, w), state, w, noise, valid, reverse)

    def _behind(self, k: int, x: Any, draws: Draws) -> Any:
        """What layer k gives, after dropout."""
        locked, between = (getattr(self, f"{field}_l{k}") for field in BEHIND_THE_LAYER)
        if locked is not None:
            p, mask = draws.mask(locked, x, (1, *x.shape[1:]))
            x = x if mask is None else variants.dropout(x, p, mask=mask)
        where = None if between is None else draws.address(between, x.shape, fresh=True)
        if where is None:
            return x
        key, index = where
        p = between.rate(between.p, key)
        with lying_as((0, 1, 2)):
            return by_sample(lambda x: variants.dropout(x, p, key=key, index=index), x, key, batch_axis=1)

    def extra_repr(self) -> str:
        projection = f", projection={self.given}" if self.given != self.hidden else ""
        directions = ", bidirectional" if len(self.directions) == 2 else ""
        return f"{self.inputs} -> {self.hidden}, layers={self.layers}{projection}{directions}"


def each_layer(name: str, dropout: Any, layers: int) -> list[RecurrentDropout]:
    """The record of every layer."""
    if isinstance(dropout, (list, tuple)):
        if len(dropout) != layers or not all(isinstance(d, RecurrentDropout) for d in dropout):
            raise ValueError(f"{name}: dropout must have a RecurrentDropout for each of {layers} layers, got {dropout}")
        if dropout[-1].between:
            raise ValueError(f"{name}: no layer follows the last, so `between` drops nothing there; use output")
        return list(dropout)
    record = dropout if isinstance(dropout, RecurrentDropout) else RecurrentDropout(between=dropout)
    if layers == 1 and record.between:
        raise ValueError(
            f"{name}: dropout between layers needs two layers or more; to drop what one layer gives write "
            f"dropout=RecurrentDropout(output=...), or nn.Dropout behind it; for its state RecurrentDropout(state=...)"
        )
    return [record] * (layers - 1) + [replace(record, between=0.0)]


def over_time(
    kind: Kind, a: Any, state: tuple[Any, ...], w: Weights, noise: Noise, valid: Any, reverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    """The cell at each step of a (L, N, G H), what the input gives to the gates: h (L, N, H), and the last state.

    Behind the end of a sequence h is 0 and the state stays: in reverse, a sequence begins at its own end.
    """
    steps = a.shape[0]
    hs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        new = kind.step(a[t], state, w, noise.at(t))
        if valid is None:
            state, hs[t] = new, new[0]
        else:
            state = tuple(ops.where(valid[t], n, old) for n, old in zip(new, state, strict=True))
            hs[t] = ops.where(valid[t], new[0], 0.0)
    return ops.stack(hs), state


def _runs_fused(x: Any, w: Weights, noise: Noise) -> bool:
    """Whether `ops.lstm_sequence` does all that an LSTM does within its loop: one mask of the state for all gates."""
    locked = noise.drawn.get("state")
    tied = len(x.shape) == 3 and (locked is None or locked.mask.ndim == 2)
    return tied and w.hr is None and len(w.hh.shape) == 2


def _fused(x: Any, state: tuple[Any, ...], w: Weights, noise: Noise, reverse: bool) -> tuple[Any, tuple[Any, ...]]:
    """The same as `over_time`, in one step of the graph."""
    bias = w.bias_ih + w.bias_hh
    y = ops.lstm_sequence(x, *state, w.ih, w.hh, bias, reverse=reverse, **noise.of_a_sequence())  # (L + 2, N, H)
    h = y[:-2] if reverse else y[1:-1]
    return h, (h[0] if reverse else h[-1], y[-1])


class RNN(_Recurrent):
    """A simple recurrent network: `RNNCell` over time, in layers. Returns (y, h).

    Math: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu; layer k + 1 reads what layer k gives.
    Shapes: x (L, N, inputs), or (N, L, inputs) with `batch_first`; the state h (layers * directions, N, hidden), 0
        where not given; y (L, N, directions * hidden), or with the batch first; the last state as the first. `lengths`
        (N,) says how many steps of each sequence count: beyond them y is 0 and the state stays, and the reverse
        direction begins at the sequence's own end; equal to packed sequences in PyTorch, in any order and without
        packing. Parameters have PyTorch's names, layouts and first numbers; `init` is for the weights.
    Draws: `dropout` is a number as in PyTorch (a fresh mask at each step between layers, none behind the last), one
        RecurrentDropout for all layers, or a list with one for each. Noise is numbered by time, sequence and feature,
        (L, N, D), whatever `batch_first`; each direction has its own. masks_per="chunk" draws anew at every call. With
        masks_per="sequence" the state carries the masks along: a sequence that is read in chunks, each with the state
        that the last one gave (or that state's `.detach()`), is dropped as if it were read at once; without a state,
        or with one from elsewhere, a sequence begins.
    Raises: TypeError, ValueError for what does not fit, and for a dropout that drops nothing or that this kind of layer
        cannot do.
    Reference: Elman, "Finding structure in time" (1990); for dropout see `RecurrentDropout`.

    >>> import numpy as np
    >>> y, h = RNN(3, 4, layers=2).seed(0)(np.ones((5, 2, 3), np.float32))
    >>> y.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
        bias: bool = True,
        dropout: Dropouts = 0.0,
        masks_per: Literal["chunk", "sequence"] = "chunk",
        init: Initialiser | None = None,
    ) -> None:
        kind = rnn(nonlinearity)
        super().__init__(kind, inputs, hidden, layers, None, bidirectional, batch_first, bias, dropout, masks_per, init)


class LSTM(_Recurrent):
    """Long short-term memory: `LSTMCell` over time, in layers. Returns (y, (h, c)).

    Math: i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh; c_t = f c_{t-1} + i g;
        h_t = o tanh(c_t), with a projection h_t = W_hr (o tanh(c_t)).
    Shapes: as `RNN`; the state is a pair (h, c), of which c is (layers * directions, N, hidden) and h has `projection`
        units where there is one, as has y.
    Draws, Raises: as `RNN`.
    Reference: Hochreiter & Schmidhuber, "Long short-term memory" (1997); Sak et al. (2014) for the projection; for
        dropout see `RecurrentDropout`.

    >>> import numpy as np
    >>> awd = [RecurrentDropout(input=0.4, weight=0.5, output=0.25), RecurrentDropout(weight=0.5, output=0.4)]
    >>> y, state = LSTM(3, 4, layers=2, dropout=awd, batch_first=True).seed(0)(np.ones((2, 5, 3), np.float32))
    >>> y.shape, state.h.shape, state.detach().c.shape
    ((2, 5, 4), (2, 2, 4), (2, 2, 4))
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        *,
        projection: int | None = None,
        bidirectional: bool = False,
        batch_first: bool = False,
        bias: bool = True,
        dropout: Dropouts = 0.0,
        masks_per: Literal["chunk", "sequence"] = "chunk",
        init: Initialiser | None = None,
    ) -> None:
        size = projection
        super().__init__(
            LSTM_KIND, inputs, hidden, layers, size, bidirectional, batch_first, bias, dropout, masks_per, init
        )


class GRU(_Recurrent):
    """Gated recurrent units: `GRUCell` over time, in layers. Returns (y, h).

    Math: r, z = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh); h_t = z h_{t-1} + (1 - z) n. reset_after=True, the form
        of cuDNN and PyTorch: n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn)). reset_after=False, the form of Cho et
        al.: n = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn). The weights of the one are not those of the other.
    Shapes, Draws, Raises: as `RNN`.
    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
        translation" (2014); for dropout see `RecurrentDropout`.

    >>> import numpy as np
    >>> y, h = GRU(3, 4, bidirectional=True).seed(0)(np.ones((5, 2, 3), np.float32), lengths=[5, 3])
    >>> y.shape, h.shape, bool((y.data[3:, 1] == 0).all())
    ((5, 2, 8), (2, 2, 4), True)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        *,
        reset_after: bool = True,
        bidirectional: bool = False,
        batch_first: bool = False,
        bias: bool = True,
        dropout: Dropouts = 0.0,
        masks_per: Literal["chunk", "sequence"] = "chunk",
        init: Initialiser | None = None,
    ) -> None:
        kind = gru(reset_after)
        super().__init__(kind, inputs, hidden, layers, None, bidirectional, batch_first, bias, dropout, masks_per, init)
