"""puredrop: a dropout engine.

A mask is a pure function of (key, element index); dropout is a linear map; its gradient is the same map with the
same key.

In reading order: `random` (keys, Philox, decisions), `backends` (what a machine owes the engine), `streams` (where
masks come from), `tensor` (the tape), `ops`, `variants` (every dropout), `nn` and `optim`, `uncertainty`,
`conformance`, `bench`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import backends, ops, random, streams, variants
from .backends.threads import get_num_threads, set_num_threads
from .gradcheck import gradcheck
from .random import Index, Key, Rng
from .streams import draw_from
from .tensor import Tensor, checkpoint, grad, no_grad
from .variants import *  # noqa: F403  # every variant is at the top level too
from .variants import estimators, objectives, schedules

if TYPE_CHECKING:
    from . import nn, optim, uncertainty
    from .nn.diagnosis import diagnose

__version__ = "0.1.0"

__all__ = [
    "Index",
    "Key",
    "Rng",
    "Tensor",
    "backends",
    "bench",
    "checkpoint",
    "conformance",
    "diagnose",
    "draw_from",
    "estimators",
    "get_num_threads",
    "grad",
    "gradcheck",
    "nn",
    "no_grad",
    "objectives",
    "ops",
    "optim",
    "random",
    "schedules",
    "set_num_threads",
    "streams",
    "uncertainty",
    "variants",
    *variants.__all__,
]


_LATER = ("bench", "conformance", "nn", "optim", "uncertainty")


def __getattr__(name: str) -> Any:
    """What is larger than a dropout is imported when first used."""
    if name in _LATER:
        return import_module(f".{name}", __name__)
    if name == "diagnose":
        return import_module(".nn.diagnosis", __name__).diagnose
    raise AttributeError(f"module 'puredrop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
