"""The library's recurrent layers under `diagnose`: silence for the right use, a finding for the wrong one."""

import numpy as np
import pytest

import puredrop
from puredrop import nn, ops
from puredrop.nn import RecurrentDropout, diagnose

FRESH = "a fresh mask at every step on a recurrent state"
SEQUENCE = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)  # (L, N, D)

GATED = {
    "update": RecurrentDropout(update=0.5),
    "update, locked": RecurrentDropout(update=0.5, update_locked=True),
    "untied": RecurrentDropout(input=0.6, state=0.6, tied=False),
}
EVERY = {
    "input": RecurrentDropout(input=0.6),
    "state": RecurrentDropout(state=0.6),
    "zoneout": RecurrentDropout(zoneout=0.6),
    "weight": RecurrentDropout(weight=0.6),
    "output": RecurrentDropout(output=0.5),
    "several": RecurrentDropout(input=0.5, state=0.5, zoneout=0.5, weight=0.5, output=0.5),
}
OF_A_MEMORY = {
    "memory": RecurrentDropout(memory=0.5),
    "zoneout_memory": RecurrentDropout(zoneout_memory=0.5),
    "all": RecurrentDropout(state=0.5, update=0.5, zoneout=0.5, zoneout_memory=0.5, weight=0.5, output=0.5),
}
RECORDS = [
    *[("RNN", name, record) for name, record in EVERY.items()],
    *[("GRU", name, record) for name, record in {**EVERY, **GATED}.items()],
    *[("LSTM", name, record) for name, record in {**EVERY, **GATED, **OF_A_MEMORY}.items()],
]
IDS = [f"{kind}-{name}" for kind, name, _ in RECORDS]


def found(model, *inputs):
    return [f"{finding.layer}|{finding.problem}" for finding in diagnose(model.seed(0), *inputs)]


class Tagger(nn.Module):
    """A recurrent layer, read in one call or in chunks, and a product behind it; gives its last state as well."""

    def __init__(self, layer, chunk=None, lengths=None):
        self.layer, self.chunk, self.lengths = layer, chunk or len(SEQUENCE), lengths
        self.out = nn.Linear(layer.given * len(layer.directions), 2)

    def forward(self, x):
        state, ys = None, []
        for t in range(0, x.shape[0], self.chunk):
            y, state = self.layer(x[t : t + self.chunk], state, lengths=self.lengths)
            ys.append(self.out(y))
        return ops.concatenate(ys), state


class Loop(nn.Module):
    """A cell in a loop; `losing` the masks of the sequence, since what is computed from a state carries none."""

    def __init__(self, cell, losing=False):
        self.cell, self.losing, self.out = cell, losing, nn.Linear(cell.given, 2)

    def forward(self, x):
        state = None
        for t in range(x.shape[0]):
            state = self.cell(x[t], state)
            h = state[0] if isinstance(state, tuple) else state
            if self.losing:
                state = (h * 1.0, state[1]) if isinstance(state, tuple) else h * 1.0
        return self.out(h)


@pytest.mark.parametrize(("kind", "name", "record"), RECORDS, ids=IDS)
def test_every_option_used_as_it_is_meant_is_sound(kind, name, record):
    layer = getattr(nn, kind)
    assert found(Tagger(layer(4, 5, dropout=record)), SEQUENCE) == []
    assert found(Tagger(layer(4, 5, 2, bidirectional=True, dropout=record), lengths=[5, 3, 2]), SEQUENCE) == []
    assert found(layer(4, 5, dropout=record), SEQUENCE) == []
    assert found(layer(4, 5, dropout=record)) == []


@pytest.mark.parametrize(("kind", "name", "record"), RECORDS, ids=IDS)
def test_chunks_with_a_mask_each_are_sound_unless_they_are_single_steps(kind, name, record):
    """One mask a chunk, and the gradient through all of them: at chunks of one step that is the naive mask."""
    layer = getattr(nn, kind)
    assert found(Tagger(layer(4, 5, dropout=record), chunk=2), SEQUENCE) == []
    assert found(Tagger(layer(4, 5, dropout=record, masks_per="sequence"), chunk=1), SEQUENCE) == []
    assert found(Tagger(layer(4, 5, dropout=record), chunk=1), SEQUENCE) == [f"layer|{FRESH}"] * bool(record.state)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("rate", ["input", "state", "zoneout", "weight"])
def test_cells_in_a_loop_are_sound_as_long_as_their_state_carries_the_masks(kind, rate):
    cells = [getattr(nn, kind)(4, 5, dropout=RecurrentDropout(**{rate: 0.5})) for _ in range(2)]
    assert found(Loop(cells[0]), SEQUENCE) == []
    assert found(Loop(cells[1], losing=True), SEQUENCE) == [f"cell|{FRESH}"] * (rate == "state")


def test_dropout_between_layers_and_projections_are_sound():
    assert found(Tagger(nn.LSTM(4, 5, 3, dropout=0.5)), SEQUENCE) == []
    record = RecurrentDropout(state=0.5, between=0.5)
    assert found(Tagger(nn.LSTM(4, 5, 2, projection=3, dropout=record)), SEQUENCE) == []


class DropoutRoundTheLayer(nn.Module):
    """The mistake with PyTorch's API: the layer step by step, with `Dropout` on its state."""

    def __init__(self):
        self.layer, self.dropout, self.out = nn.LSTM(4, 5), nn.Dropout(0.5), nn.Linear(5, 2)

    def forward(self, x):
        state = None
        for t in range(x.shape[0]):
            y, (h, c) = self.layer(x[t : t + 1], state)
            state = self.dropout(h), c
        return self.out(y)


def test_a_dropout_layer_on_the_state_is_found_although_the_layer_is_fused():
    assert found(DropoutRoundTheLayer(), SEQUENCE) == [f"dropout|{FRESH}"]


class Tied(nn.Module):
    """A language model whose embedding is its output matrix."""

    def __init__(self, output):
        self.embedding = nn.Parameter((7, 5), nn.init.fan_in_uniform(5))
        self.drop = nn.EmbeddingDropout(0.5)
        self.layer = nn.LSTM(5, 5, dropout=RecurrentDropout(input=0.5, weight=0.5, output=output))

    def forward(self, ids):
        return ops.linear(self.layer(self.drop(self.embedding, ids))[0], self.embedding, 0.0)


@pytest.mark.parametrize(("output", "expected"), [(0.4, []), (0.6, ["layer|a high rate (p = 0.6) before the output"])])
def test_a_tied_output_matrix_is_no_recurrence(output, expected):
    assert found(Tied(output), np.array([[0, 3, 2], [6, 1, 1], [5, 5, 4], [0, 2, 2]])) == expected


def test_what_a_model_gives_is_still_seen_behind_a_recurrent_layer():
    class Dropping(nn.Module):
        def __init__(self):
            self.layer = nn.LSTM(4, 5, dropout=RecurrentDropout(output=0.4))

        def forward(self, x):
            return self.layer(x)[0]

    assert found(Dropping(), SEQUENCE) == ["layer|drops the outputs of the model"]


def test_a_dropped_state_that_is_read_by_a_norm_shifts_its_variance():
    class Normed(nn.Module):
        def __init__(self):
            self.layer = nn.GRU(4, 5, dropout=RecurrentDropout(output=0.5))
            self.norm, self.out = nn.BatchNorm1d(5), nn.Linear(5, 2)

        def forward(self, x):
            return self.out(self.norm(self.layer(x)[0][-1]))

    assert found(Normed(), SEQUENCE) == ["layer|dropout before batch norm (norm)"]


def test_after_a_diagnosis_the_layer_is_fused_again():
    x = puredrop.Tensor(SEQUENCE, requires_grad=True)
    layer = nn.LSTM(4, 5).seed(0)
    diagnose(Tagger(layer), SEQUENCE)
    y, _ = layer(x)
    assert y.node.parents[0].rules.operation == "lstm_sequence"
