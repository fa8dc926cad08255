"""Rows for transformer layers and their stacks, for what stands in front of them, and for positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import nn
from ....variants.schedules import depth_rates
from ..case import LayerCase, normal
from .attention import (
    CAUSAL,
    MEMORY_PRESENT,
    PRESENT,
    WIDTH,
    Called,
    D,
    N,
    S,
    T,
    by_pytorch,
    multihead,
    named,
    turned,
)

HIDDEN = 5
IDS = np.array([[3, 1, 0, 3], [4, 4, 2, 0]])


def encoder_layer(
    case: str, *, norm_first: bool, activation: str, causal: bool = False, padding: bool = False
) -> LayerCase:
    """A row of the encoder's layer, beside PyTorch's."""
    call = {"src_mask": CAUSAL} if causal else {}
    call |= {"src_key_padding_mask": ~PRESENT} if padding else {}

    def make(torch: Any) -> Any:
        return torch.nn.TransformerEncoderLayer(
            WIDTH, 2, HIDDEN, 0.3, activation=activation, batch_first=True, norm_first=norm_first
        )

    def ours() -> nn.Module:
        options: Any = {"activation": activation, "norm_first": norm_first, "causal": causal}
        layer = nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.3, **options)
        return Called(layer, **({"present": PRESENT} if padding else {}))

    inputs = lambda: (normal(N, T, WIDTH),)  # noqa: E731
    return LayerCase("TransformerEncoderLayer", case, ours, inputs, by_pytorch(make, "layer.", **call))


def decoder_layer(case: str, *, norm_first: bool, activation: str, padding: bool = False) -> LayerCase:
    """A row of the decoder's layer, beside PyTorch's; the memory has padding in any case."""

    def make(torch: Any) -> Any:
        return torch.nn.TransformerDecoderLayer(
            WIDTH, 2, HIDDEN, 0.3, activation=activation, batch_first=True, norm_first=norm_first
        )

    def ours() -> nn.Module:
        options: Any = {"activation": activation, "norm_first": norm_first}
        return Called(nn.TransformerDecoderLayer(WIDTH, 2, HIDDEN, 0.3, **options), **decoder_masks(padding)[0])

    return LayerCase(
        "TransformerDecoderLayer", case, ours, two_sequences, by_pytorch(make, "layer.", **decoder_masks(padding)[1])
    )


def decoder_masks(padding: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the call: ours, and PyTorch's."""
    ours = {"memory_present": MEMORY_PRESENT, **({"present": PRESENT} if padding else {})}
    theirs = {"tgt_mask": CAUSAL, "memory_key_padding_mask": ~MEMORY_PRESENT}
    return ours, {**theirs, **({"tgt_key_padding_mask": ~PRESENT} if padding else {})}


def two_sequences() -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and a memory."""
    return normal(N, T, WIDTH), normal(N, S, WIDTH, seed=1)


def encoder(case: str, *, norm_first: bool, padding: bool = False) -> LayerCase:
    """A row of a stack of encoder layers, beside PyTorch's; a norm behind it."""

    def make(torch: Any) -> Any:
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.3, batch_first=True, norm_first=norm_first)
        return torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(WIDTH), enable_nested_tensor=False)

    def ours() -> nn.Module:
        options: Any = {"norm_first": norm_first, "final_norm": True}
        layers = nn.TransformerEncoder(WIDTH, 2, 2, HIDDEN, 0.3, **options)
        return Called(layers, **({"present": PRESENT} if padding else {}))

    call = {"src_key_padding_mask": ~PRESENT} if padding else {}
    inputs = lambda: (normal(N, T, WIDTH),)  # noqa: E731
    return LayerCase("TransformerEncoder", case, ours, inputs, by_pytorch(make, "layer.", **call))


def decoder(case: str, *, norm_first: bool, padding: bool = False) -> LayerCase:
    """A row of a stack of decoder layers, beside PyTorch's; a norm behind it where the layers begin with one."""

    def make(torch: Any) -> Any:
        layer = torch.nn.TransformerDecoderLayer(WIDTH, 2, HIDDEN, 0.3, "gelu", batch_first=True, norm_first=norm_first)
        return torch.nn.TransformerDecoder(layer, 2, torch.nn.LayerNorm(WIDTH) if norm_first else None)

    def ours() -> nn.Module:
        options: Any = {"activation": "gelu", "norm_first": norm_first}
        return Called(nn.TransformerDecoder(WIDTH, 2, 2, HIDDEN, 0.3, **options), **decoder_masks(padding)[0])

    reference = by_pytorch(make, "layer.", **decoder_masks(padding)[1])
    return LayerCase("TransformerDecoder", case, ours, two_sequences, reference)


def with_paths(torch: Any, noise: Any, path_p: float, p: float = 0.2, **options: Any) -> Any:
    """An encoder layer of PyTorch's with drop path at the end of its branches."""

    class Skipping(torch.nn.TransformerEncoderLayer):
        def _sa_block(self, *arguments: Any, **masks: Any) -> Any:
            return path(super()._sa_block(*arguments, **masks))

        def _ff_block(self, x: Any) -> Any:
            return path(super()._ff_block(x))

    def path(branch: Any) -> Any:
        return noise.dropout(branch, path_p) if path_p else branch

    return Skipping(WIDTH, 2, HIDDEN, p, batch_first=True, **options)


def drop_path(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """The layer of the paper, norm last."""
    with noise.in_place_of_pytorchs():
        return torch.func.functional_call(with_paths(torch, noise, 0.4), w, (x,))


def stack(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Layers of PyTorch's whose branches and whole are skipped by our draws: LayerDrop and drop path, norm first."""
    gates, rates = noise.take(), depth_rates(0.4, 3, "i/(L-1)")
    with noise.in_place_of_pytorchs():
        for number, rate in enumerate(rates):
            if gates[number]:
                layer = with_paths(torch, noise, rate, norm_first=True)
                x = torch.func.functional_call(layer, named(w, f"layers.{number}."), (x,))
    return torch.nn.functional.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"])


def everything(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """An encoder layer by the formula, norm first: grouped queries, rotary positions, all kinds of dropout."""
    F = torch.nn.functional
    own = {name.replace("self_attn.", "layer."): value for name, value in w.items()}
    y = F.layer_norm(x, (WIDTH,), w["norm1.weight"], w["norm1.bias"])
    options: Any = {"p": 0.2, "key_p": 0.3, "head_p": 0.4, "rotary": True, "causal": True}
    y, _, _ = multihead(torch, own, noise, y, heads=2, kv_heads=1, **options)
    x = x + noise.dropout(noise.dropout(y, 0.2), 0.5)
    y = F.layer_norm(x, (WIDTH,), w["norm2.weight"], w["norm2.bias"])
    y = noise.dropout(F.relu(F.linear(y, w["linear1.weight"], w["linear1.bias"])), 0.2)
    y = F.linear(y, w["linear2.weight"], w["linear2.bias"])
    return x + noise.dropout(noise.dropout(y, 0.2), 0.5)


class LanguageModel(nn.Module):
    """Tokens and positions, causal layers, and a score for each token that may come next."""

    def __init__(self, tokens: int, width: int, heads: int, layers: int, hidden: int, longest: int, p: float) -> None:
        self.embedding = nn.Embedding(tokens, width)
        self.positions = nn.LearnedPositions(longest, width)
        self.dropout = nn.Dropout(p)
        options: Any = {"activation": "gelu", "norm_first": True, "causal": True}
        self.blocks = nn.TransformerEncoder(width, heads, layers, hidden, p, **options)
        self.head = nn.Linear(width, tokens)

    def forward(self, ids: Any) -> Any:
        return self.head(self.blocks(self.dropout(self.positions(self.embedding(ids)))))


def language_model(torch: Any, w: dict[str, Any], noise: Any, ids: Any) -> Any:
    """The same with PyTorch's encoder."""
    F = torch.nn.functional
    x = noise.dropout(F.embedding(ids, w["embedding.weight"]) + w["positions.weight"][: ids.shape[1]], 0.2)
    layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.2, "gelu", batch_first=True, norm_first=True)
    blocks = torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(WIDTH), enable_nested_tensor=False)
    with noise.in_place_of_pytorchs():
        x = torch.func.functional_call(blocks, named(w, "blocks."), (x,), {"mask": torch.as_tensor(CAUSAL)})
    return F.linear(x, w["head.weight"], w["head.bias"])


def dropped_words(torch: Any, w: dict[str, Any], noise: Any, ids: Any) -> Any:
    """A word is dropped wherever it occurs: the draw has a row for each word that does."""
    keep = noise.take()[:, :1]  # (U, 1)
    words, place = torch.unique(ids, return_inverse=True)
    rows = torch.where(keep, w["weight"][words] / (1 - 0.4), 0.0)  # (U, D)
    return rows[place]


def zeroed_tokens(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Whole tokens dropped, and the others scaled, in front of an encoder layer of PyTorch's."""
    keep = noise.take()[..., :1]  # (N, T, 1)
    x = torch.where(keep, x / (1 - 0.3), 0.0)
    return one_layer(torch, named(w, "1."), noise, x)


def fewer_patches(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Of the tokens behind the first those with the smallest words are removed; then an encoder layer of PyTorch's."""
    words = noise.take().numpy()  # (N, T - 1)
    removed = round(0.5 * words.shape[1])
    left = np.sort(np.argsort(words, axis=1, kind="stable")[:, removed:], axis=1) + 1
    rows = [torch.cat([example[:1], example[places]]) for example, places in zip(x, left, strict=True)]
    return one_layer(torch, named(w, "1."), noise, torch.stack(rows))


def one_layer(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """An encoder layer of PyTorch's, norm first."""
    layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.2, batch_first=True, norm_first=True)
    with noise.in_place_of_pytorchs():
        return torch.func.functional_call(layer, w, (x,))


def in_front(drops: nn.Module) -> nn.Module:
    """Something that drops tokens, in front of an encoder layer."""
    return nn.Sequential(drops, nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.2, norm_first=True))


def sinusoids(torch: Any, x: Any) -> Any:
    """Waves of Vaswani et al. (2017), one number at a time."""
    t, d = x.shape[-2:]
    angle = lambda i, c: i / 10000.0 ** (2 * (c // 2) / d)  # noqa: E731
    table = [[np.cos(angle(i, c)) if c % 2 else np.sin(angle(i, c)) for c in range(d)] for i in range(t)]
    return x + torch.tensor(np.array(table)).to(x.dtype)


CASES = (
    encoder_layer("post-norm, relu", norm_first=False, activation="relu"),
    encoder_layer("pre-norm, gelu", norm_first=True, activation="gelu"),
    encoder_layer("pre-norm, relu, causal", norm_first=True, activation="relu", causal=True),
    encoder_layer("post-norm, gelu, padding", norm_first=False, activation="gelu", padding=True),
    decoder_layer("post-norm, relu, memory with padding", norm_first=False, activation="relu"),
    decoder_layer("pre-norm, gelu, memory with padding", norm_first=True, activation="gelu"),
    decoder_layer("post-norm, gelu, both with padding", norm_first=False, activation="gelu", padding=True),
    decoder_layer("pre-norm, relu, both with padding", norm_first=True, activation="relu", padding=True),
    LayerCase(
        layer="TransformerEncoderLayer",
        option="drop path, post-norm",
        make=lambda: nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, 0.2, path_p=0.4),
        inputs=lambda: (normal(N, T, WIDTH),),
        reference=drop_path,
    ),
    LayerCase(
        layer="TransformerEncoderLayer",
        option="pre-norm, causal, rotary, grouped queries, everything dropped that can be",
        make=lambda: nn.TransformerEncoderLayer(
            WIDTH,
            2,
            HIDDEN,
            0.2,
            norm_first=True,
            causal=True,
            kv_heads=1,
            rotary=True,
            key_p=0.3,
            head_p=0.4,
            path_p=0.5,
        ),
        inputs=lambda: (normal(N, T, WIDTH),),
        reference=everything,
    ),
    encoder("post-norm, padding", norm_first=False, padding=True),
    encoder("pre-norm", norm_first=True),
    decoder("post-norm, memory with padding", norm_first=False),
    decoder("pre-norm, both with padding", norm_first=True, padding=True),
    LayerCase(
        layer="TransformerEncoder",
        option="LayerDrop and drop path",
        make=lambda: nn.TransformerEncoder(
            WIDTH, 2, 3, HIDDEN, 0.2, layer_p=0.3, path_p=0.4, path_depth="i/(L-1)", norm_first=True
        ),
        inputs=lambda: (normal(N, T, WIDTH),),
        reference=stack,
    ),
    LayerCase(
        layer="TransformerEncoder",
        option="a causal language model of two layers",
        make=lambda: LanguageModel(5, WIDTH, 2, 2, HIDDEN, T, 0.2),
        inputs=lambda: (IDS,),
        reference=language_model,
    ),
    LayerCase(
        layer="Embedding",
        option="plain",
        make=lambda: nn.Embedding(5, 3),
        inputs=lambda: (IDS,),
        reference=lambda torch, w, noise, ids: torch.nn.functional.embedding(ids, w["weight"]),
    ),
    LayerCase(
        layer="Embedding",
        option="padding",
        make=lambda: nn.Embedding(5, 3, padding=4),
        inputs=lambda: (IDS,),
        reference=lambda torch, w, noise, ids: torch.nn.functional.embedding(ids, w["weight"], padding_idx=4),
        smooth=False,  # the row of the padding counts, and by design gets no gradient
    ),
    LayerCase(
        layer="Embedding",
        option="words dropped",
        make=lambda: nn.Embedding(5, 3, p=0.4),
        inputs=lambda: (IDS,),
        reference=dropped_words,
    ),
    LayerCase(
        layer="TokenDropout",
        option="in front of an encoder layer",
        make=lambda: in_front(nn.TokenDropout(0.3)),
        inputs=lambda: (normal(N, T, WIDTH),),
        reference=zeroed_tokens,
    ),
    LayerCase(
        layer="PatchDropout",
        option="in front of an encoder layer, a class token",
        make=lambda: in_front(nn.PatchDropout(0.5, prefix=1)),
        inputs=lambda: (normal(N, T, WIDTH),),
        reference=fewer_patches,
    ),
    LayerCase(
        layer="SinusoidalPositions",
        option="odd width, behind a dense layer",
        make=lambda: nn.Sequential(nn.Linear(3, 5, bias=False), nn.SinusoidalPositions(5)),
        inputs=lambda: (normal(N, T, 3),),
        reference=lambda torch, w, noise, x: sinusoids(torch, x @ w["0.weight"].T),
    ),
    LayerCase(
        layer="LearnedPositions",
        option="shorter than the table",
        make=lambda: nn.LearnedPositions(T + 2, D),
        inputs=lambda: (normal(N, T, D),),
        reference=lambda torch, w, noise, x: x + w["weight"][: x.shape[1]],
    ),
    LayerCase(
        layer="RotaryPositions",
        option="behind a dense layer",
        make=lambda: nn.Sequential(nn.Linear(3, 6, bias=False), nn.RotaryPositions(6)),
        inputs=lambda: (normal(N, T, 3),),
        reference=lambda torch, w, noise, x: turned(torch, x @ w["0.weight"].T),
    ),
)
