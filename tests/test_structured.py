"""Shared axes, words, tokens, prefixes: what the conformance rows cannot say."""

import numpy as np
import pytest

import puredrop
from puredrop import (
    Index,
    Key,
    Tensor,
    batchwise_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    embedding_dropout,
    grad,
    keep_mask,
    locked_dropout,
    nested_dropout,
    nn,
    ops,
    patch_dropout,
    spatial_dropout,
    token_dropout,
    word_dropout,
)
from puredrop.nn import structured as layers
from puredrop.random.passes import Pass, Window, entered
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import predict_samples

K = Key(3)
NAMED = {
    "spatial_dropout": lambda x, p, **o: spatial_dropout(x, p, spatial_dims=2, channel_axis=1, **o),
    "dropout1d": lambda x, p, **o: dropout1d(x[:, :, :, 0], p, **o),
    "dropout2d": dropout2d,
    "dropout3d": dropout3d,
    "locked_dropout": lambda x, p, **o: locked_dropout(x, p, time_axis=1, **o),
    "batchwise_dropout": batchwise_dropout,
    "token_dropout": token_dropout,
    "embedding_dropout": lambda x, p, **o: embedding_dropout(x[0, 0], [1, 0], p, **o),
    "patch_dropout": lambda x, p, **o: patch_dropout(x[0], p, **o),
    "nested_dropout": nested_dropout,
}
X = np.ones((4, 5, 6, 3), np.float32)


# ----------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize("name", NAMED)
def test_the_door(name):
    call = NAMED[name]
    with pytest.raises(ValueError, match=rf"{name}: p must lie in \[0, 1\]"):
        call(X, 1.5, key=K)
    with pytest.raises(TypeError, match=rf"{name}: p must be"):
        call(X, "0.5", key=K)
    with pytest.raises(TypeError, match=rf"{name}: x must be floating-point"):
        call(X.astype(int), 0.5, key=K)
    with pytest.raises(TypeError, match=rf"{name}: key must be a Key"):
        call(X, 0.5, key=7)
    with pytest.raises(ValueError, match=rf"{name}: nothing to draw with"):
        call(X, 0.5)
    with pytest.raises(TypeError, match="a mask must be boolean"):
        call(X, 0.5, mask=np.ones(1))
    with pytest.raises(ValueError, match="does not broadcast"):
        call(X, 0.5, mask=np.ones((1,) * 6, bool))


@pytest.mark.parametrize("name", ["embedding_dropout", "patch_dropout", "nested_dropout"])
def test_rates_that_must_be_one_number(name):
    with pytest.raises(TypeError, match=rf"{name}: p must be one number in \[0, 1\], got an array of shape \(3,\)"):
        NAMED[name](X, np.array([0.1, 0.2, 0.3]), key=K)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"spatial_dims": 1, "channel_axis": 1},
            "1 spatial axes, a channel axis and a batch axis make 3, got x with 4",
        ),
        ({"spatial_dims": 2, "channel_axis": 0, "batch_axis": None}, "and no batch axis make 3, got x with 4"),
        ({"spatial_dims": 2, "channel_axis": 0}, "channel_axis and batch_axis are both axis 0"),
        ({"spatial_dims": 2, "channel_axis": -4}, "channel_axis and batch_axis are both axis 0"),
        ({"spatial_dims": 2, "channel_axis": 4}, "channel_axis = 4 does not exist in an array of 4 axes"),
        ({"spatial_dims": 0, "channel_axis": 1}, "spatial_dims must be 1 or more"),
    ],
)
def test_spatial_dropout_never_guesses(options, message):
    with pytest.raises(ValueError, match=f"spatial_dropout: .*{message}"):
        spatial_dropout(X, 0.5, key=K, **options)


def test_spatial_dropout_needs_to_be_told():
    with pytest.raises(TypeError, match=r"spatial_dims.*channel_axis"):
        spatial_dropout(X, 0.5, key=K)
    with pytest.raises(TypeError, match=r"spatial_dropout: channel_axis must be a whole number, got 1\.0"):
        spatial_dropout(X, 0.5, spatial_dims=2, channel_axis=1.0, key=K)


@pytest.mark.parametrize(
    ("operation", "ranks"), [(dropout1d, {2, 3}), (dropout2d, {4}), (dropout3d, {4, 5})], ids=["1d", "2d", "3d"]
)
def test_named_channel_dropouts_take_pytorchs_ranks_and_no_others(operation, ranks):
    for rank in range(7):
        x = np.ones((2,) * rank, np.float32)
        if rank in ranks:
            assert operation(x, 0.5, key=K).shape == x.shape
        else:
            with pytest.raises(ValueError, match=rf"{operation.__name__}: x must be \(.*spatial_dropout takes other"):
                operation(x, 0.5, key=K)


def test_bad_axes_sequences_and_ids():
    with pytest.raises(ValueError, match="locked_dropout: time_axis = 4 does not exist"):
        locked_dropout(X, 0.5, time_axis=4, key=K)
    for both in ({}, {"time_axis": 0, "sequences": [0] * 4}):
        with pytest.raises(ValueError, match=r"locked_dropout: give time_axis .* or sequences .*, one of them"):
            locked_dropout(X, 0.5, key=K, **both)
    with pytest.raises(ValueError, match=r"locked_dropout: sequences of shape \(3,\) do not number the rows"):
        locked_dropout(X, 0.5, sequences=[0, 1, 2], key=K)
    with pytest.raises(ValueError, match="locked_dropout: sequences must not be negative, got -1"):
        locked_dropout(X, 0.5, sequences=[0, 1, 2, -1], key=K)
    with pytest.raises(TypeError, match="locked_dropout: sequences must be whole numbers, got dtype float64"):
        locked_dropout(X, 0.5, sequences=[0.5, 1, 2, 3], key=K)
    with pytest.raises(ValueError, match="locked_dropout: give either index or sequences"):
        locked_dropout(X, 0.5, sequences=[0, 1, 2, 3], index=Index.whole(X.shape), key=K)
    with pytest.raises(ValueError, match="batchwise_dropout: batch_axis = 4 does not exist"):
        batchwise_dropout(X, 0.5, batch_axis=4, key=K)
    with pytest.raises(ValueError, match=r"token_dropout: x must be \(\.\.\., D\) with two axes or more"):
        token_dropout(np.ones(3), 0.5, key=K)


def test_bad_lookups():
    weight = np.ones((5, 2))
    for ids in ([0, 5], [-1]):
        with pytest.raises(ValueError, match=r"embedding_dropout: ids must lie in \[0, 5\), got"):
            embedding_dropout(weight, ids, 0.5, key=K)
    with pytest.raises(TypeError, match="embedding_dropout: ids must be whole numbers, got dtype float64"):
        embedding_dropout(weight, [0.0], 0.5, key=K)
    with pytest.raises(ValueError, match=r"embedding_dropout: weight must be a matrix \(V, D\), got shape \(5,\)"):
        embedding_dropout(weight[:, 0], [0], 0.5, key=K)
    with pytest.raises(ValueError, match="embedding_dropout: 2 keys do not divide the first axis of ids"):
        embedding_dropout(weight, [0, 1, 2], 0.5, key=(Key(0), Key(1)))
    with pytest.raises(TypeError, match="word_dropout: ids must be whole numbers, got dtype float32"):
        word_dropout(np.ones(3, np.float32), 0.5, unknown=0, key=K)
    with pytest.raises(ValueError, match="word_dropout: unknown = 300 does not fit ids of dtype uint8"):
        word_dropout(np.ones(3, np.uint8), 0.5, unknown=300, key=K)
    with pytest.raises(ValueError, match=r"word_dropout: p must lie in \[0, 1\]"):
        word_dropout([1], 2.0, unknown=0, key=K)
    with pytest.raises(ValueError, match="word_dropout: nothing to draw with"):
        word_dropout([1], 0.5, unknown=0)


def test_bad_patches_and_prefixes():
    x = np.ones((2, 6, 3))
    with pytest.raises(ValueError, match=r"patch_dropout: x must be \(N, T, D\), got shape \(2, 6\)"):
        patch_dropout(x[..., 0], 0.5, key=K)
    with pytest.raises(ValueError, match="patch_dropout: prefix = 7 tokens are more than the 6 of x"):
        patch_dropout(x, 0.5, prefix=7, key=K)
    with pytest.raises(ValueError, match="patch_dropout: every row of a mask must keep equally many, got 1 to 2"):
        patch_dropout(x[:, :2], 0.5, mask=np.array([[True, False], [True, True]]))
    with pytest.raises(ValueError, match="patch_dropout: 3 keys do not divide a first axis"):
        patch_dropout(x, 0.5, key=(Key(0), Key(1), Key(2)))
    for shape in ((), (3, 0)):
        with pytest.raises(ValueError, match=r"nested_dropout: x must be \(\.\.\., D\) with D at least 1"):
            nested_dropout(np.ones(shape), 0.5, key=K)


# ----------------------------------------------------------------------------------------------- which axes share
def test_channels_share_their_map_and_nothing_else(backend):
    x = np.ones((40, 50, 3, 4), np.float32)
    expected = keep_mask(K, (40, 50), 0.5, backend=backend)
    y = dropout2d(x, 0.5, key=K, backend=backend)
    assert np.array_equal(y, np.broadcast_to(2 * expected[:, :, None, None], x.shape))
    last = spatial_dropout(
        np.moveaxis(x, 1, -1), 0.5, spatial_dims=2, channel_axis=-1, batch_axis=0, key=K, backend=backend
    )
    assert np.array_equal(np.moveaxis(last, -1, 1), y)
    alone = spatial_dropout(x[0], 0.5, spatial_dims=2, channel_axis=0, batch_axis=None, key=K, backend=backend)
    assert np.array_equal(alone, y[0])
    assert np.array_equal(dropout3d(x, 0.5, key=K, backend=backend)[:, 0, 0, 0] != 0, keep_mask(K, 40, 0.5))


def test_unbatched_is_batched_with_one_example():
    for operation, shape in ((dropout1d, (30, 4)), (dropout3d, (30, 2, 3, 4))):
        x = np.ones(shape)
        assert np.array_equal(operation(x, 0.5, key=K), operation(x[None], 0.5, key=K)[0])


def test_locked_masks_are_the_sequences_own(backend):
    """Time-major, batch-major and packed give sequence n the same mask."""
    x = np.random.default_rng(0).standard_normal((7, 5, 9))
    major = locked_dropout(x, 0.4, time_axis=1, key=K, backend=backend)
    assert np.array_equal(
        locked_dropout(x.swapaxes(0, 1), 0.4, time_axis=0, key=K, backend=backend).swapaxes(0, 1), major
    )
    assert (major != 0).all(axis=1).sum() == (major != 0).any(axis=1).sum()  # all steps or none
    lengths = [5, 2, 4, 1, 5, 3, 2]
    sequences = [n for t in range(5) for n in range(7) if t < lengths[n]]  # packed as recurrent networks want it
    steps = [t for t in range(5) for n in range(7) if t < lengths[n]]
    packed = locked_dropout(x[sequences, steps], 0.4, sequences=sequences, key=K, backend=backend)
    assert np.array_equal(packed, major[sequences, steps])
    assert locked_dropout(np.ones((0, 4)), 0.4, sequences=[], key=K, backend=backend).shape == (0, 4)


def test_a_packed_sequence_is_one_decision_for_enumeration_too():
    values = list(enumerate_masks(lambda: locked_dropout(np.ones((4, 1)), 0.25, sequences=[0, 1, 0, 0])))
    assert sorted(q for q, _ in values) == [0.25 * 0.25, 0.25 * 0.75, 0.75 * 0.25, 0.75 * 0.75]
    assert all(y[0] == y[2] == y[3] for _, y in values)


def test_batchwise_gather_is_the_smaller_product():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((6, 20)), rng.standard_normal((20, 3))
    kept = keep_mask(K, (1, 20), 0.5)[0]
    assert np.allclose(batchwise_dropout(x, 0.5, key=K) @ w, x[:, kept] @ w[kept] * 2, rtol=1e-14, atol=0)
    assert 0 < kept.sum() < 20


def test_keys_in_front_are_the_keys_one_by_one(backend):
    keys = tuple(Key(1, sample=t) for t in range(3))
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 6))
    for call in (
        lambda a, key: dropout1d(a, 0.4, key=key, backend=backend),
        lambda a, key: locked_dropout(a, 0.4, time_axis=1, key=key, backend=backend),
        lambda a, key: locked_dropout(a, 0.4, sequences=[2, 0, 1, 0], key=key, backend=backend),
        lambda a, key: batchwise_dropout(a, 0.4, key=key, backend=backend),
        lambda a, key: token_dropout(a, 0.4, key=key, backend=backend),
        lambda a, key: nested_dropout(a, 0.4, key=key, backend=backend),
    ):
        assert np.array_equal(call(x, keys), [call(x[t], keys[t]) for t in range(3)])
    flat = x.reshape(12, 5, 6)
    patches = patch_dropout(flat, 0.4, key=keys, backend=backend)
    assert np.array_equal(patches, np.concatenate([patch_dropout(x[t], 0.4, key=keys[t]) for t in range(3)]))
    weight, ids = x[0, 0], np.array([[0, 1, 1], [2, 1, 0], [4, 4, 1]])
    words = embedding_dropout(weight, ids, 0.4, key=keys, backend=backend)
    assert np.array_equal(words, [embedding_dropout(weight, ids[t], 0.4, key=keys[t]) for t in range(3)])


@pytest.mark.parametrize("rows", [slice(2, 7), np.array([5, 0, 5, 1])])
def test_a_shard_is_its_part_of_the_whole(backend, rows):
    x = np.random.default_rng(0).standard_normal((8, 6, 4))
    for call, shape, shared in (
        (lambda a, i: dropout1d(a, 0.4, key=K, index=i, backend=backend), (8, 6, 4), 2),
        (lambda a, i: locked_dropout(a, 0.4, time_axis=1, key=K, index=i, backend=backend), (8, 6, 4), 1),
        (lambda a, i: batchwise_dropout(a, 0.4, key=K, index=i, backend=backend), (8, 6, 4), 0),
        (lambda a, i: token_dropout(a, 0.4, key=K, index=i, backend=backend), (8, 6, 4), 2),
        (lambda a, i: patch_dropout(a, 0.4, prefix=1, key=K, index=i, backend=backend), (8, 5), ()),
        (lambda a, i: nested_dropout(a, 0.4, key=K, index=i, backend=backend), (8, 6, 3), ()),
    ):
        whole = Index.whole(shape, shared)
        assert np.array_equal(call(x[rows], whole[rows]), call(x, None)[rows])


# ----------------------------------------------------------------------------------------------- PyTorch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "name", "shape"),
    [
        (dropout1d, "dropout1d", (16, 9)),
        (dropout1d, "dropout1d", (4, 16, 9)),
        (dropout2d, "dropout2d", (4, 16, 3, 5)),
        (dropout3d, "dropout3d", (16, 3, 2, 5)),
        (dropout3d, "dropout3d", (4, 16, 3, 2, 5)),
    ],
)
def test_pytorchs_channel_dropouts_with_their_mask(torch, ours, name, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    g = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    torch.manual_seed(0)
    leaf = torch.tensor(x, requires_grad=True)
    theirs = getattr(torch.nn.functional, name)(leaf, 0.3)
    theirs.backward(torch.tensor(g))
    keep = theirs.detach().numpy() != 0
    t = Tensor(x, requires_grad=True)
    y = ours(t, 0.3, mask=keep)
    y.backward(g)
    bound = 1e-6 if dtype == "float32" else 1e-14
    assert np.allclose(y.numpy(), theirs.detach().numpy(), rtol=bound, atol=0)
    assert np.allclose(t.grad, leaf.grad.numpy(), rtol=bound, atol=0)
    mine = ours(x, 0.3, key=K) != 0
    spatial = tuple(range(keep.ndim - {"dropout1d": 1, "dropout3d": 3}.get(name, 2), keep.ndim))
    for mask in (keep, mine):  # theirs and ours: whole channels, some of them
        assert (mask.all(axis=spatial) == mask.any(axis=spatial)).all()
        assert 0 < mask.mean() < 1


# ----------------------------------------------------------------------------------------------- words
def test_the_same_word_is_dropped_everywhere(backend):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 50, (20, 30))
    y, keep = embedding_dropout(np.ones((50, 3)), ids, 0.4, key=K, return_mask=True, backend=backend)
    by_word = keep_mask(K, (50, 1), 0.4, backend=backend)
    assert np.array_equal(keep, by_word[ids])
    assert np.array_equal(y, np.broadcast_to(by_word[ids] / 0.6, y.shape))
    assert 0 < by_word.sum() < 50


def test_embedding_gradient_is_the_row_mask_times_the_scattered_gradient(backend):
    rng = np.random.default_rng(0)
    weight, ids = rng.standard_normal((6, 3)), np.array([[0, 2, 2], [5, 0, 2]])
    g = rng.standard_normal((2, 3, 3))
    w = Tensor(weight, backend, requires_grad=True)
    embedding_dropout(w, ids, 0.5, key=K).backward(g)
    added = np.zeros_like(weight)
    np.add.at(added, ids, g)
    assert np.allclose(w.grad, keep_mask(K, (6, 1), 0.5) / 0.5 * added, rtol=1e-14, atol=0)


def test_a_word_is_one_decision_for_enumeration_too():
    weights = [q for q, _ in enumerate_masks(lambda: embedding_dropout(np.ones((9, 2)), [3, 7, 3, 3], 0.25))]
    assert sorted(weights) == [0.25 * 0.25, 0.25 * 0.75, 0.75 * 0.25, 0.75 * 0.75]


def test_embedding_rows_are_addressed_by_word_however_large_the_vocabulary():
    """A matrix that would not fit into memory twice is never touched but at the rows looked up."""
    weight = np.broadcast_to(np.float32(1), (1 << 40, 2))
    ids = np.array([(1 << 40) - 1, 5, (1 << 40) - 1])
    y = embedding_dropout(weight, ids, 0.5, key=K)
    assert np.array_equal(y[1], 2.0 * keep_mask(K, (6, 1), 0.5)[5].repeat(2))
    assert np.array_equal(y[0], y[2])


def test_embedding_edges():
    weight = np.array([[1.0, 2.0], [np.nan, np.inf], [-1.0, -0.0]])
    keep = np.array([[True], [False], [True]])
    y = embedding_dropout(weight, [0, 1, 2], 0.5, mask=keep)
    assert np.array_equal(y, [[2, 4], [0, 0], [-2, 0]])
    assert np.signbit(y).tolist() == [[False, False], [False, False], [True, True]]
    w = Tensor(weight, requires_grad=True)
    embedding_dropout(w, [0, 1, 2], 0.5, mask=keep).backward(np.where(keep, 1.0, np.nan) * np.ones((3, 2)))
    assert np.array_equal(w.grad, [[2, 2], [0, 0], [2, 2]])
    assert np.array_equal(embedding_dropout(weight, [1, 0], 1.0, key=K), np.zeros((2, 2)))
    assert embedding_dropout(weight, 2, 0.0).tolist() == [-1.0, -0.0]
    assert embedding_dropout(weight, np.zeros((2, 0), int), 0.5, key=K).shape == (2, 0, 2)


def test_unknown_words_get_the_gradient(backend):
    ids = np.arange(2, 12)
    y = word_dropout(ids, 0.5, unknown=1, key=K, backend=backend)
    w = Tensor(np.ones((12, 2)), backend, requires_grad=True)
    ops.take(w, index=y).sum().backward()
    kept = keep_mask(K, 10, 0.5)
    assert w.grad[:, 0].tolist() == [0.0, float((~kept).sum()), *kept.astype(float)]


def test_word_dropout_keeps_dtype_and_what_is_protected():
    for dtype in (np.uint8, np.int32, np.int64):
        ids = np.array([[5, 0, 7], [9, 7, 0]], dtype)
        y = word_dropout(ids, 1.0, unknown=3, protected=(0, 9), key=K)
        assert y.dtype == dtype
        assert y.tolist() == [[3, 0, 3], [9, 3, 0]]
    t = Tensor(np.array([4, 5]))
    assert word_dropout(t, 0.5, unknown=0, training=False) is t
    assert isinstance(word_dropout(t, 0.5, unknown=0, key=K), Tensor)


# ----------------------------------------------------------------------------------------------- patches, prefixes
@pytest.mark.parametrize(("p", "kept"), [(0.0, 10), (0.1, 9), (0.3, 7), (0.57, 4), (0.9, 1), (1.0, 0)])
def test_patches_are_removed_by_count_and_the_prefix_stays(backend, p, kept):
    x = np.broadcast_to(np.arange(12.0)[:, None], (50, 12, 2))
    y = patch_dropout(x, p, prefix=2, key=K, backend=backend)[..., 0]
    assert y.shape == (50, 2 + kept)
    assert (y[:, :2] == [0, 1]).all()
    assert (np.diff(y, axis=1) > 0).all()  # the old order


def test_every_choice_of_patches_is_as_likely_as_another(backend):
    x = np.broadcast_to(np.arange(5.0)[:, None], (20000, 5, 1))
    y = patch_dropout(x, 0.6, key=K, backend=backend)[..., 0]  # (20000, 2)
    _, counts = np.unique(y, axis=0, return_counts=True)
    assert len(counts) == 10
    assert ((counts - 2000) ** 2 / 2000).sum() < 44.8  # chi-squared with 9 degrees of freedom, 1e-6


def test_patch_gradient_is_a_scatter_and_nan_stays_out():
    x = np.arange(10.0).reshape(1, 5, 2)
    x[0, 2] = np.nan
    keep = np.array([[True, False, True, False]])
    t = Tensor(x, requires_grad=True)
    y, used = patch_dropout(t, 0.5, prefix=1, mask=keep, return_mask=True)
    assert np.array_equal(used, keep)
    assert y.numpy()[0].tolist() == [[0, 1], [2, 3], [6, 7]]
    y.backward(np.array([[[1.0, 2], [3, 4], [5, 6]]]))
    assert t.grad[0].tolist() == [[1, 2], [3, 4], [0, 0], [5, 6], [0, 0]]


def test_nested_lengths_are_geometric_with_the_rest_at_the_end(backend):
    n, d, p = 40000, 6, 0.3
    b = nested_dropout(np.ones((n, d)), p, key=K, backend=backend).sum(axis=1).astype(int)
    pmf = np.array([p * (1 - p) ** (k - 1) for k in range(1, d)] + [(1 - p) ** (d - 1)])
    counts = np.bincount(b, minlength=d + 1)
    assert counts[0] == 0
    assert ((counts[1:] - n * pmf) ** 2 / (n * pmf)).sum() < 35.9  # chi-squared, 5 degrees of freedom, 1e-6
    assert abs(pmf.sum() - 1) < 1e-15


def test_nested_extremes():
    x = np.full((3, 4), np.nan)
    x[:, 0] = 2
    assert nested_dropout(x, 1.0, key=K).tolist() == [[2, 0, 0, 0]] * 3
    assert nested_dropout(np.ones((3, 1)), 0.9, key=K).tolist() == [[1]] * 3


# ----------------------------------------------------------------------------------------------- p = 1, evaluation
@pytest.mark.parametrize("name", [n for n in NAMED if n not in ("patch_dropout", "nested_dropout")])
def test_all_dropped_is_zero_with_a_zero_gradient(name):
    x = Tensor(np.full((3, 3, 3, 3), np.nan, np.float32), requires_grad=True)
    y = NAMED[name](x, 1.0, key=K)
    assert not y.numpy().any()
    assert y.dtype == np.float32
    [g] = grad(y.sum(), [x])
    assert not np.asarray(g).any()


# ----------------------------------------------------------------------------------------------- layers
IDS = np.arange(60).reshape(4, 15) % 11
LAYERS = {
    "Dropout1d": (lambda: layers.Dropout1d(0.5), X[..., 0]),
    "Dropout2d": (lambda: layers.Dropout2d(0.5), X),
    "Dropout3d": (lambda: layers.Dropout3d(0.5), X[..., None]),
    "SpatialDropout": (lambda: layers.SpatialDropout(0.5, spatial_dims=2, channel_axis=-1), X),
    "LockedDropout": (lambda: layers.LockedDropout(0.5, time_axis=1), X),
    "BatchwiseDropout": (lambda: layers.BatchwiseDropout(0.5), X),
    "TokenDropout": (lambda: layers.TokenDropout(0.5), X),
    "NestedDropout": (lambda: layers.NestedDropout(0.5), X),
    "PatchDropout": (lambda: layers.PatchDropout(0.5, prefix=1), X[..., 0]),
    "WordDropout": (lambda: layers.WordDropout(0.5, unknown=99), IDS),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_follow_their_modes(name):
    make, x = LAYERS[name]
    layer = make().seed(5)
    first, second = (np.array(raw_of(layer(x))) for _ in range(2))
    assert not np.array_equal(first, second) or name == "PatchDropout"  # of ones, equally many are left
    assert np.array_equal(raw_of(layer.eval()(x)), x)
    assert np.array_equal(raw_of(make().seed(5)(x)), first)
    samples = [np.array(raw_of(layer.sample()(x))) for _ in range(2)]
    assert np.array_equal(samples[0], samples[1])  # .sample() begins again at sample 0
    assert layer.random_state()[""] == (5, 0, 2)
    with pytest.raises(RuntimeError, match="has nothing to draw with"):
        make()(x)
    assert f"{name}(p=0.5" in repr(layer)


def raw_of(y):
    return getattr(y, "data", y) if isinstance(y, Tensor) else y


@pytest.mark.parametrize("name", [n for n in LAYERS if n != "WordDropout"])
def test_samples_and_chunks_of_a_layer_are_parts_of_the_whole(name):
    make, x = LAYERS[name]
    x = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    layer = make().seed(5).sample()
    one_by_one = np.array([raw_of(layer(x)) for _ in range(3)])
    together = predict_samples(make().seed(5), x, samples=3)
    assert np.array_equal(np.asarray(together), one_by_one)
    with entered(Pass(mode="sample", samples=range(1), window=Window(1, 3, 4))):
        part = layer(Tensor(x[1:3]))
    assert np.array_equal(part.data, one_by_one[0][1:3])


def test_embedding_layer():
    layer = layers.EmbeddingDropout(0.5).seed(5)
    weight = np.ones((11, 2), np.float32)
    y = layer(weight, IDS).numpy()
    assert np.array_equal(y, 2.0 * np.broadcast_to(keep_mask(Key(5), (11, 1), 0.5)[IDS], y.shape))
    assert np.array_equal(layer.eval()(weight, IDS).numpy(), weight[IDS])


def test_layers_check_their_arguments():
    with pytest.raises(ValueError, match=r"Dropout2d: p must lie in \[0, 1\]"):
        layers.Dropout2d(1.5)
    with pytest.raises(ValueError, match="SpatialDropout: channel_axis and batch_axis are both axis 0"):
        layers.SpatialDropout(0.5, spatial_dims=2, channel_axis=0)
    with pytest.raises(ValueError, match="LockedDropout: time_axis must be 0 or more"):
        layers.LockedDropout(0.5, time_axis=-1)
    with pytest.raises(ValueError, match=r"Dropout2d: 2 spatial axes, .* make 4, got x with 3"):
        layers.Dropout2d(0.5).seed(0)(X[..., 0])
    with pytest.raises(ValueError, match=r"LockedDropout: x of shape .* has no time_axis = 2"):
        layers.LockedDropout(0.5, time_axis=2).seed(0)(X[:, :, 0, 0])
    with pytest.raises(ValueError, match=r"PatchDropout: x must be \(N, T, D\)"):
        layers.PatchDropout(0.5).seed(0)(X)
    with pytest.raises(ValueError, match=r"NestedDropout: x must be \(N, \.\.\., D\)"):
        layers.NestedDropout(0.5).seed(0)(X[0, 0, 0])


def test_a_scheduled_rate_and_time_major_layers():
    layer = nn.Sequential(layers.LockedDropout(puredrop.schedules.LinearRamp(1.0, steps=1), time_axis=0)).seed(0)
    x = np.ones((3, 4, 5), np.float32)
    assert np.array_equal(layer(x).numpy(), x)
    assert not layer(x).numpy().any()


class TimeFirst(nn.Module):
    """Locked dropout with the time axis in front, for x with the batch in front."""

    def __init__(self):
        self.drop = layers.LockedDropout(0.5, time_axis=0)

    def forward(self, x):
        return ops.swapaxes(self.drop(ops.swapaxes(x, a=0, b=1)), a=0, b=1)


@pytest.mark.parametrize("masks", ["example", "pass"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_locked_dropout_knows_its_batch_behind_the_time_axis(masks, batch_size):
    """With samples in flight, merged with the batch on axis 1, and in chunks: the masks of the other layout."""
    x = np.ones((5, 4, 3), np.float32)  # (N, T, D)
    options = {"samples": 3, "masks": masks, "batch_size": batch_size}
    expected = predict_samples(layers.LockedDropout(0.5, time_axis=1).seed(2), x, **options)
    assert np.array_equal(predict_samples(TimeFirst().seed(2), x, **options), expected)
    assert len({sample.tobytes() for sample in expected}) == 3
