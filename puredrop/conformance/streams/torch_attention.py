"""Beside PyTorch's attention and recurrent layers on the CPU: masks read off the values, and the state afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ... import nn, variants
from ...streams import TorchCPU, draw_from
from .row import Counts, Row, installed
from .torch import RATES, SEEDS, alone, compared, same_state

N, H, T, S, WIDTH = 3, 2, 7, 9, 8
CLOSE = 1e-12  # of values in float64, whose sums have another order


def close(ours: Any, theirs: Any) -> Counts:
    """How many numbers differ by more than rounding; beside a mask that is another, all but none do."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    scale = max(1.0, float(np.abs(theirs).max(initial=0)))
    return Counts(ours.size, int((~(np.abs(ours - theirs) <= CLOSE * scale)).sum()))


def attention(arrays: Sequence[np.ndarray], p: float) -> Any:
    """Ours, of queries, keys and values."""
    q, k, v = arrays
    return variants.scaled_dot_product_attention(q, k, v, p)


def functional() -> Counts:
    """`scaled_dot_product_attention`: with queries of zeros and values of ones on the diagonal it gives its weights."""
    torch = installed("torch")
    attend = torch.nn.functional.scaled_dot_product_attention
    q, k, v = np.zeros((N, H, T, 4)), np.zeros((N, H, S, 4)), np.broadcast_to(np.eye(S), (N, H, S, S)).copy()
    counts = Counts(0, 0)
    for seed, p, dtype in product(SEEDS, RATES, ("float32", "float64")):
        arrays = tuple(x.astype(dtype) for x in (q, k, v))
        torch.manual_seed(seed)
        stream = TorchCPU(seed)
        for _ in range(3):
            theirs = attend(*map(torch.from_numpy, arrays), dropout_p=p).numpy()
            with draw_from(stream):
                ours = attention(arrays, p)
            counts += compared(ours != 0, theirs != 0)
        counts += same_state(stream)
    return counts


def multihead(batch_first: bool, weights: bool) -> Counts:
    """`MultiheadAttention` with `need_weights` and without: two ways through PyTorch, one mask each."""
    torch = installed("torch")
    counts = Counts(0, 0)
    for seed, p in product(SEEDS[1:3], RATES):
        torch.manual_seed(0)
        module = torch.nn.MultiheadAttention(WIDTH, H, p, batch_first=batch_first).double()
        twin = nn.from_torch(module).seed(0)
        x = np.random.default_rng(0).standard_normal((N, T, WIDTH))
        torch.manual_seed(seed)
        stream = TorchCPU(seed)
        for _ in range(5):
            y, after = module(*[torch.from_numpy(x)] * 3, need_weights=weights, average_attn_weights=False)
            with draw_from(stream):
                given = twin(x, return_weights="after" if weights else None, average=False)
            ours = given[0] if weights else given
            counts += close(ours.numpy(), y.detach().numpy())
            if weights:
                counts += compared(given[1].numpy() != 0, (after != 0).numpy())
        counts += same_state(stream)
    return counts


def recurrent(name: str) -> Counts:
    """Dropout between the layers, in both directions and layouts."""
    torch = installed("torch")
    counts = Counts(0, 0)
    for seed, both, batch_first in product(SEEDS[1:3], (False, True), (False, True)):
        torch.manual_seed(0)
        options = {"bidirectional": both, "batch_first": batch_first}
        module = getattr(torch.nn, name)(4, 5, 3, dropout=0.3, **options).double()
        twin = nn.from_torch(module).seed(0)
        x = np.random.default_rng(0).standard_normal((7, 6, 4))
        torch.manual_seed(seed)
        stream = TorchCPU(seed)
        for _ in range(5):
            y = module(torch.from_numpy(x))[0].detach().numpy()
            with draw_from(stream):
                counts += close(twin(x)[0].numpy(), y)
        counts += same_state(stream)
    return counts


_ROWS: dict[str, Callable[[], Counts]] = {
    "scaled_dot_product_attention": functional,
    "MultiheadAttention, batch first, with weights": partial(multihead, True, True),
    "MultiheadAttention, batch first, without": partial(multihead, True, False),
    "MultiheadAttention, tokens first, with weights": partial(multihead, False, True),
    "MultiheadAttention, tokens first, without": partial(multihead, False, False),
    "LSTM, between layers": partial(recurrent, "LSTM"),
    "GRU, between layers": partial(recurrent, "GRU"),
    "RNN, between layers": partial(recurrent, "RNN"),
}
ROWS = tuple(Row("torch", name, "live", partial(alone, compare)) for name, compare in _ROWS.items())
