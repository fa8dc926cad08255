"""Build a CUDA source for the CPU with g++ and cuda_host.h, and launch its kernels on memory of this process.

>>> from puredrop.backends.cuda import host, source                                            # doctest: +SKIP
>>> module = host.load(source(), ["words<Run>"])                                               # doctest: +SKIP
>>> module.launch("words<Run>", (1,), (256,), [out, draw, None, np.uint32(1), run, None])      # doctest: +SKIP
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
COMPILER = "g++"
# No contraction to fused multiply-adds, as the kernels ask for on a GPU; aliasing as CUDA compilers take it.
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unknown-pragmas")
SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"),
    "thread": ("-fsanitize=thread", "-g"),
}


def missing() -> str | None:
    """Why kernels cannot be built here, or None."""
    return None if shutil.which(COMPILER) else f"{COMPILER} is not installed: CUDA kernels cannot be run on the CPU"


def pack(argument: Any) -> tuple[str, bytes]:
    """(kind, bytes) of an argument as a launch reads it: arrays give their address, (1,) structures their bytes.

    The kinds are those of `Module.signature`. A Python number is refused: its width is not that of a parameter.
    """
    if argument is None:
        return "p", bytes(8)
    if isinstance(argument, np.ndarray):
        if argument.dtype.kind == "V":
            return "s", argument.tobytes()
        return "p", argument.ctypes.data.to_bytes(8, "little")
    if isinstance(argument, ctypes.c_void_p):
        return "p", (argument.value or 0).to_bytes(8, "little")
    if isinstance(argument, np.generic):
        return "f" if argument.dtype.kind == "f" else "u", argument.tobytes()
    raise TypeError(f"a kernel takes arrays, structures and NumPy numbers, got {argument!r}")


class Module:
    """The kernels of one source, by name expression."""

    def __init__(self, library: ctypes.CDLL, source: str, names: Sequence[str]) -> None:
        self._library, self._numbers = library, {name: i for i, name in enumerate(names)}
        bounds = re.findall(r"__launch_bounds__\((\d+)[^)]*\)\s*(\w+)\(", source)
        self._most_threads = {name: int(limit) for limit, name in bounds}

    def _function(self, what: str, name: str) -> Any:
        if name not in self._numbers:
            raise KeyError(f"no kernel {name!r} was built; name it in `names`")
        return getattr(self._library, f"cuda_{what}_{self._numbers[name]}")

    def signature(self, name: str) -> tuple[tuple[str, int], ...]:
        """(kind, bytes) of each parameter; p: a pointer, u: a whole number, f: a real one, s: a structure."""
        text = self._function("signature", name)
        text.restype = ctypes.c_char_p
        return tuple((part[0], int(part[1:])) for part in text().decode().split())

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared_mem: int = 0,
        *,
        order: int = 0,
        blocks: tuple[int, int] = (0, 0),
    ) -> None:
        """Run a kernel. An argument is what `pack` takes, or its result.

        order: turns the order in which blocks, warps and lanes run.  blocks: run only those numbers of the grid.
        Raises: TypeError for wrong arguments, ValueError for too large a block, RuntimeError for what happens inside.
        """
        packed = [one if isinstance(one, tuple) else pack(one) for one in arguments]
        self._check(name, [(kind, len(raw)) for kind, raw in packed], block, shared_mem)
        buffers = [ctypes.create_string_buffer(raw, len(raw)) for _, raw in packed]
        addresses = (ctypes.c_void_p * len(buffers))(*map(ctypes.addressof, buffers))
        message = ctypes.create_string_buffer(512)
        failed = self._function("launch", name)(
            _three(grid), _three(block), addresses, *map(ctypes.c_uint64, (order, *blocks)), message, len(message)
        )
        if failed:
            raise RuntimeError(f"{name}: {message.value.decode()}")

    def _check(self, name: str, given: Sequence[tuple[str, int]], block: Sequence[int], shared_mem: int) -> None:
        expected = self.signature(name)
        if len(given) != len(expected):
            raise TypeError(f"{name} takes {len(expected)} arguments, {len(given)} given")
        for i, (one, other) in enumerate(zip(given, expected, strict=True)):
            if one != other:
                raise TypeError(
                    f"{name}: argument {i} is {one[0]} of {one[1]} bytes, expected {other[0]} of {other[1]}"
                )
        most = self._most_threads.get(name.split("<")[0], 1024)
        if np.prod(block) > most:
            raise ValueError(f"{name}: a block of {tuple(block)} threads, more than its launch bound of {most}")
        if shared_mem:
            raise ValueError(f"{name}: {shared_mem} bytes of dynamic shared memory, which no kernel here uses")


def _three(numbers: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*(*numbers, 1, 1)[:3])


def load(source: str, names: Sequence[str], sanitizer: str | None = None) -> Module:
    """Build, or find as built before, the kernels `names` of a source.

    sanitizer: "address" (with undefined behaviour) or "thread"; its run-time library must be there when Python starts.
    Raises: RuntimeError with the compiler's words.
    """
    exports = "".join(f"CUDA_HOST_EXPORT({i}, {name})\n" for i, name in enumerate(names))
    text = f'#include "cuda_host.h"\nnamespace {{\n{source}\n}}\n{exports}'
    flags = [*FLAGS, *(SANITIZERS[sanitizer] if sanitizer else ())]
    parts = (text, (HERE / "cuda_host.h").read_text(), *flags)
    built = cache_folder() / f"{hashlib.sha256(''.join(parts).encode()).hexdigest()[:32]}.so"
    if not built.exists():
        _build(text, flags, built)
    return Module(ctypes.CDLL(str(built)), source, names)


def _build(text: str, flags: Sequence[str], built: Path) -> None:
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        made = Path(folder) / "kernels.so"
        (Path(folder) / "kernels.cpp").write_text(text)
        command = [COMPILER, *flags, f"-I{HERE}", str(Path(folder) / "kernels.cpp"), "-o", str(made)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"the kernels do not compile for the CPU:\n{result.stderr}")
        os.replace(made, built)  # whole or not at all: several processes may build at once


def cache_folder() -> Path:
    """Where libraries are kept between runs: PUREDROP_CUDA_HOST, or the user's folder for such things."""
    given = os.environ.get("PUREDROP_CUDA_HOST")
    folder = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "puredrop"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:  # a home that cannot be written: a folder for this process
        return Path(tempfile.mkdtemp(prefix="puredrop-"))
