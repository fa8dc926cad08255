"""Beside PyTorch on the CPU: values bit for bit, so that a wrong mask and a wrong rounding both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ... import variants
from ...streams import TorchCPU, draw_from
from .row import Counts, Row, installed, total

RATES = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SEEDS = (0, 1, -3, 2**32 + 7, 2**64 - 1)
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (7, 9), (3, 4, 5, 6), (2, 0, 3), (1000, 33))
MAPS: tuple[tuple[int, ...], ...] = ((4, 3, 5), (2, 3, 5, 4), (2, 3, 2, 4, 3))  # (N, C, L, ...)
DTYPES = ("float32", "float64", "float16")


def bits(a: Any) -> np.ndarray:
    """The bytes of an array, so that -0.0 and NaN compare as they are. (n, itemsize)"""
    a = np.ascontiguousarray(a)
    return a.reshape(-1).view(np.uint8).reshape(a.size, a.itemsize)


def compared(ours: Any, theirs: Any) -> Counts:
    """How many elements of two arrays are not the same bits."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return Counts(max(ours.size, theirs.size, 1), max(ours.size, theirs.size, 1))
    return Counts(ours.size, int((bits(ours) != bits(theirs)).any(axis=1).sum()))


def same_state(stream: Any) -> Counts:
    """Whether the generators stand at the same place, as one element."""
    return Counts(1, int(compared(stream.state(), installed("torch").get_rng_state().numpy()).mismatches > 0))


def inputs(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of both signs, with a NaN, an infinity and a -0.0 where there is room."""
    x = np.random.default_rng(len(shape)).standard_normal(shape)
    for value, at in ((np.nan, 0), (-np.inf, 1), (-0.0, 2)):
        if x.size > at:
            x.reshape(-1)[-1 - at] = value
    return x.astype(dtype)


def replayed(function: str, theirs: Callable[..., Any], shape: tuple[int, ...], dtype: str, p: float) -> Counts:
    """Two calls in a row from every seed, of our variant from the stream and of PyTorch's function."""
    torch, x = installed("torch"), inputs(shape, dtype)
    counts = Counts(0, 0)
    for seed in SEEDS:
        stream = TorchCPU(seed)
        torch.manual_seed(seed)
        with draw_from(stream):
            ours = [getattr(variants, function)(x, p) for _ in range(2)]
        counts += total(compared(y, theirs(torch.from_numpy(x.copy()), p).numpy()) for y in ours)
        counts += same_state(stream)
    return counts


def functional(name: str, shapes: tuple[tuple[int, ...], ...]) -> Counts:
    """A function of torch.nn.functional over shapes, dtypes, rates, seeds, twice in a row."""
    call = getattr(installed("torch").nn.functional, name)
    return total(replayed(name, partial(_training, call), s, d, p) for s, d, p in product(shapes, DTYPES, RATES))


def _training(call: Callable[..., Any], x: Any, p: float) -> Any:
    return call(x, p, training=True)


def large() -> Counts:
    """A million elements at once."""
    torch = installed("torch")
    torch.manual_seed(11)
    theirs = torch.nn.functional.dropout(torch.ones(1_000_003), 0.3) != 0
    return compared(TorchCPU(11).mask(1_000_003, 0.3), theirs.numpy())


def layouts() -> Iterator[tuple[Any, Any]]:
    """Arrays of PyTorch that lie in memory in five ways, and the same of NumPy."""
    torch = installed("torch")
    x = torch.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5) + 1
    some = torch.arange(1.0, 601).reshape(20, 30)
    yield from (
        (x, x.numpy()),
        (x.permute(2, 0, 3, 1), x.permute(2, 0, 3, 1).numpy()),
        (some[::2, 3:20], some[::2, 3:20].numpy()),
        (some[:, :1].expand(20, 6), some[:, :1].expand(20, 6).numpy()),
    )
    last = x.contiguous(memory_format=torch.channels_last)
    yield last, last.numpy()


def strided() -> Counts:
    """Element order by strides: dense, permuted, sliced, expanded, channels last."""
    torch = installed("torch")
    counts = Counts(0, 0)
    for (theirs, ours), p, seed in product(layouts(), (0.1, 0.5, 0.9), SEEDS):
        stream = TorchCPU(seed)
        torch.manual_seed(seed)
        with draw_from(stream):
            y = variants.dropout(ours, p)
        counts += compared(y, torch.nn.functional.dropout(theirs, p).numpy()) + same_state(stream)
    return counts


def generator() -> Counts:
    """bernoulli_ with a number, bernoulli with probabilities, rand; and the state, imported in the middle."""
    torch = installed("torch")
    counts = Counts(0, 0)
    for seed, q, dtype in product(SEEDS, (0.0, 1e-8, 0.3, 1.0), (np.float32, np.float64)):
        torch.manual_seed(seed)
        torch.rand(5)
        stream = TorchCPU.from_state(torch.get_rng_state().numpy())
        probabilities = np.full((3, 50), q, dtype)
        counts += compared(stream.bernoulli_((7, 8), q), torch.empty(7, 8).bernoulli_(q).bool().numpy())
        theirs = torch.bernoulli(torch.from_numpy(probabilities)).bool().numpy()
        counts += compared(stream.bernoulli(probabilities), theirs)
        name = torch.float64 if dtype is np.float64 else torch.float32
        counts += compared(stream.rand((9,), dtype), torch.rand(9, dtype=name).numpy()) + same_state(stream)
    return counts


def bfloat16() -> Counts:
    """Masks for bfloat16, a type that NumPy lacks: no values."""
    torch = installed("torch")
    counts = Counts(0, 0)
    for seed, p in product(SEEDS, RATES):
        torch.manual_seed(seed)
        y = torch.nn.functional.dropout(torch.ones(500, dtype=torch.bfloat16), p)
        counts += compared(TorchCPU(seed).mask(500, p, dtype="bfloat16"), (y != 0).numpy())
    return counts


def probe() -> str:
    """Which generator of dropout the installed PyTorch has: "mt19937", "mkl", or "unknown".

    It is seen at the words that 100 draws take: 200 of the Mersenne twister, or one that seeds MKL's.
    """
    torch = installed("torch")
    kept = torch.get_rng_state()
    try:
        torch.manual_seed(5)
        torch.empty(100).bernoulli_(0.3)
        following = int.from_bytes(torch.get_rng_state().numpy()[16:24].tobytes(), "little")
    finally:
        torch.set_rng_state(kept)
    return {200: "mt19937", 1: "mkl"}.get(following, "unknown")


_ROWS: dict[str, Callable[[], Counts]] = {
    **{name: partial(functional, name, SHAPES) for name in ("dropout", "alpha_dropout")},
    "dropout, a million elements": large,
    "dropout1d": partial(functional, "dropout1d", MAPS[:1]),
    "dropout2d": partial(functional, "dropout2d", MAPS[1:2]),
    "dropout3d": partial(functional, "dropout3d", MAPS[2:]),
    "feature_alpha_dropout": partial(functional, "feature_alpha_dropout", MAPS),
    "dropout, five kinds of strides": strided,
    "dropout, bfloat16": bfloat16,
    "bernoulli_, bernoulli, rand, state": generator,
}
ROWS = tuple(Row("torch", name, "live", compare) for name, compare in _ROWS.items())
