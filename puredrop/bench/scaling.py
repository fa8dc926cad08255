"""Dropout alone from small arrays to large, forward and backward, beside what else one could call.

Every contender gets the same float32 arrays and drops at the same rate. `forward` gives y; `forward+backward` gives
(y, dx) for an incoming gradient g, by the means that a user of that library has. All draw anew at every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from .. import backends
from ..random import Rng
from ..tensor import Tensor
from ..variants import dropout, keep_mask
from .suite import Contender, Suite, UnavailableError
from .timing import Call

P = 0.1
SCALE = np.float32(1 / (1 - P))
FORWARD, BOTH = "forward", "forward+backward"
CPU_BACKENDS = ("numpy", "numba")


def suite(names: Sequence[str] | None = None) -> Suite:
    """The contenders, with puredrop on the backends of these names; None stands for those of a CPU.

    Raises: ValueError or ImportError for a named backend that is unknown or not installed.
    """
    for name in names or ():
        backends.get(name)
    return Suite(
        name="scaling",
        passes=(FORWARD, BOTH),
        contenders=(
            Contender("copy", copy),
            Contender("copy into out=", copy_into_out),
            Contender("numpy generator", numpy_generator),
            Contender("torch", torch_dropout),
            Contender("masks alone", masks_alone),
            *(Contender(f"puredrop[{name}]", partial(puredrop_dropout, name)) for name in names or CPU_BACKENDS),
        ),
        inputs=inputs,
        p=P,
        dtype="float32",
        floor="copy",
    )


def inputs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and the incoming gradient g. (size,) each."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(size, np.float32), rng.standard_normal(size, np.float32)


def copy(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The memory floor: a scaled copy reads and writes what dropout must read and write, and draws nothing."""
    return {FORWARD: lambda: x * SCALE, BOTH: lambda: (x * SCALE, g * SCALE)}


def copy_into_out(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The same into arrays that exist already: what is left when the system need not provide fresh memory."""
    y, dx = np.empty_like(x), np.empty_like(g)

    def forward() -> Any:
        return np.multiply(x, SCALE, out=y)

    def both() -> Any:
        return np.multiply(x, SCALE, out=y), np.multiply(g, SCALE, out=dx)

    return {FORWARD: forward, BOTH: both}


def masks_alone(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The arithmetic floor: the decisions are drawn and written as bytes, and nothing is read. Backward draws again."""
    rng = Rng(seed=0)

    def forward() -> Any:
        return keep_mask(rng.next_key(), x.shape, P)

    def both() -> Any:
        key = rng.next_key()
        return keep_mask(key, x.shape, P), keep_mask(key, x.shape, P)

    return {FORWARD: forward, BOTH: both}


def numpy_generator(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """What one writes by hand, in the quickest usual form: the scale goes into the mask, which backward keeps."""
    rng = np.random.default_rng(0)

    def forward() -> Any:
        return x * ((rng.random(x.shape, np.float32) >= P) * SCALE)

    def both() -> Any:
        mask = (rng.random(x.shape, np.float32) >= P) * SCALE
        return x * mask, g * mask

    return {FORWARD: forward, BOTH: both}


def torch_dropout(x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """PyTorch's function and PyTorch's tape."""
    torch = pytorch()
    plain, leaf, incoming = torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), torch.from_numpy(g)

    def forward() -> Any:
        return torch.nn.functional.dropout(plain, P, training=True)

    def both() -> Any:
        leaf.grad = None
        y = torch.nn.functional.dropout(leaf, P, training=True)
        y.backward(incoming)
        return y.detach(), leaf.grad

    return {FORWARD: forward, BOTH: both}


def pytorch() -> ModuleType:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: installed, but a library that it needs is not
        raise UnavailableError(f"PyTorch cannot be imported ({error}); pip install torch==2.13.0") from None
    return torch


def puredrop_dropout(name: str, x: np.ndarray, g: np.ndarray) -> dict[str, Call]:
    """The public functions, with a fresh key at every call as in training."""
    try:
        backend = backends.get(name)
    except ImportError as error:
        raise UnavailableError(str(error)) from None
    if backend.xp is not np:
        raise UnavailableError(f"backend {name!r} does not compute on the CPU, and this suite times CPUs only")
    rng, leaf = Rng(seed=0), Tensor(x, backend, requires_grad=True)

    def forward() -> Any:
        return dropout(x, p=P, key=rng.next_key(), backend=backend)

    def both() -> Any:
        leaf.grad = None
        y = dropout(leaf, p=P, key=rng.next_key())
        y.backward(g)
        return y.data, leaf.grad

    return {FORWARD: forward, BOTH: both}
