"""Rows for recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import nn, ops
from ....nn import RecurrentDropout
from ..case import LayerCase, normal
from ..recurrent_reference import (
    D,
    H,
    L,
    N,
    P,
    flat,
    in_pieces,
    language_model,
    layered,
    one_by_one,
    papers,
    parts,
    pytorchs,
    pytorchs_cell,
)

LENGTHS = (2, 3)
WORDS = 5
IDS = np.array([[0, 3], [4, 0], [2, 2]])  # (L, N)


class Whole(nn.Module):
    """A recurrent layer, and all that it gives as one flat array: the sequence and the last state.

    chunks: how many steps each call reads; the state goes from call to call.
    """

    def __init__(self, layer: nn.Module, lengths: Sequence[int] | None = None, chunks: Sequence[int] = ()) -> None:
        self.layer, self.lengths, self.chunks = layer, lengths, chunks

    def forward(self, x: Any, *given: Any) -> Any:
        state: Any = given if len(given) > 1 else given[0] if given else None
        if not self.chunks:
            y, state = self.layer(x, state, lengths=self.lengths)
            return flat(ops.concatenate, y, *parts(state))
        ys: list[Any] = []
        at = 0
        for steps in self.chunks:
            y, state = self.layer(x[at : at + steps], state)
            ys, at = [*ys, y], at + steps
        return flat(ops.concatenate, ops.concatenate(ys), *parts(state))


class Steps(nn.Module):
    """A cell in a loop over x (L, N, D), and its states as one flat array."""

    def __init__(self, cell: nn.Module) -> None:
        self.layer = cell

    def forward(self, x: Any, *given: Any) -> Any:
        state: Any = given if len(given) > 1 else given[0] if given else None
        states: list[Any] = []
        for t in range(x.shape[0]):
            state = self.layer(x[t], state)
            states += parts(state)
        return flat(ops.concatenate, *states)


class LanguageModel(nn.Module):
    """Ids (L, N) -> scores (L, N, words): an LSTM between an embedding and the same embedding."""

    def __init__(self) -> None:
        self.embedding = nn.Parameter((WORDS, H), nn.init.fan_in_uniform(H))
        self.drop = nn.EmbeddingDropout(P)
        self.layer = nn.LSTM(H, H, dropout=RecurrentDropout(input=P, weight=P, output=P))

    def forward(self, ids: Any) -> Any:
        return ops.linear(self.layer(self.drop(self.embedding, ids))[0], self.embedding, 0.0)


def x_only(batch_first: bool = False) -> Callable[[], Any]:
    """An input without a state."""
    return lambda: (normal(*((N, L) if batch_first else (L, N)), D),)


def with_state(kind: str, runs: int = 0, given: int = H) -> Callable[[], Any]:
    """An input and a first state; runs 0 is a cell's."""
    lead = (runs,) if runs else ()
    states = [normal(*lead, N, given, seed=1), normal(*lead, N, H, seed=2)]
    return lambda: (normal(L, N, D), *states[: 2 if kind == "LSTM" else 1])


def row(layer: str, option: str, make: Callable[[], nn.Module], reference: Any, inputs: Any = None) -> LayerCase:
    """A row with the usual input."""
    return LayerCase(layer=layer, option=option, make=make, inputs=inputs or x_only(), reference=reference)


def around(kind: str, option: str, *records: RecurrentDropout) -> LayerCase:
    """A row for layers with a record each, and PyTorch's layers with the same dropout around them."""
    make = lambda: Whole(getattr(nn, kind)(D, H, len(records), dropout=records))  # noqa: E731
    names = ("input", "weight", "output", "between")
    return row(kind, option, make, layered(kind, *([n for n in names if getattr(each, n)] for each in records)))


def in_both_directions(kind: str, option: str, *names: str, lengths: Sequence[int] | None = None) -> LayerCase:
    """A row for one bidirectional layer that drops these, with each sequence by itself beside it."""
    rates: dict[str, Any] = dict.fromkeys(names, P)
    record = RecurrentDropout(**rates)
    make = lambda: Whole(getattr(nn, kind)(D, H, bidirectional=True, dropout=record), lengths)  # noqa: E731
    return row(kind, option, make, one_by_one(kind, names, lengths or (L,) * N))


def dropping(kind: str, option: str, *names: str, **settings: Any) -> LayerCase:
    """A row for one layer that drops these, with the paper's equations beside it."""
    reset = {"reset_after": settings.pop("reset_after")} if "reset_after" in settings else {}
    rates: dict[str, Any] = dict.fromkeys(names, P)
    record = RecurrentDropout(**rates, **settings)
    make = lambda: Whole(getattr(nn, kind)(D, H, dropout=record, **reset))  # noqa: E731
    return row(kind, option, make, papers(kind, *names, **reset))


AWD = [RecurrentDropout(input=P, weight=P, output=P), RecurrentDropout(weight=P, output=P)]
ALL_OF_AN_LSTM = ("input", "state", "update", "zoneout", "zoneout_memory")
CHUNKED = RecurrentDropout(state=P, zoneout=P)

CASES = (
    row("RNN", "tanh", lambda: Whole(nn.RNN(D, H)), pytorchs("RNN")),
    row(
        "RNN",
        "relu, no bias, initial state",
        lambda: Whole(nn.RNN(D, H, nonlinearity="relu", bias=False)),
        pytorchs("RNN", nonlinearity="relu", bias=False),
        with_state("RNN", 1),
    ),
    row(
        "RNN",
        "2 layers, bidirectional, lengths",
        lambda: Whole(nn.RNN(D, H, 2, bidirectional=True), LENGTHS),
        pytorchs("RNN", LENGTHS, num_layers=2, bidirectional=True),
    ),
    dropping("RNN", "Gal's input and state", "input", "state"),
    dropping("RNN", "zoneout", "zoneout"),
    around("RNN", "weight drop", RecurrentDropout(weight=P)),
    around("RNN", "AWD: input, weights, output of 2 layers", *AWD),
    around("RNN", "between 2 layers", RecurrentDropout(between=P), RecurrentDropout()),
    in_both_directions("RNN", "bidirectional, lengths, state and zoneout", "state", "zoneout", lengths=LENGTHS),
    row(
        "RNN",
        "in chunks of 2 and 1 steps, one mask a sequence",
        lambda: Whole(nn.RNN(D, H, dropout=CHUNKED, masks_per="sequence"), chunks=(2, 1)),
        in_pieces("RNN", ("state", "zoneout"), 2),
    ),
    row("LSTM", "plain", lambda: Whole(nn.LSTM(D, H)), pytorchs("LSTM")),
    row("LSTM", "no bias", lambda: Whole(nn.LSTM(D, H, bias=False)), pytorchs("LSTM", bias=False)),
    row("LSTM", "initial state", lambda: Whole(nn.LSTM(D, H)), pytorchs("LSTM"), with_state("LSTM", 1)),
    row("LSTM", "2 layers", lambda: Whole(nn.LSTM(D, H, 2)), pytorchs("LSTM", num_layers=2)),
    row(
        "LSTM",
        "bidirectional, batch first",
        lambda: Whole(nn.LSTM(D, H, bidirectional=True, batch_first=True)),
        pytorchs("LSTM", bidirectional=True, batch_first=True),
        x_only(batch_first=True),
    ),
    row(
        "LSTM",
        "lengths",
        lambda: Whole(nn.LSTM(D, H), LENGTHS),
        pytorchs("LSTM", LENGTHS),
    ),
    row(
        "LSTM",
        "2 layers, bidirectional, lengths, initial state",
        lambda: Whole(nn.LSTM(D, H, 2, bidirectional=True), LENGTHS),
        pytorchs("LSTM", LENGTHS, num_layers=2, bidirectional=True),
        with_state("LSTM", 4),
    ),
    row(
        "LSTM",
        "projection, initial state",
        lambda: Whole(nn.LSTM(D, H, projection=2)),
        pytorchs("LSTM", proj_size=2),
        with_state("LSTM", 1, given=2),
    ),
    row(
        "LSTM",
        "projection, 2 layers, bidirectional, batch first, lengths",
        lambda: Whole(nn.LSTM(D, H, 2, projection=2, bidirectional=True, batch_first=True), LENGTHS),
        pytorchs("LSTM", LENGTHS, num_layers=2, proj_size=2, bidirectional=True, batch_first=True),
        x_only(batch_first=True),
    ),
    row(
        "LSTM",
        "PyTorch's dropout between 2 layers",
        lambda: Whole(nn.LSTM(D, H, 2, dropout=P)),
        layered("LSTM", ["between"], []),
    ),
    around("LSTM", "Gal's input", RecurrentDropout(input=P)),
    around("LSTM", "weight drop", RecurrentDropout(weight=P)),
    around("LSTM", "locked output", RecurrentDropout(output=P)),
    around("LSTM", "AWD: input, weights, output of 2 layers", *AWD),
    row("LSTM", "AWD with rows of a tied embedding", LanguageModel, language_model, lambda: (IDS,)),
    dropping("LSTM", "Gal's state", "state"),
    dropping("LSTM", "Gal's input and state, a mask for each gate", "input", "state", tied=False),
    dropping("LSTM", "Semeniuta's update, each step", "update"),
    dropping("LSTM", "Semeniuta's update, each sequence", "update", update_locked=True),
    dropping("LSTM", "Moon's memory", "memory"),
    dropping("LSTM", "zoneout of h", "zoneout"),
    dropping("LSTM", "zoneout of c", "zoneout_memory"),
    dropping("LSTM", "everything at once, tied", *ALL_OF_AN_LSTM),
    dropping("LSTM", "everything at once, a mask for each gate", *ALL_OF_AN_LSTM, tied=False),
    row(
        "LSTM",
        "projection with state and zoneout",
        lambda: Whole(nn.LSTM(D, H, projection=2, dropout=CHUNKED)),
        papers("LSTM", "state", "zoneout", given=2),
    ),
    in_both_directions(
        "LSTM", "bidirectional, lengths, state, update and zoneout", "state", "update", "zoneout", lengths=LENGTHS
    ),
    in_both_directions("LSTM", "bidirectional, Gal's state", "state"),
    in_both_directions("LSTM", "bidirectional, lengths, Moon's memory", "memory", lengths=LENGTHS),
    row(
        "LSTM",
        "in chunks of 1 and 2 steps, one mask a sequence",
        lambda: Whole(nn.LSTM(D, H, dropout=CHUNKED, masks_per="sequence"), chunks=(1, 2)),
        in_pieces("LSTM", ("state", "zoneout"), 2),
    ),
    row("GRU", "reset after (PyTorch)", lambda: Whole(nn.GRU(D, H)), pytorchs("GRU")),
    row(
        "GRU",
        "reset before (Cho)",
        lambda: Whole(nn.GRU(D, H, reset_after=False)),
        papers("GRU", reset_after=False),
    ),
    row(
        "GRU",
        "reset before, no bias",
        lambda: Whole(nn.GRU(D, H, reset_after=False, bias=False)),
        papers("GRU", reset_after=False),
    ),
    row(
        "GRU",
        "2 layers, bidirectional, batch first, lengths",
        lambda: Whole(nn.GRU(D, H, 2, bidirectional=True, batch_first=True), LENGTHS),
        pytorchs("GRU", LENGTHS, num_layers=2, bidirectional=True, batch_first=True),
        x_only(batch_first=True),
    ),
    row("GRU", "initial state", lambda: Whole(nn.GRU(D, H)), pytorchs("GRU"), with_state("GRU", 1)),
    dropping("GRU", "Gal's input and state, reset after", "input", "state"),
    dropping("GRU", "Gal's input and state, reset before", "input", "state", reset_after=False),
    dropping("GRU", "a mask for each gate, reset after", "input", "state", tied=False),
    dropping("GRU", "a mask for each gate, reset before", "input", "state", tied=False, reset_after=False),
    dropping("GRU", "Semeniuta's update, each step", "update"),
    dropping("GRU", "Semeniuta's update, each sequence, and zoneout", "update", "zoneout", update_locked=True),
    dropping("GRU", "zoneout", "zoneout"),
    around("GRU", "weight drop", RecurrentDropout(weight=P)),
    around("GRU", "AWD: input, weights, output of 2 layers", *AWD),
    around("GRU", "between 2 layers", RecurrentDropout(between=P), RecurrentDropout()),
    in_both_directions(
        "GRU", "bidirectional, lengths, state, update and zoneout", "state", "update", "zoneout", lengths=LENGTHS
    ),
    row(
        "GRU",
        "in chunks of 2 and 1 steps, one mask a sequence",
        lambda: Whole(nn.GRU(D, H, dropout=CHUNKED, masks_per="sequence"), chunks=(2, 1)),
        in_pieces("GRU", ("state", "zoneout"), 2),
    ),
    row("RNNCell", "tanh", lambda: Steps(nn.RNNCell(D, H)), pytorchs_cell("RNNCell")),
    row(
        "RNNCell",
        "relu, initial state",
        lambda: Steps(nn.RNNCell(D, H, nonlinearity="relu")),
        pytorchs_cell("RNNCell", nonlinearity="relu"),
        with_state("RNN"),
    ),
    row("LSTMCell", "initial state", lambda: Steps(nn.LSTMCell(D, H)), pytorchs_cell("LSTMCell"), with_state("LSTM")),
    row(
        "RNNCell",
        "state and zoneout in a loop",
        lambda: Steps(nn.RNNCell(D, H, dropout=CHUNKED)),
        in_pieces("RNN", ("state", "zoneout"), L, cell=True),
    ),
    row("LSTMCell", "no bias", lambda: Steps(nn.LSTMCell(D, H, bias=False)), pytorchs_cell("LSTMCell", bias=False)),
    row(
        "LSTMCell",
        "state and zoneout in a loop",
        lambda: Steps(nn.LSTMCell(D, H, dropout=CHUNKED)),
        in_pieces("LSTM", ("state", "zoneout"), L, cell=True),
    ),
    row("GRUCell", "initial state", lambda: Steps(nn.GRUCell(D, H)), pytorchs_cell("GRUCell"), with_state("GRU")),
    row(
        "GRUCell",
        "state, a mask for each gate, in a loop",
        lambda: Steps(nn.GRUCell(D, H, dropout=RecurrentDropout(state=P, tied=False))),
        in_pieces("GRU", ("state",), L, cell=True),
    ),
)
