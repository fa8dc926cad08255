"""Edges, nodes, paths and messages: what goes with what; the rest is in the conformance table."""

from itertools import pairwise

import numpy as np
import pytest

from puredrop import (
    Index,
    Key,
    Tensor,
    drop_edge,
    drop_message,
    drop_node,
    drop_node_features,
    drop_path_edges,
    keep_mask,
    ops,
)
from puredrop.gradcheck import gradcheck

KEY = Key(3)
REMOVALS = [
    lambda edges, n=9, p=0.5, **options: drop_edge(edges, p, num_nodes=n, **{"key": KEY, **options}),
    lambda edges, n=9, p=0.5, **options: drop_node(edges, n, p, **{"key": KEY, **options}),
    lambda edges, n=9, p=0.5, **options: drop_path_edges(edges, n, p, **{"key": KEY, **options}),
    lambda edges, n=9, p=0.5, **options: drop_message(
        np.ones((n, 2), np.float32), edges, p, return_mask=True, **{"key": KEY, **options}
    ),
]
removals = pytest.mark.parametrize(
    "remove", REMOVALS, ids=["drop_edge", "drop_node", "drop_path_edges", "drop_message"]
)


def graph(nodes, edges, seed=0):
    """A directed graph with some self-loops and parallel edges."""
    return np.random.default_rng(seed).integers(0, nodes, (2, edges))


def both_ways(edges):
    """Every edge in both directions, self-loops once, in a mixed order."""
    whole = np.concatenate([edges, edges[::-1][:, edges[0] != edges[1]]], axis=1)
    return whole[:, np.random.default_rng(1).permutation(whole.shape[1])]


# --------------------------------------------------------------------------------------------------------- the door
@removals
def test_edges_out_of_range_are_refused_at_every_rate(remove):
    for p in (0.0, 0.5, 1.0):
        with pytest.raises(
            ValueError, match=r"drop_.*: node numbers must be 0 or more and below num_nodes = 9, got 0 to 9"
        ):
            remove(np.array([[0, 1], [9, 2]]), p=p)
        with pytest.raises(ValueError, match=r"drop_.*: node numbers must be 0 or more and below .*, got -1 to 2"):
            remove(np.array([[0, -1], [1, 2]]), p=p)


@removals
def test_what_is_no_edge_list_is_refused(remove):
    with pytest.raises(TypeError, match=r"drop_.*: edge_index must be whole numbers, got dtype float64"):
        remove(np.zeros((2, 3)))
    for wrong in (np.zeros((3, 2), int), np.zeros(4, int), np.zeros((2, 3, 1), int)):
        with pytest.raises(ValueError, match=r"drop_.*: edge_index must be \(2, E\), sources and targets, got shape"):
            remove(wrong)


@removals
def test_wrong_rates_and_keys_are_refused(remove):
    edges = graph(9, 20)
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"drop_.*: p must lie in \[0, 1\]"):
            remove(edges, p=p)
    for p in (True, "0.5", None):
        with pytest.raises(TypeError, match=r"drop_.*: p must be a number in \[0, 1\]"):
            remove(edges, p=p)
    with pytest.raises(TypeError, match=r"drop_.*: p must be one number"):
        remove(edges, p=np.full(20, 0.5))
    with pytest.raises(ValueError, match=r"drop_.*: nothing to draw with"):
        remove(edges, key=None)
    with pytest.raises(TypeError, match=r"drop_.*: an edge list has no leading axis, so it takes one key"):
        remove(edges, key=(Key(0), Key(1)))
    with pytest.raises(TypeError, match="a mask must be boolean"):
        remove(edges, mask=np.ones(20))


def test_negative_nodes_are_refused_also_without_a_number_of_nodes():
    with pytest.raises(ValueError, match="drop_edge: node numbers must be 0 or more, got -2 to 1"):
        drop_edge([[0, -2], [1, 1]], 0.5, key=KEY)


@pytest.mark.parametrize("number", [-1, 2.0, True])
def test_numbers_of_nodes_and_steps_are_counts(number):
    edges = graph(3, 4)
    with pytest.raises(ValueError, match="drop_node: num_nodes must be a whole number, 0 or more"):
        drop_node(edges, number, 0.5, key=KEY)
    for name in ("walk_length", "walks_per_node"):
        with pytest.raises(ValueError, match=f"drop_path_edges: {name} must be a whole number, 1 or more"):
            drop_path_edges(edges, 3, 0.5, key=KEY, **{name: number})


def test_features_need_a_row_for_each_node():
    with pytest.raises(ValueError, match=r"drop_node_features: x must be \(N, ...\), a row for each node"):
        drop_node_features(np.float32(1), 0.5, key=KEY)
    with pytest.raises(ValueError, match="drop_node_features: an index must share all axes but the nodes'"):
        drop_node_features(np.ones((3, 2)), 0.5, key=KEY, index=Index.whole((3, 2)))
    with pytest.raises(ValueError, match=r"drop_message: x must be \(N, ...\)"):
        drop_message(np.float32(1), [[0], [0]], 0.5, key=KEY)


# --------------------------------------------------------------------------------------------------------- all of them
@removals
def test_nothing_goes_in_evaluation_and_at_0(remove):
    edges = graph(9, 30)
    for options in ({"training": False}, {"p": 0.0}, {"training": False, "mask": np.zeros((), bool)}):
        y, mask, *_ = remove(edges, **options)
        assert mask.all()
        assert len(y) == 30 or np.array_equal(y, edges)
    assert not np.shares_memory(remove(edges, p=0.0)[0], edges)


@removals
def test_an_empty_graph_stays_empty(remove):
    for edges in (np.zeros((2, 0), np.int32), [[], []]):
        y, mask, *_ = remove(edges)
        assert y.size == mask.size == 0


@pytest.mark.parametrize("remove", REMOVALS[:3])
def test_the_edges_that_stay_are_those_of_the_mask_in_their_order_and_dtype(remove):
    edges = graph(9, 40).astype(np.int32)
    edges.flags.writeable = False
    y, mask, *_ = remove(edges)
    assert y.dtype == np.int32
    assert 0 < y.shape[1] < 40
    assert np.array_equal(y, edges[:, mask])


# --------------------------------------------------------------------------------------------------------- edges
def test_a_directed_edge_has_the_mask_of_its_number(backend):
    edges = graph(50, 400)
    assert np.array_equal(drop_edge(edges, 0.3, key=KEY, backend=backend)[1], keep_mask(KEY, 400, 0.3, backend=backend))
    assert drop_edge(edges, 1.0, key=KEY)[0].shape == (2, 0)


def test_undirected_pairs_go_together_and_pairs_are_independent(backend):
    edges = both_ways(graph(40, 3000))
    _, mask = drop_edge(edges, 0.3, undirected=True, key=KEY, backend=backend)
    fate = {}
    for (u, v), keep in zip(edges.T.tolist(), mask.tolist(), strict=True):
        fate.setdefault((min(u, v), max(u, v)), set()).add(keep)
    assert {len(kept) for kept in fate.values()} == {1}
    kept = np.array([True in kept for kept in fate.values()])
    assert len(kept) > 700
    assert abs(kept.mean() - 0.7) < 5 * (0.21 / len(kept)) ** 0.5
    first = [next(i for i, e in enumerate(edges.T.tolist()) if sorted(e) == list(pair)) for pair in list(fate)[:50]]
    assert np.array_equal(mask[first], keep_mask(KEY, len(mask), 0.3, backend=backend)[first])


def test_a_mask_that_parts_a_pair_is_refused():
    edges = np.array([[0, 1, 2], [1, 0, 2]])
    kept, _ = drop_edge(edges, undirected=True, mask=np.array([True, True, False]))
    assert kept.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="drop_edge: the mask parts an undirected pair"):
        drop_edge(edges, undirected=True, mask=np.array([True, False, False]))


# --------------------------------------------------------------------------------------------------------- nodes
def test_a_dropped_node_takes_its_edges_along(backend):
    edges = graph(30, 500)
    kept, edge_mask, nodes = drop_node(edges, 30, 0.4, key=KEY, backend=backend)
    assert np.array_equal(nodes, keep_mask(KEY, 30, 0.4, backend=backend))
    gone = set(np.flatnonzero(~nodes).tolist())
    expected = [u not in gone and v not in gone for u, v in edges.T.tolist()]
    assert edge_mask.tolist() == expected
    assert np.array_equal(kept, edges[:, expected])
    assert not drop_node(edges, 30, 1.0, key=KEY)[1].any()


def test_rows_of_features_go_whole_and_the_others_are_scaled(backend):
    x = np.random.default_rng(0).standard_normal((40, 3, 2)).astype(np.float32)
    y, mask = drop_node_features(x, 0.5, key=KEY, return_mask=True, backend=backend)
    rows = keep_mask(KEY, 40, 0.5, backend=backend)
    assert np.array_equal(mask, np.broadcast_to(rows[:, None, None], x.shape))
    assert np.array_equal(y, np.where(mask, 2 * x, 0))
    part = Index.whole(x.shape, shared=(1, 2))[10:20]
    assert np.array_equal(drop_node_features(x[10:20], 0.5, key=KEY, index=part, backend=backend), y[10:20])
    keys = (Key(0), Key(1))
    together = drop_node_features(np.stack([x, x]), 0.5, key=keys, backend=backend)
    assert np.array_equal(together, [drop_node_features(x, 0.5, key=k, backend=backend) for k in keys])


@pytest.mark.parametrize("shape", [(0,), (4,), (3, 0, 2), (2, 3, 1, 2, 2)])
def test_features_of_any_shape(shape):
    assert drop_node_features(np.ones(shape, np.float32), 0.5, key=KEY).shape == shape


# --------------------------------------------------------------------------------------------------------- paths
def test_walks_are_those_of_a_walker_who_takes_one_step_at_a_time():
    """A second writing, edge by edge: the uniform numbers of draw 1 choose among the edges that leave."""
    from puredrop import backends

    nodes, length, walks = 12, 4, 2
    edges = graph(nodes, 18, seed=5)  # sparse: some walks end early
    assert len(set(range(nodes)) - set(edges[0].tolist())) > 0
    _, mask = drop_path_edges(edges, nodes, 0.3, walk_length=length, walks_per_node=walks, key=KEY)
    roots = np.flatnonzero(~keep_mask(KEY, nodes, 0.3))
    u = backends.get("numpy").uniform(KEY.draw(1), Index.whole((nodes, walks, length)), np.float64)
    gone = set()
    for root in roots.tolist():
        for walk in range(walks):
            at = root
            for step in range(length):
                leaving = [e for e in range(18) if edges[0, e] == at]
                if not leaving:
                    break
                e = leaving[int(u[root, walk, step] * len(leaving))]
                gone.add(e)
                at = int(edges[1, e])
    assert len(roots) > 1
    assert set(np.flatnonzero(~mask).tolist()) == gone


def test_a_larger_rate_removes_a_superset_of_paths(backend):
    edges = graph(200, 600)
    masks = [drop_path_edges(edges, 200, p, key=KEY, backend=backend)[1] for p in (0.05, 0.2, 0.6, 1.0)]
    for small, large in pairwise(masks):
        assert not (large & ~small).any()
        assert large.sum() < small.sum()


def test_every_edge_that_leaves_is_equally_likely():
    """A star: walks of one step from the middle take each of 5 edges a fifth of the time."""
    star = np.stack([np.zeros(5, int), np.arange(1, 6)])
    taken = np.array([~drop_path_edges(star, 6, 1.0, walk_length=1, key=Key(0, step=t))[1] for t in range(2000)])
    assert (taken.sum(axis=1) == 1).all()
    assert abs(taken.mean(axis=0) - 0.2).max() < 5 * (0.16 / 2000) ** 0.5


def test_undirected_walks_take_the_opposite_edges_along():
    edges = both_ways(graph(30, 60))
    _, plain = drop_path_edges(edges, 30, 0.3, key=KEY)
    _, mask = drop_path_edges(edges, 30, 0.3, undirected=True, key=KEY)
    walked = {tuple(sorted(e)) for e in edges.T[~plain].tolist()}
    assert mask.tolist() == [tuple(sorted(e)) not in walked for e in edges.T.tolist()]
    assert mask.sum() < plain.sum()


# --------------------------------------------------------------------------------------------------------- messages
def test_messages_of_one_node_are_dropped_apart(backend):
    x, edges = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.stack([np.repeat([1, 0], 50), np.zeros(100, int)])
    y, mask = drop_message(x, edges, 0.5, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(mask, keep_mask(KEY, (100, 2), 0.5, backend=backend))
    assert np.array_equal(y, np.where(mask, 2 * x[edges[0]], 0))
    part = drop_message(x, edges[:, 20:60], 0.5, key=KEY, index=Index.whole((100, 2))[20:60], backend=backend)
    assert np.array_equal(part, y[20:60])


def test_a_dropped_message_stops_what_is_not_finite():
    x = np.array([[np.nan, -1.0], [np.inf, -0.0]])
    edges, keep = np.array([[0, 0, 1, 1], [1, 1, 0, 0]]), np.array([[False, True]] * 4)
    leaf = Tensor(x, requires_grad=True)
    y = drop_message(leaf, edges, 0.5, mask=keep)
    assert y.tolist() == [[0.0, -2.0], [0.0, -2.0], [0.0, -0.0], [0.0, -0.0]]
    assert np.signbit(y.data[2:, 1]).all()
    assert not np.signbit(y.data[:, 0]).any()
    y.backward(np.where(keep, 1.0, np.nan))
    assert leaf.grad.tolist() == [[0.0, 4.0], [0.0, 4.0]]


def test_gradients_through_messages_summed_at_their_targets(backend):
    edges = graph(4, 9)

    def layer(x, w):
        messages = drop_message(x, edges, 0.3, key=KEY, backend=backend)
        h = ops.tanh(ops.scatter(messages, index=edges[1], shape=x.shape) @ w)
        return drop_node_features(h, 0.4, key=Key(1), backend=backend) * h

    rng = np.random.default_rng(0)
    errors = gradcheck(layer, rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5
