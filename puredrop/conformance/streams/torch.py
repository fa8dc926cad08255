"""Beside PyTorch on the CPU: values bit for bit, so that a wrong mask and a wrong rounding both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any
from warnings import catch_warnings

import numpy as np

from ... import variants
from ...streams import TorchCPU, draw_from
from ...tensor import Tensor
from ...variants.alpha import SELU_SATURATION, restoring
from .row import Counts, Row, installed, total

RATES = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SEEDS = (0, 1, -3, 2**32 + 7, 2**64 - 1)
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (7, 9), (3, 4, 5, 6), (2, 0, 3), (57, 31))
MAPS: tuple[tuple[int, ...], ...] = ((4, 3, 5), (2, 3, 5, 4), (2, 3, 2, 4, 3))  # (N, C, L, ...)
DTYPES = ("float32", "float64", "float16")


def alone(compare: Callable[[], Counts]) -> Counts:
    """A comparison with PyTorch on one thread, which changes no mask, but takes less time on small arrays."""
    torch = installed("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare()
    finally:
        torch.set_num_threads(before)


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
    """Two calls in a row from each seed (alpha: two seeds), of our variant from the stream and of PyTorch's own."""
    torch, x = installed("torch"), inputs(shape, dtype)
    counts = Counts(0, 0)
    for seed in SEEDS[2:4] if function == "alpha_dropout" else SEEDS:
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
    """A million elements at once, at every rate."""
    torch, n, counts = installed("torch"), 1_000_003, Counts(0, 0)
    torch.manual_seed(11)
    stream = TorchCPU(11)
    for p in RATES:
        theirs = torch.nn.functional.dropout(torch.ones(n), p) != 0
        counts += compared(stream.mask(n, p), theirs.numpy())
    return counts + same_state(stream)


def native() -> Counts:
    """`native_dropout`, which draws at p = 0 and 1 too; values, and gradients, whose scale is not rounded."""
    torch, counts = installed("torch"), Counts(0, 0)
    for dtype, p, seed in product(DTYPES, RATES, SEEDS):
        x = torch.from_numpy(inputs((17, 19), dtype)).t().requires_grad_()
        torch.manual_seed(seed)
        stream = TorchCPU(seed)
        for _ in range(2):
            y, keep = torch.native_dropout(x, p, True)
            (gradient,) = torch.autograd.grad(y, x, x.detach())
            mask = stream.mask((19, 17), p, operation="native_dropout", dtype=dtype, strides=x.stride())
            counts += compared(mask, keep.numpy())
            for name, expected in (("native_dropout", y.detach()), ("native_dropout_backward", gradient)):
                ours = stream.arithmetic(name, p)(np, x.detach().numpy(), mask, None, None, 0.0)
                counts += compared(ours, expected.numpy())
        counts += same_state(stream)
    return counts


def unbatched() -> Counts:
    """`dropout1d` of (C, L) and `dropout3d` of (C, D, H, W), without a batch; `dropout2d` of (N, C, L), with one."""
    torch, counts = installed("torch"), Counts(0, 0)
    for (name, shape), p, seed in product(
        (("dropout1d", (40, 7)), ("dropout2d", (8, 9, 3)), ("dropout3d", (30, 2, 3, 4))), RATES, SEEDS
    ):
        torch.manual_seed(seed)
        stream = TorchCPU(seed)
        for _ in range(2):
            with catch_warnings(action="ignore"):  # three axes mean something else to most readers
                theirs = getattr(torch.nn.functional, name)(torch.ones(shape), p).numpy() != 0
            counts += compared(np.broadcast_to(stream.mask(shape, p, operation=name), shape), theirs)
        counts += same_state(stream)
    return counts


def gradients() -> Counts:
    """Gradients bit for bit, -0.0 and NaN under a zero mask among them."""
    torch, counts = installed("torch"), Counts(0, 0)
    names = "dropout", "alpha_dropout", "feature_alpha_dropout"
    for name, dtype, p in product(names, DTYPES, RATES):
        x, g = inputs((29, 31), dtype), inputs((29, 31), dtype)[::-1].copy()
        leaf, ours = torch.from_numpy(x).requires_grad_(), Tensor(x, requires_grad=True)
        torch.manual_seed(3)
        getattr(torch.nn.functional, name)(leaf, p, training=True).backward(torch.from_numpy(g))
        with draw_from(TorchCPU(3)):
            getattr(variants, name)(ours, p).backward(g)
        counts += compared(ours.grad, leaf.grad.numpy())
    return counts


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
    torch, counts = installed("torch"), Counts(0, 0)
    for seed, q, dtype in product(SEEDS, (0.0, 1e-8, 0.3, 1.0), DTYPES):
        torch.manual_seed(seed)
        torch.rand(5)
        torch.randn(3)  # leaves a normal number in the state
        stream = TorchCPU.from_state(torch.get_rng_state().numpy())
        counts += compared(stream.bernoulli_((7, 8), q), torch.empty(7, 8).bernoulli_(q).bool().numpy())
        for probabilities in (np.full((3, 50), q, dtype), np.linspace(0, 1, 90).reshape(9, 10).astype(dtype).T):
            theirs = torch.bernoulli(torch.from_numpy(probabilities)).bool().numpy()
            counts += compared(stream.bernoulli(probabilities), theirs)
        theirs = torch.rand(3, 301, dtype=getattr(torch, dtype)).numpy()
        counts += compared(stream.rand((3, 301), dtype), theirs) + same_state(stream)
    return counts


def bfloat16() -> Counts:
    """Values in bfloat16, a type of ml_dtypes here. Compared in float32, where every one of them is."""
    torch, dtype, counts = installed("torch"), installed("ml_dtypes").bfloat16, Counts(0, 0)
    for name, seed, p in product(("dropout", "alpha_dropout", "native_dropout"), SEEDS, RATES):
        x = inputs((23, 29), "float32")[:, :-3]
        theirs = torch.from_numpy(x).bfloat16()
        ours = theirs.float().numpy().astype(dtype)
        torch.manual_seed(seed)
        y = torch.native_dropout(theirs, p, True)[0] if name == "native_dropout" else _bfloat16(name)(theirs, p)
        stream = TorchCPU(seed)
        affine = restoring(p, 0.0, 1.0, SELU_SATURATION)
        mask = stream.mask(x.shape, p, operation=name, dtype=ours.dtype, strides=theirs.stride())
        mine = stream.arithmetic(name, p)(np, ours, mask, affine.scale, affine.shift, affine.fill)
        counts += compared(*(np.where(np.isnan(a), np.float32(-1e30), a) for a in _wide(mine, y)))
        counts += same_state(stream)
    return counts


def _wide(ours: np.ndarray, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    return ours.astype(np.float32), theirs.float().numpy()


def _bfloat16(name: str) -> Callable[..., Any]:
    return partial(_training, getattr(installed("torch").nn.functional, name))


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
    "dropout1d, 2d and 3d, one axis less": unbatched,
    "feature_alpha_dropout": partial(functional, "feature_alpha_dropout", MAPS),
    "native_dropout": native,
    "gradients": gradients,
    "dropout, five kinds of strides": strided,
    "values in bfloat16": bfloat16,
    "bernoulli_, bernoulli, rand, state": generator,
}
ROWS = tuple(Row("torch", name, "live", partial(alone, compare)) for name, compare in _ROWS.items())
