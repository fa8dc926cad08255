"""What must hold on the device: each function raises AssertionError, with a sentence, where it does not.

`kernels` is the second rung of the ladder with other launches; the rest is what no machine without a device can show.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import cupy
import numpy as np

from puredrop import Index, Key, Tensor, conformance, dropout
from puredrop.backends import cupy as backend
from puredrop.backends.cuda.host import checks
from puredrop.backends.emulation import host_emulation
from puredrop.random import bernoulli, threshold

from .device import DeviceModule, free

HALF = threshold(0.5)
SANITIZED_BY = "PUREDROP_SANITIZED_BY"  # set where compute-sanitizer runs this program, tens of times slower


class NotHere(Exception):  # noqa: N818  # no malfunction
    """Something is absent that a rung needs; its text says what."""


def kernels(host: bool) -> str:
    """Every kernel against the NumPy reference, with canaries, odd sizes and addresses, all bit patterns."""
    # On the CPU the tests run all of these; here one shows that the way to the device and back works.
    names = ["patterns"] if host else [name for name in checks.CHECKS if name != "far"]
    names = ["keep", "rows", "blocks", "softmax"] if SANITIZED_BY in os.environ else names
    bench = DeviceModule().bench
    for name in names:
        checks.CHECKS[name](bench)
    return f"{bench.launches} launches agree with the reference"


def far_elements(host: bool) -> str:
    """The end of an array of more than 2^33 elements is the reference's."""
    n = (1 << 12) + 5 if host else (1 << 33) + (1 << 20) + 5
    if not host and cupy.cuda.runtime.memGetInfo()[0] < 3 * n * 2:
        n = (1 << 32) + (1 << 20) + 5
    x = cupy.empty(n, np.float16)
    x.fill(1.0)
    index = Index.whole(n)
    y = backend.drop(x, Key(5), index, HALF, 2.0)
    windows = (0, n // 3, (1 << 31) - 999, (1 << 32) - 999, n - 2000)
    for start in sorted({max(0, min(start, n - 2000)) for start in windows}):
        keep = bernoulli.keep_mask(Key(5), index[start : start + 2000], HALF)
        require(np.array_equal(y[start : start + 2000].get() != 0, keep), f"elements from {start} on differ")
    del x, y
    if not host:
        free()
    return f"{n} elements, windows up to the last"


def streams(host: bool) -> str:
    """Work goes to the current stream: what waits there before it is seen by it."""
    for _ in range(3):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            x = cupy.zeros(1 << (12 if host else 26), np.float32)
            x += 1
            y = backend.drop(x, Key(1), Index.whole(x.size), HALF, 2.0)
            stream.synchronize()
        keep = bernoulli.keep_mask(Key(1), Index.whole(4096), HALF)
        require(np.array_equal(y[:4096].get(), keep * np.float32(2)), "a drop did not wait for its stream")
    return "three streams of their own"


def graphs(host: bool) -> str:
    """A captured step draws another mask each time that its key is overwritten."""
    if host:
        raise NotHere("needs a device")
    x, stored, index = cupy.ones(100_003, np.float32), backend.store(Key(7)), Index.whole(100_003)
    cupy.cuda.Stream.null.synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        backend.drop(x, stored, index, HALF, 2.0)  # compiles, and leaves memory of this stream in the pool
        stream.begin_capture()
        y = backend.drop(x, stored, index, HALF, 2.0)
        graph = stream.end_capture()
        for step in range(4):
            backend.overwrite(stored, Key(7, step=step))
            graph.launch(stream)
            stream.synchronize()
            keep = bernoulli.keep_mask(Key(7, step=step), index, HALF)
            require(np.array_equal(y.get() != 0, keep), f"replay {step} has another mask than key {step}")
    return "four replays, four masks"


def dlpack(host: bool) -> str:
    """A CUDA tensor of PyTorch goes in and comes out without a copy, bfloat16 as its bits."""
    torch = needed("torch")
    if host or not torch.cuda.is_available():
        raise NotHere("needs a device" if host else "this PyTorch is built without CUDA")
    for dtype, same in ((torch.float32, torch.float32), (torch.float16, torch.float16), (torch.bfloat16, torch.uint16)):
        t = torch.randn(10_000, device="cuda", dtype=dtype)
        x = cupy.from_dlpack(t.view(same))
        require(x.data.ptr == t.data_ptr(), f"{dtype} was copied on its way in")
        y = backend.drop(x, Key(3), Index.whole(10_000), HALF, 2.0)
        back = torch.from_dlpack(y).view(dtype)
        require(back.data_ptr() == y.data.ptr, f"{dtype} was copied on its way out")
        keep = torch.from_numpy(bernoulli.keep_mask(Key(3), Index.whole(10_000), HALF)).cuda()
        expected = torch.where(keep, t.float() * 2, torch.zeros(())).to(dtype)
        require(torch.equal(back, expected), f"{dtype} has other values")
    return "float32, float16, bfloat16"


def no_mask_in_memory(host: bool) -> str:
    """From forward to backward nothing is kept: memory holds x, y and the gradient, and no mask."""
    if host:
        raise NotHere("needs a device")
    free()
    pool, n = cupy.get_default_memory_pool(), 1 << 24
    before = pool.used_bytes()
    x = Tensor(cupy.ones(n, np.float32), "cupy", requires_grad=True)
    y = dropout(x, 0.1, key=Key(0))
    kept = pool.used_bytes() - before - 2 * 4 * n
    require(kept < 4096, f"{kept} bytes beside x and y are kept until backward")
    y.backward(cupy.ones(n, np.float32))
    return f"{kept} bytes beside x and y"


def errors(host: bool) -> str:
    """One clear sentence each, on the device itself."""
    if host:
        raise NotHere("needs a device")
    free_bytes, _ = cupy.cuda.runtime.memGetInfo()
    try:
        backend.keep(Key(0), Index.whole((4, free_bytes)), HALF)
    except MemoryError as error:
        require("no room on the device" in str(error), f"out of memory says: {error}")
    else:
        require(False, "four times the memory of the device could be had")
    if cupy.cuda.runtime.getDeviceCount() < 2:
        return "out of memory; one device only, so none of two devices"
    x = cupy.ones(8, np.float32)
    with cupy.cuda.Device(1):
        try:
            backend.drop(x, Key(0), Index.whole(8), HALF)
        except ValueError as error:
            require("lies on device 0, the current device is 1" in str(error), f"two devices say: {error}")
        else:
            require(False, "an array of another device was taken")
    return "out of memory, two devices"


def table_of_variants(host: bool) -> str:
    """The whole conformance table with this backend; in several processes, for it is many small steps."""
    names = ["dropout"] if host else list(conformance.CASES)
    with ProcessPoolExecutor(min(8, len(names)), get_context("spawn")) as pool:
        rows = [row for part in pool.map(_verified_on_host if host else _verified, names) for row in part]
    failed = [f"{row.variant}, {row.check}: {row.reason}" for row in rows if row.status == "failed"]
    require(not failed, "; ".join(failed[:20]))
    return conformance.summary(rows)


def _verified(name: str) -> list[Any]:
    return conformance.verify([name], on=["cupy"])


def _verified_on_host(name: str) -> list[Any]:
    """Three checks, to see that another process can do it."""
    with host_emulation() as emulated:
        subject = conformance.own(conformance.CASES[name], emulated)
        few = ("identity", "signed zero", "recomputation")
        return [conformance.run_check(subject, check, conformance.CHECKS[check]) for check in few]


def layers(host: bool) -> str:
    """Layers beside PyTorch's: outputs, gradients, in float64."""
    needed("torch")
    from puredrop.conformance import layers
    from puredrop.conformance.layers.checks import compared

    cases = layers.CASES[:1] if host else layers.CASES
    worst = {case.name: max(compared(case, "cupy").values()) for case in cases}
    failed = [f"{name}: {error:.1e}" for name, error in worst.items() if not error < 1e-10]
    require(not failed, "; ".join(failed[:20]))
    return f"{len(worst)} layers and options, the largest error {max(worst.values()):.1e}"


def needed(package: str) -> Any:
    """A package that a rung cannot do without."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise NotHere(f"the package {package!r} is not installed")
    return import_module(package)


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


RUNGS: dict[str, Callable[[bool], str]] = {
    function.__name__: function
    for function in (
        kernels,
        streams,
        graphs,
        dlpack,
        no_mask_in_memory,
        errors,
        far_elements,
        layers,
        table_of_variants,
    )
}
SANITIZED = ("kernels", "streams")
