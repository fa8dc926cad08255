"""Masks that depend on the data: the papers' special cases, published errors, and refusals."""

import math

import numpy as np
import pytest

from puredrop import Index, Key, Tensor
from puredrop.gradcheck import relative_error
from puredrop.nn.learned import Standout
from puredrop.streams import Given, draw_from
from puredrop.variants import jumpout, keep_mask, max_dropout, standout

X = np.ones((3, 4), np.float32)


# ------------------------------------------------------------------------------------------------------------- standout
def test_standout_at_pre_activation_0_is_a_fair_coin(backend):
    y, keep = standout(X, np.zeros_like(X), key=Key(3), return_mask=True, backend=backend)
    assert np.array_equal(keep, keep_mask(Key(3), (3, 4), 0.5))
    assert np.array_equal(y, keep)


def test_standout_keeps_each_unit_with_its_own_probability(rng):
    a, n = rng.standard_normal(5), 40000
    keep = standout(np.ones((n, 5)), np.broadcast_to(a, (n, 5)), 2.0, -0.5, key=Key(0))
    q = 1 / (1 + np.exp(-(2 * a - 0.5)))
    assert (np.abs(keep.mean(0) - q) < 5 * np.sqrt(q * (1 - q) / n)).all()


def test_a_large_beta_keeps_all_and_a_small_one_drops_all(rng):
    x, a = rng.standard_normal((2, 5, 6))
    assert np.array_equal(standout(x, a, beta=math.inf, key=Key(0)), x)
    assert np.array_equal(standout(np.full((5, 6), np.nan), a, beta=-math.inf, key=Key(0)), np.zeros((5, 6)))
    assert np.array_equal(standout(x, a, beta=60.0, key=Key(0)), x)


def test_standout_gradients(rng, backend):
    """Training: x only, where kept. Evaluation: the expectation, by all of x, a, alpha and beta."""
    x, a, g = rng.standard_normal((3, 5, 6))
    tensors = [Tensor(v, backend, requires_grad=True) for v in (x, a, np.array(0.7), np.array(-0.3))]
    y, keep = standout(*tensors, key=Key(1), return_mask=True)
    y.backward(g)
    assert np.array_equal(tensors[0].grad, np.where(keep, g, 0))
    assert all(t.grad is None or not np.any(t.grad) for t in tensors[1:])
    tensors = [Tensor(v, backend, requires_grad=True) for v in (x, a, np.array(0.7), np.array(-0.3))]
    standout(*tensors, training=False).backward(g)
    q = 1 / (1 + np.exp(-(0.7 * a - 0.3)))
    slope = g * x * q * (1 - q)
    expected = (g * q, slope * 0.7, np.sum(slope * a), np.sum(slope))
    assert all(relative_error(t.grad, e) < 1e-12 for t, e in zip(tensors, expected, strict=True))


def test_standout_follows_other_sources():
    keep = np.arange(12).reshape(3, 4) % 3 == 0
    with draw_from(Given([keep])):
        assert np.array_equal(standout(X, X), keep)


def test_standout_parts_and_keys(rng):
    x, a = rng.standard_normal((2, 6, 5))
    whole = standout(x, a, key=Key(2))
    assert np.array_equal(standout(x[2:4], a[2:4], key=Key(2), index=Index.whole((6, 5))[2:4]), whole[2:4])
    both = standout(np.stack([x, 2 * x]), np.stack([a, -a]), key=(Key(2), Key(3)))  # rates of their own
    expected = np.stack([whole, standout(2 * x, -a, key=Key(3))])
    assert np.array_equal(both, expected)
    rows, inputs = np.concatenate([x, 2 * x]), np.concatenate([a, -a])
    merged = standout(rows, inputs, key=(Key(2), Key(3)), index=Index.whole((6, 5)))
    assert np.array_equal(merged, expected.reshape(12, 5))


def test_standout_on_shared_axes(rng):
    x, a = rng.standard_normal((6, 5)), np.broadcast_to(rng.standard_normal(5), (6, 5))
    _, keep = standout(x, a, key=Key(0), shared=0, return_mask=True)
    assert (keep == keep[:1]).all()
    assert np.array_equal(keep[0], keep_mask(Key(0), 5, 1 / (1 + np.exp(a[0]))))
    with pytest.raises(ValueError, match=r"standout: axis 0 shares one draw, but alpha \* a \+ beta varies along it"):
        standout(x, x, key=Key(0), shared=0)


def test_the_layer_standout(backend):
    x, a = np.ones((40, 5), np.float32), np.full((40, 5), -1.0, np.float32)
    layer = Standout(alpha=2.0, beta=1.0).to(backend).seed(0)
    first, second = layer(x, a), layer(x, a)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0, 1}
    assert not np.array_equal(first, second)
    assert np.allclose(layer.eval()(x, a), 1 / (1 + math.exp(1)))
    assert repr(layer) == "Standout(alpha=2.0, beta=1.0)"


# ---------------------------------------------------------------------------------------------------------- max_dropout
def test_max_dropout_is_the_published_code(torch, rng):
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    for p in (0.1, 0.3, 0.9):
        leaf = torch.tensor(x, requires_grad=True)
        up = (leaf - leaf.min()) / (leaf.max() - leaf.min())
        theirs = leaf.masked_fill(up > 1 - p, 0)
        theirs.backward(torch.ones(x.shape))
        ours = Tensor(x, requires_grad=True)
        y = max_dropout(ours, p)
        y.backward(np.ones_like(x))
        assert np.array_equal(y, theirs.detach().numpy())
        assert np.array_equal(ours.grad, leaf.grad.numpy())
        assert 0 < (y.data == 0).sum() < x.size


@pytest.mark.parametrize("value", [0.0, 3.5, -1e300])
def test_regression_max_dropout_of_a_constant(value):
    """The published code divides 0 by 0 here and keeps all by accident of NaN comparisons."""
    x = np.full((3, 4), value)
    for p in (0.3, 1.0):
        y, keep = max_dropout(x, p, return_mask=True)
        assert np.array_equal(y, x)
        assert keep.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_max_dropout_without_a_range(bad):
    x = np.array([1.0, bad, 2.0])
    assert np.array_equal(max_dropout(x, 0.5), x, equal_nan=True)


def test_max_dropout_at_the_ends():
    x = np.array([3.0, 1.0, 2.0, 1.0])
    assert np.array_equal(max_dropout(x, 1.0), [0, 1, 0, 1])
    assert np.array_equal(max_dropout(np.array([-1.7e308, 1.7e308, 0.0]), 0.3), [-1.7e308, 0, 0])
    assert max_dropout(np.zeros((0, 3)), 0.5).shape == (0, 3)


def test_max_dropout_follows_a_mask():
    keep = np.array([True, False, True])
    x = np.array([1.0, np.nan, 3.0])
    y, used = max_dropout(x, 0.5, mask=keep, return_mask=True)
    assert np.array_equal(y, [1, 0, 3])
    assert np.array_equal(used, keep)


# -------------------------------------------------------------------------------------------------------------- jumpout
def test_jumpout_of_active_units_alone_is_dropout_with_another_scale(backend):
    y = jumpout(X, 0.4, p_min=0.4, key=Key(5), backend=backend)
    assert np.allclose(y, keep_mask(Key(5), (3, 4), 0.4) * 0.6**-0.75)
    mean_kept = jumpout(X, 0.4, p_min=0.4, exponent=1.0, key=Key(5), backend=backend)
    assert np.allclose(mean_kept, keep_mask(Key(5), (3, 4), 0.4) / 0.6)


def test_the_rate_on_active_units_allows_for_inactive_ones():
    """The fewer units are active, the larger the rate of the mask: the share of all units that it changes is p."""
    x = np.zeros((400, 100))
    x[:, :25] = 1.0
    y = jumpout(x, 0.2, p_min=0.2, key=Key(0))
    changed = (y[:, :25] == 0).mean() * 0.25
    assert abs(changed - 0.2) < 5 * 0.25 * math.sqrt(0.8 * 0.2 / 10000)
    assert np.allclose(y[y > 0], 0.2**-0.75)
    assert np.array_equal(jumpout(x, 0.3, p_min=0.3, key=Key(0)), np.zeros_like(x))  # 0.3 / 0.25 is above 1


def test_the_rate_is_drawn_from_half_a_normal_distribution():
    """|N(0, sigma)| above p_min, cut at p_max."""
    x = np.ones(64)
    scales = [jumpout(x, 0.3, p_min=0.05, sigma=0.1, key=Key(i)).max() for i in range(2000)]
    rates = 1 - np.array(scales) ** (-1 / 0.75)
    assert rates.min() >= 0.05 - 1e-12
    assert rates.max() <= 0.3 + 1e-12
    at_cut, below = math.erfc(2.5 / math.sqrt(2)), math.erf(1 / math.sqrt(2))
    assert abs((rates > 0.3 - 1e-9).mean() - at_cut) < 5 * math.sqrt(at_cut / 2000)
    assert abs((rates < 0.15).mean() - below) < 5 * math.sqrt(below * (1 - below) / 2000)


def test_jumpout_draws_nothing_when_nothing_is_active():
    x = np.array([0.0, -1.0, np.nan])
    assert np.array_equal(jumpout(x, 0.5, key=Key(0)), x, equal_nan=True)
    assert jumpout(np.zeros((0, 3)), 0.5, key=Key(0)).shape == (0, 3)


def test_jumpout_selects():
    x = np.ones((20, 20))
    y, keep = jumpout(x, 0.5, p_min=0.5, key=Key(0), return_mask=True)
    with_inf = np.where(keep, x, np.inf)  # still active: the rate stays
    assert np.array_equal(jumpout(with_inf, 0.5, p_min=0.5, key=Key(0)), y)


def test_jumpout_of_a_part_has_the_mask_of_its_place():
    x = np.ones((8, 6))
    part = jumpout(x[2:5], 0.5, key=Key(0), index=Index.whole((8, 6))[2:5])
    assert np.array_equal(part, jumpout(x, 0.5, key=Key(0))[2:5])


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: standout(X, X[:2], key=Key(0)), ValueError, "pre_activation must have the shape of x"),
        (lambda: standout(X, X.astype(float), key=Key(0)), TypeError, "pre_activation must have the dtype of x"),
        (lambda: standout(X.astype(int), X, key=Key(0)), TypeError, "standout, x: x must be floating-point"),
        (
            lambda: standout(X, X.astype(int), key=Key(0)),
            TypeError,
            "standout, pre_activation: x must be floating-point",
        ),
        (lambda: standout(X, X * np.nan, key=Key(0)), ValueError, "is NaN somewhere; a rate cannot be NaN"),
        (lambda: standout(X, X, beta=math.nan, key=Key(0)), ValueError, "a rate cannot be NaN"),
        (lambda: standout(X, X, alpha="1", key=Key(0)), TypeError, "alpha must be a number, an array or a tensor"),
        (lambda: standout(X, X, beta=True, key=Key(0)), TypeError, "beta must be a number, an array or a tensor"),
        (lambda: standout(X, X, beta=np.ones(4, int), key=Key(0)), TypeError, "beta must be floating-point"),
        (lambda: standout(X, X, beta=np.ones(3), key=Key(0)), ValueError, r"beta of shape \(3,\) does not broadcast"),
        (lambda: standout(X, X), ValueError, "standout: nothing to draw with; give key"),
        (lambda: max_dropout(X, np.array([0.5])), TypeError, "max_dropout: p must be one number"),
        (lambda: max_dropout(X, 0.5, key=7), TypeError, "max_dropout: key must be a Key"),
        (lambda: max_dropout(X, 0.5, mask=np.ones((2, 4), bool)), ValueError, "does not broadcast"),
        (lambda: jumpout(X, 0.2, p_min=0.3, key=Key(0)), ValueError, "p_min must not exceed p_max = 0.2, got 0.3"),
        (lambda: jumpout(X, 0.2, sigma=-1.0, key=Key(0)), ValueError, "sigma must be finite and not negative"),
        (lambda: jumpout(X, 0.2, sigma=math.nan, key=Key(0)), ValueError, "sigma must be finite and not negative"),
        (lambda: jumpout(X, 0.2, exponent="1", key=Key(0)), TypeError, "exponent must be a number"),
        (lambda: jumpout(X, 0.2), ValueError, "jumpout: nothing to draw with; give key"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
