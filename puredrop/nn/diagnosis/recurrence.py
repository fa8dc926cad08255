"""Dropout in a recurrence: what the graph of a run shows of library layers and hand-written cells alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from ...tensor import Node, operation
from .finding import Finding
from .trace import MOVES, PRODUCTS, Drop, Trace

_LINEAR = {"add", "subtract", "negative", "multiply", "_where", "drop", "drop_given", *MOVES}


def fresh_masks(trace: Trace) -> Iterator[Finding]:
    """A state that goes into a weight at every step, each time with another mask.

    A dropped value is a state if it goes as it is into a product with a weight that was used to make it, and if, from
    that product on and without a further one, another such drop for the same weight is reached: the next step. Where
    some steps share a mask with the next one and others do not, each mask holds for a chunk of the sequence.
    """
    steps = list(_steps(trace))
    masks_last = {weights for _, weights, again in steps if again}
    told: set[str] = set()
    for drop, weights, _ in steps:
        layer = _layer(trace, drop)
        if weights not in masks_last and layer not in told:
            told.add(layer)
            yield Finding(
                layer,
                "a fresh mask at every step on a recurrent state",
                "The state carries the memory from step to step, and noise that is new at each of them adds up until "
                "it drowns what is remembered (Gal & Ghahramani 2016, Semeniuta et al. 2016)",
                "Draw one mask for the whole sequence (one key for all steps, as locked_dropout does), or drop the "
                "update only (update_dropout), or put the old state in place of zeros (zoneout)",
            )


def compounding_scales(trace: Trace) -> Iterator[Finding]:
    """A memory that is dropped and scaled at every step, with nothing in between that would bound it."""
    told: set[str] = set()
    for drop in trace.drops:
        layer, scale = _layer(trace, drop), float(np.max(drop.scale))
        if layer in told or drop.filled or scale in (0.0, 1.0):
            continue
        memory = trace.ahead([drop.node], lambda node: operation(node) in _LINEAR)
        if any(_is_next_step(trace, drop, other) for other in trace.drops if other.node in memory):
            told.add(layer)
            yield Finding(
                layer,
                f"a scale of {scale:.3g} inside a recurrence",
                "What is kept of the memory is multiplied by it at every step: a unit that is never dropped grows by "
                f"{scale**10:.3g} in ten steps (Semeniuta et al. 2016)",
                "Do not scale what is dropped again (memory_dropout), or drop the update only, where a scale is safe "
                "(update_dropout), or put the old state in place of zeros (zoneout)",
            )


def _steps(trace: Trace) -> Iterator[tuple[Drop, int, bool]]:
    """Each drop of a state with a step after it, the weights that it goes into, and whether its mask is used again."""
    into = _weights(trace)
    for drop, products in into.items():
        own = trace.parameters[drop.node]
        back = {product: weights & own for product, weights in products.items() if weights & own}
        step = trace.ahead(back, lambda node: operation(node) not in PRODUCTS)
        used = reduce(or_, back.values(), 0)
        later = [other for other in into if other.node in step and reduce(or_, into[other].values(), 0) & used]
        if later:
            yield drop, used, any(drop.same_mask(other) for other in later)


def _weights(trace: Trace) -> dict[Drop, dict[Node, int]]:
    """For each drop that puts zeros into a value: the products that this goes into, with the parameters there."""
    found: dict[Drop, dict[Node, int]] = {}
    for drop in trace.drops:
        way = trace.ahead([drop.node], lambda node: operation(node) in MOVES)
        products = {child for node in way for child in trace.children[node] if operation(child) in PRODUCTS}
        if products and not drop.filled and not _of_a_parameter(trace, drop):
            found[drop] = {
                product: reduce(or_, (trace.parameters[p] for p in trace.parents(product) if p not in way), 0)
                for product in products
            }
    return found


def _of_a_parameter(trace: Trace, drop: Drop) -> bool:
    """Whether it drops weights themselves."""
    dropped = drop.node.parents[0]
    while dropped is not None and operation(dropped) in MOVES:
        dropped = dropped.parents[0]
    return dropped in trace.bits


def _is_next_step(trace: Trace, drop: Drop, other: Drop) -> bool:
    """Whether `other` is the same drop at a later step: between them a parameter is used that was used before."""
    if drop is other or _place(trace, drop) != _place(trace, other):
        return False
    new = trace.behind(other.node) - trace.behind(drop.node)
    again = reduce(or_, (trace.bits.get(p, 0) for node in new for p in trace.parents(node)), 0)
    return bool(again & trace.parameters[drop.node])


def _place(trace: Trace, drop: Drop) -> Any:
    """What one drop of a cell has in common through all steps: its stream; with masks handed in, what it drops."""
    dropped = drop.node.parents[0]
    return drop.stream or (_layer(trace, drop), operation(dropped) if dropped else "")


def _layer(trace: Trace, drop: Drop) -> str:
    call = trace.call_of(drop.node)
    return call.layer if call else ""
