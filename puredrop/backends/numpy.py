"""The readable reference: every other backend must give these bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..random import NORMAL, UNIFORM, Index, Keys, bernoulli
from . import Backend
from .select import composed_drop


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> np.ndarray:
    return bernoulli.uniform(key, index, kind).astype(dtype)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> np.ndarray:
    return bernoulli.normal(key, index, kind).astype(dtype)


drop = partial(composed_drop, bernoulli.keep_mask, np)

BACKEND = Backend("numpy", np, bernoulli.words, bernoulli.keep_mask, drop, uniform, normal)
