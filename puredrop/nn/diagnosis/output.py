"""Dropout at the output: of the outputs themselves, or much of it just before the last product."""

from __future__ import annotations

from collections.abc import Iterator

from ...tensor import Node, operation
from ..attention import MultiheadAttention
from ..convolution import Convolution
from ..layers import Linear
from ..recurrent import GRU, LSTM, RNN
from ..transformer import TransformerDecoderLayer, TransformerEncoderLayer
from . import dropouts
from .dropouts import Dropped, Layers
from .finding import Finding
from .trace import MOVES, PRODUCTS, Trace

HIGH_RATE = 0.5
_NOT_IN_ORDER = (MultiheadAttention, TransformerEncoderLayer, TransformerDecoderLayer)  # what they drop is in branches
_ELEMENT_BY_ELEMENT = {"relu", "sigmoid", "softmax", "log_softmax", "tanh", *MOVES}


def in_the_tree(layers: Layers) -> Iterator[Finding]:
    """A dropout behind the last Linear or convolution of the tree; one of a high rate between the last two."""
    products = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, (Linear, Convolution))]
    branches = tuple(f"{name}." if name else "" for name, layer in layers if isinstance(layer, _NOT_IN_ORDER))
    for place, dropped in dropouts.in_the_tree(layers) if products else ():
        if dropped.layer.startswith(branches):
            continue
        if place > products[-1]:
            yield _drops_the_outputs(dropped)
        elif len(products) < 2 or place > products[-2]:
            yield from _high_rate(dropped)


def in_the_graph(trace: Trace) -> Iterator[Finding]:
    """A dropout from which a result is reached element by element; one of a high rate, with one product between."""
    if any(call.layer == "" and isinstance(call.module, (RNN, LSTM, GRU)) for call in trace.calls):
        return  # a layer alone has no outputs of a model
    results = {result for result in trace.results if not _is_a_state(trace, result)}

    def untouched(node: Node) -> bool:
        return operation(node) in _ELEMENT_BY_ELEMENT

    for dropped in dropouts.in_the_graph(trace):
        if dropped.node not in trace.children:
            continue
        way = trace.ahead([dropped.node], untouched)
        products = {child for node in way for child in trace.children[node] if operation(child) in PRODUCTS}
        if results & way and trace.parameters[dropped.node]:  # something was computed before it
            yield _drops_the_outputs(dropped)
        elif results & trace.ahead(products, lambda node: untouched(node) or operation(node) == "add"):
            yield from _high_rate(dropped)


def _is_a_state(trace: Trace, result: Node) -> bool:
    """Whether a result is the state of a recurrence: made by a product with a weight that an earlier product had."""
    seen, todo = {result}, [result]
    while todo:
        node = todo.pop()
        if operation(node) in PRODUCTS and _repeats(trace, node):
            return True
        if operation(node) in (*_ELEMENT_BY_ELEMENT, "add"):
            new = [parent for parent in trace.parents(node) if parent not in seen]
            seen.update(new)
            todo += new
    return False


def _repeats(trace: Trace, product: Node) -> bool:
    own, earlier = _weights(trace, product), trace.behind(product) - {product}
    return any(operation(node) in PRODUCTS and own & _weights(trace, node) for node in earlier)


def _weights(trace: Trace, product: Node) -> set[Node]:
    return {parent for parent in trace.parents(product) if parent in trace.bits}


def _drops_the_outputs(dropped: Dropped) -> Finding:
    return Finding(
        dropped.layer,
        "drops the outputs of the model",
        "No layer after it can learn to do without the dropped values, so the loss is computed on zeros",
        "Move it before the last Linear or convolution",
    )


def _high_rate(dropped: Dropped) -> Iterator[Finding]:
    if HIGH_RATE < dropped.p < 1:
        yield Finding(
            dropped.layer,
            f"a high rate (p = {dropped.p:g}) before the output",
            "The last layer sees few of its inputs at a time, and its bias has to do the rest",
            f"Rates before the output are commonly 0.1 to 0.3, seldom above {HIGH_RATE:g}",
        )
