"""Gates on branches, paths and layers: doors, special cases, layers; the rest is in the conformance table."""

import numpy as np
import pytest

import puredrop
from puredrop import (
    Index,
    Key,
    Tensor,
    drop_path,
    fractal_join,
    keep_mask,
    layer_drop,
    ops,
    shake_drop,
    shake_shake,
    stochastic_depth,
    swapout,
)
from puredrop.gradcheck import relative_error
from puredrop.nn import Dropout, Linear, Sequential
from puredrop.nn.residual import (
    DropPath,
    FractalJoin,
    LayerDrop,
    ShakeDrop,
    ShakeShake,
    StochasticDepth,
    Swapout,
)
from puredrop.random import passes
from puredrop.streams import enumerate_masks

R = np.random.default_rng(0)
X, F = R.standard_normal((6, 3, 2)), R.standard_normal((6, 3, 2))
K = Key(5)
IN_ROWS = {"key": Key(5), "mode": "row"}

CALLS = {
    "drop_path": lambda x, p, **o: drop_path(x, p, **o),
    "stochastic_depth": lambda x, p, **o: stochastic_depth(x, x, p, **o),
    "fractal_join": lambda x, p, **o: fractal_join([x, x], p, **o),
    "shake_drop": lambda x, p, **o: shake_drop(x, x, p, **o),
    "shake_shake": lambda x, p, **o: shake_shake(x, x, x, **o),
}


# ------------------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize("name", CALLS)
def test_doors_that_all_gates_share(name):
    call = CALLS[name]
    with pytest.raises(ValueError, match=rf"{name}: mode must be 'row' .* or 'batch' \(one\), got 'example'"):
        call(X, 0.5, key=K, mode="example")
    with pytest.raises(ValueError, match=rf"{name}: mode 'row' needs a batch axis, got x of shape \(\); use mode='b"):
        call(np.float64(1).reshape(()), 0.5, key=K, mode="row")
    with pytest.raises(ValueError, match=rf"{name}: an index .* does not fit x of shape \(6, 3, 2\)"):
        call(X, 0.5, key=K, mode="row", index=Index.whole((5, 3, 2), (1, 2)))
    with pytest.raises(ValueError, match=rf"{name}: in mode 'row' an index must share the axes from 1 on, got one wit"):
        call(X, 0.5, key=K, mode="row", index=Index.whole(X.shape))
    with pytest.raises(ValueError, match=rf"{name}: nothing to draw with"):
        call(X, 0.5)
    with pytest.raises(TypeError, match=rf"{name}: key must be a Key"):
        call(X, 0.5, key=7)
    if name != "shake_shake":
        with pytest.raises(TypeError, match=rf"{name}: p must be one number in \[0, 1\], got an array of shape \(6,\)"):
            call(X, np.full(6, 0.5), key=K)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x, f: stochastic_depth(x, f, 0.5, key=K), "residual"),
        (lambda x, f: swapout(x, f, 0.5, 0.5, key=K), "residual"),
        (lambda x, f: shake_drop(x, f, 0.5, key=K), "residual"),
        (lambda x, f: shake_shake(x, x, f, key=K), "second"),
        (lambda x, f: fractal_join([x, f], 0.5, key=K), "path 1"),
    ],
)
def test_branches_that_do_not_fit(call, name):
    with pytest.raises(
        ValueError, match=rf"{name} must have the shape of .*, \(6, 3, 2\), got \(6, 3, 1\); nothing is"
    ):
        call(X, F[..., :1])
    with pytest.raises(TypeError, match=rf"{name} must have the dtype of .*, float64, got float32"):
        call(X, F.astype(np.float32))
    with pytest.raises(TypeError, match=rf"{name}: x must be floating-point, got dtype int64"):
        call(X, np.ones(X.shape, np.int64))


def test_doors_of_the_others():
    with pytest.raises(ValueError, match=r"swapout: p1 must lie in \[0, 1\], got 2"):
        swapout(X, F, 2, 0.5, key=K)
    with pytest.raises(ValueError, match=r"swapout: p2 must lie in \[0, 1\], got -1"):
        swapout(X, F, 0.5, -1, key=K)
    with pytest.raises(ValueError, match="swapout: mask must hold 2 masks on its first axis, got 1"):
        swapout(X, F, 0.5, 0.5, mask=np.ones((1, *X.shape), bool))
    with pytest.raises(TypeError, match="layer_drop: layer 1 must be a function of x, got int"):
        layer_drop([ops.tanh, 3], X, 0.5, key=K)
    with pytest.raises(ValueError, match=r"layer_drop: p must be one number or one for each of 2 layers, got \(3,\)"):
        layer_drop([ops.tanh, ops.exp], X, np.full(3, 0.5), key=K)
    with pytest.raises(
        ValueError, match=r"layer_drop: layer 0 makes shape \(3, 2\) of \(6, 3, 2\); such a layer cannot"
    ):
        layer_drop([lambda x: x[0]], X, 0.0)
    with pytest.raises(ValueError, match=r"a mask of shape \(3,\) does not broadcast to the array's shape \(2,\)"):
        layer_drop([ops.tanh, ops.exp], X, 0.5, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="layer_drop: 4 keys need a leading axis that they divide"):
        layer_drop([ops.tanh] * 9, X, 0.5, key=tuple(Key(1, step=t) for t in range(4)))
    with pytest.raises(ValueError, match="fractal_join: a join has 1 to 16 paths, got 0"):
        fractal_join([], 0.5, key=K)
    with pytest.raises(ValueError, match="fractal_join: a join has 1 to 16 paths, got 17"):
        fractal_join([X] * 17, 0.5, key=K)
    for column in (2, -1, True, 0.0):
        with pytest.raises(ValueError, match=r"fractal_join: column must be a whole number in \[0, 2\), got"):
            fractal_join([X, F], 0.5, column=column, key=K)
    for ends in ((1.0, 0.0), (0.0,), 0.5, (0.0, np.inf), (True, 2)):
        with pytest.raises(ValueError, match="shake_drop: alpha must be two finite numbers, the smaller first, got"):
            shake_drop(X, F, 0.5, alpha=ends, key=K)
    with pytest.raises(ValueError, match="shake_drop: beta must be two finite numbers"):
        shake_drop(X, F, 0.5, beta=(1, 0), key=K)
    for bad in (np.ones((2, 6), bool), np.ones((2, 6)), np.ones((1, 6, 1, 1))):
        for call in (lambda m: shake_drop(X, F, 0.5, mask=m), lambda m: shake_shake(X, X, F, mask=m)):
            with pytest.raises(ValueError, match=r"must be real numbers of shape \(2, 6, 1, 1\) \(forward, backward\)"):
                call(bad)


# ---------------------------------------------------------------------------------------------- shared, parts, keys
def test_one_gate_for_the_batch_or_one_for_each_example(backend):
    x = np.ones((4000, 3, 2), np.float32)
    rows = drop_path(x, 0.3, key=K, backend=backend)
    assert (rows == rows[:, :1, :1]).all()
    assert np.array_equal(rows[:, 0, 0] != 0, keep_mask(K, 4000, 0.3, backend=backend))
    batches = np.array([drop_path(x[:2], 0.3, mode="batch", key=Key(5, step=t), backend=backend) for t in range(400)])
    assert (batches == batches[:, :1, :1, :1]).all()
    assert abs((batches[:, 0, 0, 0] == 0).mean() - 0.3) < 0.1
    assert drop_path(np.float32(1).reshape(()), 1.0, mode="batch", key=K) == 0
    unscaled = drop_path(x, 0.3, scale_by_keep=False, key=K, backend=backend)
    assert set(np.unique(unscaled)) == {0.0, 1.0}
    assert np.array_equal(unscaled != 0, rows != 0)


def test_drop_path_is_torchvisions_stochastic_depth_with_its_mask(torch):
    """What torchvision computes, in the same operations: noise.bernoulli_(q).div_(q), a product, and its gradient."""
    for dtype, bound in ((np.float32, 1e-6), (np.float64, 1e-14)):
        for mode, shape in (("row", (6, 1, 1)), ("batch", (1, 1, 1))):
            x = torch.tensor(X.astype(dtype), requires_grad=True)
            torch.manual_seed(3)
            noise = torch.empty(shape, dtype=x.dtype).bernoulli_(0.6).div_(0.6)
            y = x * noise
            y.backward(torch.tensor(F.astype(dtype)))
            t = Tensor(X.astype(dtype), requires_grad=True)
            ours = drop_path(t, 0.4, mode=mode, mask=noise.numpy() != 0)
            ours.backward(F.astype(dtype))
            assert relative_error(ours.numpy(), y.detach().numpy()) < bound
            assert relative_error(t.grad, x.grad.numpy()) < bound


@pytest.mark.parametrize("name", CALLS)
def test_a_part_of_a_batch_has_its_part_of_the_gates(name, backend):
    whole = CALLS[name](X, 0.5, backend=backend, **IN_ROWS)
    index = Index.whole(X.shape, (1, 2))
    for part in (slice(2, 5), np.array([5, 0, 5]), (slice(1, 4), slice(None), slice(1, 2))):
        y = CALLS[name](X[part], 0.5, index=index[part], backend=backend, **IN_ROWS)
        assert np.array_equal(y, whole[part])
    far = Index.whole((1 << 47, 3, 2), (1, 2))
    huge = CALLS[name](X, 0.5, index=far[(1 << 47) - 6 :], backend=backend, **IN_ROWS)
    again = CALLS[name](X[4:], 0.5, index=far[(1 << 47) - 2 :], backend=backend, **IN_ROWS)
    assert np.array_equal(huge[4:], again)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("mode", ["row", "batch"])
def test_several_keys_are_the_keys_one_by_one(name, mode, backend):
    keys = tuple(Key(1, sample=t) for t in range(5))
    xs = R.standard_normal((5, 4, 3))
    expected = [CALLS[name](x, 0.5, key=key, mode=mode, backend=backend) for x, key in zip(xs, keys, strict=True)]
    assert np.array_equal(CALLS[name](xs, 0.5, key=keys, mode=mode, backend=backend), expected)
    index = Index.whole((4, 3), (1,) if mode == "row" else (0, 1))
    merged = CALLS[name](xs.reshape(20, 3), 0.5, key=keys, mode=mode, index=index, backend=backend)
    assert np.array_equal(merged.reshape(5, 4, 3), expected)


def test_swapout_of_a_part_and_of_several_keys(backend):
    whole, index = swapout(X, F, 0.4, 0.6, key=K, backend=backend), Index.whole(X.shape)
    y = swapout(X[2:, 1:], F[2:, 1:], 0.4, 0.6, key=K, index=index[2:, 1:], backend=backend)
    assert np.array_equal(y, whole[2:, 1:])
    keys = tuple(Key(1, sample=t) for t in range(6))
    expected = [swapout(X[t], F[t], 0.4, 0.6, key=keys[t], backend=backend) for t in range(6)]
    assert np.array_equal(swapout(X, F, 0.4, 0.6, key=keys, backend=backend), expected)


# ------------------------------------------------------------------------------------------------- what each means
def test_stochastic_depth_adds_up_at_the_ends():
    bad = np.full(X.shape, np.nan)
    assert np.array_equal(stochastic_depth(X, F, 0.0), X + F)
    assert np.array_equal(stochastic_depth(X, bad, 1.0, key=K), X)
    assert np.array_equal(stochastic_depth(X, bad, 1.0, training=False), X)
    t = Tensor(X)
    assert stochastic_depth(t, F, 1.0, training=False) is t


def test_swapout_draws_two_independent_masks_and_drops_what_is_not_finite(backend):
    x, f = np.ones((300, 400)), np.full((300, 400), 10.0)
    y, keep = swapout(x, f, 0.3, 0.6, key=K, return_mask=True, backend=backend)
    both = {value: (y == value).mean() for value in (0.0, 1.0, 10.0, 11.0)}
    expected = {0.0: 0.3 * 0.6, 1.0: 0.7 * 0.6, 10.0: 0.3 * 0.4, 11.0: 0.7 * 0.4}
    assert all(abs(both[value] - expected[value]) < 5 * 0.5 / 346 for value in expected)
    a, b = Tensor(np.where(keep[0], 1.0, np.nan), backend, True), Tensor(np.where(keep[1], 1.0, np.inf), backend, True)
    y = swapout(a, b, 0.3, 0.6, key=K)
    assert np.array_equal(y.numpy(), keep.sum(0))
    y.backward(np.where(keep.all(0), 1.0, np.nan))
    assert np.isfinite(a.grad[~keep[0]]).all()
    assert np.isfinite(b.grad[~keep[1]]).all()


def test_swapout_at_its_ends_is_the_block_the_input_and_the_branch():
    assert np.array_equal(swapout(X, F, 0.0, 0.0), X + F)
    assert np.array_equal(swapout(X, F * np.nan, 0.0, 1.0, key=K), X)
    assert np.array_equal(swapout(X * np.nan, F, 1.0, 0.0, key=K), F)
    assert np.array_equal(swapout(X * np.nan, F, 1.0, 0.0, training=False), F)


def test_swapouts_evaluation_is_not_the_mean_through_relu():
    """The authors' case: relu of a fair choice between -1 + 1, -1, 1 and 0."""
    one, minus = np.ones(1), -np.ones(1)
    through = [(q, np.maximum(y, 0)) for q, y in enumerate_masks(lambda: swapout(one, minus, 0.5, 0.5))]
    assert sum(q * y for q, y in through) == 0.25
    assert np.maximum(swapout(one, minus, 0.5, 0.5, training=False), 0) == 0


def test_a_skipped_layer_is_not_run_and_its_parameters_get_no_gradient():
    w = [Tensor(np.full(2, 2.0), requires_grad=True) for _ in range(3)]
    calls = []

    def layer(i):
        return lambda x: calls.append(i) or x * w[i]

    x = Tensor(np.ones(2), requires_grad=True)
    keep = np.array([True, False, True])
    y = layer_drop([layer(i) for i in range(3)], x, 0.5, mask=keep)
    y.sum().backward()
    assert calls == [0, 2]
    assert [t.grad is None for t in w] == [False, True, False]
    assert y.tolist() == [4.0, 4.0]
    assert x.grad.tolist() == [4.0, 4.0]
    exploding = [lambda x: pytest.fail("a dropped layer was run")]
    assert np.array_equal(layer_drop(exploding, X, 1.0, key=K), X)


def test_regression_layerdrop_ranks_disagree():
    """Ranks that draw for themselves skip different layers, and then wait for each other for ever. One key, one choice:
    whatever the batch of a rank holds."""
    layers = [lambda x, i=i: x + 2.0**i for i in range(12)]
    one = [layer_drop(layers, np.zeros((n, 2)), 0.5, key=Key(3, step=9)) for n in (1, 4, 7)]
    assert {float(y[0, 0]) for y in one} == {float(one[0][0, 0])}
    keep = keep_mask(Key(3, step=9), 12, 0.5)
    assert one[0][0, 0] == (keep * 2.0 ** np.arange(12)).sum()


def test_layer_drop_rates_by_layer_pruning_and_one_function():
    layers = [lambda x: x + 1, lambda x: x + 10, lambda x: x + 100]
    x = np.zeros(1)
    assert layer_drop(layers, x, np.array([0.0, 1.0, 0.0]), key=K) == 101
    assert layer_drop(layers[::2], x, 0.5, training=False) == 101
    assert layer_drop(layers, x, 0.5, training=False) == 111
    assert layer_drop(layers[0], x, 0.0) == 1
    nothing = layer_drop([], x, 0.5, key=K)
    assert np.array_equal(nothing, x)
    assert nothing is not x


def test_at_least_one_layer_is_run_each_with_equal_chance(backend):
    layers = [lambda x: x] * 3
    p, draws = 0.9, 4000
    gates = np.array(
        [
            layer_drop(layers, X, p, at_least_one=True, key=Key(1, step=t), return_mask=True, backend=backend)[1]
            for t in range(draws)
        ]
    )
    assert gates.any(axis=1).all()
    expected = 1 - p + p**3 / 3
    assert np.abs(gates.mean(0) - expected).max() < 5 * np.sqrt(expected * (1 - expected) / draws)
    exact = list(enumerate_masks(lambda: layer_drop(layers, X, p, at_least_one=True, return_mask=True)[1]))
    assert np.allclose(sum(q * keep for q, keep in exact), expected, rtol=1e-12)
    assert layer_drop(layers, X, 1.0, at_least_one=True, key=K, return_mask=True)[1].sum() == 1


def test_layer_drop_of_several_keys_gives_each_sample_its_own_gates(backend):
    keys = tuple(Key(1, sample=t) for t in range(5))
    layers = [lambda x, i=i: x * (i + 2.0) + 1.0 for i in range(4)]
    xs = R.standard_normal((5, 4, 3))
    expected = [layer_drop(layers, x, 0.5, key=k, backend=backend) for x, k in zip(xs, keys, strict=True)]
    assert np.array_equal(layer_drop(layers, xs, 0.5, key=keys, backend=backend), expected)
    merged = layer_drop(layers, xs.reshape(20, 3), 0.5, key=keys, backend=backend)
    assert np.array_equal(merged.reshape(5, 4, 3), expected)


def test_a_join_keeps_one_path_at_least_each_with_equal_chance(backend):
    paths = [np.full((20000, 1), float(j)) for j in range(3)]
    _, keep = fractal_join(paths, 0.8, return_mask=True, backend=backend, **IN_ROWS)
    assert keep.shape == (3, 20000, 1)
    assert keep.any(axis=0).all()
    expected = 0.2 + 0.8**3 / 3
    assert np.abs(keep.mean(axis=(1, 2)) - expected).max() < 5 * np.sqrt(expected * (1 - expected) / 20000)
    _, single = fractal_join(paths, 1.0, return_mask=True, backend=backend, **IN_ROWS)
    assert (single.sum(0) == 1).all()
    assert np.abs(single.mean(axis=(1, 2)) - 1 / 3).max() < 5 * np.sqrt(2 / 9 / 20000)


def test_what_a_join_drops_cannot_reach_the_result(backend):
    bad = [Tensor(np.full((2, 3), value), backend, True) for value in (np.nan, 1.0, np.inf)]
    keep = np.array([False, True, False]).reshape(3, 1, 1)
    y = fractal_join(bad, 0.5, mask=keep)
    y.backward(np.full((2, 3), np.inf))
    assert np.array_equal(y.numpy(), np.ones((2, 3)))
    assert [np.isfinite(t.grad).all() for t in bad] == [True, False, True]
    assert np.array_equal(fractal_join([X, F], 0.5, mask=np.zeros((2, 1, 1, 1), bool)), np.zeros(X.shape)), "not 0/0"


def test_a_global_column_is_that_path_alone_in_training_and_evaluation():
    a, b = Tensor(X, requires_grad=True), Tensor(F * np.nan, requires_grad=True)
    for training in (True, False):
        y = fractal_join([a, b], 0.5, column=0, training=training)
        assert np.array_equal(y.numpy(), X)
    y.sum().backward()
    assert np.array_equal(a.grad, np.ones(X.shape))
    assert np.array_equal(b.grad, np.zeros(X.shape))


def test_shakedrop_uses_beta_backward_and_keeps_with_one_minus_p(backend):
    x, f = np.zeros((20000, 2)), np.ones((20000, 2))
    r = Tensor(f, backend, requires_grad=True)
    y, (forward, backward) = shake_drop(x, r, 0.3, key=K, return_mask=True)
    y.backward(np.full(f.shape, 3.0))
    assert np.array_equal(y.numpy(), np.broadcast_to(forward, f.shape))
    assert np.array_equal(r.grad, np.broadcast_to(3 * backward, f.shape))
    kept = forward == 1
    assert np.array_equal(kept, keep_mask(K, (20000, 1), 0.3, backend=backend))
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / 20000), "p drops, the paper's p_l keeps"
    assert np.array_equal(backward == 1, kept)
    a, b = forward[~kept], backward[~kept]
    assert -1 <= a.min() < -0.99
    assert 0.99 < a.max() <= 1
    assert 0 <= b.min() < 0.01
    assert 0.99 < b.max() <= 1
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size), "drawn independently"


def test_shakedrop_second_derivatives_are_those_of_the_false_gradient():
    w = Tensor(X, requires_grad=True)
    g = Tensor(F, requires_grad=True)
    factors = np.stack([np.full((6, 1, 1), 0.5), np.full((6, 1, 1), 0.25)])
    y = shake_drop(np.zeros(X.shape), w * w, 0.5, mask=factors)
    [first] = puredrop.grad(y, [w], g, create_graph=True)  # g * 0.25 * 2 w
    assert np.allclose(first.data, F * 0.5 * X, rtol=1e-15)
    by_w, by_g = puredrop.grad(first.sum(), [w, g])
    assert np.allclose(by_w, 0.5 * F, rtol=1e-15)
    assert np.allclose(by_g, 0.5 * X, rtol=1e-15)


def test_shakedrop_without_shaking_is_stochastic_depth():
    """Ranges (0, 0): RandomDrop, the case of the paper in which p_l alone is left. Nothing dropped gets through."""
    bad = np.where(keep_mask(K, (6, 1, 1), 0.5), F, np.nan)
    r = Tensor(bad, requires_grad=True)
    y = shake_drop(X, r, 0.5, alpha=(0, 0), beta=(0, 0), key=K)
    assert np.array_equal(y.numpy(), stochastic_depth(X, bad, 0.5, **IN_ROWS))
    y.backward(bad)
    assert np.array_equal(r.grad, np.where(np.isnan(bad), 0, bad))
    assert np.array_equal(shake_drop(X, F, 0.5, alpha=(0.5, 1.5), training=False), X + F * 1.0)


def test_shake_shake_mixes_forward_and_backward_in_different_proportion(backend):
    a, b = (Tensor(np.ones((5000, 2)), backend, True) for _ in range(2))
    y, (forward, backward) = shake_shake(np.zeros((5000, 2)), a, b * 3.0, key=K, return_mask=True)
    y.sum().backward()
    assert np.allclose(y.numpy(), forward + 3 * (1 - forward), rtol=1e-15)
    assert np.array_equal(a.grad, np.broadcast_to(backward, (5000, 2)))
    assert np.allclose(b.grad, 3 * (1 - backward), rtol=1e-15)
    assert abs(np.corrcoef(forward[:, 0], backward[:, 0])[0, 1]) < 5 / np.sqrt(5000)


# ------------------------------------------------------------------------------------------------------- the layers
def block(layer, inputs):
    return lambda: layer(*inputs).numpy()


LAYERS = {
    "DropPath": (DropPath(0.5), (X,), X),
    "StochasticDepth": (StochasticDepth(0.5), (X, F), X + 0.5 * F),
    "StochasticDepth by row": (StochasticDepth(0.5, mode="row"), (X, F), X + 0.5 * F),
    "ShakeDrop": (ShakeDrop(0.5), (X, F), X + 0.5 * F),
    "ShakeShake": (ShakeShake(), (X, F, X), X + 0.5 * (X + F)),
    "FractalJoin": (FractalJoin(0.5), (X, F), (X + F) / 2),
    "Swapout": (Swapout(0.5, 0.25), (X, F), 0.5 * X + 0.75 * F),
    "LayerDrop": (LayerDrop([ops.tanh, ops.exp, ops.sigmoid, ops.relu], 0.5), (X,), None),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_their_modes(name):
    layer, inputs, evaluated = LAYERS[name]
    run = block(layer.seed(3), inputs)
    layer.train()
    first = [run() for _ in range(8)]
    assert any(not np.array_equal(a, first[0]) for a in first), "each step draws anew"
    layer.seed(3)
    assert all(np.array_equal(run(), a) for a in first)
    if evaluated is not None:
        assert np.allclose(block(layer.eval(), inputs)(), evaluated, rtol=1e-15)
    assert np.array_equal(block(layer.eval(), inputs)(), block(layer, inputs)())
    layer.sample()
    samples = [run() for _ in range(4)]
    with passes.entered(passes.Pass(mode="sample", samples=range(4))):
        together = layer.forward(*(Tensor(np.concatenate([a] * 4)) for a in inputs)).numpy()
    assert np.array_equal(together.reshape(4, *X.shape), samples), "samples together are samples one by one"
    with passes.entered(passes.Pass(mode="sample", window=passes.Window(2, 5, 6))):
        chunk = layer.forward(*(Tensor(a[2:5]) for a in inputs)).numpy()
    assert np.array_equal(chunk, samples[0][2:5]), "a chunk of the batch is its part of the whole"
    layer.train()


@pytest.mark.parametrize("name", ["DropPath", "ShakeDrop", "ShakeShake"])
def test_one_function_for_all_inputs(name):
    layer, inputs, _ = LAYERS[name]
    layer.seed(3)
    same = [np.ones((5, 2)) for _ in inputs]
    with passes.entered(passes.Pass(mode="sample", masks="pass")):
        y = layer.forward(*(Tensor(a) for a in same)).numpy()
    assert (y == y[:1]).all()


def test_layers_check_what_they_are_made_of():
    for make in (DropPath, StochasticDepth, ShakeDrop, FractalJoin):
        with pytest.raises(ValueError, match=rf"{make.__name__}: p must lie in \[0, 1\]"):
            make(1.5)
        with pytest.raises(ValueError, match=rf"{make.__name__}: mode must be 'row'"):
            make(0.5, mode="all")
    with pytest.raises(ValueError, match="shake_drop: alpha must be two finite numbers"):
        ShakeDrop(0.5, alpha=(1, 0))
    with pytest.raises(ValueError, match=r"Swapout: p2 must lie in \[0, 1\]"):
        Swapout(0.5, 1.5)
    with pytest.raises(ValueError, match="LayerDrop: p must be one number or one for each of 2 layers"):
        LayerDrop([ops.tanh, ops.tanh], [0.1, 0.2, 0.3])
    assert repr(DropPath(0.5)) == "DropPath(p=0.5, mode='row')"
    assert repr(Swapout(0.5, 0.25)) == "Swapout(p1=0.5, p2=0.25)"


def test_a_schedule_sets_the_rate_of_the_step():
    layer = StochasticDepth(lambda step: 1.0 if step == 0 else 0.0).seed(0)
    assert np.array_equal(layer(X, F).numpy(), X)
    assert np.array_equal(layer(X, F).numpy(), X + F)
    assert np.array_equal(layer.eval()(X, F).numpy(), X + F), "the expectation at the rate of the next step"
    with pytest.raises(RuntimeError, match=r"StochasticDepth: a schedule needs the step it stands at; call \.seed"):
        StochasticDepth(lambda step: 0.5).eval()(X, F)


def test_layers_inside_a_layer_drop_are_found_seeded_and_trained():
    inner = [Sequential(Linear(4, 4), Dropout(0.5)) for _ in range(3)]
    model = LayerDrop(inner, [0.0, 1.0, 0.0]).seed(1)
    assert len(model.parameters()) == 6
    assert [name for name, _ in model.named_sites()] == ["", "layers.0.1", "layers.1.1", "layers.2.1"]
    model(np.ones((2, 4), np.float32)).sum().backward()
    assert [p.grad is not None for p in model.parameters()] == [True, True, False, False, True, True]
    pruned = LayerDrop(inner[::2], 0.0).eval()
    x = np.ones((2, 4), np.float32)
    assert np.array_equal(pruned(x).numpy(), inner[2](inner[0](x)).numpy())


def test_samples_together_are_samples_one_by_one_also_for_dropout_inside():
    model = LayerDrop([Sequential(Linear(4, 4), Dropout(0.5)) for _ in range(4)], 0.5).seed(1).sample()
    x = R.standard_normal((3, 4)).astype(np.float32)
    samples = np.array([model(x).numpy() for _ in range(6)])
    with passes.entered(passes.Pass(mode="sample", samples=range(6))):
        together = model.forward(Tensor(np.concatenate([x] * 6))).numpy()
    assert relative_error(together.reshape(samples.shape), samples) < 1e-6
    assert len({y.tobytes() for y in samples}) > 1
