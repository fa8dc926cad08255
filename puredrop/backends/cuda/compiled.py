"""What NVIDIA's compiler makes of the kernels, on a machine without a GPU: registers, spills, instructions.

NVRTC compiles for any GPU; it is asked with the options that CuPy gives it. `nvdisasm` shows the instructions. Both are
wheels: `pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm`.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .host.host import cache_folder

OPTIONS = ("-std=c++17", "--device-as-default-execution-space", "--ptxas-options=-v", "-ftz=true")


class Resources(NamedTuple):
    """What one kernel needs: registers a thread, bytes of stack, bytes spilled."""

    registers: int
    stack: int
    spilled: int


class Compiled(NamedTuple):
    """A module for one architecture: the image (a cubin, or PTX), the names within it, and what the compiler said."""

    image: bytes
    lowered: dict[str, str]  # name expression -> mangled name
    log: str

    def resources(self) -> dict[str, Resources]:
        """Of every kernel, by its name expression."""
        pattern = (
            r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
            r"(\d+) bytes spill loads.*?Used (\d+) registers"
        )
        matches = re.finditer(pattern, self.log, re.S)
        found = {m[1]: Resources(int(m[5]), int(m[2]), int(m[3]) + int(m[4])) for m in matches}
        return {name: found[mangled] for name, mangled in self.lowered.items()}


@cache
def _nvrtc() -> ctypes.CDLL | None:
    """The library: of the wheel, of the toolkit, or what the system finds."""
    places = [p for folder in sys.path for p in Path(folder or ".").glob("nvidia/*/lib/libnvrtc.so.*")]
    places += sorted(Path("/usr/local/cuda/lib64").glob("libnvrtc.so.*"))
    for place in [*map(str, places), "libnvrtc.so"]:
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    return None


def missing() -> str | None:
    """Why kernels cannot be compiled here, or None."""
    return None if _nvrtc() else "NVRTC is not installed: pip install nvidia-cuda-nvrtc"


def missing_disassembler() -> str | None:
    """Why instructions cannot be shown here, or None."""
    return None if _disassembler() else "nvdisasm is not installed: pip install nvidia-cuda-nvdisasm"


def compile_for(architecture: str, source: str, names: Sequence[str]) -> Compiled:
    """Compile for sm_90 and the like, to a cubin, or for compute_90 and the like, to PTX.

    What was compiled before is kept on disk: it depends on nothing but the arguments and the compiler.
    Raises: RuntimeError with the compiler's words.
    """
    options = (f"-arch={architecture}", *OPTIONS)
    parts = (str(_version()), source, *names, *options)
    kept = cache_folder() / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    if kept.with_suffix(".json").exists():
        lowered, log = json.loads(kept.with_suffix(".json").read_text())
        return Compiled(kept.with_suffix(".image").read_bytes(), lowered, log)
    done = _compile(source, names, options, "PTX" if architecture.startswith("compute") else "CUBIN")
    _write(kept.with_suffix(".image"), done.image)
    _write(kept.with_suffix(".json"), json.dumps([done.lowered, done.log]).encode())
    return done


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: several processes may write the same."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


def _version() -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("Version", ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def _call(function: str, *arguments: Any) -> None:
    library = _nvrtc()
    if library is None:
        raise RuntimeError(missing())
    error = getattr(library, f"nvrtc{function}")(*arguments)
    if error:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(f"nvrtc{function}: {library.nvrtcGetErrorString(error).decode()}")


def _compile(source: str, names: Sequence[str], options: Sequence[str], image: str) -> Compiled:
    program = ctypes.c_void_p()
    _call("CreateProgram", ctypes.byref(program), source.encode(), b"puredrop.cu", 0, None, None)
    try:
        for name in names:
            _call("AddNameExpression", program, name.encode())
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        try:
            _call("CompileProgram", program, len(options), given)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{_text(program)}") from None
        lowered = {}
        for name in names:
            mangled = ctypes.c_char_p()
            _call("GetLoweredName", program, name.encode(), ctypes.byref(mangled))
            lowered[name] = (mangled.value or b"").decode()
        return Compiled(_bytes(program, image), lowered, _text(program))
    finally:
        _call("DestroyProgram", ctypes.byref(program))


def _bytes(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _call(f"Get{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"Get{what}", program, buffer)
    return buffer.raw


def _text(program: ctypes.c_void_p) -> str:
    return _bytes(program, "ProgramLog").rstrip(b"\0").decode()


@cache
def _disassembler() -> str | None:
    wheels = [str(p) for folder in sys.path for p in Path(folder or ".").glob("nvidia/*/bin/nvdisasm")]
    return shutil.which("nvdisasm") or next(iter(wheels), None)


class Instruction(NamedTuple):
    """One instruction of the machine: where it is, what it does, with its operands; where it may jump to."""

    address: int
    text: str
    target: int | None

    @property
    def operation(self) -> str:
        words = self.text.split()
        return words[1] if words[0].startswith("@") else words[0]


def instructions(compiled: Compiled, name: str) -> list[Instruction]:
    """The instructions of one kernel of a cubin."""
    section = _disassembled(compiled.image).split(f".text.{compiled.lowered[name]}:", 1)[1].split("//-----", 1)[0]
    return list(_parsed(section))


@lru_cache(maxsize=1)
def _disassembled(image: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(image)
        file.flush()
        command = [_disassembler() or "nvdisasm", "-c", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _parsed(section: str) -> Iterator[Instruction]:
    found: list[tuple[int, str]] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for line in section.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            waiting.append(label[1])
        elif code := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            found.append((int(code[1], 16), code[2]))
            labels |= dict.fromkeys(waiting, found[-1][0])
            waiting = []
    for address, text in found:
        jump = re.search(r"BRA.*`\((\.L_x_\d+)\)", text)
        yield Instruction(address, text, labels.get(jump[1]) if jump else None)


class Loop(NamedTuple):
    """A loop of a kernel: what runs in each turn, and what a branch usually jumps over."""

    usual: list[Instruction]
    aside: list[Instruction]


def loops(code: Sequence[Instruction]) -> Iterator[Loop]:
    """The innermost loops, by their backward branches; a forward branch within a loop is taken to be taken."""
    back = [(i.target, i.address) for i in code if i.target is not None and i.target < i.address]
    for start, stop in back:
        inner = ((s, e) for s, e in back if start <= s and e < stop)
        if any(_by_a_turn(code, start, s, e) for s, e in inner):
            continue
        body = [i for i in code if start <= i.address <= stop]
        skipped = [(i.address, i.target) for i in body if i.target is not None and i.address < i.target <= stop]
        aside = [i for i in body if any(a < i.address < b for a, b in skipped)]
        yield Loop([i for i in body if i not in aside], aside)


def _by_a_turn(code: Sequence[Instruction], start: int, inner_start: int, inner_stop: int) -> bool:
    """Whether an inner loop is run in every turn of the outer one: no branch jumps over all of it."""
    jumps = (i.target for i in code if i.target is not None and start <= i.address < inner_start)
    return not any(inner_stop < target for target in jumps)


# What the ratio below supposes of a GPU: an H200, which copies 4.3 TB in a second, read and written together, and whose
# 132 processors issue four instructions of 32 lanes in each of 1.98e9 clocks a second.
LANES_A_SECOND, BYTES_A_SECOND = 132 * 4 * 32 * 1.98e9, 4.3e12


def issue_over_memory(loop: Loop, elements: int, bytes_an_element: int) -> float:
    """The time to issue the instructions of a turn over the time to move its bytes: below 1, memory is the limit."""
    return len(loop.usual) / LANES_A_SECOND / (elements * bytes_an_element / BYTES_A_SECOND)
