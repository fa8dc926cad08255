"""Blocks, holes, bands and pooling: what the conformance rows cannot say."""

from itertools import product

import numpy as np
import pytest

from puredrop import (
    Index,
    Key,
    Tensor,
    band_dropout,
    cutout,
    drop_block,
    keep_mask,
    max_pool_dropout,
    stochastic_pool,
)
from puredrop.nn import structured as layers
from puredrop.random.passes import Pass, Window, entered
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import predict_samples
from puredrop.variants.blocks import _gamma, dropped_share

K = Key(3)
X = np.ones((2, 3, 8, 8), np.float32)


def seeds_of(key, shape, gamma):
    return ~keep_mask(key, shape, gamma)


def blocks_by_hand(seeds, block, shape):
    """Algorithm 1, one seed after the other."""
    keep = np.ones(shape, bool)
    for n, c, *start in zip(*np.nonzero(seeds), strict=True):
        keep[(n, c, *(slice(s, s + b) for s, b in zip(start, block, strict=True)))] = False
    return keep


# ----------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: drop_block(X, 0.1, block_size=9, key=K),
            ValueError,
            r"a block of \(9, 9\) does not fit a map of \(8, 8\)",
        ),
        (lambda: drop_block(X, 0.1, block_size=0, key=K), ValueError, "block_size must be 1 or more, got 0"),
        (lambda: drop_block(X, 0.1, block_size=2.0, key=K), TypeError, "block_size must be a whole number, got 2.0"),
        (lambda: drop_block(X, 0.1, block_size=True, key=K), TypeError, "block_size must be a whole number, got True"),
        (lambda: drop_block(X, 0.1, block_size=(2, 2, 2), key=K), ValueError, "block_size has 3 numbers for 2"),
        (
            lambda: drop_block(X[0], 0.1, key=K),
            ValueError,
            r"x must be \(N, C, and 2 spatial axes\), got shape \(3, 8, 8\)",
        ),
        (
            lambda: drop_block(X, 0.1, gamma="timm", key=K),
            ValueError,
            "gamma must be one of 'paper', 'exact', got 'timm'",
        ),
        (lambda: drop_block(X, 0.1, normalize="all", key=K), ValueError, "normalize must be one of .*None, got 'all'"),
        (
            lambda: drop_block(X, 0.1, gamma_scale=-1, key=K),
            ValueError,
            "gamma_scale must be a number, 0 or more, got -1",
        ),
        (lambda: drop_block(X, 0.1), ValueError, "nothing to draw with"),
        (lambda: drop_block(X, np.array([0.1, 0.2]), key=K), TypeError, "p must be one number"),
        (lambda: drop_block(X, 0.1, key=(K, K, K)), ValueError, "3 keys do not divide a first axis"),
    ],
)
def test_drop_block_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=f"drop_block: .*{message}"):
        call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cutout(X[0], size=2, key=K), ValueError, r"cutout: x must be \(N, C, and 2 spatial axes\)"),
        (lambda: cutout(X, size=0, key=K), ValueError, "cutout: size must be 1 or more, got 0"),
        (lambda: cutout(X, size=(1, 2, 3), key=K), ValueError, "cutout: size has 3 numbers for 2 spatial axes"),
        (lambda: cutout(X, size=2), ValueError, "cutout: nothing to draw with"),
        (lambda: band_dropout(X, axis=0, width=2, key=K), ValueError, "band_dropout: axis must be one of 1 to 3"),
        (lambda: band_dropout(X, axis=-4, width=2, key=K), ValueError, "band_dropout: axis must be one of 1 to 3"),
        (lambda: band_dropout(X, axis=4, width=2, key=K), ValueError, "band_dropout: axis must be one of 1 to 3"),
        (lambda: band_dropout(X, axis=2, width=9, key=K), ValueError, "band_dropout: a band of 9 is wider than the 8"),
        (lambda: band_dropout(X, axis=2, width=(3, 2), key=K), ValueError, "band_dropout: width must be 3 or more"),
        (lambda: band_dropout(X, axis=2, width=2, bands=0, key=K), ValueError, "band_dropout: bands must be 1 or more"),
        (lambda: band_dropout(X, axis=2, width=2.5, key=K), TypeError, "band_dropout: width must be a whole number"),
        (
            lambda: max_pool_dropout(X, 0.5, size=9, key=K),
            ValueError,
            r"max_pool_dropout: a window of \(9, 9\) does not",
        ),
        (lambda: max_pool_dropout(-X, 0.5, size=2, key=K), ValueError, "max_pool_dropout: x must not be negative"),
        (lambda: max_pool_dropout(X, 0.5, size=2), ValueError, "max_pool_dropout: nothing to draw with"),
        (lambda: max_pool_dropout(X, 0.0, size=2, index=5), TypeError, "max_pool_dropout: index must be an Index"),
        (lambda: max_pool_dropout(X[0], 0.5, size=2), ValueError, r"max_pool_dropout: x must be \(N, C, and 2 spatial"),
        (lambda: stochastic_pool(X, size=9, key=K), ValueError, r"stochastic_pool: a window of \(9, 9\) does not fit"),
        (lambda: stochastic_pool(X, size=2, stride=0, key=K), ValueError, "stochastic_pool: stride must be 1 or more"),
        (lambda: stochastic_pool(-X, size=2, key=K), ValueError, "stochastic_pool: x must not be negative"),
        (lambda: stochastic_pool(X, size=2), ValueError, "stochastic_pool: nothing to draw with"),
        (lambda: stochastic_pool(X.astype(int), size=2), TypeError, "stochastic_pool: x must be floating-point"),
        (lambda: stochastic_pool(X, size=2, key=3), TypeError, "stochastic_pool: key must be a Key"),
        (
            lambda: stochastic_pool(X, size=8, mask=np.ones((2, 3, 1, 1))),
            ValueError,
            r"stochastic_pool: the noise handed in must lie in \[0, 1\)",
        ),
    ],
)
def test_the_others_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ----------------------------------------------------------------------------------------------- DropBlock
@pytest.mark.parametrize(
    ("size", "block"), [((9,), (4,)), ((7, 10), (3, 2)), ((5, 6, 4), (2, 3, 4)), ((6, 6), (1, 1)), ((4, 4), (4, 4))]
)
def test_blocks_are_algorithm_1_in_every_dimension(backend, size, block):
    x = np.random.default_rng(0).standard_normal((3, 4, *size))
    options = {"block_size": block, "spatial_dims": len(size), "key": K, "backend": backend}
    y, keep = drop_block(x, 0.3, return_mask=True, **options)
    gamma = 0.3 / np.prod(block) * np.prod(size) / np.prod([n - b + 1 for n, b in zip(size, block, strict=True)])
    seeds = seeds_of(K, (3, 4, *(n - b + 1 for n, b in zip(size, block, strict=True))), float(gamma))
    expected = blocks_by_hand(seeds, block, x.shape)
    assert np.array_equal(keep, expected)
    assert np.allclose(y, np.where(expected, x * expected.size / expected.sum(), 0), rtol=1e-14, atol=0)
    assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize(
    ("p", "b", "n", "paper", "dropped", "exact"),
    [
        (0.1, 3, 16, 0.01451, 0.0952, 0.01529),
        (0.1, 5, 16, 0.00711, 0.0940, 0.00760),
        (0.1, 7, 16, 0.00522, 0.0931, 0.00565),
        (0.3, 3, 16, 0.04354, 0.2590, 0.05184),
        (0.5, 3, 16, 0.07256, 0.3926, 0.10114),
    ],
)
def test_gamma_and_what_it_drops(p, b, n, paper, dropped, exact):
    assert abs(_gamma("paper", p, (b, b), (n, n)) - paper) < 6e-6
    assert abs(dropped_share(_gamma("paper", p, (b, b), (n, n)), (b, b), (n, n)) - dropped) < 6e-5
    assert abs(_gamma("exact", p, (b, b), (n, n)) - exact) < 6e-6
    assert abs(dropped_share(_gamma("exact", p, (b, b), (n, n)), (b, b), (n, n)) - p) < 1e-15


def test_dropped_share_is_the_enumerated_one():
    """Over all sets of seeds, one by one."""
    x, share = np.ones((1, 1, 3, 4)), 0.0
    options = {"block_size": 2, "normalize": None}
    for q, y in enumerate_masks(lambda: drop_block(x, 0.3, **options)):
        share += q * (y == 0).mean()
    assert abs(share - dropped_share(0.3 / 4 * 12 / 6, (2, 2), (3, 4))) < 1e-14
    exact = sum(q * (y == 0).mean() for q, y in enumerate_masks(lambda: drop_block(x, 0.3, gamma="exact", **options)))
    assert abs(exact - 0.3) < 1e-14


def test_exact_gamma_drops_p_in_practice(backend):
    x = np.ones((200, 8, 16, 16), np.float32)
    for p in (0.1, 0.5, 0.9):
        _, keep = drop_block(x, p, block_size=3, gamma="exact", key=K, return_mask=True, backend=backend)
        share = 1 - keep.mean(axis=(2, 3))  # (200, 8): independent maps
        assert abs(share.mean() - p) < 5.5 * share.std() / share.size**0.5


def test_drop_probability_is_smaller_at_the_border():
    """The corner is in one block, the middle in b^2 of them."""
    gamma = _gamma("paper", 0.1, (5, 5), (16, 16))
    _, keep = drop_block(np.ones((400, 50, 16, 16), np.float32), 0.1, block_size=5, key=K, return_mask=True)
    dropped = 1 - keep.mean(axis=(0, 1))
    for place, covers in (((0, 0), 1), ((0, 8), 5), ((8, 8), 25)):
        expected = 1 - (1 - gamma) ** covers
        assert abs(dropped[place] - expected) < 5.5 * (expected * (1 - expected) / 20000) ** 0.5


@pytest.mark.parametrize("over", ["batch", "sample", "expected", None])
def test_normalisation(over, backend):
    x = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    y, keep = drop_block(x, 0.4, block_size=3, normalize=over, key=K, return_mask=True, backend=backend)
    share = dropped_share(_gamma("paper", 0.4, (3, 3), (8, 8)), (3, 3), (8, 8))
    scale = {
        "batch": keep.size / keep.sum(),
        "sample": (keep[0].size / keep.sum(axis=(1, 2, 3))).reshape(6, 1, 1, 1),
        "expected": 1 / (1 - share),
        None: 1.0,
    }[over]
    assert y.dtype == np.float32
    assert np.allclose(y, np.where(keep, x * scale, 0), rtol=3e-7, atol=0)
    alone = drop_block(x[2:4], 0.4, block_size=3, normalize=over, key=K, index=Index.whole((6, 3, 6, 6))[2:4])
    assert np.array_equal(alone, y[2:4]) == (over != "batch")


def test_nothing_kept_is_zero_and_never_a_quotient():
    keep = np.ones((2, 1, 4, 4), bool)
    keep[1] = False
    x = np.full((2, 1, 4, 4), 3.0)
    x[1] = np.nan
    for over in ("batch", "sample", "expected", None):
        y = drop_block(x, 0.5, block_size=2, normalize=over, mask=keep)
        assert np.isfinite(y).all()
        assert not y[1].any()
        assert not drop_block(x, 0.5, block_size=2, normalize=over, mask=np.zeros_like(keep)).any()
    assert (drop_block(x, 0.5, block_size=2, normalize="sample", mask=keep)[0] == 3).all()


def test_keys_are_batches_of_their_own(backend):
    """Samples in flight together do not share their count, so that a chunk of samples changes nothing."""
    keys = (Key(1, sample=1), Key(1, sample=2), Key(1, sample=3))
    x = np.random.default_rng(0).standard_normal((6, 3, 8, 8))
    for over in ("batch", "sample"):
        options = {"block_size": 3, "normalize": over, "backend": backend}
        together = drop_block(x, 0.3, key=keys, **options)
        one_by_one = [drop_block(x[2 * t : 2 * t + 2], 0.3, key=keys[t], **options) for t in range(3)]
        assert np.array_equal(together, np.concatenate(one_by_one))


def test_empty_batches():
    assert drop_block(np.ones((0, 3, 8, 8)), 0.3, key=K).shape == (0, 3, 8, 8)
    assert cutout(np.ones((0, 3, 8, 8)), size=3, key=K).shape == (0, 3, 8, 8)
    assert max_pool_dropout(np.ones((0, 3, 8, 8)), 0.5, size=2, key=K).shape == (0, 3, 4, 4)


# ----------------------------------------------------------------------------------------------- holes, bands
@pytest.mark.parametrize("size", [(4, 4), (3, 3), (1, 5), (16, 16)])
def test_a_hole_is_a_clipped_box_with_any_centre(size):
    n, m = 6, 5
    x = np.ones((3000, 3, n, m), np.float32)
    y, keep = cutout(x, size=size, key=K, return_mask=True)
    assert np.array_equal(y, np.broadcast_to(keep, x.shape))  # all channels, nothing scaled
    possible = {}
    for r, c in product(range(n), range(m)):
        box = np.ones((n, m), bool)
        box[
            max(0, r - size[0] // 2) : r - size[0] // 2 + size[0], max(0, c - size[1] // 2) : c - size[1] // 2 + size[1]
        ] = 0
        possible[box.tobytes()] = possible.get(box.tobytes(), 0) + 1
    found = dict.fromkeys(possible, 0)
    for example in keep[:, 0]:
        found[example.tobytes()] += 1
    expected = {key: 3000 * count / (n * m) for key, count in possible.items()}
    chi = sum((found[key] - e) ** 2 / e for key, e in expected.items())
    assert chi < 88  # at most 29 degrees of freedom, 1e-7


def test_fills_have_gradients_and_whole_examples_are_left_alone(backend):
    x = np.random.default_rng(0).standard_normal((50, 2, 5, 5))
    fill = Tensor(np.array([[[1.0]], [[2.0]]]), backend, requires_grad=True)  # a mean for each channel
    y, keep = cutout(Tensor(x, backend), 0.5, size=3, fill=fill, key=K, return_mask=True)
    assert np.array_equal(y.numpy(), np.where(keep, x, fill.data))
    y.sum().backward()
    assert fill.grad.ravel().tolist() == [float((~keep).sum())] * 2
    whole = keep.all(axis=(1, 2, 3))
    assert np.array_equal(whole, keep_mask(K, 50, 0.5))
    x[~np.broadcast_to(keep, x.shape)] = np.nan
    assert np.isfinite(cutout(x, 0.5, size=3, key=K, backend=backend)).all()


def test_bands_have_every_width_and_start_as_the_paper_has_it():
    n, width, rows = 5, 3, 30000
    y = band_dropout(np.ones((rows, 2, n)), axis=-1, width=width, key=K)
    assert np.array_equal(y[:, 0], y[:, 1])
    expected = {}
    for w in range(width + 1):
        for start in range(n - w + 1):
            band = tuple(0.0 if start <= i < start + w else 1.0 for i in range(n))
            expected[band] = expected.get(band, 0) + rows / (width + 1) / (n - w + 1)
    found = dict.fromkeys(expected, 0)
    for row in map(tuple, y[:, 0].tolist()):
        found[row] += 1
    assert sum((found[band] - e) ** 2 / e for band, e in expected.items()) < 57  # 12 degrees of freedom, 1e-7


def test_several_bands_are_drawn_one_by_one():
    y, keep = band_dropout(np.ones((400, 40)), 0.5, axis=1, width=(2, 2), bands=3, key=K, return_mask=True)
    drawn = (~keep_mask(K, (400, 3), 0.5)).sum(axis=1)
    dropped = (~keep).sum(axis=1)
    assert np.array_equal(y, keep)
    assert (dropped <= 2 * drawn).all()
    assert (dropped >= 2 * (drawn > 0)).all()
    assert (dropped == 2 * drawn).mean() > 0.7  # few overlap


@pytest.mark.parametrize("rows", [slice(2, 7), np.array([5, 0, 5, 1])])
def test_a_shard_and_several_keys_draw_their_part(backend, rows):
    x = np.random.default_rng(0).standard_normal((8, 2, 6, 5))
    keys = tuple(Key(1, sample=t) for t in range(4))
    for call, shape in (
        (lambda a, key, i: cutout(a, 0.5, size=3, key=key, index=i, backend=backend), (8,)),
        (lambda a, key, i: cutout(a[..., 0], 0.5, size=3, spatial_dims=1, key=key, index=i, backend=backend), (8,)),
        (lambda a, key, i: band_dropout(a, 0.5, axis=2, width=3, bands=2, key=key, index=i, backend=backend), (8, 2)),
        (lambda a, key, i: drop_block(a, 0.5, block_size=2, normalize=None, key=key, index=i), (8, 2, 5, 4)),
        (lambda a, key, i: stochastic_pool(a**2, size=2, key=key, index=i, backend=backend), (8, 2, 3, 2)),
        (lambda a, key, i: max_pool_dropout(a**2, 0.5, size=2, key=key, index=i, backend=backend), (8, 2, 6, 5)),
    ):
        assert np.array_equal(call(x[rows], K, Index.whole(shape)[rows]), call(x, K, None)[rows])
        one_by_one = [call(x[2 * t : 2 * t + 2], key, None) for t, key in enumerate(keys)]
        assert np.array_equal(call(x, keys, None), np.concatenate(one_by_one))


# ----------------------------------------------------------------------------------------------- pooling
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), ((2, 3), (1, 2))])
def test_without_dropping_it_is_pytorchs_max_pooling(torch, size, stride):
    x = np.random.default_rng(0).random((2, 3, 8, 9))
    g_seed = np.random.default_rng(1)
    leaf = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.max_pool2d(leaf, size, stride)
    g = g_seed.standard_normal(tuple(theirs.shape))
    theirs.backward(torch.tensor(g))
    for training in (True, False):
        t = Tensor(x, requires_grad=True)
        y = max_pool_dropout(t, 0.0, size=size, stride=stride, training=training)
        assert np.array_equal(y.numpy(), theirs.detach().numpy())
        y.backward(g)
        assert np.allclose(t.grad, leaf.grad.numpy(), rtol=1e-14, atol=0)


def test_max_pool_dropout_chooses_the_i_th_with_the_papers_probability():
    """Every mask of a window of four, overlapping windows too."""
    x, p = np.array([3.0, 1.0, 4.0, 2.0]).reshape(1, 1, 4), 0.3
    values = list(enumerate_masks(lambda: max_pool_dropout(x, p, size=4, spatial_dims=1).item()))
    for i, value in enumerate((1.0, 2.0, 3.0, 4.0), start=1):
        assert sum(q for q, y in values if y == value) == pytest.approx((1 - p) * p ** (4 - i), rel=1e-13)
    assert sum(q for q, y in values if y == 0) == pytest.approx(p**4, rel=1e-13)
    mean = sum(q * y for q, y in values)
    assert max_pool_dropout(x, p, size=4, spatial_dims=1, training=False).item() == pytest.approx(mean, rel=1e-13)
    overlapping = enumerate_masks(lambda: max_pool_dropout(x, p, size=3, stride=1, spatial_dims=1))
    mean = sum(q * y for q, y in overlapping)
    evaluated = max_pool_dropout(x, p, size=3, stride=1, spatial_dims=1, training=False)
    assert np.allclose(mean, evaluated, rtol=1e-13, atol=0)


def test_pooling_edges():
    x = np.array([[[np.nan, 1.0, 2.0, np.inf, 0.0, 0.0]]])
    keep = np.array([[[False, True, True, False, True, False]]])
    t = Tensor(x, requires_grad=True)
    y = max_pool_dropout(t, 0.5, size=2, spatial_dims=1, mask=keep)
    assert y.tolist() == [[[1, 2, 0]]]
    y.backward(np.array([[[1.0, 2, 3]]]))
    assert t.grad.tolist() == [[[0, 1, 2, 0, 3, 0]]]  # to the one that was chosen, and only to it
    nothing = Tensor(np.full((1, 1, 4), np.inf), requires_grad=True)
    y = max_pool_dropout(nothing, 1.0, size=2, spatial_dims=1, key=K)
    y.backward(np.full((1, 1, 2), np.nan))
    assert not y.numpy().any()
    assert not nothing.grad.any()
    assert not max_pool_dropout(nothing, 1.0, size=2, spatial_dims=1, training=False).numpy().any()


def test_stochastic_pooling_chooses_in_proportion(backend):
    x = np.tile(np.array([0.0, 1.0, 3.0, 4.0]), (1, 20000)).reshape(1, 20000, 2, 2)
    y = stochastic_pool(x, size=2, key=K, backend=backend).ravel()
    counts = np.array([(y == v).sum() for v in (0.0, 1.0, 3.0, 4.0)])
    assert counts[0] == 0
    expected = 20000 * np.array([1, 3, 4]) / 8
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 32.2  # 2 degrees of freedom, 1e-7
    assert stochastic_pool(x[:, :1], size=2, training=False).item() == 26 / 8


def test_stochastic_pooling_by_hand_and_its_gradients():
    x = np.array([[[1.0, 3.0, 0.0, 0.0, 2.0, 2.0]]])
    for u, chosen in ((0.0, 0), (0.2499, 0), (0.25, 1), (1 - 2**-33, 1)):
        t = Tensor(x, requires_grad=True)
        y, used = stochastic_pool(t, size=2, spatial_dims=1, mask=np.full((1, 1, 3), u), return_mask=True)
        assert (used == u).all()
        assert y.numpy()[0, 0, :2].tolist() == [x[0, 0, chosen], 0]
        y.backward(np.array([[[5.0, 7.0, 0.0]]]))
        assert t.grad[0, 0].tolist() == [5.0 * (chosen == 0), 5.0 * (chosen == 1), 0, 0, 0, 0]
    t = Tensor(x, requires_grad=True)
    y = stochastic_pool(t, size=2, spatial_dims=1, training=False)
    y.sum().backward()
    assert y.numpy()[0, 0].tolist() == [2.5, 0.0, 2.0]
    assert np.allclose(t.grad[0, 0], [(2 - 2.5) / 4, (6 - 2.5) / 4, 0, 0, 0.5, 0.5], rtol=1e-15, atol=0)


def test_stochastic_pooling_shows_what_is_not_finite():
    x = np.array([[[np.nan, 1.0, 2.0, np.inf]]])
    y = stochastic_pool(x, size=2, spatial_dims=1, key=K)
    assert np.isnan(y[0, 0, 0])
    assert y[0, 0, 1] == np.inf


# ----------------------------------------------------------------------------------------------- layers
LAYERS = {
    "DropBlock": lambda: layers.DropBlock(0.4, block_size=3, normalize="sample"),
    "Cutout": lambda: layers.Cutout(0.7, size=3),
    "BandDropout": lambda: layers.BandDropout(0.9, axis=2, width=(1, 4), bands=2),
    "MaxPoolDropout": lambda: layers.MaxPoolDropout(0.5, size=2),
    "StochasticPool": lambda: layers.StochasticPool(size=2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_follow_their_modes(name):
    make, x = LAYERS[name], np.random.default_rng(0).random((4, 3, 8, 8)).astype(np.float32)
    layer = make().seed(5)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    assert np.array_equal(make().seed(5)(x).numpy(), first)
    evaluated = layer.eval()(x).numpy()
    if name not in ("MaxPoolDropout", "StochasticPool"):
        assert np.array_equal(evaluated, x)
    one_by_one = np.array([layer.sample()(x).numpy(), layer(x).numpy()])
    assert np.array_equal(np.asarray(predict_samples(make().seed(5), x, samples=2)), one_by_one)
    layer.sample()
    with entered(Pass(mode="sample", samples=range(1), window=Window(1, 3, 4))):
        part = layer(Tensor(x[1:3]))
    assert np.array_equal(part.numpy(), one_by_one[0][1:3])
    with entered(Pass(mode="sample", samples=range(1), masks="pass")):
        same = layer(Tensor(np.broadcast_to(x[:1], x.shape).copy())).numpy()
    assert (same == same[:1]).all()
    assert "size=" in repr(layer) or "axis=" in repr(layer)


def test_layers_check_their_arguments():
    with pytest.raises(ValueError, match="DropBlock: block_size must be 1 or more"):
        layers.DropBlock(0.1, block_size=0)
    with pytest.raises(ValueError, match=r"DropBlock: a block of \(7, 7\) does not fit a map of \(4, 4\)"):
        layers.DropBlock(0.1).seed(0)(np.ones((1, 1, 4, 4)))
    with pytest.raises(ValueError, match="DropBlock: normalize must be one of"):
        layers.DropBlock(0.1, normalize="all")
    with pytest.raises(ValueError, match="BandDropout: width must be 3 or more, got 2"):
        layers.BandDropout(axis=1, width=(3, 2))
    with pytest.raises(ValueError, match="Cutout: size has 3 numbers for 2 spatial axes"):
        layers.Cutout(size=(1, 2, 3))
    with pytest.raises(ValueError, match="BandDropout: bands must be 1 or more"):
        layers.BandDropout(axis=1, width=2, bands=0)
    with pytest.raises(TypeError, match="MaxPoolDropout: p must be a number"):
        layers.MaxPoolDropout(lambda step: 0.5, size=2)
    with pytest.raises(ValueError, match=r"StochasticPool: x must be \(N, C, and 2 spatial axes\)"):
        layers.StochasticPool(size=2).seed(0)(np.ones((4, 4)))
