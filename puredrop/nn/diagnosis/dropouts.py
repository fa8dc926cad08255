"""Where a model drops values: in layers made for it, and in functions that its forwards call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from ...tensor import Node, Tensor, raw
from .. import learned, noise_layers, structured
from ..dropout import Dropout
from ..module import Module, Site
from .trace import Trace

Layers: TypeAlias = list[tuple[str, Module]]

DROPOUTS = (  # of values or channels; other layers gate whole branches, keep old values, or drop weights
    Dropout,
    learned.ConcreteDropout,
    noise_layers.AlphaDropout,
    noise_layers.ClassicDropout,
    noise_layers.ContinuousDropout,
    noise_layers.FixedCountDropout,
    noise_layers.GaussianDropout,
    structured.BatchwiseDropout,
    structured.DropBlock,
    structured.LockedDropout,
    structured.SpatialDropout,
    structured.TokenDropout,
)


class Dropped(NamedTuple):
    """A dropout: the layer, or the layer whose forward calls the function; its module; its rate.

    Of a run also the node of its result, and what was dropped, where that is known.
    """

    layer: str
    module: Module | None
    p: float
    node: Node | None = None
    x: Any = None


def in_the_tree(layers: Layers) -> Iterator[tuple[int, Dropped]]:
    """The dropouts of one rate above 0, each with its place in the tree."""
    for i, (name, layer) in enumerate(layers):
        p = rate_of(layer)
        if p and isinstance(layer, DROPOUTS):
            yield i, Dropped(name, layer, p)


def in_the_graph(trace: Trace) -> Iterator[Dropped]:
    """The dropouts of a run, of a rate above 0 in that run."""
    for call in trace.calls:
        if isinstance(call.module, DROPOUTS) and isinstance(call.y, Tensor) and call.y.node is not None:
            p = rate_of(call.module)
            if p is None:  # a schedule: what it said in this run
                p = next((drop.rate for drop in trace.drops if drop.node.index in call.ages), None)
            if p:
                yield Dropped(call.layer, call.module, p, call.y.node, raw(call.x))
    for drop in trace.drops:
        owner = trace.call_of(drop.node)
        if drop.rate and not drop.filled and not drop.gates and not (owner and isinstance(owner.module, Site)):
            yield Dropped(owner.layer if owner else "", None, drop.rate, drop.node)


def rate_of(layer: Any) -> float | None:
    """The rate of a layer that draws, where it has one number."""
    p = getattr(layer, "p", None)
    return p if isinstance(p, float) and isinstance(layer, Site) else None
