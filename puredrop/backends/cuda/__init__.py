"""The CUDA kernels as source: what to compile, and the names of what comes out. See README.md beside this file.

No file includes another or any header, so that they compile wherever there is a compiler: NVRTC for a GPU, g++ for the
tests, which run them on the CPU.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# In this order: each file builds on those before it.
FILES = ("types", "philox", "where", "masks", "noise", "drop", "residual", "rows", "blocks", "softmax")
WHERE = ("Run", "Walk")
ELEMENTS = ("F64", "F32", "F16", "BF16")

_OF_WHERE = ("keep_bytes", "keep_bits", "words")
_OF_ELEMENT = ("drop_saved", "gather_rows", "add_rows")
_OF_BOTH = ("drop", "bias_drop_residual", "softmax_drop", "softmax_drop_grad")
_NOISE = ("uniform", "normal")  # no bfloat16: its rounding from float64 has no instruction


@cache
def source() -> str:
    """All kernels, one translation unit."""
    return "\n".join(f'#line 1 "{name}.cu"\n' + files(__name__).joinpath(f"{name}.cu").read_text() for name in FILES)


@cache
def instances() -> tuple[str, ...]:
    """The name expressions of all kernels, such as "drop<F16, Run>"."""
    return (
        *(f"{kernel}<{where}>" for kernel in _OF_WHERE for where in WHERE),
        *(f"{kernel}<{element}>" for kernel in _OF_ELEMENT for element in ELEMENTS),
        *(f"{kernel}<{element}, {where}>" for kernel in _OF_BOTH for element in ELEMENTS for where in WHERE),
        *(f"{kernel}<{element}, {where}>" for kernel in _NOISE for element in ELEMENTS[:3] for where in WHERE),
        "block_mask",
    )
