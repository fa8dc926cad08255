"""Transformer layers, and stacks of them that skip layers or branches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from .. import ops, variants
from ..streams import lying_as
from ..variants.door import whole_number
from ..variants.schedules import Indexing, Schedule, depth_rates
from .attention import MultiheadAttention
from .dropout import Dropout
from .layers import Linear
from .module import Module
from .normalisation import LayerNorm
from .residual import DropPath, LayerDrop

__all__ = ["TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]

Rate = float | Schedule
Activation = Literal["relu", "gelu"]
BATCH_FIRST, TOKENS_FIRST = (0, 1, 2), (1, 0, 2)  # how (N, T, D) lies in PyTorch's memory; from attention, tokens first
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": ops.relu, "gelu": ops.gelu}


class _Layer(Module):
    """Base: residual branches, each with its own norm, dropout and drop path, and the branch of two linear layers."""

    branches: int

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int | None = None,
        p: Rate = 0.1,
        *,
        activation: Activation = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        bias: bool = True,
        causal: bool,
        batch_first: bool = True,
        path_p: Rate = 0.0,
        **attention: Any,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"{type(self).__name__}: activation must be 'relu' or 'gelu', got {activation!r}")
        self.activation, self.norm_first, self.batch_first = activation, norm_first, batch_first
        self.self_attn = MultiheadAttention(width, heads, p, bias=bias, causal=causal, **attention)
        self._make_attention_to_memory(width, heads, p, bias, attention)
        hidden = 4 * width if hidden is None else whole_number(type(self).__name__, "hidden", hidden, 1)
        self.linear1 = Linear(width, hidden, bias)
        self.dropout = Dropout(p)
        self.linear2 = Linear(hidden, width, bias)
        for number in range(1, self.branches + 1):
            setattr(self, f"norm{number}", LayerNorm(width, eps, bias=bias))
            setattr(self, f"dropout{number}", Dropout(p))
            setattr(self, f"drop_path{number}", None if path_p == 0 else DropPath(path_p))

    def _make_attention_to_memory(self, width: int, heads: int, p: Rate, bias: bool, attention: Any) -> None:
        """What decoders have beside."""

    def _turned(self, x: Any) -> Any:
        """The batch in front, where it is behind the tokens, or back."""
        return x if self.batch_first else ops.swapaxes(x, a=0, b=1)

    def _residual(self, number: int, x: Any, branch: Callable[[Any], Any], order: tuple[int, ...]) -> Any:
        """x + branch(norm(x)), or norm(x + branch(x)), with what is dropped of the branch, which lies in that order."""
        norm, drop, path = (getattr(self, f"{name}{number}") for name in ("norm", "dropout", "drop_path"))
        y = branch(norm(x) if self.norm_first else x)
        with lying_as(order):
            y = drop(y)
        y = x + (y if path is None else path(y))
        # The norm gives C order, which while PyTorch is replayed must be that of its layout.
        return y if self.norm_first else self._turned(norm(self._turned(y)))

    def _attention(self, number: int, x: Any, branch: Callable[[Any], Any]) -> Any:
        return self._residual(number, x, branch, TOKENS_FIRST)

    def _feed_forward(self, number: int, x: Any) -> Any:
        order = BATCH_FIRST if self.batch_first else TOKENS_FIRST

        def branch(x: Any) -> Any:
            y = ACTIVATIONS[self.activation](self.linear1(x))  # (N, T, hidden)
            with lying_as(order):
                y = self.dropout(y)
            return self.linear2(y)

        return self._residual(number, x, branch, order)


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each in a residual branch. Shapes: (N, T, width) -> (N, T, width).

    batch_first=False: (T, N, width) -> (T, N, width), as is PyTorch's default; masks and draws are the same.
    hidden: between the linear layers, by default 4 width. norm_first: norm(x + f(x)), or x + f(norm(x)). p at the sites
    of PyTorch's layer: attention weights, behind the activation, and at the end of each branch; path_p drops branches
    (`DropPath`). Further options, such as kv_heads, key_p, head_p, rotary and tile, are those of `MultiheadAttention`,
    and so are the masks of the call.
    Names of parameters, and first numbers, are PyTorch's. Reference: Vaswani et al. (2017).

    >>> import numpy as np
    >>> layer = TransformerEncoderLayer(8, heads=2, hidden=16).seed(0)
    >>> layer(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    branches = 2

    def __init__(self, width: int, heads: int, hidden: int | None = None, p: Rate = 0.1, **options: Any) -> None:
        super().__init__(width, heads, hidden, p, **{"causal": False, **options})

    def forward(self, x: Any, *, allowed: Any = None, present: Any = None, bias: Any = None) -> Any:
        attend = partial(self.self_attn, allowed=allowed, present=present, bias=bias)
        return self._turned(self._feed_forward(2, self._attention(1, self._turned(x), attend)))


class TransformerDecoderLayer(_Layer):
    """As `TransformerEncoderLayer`, with attention to a memory (N, S, width) between its two branches.

    Its self-attention is causal unless causal=False is given; PyTorch's is not unless it is handed a mask. Masks of the
    call: allowed, present and bias for x itself, memory_allowed and memory_present for the memory.

    >>> import numpy as np
    >>> layer = TransformerDecoderLayer(8, heads=2, hidden=16).seed(0)
    >>> layer(np.ones((3, 5, 8), np.float32), np.ones((3, 4, 8), np.float32)).shape
    (3, 5, 8)
    """

    branches = 3

    def __init__(self, width: int, heads: int, hidden: int | None = None, p: Rate = 0.1, **options: Any) -> None:
        super().__init__(width, heads, hidden, p, **{"causal": True, **options})

    def _make_attention_to_memory(self, width: int, heads: int, p: Rate, bias: bool, attention: Any) -> None:
        options = {name: value for name, value in attention.items() if name != "rotary"}  # a memory has other places
        self.multihead_attn = MultiheadAttention(width, heads, p, bias=bias, **options)

    def forward(
        self,
        x: Any,
        memory: Any,
        *,
        allowed: Any = None,
        present: Any = None,
        bias: Any = None,
        memory_allowed: Any = None,
        memory_present: Any = None,
    ) -> Any:
        x, memory = self._turned(x), self._turned(memory)
        x = self._attention(1, x, partial(self.self_attn, allowed=allowed, present=present, bias=bias))
        ask = partial(self.multihead_attn, allowed=memory_allowed, present=memory_present)
        x = self._attention(2, x, lambda y: ask(y, memory))
        return self._turned(self._feed_forward(3, x))


class _Stack(Module):
    """Base: layers one after the other, some of them skipped, and a norm behind them."""

    layer: type[_Layer]

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        hidden: int | None = None,
        p: Rate = 0.1,
        *,
        layer_p: float | list[float] | Schedule = 0.0,
        path_p: float = 0.0,
        path_depth: Indexing | None = None,
        final_norm: bool | None = None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        layers = whole_number(name, "layers", layers, 1)
        if path_p and path_depth is None:
            raise ValueError(f"{name}: path_p needs path_depth, how rates go over the depth; see schedules.depth_rates")
        rates = depth_rates(path_p, layers, path_depth or "uniform")
        self.layers = [type(self).layer(width, heads, hidden, p, path_p=rate, **options) for rate in rates]
        last = self.layers[0].norm_first if final_norm is None else final_norm
        self.norm = LayerNorm(width, options.get("eps", 1e-5), bias=options.get("bias", True)) if last else None
        self.skip = None if layer_p == 0 else LayerDrop(self.layers, layer_p)

    def _through(self, x: Any, layers: list[Callable[[Any], Any]]) -> Any:
        turned = self.layers[0]._turned
        where = None
        if self.skip is not None:
            n = turned(x)  # (N, T, width)
            where = self.skip.address(n.shape, tuple(range(len(n.shape))))
        if self.skip is None or where is None:
            for layer in layers:
                x = layer(x)
        else:
            batch_first = [lambda y, layer=layer: turned(layer(turned(y))) for layer in layers]
            rate = self.skip.rate(self.skip.p, where[0])
            x = turned(variants.layer_drop(batch_first, n, rate, key=where[0]))
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Layers of `TransformerEncoderLayer`, one after the other. Shapes: (N, T, width) -> (N, T, width).

    layer_p skips whole layers (`LayerDrop`): one rate, one for each, or a schedule. path_p drops residual branches at
    rates that go over the depth as path_depth says (`schedules.depth_rates`). final_norm: by default where
    norm_first. Further options are those of the layer: causal=True makes a language model's stack of it.

    >>> import numpy as np
    >>> stack = TransformerEncoder(8, heads=2, layers=2, path_p=0.1, path_depth="i/(L-1)", causal=True).seed(0)
    >>> stack(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    layer = TransformerEncoderLayer

    def forward(self, x: Any, **masks: Any) -> Any:
        return self._through(x, [partial(layer, **masks) for layer in self.layers])


class TransformerDecoder(_Stack):
    """Layers of `TransformerDecoderLayer`, one after the other, all with the same memory; options as the encoder's.

    >>> import numpy as np
    >>> stack = TransformerDecoder(8, heads=2, layers=2).seed(0)
    >>> stack(np.ones((3, 5, 8), np.float32), np.ones((3, 4, 8), np.float32)).shape
    (3, 5, 8)
    """

    layer = TransformerDecoderLayer

    def forward(self, x: Any, memory: Any, **masks: Any) -> Any:
        def through(layer: Module) -> Callable[[Any], Any]:
            return lambda y: layer(y, memory, **masks)

        return self._through(x, [through(layer) for layer in self.layers])
