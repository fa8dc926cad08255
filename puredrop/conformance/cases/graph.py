"""Rows for noise on graphs. What removes edges is held by what happens to weights on the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...backends import on_host
from ...random import Index
from ...variants import drop_edge, drop_message, drop_node, drop_node_features, drop_path_edges
from ..case import Arrays, Case, normal
from .elementwise import inverted
from .residual import batches, gates, share_all_but_examples

TESTED = "tested in tests/test_graph.py"


def on_weights(removal: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Weights on the edges of a graph, 0 where `removal` removed the edge: edge e leads from node e to node E + e."""

    def call(
        w: Any, p: Any, *, mask: Any = None, return_mask: bool = False, backend: Any = None, **options: Any
    ) -> Any:
        count = int(np.prod(w.shape))
        edges = np.arange(2 * count).reshape(2, count)
        mask = None if mask is None else mask.reshape(-1)
        kept, keep = removal(edges, count, p, mask=mask, backend=backend, **options)
        stays = np.isin(edges[0], on_host(kept)[0]).reshape(w.shape)
        y = ops.where(stays, w, 0.0)
        return (y, keep.reshape(w.shape)) if return_mask else y

    return call


def by_edge(edges: Any, count: int, p: Any, **options: Any) -> tuple[Any, Any]:
    return drop_edge(edges, p, **options)


def by_node(edges: Any, count: int, p: Any, **options: Any) -> tuple[Any, Any]:
    """Self-loops: an edge stays where its node does."""
    kept, _, nodes = drop_node(np.stack([edges[0], edges[0]]), count, p, **options)
    return kept, nodes


def by_path(edges: Any, count: int, p: Any, **options: Any) -> tuple[Any, Any]:
    """Every node has one edge, and after it the walk ends: edges go as roots are drawn."""
    return drop_path_edges(edges, 2 * count, p, walk_length=2, **options)


def removed(xp: Any, w: Any, keep: Any, p: float) -> Any:
    return xp.where(keep, w, xp.zeros_like(w))


def edges_row(
    name: str,
    removal: Callable[..., tuple[Any, Any]],
    draws_several: bool = False,
    *,
    elsewhere: dict[str, str],
    **not_applicable: str,
) -> Case:
    """The row of a function on edge lists: unscaled, independent here by the choice of the graph."""
    return Case(
        name=name,
        call=on_weights(removal),
        formula=removed,
        mean=lambda w, p: (1 - p) * w,
        variance=lambda w, p: p * (1 - p) * w**2,
        evaluation=lambda xp, w, p: w,
        index=None,
        draws_several=draws_several,
        not_applicable={
            "dtype errors": f"weights are no argument, and edges are whole numbers; {TESTED}",
            "shard": "an edge list is a whole graph and takes no part of one",
            **not_applicable,
        },
        applies_to=("graph",),
        elsewhere=elsewhere,
    )


def messages(rows: int, columns: int) -> Arrays:
    """Features, and an edge list that sends each of them once, in another order."""
    return normal(rows, columns), np.stack([np.arange(rows)[::-1], np.arange(rows)])


CASES = (
    edges_row(
        "drop_edge",
        by_edge,
        elsewhere={
            "PyG": "torch_geometric.utils.dropout_edge",
            "DGL": "dgl.transforms.DropEdge",
        },
    ),
    edges_row(
        "drop_node",
        by_node,
        elsewhere={
            "PyG": "torch_geometric.utils.dropout_node",
            "DGL": "dgl.transforms.DropNode: removes the nodes too",
        },
    ),
    Case(
        name="drop_node_features",
        call=drop_node_features,
        inputs=batches(1),
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        noise_matrix=gates,
        formula=inverted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        applies_to=("graph",),
    ),
    edges_row(
        "drop_path_edges",
        by_path,
        True,
        enumeration="walks draw uniform numbers, which are not enumerated",
        elsewhere={"PyG": "torch_geometric.utils.dropout_path"},
    ),
    Case(
        name="drop_message",
        call=drop_message,
        inputs=messages,
        any_shape=False,
        index=lambda x, edges: Index.whole((edges.shape[1], *x.shape[1:])),
        axes=1,
        part=lambda of, x, edges: (x, edges[:, *of]),
        formula=lambda xp, x, edges, keep, p: inverted(xp, x[edges[0]], keep, p),
        mean=lambda x, edges, p: x[edges[0]],
        variance=lambda x, edges, p: x[edges[0]] ** 2 * p / (1 - p),
        evaluation=lambda xp, x, edges, p: x[edges[0]],
        applies_to=("graph",),
    ),
)
