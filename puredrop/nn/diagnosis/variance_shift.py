"""Dropout before batch norm: the variance in training is not the one in evaluation.

With c and v the mean and the variance of a channel before a dropout that keeps the mean, the variance behind it is
(c^2 + v) / (1 - p) - c^2 in training and v in evaluation. Batch norm averages the first and is used with the second.
Reference: Li et al., "Understanding the disharmony between dropout and batch normalization by variance shift" (2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...backends import on_host
from ...tensor import Tensor
from ..noise_layers import AlphaDropout
from ..normalisation import BatchNorm
from . import dropouts
from .dropouts import Dropped, Layers
from .finding import Finding
from .trace import Trace

SMALL = 1.1  # a shift that is not worth a word: five per cent of the standard deviation


def in_the_tree(layers: Layers) -> Iterator[Finding]:
    """A dropout that stands before a batch norm in the order of the tree."""
    for place, dropped in dropouts.in_the_tree(layers):
        later = [name for name, layer in layers[place + 1 :] if isinstance(layer, BatchNorm)]
        if later:
            yield from _findings(dropped, later[0])


def in_the_graph(trace: Trace) -> Iterator[Finding]:
    """A dropout on which the input of a batch norm depends."""
    untold = list(dropouts.in_the_graph(trace))
    for norm in trace.calls:
        if isinstance(norm.module, BatchNorm) and isinstance(norm.x, Tensor) and norm.x.node is not None:
            behind = trace.behind(norm.x.node)
            for dropped in untold:
                if dropped.node in behind:
                    yield from _findings(dropped, norm.layer)
            untold = [dropped for dropped in untold if dropped.node not in behind]  # told of the first batch norm only


def shift(p: float, x: Any = None) -> float:
    """((c^2 + v) / (1 - p) - c^2) / v, the mean over the channels (axis 1) of x; that of mean zero without an x."""
    x = np.asarray(np.zeros(0) if x is None else on_host(x), np.float64)
    over = tuple(axis for axis in range(x.ndim) if axis != 1)
    c, v = (x.mean(axis=over), x.var(axis=over)) if x.size else (np.zeros(1), np.zeros(1))
    varied = v > 0
    if not varied.any():
        return 1 / (1 - p)
    c, v = c[varied], v[varied]
    return float(np.mean(((c**2 + v) / (1 - p) - c**2) / v))


def _findings(dropped: Dropped, norm: str) -> Iterator[Finding]:
    if dropped.p == 1 or isinstance(dropped.module, AlphaDropout):  # it keeps the variance of its kind of input
        return
    factor = shift(dropped.p, dropped.x)
    if factor > SMALL:
        known = "for inputs of mean zero; more otherwise" if dropped.x is None else "measured on the inputs given"
        yield Finding(
            dropped.layer,
            f"dropout before batch norm ({norm})",
            f"In training the variance behind the dropout is {factor:.3g} times that of evaluation ({known}), so the "
            "running statistics of the batch norm do not fit evaluation (Li et al. 2019)",
            "Move the dropout behind the last batch norm",
        )
