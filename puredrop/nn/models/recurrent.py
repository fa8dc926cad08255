"""A language model with LSTM layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..embedding import Embedding
from ..forms import Form, Model, Noisy
from ..layers import Linear
from ..recurrent import LSTM
from ..recurrent_dropout import RecurrentDropout


class LSTMLanguageModel(Model):
    """What comes next, for every token: ids (N, T) -> logits (N, T, tokens), and the state to go on from.

    The inputs of every LSTM layer and of the decoder are dropped, the same units at every step; the form "mc" drops
    the recurrent state too: Gal's variational LSTM. `dropout` takes the place of what the LSTM layers drop inside.
    Reference: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks" (2016).
    """

    def __init__(
        self,
        tokens: int,
        width: int = 128,
        hidden: int = 128,
        layers: int = 1,
        *,
        form: Form = "plain",
        p: float = 0.25,
        dropout: RecurrentDropout | None = None,
    ) -> None:
        inside = dropout or RecurrentDropout(state=p if form == "mc" else 0.0)
        self.embedding = Embedding(tokens, width)
        self.layers = [
            Noisy(form, p, LSTM(hidden if i else width, hidden, batch_first=True, dropout=inside), "sequence")
            for i in range(layers)
        ]
        self.decoder = Noisy(form, p, Linear(hidden, tokens), "sequence")

    def forward(self, ids: Any, states: Sequence[Any] | None = None) -> tuple[Any, list[Any]]:
        x, after = self.embedding(ids), []  # (N, T, width)
        for layer, state in zip(self.layers, states or [None] * len(self.layers), strict=True):
            x, state = layer(x, state)  # (N, T, hidden)
            after.append(state)
        return self.decoder(x), after
