"""Language models with transformer layers: one that sees what came before, one that sees all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ..embedding import Embedding
from ..forms import Form, Model, Noisy, noise
from ..init import Normal
from ..layers import Linear
from ..module import Module
from ..normalisation import LayerNorm
from ..positions import LearnedPositions
from ..transformer import TransformerEncoder

_FIRST = Normal(0.02)  # of embeddings, in both papers


class _Transformer(Model):
    """What both models have: embeddings of tokens and positions, encoder layers, and a decoder behind them.

    The form "mc" drops embeddings, attention weights, hidden units and the ends of the branches. The learned forms drop
    where a weight stands behind the noise to weigh it against: the hidden units, and what the decoder reads.
    """

    stack: ClassVar[dict[str, Any]] = {}  # what the model's layers are

    def __init__(
        self,
        tokens: int,
        length: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        *,
        form: Form = "plain",
        p: float = 0.1,
        **options: Any,
    ) -> None:
        is_learned = form in ("variational", "concrete")
        fixed = p if form == "mc" else 0.0
        self.tokens = Embedding(tokens, width, init=_FIRST)
        self.positions = LearnedPositions(length, width, init=_FIRST)
        self.noise = noise("plain" if is_learned else form, p)
        self.encoder = TransformerEncoder(width, heads, layers, p=fixed, activation="gelu", **self.stack, **options)
        if is_learned:
            layer: Any
            for layer in self.encoder.layers:
                layer.dropout = noise(form, p)
        self.decoder = Noisy(form if is_learned else "plain", p, Linear(width, tokens))

    def noisy_weights(self) -> Iterator[tuple[Module, Any]]:
        yield from super().noisy_weights()
        yield from ((layer.dropout, layer.linear2.weight) for layer in self.encoder.layers)


class GPT(_Transformer):
    """Which token comes next, for every token: ids (N, T) -> logits (N, T, tokens), T up to `length`.

    Pre-norm layers with causal attention and GELU. Further options are those of `TransformerEncoder`: kv_heads, rotary,
    tile, key_p, head_p, layer_p, path_p with path_depth.
    Reference: Radford et al., "Language models are unsupervised multitask learners" (2019).

    >>> import numpy as np
    >>> GPT(7, length=8, width=8, heads=2, form="mc").seed(0)(np.zeros((2, 5), np.int64)).shape
    (2, 5, 7)
    """

    stack: ClassVar[dict[str, Any]] = {"causal": True, "norm_first": True}

    def forward(self, ids: Any) -> Any:
        x = self.noise(self.positions(self.tokens(ids)))  # (N, T, width)
        return self.decoder(self.encoder(x))


class BERT(_Transformer):
    """Which token stands at every place, seen from both sides: ids (N, T) -> logits (N, T, tokens), T up to `length`.

    Post-norm layers with GELU, and a norm behind the embeddings. present (N, T) says which ids are tokens and no
    padding. Further options are those of `TransformerEncoder`.
    Reference: Devlin, Chang, Lee & Toutanova, "BERT: pre-training of deep bidirectional transformers for language
    understanding" (2019).

    >>> import numpy as np
    >>> BERT(7, length=8, width=8, heads=2, form="concrete").seed(0)(np.zeros((2, 5), np.int64)).shape
    (2, 5, 7)
    """

    def __init__(self, tokens: int, length: int, width: int = 128, *sizes: int, **options: Any) -> None:
        super().__init__(tokens, length, width, *sizes, **options)
        self.norm = LayerNorm(width)

    def forward(self, ids: Any, present: Any = None) -> Any:
        x = self.noise(self.norm(self.positions(self.tokens(ids))))  # (N, T, width)
        return self.decoder(self.encoder(x, present=present))
