"""What the tests of other libraries assert of dropout, asserted of puredrop.

ONNX's node tests run as they are. Of PyTorch, Keras, torchvision, timm, Flax and Chainer these are equivalents: the
same properties, written for puredrop's functions, with exact bounds in place of tolerances where chance is involved.
"""

import importlib
import itertools

import numpy as np
import pytest

import puredrop
from puredrop import Key, Tensor, grad, nn, streams
from puredrop.conformance.chance import binomial_p_value
from puredrop.gradcheck import gradcheck
from puredrop.variants.blocks import _gamma, dropped_share

RARE = 1e-6


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def dropped_as_often_as(p, keep):
    assert binomial_p_value(int((~keep).sum()), keep.size, p) > RARE


# ---------------------------------------------------------------------------------------------------------------- ONNX
ONNX_NAMES = (
    *("dropout_default", "dropout_default_ratio", "dropout_default_mask", "dropout_default_mask_ratio"),
    *("training_dropout_default", "training_dropout_default_mask", "training_dropout", "training_dropout_mask"),
    *("training_dropout_zero_ratio", "training_dropout_zero_ratio_mask", "dropout_default_old", "dropout_random_old"),
)


@pytest.fixture(scope="module")
def onnx_cases():
    """Made when the module of the operator is imported; `collect_testcases` would make those of all operators."""
    node = pytest.importorskip("onnx.backend.test.case.node", reason="ONNX is not installed")
    importlib.import_module("onnx.backend.test.case.node.dropout")
    return {case.name: case for case in node._NodeTestCases if "dropout" in case.name}


@pytest.mark.parametrize("name", ONNX_NAMES)
def test_onnx_node_tests(name, onnx_cases):
    case = onnx_cases[f"test_{name}"]
    [node] = case.model.graph.node
    attributes = {one.name: one.i or one.f for one in node.attribute}
    for inputs, outputs in case.data_sets:
        x, ratio, training = (*inputs, *(None, 0.5, False)[len(inputs) :])
        seed = int(attributes.get("seed", 0))
        with puredrop.draw_from(streams.ONNX(seed)):
            y, mask = puredrop.dropout(x, float(ratio), training=bool(training), return_mask=True)
        for ours, theirs in zip((y, mask), outputs, strict=False):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_all_of_onnx_node_tests_are_there(onnx_cases):
    assert set(onnx_cases) == {f"test_{name}" for name in ONNX_NAMES}


# -------------------------------------------------------------------------------------------------------------- PyTorch
ELEMENTWISE = (puredrop.dropout, puredrop.alpha_dropout)
CHANNELS = {1: puredrop.dropout1d, 2: puredrop.dropout2d, 3: puredrop.dropout3d}


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_pytorch_mean_of_the_result_is_that_of_the_input(p):
    x = np.full((1000, 1000), 0.7, np.float32)
    y = puredrop.dropout(x, p, key=Key(1))
    dropped_as_often_as(p, y != 0)
    assert np.allclose(y[y != 0], 0.7 / (1 - p))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_pytorch_permuted_inputs_have_the_same_distribution(order):
    x = np.ones((20, 30, 40), np.float32).transpose(order)
    y = puredrop.dropout(x, 0.3, key=Key(2))
    assert y.shape == x.shape
    dropped_as_often_as(0.3, y != 0)


@pytest.mark.parametrize("dims", CHANNELS)
def test_pytorch_channels_are_dropped_whole(dims):
    x = np.full((50, 40, *(2,) * dims), 3.0, np.float32)
    y = CHANNELS[dims](x, 0.4, key=Key(3)).reshape(50, 40, -1)
    assert (y == y[:, :, :1]).all()
    assert set(np.unique(y).tolist()) == {0.0, np.float32(3.0 / 0.6)}
    dropped_as_often_as(0.4, y[:, :, 0] != 0)


@pytest.mark.parametrize("dims", CHANNELS)
def test_pytorch_a_batch_of_one_is_dropped_as_one_without_a_batch(dims):
    """Their test freezes the generator; here one mask is handed in."""
    x, keep = normal(5, *(3,) * dims), np.arange(5).reshape(1, 5, *(1,) * dims) % 2 == 0
    y = CHANNELS[dims](x[None], 0.4, mask=np.broadcast_to(keep, (1, *x.shape)))
    assert np.array_equal(y[0], puredrop.dropout(x, 0.4, mask=np.broadcast_to(keep[0], x.shape)))


@pytest.mark.parametrize("function", ELEMENTWISE)
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_pytorch_rates_outside_the_range_raise(function, p):
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        function(normal(3), p, key=Key(0))
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        nn.Dropout(p)


@pytest.mark.parametrize("function", ELEMENTWISE)
def test_pytorch_empty_arrays_stay_empty(function):
    for shape in ((0,), (0, 3, 4)):
        assert function(np.zeros(shape, np.float32), 0.5, key=Key(0)).shape == shape


@pytest.mark.parametrize("p", [0.1, 0.3, 0.6])
def test_pytorch_alpha_dropout_keeps_mean_and_deviation(p):
    y = puredrop.alpha_dropout(normal(500, 1000), p, key=Key(4))
    assert abs(y.mean()) < 6 / 500_000**0.5
    assert abs(y.std() - 1) < 6 * (1.0 / 500_000) ** 0.5


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_pytorch_corners_of_native_dropout(p):
    x = Tensor(normal(4, 5), requires_grad=True)
    y, keep = puredrop.dropout(x, p, key=Key(0), return_mask=True)
    y.sum().backward()
    assert (keep == (p == 0)).all()
    assert (y.numpy() == (x.numpy() if p == 0 else 0)).all()
    assert (x.grad == (1 if p == 0 else 0)).all()


# ---------------------------------------------------------------------------------------------------------------- Keras
def test_keras_ones_become_zero_or_the_scale():
    y = puredrop.dropout(np.ones((200, 300), np.float32), 0.2, key=Key(5))
    assert set(np.unique(y).tolist()) == {0.0, np.float32(1 / 0.8)}
    dropped_as_often_as(0.2, y != 0)


def test_keras_noise_shape_shares_decisions():
    y = puredrop.dropout(np.ones((20, 500, 10), np.float32), 0.5, key=Key(6), shared=1)
    assert (y == y[:, :1]).all()
    dropped_as_often_as(0.5, y[:, 0] != 0)


@pytest.mark.parametrize("rate", [-0.5, 1.5, "0.5", None])
def test_keras_rates_are_validated(rate):
    with pytest.raises((ValueError, TypeError), match="p must"):
        nn.Dropout(rate)


def test_keras_gaussian_dropout_has_its_deviation():
    y = puredrop.gaussian_dropout(np.ones((500, 1000)), 0.3, key=Key(7))
    variance = 0.3 / 0.7
    assert abs(y.mean() - 1) < 6 * (variance / y.size) ** 0.5
    assert abs(y.var() - variance) < 6 * variance * (2 / y.size) ** 0.5


@pytest.mark.parametrize("channel_axis", [1, 3])
def test_keras_spatial_dropout_is_constant_along_space(channel_axis):
    x = np.ones((30, 4, 4, 40) if channel_axis == 3 else (30, 40, 4, 4), np.float32)
    y = puredrop.spatial_dropout(x, 0.5, spatial_dims=2, channel_axis=channel_axis, key=Key(8))
    y = np.moveaxis(y, channel_axis, 1).reshape(30, 40, -1)
    assert (y == y[:, :, :1]).all()
    dropped_as_often_as(0.5, y[:, :, 0] != 0)


def test_keras_inference_gives_the_input():
    x = normal(4, 5)
    for function in (*ELEMENTWISE, puredrop.gaussian_dropout):
        assert np.array_equal(function(x, 0.5, training=False), x)


# ---------------------------------------------------------------------------------------------------------- torchvision
@pytest.mark.parametrize(("dims", "block", "p"), list(itertools.product((2, 3), (3, 5), (0.0, 0.5))))
def test_torchvision_drop_block_drops_about_its_share(dims, block, p):
    x, size = np.ones((60, 8, *(11,) * dims), np.float32), (block,) * dims
    keep = puredrop.drop_block(x, p, block_size=block, spatial_dims=dims, key=Key(9), return_mask=True)[1]
    share = 1 - keep.reshape(480, -1).mean(axis=1)
    expected = dropped_share(_gamma("paper", p, size, (11,) * dims), size, (11,) * dims) if p else 0.0
    assert abs(share.mean() - expected) <= 6 * share.std() / 480**0.5


@pytest.mark.parametrize(("p", "mode"), list(itertools.product((0.2, 0.5, 0.8), ("row", "batch"))))
def test_torchvision_stochastic_depth_drops_rows_or_batches(p, mode):
    calls = 250 if mode == "batch" else 1
    kept = []
    for seed in range(calls):
        y = puredrop.drop_path(np.ones((300, 2, 3), np.float32), p, mode=mode, key=Key(seed))
        rows = (y != 0).reshape(300, -1)
        assert (rows == rows[:, :1]).all()
        assert mode == "row" or (rows == rows[:1]).all()
        kept.append(rows[:, 0] if mode == "row" else rows[:1, 0])
    dropped_as_often_as(p, np.concatenate(kept))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_torchvision_stochastic_depth_at_both_ends(p):
    x = normal(20, 3)
    assert np.array_equal(puredrop.drop_path(x, p, key=Key(0)), x if p == 0 else np.zeros_like(x))


# ----------------------------------------------------------------------------------------------------------------- timm
@pytest.mark.parametrize(("side", "block"), [(7, 3), (9, 4), (14, 7)])
def test_timm_drop_block_takes_odd_maps_and_even_blocks(side, block):
    assert puredrop.drop_block(normal(2, 3, side, side), 0.1, block_size=block, key=Key(1)).shape == (2, 3, side, side)


def test_timm_drop_block_ratio_at_their_size():
    keep = puredrop.drop_block(np.ones((16, 32, 56, 56), np.float32), 0.1, key=Key(2), return_mask=True)[1]
    share = 1 - keep.mean(axis=(2, 3))
    expected = dropped_share(_gamma("paper", 0.1, (7, 7), (56, 56)), (7, 7), (56, 56))
    assert abs(share.mean() - expected) < 6 * share.std() / share.size**0.5
    assert abs(expected - 0.1) < 0.03


def test_timm_drop_block_channels_have_their_own_masks():
    keep = puredrop.drop_block(np.ones((2, 16, 14, 14), np.float32), 0.3, key=Key(3), return_mask=True)[1]
    assert len({channel.tobytes() for example in keep for channel in example}) > 16


def test_timm_drop_block_with_and_without_a_scale():
    x = np.ones((4, 4, 14, 14), np.float32)
    plain, keep = puredrop.drop_block(x, 0.3, normalize=None, key=Key(4), return_mask=True)
    scaled = puredrop.drop_block(x, 0.3, key=Key(4))
    assert np.array_equal(plain, keep.astype(np.float32))
    assert np.allclose(scaled[keep], keep.size / keep.sum())


def test_timm_drop_path_scales_what_is_kept_and_not_in_evaluation():
    x = normal(40, 5)
    y = puredrop.drop_path(x, 0.25, key=Key(5))
    kept = (y != 0).any(axis=1)
    assert np.allclose(y[kept], x[kept] / 0.75)
    assert np.array_equal(puredrop.drop_path(x, 0.25, training=False), x)


# ----------------------------------------------------------------------------------------------------------------- Flax
def test_flax_seeds_differ_and_one_seed_does_not():
    x = np.ones((20, 20), np.float32)
    masks = [puredrop.dropout(x, 0.5, key=Key(seed)) for seed in (0, 1, 0)]
    assert np.array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[1])


@pytest.mark.parametrize("rate", np.arange(0.1, 1.0, 0.1).round(1).tolist())
def test_flax_statistics_of_the_rate(rate):
    dropped_as_often_as(rate, puredrop.dropout(np.ones((10, 1000, 8), np.float32), rate, key=Key(6)) != 0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_flax_limits_of_the_rate_have_finite_gradients(rate):
    x = Tensor(normal(4, 4), requires_grad=True)
    y = puredrop.dropout(x, rate, key=Key(0))
    y.sum().backward()
    assert np.array_equal(y.numpy(), x.numpy() * (1 - rate))
    assert np.array_equal(x.grad, np.full((4, 4), 1 - rate))


@pytest.mark.parametrize("shared", [0, 1, 2, (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_flax_broadcast_dims(shared):
    y = puredrop.dropout(np.ones((6, 7, 8), np.float32), 0.5, key=Key(7), shared=shared)
    for axis in np.atleast_1d(shared).tolist():
        assert (y == y.take([0], axis)).all()


def test_flax_deterministic_needs_no_key_and_random_does():
    x = normal(3)
    assert np.array_equal(puredrop.dropout(x, 0.5, training=False), x)
    with pytest.raises(ValueError, match="nothing to draw with; give key="):
        puredrop.dropout(x, 0.5)


# -------------------------------------------------------------------------------------------------------------- Chainer
@pytest.mark.parametrize("p", [0.0, 0.3, 0.7])
def test_chainer_a_mask_that_is_given_fixes_value_and_both_gradients(p):
    x, keep = normal(3, 4, dtype=np.float64), np.arange(12).reshape(3, 4) % 3 > 0
    y, again = puredrop.dropout(x, p, mask=keep, return_mask=True)
    assert np.array_equal(y, np.where(keep, x * (1 / (1 - p)), 0))
    assert np.array_equal(again, keep)
    errors = gradcheck(lambda t: puredrop.dropout(t * t, p, mask=keep) * t, x, second=True)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_chainer_the_mask_that_came_back_gives_the_same_again():
    x = normal(30, 40)
    y, keep = puredrop.dropout(x, 0.4, key=Key(8), return_mask=True)
    assert np.array_equal(puredrop.dropout(x, 0.4, mask=keep), y)


def test_chainer_zoneout_takes_each_element_from_one_of_the_two():
    old, new = normal(30, 40), normal(30, 40, seed=1)
    h = puredrop.zoneout(new, old, 0.4, key=Key(9))
    assert ((h == old) ^ (h == new)).all()
    dropped_as_often_as(0.4, h == new)
    t = Tensor(old, requires_grad=True)
    [g] = grad(puredrop.zoneout(new, t, 0.4, key=Key(9)).sum(), [t])
    assert np.array_equal(np.asarray(g) != 0, h == old)


@pytest.mark.parametrize("share", [False, True])
def test_chainer_drop_connect_with_a_mask_that_is_given(share):
    x, w, b = normal(3, 4, dtype=np.float64), normal(2, 4, seed=1, dtype=np.float64), normal(2, dtype=np.float64)
    keep = np.arange(24).reshape(3, 2, 4) % 3 > 0
    if share:
        keep = np.broadcast_to(keep[:1], keep.shape)
    y = puredrop.drop_connect(x, w, b, 0.5, mask=keep)
    assert np.allclose(y, np.einsum("nij,nj->ni", np.where(keep, 2 * w, 0), x) + b)
