"""Compiling: on first use, without the GIL, and kept on disk."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
from numba import njit


def kernel(function: Any) -> Any:
    """Compile on first use, without the GIL, and keep the result on disk where a place for it can be written."""
    return _compiled(function, fastmath=False)


def reordering_kernel(function: Any) -> Any:
    """A kernel whose sums may be added up in any order, which vectors need; nothing else is loosened."""
    return _compiled(function, fastmath={"reassoc"})


def _compiled(function: Any, fastmath: Any) -> Any:
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError as error:  # Numba finds no place: a read-only installation and no home folder
        if "locator" not in str(error):
            raise
        _say_uncached()
        return njit(**options)(function)
    _forgive(compiled._cache)
    return compiled


def _forgive(kept: Any) -> None:
    """What is kept on disk only saves time: where it cannot be read or written, we compile anew and go on."""
    load, save = kept.load_overload, kept.save_overload

    def load_or_forget(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # half a file, or another version's: unpickling raises whatever it comes upon
            try:
                kept.flush()
            except OSError:
                _say_uncached()
            return None

    def save_or_say(signature: Any, data: Any) -> None:
        try:
            save(signature, data)
        except Exception:  # no space, no permission, or an index that cannot be read
            _say_uncached()

    kept.load_overload, kept.save_overload = load_or_forget, save_or_say


@cache
def _say_uncached() -> None:
    text = "puredrop: compiled kernels cannot be kept; set NUMBA_CACHE_DIR to a folder that can be written"
    print(text, file=sys.stderr)


def flat(x: np.ndarray) -> np.ndarray:
    """What a kernel reads: one axis, C order, not marked read-only, for which Numba would compile anew."""
    x = x.ravel()  # a copy only where x is not in C order
    return x if x.flags.writeable else np.asarray(_Unmarked(x))


class _Unmarked:
    """The memory of an array without the mark that it is read-only."""

    def __init__(self, x: np.ndarray) -> None:
        self.whole, told = x, x.__array_interface__
        self.__array_interface__ = {**told, "data": (told["data"][0], False)}
