"""Language models with transformer layers: one that sees what came before, one that sees all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ... import ops
from ..embedding import Embedding
from ..forms import Form, Model, Noisy, noise
from ..layers import Linear
from ..module import Module
from ..normalisation import LayerNorm
from ..transformer import TransformerEncoder


class _Transformer(Model):
    """Token and position embeddings, encoder layers, logits: ids (N, T) -> (N, T, tokens)."""

    def __init__(
        self,
        tokens: int,
        length: int,
        width: int,
        heads: int,
        layers: int,
        form: Form,
        p: float,
        pre_norm: bool,
        **rates: float,
    ) -> None:
        fixed = p if form == "mc" else 0.0  # a learned rate wants a weight behind it: the hidden units', the decoder's
        self.length = length
        self.tokens = Embedding(tokens, width)
        self.positions = Embedding(length, width)
        self.noise = noise("mc" if form == "mc" else "plain", p)
        self.encoder = TransformerEncoder(
            width, heads, 4 * width, layers, p=fixed, activation="gelu", norm_first=pre_norm, **rates
        )
        if form in ("variational", "concrete"):
            for layer in self.encoder.layers:
                layer.dropout = noise(form, p)
        self.decoder = Noisy(form, p, Linear(width, tokens))

    def noisy_weights(self) -> Iterator[tuple[Module, Any]]:
        yield from super().noisy_weights()
        yield from ((layer.dropout, layer.linear2.weight) for layer in self.encoder.layers)

    def embedded(self, ids: Any) -> Any:
        """The sum of what tokens and their places stand for. (N, T, width)"""
        steps = ids.shape[1]
        if steps > self.length:
            raise ValueError(f"{type(self).__name__}: {steps} tokens, but there are only {self.length} positions")
        return self.noise(self.tokens(ids) + self.positions.weight[:steps])
