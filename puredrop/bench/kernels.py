"""Single operations that draw, each beside what PyTorch, JAX and NumPy have for it.

A pass is an operation. A contender takes part in those that its library has: the others have no row of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from .. import backends, ops
from ..random import Rng
from ..tensor import Tensor
from ..variants import alpha_dropout, concrete_dropout, dropout, dropout2d, gaussian_dropout, keep_mask
from .scaling import CPU_BACKENDS, SCALE, P, inputs, pytorch
from .suite import Contender, Suite, UnavailableError
from .timing import Call

OPERATIONS = (
    "dropout",
    "dropout into out=",
    "dropout, forward+backward",
    "keep mask",
    "dropout2d",
    "alpha dropout",
    "softmax and dropout",
    "Gaussian dropout",
    "concrete dropout",
)
SIZES = (1 << 14, 1 << 17, 1 << 20)
SPREAD = (P / (1 - P)) ** 0.5  # of Gaussian dropout
LOGIT, TEMPERATURE = float(np.log(P / (1 - P))), 0.1  # of concrete dropout
CHANNEL, ROW = 256, 128  # elements of a channel of dropout2d, and of a row of softmax


def suite(names: Sequence[str] | None = None) -> Suite:
    """The contenders, with puredrop on the backends of these names; None stands for those of a CPU.

    Raises: ValueError or ImportError for a named backend that is unknown or not installed.
    """
    for name in names or ():
        backends.get(name)
    return Suite(
        name="kernels",
        passes=OPERATIONS,
        contenders=(
            Contender("copy", copy),
            Contender("numpy generator", by_hand),
            Contender("torch", in_torch),
            Contender("jax", in_jax),
            *(Contender(f"puredrop[{name}]", partial(in_puredrop, name)) for name in names or CPU_BACKENDS),
        ),
        inputs=inputs,
        p=P,
        dtype="float32",
        floor="copy",
        sizes=SIZES,
    )


def _images(x: Any) -> Any:
    """(channels, positions) of a flat array, as an image of one example: (1, C, H, 16)."""
    whole = x[: x.size // CHANNEL * CHANNEL]
    return whole.reshape(1, -1, CHANNEL // 16, 16) if whole.size else x.reshape(1, 1, 1, -1)


def _rows(x: Any) -> Any:
    whole = x[: x.size // ROW * ROW]
    return whole.reshape(-1, ROW) if whole.size else x.reshape(1, -1)


def copy(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The memory floor: what is read must be read, and what is written must be written."""
    y, bits = np.empty_like(x), x > 0
    once = {name: lambda: x * SCALE for name in OPERATIONS}
    return once | {
        "dropout into out=": lambda: np.multiply(x, SCALE, out=y),
        "dropout, forward+backward": lambda: (x * SCALE, g * SCALE),
        "keep mask": bits.copy,
    }


def by_hand(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The usual lines with NumPy's generator, in float32."""
    rng = np.random.default_rng(0)
    images = _images(x)

    def keep(shape: Any) -> Any:
        return rng.random(shape, np.float32) >= P

    return {
        "dropout": lambda: x * (keep(x.shape) * SCALE),
        "keep mask": lambda: keep(x.shape),
        "dropout2d": lambda: images * (keep((*images.shape[:2], 1, 1)) * SCALE),
        "Gaussian dropout": lambda: x * (1 + np.float32(SPREAD) * rng.standard_normal(x.shape, np.float32)),
    }


def in_torch(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """PyTorch's functions, and PyTorch's tape."""
    torch = pytorch()
    f = torch.nn.functional
    plain, incoming, chances = torch.from_numpy(x), torch.from_numpy(g), torch.full((x.size,), 1 - P)
    leaf = plain.clone().requires_grad_()
    images, rows = torch.from_numpy(_images(x)), torch.from_numpy(_rows(x))

    def both() -> Any:
        leaf.grad = None
        y = f.dropout(leaf, P)
        y.backward(incoming)
        return y.detach(), leaf.grad

    def relaxed() -> Any:
        u = torch.rand_like(plain).clamp_(1e-7, 1 - 1e-7)
        return plain * (torch.sigmoid((LOGIT + torch.log(u) - torch.log1p(-u)) / -TEMPERATURE) * SCALE)

    return {
        "dropout": lambda: f.dropout(plain, P),
        "dropout into out=": lambda: f.dropout(plain, P),
        "dropout, forward+backward": both,
        "keep mask": lambda: torch.bernoulli(chances),
        "dropout2d": lambda: f.dropout2d(images, P),
        "alpha dropout": lambda: f.alpha_dropout(plain, P, training=True),
        "softmax and dropout": lambda: f.dropout(torch.softmax(rows, -1), P),
        "Gaussian dropout": lambda: plain * (1 + SPREAD * torch.randn_like(plain)),
        "concrete dropout": relaxed,
    }


def in_jax(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """JAX's usual lines, compiled; each call waits for its result, and splitting the key is part of it."""
    jax = _jax()
    numbers, bernoulli = jax.numpy, jax.random.bernoulli

    def dropped(key: Any, x: Any) -> Any:
        return numbers.where(bernoulli(key, 1 - P, x.shape), x * SCALE, 0)

    def with_gradient(key: Any, x: Any, g: Any) -> Any:
        y, pull = jax.vjp(partial(dropped, key), x)
        return y, pull(g)[0]

    compiled = {
        "dropout": (dropped, (x,)),
        "dropout, forward+backward": (with_gradient, (x, g)),
        "keep mask": (lambda key, x: bernoulli(key, 1 - P, x.shape), (x,)),
        "softmax and dropout": (lambda key, x: dropped(key, jax.nn.softmax(x)), (_rows(x),)),
        "Gaussian dropout": (lambda key, x: x * (1 + SPREAD * jax.random.normal(key, x.shape)), (x,)),
    }
    return {name: _waiting(jax, f, arrays) for name, (f, arrays) in compiled.items()}


def _waiting(jax: Any, f: Any, arrays: tuple[Any, ...]) -> Call:
    state = [jax.random.key(0)]

    def step(key: Any, *arrays: Any) -> Any:
        key, now = jax.random.split(key)
        return key, f(now, *arrays)

    run, placed = jax.jit(step), [jax.numpy.asarray(a) for a in arrays]

    def call() -> Any:
        state[0], y = run(state[0], *placed)
        return jax.block_until_ready(y)

    return call


def _jax() -> ModuleType:
    try:
        import jax
    except (ImportError, OSError) as error:
        raise UnavailableError(f"JAX cannot be imported ({error}); pip install jax") from None
    return jax


def in_puredrop(name: str, x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The public functions, with a fresh key at every call as in training."""
    try:
        backend = backends.get(name)
    except ImportError as error:
        raise UnavailableError(str(error)) from None
    if backend.xp is not np:
        raise UnavailableError(f"backend {name!r} does not compute on the CPU, and this suite times CPUs only")
    next_key, leaf, y = Rng(seed=0).next_key, Tensor(x, backend, requires_grad=True), np.empty_like(x)
    images, rows = _images(x), _rows(x)

    def both() -> Any:
        leaf.grad = None
        y = dropout(leaf, p=P, key=next_key())
        y.backward(g)
        return y.data, leaf.grad

    def attention() -> Any:
        return dropout(ops.softmax(rows, backend=backend), p=P, key=next_key(), backend=backend)

    return {
        "dropout": lambda: dropout(x, p=P, key=next_key(), backend=backend),
        "dropout into out=": lambda: dropout(x, p=P, key=next_key(), out=y, backend=backend),
        "dropout, forward+backward": both,
        "keep mask": lambda: keep_mask(next_key(), x.shape, P, backend=backend),
        "dropout2d": lambda: dropout2d(images, p=P, key=next_key(), backend=backend),
        "alpha dropout": lambda: alpha_dropout(x, p=P, key=next_key(), backend=backend),
        "softmax and dropout": attention,
        "Gaussian dropout": lambda: gaussian_dropout(x, p=P, key=next_key(), backend=backend),
        "concrete dropout": lambda: concrete_dropout(x, LOGIT, TEMPERATURE, key=next_key(), backend=backend),
    }
