"""Noise on graphs: edges, nodes, paths, messages. A graph is its edge list, whole numbers (2, E): sources, targets.

The functions on edge lists give (edge_index, mask): the edges that stay, in their order, and which of the given ones
they are, for weights and attributes: `weight[mask]`. Nothing is scaled there: normalise the adjacency afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..random import Index, Keys
from ..streams import checked_mask
from ..tensor import Tensor
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale
from .door import checked_array, counted, one_rate
from .noise import keep_array, keep_over, uniform_array

__all__ = ["drop_edge", "drop_message", "drop_node", "drop_node_features", "drop_path_edges"]


def drop_edge(
    edge_index: Any,
    p: float = 0.5,
    *,
    undirected: bool = False,
    num_nodes: int | None = None,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    backend: Any = None,
) -> tuple[Any, Any]:
    """Remove each edge of a graph with probability p.

    Math: edge e stays with probability 1 - p, unscaled. With `undirected`, u -> v, v -> u and edges parallel to them
        stay or go together; no edge is added, so a self-loop stays one. Evaluation and p = 0 give all edges; p = 1
        none.
    Shapes: edge_index (2, E) -> (2, kept), and the mask (E,), True = kept.
    Dtypes: edge_index any whole numbers, kept as they are.
    Draws: one halfword an edge, at (key, edge number); undirected: at the number of the first edge of the pair.
        `mask=` replaces the draw.
    Raises: TypeError for edges that are no whole numbers, a p that is no number, or a tuple of keys; ValueError for p
        outside [0, 1], another shape, nodes below 0 or beyond `num_nodes`, a mask that does not fit or parts a pair,
        or no key.
    Reference: Rong et al., "DropEdge: towards deep graph convolutional networks on node classification" (2020).

    >>> from puredrop import Key
    >>> edges = np.array([[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]])
    >>> kept, mask = drop_edge(edges, p=0.5, undirected=True, key=Key(7))
    >>> kept.tolist(), mask.astype(int).tolist()
    ([[1, 2, 2], [2, 1, 2]], [0, 0, 1, 1, 1])
    """
    asked = Asked("drop_edge", key, mask, training, backend=backend)
    edges, p = _checked_edges(asked, edge_index, num_nodes), one_rate("drop_edge", p)
    keep = _all_of(asked, edges.shape[1])
    if asked.draws(p):
        index, first = Index.whole(keep.shape), slice(None)
        if undirected:
            first = _first_of_pair(asked, edges)
            index = index[_on_host(asked, first)]
        keep = keep_over(asked, edges, p, index, keep.shape)
        if not (keep == keep[first]).all():
            raise ValueError("drop_edge: the mask parts an undirected pair: it keeps one direction and drops the other")
    return edges[:, keep], keep


def drop_node(
    edge_index: Any,
    num_nodes: int,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    backend: Any = None,
) -> tuple[Any, Any, Any]:
    """Cut each node off with probability p: all edges that begin or end there go.

    Math: node v stays with probability 1 - p, an edge where both its ends stay: (1 - p)^2, self-loops 1 - p. Nothing is
        scaled. Evaluation and p = 0 give all edges; p = 1 none. `drop_node_features` is the other thing of that name.
    Shapes: edge_index (2, E) -> (2, kept), the edge mask (E,) and the node mask (num_nodes,), True = kept.
    Dtypes: edge_index any whole numbers, kept as they are.
    Draws: one halfword a node, at (key, node number). `mask=` (of nodes) replaces the draw.
    Raises: TypeError for edges that are no whole numbers, a p that is no number, or a tuple of keys; ValueError for p
        outside [0, 1], another shape, nodes outside [0, num_nodes), a mask that does not fit, or no key.
    Reference: Papp et al., "DropGNN: random dropouts increase the expressiveness of graph neural networks" (2021).

    >>> from puredrop import Key
    >>> edges = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    >>> kept, edge_mask, node_mask = drop_node(edges, 6, p=0.5, key=Key(7))
    >>> kept.tolist(), node_mask.astype(int).tolist()
    ([[1, 2, 3], [2, 3, 4]], [0, 1, 1, 1, 1, 0])
    """
    asked = Asked("drop_node", key, mask, training, backend=backend)
    edges, p = _checked_edges(asked, edge_index, num_nodes), one_rate("drop_node", p)
    nodes = _all_of(asked, num_nodes)
    if asked.draws(p):
        nodes = keep_over(asked, edges, p, Index.whole(num_nodes), nodes.shape)
    keep = nodes[edges[0]] & nodes[edges[1]]  # (E,)
    return edges[:, keep], keep, nodes


def drop_node_features(
    x: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Zero all features of a node with probability p and scale those of the others: GRAND's DropNode.

    Math: y = x m / (1 - p) with one m for each row; E[y] = x. Gradient: dx = g m / (1 - p). Evaluation and p = 0 give
        x; p = 1 gives zeros with a zero gradient. The graph stays whole: neighbours fill in for a dropped node.
    Shapes: x (N, ...); y like x, the mask (N, 1, ...). `index` must share the axes after the first; a tuple of keys
        enumerates an axis before the nodes.
    Dtypes: float32, float64; y like x.
    Draws: one halfword a node, at (key, node number). `mask=` (True = kept) replaces the draw; `return_mask=True` gives
        (y, mask).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], x without an axis, a
        mask or index that does not fit, or no key.
    Reference: Feng et al., "Graph random neural networks for semi-supervised learning on graphs" (2020).

    >>> from puredrop import Key
    >>> drop_node_features(np.ones((3, 2), np.float32), p=0.5, key=Key(7))
    array([[0., 0.],
           [2., 2.],
           [2., 2.]], dtype=float32)
    """
    name = "drop_node_features"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    rank = len(asked.shape_of_one_key(x.shape))
    if rank < 1:
        raise ValueError(f"{name}: x must be (N, ...), a row for each node, got shape {x.shape}")
    index = asked.index_sharing(x.shape, range(1, rank), "an index must share all axes but the nodes'")
    return bernoulli_map(asked, x, p, index, scale=inverted_scale(p))


def drop_path_edges(
    edge_index: Any,
    num_nodes: int,
    p: float = 0.2,
    *,
    walk_length: int = 3,
    walks_per_node: int = 1,
    undirected: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    backend: Any = None,
) -> tuple[Any, Any]:
    """Remove whole paths: random walks start at some of the nodes, and the edges that they take go.

    Math: each node is a root with probability p; from a root go `walks_per_node` walks of at most `walk_length` edges,
        each edge uniform among those that leave the node; a node that none leaves ends the walk. So p is not the share
        of edges that go. Nothing is scaled. With `undirected`, an edge takes its opposite and its parallels along.
        Evaluation and p = 0 give all edges; at p = 1 every node is a root. A larger p removes a superset.
    Shapes: edge_index (2, E) -> (2, kept), and the mask (E,), True = kept.
    Dtypes: edge_index any whole numbers, kept as they are.
    Draws: one halfword a node for the roots, at (key, node number); a uniform number at draw 1, element (node, walk,
        step), for the edges, whoever is a root. `mask=` (of edges) replaces both.
    Raises: TypeError for edges that are no whole numbers, a p that is no number, or a tuple of keys; ValueError for p
        outside [0, 1], another shape, nodes outside [0, num_nodes), counts below 1, a misfit mask, or no key.
    Reference: Li et al., "What's behind the mask: understanding masked graph modeling for graph autoencoders" (2023).

    >>> from puredrop import Key
    >>> ring = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    >>> drop_path_edges(ring, 6, p=0.25, walk_length=2, key=Key(7))[1].astype(int)
    array([0, 1, 1, 1, 1, 0])
    """
    name = "drop_path_edges"
    asked = Asked(name, key, mask, training, backend=backend)
    edges, p = _checked_edges(asked, edge_index, num_nodes), one_rate(name, p)
    steps = counted(name, "walk_length", walk_length, 1)
    walks = counted(name, "walks_per_node", walks_per_node, 1)
    keep = _all_of(asked, edges.shape[1])
    if training and mask is not None:
        keep = np.broadcast_to(checked_mask(mask, keep.shape), keep.shape)
    elif asked.draws(p):
        nodes = keep_array(asked, edges, p, Index.whole(num_nodes))  # (num_nodes,)
        roots = (~nodes).nonzero()[0]  # (R,)
        places = Index.whole((num_nodes, walks, steps))[_on_host(asked, roots)]
        u = uniform_array(asked.another(1), edges, places, np.float64)  # (R, walks, steps)
        keep[_walked(asked, edges, num_nodes, roots, u)] = False
        if undirected:
            first, whole = _first_of_pair(asked, edges), _all_of(asked, edges.shape[1])
            whole[first[~keep]] = False
            keep = whole[first]
    return edges[:, keep], keep


def _walked(asked: Asked, edges: Any, num_nodes: int, roots: Any, u: Any) -> Any:
    """The numbers of the edges that walks from `roots` take. Shapes: roots (R,), u (R, walks, steps)."""
    xp = asked.backend_of(edges).xp
    leaving = xp.argsort(edges[0], kind="stable")  # edges by their source: those of node v are one run
    starts = xp.searchsorted(edges[0][leaving], xp.arange(num_nodes + 1))  # (num_nodes + 1,)
    at = xp.repeat(roots, u.shape[1])  # (walks in all,)
    u = u.reshape(-1, u.shape[2])
    taken = []
    for step in range(u.shape[1]):
        degree = starts[at + 1] - starts[at]
        at, u, degree = at[degree > 0], u[degree > 0], degree[degree > 0]
        taken.append(leaving[starts[at] + (u[:, step] * degree).astype(np.int64)])
        at = edges[1][taken[-1]]
    return xp.concatenate(taken)


def drop_message(
    x: Any,
    edge_index: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """The messages that nodes send along the edges, with single elements dropped.

    Math: y[e] = x[source of e] m[e] / (1 - p); E[y[e]] = x[source of e]. Gradient: dx[v] = the sum over the edges that
        leave v of g[e] m[e] / (1 - p). Evaluation and p = 0 give all messages; p = 1 zeros with a zero gradient. Two
        edges from one node have draws of their own, where dropping features, nodes or edges ties elements together.
    Shapes: x (N, ...), edge_index (2, E) -> (E, ...). `index` says which edges these are of a larger graph.
    Dtypes: x float32, float64, y like x; edge_index any whole numbers.
    Draws: one halfword an element of the messages, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x, edges that are none, a p that is no number, or a tuple of keys; ValueError for
        p outside [0, 1], nodes outside [0, N), a mask or index that does not fit, or no key.
    Reference: Fang et al., "DropMessage: unifying random dropping for graph neural networks" (2023).

    >>> from puredrop import Key
    >>> x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> drop_message(x, np.array([[1, 1], [0, 1]]), p=0.5, key=Key(7))
    array([[ 0., 10., 12.],
           [ 8., 10.,  0.]])
    """
    name = "drop_message"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    if not x.shape:
        raise ValueError(f"{name}: x must be (N, ...), a row for each node, got a number")
    edges = _checked_edges(asked, edge_index, x.shape[0])
    messages = ops.take(x, index=edges[0], backend=backend)  # (E, ...)
    return bernoulli_map(asked, messages, p, asked.index_for(messages.shape), scale=inverted_scale(p))


def _checked_edges(asked: Asked, edge_index: Any, num_nodes: Any) -> Any:
    """An edge list with all its nodes in range, for one key; an empty list of no type becomes whole numbers."""
    name = asked.operation
    if isinstance(asked.key, tuple):
        raise TypeError(
            f"{name}: an edge list has no leading axis, so it takes one key and not a tuple; loop over them"
        )
    edges = asked.backend_of(edge_index).xp.asarray(edge_index)
    if edges.size == 0 and not hasattr(edge_index, "dtype"):
        edges = edges.astype(np.int64)
    if edges.dtype.kind not in "iu":
        raise TypeError(f"{name}: edge_index must be whole numbers, got dtype {edges.dtype}")
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(f"{name}: edge_index must be (2, E), sources and targets, got shape {edges.shape}")
    if num_nodes is not None:
        counted(name, "num_nodes", num_nodes, 0)
    low, high = (int(edges.min()), int(edges.max())) if edges.size else (0, -1)
    if low < 0 or (num_nodes is not None and high >= num_nodes):
        limit = "" if num_nodes is None else f" and below num_nodes = {num_nodes}"
        raise ValueError(f"{name}: node numbers must be 0 or more{limit}, got {low} to {high}")
    return edges


def _all_of(asked: Asked, count: int) -> Any:
    """A mask that keeps all."""
    return asked.backend_of(None).xp.ones(count, np.bool_)


def _on_host(asked: Asked, numbers: Any) -> np.ndarray:
    """Whole numbers for an index, which is kept on the host whatever the backend."""
    return Tensor(numbers, asked.backend_of(None)).numpy()


def _first_of_pair(asked: Asked, edges: Any) -> Any:
    """For each edge the number of the first edge between the same two nodes. (E,)"""
    xp = asked.backend_of(edges).xp
    _, first, pair = xp.unique(xp.sort(edges, axis=0), axis=1, return_index=True, return_inverse=True)
    return first[pair.reshape(-1)]
