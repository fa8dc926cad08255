"""The guarantee, checked while you wait: same key, same bits, on every backend and for every part of the whole."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np

from .. import backends
from ..nn.module import Module
from ..random import Index, Key
from ..tensor import Tensor
from ..uncertainty import predict_samples
from ..variants import dropout, keep_mask

SHAPE = (1000, 1000)
RATES = (0.1, 0.5, 0.9)


def checks(seed: int, model: Module, x: np.ndarray) -> list[dict[str, Any]]:
    """Rows of {"claim", "detail", "passed"}. `model` draws, and `x` is an input of it."""
    key = Key(seed)
    found = [same_on_backends(key), slice_of_whole(key), nested(key), gradient_is_the_map(key), sample_alone(model, x)]
    return [dict(zip(("claim", "detail", "passed"), row, strict=True)) for row in found]


def same_on_backends(key: Key) -> tuple[str, str, bool]:
    prints = {name: fingerprint(keep_mask(key, SHAPE, 0.5, backend=name)) for name in backends.available()}
    detail = "; ".join(f"{name} {print_}" for name, print_ in prints.items())
    return "Every backend draws the same mask", f"SHA-256 of 1,000,000 bits: {detail}", len(set(prints.values())) == 1


def fingerprint(mask: Any) -> str:
    return hashlib.sha256(np.packbits(backends.on_host(mask)).tobytes()).hexdigest()[:12]


def slice_of_whole(key: Key) -> tuple[str, str, bool]:
    shard = (slice(137, 731), slice(3, 900, 7))
    whole = keep_mask(key, SHAPE, 0.5)
    passed = all(
        np.array_equal(backends.on_host(keep_mask(key, Index.whole(SHAPE)[shard], 0.5, backend=name)), whole[shard])
        for name in backends.available()
    )
    return "A shard draws its part of the whole", "rows 137 to 730, every 7th column from 3, drawn alone", passed


def nested(key: Key) -> tuple[str, str, bool]:
    masks = [keep_mask(key, SHAPE, p) for p in RATES]
    passed = not any((higher & ~lower).any() for lower, higher in pairwise(masks))
    return "A larger p drops the same elements and more", "p = 0.1, 0.5, 0.9 on 1,000,000 elements", passed


def gradient_is_the_map(key: Key) -> tuple[str, str, bool]:
    ones = np.ones(SHAPE, np.float32)
    x = Tensor(ones, requires_grad=True)
    dropout(x, 0.3, key=key).sum().backward()
    passed = np.array_equal(x.grad, dropout(ones, 0.3, key=key))
    return "The gradient is the same map with the same key", "no mask was kept from forward to backward", passed


def sample_alone(model: Module, x: np.ndarray) -> tuple[str, str, bool]:
    together = predict_samples(model, x, 100)  # (100, N, 10)
    passed = all(np.array_equal(predict_samples(model, x, 1, first=t)[0], together[t]) for t in range(0, 100, 10))
    return "A Monte-Carlo sample is the same alone and among 100", f"outputs of a trained net, {len(x)} digits", passed
