"""Multi-head attention, with all that can be dropped in it: weights, keys and heads."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from .. import ops
from ..backends import is_on_device
from ..ops.attention import probabilities
from ..ops.heads import product
from ..streams import current
from ..tensor import raw
from ..variants.asked import Asked
from ..variants.attention import checked_masks
from ..variants.bernoulli_map import inverted_scale, selection
from ..variants.door import one_rate, whole_number
from ..variants.schedules import Schedule
from .dropout import Dropout
from .init import glorot_uniform, zeros
from .layers import Linear
from .module import Module, Parameter
from .positions import RotaryPositions
from .residual import DropHead, DropKey

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of `heads` heads, each over a part of `width`: query (N, T, width) -> (N, T, width).

    Math: head i attends with queries x W_q, keys z W_k and values z W_v, z the keys handed in or x itself; the results
        of the heads lie side by side and go through `out_proj`. See `puredrop.scaled_dot_product_attention`.
    Dropped are: weights, with probability p, as in PyTorch, a mask (N, heads, T, S); with key_p single keys before the
        softmax (DropKey, also (N, heads, T, S)); with head_p whole heads (DropHead, (N, heads, 1, 1)).
    kv_heads: fewer heads for keys and values, each serving heads / kv_heads queries (Ainslie et al. 2023). causal:
        token i sees those up to i. rotary: queries and keys are turned by their positions (`RotaryPositions`). tile:
        so many queries and keys at a time, in memory for T + S and not for T S. key_width, value_width: where they
        differ from width. batch_first=False: query, key, value and output are (T, N, width), weights and masks as ever.
    Parameters have PyTorch's names, shapes and first numbers (Glorot uniform; biases 0).
    Call: layer(query, key=query, value=key, *, allowed, present, bias). allowed (bool, True = may attend) and bias
        (added to the logits) broadcast to (N, heads, T, S); present (N, S), True = a token and no padding. With
        return_weights "before" or "after" the drop it gives (output, weights), the mean over heads (N, T, S), or those
        of each head (average=False); they are then made whole, whatever the tile. Masks have the batch of the query:
        where samples of `predict_samples` are in flight, make them inside of the model, from its inputs.
    Raises: ValueError for heads that do not divide, and for shapes, masks or tokens that do not fit; TypeError.
    Reference: Vaswani et al., "Attention is all you need" (2017).

    >>> layer = MultiheadAttention(8, heads=2, p=0.1).seed(0)
    >>> layer(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        width: int,
        heads: int,
        p: float | Schedule = 0.0,
        *,
        kv_heads: int | None = None,
        bias: bool = True,
        key_width: int | None = None,
        value_width: int | None = None,
        causal: bool = False,
        batch_first: bool = True,
        rotary: bool = False,
        key_p: float | Schedule = 0.0,
        head_p: float | Schedule = 0.0,
        tile: int | None = None,
    ) -> None:
        self.width, self.heads, self.kv_heads = _divided(width, heads, kv_heads)
        self.causal, self.batch_first = causal, batch_first
        self.tile = None if tile is None else whole_number("MultiheadAttention", "tile", tile, 1)
        self.key_width, self.value_width = key_width or self.width, value_width or self.width
        each = self.width // self.heads
        self._sizes = (self.width, self.kv_heads * each, self.kv_heads * each)  # of queries, keys and values
        self._make_projections(bias)
        self.rotary = RotaryPositions(each) if rotary else None
        self.drop_keys = None if key_p == 0 else DropKey(key_p)
        self.drop_weights = Dropout(p if callable(p) else one_rate("MultiheadAttention", p))
        self.drop_heads = None if head_p == 0 else DropHead(head_p)

    def _make_projections(self, bias: bool) -> None:
        width, total = self.width, sum(self._sizes)
        if self.key_width == self.value_width == width:
            self.in_proj_weight: Any = Parameter((total, width), glorot_uniform(width, total))
        else:
            for name, size, inputs in zip("qkv", self._sizes, (width, self.key_width, self.value_width), strict=True):
                setattr(self, f"{name}_proj_weight", Parameter((size, inputs), glorot_uniform(inputs, size)))
            self.in_proj_weight = None
        self.in_proj_bias = Parameter((total,), zeros) if bias else None
        self.out_proj = Linear(width, width, bias)
        if self.out_proj.bias is not None:
            self.out_proj.bias.init = zeros

    def forward(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        allowed: Any = None,
        present: Any = None,
        bias: Any = None,
        return_weights: Literal["before", "after"] | None = None,
        average: bool = True,
    ) -> Any:
        if return_weights not in (None, "before", "after"):
            raise ValueError(
                f"MultiheadAttention: return_weights must be None, 'before' or 'after', got {return_weights!r}"
            )
        key = query if key is None else key
        value = key if value is None else value
        if not self.batch_first:
            turned = {id(x): ops.swapaxes(x, a=0, b=1) for x in (query, key, value)}
            query, key, value = turned[id(query)], turned[id(key)], turned[id(value)]
        self._require_tokens(query, key, value)
        shape = (query.shape[0], self.heads, query.shape[1], key.shape[1])  # of the weights
        allowed, bias = self._masks(allowed, present, bias, shape, query.dtype)
        sight = ops.Sight(allowed, self.causal, _selection("drop_key", self.drop_keys, shape, query.dtype))
        drop = _selection("dropout", self.drop_weights, shape, query.dtype)
        scale = 1 / math.sqrt(self.width // self.heads)
        if return_weights is None:
            return self._attended(query, key, value, bias, sight=sight, scale=scale, drop=drop, tile=self.tile)
        q, k, v = self._projected(query, key, value)
        before, v = probabilities(q, k, v, bias, sight=sight, scale=scale)
        after = before if drop is None else drop(before)
        weights = before if return_weights == "before" else after
        return self._joined(product(after, v)), weights.mean(axis=1) if average else weights

    def _attended(self, query: Any, key: Any, value: Any, bias: Any, **options: Any) -> Any:
        """The output. Where one product makes queries, keys and values, attention takes it as it is."""
        if not self._from_one_product(query, key, value) or self.rotary is not None or self.drop_heads is not None:
            return self._joined(ops.attend(*self._projected(query, key, value), bias, **options))
        qkv = ops.linear(query, self.in_proj_weight, self._bias(slice(None)))  # (N, T, (H + 2 h) D)
        return self._output(ops.self_attend(qkv, bias, heads=self.heads, kv_heads=self.kv_heads, **options))

    def _from_one_product(self, query: Any, key: Any, value: Any) -> bool:
        return self.in_proj_weight is not None and query is key is value

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Queries (N, H, T, D), keys (N, h, S, D) and values (N, h, S, D)."""
        if self._from_one_product(query, key, value):
            heads = self._split(ops.linear(query, self.in_proj_weight, self._bias(slice(None))))  # (N, H + 2 h, T, D)
            stop = self.heads + self.kv_heads
            q, k, v = heads[:, : self.heads], heads[:, self.heads : stop], heads[:, stop:]
        else:
            parts = [slice(a, b) for a, b in pairwise(np.cumsum((0, *self._sizes)).tolist())]
            q, k, v = (
                self._split(ops.linear(x, self._weight(name, part), self._bias(part)))
                for name, part, x in zip("qkv", parts, (query, key, value), strict=True)
            )
        return (q, k, v) if self.rotary is None else (self.rotary(q), self.rotary(k), v)

    def _weight(self, name: str, part: slice) -> Any:
        return getattr(self, f"{name}_proj_weight") if self.in_proj_weight is None else self.in_proj_weight[part]

    def _bias(self, part: slice) -> Any:
        return 0.0 if self.in_proj_bias is None else self.in_proj_bias[part]

    def _split(self, x: Any) -> Any:
        """(N, T, H D) -> (N, H, T, D)."""
        each = self.width // self.heads
        return ops.swapaxes(ops.reshape(x, shape=(*x.shape[:2], x.shape[2] // each, each)), a=1, b=2)

    def _joined(self, y: Any) -> Any:
        """The heads, (N, H, T, D), side by side and through the last product: (N, T, width)."""
        y = ops.swapaxes(y if self.drop_heads is None else self.drop_heads(y), a=1, b=2)
        return self._output(ops.reshape(y, shape=(*y.shape[:2], self.width)))

    def _output(self, y: Any) -> Any:
        """The last product, of y (N, T, width), with the batch where it was. PyTorch's has the tokens first in memory.

        That counts where a library is replayed, whose generator fills memory.
        """
        if self.batch_first and current() is None:
            return self.out_proj(y)
        y = self.out_proj(ops.swapaxes(y, a=0, b=1))  # (T, N, width)
        return ops.swapaxes(y, a=0, b=1) if self.batch_first else y

    def _masks(self, allowed: Any, present: Any, bias: Any, shape: Any, dtype: Any) -> tuple[Any, Any]:
        allowed, bias = checked_masks("MultiheadAttention", allowed, bias, shape, dtype)
        if present is None:
            return allowed, bias
        tokens = raw(present) if is_on_device(raw(present)) else np.asarray(raw(present))
        if tokens.dtype.kind != "b" or tokens.shape != (shape[0], shape[3]):
            raise ValueError(
                f"MultiheadAttention: present must be boolean (True = a token and no padding) of shape "
                f"{(shape[0], shape[3])}, got {tokens.dtype} of shape {tokens.shape}"
            )
        tokens = tokens[:, None, None]  # (N, 1, 1, S)
        return tokens if allowed is None else allowed & tokens, bias

    def _require_tokens(self, query: Any, key: Any, value: Any) -> None:
        widths = self.width, self.key_width, self.value_width
        for name, x, width in zip(("query", "key", "value"), (query, key, value), widths, strict=True):
            if len(x.shape) != 3 or x.shape[2] != width or x.shape[0] != query.shape[0]:
                raise ValueError(
                    f"MultiheadAttention: {name} must be ({query.shape[0]}, tokens, {width}), got shape {x.shape}"
                )
        if key.shape[1] != value.shape[1]:
            raise ValueError(
                f"MultiheadAttention: key and value must have equally many tokens, got {key.shape[1]} and "
                f"{value.shape[1]}"
            )

    def extra_repr(self) -> str:
        return f"{self.width}, heads={self.heads}"


def _divided(width: int, heads: int, kv_heads: int | None) -> tuple[int, int, int]:
    """Width, heads and heads of the keys, if they divide one another."""
    name = "MultiheadAttention"
    width, heads = whole_number(name, "width", width, 1), whole_number(name, "heads", heads, 1)
    few = heads if kv_heads is None else whole_number(name, "kv_heads", kv_heads, 1)
    if width % heads:
        raise ValueError(f"{name}: heads must divide the width, got {heads} heads and width {width}")
    if heads % few:
        raise ValueError(f"{name}: kv_heads must divide the heads, got {few} and {heads} heads")
    return width, heads, few


def _selection(
    operation: str, site: Dropout | DropKey | None, shape: tuple[int, ...], dtype: Any
) -> ops.Selection | None:
    """What a site drops of an array of `shape`, to be carried out later; None for nothing."""
    where = None if site is None else site.address(shape)
    if site is None or where is None:
        return None
    key, index = where
    p = site.rate(site.p, key)
    if isinstance(p, float) and p == 0:
        return None
    like = np.broadcast_to(dtype.type(1), shape)
    return selection(Asked(operation, key), like, p, index, scale=inverted_scale(p))
