"""Panels of noise on graphs. The graph is a ring of nodes with some chords."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import drop_edge, drop_message, drop_node, drop_node_features, drop_path_edges
from .draw import INK, MUTED, PAPER, Panel, mask

NODES, FEATURES = 10, 8
RING = [(node, (node + 1) % NODES) for node in range(NODES)]
EDGES = np.array([*RING, (0, 4), (1, 7), (2, 5), (3, 8), (6, 9), (0, 6)]).T  # (2, E)
ANGLES = 2 * np.pi * np.arange(NODES) / NODES
PLACES = np.stack([np.sin(ANGLES), -np.cos(ANGLES)], axis=1)  # (NODES, 2)


def network(axes: Any, edges_kept: np.ndarray, nodes_kept: np.ndarray | None = None, text: str = "") -> None:
    """The graph; what is dropped is drawn in ink."""
    nodes_kept = np.ones(NODES, np.bool_) if nodes_kept is None else nodes_kept
    for (start, end), keep in zip(EDGES.T, edges_kept, strict=True):
        style = {"color": MUTED, "lw": 0.9} if keep else {"color": INK, "lw": 2.6}
        axes.plot(*PLACES[[start, end]].T, zorder=1, solid_capstyle="round", **style)
    axes.scatter(
        *PLACES.T, s=95, c=np.where(nodes_kept, PAPER, INK), edgecolors=np.where(nodes_kept, MUTED, INK), zorder=2
    )
    axes.set(xlim=(-1.2, 1.2), ylim=(1.2, -1.2), aspect="equal", xticks=[], yticks=[])
    axes.set_xlabel(text, fontsize=9)
    axes.set_frame_on(False)


def edges(axes: Any) -> None:
    network(axes, drop_edge(EDGES, 0.35, key=Key(7))[1])


def nodes(axes: Any) -> None:
    _, edges_kept, nodes_kept = drop_node(EDGES, NODES, 0.2, key=Key(7))
    network(axes, edges_kept, nodes_kept)


def walks(axes: Any) -> None:
    _, kept = drop_path_edges(EDGES, NODES, 0.15, walk_length=3, key=Key(7))
    network(axes, kept)


def features(axes: Any) -> None:
    _, keep = drop_node_features(np.ones((NODES, FEATURES)), 0.3, key=Key(7), return_mask=True)
    mask(axes, np.broadcast_to(keep, (NODES, FEATURES)), "D", "node")


def messages(axes: Any) -> None:
    x = np.ones((NODES, FEATURES))
    _, keep = drop_message(x, EDGES[:, :NODES], 0.3, key=Key(7), return_mask=True)
    mask(axes, keep, "D", "edge")


PANELS = (
    Panel("drop_edge", "each edge for itself", edges),
    Panel("drop_node", "a node, and every edge that begins or ends there", nodes),
    Panel("drop_path_edges", "the edges that random walks take", walks),
    Panel("drop_node_features", "all features of a node; the graph stays whole", features),
    Panel("drop_message", "single elements of what is sent along the edges", messages),
)
