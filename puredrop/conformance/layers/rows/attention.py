"""Rows for attention alone and with many heads; what the rows of transformers take from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import nn, ops
from ....ops.tiles import tiled
from ..case import LayerCase, normal
from ..noise import Noise

N, H, T, S, D = 2, 2, 4, 3, 3
WIDTH = 4
ALLOWED = np.array([[True, False, True], [True, True, False], [False, False, False], [False, True, True]])  # (T, S)
PRESENT = np.array([[True, True, True, False], [True, False, True, True]])  # (N, T)
MEMORY_PRESENT = np.array([[True, True, False], [True, True, True]])  # (N, S)
BIAS = normal(H, T, T, seed=3)


class Called(nn.Module):
    """A layer that is called with the same options every time; several results are laid out in one row."""

    def __init__(self, layer: nn.Module, **options: Any) -> None:
        self.layer, self.options = layer, options

    def forward(self, *inputs: Any) -> Any:
        y = self.layer(*inputs, **self.options)
        return y if not isinstance(y, tuple) else ops.concatenate([ops.reshape(part, shape=(-1,)) for part in y])


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


def named(w: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The weights below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}


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
)
