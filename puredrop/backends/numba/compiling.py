"""Compiling: on first use, without the GIL, and kept on disk."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from numba import njit


def kernel(function: Any) -> Any:
    """Compile on first use, without the GIL, and keep the result on disk where a place for it can be written."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError as error:  # Numba finds no place: a read-only installation and no home folder
        if "locator" not in str(error):
            raise
        _say_uncached()
        return njit(nogil=True, error_model="numpy")(function)


@cache
def _say_uncached() -> None:
    text = "puredrop: compiled kernels cannot be kept; set NUMBA_CACHE_DIR to a folder that can be written"
    print(text, file=sys.stderr)
