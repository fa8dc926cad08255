"""Reading masks off results: how the kit knows what was dropped when nobody tells it.

A *decoder* turns (inputs, y, p) into the noise that made y of the inputs, given noise of the right shape and dtype.
Whether it can is not assumed but tried, for each variant: it must give back the noise of results that the variant's own
formula made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ...random import Key
from ..case import Arrays, Case

Decoder = Callable[[Case, Arrays, np.ndarray, float, np.ndarray], np.ndarray]


def zero_or_not(case: Case, inputs: Arrays, y: np.ndarray, p: float, like: np.ndarray) -> np.ndarray:
    """What is not zero was kept."""
    return np.asarray(y != 0)


def two_values(case: Case, inputs: Arrays, y: np.ndarray, p: float, like: np.ndarray) -> np.ndarray:
    """Nearer to what the formula gives for all kept than for all dropped."""
    kept, dropped = (case.formula(np, *inputs, np.full(like.shape, keep), p) for keep in (True, False))
    return np.asarray(np.abs(y - kept) <= np.abs(y - dropped))


def affine(case: Case, inputs: Arrays, y: np.ndarray, p: float, like: np.ndarray) -> np.ndarray:
    """Real noise e in y = a + b e."""
    zero, one = (case.formula(np, *inputs, np.full_like(like, value), p) for value in (0.0, 1.0))
    return np.asarray((y - zero) / (one - zero))


DECODERS: tuple[Decoder, ...] = (zero_or_not, two_values, affine)


def own_noise(case: Case, inputs: Arrays, p: float, seed: int = 0) -> np.ndarray:
    """What puredrop would draw for such inputs."""
    return np.asarray(case.call(*inputs, p, key=Key(seed), return_mask=True, backend="numpy")[1])


def undrawn_noise(case: Case, inputs: Arrays, p: float) -> np.ndarray:
    """What puredrop returns for such inputs in evaluation: noise that changes nothing."""
    return np.asarray(case.call(*inputs, p, key=Key(0), training=False, return_mask=True, backend="numpy")[1])


def as_noise(decoded: np.ndarray, template: np.ndarray) -> np.ndarray | None:
    """What was decoded, in the shape of the noise; None where it does not fit."""
    if decoded.ndim != template.ndim:
        return None
    part = tuple(slice(0, 1) if n == 1 and m > 1 else slice(None) for n, m in zip(template.shape, decoded.shape))  # noqa: B905
    decoded = decoded[part]
    return decoded if decoded.shape == template.shape else None


@cache
def decoder_of(case: Case) -> Decoder | None:
    """The first decoder that gives back the noise of the variant's own formula, or None."""
    rates = [p for p in case.rates if 0 < p != 1]
    return next((decode for decode in DECODERS if all(_gives_back(decode, case, p) for p in rates)), None)


def _gives_back(decode: Decoder, case: Case, p: float) -> bool:
    inputs = case.example(6, 8)
    for seed in range(3):
        noise = own_noise(case, inputs, p, seed)
        with np.errstate(all="ignore"):
            y = np.asarray(case.formula(np, *inputs, noise, p))
            try:
                decoded = as_noise(decode(case, inputs, y, p, noise), noise)
            except (ValueError, IndexError, TypeError):
                return False
        if decoded is None or not _same(decoded, noise):
            return False
    return True


def _same(decoded: np.ndarray, noise: np.ndarray) -> bool:
    if noise.dtype == np.bool_:
        return np.array_equal(decoded, noise)
    return bool(np.allclose(decoded, noise, atol=1e-9))


def reveals_attention(inputs: Arrays) -> Arrays:
    """The same queries and keys with the unit matrix as values, so that the weights come out."""
    q, k, v = inputs
    return q, k, np.eye(len(k), dtype=v.dtype)


# Variants whose noise shows in the result of other inputs with the same seed.
REVEALING: dict[str, Callable[[Arrays], Arrays]] = {"scaled_dot_product_attention": reveals_attention}
