"""TEMPORARY: draws on the host."""

from __future__ import annotations

from functools import partial
from typing import Any

import cupy
import numpy as np

from . import Backend
from . import numpy as reference
from .select import composed_drop


def place(a: Any) -> Any:
    """An array of NumPy as one of the current device; whatever else as it is; tuples and lists item by item."""
    if isinstance(a, np.ndarray):
        return cupy.asarray(a)
    if type(a) in (tuple, list) and any(isinstance(one, np.ndarray) for one in a):
        return type(a)(place(one) for one in a)
    return a


def words(key, index, kind):
    return cupy.asarray(reference.BACKEND.words(key, index, kind))


def keep(key, index, threshold):
    return cupy.asarray(reference.BACKEND.keep(key, index, threshold))


def uniform(key, index, dtype, kind=2):
    return cupy.asarray(reference.BACKEND.uniform(key, index, dtype, kind))


def normal(key, index, dtype, kind=3):
    return cupy.asarray(reference.BACKEND.normal(key, index, dtype, kind))


drop = partial(composed_drop, keep, cupy)
BACKEND = Backend("cupy", cupy, words, keep, drop, uniform, normal, place=place)
