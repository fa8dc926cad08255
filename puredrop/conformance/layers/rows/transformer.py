"""Rows for attention and transformer layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import nn, ops
from ....ops.tiles import tiled
from ....variants.schedules import depth_rates
from ..case import LayerCase, normal
from ..noise import Noise

N, H, T, S, D = 2, 2, 4, 3, 3
WIDTH, HIDDEN = 4, 5
ALLOWED = np.array([[True, False, True], [True, True, False], [False, False, False], [False, True, True]])  # (T, S)
PRESENT = np.array([[True, True, True, False], [True, False, True, True]])  # (N, T)
MEMORY_PRESENT = np.array([[True, True, False], [True, True, True]])  # (N, S)
BIAS = normal(H, T, T, seed=3)
IDS = np.array([[3, 1, 0, 3], [4, 4, 2, 0]])


class Called(nn.Module):
    """A layer that is called with the same options every time; several results are laid out in one row."""

    def __init__(self, layer: nn.Module, **options: Any) -> None:
        self.layer, self.options = layer, options

    def forward(self, *inputs: Any) -> Any:
        y = self.layer(*inputs, **self.options)
        return y if not isinstance(y, tuple) else ops.concatenate([ops.reshape(part, shape=(-1,)) for part in y])


# ------------------------------------------------------------------------------------------- in PyTorch's operations
def attention(
    torch: Any,
    q: Any,
    k: Any,
    v: Any,
    drop: Callable[[Any], Any],
    *,
    causal: bool = False,
    allowed: Any = None,
    bias: Any = None,
    keys: Any = None,
) -> tuple[Any, Any, Any]:
    """(y, weights, dropped weights) by the formula; heads of k and v are repeated. keys: a mask of DropKey."""
    k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # (N, H, T, S)
    seen = torch.ones(logits.shape, dtype=torch.bool)
    seen = seen.tril() if causal else seen
    seen = seen & torch.as_tensor(allowed) if allowed is not None else seen
    if keys is not None:
        kept = seen & keys
        seen = torch.where(kept.any(-1, keepdim=True), kept, seen)
    logits = logits if bias is None else logits + torch.as_tensor(bias).to(logits.dtype)
    weights = torch.where(seen, logits, -1e300 if logits.dtype == torch.float64 else -1e30).softmax(-1)
    weights = torch.where(seen, weights, 0.0)
    dropped = drop(weights)
    return dropped @ v, weights, dropped


class Projected(nn.Module):
    """Attention alone, behind a linear layer for each of its inputs, so that there is something to train."""

    def __init__(self, attention: nn.Module, **options: Any) -> None:
        self.linear = [nn.Linear(D, D, bias=False) for _ in range(3)]
        self.attention, self.options = attention, options

    def forward(self, *inputs: Any) -> Any:
        return self.attention(*(f(x) for f, x in zip(self.linear, inputs, strict=True)), **self.options)


def scaled(
    case: str,
    p: float = 0.3,
    *,
    tile: int | None = None,
    size: tuple[int, int] = (T, T),
    causal: bool = False,
    kv_heads: int = H,
    **masks: Any,
) -> LayerCase:
    """A row of attention alone: queries (N, H, T, D), keys and values (N, h, S, D)."""

    def make() -> nn.Module:
        return Projected(nn.ScaledDotProductAttention(p, causal=causal, tile=tile), **masks)

    def reference(torch: Any, w: Any, noise: Any, *inputs: Any) -> Any:
        def drop(weights: Any) -> Any:
            if tile is None:
                return noise.dropout(weights, p)
            return torch.where(from_tiles(torch, noise, weights.shape, tile, causal), weights / (1 - p), 0.0)

        q, k, v = (x @ w[f"linear.{i}.weight"].T for i, x in enumerate(inputs))
        return attention(torch, q, k, v, drop, causal=causal, **masks)[0]

    shapes = (N, H, size[0], D), (N, kv_heads, size[1], D), (N, kv_heads, size[1], D)
    inputs = lambda: tuple(normal(*shape, seed=i) for i, shape in enumerate(shapes))  # noqa: E731
    return LayerCase("ScaledDotProductAttention", case, make, inputs, reference)


def from_tiles(torch: Any, noise: Any, shape: tuple[int, ...], tile: int, causal: bool) -> Any:
    """The mask whose parts were drawn tile by tile."""
    keep = torch.zeros(shape, dtype=torch.bool)
    for _, row in tiled(shape[-2], shape[-1], tile, causal):
        for rows, columns in row:
            keep[..., rows, columns] = noise.take()
    return keep


def multihead(torch: Any, w: dict[str, Any], noise: Any, x: Any, *, heads: int, kv_heads: int, **options: Any) -> Any:
    """Self-attention by the formula; (output, weights, dropped weights)."""
    p, key_p, head_p = (options.pop(name, 0.0) for name in ("p", "key_p", "head_p"))
    n, t, width = x.shape
    each = width // heads
    qkv = (x @ w["layer.in_proj_weight"].T + w["layer.in_proj_bias"]).reshape(n, t, -1, each).transpose(1, 2)
    q, k, v = qkv.split((heads, kv_heads, kv_heads), 1)
    if options.pop("rotary", False):
        q, k = turned(torch, q), turned(torch, k)
    keys = noise.take() if key_p else None
    drop = (lambda a: noise.dropout(a, p)) if p else (lambda a: a)
    y, weights, dropped = attention(torch, q, k, v, drop, keys=keys, **options)
    if head_p:
        keep = noise.take()[:, :, :1, :1]  # (N, H, 1, 1)
        y = torch.where(keep, y * heads / keep.sum(1, keepdim=True).clamp(min=1), 0.0)
    y = y.transpose(1, 2).reshape(n, t, width) @ w["layer.out_proj.weight"].T + w["layer.out_proj.bias"]
    return y, weights, dropped


def turned(torch: Any, x: Any) -> Any:
    """Rotary positions, in complex numbers: pair i of token t times exp(i t / 10000^(2 i / D))."""
    t, d = x.shape[-2:]
    angles = torch.arange(t)[:, None] / 10000.0 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], d // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles).to(pairs.dtype)).reshape(x.shape)


def formula(
    case: str, *, returned: str | None = None, masks: dict[str, Any] | None = None, **options: Any
) -> LayerCase:
    """A row of multi-head attention with what PyTorch's layer lacks."""
    masks = masks or {}
    heads, kv_heads = 2, options.get("kv_heads", 2)
    average = options.pop("average", True)

    def make() -> nn.Module:
        layer = nn.MultiheadAttention(WIDTH, heads, **options)
        return Called(layer, return_weights=returned, average=average, **masks)

    def reference(torch: Any, w: Any, noise: Any, x: Any) -> Any:
        settings = {**options, **masks, "kv_heads": kv_heads}
        y, before, after = multihead(torch, w, noise, x, heads=heads, **settings)
        if returned is None:
            return y
        weights = before if returned == "before" else after
        return torch.cat([y.reshape(-1), (weights.mean(1) if average else weights).reshape(-1)])

    return LayerCase("MultiheadAttention", case, make, lambda: (normal(N, T, WIDTH),), reference)


# --------------------------------------------------------------------------------------------- PyTorch's own layers
def by_pytorch(make: Callable[[Any], Any], prefix: str = "", **options: Any) -> Callable[..., Any]:
    """A reference that is a layer of PyTorch's with our weights and draws. `prefix`: of the names of the weights."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, *inputs: Any) -> Any:
        own = {name.removeprefix(prefix): value for name, value in w.items()}
        tensors = {name: torch.as_tensor(a) if isinstance(a, np.ndarray) else a for name, a in options.items()}
        with noise.in_place_of_pytorchs():
            y = torch.func.functional_call(make(torch), own, inputs, tensors)
        return y[0] if isinstance(y, tuple) else y

    return reference


CAUSAL = ~np.tri(T, dtype=np.bool_)  # PyTorch's masks are True where a query may not attend


def cross(case: str, k: int = WIDTH, v: int = WIDTH) -> LayerCase:
    """A row of multi-head attention to something else, with keys and values of k and v channels."""

    def make(torch: Any) -> Any:
        return torch.nn.MultiheadAttention(WIDTH, 2, 0.3, batch_first=True, kdim=k, vdim=v)

    return LayerCase(
        "MultiheadAttention",
        case,
        lambda: Called(nn.MultiheadAttention(WIDTH, 2, 0.3, key_width=k, value_width=v), present=MEMORY_PRESENT),
        lambda: (normal(N, T, WIDTH), normal(N, S, k, seed=1), normal(N, S, v, seed=2)),
        by_pytorch(make, "layer.", key_padding_mask=~MEMORY_PRESENT, need_weights=False),
    )


def itself(case: str, *, returned: bool = False) -> LayerCase:
    """A row of multi-head attention to the tokens themselves, causal and with padding."""

    def make(torch: Any) -> Any:
        return torch.nn.MultiheadAttention(WIDTH, 2, 0.3, batch_first=True)

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        masks = {"attn_mask": torch.tensor(CAUSAL), "key_padding_mask": torch.tensor(~PRESENT)}
        own = named(w, "layer.")
        if returned:  # batch and heads are one axis where PyTorch's layer returns weights
            noise = Noise(torch, [noise.take().numpy().reshape(-1, T, T)])
        with noise.in_place_of_pytorchs():
            y, weights = torch.func.functional_call(make(torch), own, (x, x, x), {**masks, "need_weights": returned})
        return torch.cat([y.reshape(-1), weights.reshape(-1)]) if returned else y

    def ours() -> nn.Module:
        layer = nn.MultiheadAttention(WIDTH, 2, 0.3, causal=True)
        return Called(layer, present=PRESENT, return_weights="after" if returned else None)

    return LayerCase("MultiheadAttention", case, ours, lambda: (normal(N, T, WIDTH),), reference)


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


# ------------------------------------------------------------------------------------------------- stacks and models
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


def named(w: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The weights below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}


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


def sinusoids(torch: Any, x: Any) -> Any:
    """Waves of Vaswani et al. (2017), one number at a time."""
    t, d = x.shape[-2:]
    angle = lambda i, c: i / 10000.0 ** (2 * (c // 2) / d)  # noqa: E731
    table = [[np.cos(angle(i, c)) if c % 2 else np.sin(angle(i, c)) for c in range(d)] for i in range(t)]
    return x + torch.tensor(np.array(table)).to(x.dtype)


CASES = (
    scaled("plain"),
    scaled("causal", causal=True),
    scaled("more keys than queries", size=(2, 5)),
    scaled("masked, a query without any key", size=(T, S), allowed=ALLOWED),
    scaled("padding", allowed=PRESENT[:, None, None]),
    scaled("causal and padding", causal=True, allowed=PRESENT[:, None, None]),
    scaled("bias", bias=BIAS),
    scaled("grouped queries", kv_heads=1),
    scaled("everything dropped", p=1.0),
    scaled("in tiles of 1", tile=1, size=(2, 3)),
    scaled("in tiles of 3, causal", tile=3, causal=True),
    scaled("in tiles of 3, padding and bias", tile=3, allowed=PRESENT[:, None, None], bias=BIAS),
    scaled("in tiles of 2, grouped queries", tile=2, kv_heads=1, causal=True),
    formula("no dropout"),
    formula("causal and padding", p=0.3, causal=True, masks={"allowed": PRESENT[:, None, None]}),
    formula("bias", p=0.3, masks={"bias": BIAS}),
    formula("grouped queries", p=0.3, kv_heads=1),
    formula("DropKey", key_p=0.4),
    formula("DropKey, causal, and dropout", p=0.3, key_p=0.4, causal=True),
    formula("DropHead", head_p=0.5),
    formula("keys, weights and heads dropped", p=0.3, key_p=0.4, head_p=0.5),
    formula("weights before the drop", p=0.3, returned="before"),
    formula("weights after the drop, of each head", p=0.3, returned="after", average=False),
    formula("rotary positions", p=0.3, rotary=True, causal=True),
    itself("causal and padding, beside PyTorch's"),
    itself("causal and padding, with the weights, beside PyTorch's", returned=True),
    cross("to a memory with padding"),
    cross("to keys and values of other widths", k=3, v=5),
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
