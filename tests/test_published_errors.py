"""Errors of published implementations, one test for each, which puredrop must not have.

Each test says who has the error, how it shows and what is right, as a property that an implementation has or has not:
puredrop's has it, and a few lines with the published error fail the same assertions. Library versions are those in
which the error was seen: PyTorch 2.13, torchvision 0.28, timm 1.0.31, PyG 2.8, Keras 3.15, flax 0.12, haiku 0.0.17,
equinox 0.13, MXNet 1.9, Chainer 7.8, ONNX 1.23, and the research code named.
"""

import itertools
import math

import numpy as np
import pytest

import puredrop
from puredrop import Key, Tensor, estimators, nn, objectives, ops
from puredrop.nn import noise_layers
from puredrop.nn.learned import SpatialConcreteDropout
from puredrop.nn.residual import ScaledDotProductAttention
from puredrop.nn.structured import LockedDropout
from puredrop.streams import enumerate_masks
from puredrop.variants.blocks import _gamma, dropped_share

K = Key(3)
SATURATION = -1.7580993408473766
ANY_WAY_TO_FAIL = (AssertionError, pytest.fail.Exception)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def chance(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).random(shape)


def assert_fails(prove, wrong, error=ANY_WAY_TO_FAIL):
    """What is asserted of puredrop must not hold for the published error, or it would say nothing."""
    with pytest.raises(error), np.errstate(all="ignore"):
        prove(wrong)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(logits, labels):
    return -np.log(softmax(logits))[np.arange(len(labels)), labels].mean()


def test_torch_refs_alpha_dropout_sign_of_b(backend):
    """torch._refs' alpha_dropout adds a p alpha' where it must subtract it: normal x gets the mean -0.91 at p = 0.3.
    Right: mean and variance stay."""

    def keeps_mean_and_variance(f, mean=0.0, variance=1.0):
        x = mean + math.sqrt(variance) * normal(400_000)
        for p in (0.1, 0.3, 0.5):
            y = f(x, p)
            assert abs(y.mean() - mean) < 6 * math.sqrt(variance / x.size)
            assert abs(y.var() / variance - 1) < 6 * math.sqrt(3 / x.size)

    def wrong(x, p):
        a = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5
        return a * np.where(chance(*x.shape) >= p, x, SATURATION) + a * p * SATURATION

    for options in ({}, {"mean": 0.5, "variance": 4.0}):
        more = {"key": K, "backend": backend, **options}
        keeps_mean_and_variance(lambda x, p, o=more: puredrop.alpha_dropout(x, p, **o), **options)
        keeps_mean_and_variance(
            lambda x, p, o=more: puredrop.feature_alpha_dropout(x.reshape(-1, 2), p, **o), **options
        )
    assert_fails(keeps_mean_and_variance, wrong)
    assert abs(wrong(normal(400_000), 0.3).mean() + 0.91) < 0.01


def test_torch_export_loses_dropout_between_recurrent_layers():
    """torch._decomp's _rnn_helper asks `num_layers < i - 1`, never true: an exported LSTM or GRU trains without its
    dropout. Right: after every layer but the last, with a mask of its own at each step."""
    x, weights = normal(5, 4, 6), [normal(6, 6, seed=i) for i in range(3)]

    def run(p, dropped_after):
        """The input of every layer of a stack of tanh cells, and the result of the last. Each (T, N, D)."""
        signals = [x]
        for i, w in enumerate(weights):
            h, states = np.zeros(x.shape[1:]), []
            for step in signals[-1]:
                h = np.tanh(step @ w + h + 1)
                states.append(h)
            if dropped_after(i, len(weights)):
                states = [puredrop.dropout(h, p, key=Key(0, site=i, step=t)) for t, h in enumerate(states)]
            signals.append(np.stack(states))
        return signals

    def drops_between_layers(dropped_after):
        first, *between, last = run(1.0, dropped_after)
        assert first.all()
        assert not np.any(between)  # zeros at every step
        assert last.all()
        for signal in run(0.5, dropped_after)[1:-1]:
            masks = {step.tobytes() for step in signal != 0}
            assert len(masks) == len(signal)

    drops_between_layers(lambda i, layers: i < layers - 1)
    assert_fails(drops_between_layers, lambda i, layers: layers < i - 1)


def dilated(seeds, b):
    """Where a block of b x b that starts at a seed covers a map; a block may stand out beyond the border."""
    n, c, height, width = seeds.shape
    covered = np.zeros((n, c, height + b - 1, width + b - 1), bool)
    for i, j in itertools.product(range(b), range(b)):
        covered[:, :, i : i + height, j : j + width] |= seeds
    return covered


def around(seeds, b):
    """The same for blocks round their seeds, cut off at the border of the map."""
    return dilated(seeds, b)[:, :, b // 2 :, b // 2 :][:, :, : seeds.shape[2], : seeds.shape[3]]


def test_timm_drop_block_seeds_on_the_full_map():
    """timm (since December 2025) seeds the whole map with the gamma of the valid region: p = 0.1 drops 93 % of a 7 x 7
    map by blocks of 7, and everything where the block is the map. Right: seeds where a whole block fits, so about p."""

    def drops_about_p(kept):
        for n in (7, 16):
            keep = kept(np.ones((4000, 1, n, n), np.float32), 0.1, n)
            whole = keep.all(axis=(1, 2, 3))
            assert (whole == keep.any(axis=(1, 2, 3))).all()  # one place for a seed: a map is dropped whole
            assert abs((1 - whole.mean()) - 0.1) < 5.5 * (0.09 / 4000) ** 0.5
        share = 1 - kept(np.ones((500, 4, 14, 14), np.float32), 0.1, 7).mean(axis=(2, 3))
        expected = dropped_share(_gamma("paper", 0.1, (7, 7), (14, 14)), (7, 7), (14, 14))
        assert expected < 0.1
        assert abs(share.mean() - expected) < 5.5 * share.std() / 2000**0.5

    def wrong(x, p, b):
        n = x.shape[-1]
        gamma = p / b**2 * n**2 / (n - b + 1) ** 2
        return ~around(chance(*x.shape) < gamma, b)

    drops_about_p(lambda x, p, b: puredrop.drop_block(x, p, block_size=b, key=K, return_mask=True)[1])
    assert_fails(drops_about_p, wrong)
    assert 1 - wrong(np.ones((200, 1, 7, 7)), 0.1, 7).mean() > 0.9


def test_timm_drop_block_couples_channels_as_if_the_paper_did():
    """timm's couple_channels=True, one mask for all channels, is documented as the paper's. Right: Algorithm 1 draws
    for every channel."""

    def channels_have_their_own_masks(kept):
        keep = kept(np.ones((4, 64, 14, 14), np.float32))
        assert len({channel.tobytes() for example in keep for channel in example}) > 200

    def wrong(x):
        return np.broadcast_to(~around(chance(len(x), 1, 14, 14) < 0.03, 5), x.shape)

    channels_have_their_own_masks(lambda x: puredrop.drop_block(x, 0.3, block_size=5, key=K, return_mask=True)[1])
    assert_fails(channels_have_their_own_masks, wrong)


def test_torchvision_drop_block():
    """torchvision counts kept elements in float16, where 65,520 and more are infinite, and gives zeros; its p = 1 drops
    63 %; it refuses even blocks. Right: exact counts, zeros at p = 1, and blocks of any size."""
    keep = ~around(chance(8, 64, 32, 32) < 0.01, 3)

    def counts_exactly(f):
        y = f(np.ones(keep.shape, np.float16))
        assert y.dtype == np.float16
        assert np.array_equal(y != 0, keep)
        assert abs(float(y.max()) - keep.size / keep.sum()) < 1e-3

    counts_exactly(lambda x: puredrop.drop_block(x, 0.1, block_size=3, mask=keep, backend="numpy"))
    assert_fails(counts_exactly, lambda x: x * keep * (keep.size / keep.astype(np.float16).sum(dtype=np.float16)))

    def is_nothing_at_1(f):
        x = Tensor(np.full((2, 3, 16, 16), 2.0), requires_grad=True)
        y = f(x)
        y.sum().backward()
        assert not y.numpy().any()
        assert not x.grad.any()

    def keeps_some_at_1(x):
        gamma = 1 / 3**2 * 16**2 / (16 - 3 + 1) ** 2
        return ops.where(dilated(chance(2, 3, 14, 14) < gamma, 3), 0.0, x)

    for over, gamma in itertools.product(("batch", "sample", "expected", None), ("paper", "exact")):
        options = {"block_size": 3, "normalize": over, "gamma": gamma, "key": K}
        is_nothing_at_1(lambda x, o=options: puredrop.drop_block(x, 1.0, **o))
        assert not puredrop.drop_block(np.full((2, 3, 16, 16), np.nan), 1.0, **options).any()
    assert_fails(is_nothing_at_1, keeps_some_at_1)
    assert abs(dropped_share(_gamma("paper", 1.0, (3, 3), (16, 16)), (3, 3), (16, 16)) - 0.629) < 5e-3

    def takes_even_blocks(kept):
        for b in (2, 4):
            sizes = np.unique((~kept(np.ones((300, 1, 6, 6)), b)).sum(axis=(1, 2, 3)))
            assert sizes[:2].tolist() == [0, b * b]

    def refuses(x, b):
        assert b % 2, "block_size must be odd"

    takes_even_blocks(lambda x, b: puredrop.drop_block(x, 0.02, block_size=b, key=K, return_mask=True)[1])
    assert_fails(takes_even_blocks, refuses)


def test_miguelvr_drop_block():
    """miguelvr/dropblock has one mask for all channels, gamma = p / b^2 without the border term, 0 / 0 where nothing is
    kept, and takes any p. Right: a mask for each channel, the paper's gamma, zeros, and p in [0, 1]."""

    def wrong(x, p, b, seeds=None):
        seeds = chance(len(x), 1, *x.shape[2:]) < p / b**2 if seeds is None else seeds
        keep = np.broadcast_to(~around(seeds, b), x.shape)
        return x * keep * (keep.size / keep.sum())

    def channels_have_their_own_masks(f):
        keep = f(np.ones((1, 32, 6, 6)), 0.5, 3) != 0
        assert len({channel.tobytes() for channel in keep[0]}) > 20

    def allows_for_the_border(f):
        keep = f(np.ones((20_000, 1, 3, 3)), 0.5, 3) != 0  # one place for a block: gamma is p
        assert abs(keep.any(axis=(1, 2, 3)).mean() - 0.5) < 5.5 * (0.25 / 20_000) ** 0.5

    def is_nothing_where_nothing_is_kept(f):
        assert np.array_equal(f(np.ones((1, 1, 3, 3)), 0.5, 3, True), np.zeros((1, 1, 3, 3)))

    def refuses_a_rate_of_25(f):
        with pytest.raises(ValueError, match=r"drop_block: p must lie in \[0, 1\], got 25"):
            f(np.ones((1, 1, 3, 3)), 25, 3)

    def ours(x, p, b, all_dropped=False):
        options = {"mask": np.zeros(x.shape, bool)} if all_dropped else {"key": K}
        with np.errstate(all="raise"):
            return puredrop.drop_block(x, p, block_size=b, **options)

    for prove in (
        channels_have_their_own_masks,
        allows_for_the_border,
        is_nothing_where_nothing_is_kept,
        refuses_a_rate_of_25,
    ):
        prove(ours)
    assert_fails(channels_have_their_own_masks, wrong)
    assert_fails(allows_for_the_border, wrong)
    assert_fails(is_nothing_where_nothing_is_kept, lambda x, p, b, _: wrong(x, p, b, np.ones(x.shape, bool)))
    assert_fails(refuses_a_rate_of_25, wrong)


def test_p_1_divides_by_zero(backend):
    """p = 1 is NaN in MXNet's Dropout, the ONNX reference and flax's attention; a ZeroDivisionError in Keras'
    AlphaDropout and GaussianDropout; in equinox the result is right and its gradient NaN. Right: zeros with a zero
    gradient, decided before 1 / (1 - p) is formed; the Gaussian, which has no such limit, is refused by name."""
    nothing = np.zeros((3, 4), bool)

    def is_zero_with_a_zero_gradient(f):
        x = Tensor(normal(3, 4), backend, requires_grad=True)
        y = f(x)
        [g] = puredrop.grad(y.sum(), [x], create_graph=True)
        assert np.array_equal(y.numpy(), np.zeros(y.shape))
        assert np.array_equal(g.numpy(), np.zeros(x.shape))

    for f in (
        lambda x: puredrop.dropout(x, 1.0, key=K),
        lambda x: puredrop.alpha_dropout(x, 1.0, key=K),
        lambda x: puredrop.feature_alpha_dropout(x, 1.0, key=K),
        lambda x: puredrop.scaled_dot_product_attention(x, x, x, 1.0, key=K),
        lambda x: puredrop.drop_head(x, 1.0, key=K),
        lambda x: puredrop.drop_key(x, 1.0, all_dropped="zero", key=K),
        lambda x: puredrop.drop_path(x, 1.0, key=K),
    ):
        is_zero_with_a_zero_gradient(f)
    assert not puredrop.alpha_dropout(np.array([np.nan, np.inf, -1.0]), 1.0, key=K).any()

    def multiplies(x):  # MXNet, ONNX; flax, whose multiplier is 0 / 0
        return x * (nothing / np.float64(0))

    def multiplies_attention(x):
        return ops.matmul(ops.softmax(ops.matmul(x, ops.swapaxes(x, a=0, b=1))) * (np.zeros((3, 3)) / np.float64(0)), x)

    def divides(x):  # Keras
        p = 1.0
        return x * ((1 - p) * (1 + p * SATURATION**2)) ** -0.5

    def selects_too_late(x):  # equinox
        return ops.where(nothing, x * (1 / np.float64(0)), 0.0)

    assert_fails(is_zero_with_a_zero_gradient, multiplies)
    assert_fails(is_zero_with_a_zero_gradient, multiplies_attention)
    assert_fails(is_zero_with_a_zero_gradient, divides, ZeroDivisionError)
    assert_fails(is_zero_with_a_zero_gradient, selects_too_late)
    with np.errstate(all="ignore"):
        assert not selects_too_late(Tensor(normal(3, 4))).numpy().any()  # its value is right

    def names_what_is_wrong(make):
        with pytest.raises(ValueError, match="gaussian_dropout: p must lie below 1, got 1"):
            make()

    names_what_is_wrong(lambda: puredrop.gaussian_dropout(np.ones(3), 1.0, key=K))
    names_what_is_wrong(lambda: noise_layers.GaussianDropout(1.0))
    assert_fails(names_what_is_wrong, lambda: (1.0 / (1.0 - 1.0)) ** 0.5, ZeroDivisionError)


def test_onnx_reference_widens_half_precision_and_mistakes_the_rate_for_the_seed():
    """The ONNX reference gives float32 for float16, against its own type constraint; its opset-7 evaluator passes the
    ratio where the seed stands. Right: the dtype stays, and a key goes by its name only."""
    x = np.ones((64, 64), np.float16)

    def keeps_the_dtype(f):
        y = f(x)
        assert y.dtype == np.float16
        assert set(np.unique(y)) == {0, 2}

    keeps_the_dtype(lambda x: puredrop.dropout(x, 0.5, key=K, backend="numpy"))
    assert_fails(keeps_the_dtype, lambda x: np.where(chance(*x.shape) >= 0.5, x * np.float32(2), np.float32(0)))

    def takes_no_seed_by_position(f):
        with pytest.raises(TypeError):
            f(x, 0.5, 7)

    def wrong(x, seed=0, ratio=0.5):
        return x

    takes_no_seed_by_position(puredrop.dropout)
    assert_fails(takes_no_seed_by_position, lambda x, p, seed: wrong(x, p))


def test_keras_numpy_truncates_whole_numbers():
    """Keras' NumPy backend casts the scaled result back to the dtype of x: whole numbers lose their scale, 1 in place
    of 1.43. Right: whole numbers are refused, with the conversion named."""

    def scales_or_refuses(f):
        with pytest.raises(TypeError, match=r"x must be floating-point, got dtype int64; convert it first: x\.astype"):
            f(np.ones((8, 8), np.int64), 0.3)

    def wrong(x, p):
        return np.where(chance(*x.shape) >= p, x / (1 - p), 0).astype(x.dtype)

    for f in (puredrop.dropout, puredrop.alpha_dropout, puredrop.gaussian_dropout, puredrop.drop_path):
        scales_or_refuses(lambda x, p, f=f: f(x, p, key=K))
    assert_fails(scales_or_refuses, wrong)
    assert wrong(np.ones((8, 8), np.int64), 0.3).max() == 1


def test_keras_recurrent_rate_1_and_implementation_1(backend):
    """Keras' LSTM and GRU cells guard with `0 < rate < 1`: a rate of 1 drops nothing. With implementation=1 training
    crashes, for four masks are multiplied into one input. Right: 1 drops all, and each gate has a mask."""
    u, c, f, i = (normal(5, 6, seed=s) for s in range(4))
    options = {"key": K, "backend": backend}

    def drops_everything_at_1(apply):
        for gates in (3, 4):  # GRU, LSTM
            y = apply(u, 1.0, gates)
            assert y.shape == (gates, 5, 6)
            assert not y.any()

    def guarded(x, rate, gates):
        return np.stack([np.where(chance(5, 6, seed=g) >= rate, x, 0) if 0 < rate < 1 else x for g in range(gates)])

    drops_everything_at_1(lambda x, p, gates: puredrop.locked_gate_dropout(x, p, gates=gates, **options))
    assert_fails(drops_everything_at_1, guarded)
    assert np.array_equal(puredrop.update_dropout(u, c, f, i, 1.0, **options), f * c)
    assert not puredrop.memory_dropout(u, c, f, i, 1.0, **options).any()
    assert np.array_equal(puredrop.zoneout(u, c, 1.0, **options), c)

    sequence = normal(7, 5, 6)  # (L, N, D)
    masks = chance(4, 5, 6) >= 0.5

    def has_a_mask_for_each_gate_at_every_step(apply):
        y = apply(sequence)
        assert y.shape == (4, 7, 5, 6)
        assert all(np.array_equal(y[:, t] != 0, y[:, 0] != 0) for t in range(7))
        assert len({gate.tobytes() for gate in y[:, 0] != 0}) == 4

    has_a_mask_for_each_gate_at_every_step(lambda x: puredrop.locked_gate_dropout(x, 0.5, gates=4, shared=0, **options))
    assert_fails(
        has_a_mask_for_each_gate_at_every_step,
        lambda x: np.multiply(x, 2.0 * masks[:, None], out=np.empty_like(x)),
        ValueError,
    )


def test_mixout_backward_lacks_its_scale(backend):
    """bloodwass/mixout's backward lacks 1 / (1 - p), and its mask is one row, repeated for every output. Right: the
    gradient is that of the value, and every weight has its own draw."""
    w, u = normal(30, 40), normal(30, 40, seed=1)

    def is_its_own_gradient(mixed):
        """`mixed(w)` gives (value, gradient of its sum, mask); the value is linear in w."""
        value, gradient, keep = mixed(w)
        assert np.allclose(gradient, mixed(w + 1)[0] - value, rtol=1e-9, atol=1e-9)
        assert len({row.tobytes() for row in keep}) == len(keep)

    def ours(w):
        leaf = Tensor(w, backend, requires_grad=True)
        y, keep = puredrop.mixout(leaf, Tensor(u, backend), 0.9, key=K, return_mask=True)
        y.sum().backward()
        return y.numpy(), leaf.grad, keep

    def with_keep(keep, scale):
        return lambda w: ((np.where(keep, w, u) - 0.9 * u) / (1 - 0.9), keep * scale, keep)

    keep = chance(30, 40) >= 0.9
    is_its_own_gradient(ours)
    assert_fails(is_its_own_gradient, with_keep(keep, 1.0))
    assert_fails(is_its_own_gradient, with_keep(np.repeat(keep[:1], 30, axis=0), 10.0))
    is_its_own_gradient(with_keep(keep, 10.0))


def test_awd_lstm_drops_rows_in_evaluation():
    """awd-lstm's WeightDrop(variational=True) draws its row mask whatever the mode. Right: evaluation gives the weights
    as they are."""
    w = normal(6, 4)

    def evaluates_to_the_weights(f):
        assert np.array_equal(f(w, training=False), w)
        assert not np.array_equal(f(w, training=True), w)

    def wrong(w, training):
        return w * ((chance(6, 1, seed=1) >= 0.5) / 0.5)

    evaluates_to_the_weights(lambda w, **mode: puredrop.weight_drop(w, 0.5, shared=1, key=K, **mode))
    assert_fails(evaluates_to_the_weights, wrong)
    leaf = Tensor(w)
    assert puredrop.weight_drop(leaf, 0.5, shared=1, training=False) is leaf


def test_quant_noise_and_better_lstm_destroy_their_weights(backend):
    """fairseq's quant_noise and Better_LSTM write the dropped weights back, so that zeros pile up from pass to pass.
    Right: each pass starts from the weights."""
    w = normal(6, 4)

    def leaves_the_weights(noise):
        mine = w.copy()
        results = [noise(mine, t).copy() for t in range(6)]
        assert np.array_equal(mine, w)
        assert np.array_equal(noise(mine, 5), results[5])
        assert len({y.tobytes() for y in results}) > 1

    def wrong(w, t):
        w *= chance(*w.shape, seed=t) >= 0.5
        return w

    for f in (
        lambda w, key: puredrop.quant_noise(w, 0.5, block=2, to="zero", key=key),
        lambda w, key: puredrop.weight_drop(w, 0.5, key=key),
        lambda w, key: puredrop.targeted_dropout(w, 0.5, key=key),
        lambda w, key: puredrop.mixout(w, Tensor(normal(6, 4, seed=1), backend), 0.5, key=key),
    ):
        leaves_the_weights(lambda w, t, f=f: f(Tensor(w, backend, requires_grad=True), Key(0, step=t)).numpy())
    assert_fails(leaves_the_weights, wrong)


def test_gal_lstm_ports_hide_the_mask_from_autograd(backend):
    """Ports of Gal's LSTM write `h.data.mul_(mask)`: the gradient is 1, 1, 1, 1. Right: 0, 2, 0, 2, the mask's."""
    keep = np.array([[False, True, False, True]])

    def has_the_gradient_of_its_mask(f):
        h = Tensor(np.ones((1, 4)), backend, requires_grad=True)
        y = f(h)
        y.sum().backward()
        assert y.tolist() == [[0.0, 2.0, 0.0, 2.0]]
        assert h.grad.tolist() == [[0.0, 2.0, 0.0, 2.0]]
        assert h.tolist() == [[1.0, 1.0, 1.0, 1.0]]

    def wrong(h):
        y = h * 1.0
        y.data[...] *= 2.0 * keep
        return y

    has_the_gradient_of_its_mask(lambda h: puredrop.dropout(h, 0.5, mask=keep))
    has_the_gradient_of_its_mask(lambda h: puredrop.locked_gate_dropout(h, 0.5, gates=1, mask=keep[None])[0])
    assert_fails(has_the_gradient_of_its_mask, wrong)


def test_gaussian_dropout_gists(backend):
    """Gists of Gaussian dropout multiply the normal number by alpha = p / (1 - p), and ask `if self.train():`, which is
    always true and sets the mode. Right: sqrt(alpha) is the standard deviation, and asking changes nothing."""

    def has_the_spread_of_dropout(f):
        for p in (0.2, 0.9):
            spread = f(np.ones(200_000), p).std()
            assert abs(spread / math.sqrt(p / (1 - p)) - 1) < 5 / math.sqrt(2 * 200_000)

    has_the_spread_of_dropout(lambda x, p: puredrop.gaussian_dropout(x, p, key=K, backend=backend))
    assert_fails(has_the_spread_of_dropout, lambda x, p: x * (1 + p / (1 - p) * normal(*x.shape)))

    def evaluates_in_evaluation(layer):
        x = np.ones((3, 4), np.float32)
        layer.eval()
        for _ in range(2):
            assert np.array_equal(np.asarray(layer(x)), x)
            assert layer.mode == "eval"
        assert not np.array_equal(np.asarray(layer.train()(x)), x)
        assert layer.mode == "train"

    class Wrong(nn.Module):
        def forward(self, x):
            return x * (1 + normal(*x.shape)) if self.train() else x

    layer = noise_layers.GaussianDropout(0.5).seed(0).to(backend)
    before = layer.random_state()
    evaluates_in_evaluation(layer)
    assert layer.eval().random_state() != before  # one draw: that in training
    assert_fails(evaluates_in_evaluation, Wrong().seed(0))


def test_mcdo_concrete_dropout_miscounts_the_units_of_a_convolution():
    """sungyubkim/MCDO counted something else than the input channels, which are what one mask drops; the weight of the
    entropy is then wrong. Right: K is their number, whatever the size of the kernel."""

    def weighs_the_entropy_by_input_channels(regulariser):
        for kernel in ((1, 1), (3, 3), (5, 1)):
            assert abs(regulariser(np.ones((8, 4, *kernel))) + 4 * math.log(2)) < 1e-6

    def wrong(weight):
        return -math.prod(weight.shape[1:]) * math.log(2)

    scales = {"weight_scale": 0.0, "dropout_scale": 1.0}
    layer = SpatialConcreteDropout(p=0.5, **scales).seed(0)
    weighs_the_entropy_by_input_channels(lambda w: objectives.concrete_regulariser(w, np.zeros(()), **scales))
    weighs_the_entropy_by_input_channels(lambda w: float(layer.regulariser(w.astype(np.float32)).data))
    assert_fails(weighs_the_entropy_by_input_channels, wrong)
    nine_each = objectives.concrete_regulariser(np.ones((8, 4, 3, 3)), np.zeros(()), units=36, **scales)
    assert abs(nine_each + 36 * math.log(2)) < 1e-12  # whoever wants other units says so


def test_drop_key_adds_minus_1e12(backend):
    """DropKey's code adds -1e12 to dropped logits: a row that is dropped whole is uniform in float32, undropped in
    float64, NaN in float16. Right: one meaning in every dtype, the undropped row or zeros, as asked."""
    keep = np.ones((3, 4, 6), bool)
    keep[0, 1], keep[2, 3, :4] = False, False

    def has_one_meaning(f):
        for dtype in (np.float32, np.float64):
            x = normal(3, 4, 6).astype(dtype)
            y = f(x)
            assert y.dtype == dtype
            assert np.allclose(y[0, 1], softmax(x[0, 1]), rtol=1e-6)
            assert not y[2, 3, :4].any()
            assert np.allclose(y.sum(-1), 1, rtol=1e-6)

    def wrong(x):
        return softmax(x + np.where(keep, 0, x.dtype.type(-1e12)))

    has_one_meaning(lambda x: puredrop.drop_key(x, 0.5, mask=keep, backend=backend))
    assert_fails(has_one_meaning, wrong)
    x = normal(3, 4, 6)
    zeros = puredrop.drop_key(x, 0.5, mask=keep, all_dropped="zero", backend=backend)
    assert np.array_equal(zeros[0, 1], np.zeros(6))
    rest = keep.any(-1)
    assert np.array_equal(zeros[rest], puredrop.drop_key(x, 0.5, mask=keep, backend=backend)[rest])
    with np.errstate(all="ignore"):
        assert np.allclose(wrong(x.astype(np.float32))[0, 1], 1 / 6)
        assert np.isnan(wrong(x.astype(np.float16))[0, 1]).all()


def test_open_retrievals_r_drop_on_raw_logits():
    """open-retrievals hands raw logits to a divergence of probabilities, where a negative logit makes NaN. Right:
    finite, never below the cross-entropy, and blind to a constant added to the logits."""
    labels = np.array([0, 3, 1, 1, 2])

    def is_a_divergence_of_distributions(loss):
        for seed in range(20):
            a, b = normal(2, 5, 4, seed=seed) * 50
            both = (cross_entropy(a, labels) + cross_entropy(b, labels)) / 2
            assert np.isfinite(loss(a, b))
            assert loss(a, b) >= both
            assert np.isclose(loss(a + 7.0, b - 3.0), loss(a, b), rtol=1e-12)

    def wrong(a, b):
        divergence = (b * (np.log(b) - a)).sum() / len(a)
        return (cross_entropy(a, labels) + cross_entropy(b, labels)) / 2 + divergence

    is_a_divergence_of_distributions(lambda a, b: objectives.r_drop_loss(a, b, labels, 1.0))
    assert_fails(is_a_divergence_of_distributions, wrong)


def test_pyg_dropout_edge_doubles_self_loops():
    """PyG's dropout_edge(force_undirected=True) appends the reversed edges, self-loops with them, and gives numbers
    where a mask was promised. Right: a pair stays or goes, a self-loop stays one, and the mask is a mask."""
    edges = np.array([[0, 0, 1, 1, 2], [0, 1, 0, 1, 2]])  # three self-loops, one pair

    def keeps_pairs_and_single_loops(f):
        for seed in range(20):
            kept, mask = f(edges, seed)
            assert len({tuple(e) for e in kept.T.tolist()}) == kept.shape[1]
            assert {(v, u) for u, v in kept.T.tolist()} == {(u, v) for u, v in kept.T.tolist()}
            assert mask.dtype == bool
            assert np.array_equal(edges[:, mask], kept)

    def wrong(edges, seed):
        number = np.flatnonzero((chance(edges.shape[1], seed=seed) >= 0.5) & (edges[0] <= edges[1]))
        half = edges[:, number]
        return np.concatenate([half, half[::-1]], axis=1), np.concatenate([number, number])

    keeps_pairs_and_single_loops(lambda e, seed: puredrop.drop_edge(e, 0.5, undirected=True, key=Key(seed)))
    assert_fails(keeps_pairs_and_single_loops, wrong)
    assert puredrop.drop_edge(edges, 0.0, undirected=True)[0].tolist() == edges.tolist()


def test_chainer_and_mxnet_zoneout_forgets_the_expectation(backend):
    """Chainer's and MXNet's zoneout give the new state in evaluation. Right: the mean of what training gives."""
    new, old = normal(2, 3), normal(2, 3, seed=1)

    def evaluates_to_the_mean(f):
        mean = sum(q * y for q, y in enumerate_masks(lambda: f(new, old, training=True)))
        assert np.allclose(f(new, old, training=False), mean, rtol=1e-12)

    def wrong(new, old, training):
        return puredrop.zoneout(new, old, 0.25, backend=backend) if training else new

    evaluates_to_the_mean(lambda new, old, **mode: puredrop.zoneout(new, old, 0.25, backend=backend, **mode))
    assert_fails(evaluates_to_the_mean, wrong)


def test_allennlp_returns_nothing_in_place_and_draws_from_the_global_generator():
    """AllenNLP's InputVariationalDropout(inplace=True) returns None, and its masks come from the global CPU
    generator. Right: a result, an input that stays, and a mask that only its key decides."""
    x = np.ones((2, 3, 4), np.float32)

    def is_a_function_of_its_key(f):
        mine = x.copy()
        first, state = f(mine), np.random.get_state()[1].copy()
        np.random.random(3)
        assert first is not None
        assert first.shape == x.shape
        assert np.array_equal(f(mine), first)
        assert np.array_equal(mine, x)
        np.random.seed(0)
        before = np.random.get_state()[1].copy()
        f(mine)
        assert np.array_equal(np.random.get_state()[1], before)
        assert len(state) == len(before)

    def in_place(x):
        x *= 2.0 * (chance(2, 1, 4) >= 0.5)

    def from_the_global_generator(x):
        return x * 2.0 * (np.random.random((2, 1, 4)) >= 0.5)

    is_a_function_of_its_key(lambda x: puredrop.locked_dropout(x, 0.5, time_axis=1, key=K))
    assert_fails(is_a_function_of_its_key, in_place)
    assert_fails(is_a_function_of_its_key, from_the_global_generator)
    layer = LockedDropout(0.5, time_axis=1).seed(0)
    assert layer(x).shape == layer.eval()(x).shape == x.shape


def test_flax_and_haiku_gradient_by_the_rate():
    """flax and haiku differentiate 1 / (1 - p) with the mask held fixed: that gradient by the rate is x / (1 - p) on
    average, where E[y] = x does not depend on the rate. Right: a rate with a gradient is refused, and the estimators
    with a name give 0."""
    x, rho = 1.7, np.array([-0.4])
    p = float(1 / (1 + np.exp(-rho[0])))

    def is_zero_on_average(gradient):
        """`gradient(keep)` by the logit, weighed by the chance of both masks."""
        assert abs((1 - p) * gradient(np.array([True])) + p * gradient(np.array([False]))) < 1e-12

    def by_scale(keep):
        return x * keep[0] / (1 - p) ** 2 * p * (1 - p)

    def ours(keep):
        score = estimators.score_function_gradient(lambda m: m[0] * x / (1 - p), rho, mask=keep)
        return float(score[0] + by_scale(keep))  # the loss depends on the rate by itself too

    is_zero_on_average(ours)
    assert_fails(is_zero_on_average, by_scale)
    assert abs((1 - p) * by_scale([True]) / (p * (1 - p)) - x / (1 - p)) < 1e-12
    for f in (puredrop.dropout, puredrop.drop_path, puredrop.alpha_dropout, puredrop.zoneout):
        arrays = [np.ones((2, 3))] * (1 + (f is puredrop.zoneout))
        for rate in (Tensor(np.array(0.5), requires_grad=True), Tensor(np.array(0.5))):
            with pytest.raises(TypeError, match=rf"{f.__name__}: p must be .*concrete_dropout.*arm_gradient"):
                f(*arrays, rate, key=K)


def test_torch_attention_takes_any_rate_and_ignores_evaluation(backend):
    """PyTorch's scaled_dot_product_attention takes a negative and a NaN rate without a word, and drops in evaluation
    too. Right: both are refused, and evaluation drops nothing."""
    q, k, v = normal(3, 4), normal(5, 4, seed=1), normal(5, 2, seed=2)
    plain = softmax(q @ k.T / 2) @ v

    def refuses_what_is_no_rate(attend):
        for p in (-0.5, float("nan"), 1.5):
            with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
                attend(p, training=True)

    def drops_nothing_in_evaluation(attend):
        assert np.allclose(attend(0.9, training=False), plain, rtol=1e-12)
        assert not np.allclose(attend(0.9, training=True), plain, rtol=1e-12)

    def ours(p, training):
        return puredrop.scaled_dot_product_attention(q, k, v, p, key=K, training=training, backend=backend)

    def wrong(p, training):
        if p > 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        return np.where(chance(3, 5) >= p, softmax(q @ k.T / 2) / (1 - p), 0) @ v

    for prove in (refuses_what_is_no_rate, drops_nothing_in_evaluation):
        prove(ours)
        assert_fails(prove, wrong)
    layer = ScaledDotProductAttention(0.9).seed(0).to(backend)
    assert np.allclose(layer.eval()(q, k, v).numpy(), plain, rtol=1e-12)
    assert not np.allclose(layer.train()(q, k, v).numpy(), plain, rtol=1e-12)
