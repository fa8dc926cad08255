"""What puredrop is timed beside: each yields (name, element, bytes moved an element, work), or raises NotHere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cupy
import numpy as np

from puredrop import Index, Key
from puredrop.backends import cupy as backend
from puredrop.random import threshold

from .device import filled
from .rungs import NotHere, needed

P = 0.1
TO_DEVICE = 3  # cudaMemcpyDeviceToDevice
Contender = tuple[str, str, float, Callable[[], Any]]
BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


def device_copy(n: int, host: bool) -> Iterator[Contender]:
    """The floor: every byte read once and written once."""
    memcpy = cupy.cuda.runtime.memcpyAsync
    for element, size in BYTES.items():
        x = filled(n, element)
        y = cupy.empty_like(x)
        if host:
            yield "device copy", element, 2 * size, partial(y.__setitem__, ..., x)
        else:
            yield "device copy", element, 2 * size, partial(memcpy, y.data.ptr, x.data.ptr, x.nbytes, TO_DEVICE, 0)


def puredrop(n: int, host: bool) -> Iterator[Contender]:
    """The map, which is forward and backward alike; with the mask saved as bits, and from them."""
    key, index, rate, scale = Key(7), Index.whole(n), threshold(P), 1 / (1 - P)
    for element, size in BYTES.items():
        x = filled(n, element)
        told = x, key, index, rate, scale
        yield "puredrop forward = backward", element, 2 * size, partial(backend.drop, *told)
        yield "puredrop forward, 1 bit saved", element, 2 * size + 1 / 8, partial(backend.drop_and_bits, *told)
        _, bits = backend.drop_and_bits(*told)
        yield "puredrop backward from bits", element, 2 * size + 1 / 8, partial(backend.drop_saved, x, bits, 1, scale)
    yield "puredrop mask alone, a byte each", "-", 1, partial(backend.keep, key, index, rate)


def torch_native(n: int, host: bool) -> Iterator[Contender]:
    """torch.native_dropout, which keeps a byte of mask an element."""
    torch = _torch(host)
    backward = torch.ops.aten.native_dropout_backward
    for element, size in BYTES.items():
        x = _tensor(torch, n, element, host)
        yield "torch.native_dropout forward", element, 2 * size + 1, partial(torch.native_dropout, x, P, True)
        _, mask = torch.native_dropout(x, P, True)
        yield "torch.native_dropout backward", element, 2 * size + 1, partial(backward, x, mask, 1 / (1 - P))


def torch_compiled(n: int, host: bool) -> Iterator[Contender]:
    """torch.compile of the functional."""
    torch = _torch(host)
    if host:
        raise NotHere("needs a device")
    compiled = torch.compile(lambda x: torch.nn.functional.dropout(x, P, True))
    for element, size in BYTES.items():
        x = _tensor(torch, n, element, host)
        compiled(x)
        yield "torch.compile forward", element, 2 * size, partial(compiled, x)


def triton(n: int, host: bool) -> Iterator[Contender]:
    """A kernel as Triton users write it: a seed in place of a mask, one Philox call an element."""
    torch, triton = _torch(host), needed("triton")
    if host:
        raise NotHere("needs a device")
    from .triton_kernel import seeded_dropout

    kernel = seeded_dropout[(triton.cdiv(n, 1024),)]
    for element, size in BYTES.items():
        x = _tensor(torch, n, element, host)
        yield "Triton, seeded", element, 2 * size, partial(kernel, x, torch.empty_like(x), n, P, 123, BLOCK=1024)


def jax(n: int, host: bool) -> Iterator[Contender]:
    """bernoulli and where under jit, timed by the host's clock: JAX has streams of its own."""
    jax = needed("jax")
    if not host and jax.default_backend() != "gpu":
        raise NotHere("this JAX is built without CUDA")
    numpy = jax.numpy

    @jax.jit
    def drop(key: Any, x: Any) -> Any:
        return numpy.where(jax.random.bernoulli(key, 1 - P, x.shape), x / (1 - P), 0).astype(x.dtype)

    for element, dtype in (("fp32", numpy.float32), ("bf16", numpy.bfloat16)):
        x, key = numpy.ones(n, dtype), jax.random.key(0)
        yield (
            "JAX bernoulli and where",
            element,
            2 * BYTES[element],
            lambda x=x, key=key: drop(key, x).block_until_ready(),
        )


def _torch(host: bool) -> Any:
    torch = needed("torch")
    if not host and not torch.cuda.is_available():
        raise NotHere("this PyTorch is built without CUDA")
    return torch


def _tensor(torch: Any, n: int, element: str, host: bool) -> Any:
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[element]
    return torch.from_numpy(np.ones(n, np.float32)).to(device="cpu" if host else "cuda", dtype=dtype)


PEERS = {"device copy": device_copy, "puredrop": puredrop, "PyTorch": torch_native, "torch.compile": torch_compiled}
PEERS |= {"Triton": triton, "JAX": jax}
BY_HOST_CLOCK = ("JAX",)
