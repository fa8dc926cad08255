"""Noise on weights, and the layers that put it there; the rest is in the conformance table."""

import tracemalloc

import numpy as np
import pytest

from puredrop import (
    Index,
    Key,
    Tensor,
    drop_connect,
    hard_concrete_gate,
    hard_concrete_penalty,
    keep_mask,
    mixout,
    ops,
    quant_noise,
    targeted_dropout,
    weight_drop,
)
from puredrop.gradcheck import gradcheck
from puredrop.nn.layers import Sequential
from puredrop.nn.weights import DropConnectLinear, HardConcreteGate, Zoneout
from puredrop.ops.weights import straight_through
from puredrop.streams import enumerate_masks
from puredrop.tensor.fused import composed
from puredrop.uncertainty import predict_samples

RNG = np.random.default_rng(0)
X, W, B, U = (RNG.standard_normal(s).astype(np.float32) for s in ((5, 4), (3, 4), (3,), (3, 4)))
KEY = Key(2)


# --------------------------------------------------------------------------------------------------------- the door
def test_dense_shapes_and_dtypes_must_fit():
    for x, w in ((X, W.T), (X, W[0]), (np.float32(1), W)):
        with pytest.raises(ValueError, match=r"drop_connect: weight must be \(outputs, inputs\) and the last axis"):
            drop_connect(x, w, None, 0.5, key=KEY)
    with pytest.raises(ValueError, match=r"drop_connect: bias must have shape \(3,\), one for each output, got \(4,\)"):
        drop_connect(X, W, X[0], 0.5, key=KEY)
    with pytest.raises(TypeError, match="drop_connect: x, weight and bias must have one dtype"):
        drop_connect(X, W.astype(np.float64), B, 0.5, key=KEY)
    with pytest.raises(TypeError, match="drop_connect, weight: x must be floating-point"):
        drop_connect(X, W.astype(int), B, 0.5, key=KEY)
    with pytest.raises(ValueError, match="drop_connect: evaluation must be 'mean' or 'gaussian', got 'sample'"):
        drop_connect(X, W, B, 0.5, evaluation="sample", key=KEY)
    with pytest.raises(ValueError, match="drop_connect: 2 keys need as many equal parts on the first axis of x"):
        drop_connect(X, W, B, 0.5, key=(Key(0), Key(1)))
    with pytest.raises(ValueError, match="drop_connect: nothing to draw with"):
        drop_connect(X, W, B, 0.5)
    with pytest.raises(ValueError, match=r"drop_connect: an index of shape \(4, 3, 4\) with 1 key\(s\) does not fit"):
        drop_connect(X, W, B, 0.5, key=KEY, index=Index.whole((4, 3, 4)))


def test_infinite_variance_is_refused():
    with pytest.raises(ValueError, match="drop_connect: p must lie below 1 for evaluation='gaussian'"):
        drop_connect(X, W, B, 1.0, evaluation="gaussian", training=False, key=KEY)


def test_weights_that_cannot_be_mixed():
    with pytest.raises(ValueError, match=r"mixout: pretrained must have the shape of weight, \(3, 4\), got \(3,\)"):
        mixout(W, B, 0.5, key=KEY)
    with pytest.raises(TypeError, match="mixout: pretrained must have the dtype of weight, float32, got float64"):
        mixout(W, U.astype(np.float64), 0.5, key=KEY)


@pytest.mark.parametrize("noise", [weight_drop, lambda w, **o: mixout(w, U, **o), targeted_dropout])
def test_no_key_says_what_to_give(noise):
    with pytest.raises(ValueError, match=r"(weight_drop|mixout|targeted_dropout): nothing to draw with"):
        noise(W, p=0.5)


def test_targets_that_make_no_sense():
    with pytest.raises(ValueError, match=r"targeted_dropout: fraction must lie in \[0, 1\], got 1.5"):
        targeted_dropout(W, 0.5, fraction=1.5, key=KEY)
    with pytest.raises(ValueError, match="targeted_dropout: of must be 'weights' or 'units', got 'rows'"):
        targeted_dropout(W, 0.5, of="rows", key=KEY)
    with pytest.raises(ValueError, match=r"targeted_dropout: weight must have an axis of output units and more"):
        targeted_dropout(B, 0.5, key=KEY)
    with pytest.raises(TypeError, match="targeted_dropout: one weight takes one key"):
        targeted_dropout(W, 0.5, key=(KEY, KEY))


@pytest.mark.parametrize("block", [0, 2.0, True])
def test_blocks_are_counts(block):
    with pytest.raises(ValueError, match="quant_noise: block must be a whole number, 1 or more"):
        quant_noise(W, 0.5, block=block, key=KEY)


def test_quantisers_that_do_not_fit():
    with pytest.raises(ValueError, match=r"quant_noise: blocks of 3 do not divide the last axis of the weight, shape"):
        quant_noise(W, 0.5, block=3, key=KEY)
    with pytest.raises(ValueError, match="quant_noise: to must be 'int8', 'int4', 'zero' or a function of an array"):
        quant_noise(W, 1.0, block=2, to="int2", key=KEY)
    with pytest.raises(ValueError, match=r"quant_noise: to\(\) must keep the shape \(3, 4\), got \(12,\)"):
        quant_noise(W, 1.0, block=2, to=np.ravel, key=KEY)
    with pytest.raises(TypeError, match="quant_noise: one weight takes one key"):
        quant_noise(W, 0.5, block=2, key=(KEY, KEY))


@pytest.mark.parametrize("gate", [hard_concrete_gate, hard_concrete_penalty])
def test_temperature_and_stretch(gate):
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"{gate.__name__}: temperature must be positive and finite"):
            gate(X, temperature)
    with pytest.raises(TypeError, match=f"{gate.__name__}: temperature must be a positive number"):
        gate(X, "1")
    for stretch in ((0.0, 1.1), (-0.1, 1.0), (-0.1, float("inf"))):
        with pytest.raises(ValueError, match=f"{gate.__name__}: stretch must reach from below 0 to above 1"):
            gate(X, stretch=stretch)


def test_uniform_noise_is_strictly_inside():
    for u in (0.0, 1.0):
        with pytest.raises(ValueError, match="hard_concrete_gate: the uniform numbers handed in must lie between"):
            hard_concrete_gate(B, mask=np.full(3, u))


# --------------------------------------------------------------------------------------------------------- DropConnect
def test_every_example_has_weights_of_its_own_or_all_share_them(backend):
    y, keep = drop_connect(X, W, B, 0.5, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, keep_mask(KEY, (5, 3, 4), 0.5, backend=backend))
    np.testing.assert_allclose(y, [np.where(m, 2 * W, 0) @ x + B for m, x in zip(keep, X, strict=True)], rtol=1e-5)
    y, keep = drop_connect(X, W, B, 0.5, per_example=False, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, keep_mask(KEY, (3, 4), 0.5, backend=backend))
    np.testing.assert_allclose(y, X @ np.where(keep, 2 * W, 0).T + B, rtol=1e-5)
    again = drop_connect(X, W, B, 0.5, per_example=False, mask=keep, backend=backend)
    assert np.array_equal(again, y)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (5, 4), (2, 3, 4), (2, 0, 4), (2, 3, 2, 4)])
@pytest.mark.parametrize("per_example", [True, False])
def test_dense_shapes(shape, per_example):
    x = np.ones(shape, np.float32)
    assert drop_connect(x, W, B, 0.5, per_example=per_example, key=KEY).shape == (*shape[:-1], 3)


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 3), (4, 0)])
def test_dense_layers_without_inputs_or_outputs(inputs, outputs, backend):
    x, w = (Tensor(np.ones((n, inputs), np.float32), backend, requires_grad=True) for n in (2, outputs))
    y = drop_connect(x, w, None, 0.5, key=KEY)
    y.sum().backward()
    assert (y.shape, x.grad.shape, w.grad.shape) == ((2, outputs), x.shape, w.shape)
    assert not y.data.any()


def test_positions_of_an_example_share_its_weights():
    x = np.repeat(X[:2, None], 3, axis=1)  # (N, L, I)
    y = drop_connect(x, W, None, 0.5, key=KEY)
    np.testing.assert_allclose(y, np.repeat(y[:, :1], 3, axis=1), rtol=1e-6)
    np.testing.assert_allclose(y[:, 0], drop_connect(X[:2], W, None, 0.5, key=KEY), rtol=1e-5)


def test_memory_layout_does_not_change_the_mask():
    mask = drop_connect(X, W, B, 0.5, key=KEY, return_mask=True)[1]
    for same in (np.asfortranarray(X), X[::-1].copy()[::-1], np.repeat(X, 2, axis=1)[:, ::2]):
        y, again = drop_connect(same, W, B, 0.5, key=KEY, return_mask=True)
        assert np.array_equal(again, mask)
        np.testing.assert_allclose(y, drop_connect(X, W, B, 0.5, key=KEY), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_example", [True, False])
def test_a_part_of_the_batch_and_several_samples_at_once(per_example, backend):
    options = {"per_example": per_example, "backend": backend}
    index = Index.whole((5, 3, 4), () if per_example else (0,))
    whole = drop_connect(X, W, B, 0.5, key=KEY, **options)
    part = drop_connect(X[2:4], W, B, 0.5, key=KEY, index=index[2:4], **options)
    np.testing.assert_allclose(part, whole[2:4], rtol=1e-5)
    keys = (Key(0), Key(1), Key(2))
    together, mask = drop_connect(np.tile(X, (3, 1)), W, B, 0.5, key=keys, index=index, return_mask=True, **options)
    singles = [drop_connect(X, W, B, 0.5, key=key, **options) for key in keys]
    np.testing.assert_allclose(together, np.concatenate(singles), rtol=1e-5)
    assert mask.shape == ((15, 3, 4) if per_example else (3, 3, 4))


def test_dropped_connections_stop_what_is_not_finite():
    w = W.copy()
    keep = keep_mask(KEY, (3, 4), 0.5)
    w[~keep] = np.nan
    leaf = Tensor(w, requires_grad=True)
    y = drop_connect(X, leaf, B, 0.5, per_example=False, mask=keep)
    y.sum().backward()
    assert np.isfinite(y.data).all()
    np.testing.assert_allclose(leaf.grad, np.where(keep, 2 * X.sum(axis=0), 0), rtol=1e-5)
    assert np.array_equal(drop_connect(X, np.full_like(W, np.nan), B, 1.0, key=KEY), np.tile(B, (5, 1)))


@pytest.mark.parametrize("per_example", [True, False])
def test_gradients_of_drop_connect(per_example, backend):
    def f(x, w, b):
        return ops.tanh(drop_connect(x, w, b, 0.4, per_example=per_example, key=KEY, backend=backend))

    errors = gradcheck(f, X, W, B, backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


@pytest.mark.parametrize("tile", [1, 30, 1 << 17])  # one example at a time, two, all of them
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_of_drop_connect_give_what_all_weights_at_once_give(tile, dtype, backend, monkeypatch):
    monkeypatch.setattr("puredrop.ops.connecting.TILE", tile)
    x, w, g = (RNG.standard_normal(s).astype(dtype) for s in ((5, 2, 4), (3, 4), (5, 2, 3)))
    place = Index.whole((7, 3, 4))[2:]
    for keys, n in ((KEY, 5), ((Key(0), Key(1)), 10)):
        ours, wholes = ([Tensor(a, backend, requires_grad=True) for a in (np.tile(x, (n // 5, 1, 1)), w)] for _ in "ab")
        y = drop_connect(*ours, None, 0.4, key=keys, index=place)
        with composed():
            whole = drop_connect(*wholes, None, 0.4, key=keys, index=place)
        upstream = np.tile(g, (n // 5, 1, 1))
        y.backward(upstream)
        whole.backward(upstream)
        close = 1e-5 if dtype == np.float32 else 1e-13
        np.testing.assert_allclose(y.data, whole.data, rtol=close, atol=close)
        for a, b in zip(ours, wholes, strict=True):
            assert a.grad.dtype == dtype
            np.testing.assert_allclose(a.grad, b.grad, rtol=close, atol=close)


def test_drop_connect_never_holds_its_mask():
    x, w = (Tensor(RNG.standard_normal((n, 256)).astype(np.float32), requires_grad=True) for n in (64, 512))
    drop_connect(x, w, None, 0.5, key=KEY).sum().backward()  # kernels are there
    tracemalloc.start()
    drop_connect(x, w, None, 0.5, key=KEY).sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 512 * 256  # a mask of bytes; weights in use would be four times that


def test_gaussian_evaluation_has_the_mean_and_variance_of_all_masks(backend):
    x, w, b = (a.astype(np.float64) for a in (X[:2], W[:2], B[:2]))
    w[1] = 0  # no variance
    options = {"per_example": False, "backend": backend}
    values = list(enumerate_masks(lambda: drop_connect(x, w, b, 0.3, **options)))
    mean = sum(q * y for q, y in values)
    deviation = sum(q * (y - mean) ** 2 for q, y in values) ** 0.5
    gaussian = {"evaluation": "gaussian", "training": False, "backend": backend}
    y, e = drop_connect(x, w, b, 0.3, key=KEY, return_mask=True, **gaussian)
    np.testing.assert_allclose(y, mean + deviation * e, rtol=1e-12)
    assert np.array_equal(drop_connect(x, w, b, 0.3, mask=e, **gaussian), y)
    np.testing.assert_allclose(drop_connect(x, w, b, 0.3, mask=np.zeros((2, 2)), **gaussian), mean, rtol=1e-12)
    draws = drop_connect(np.tile(x, (20000, 1)), w, b, 0.3, key=KEY, **gaussian).reshape(20000, 2, 2)
    assert (abs(draws.mean(axis=0) - mean) <= 5 * deviation / 20000**0.5 + 1e-12).all()
    keys = (Key(0), Key(1))
    together = drop_connect(np.tile(x, (2, 1)), w, b, 0.3, key=keys, **gaussian)
    singles = [drop_connect(x, w, b, 0.3, key=key, **gaussian) for key in keys]
    np.testing.assert_allclose(together, np.concatenate(singles), rtol=1e-12)


def test_gradients_of_gaussian_evaluation():
    def f(x, w, b):
        return drop_connect(x, w, b, 0.4, evaluation="gaussian", training=False, key=KEY)

    errors = gradcheck(f, X, W, B)
    assert errors.first < 1e-6
    assert errors.second < 1e-5
    leaf = Tensor(np.zeros((2, 4)), requires_grad=True)  # the root of a variance of 0 has no gradient
    f(leaf, W.astype(np.float64), B.astype(np.float64)).sum().backward()
    np.testing.assert_allclose(leaf.grad, np.tile(W.sum(axis=0), (2, 1)), rtol=1e-6)


# --------------------------------------------------------------------------------------------------------- weight drop
def test_weight_drop_is_one_mask_for_a_sequence_and_rows_where_shared(backend):
    keep = keep_mask(KEY, (3, 4), 0.5, backend=backend)
    assert np.array_equal(weight_drop(W, 0.5, key=KEY, backend=backend), np.where(keep, 2 * W, 0))
    rows = weight_drop(np.ones((40, 6), np.float32), 0.5, key=KEY, shared=1, backend=backend)
    assert (rows == rows[:, :1]).all()
    assert 0 < (rows[:, 0] == 0).sum() < 40
    keys = (Key(0), Key(1))
    together = weight_drop(np.stack([W, W]), 0.5, key=keys, backend=backend)
    assert np.array_equal(together, [weight_drop(W, 0.5, key=key, backend=backend) for key in keys])


def test_mixout_with_nothing_to_go_back_to_is_weight_drop(backend):
    y = mixout(W, np.zeros_like(W), 0.3, key=KEY, backend=backend)
    np.testing.assert_array_equal(y, weight_drop(W, 0.3, key=KEY, backend=backend))
    np.testing.assert_allclose(mixout(W, W, 0.3, key=KEY), W, rtol=1e-5)


def test_mixout_at_1_gives_the_old_weights_and_they_get_the_gradient():
    w, u = Tensor(np.full_like(W, np.nan), requires_grad=True), Tensor(U, requires_grad=True)
    y = mixout(w, u, 1.0, key=KEY)
    y.sum().backward()
    assert np.array_equal(y.data, U)
    assert not w.grad.any()
    assert (u.grad == 1).all()


def test_mixout_draws_a_part_of_the_weights(backend):
    whole = mixout(W, U, 0.5, key=KEY, backend=backend)
    part = mixout(W[1:], U[1:], 0.5, key=KEY, index=Index.whole(W.shape)[1:], backend=backend)
    assert np.array_equal(part, whole[1:])


# --------------------------------------------------------------------------------------------------------- targeted
def test_only_the_smallest_of_each_row_are_dropped(backend):
    w = np.array([[5.0, -1.0, 2.0, -4.0], [0.5, 8.0, -9.0, 0.25]])
    y, keep = targeted_dropout(w, 1.0, fraction=0.5, key=KEY, return_mask=True, backend=backend)
    assert y.tolist() == [[5.0, 0.0, 0.0, -4.0], [0.0, 8.0, -9.0, 0.0]]
    assert keep.tolist() == [[True, False, False, True], [False, True, True, False]]
    half = [targeted_dropout(w, 0.5, fraction=0.5, key=Key(s), backend=backend) for s in range(400)]
    dropped = (np.array(half) == 0).mean(axis=0)
    assert not dropped[keep].any()
    assert abs(dropped[~keep] - 0.5).max() < 5 * 0.5 / 20
    assert np.array_equal(targeted_dropout(w, 0.5, fraction=0.5, training=False), y)


def test_of_equal_weights_the_first_are_targets_and_counts_are_rounded_down():
    w = np.ones((2, 10))
    for fraction, count in ((0.3, 3), (0.29, 2), (0.7, 7), (0.0, 0), (1.0, 10)):
        expected = [0.0] * count + [1.0] * (10 - count)
        assert targeted_dropout(w, fraction=fraction, training=False).tolist() == [expected] * 2
    hundred = targeted_dropout(np.ones((1, 100)), fraction=0.29, training=False)  # 0.29 * 100 is 28.999999999999996
    assert (hundred == 0).sum() == 29


def test_units_are_ranked_by_norm_and_go_whole(backend):
    w = np.stack([np.full((2, 3), v, np.float32) for v in (3.0, -1.0, 2.0, 1.5)])  # (O, C, K)
    y, keep = targeted_dropout(w, 1.0, fraction=0.5, of="units", key=KEY, return_mask=True, backend=backend)
    assert y[:, 0, 0].tolist() == [3.0, 0.0, 2.0, 0.0]
    assert (y == y[:, :1, :1]).all()
    assert np.array_equal(keep, y != 0)
    assert np.array_equal(targeted_dropout(w, fraction=0.5, of="units", training=False), y)
    some = targeted_dropout(np.ones((200, 4)), 0.5, fraction=1.0, of="units", key=KEY, backend=backend)
    assert np.array_equal(some[:, 0] != 0, keep_mask(KEY, 200, 0.5, backend=backend))


def test_a_weight_that_is_not_finite_is_dropped_without_a_trace():
    w = np.array([[np.nan, np.inf, -1.0]])
    leaf = Tensor(w, requires_grad=True)
    y = targeted_dropout(leaf, 1.0, fraction=1.0, key=KEY)
    y.backward(np.full((1, 3), np.nan))
    assert not y.data.any()
    assert not np.signbit(y.data).any()
    assert not leaf.grad.any()
    assert np.isnan(targeted_dropout(w, 1.0, fraction=0.4, key=KEY)[0, 0])  # a NaN is the largest: no target


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 3, 1, 2)])
@pytest.mark.parametrize("of", ["weights", "units"])
def test_targets_in_any_shape(shape, of):
    assert targeted_dropout(np.ones(shape, np.float32), 0.5, of=of, key=KEY).shape == shape


# --------------------------------------------------------------------------------------------------------- quant noise
def test_blocks_are_quantised_whole_and_others_left_alone(backend):
    w = RNG.standard_normal((6, 8)).astype(np.float32)
    y, keep = quant_noise(w, 0.5, block=4, to="zero", key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, keep_mask(KEY, (6, 2), 0.5, backend=backend))
    assert np.array_equal(y, np.where(np.repeat(keep, 4, axis=1), w, 0))
    assert np.array_equal(quant_noise(w, 0.5, block=4, to="zero", mask=keep, backend=backend), y)
    y = quant_noise(w, 0.5, block=4, to=np.sign, key=KEY, backend=backend)
    assert np.array_equal(y, np.where(np.repeat(keep, 4, axis=1), w, np.sign(w)))


@pytest.mark.parametrize(("to", "bits"), [("int8", 8), ("int4", 4)])
def test_quantised_weights_lie_on_a_grid_of_2_to_the_bits(to, bits):
    w = np.random.default_rng(3).standard_normal((64, 64)).astype(np.float32)
    y = quant_noise(w, 1.0, block=8, to=to, key=KEY)
    step = (w.max() - w.min()) / (2**bits - 1)
    assert y.dtype == np.float32
    assert len(np.unique(y)) <= 2**bits
    assert abs(y - w).max() <= 0.5001 * step
    np.testing.assert_allclose(y / step, np.round(y / step), atol=1e-4)
    assert np.array_equal(quant_noise(w, block=8, to=to, training=False), y)


def test_equal_weights_have_no_step_and_stay():
    w = np.full((2, 4), -0.0)
    assert np.signbit(quant_noise(w, 0.5, block=2, key=KEY)).all()
    assert np.array_equal(quant_noise(np.full((2, 4), 3.0), 1.0, block=2, key=KEY), np.full((2, 4), 3.0))


def test_the_gradient_passes_straight_through_to_every_order(backend):
    w = Tensor(W.astype(np.float64), backend, requires_grad=True)
    y = quant_noise(w, 0.5, block=2, to="zero", key=KEY)
    y.backward(U.astype(np.float64))
    assert np.array_equal(w.grad, U)
    errors = gradcheck(lambda x: ops.tanh(straight_through(x * x, value=(x * x).data)), W, backend=backend)
    assert errors.first < 1e-6  # with the values of x itself, straight through is the true derivative
    assert errors.second < 1e-5


@pytest.mark.parametrize("shape", [(4,), (0, 4), (3, 0), (2, 3, 4)])
def test_quantised_shapes(shape):
    for options in ({"key": KEY}, {"training": False}):
        assert quant_noise(np.ones(shape, np.float32), 0.5, block=2, **options).shape == shape


# --------------------------------------------------------------------------------------------------------- gates
def test_gates_are_open_as_often_as_the_penalty_says(backend):
    n = 40000
    for log_alpha in (-3.0, 0.0, 2.0):
        z = hard_concrete_gate(np.full(n, log_alpha), key=KEY, backend=backend)
        q = hard_concrete_penalty(np.full(1, log_alpha))[0]
        assert abs((z != 0).mean() - q) < 5 * (q * (1 - q) / n) ** 0.5
        assert (z == 1).any()
        assert z.min() == 0


def test_float32_gates_never_see_a_uniform_of_1():
    y, u = hard_concrete_gate(np.zeros(3, np.float32), mask=np.full(3, 1 - 2.0**-33), return_mask=True)
    assert y.tolist() == [1.0, 1.0, 1.0]
    assert y.dtype == np.float32
    assert u.dtype == np.float64


def test_the_gradient_of_a_gate_is_the_papers():
    u, log_alpha = RNG.random(200), RNG.standard_normal(200)
    leaf = Tensor(log_alpha, requires_grad=True)
    z = hard_concrete_gate(leaf, 0.5, mask=u)
    z.sum().backward()
    s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + log_alpha) / 0.5))
    inside = (z.data > 0) & (z.data < 1)
    assert 20 < inside.sum() < 200
    np.testing.assert_allclose(leaf.grad, np.where(inside, 1.2 * s * (1 - s) / 0.5, 0), rtol=1e-9, atol=1e-15)


def test_hard_concrete_keys_enumerate_a_leading_axis(backend):
    keys = (Key(0), Key(1))
    together = hard_concrete_gate(B, key=keys, backend=backend)
    assert np.array_equal(together, [hard_concrete_gate(B, key=key, backend=backend) for key in keys])


# --------------------------------------------------------------------------------------------------------- layers
def test_drop_connect_layer_in_its_modes():
    layer = DropConnectLinear(4, 3, p=0.5).seed(1)
    first, second = layer(X).data, layer(X).data
    assert not np.array_equal(first, second)
    w, b = layer.weight.data, layer.bias.data
    assert np.array_equal(first, drop_connect(X, w, b, 0.5, key=Key(1)))
    np.testing.assert_allclose(layer.eval()(X).data, X @ w.T + b, rtol=1e-5)
    assert repr(layer) == "DropConnectLinear(4 -> 3, p=0.5)"
    assert "no bias" in repr(DropConnectLinear(4, 3, bias=False))
    with pytest.raises(ValueError, match=r"DropConnectLinear: x must be \(N, ..., 4\), got shape \(4,\)"):
        layer(X[0])
    with pytest.raises(ValueError, match=r"DropConnectLinear: p must lie in \[0, 1\]"):
        DropConnectLinear(4, 3, p=2.0)
    scheduled = DropConnectLinear(4, 3, p=lambda step: float(step)).seed(1)
    assert np.array_equal(scheduled(X).data, X @ w.T + b)  # rate 0 at step 0
    assert np.array_equal(scheduled(X).data, np.tile(b, (5, 1)))  # rate 1 at step 1


@pytest.mark.parametrize("masks", ["example", "pass"])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: DropConnectLinear(4, 3, p=0.5),
        lambda: DropConnectLinear(4, 3, p=0.5, per_example=False),
        lambda: HardConcreteGate(4),
        lambda: HardConcreteGate((1, 4), per="example"),
    ],
)
def test_samples_do_not_depend_on_how_the_work_is_cut(layer, masks):
    x = np.random.default_rng(5).standard_normal((24, 3, 4)).astype(np.float32)
    model = Sequential(layer()).seed(3)
    whole = predict_samples(model, x, samples=6, masks=masks)
    assert np.array_equal(predict_samples(model, x, samples=2, first=3, masks=masks), whole[3:5])
    if masks == "example":
        model.sample()
        np.testing.assert_allclose([model(x).data for _ in range(6)], whole, rtol=1e-5, atol=1e-6)


def test_a_layer_of_gates_learns_what_to_do_without():
    gates = HardConcreteGate(4, p=0.2).seed(0)
    start = np.log(0.8 / 0.2)
    assert abs(gates.log_alpha.data - start).max() < 0.06
    assert abs(gates.penalty().item() - hard_concrete_penalty(gates.log_alpha.data).sum()) < 1e-6
    gates.log_alpha.fill([-20.0, 20.0, -20.0, 20.0])
    x = X.copy()
    x[:, ::2] = np.nan  # behind closed gates
    for mode in (gates.train, gates.sample, gates.eval):
        mode()
        leaf = Tensor(x, requires_grad=True)
        y = gates(leaf)
        y.sum().backward()
        assert np.array_equal(y.data, np.where(np.isnan(x), 0, x))
        assert leaf.grad.tolist() == [[0.0, 1.0, 0.0, 1.0]] * 5
        assert np.isfinite(gates.log_alpha.grad).all()


def test_gates_are_drawn_for_the_pass_or_for_each_example():
    x = np.ones((50, 3, 4), np.float32)
    one = HardConcreteGate(4).seed(0)(x).data
    assert (one == one[:1, :1]).all()
    each = HardConcreteGate(4, per="example").seed(0)(x).data
    assert (each == each[:, :1]).all()
    assert len({row.tobytes() for row in each[:, 0]}) == 50
    positions = HardConcreteGate((3, 1)).seed(0)(x).data
    assert (positions == positions[:1, :, :1]).all()
    with pytest.raises(ValueError, match=r"HardConcreteGate: gates of shape \(4,\) need x \(N, ..., \*gates\), got"):
        HardConcreteGate(4).seed(0)(np.ones((2, 3), np.float32))


def test_gate_layers_check_their_arguments():
    for p in (0.0, 1.0):
        with pytest.raises(ValueError, match="HardConcreteGate: p must lie between 0 and 1, both excluded"):
            HardConcreteGate(4, p=p)
    with pytest.raises(ValueError, match="HardConcreteGate: per must be 'pass' or 'example', got 'row'"):
        HardConcreteGate(4, per="row")
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        HardConcreteGate(4, temperature=0.0)


def test_zoneout_layer_in_its_modes():
    layer = Zoneout(0.5).seed(4)
    new, old = X, np.zeros_like(X)
    first, second = layer(new, old).data, layer(new, old).data
    assert np.array_equal(first, np.where(keep_mask(Key(4), X.shape, 0.5), new, old))
    assert np.array_equal(second, np.where(keep_mask(Key(4, step=1), X.shape, 0.5), new, old))
    np.testing.assert_allclose(layer.eval()(new, old).data, 0.5 * new)
    scheduled = Zoneout(lambda step: 0.25 * step).seed(4)
    assert np.array_equal(scheduled(new, old).data, new)
    np.testing.assert_allclose(scheduled.eval()(new, old).data, 0.75 * new)  # the rate of the next step
    assert repr(layer) == "Zoneout(p=0.5)"
