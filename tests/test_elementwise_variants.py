"""Noise on elements, weights and signs: doors, limits, PyTorch; the rest is in the conformance table."""

import math

import numpy as np
import pytest

import puredrop
from puredrop import Index, Key, Tensor
from puredrop.conformance.checks.statistics import Z_LIMIT, _agreement, binomial_p_value
from puredrop.gradcheck import gradcheck, relative_error
from puredrop.nn import Module, Parameter, noise_layers
from puredrop.streams import Given, enumerate_masks
from puredrop.uncertainty import predict_samples
from puredrop.variants import (
    alpha_dropout,
    classic_dropout,
    continuous_dropout,
    dropout,
    feature_alpha_dropout,
    fixed_count_dropout,
    flipout,
    gaussian_dropout,
    gaussian_noise,
    information_dropout,
    shakeout,
)
from puredrop.variants.alpha import SELU_SATURATION, restoring

X = np.ones((3, 4), np.float32)
KEY = Key(5)
SINGLE_RATE = {  # one rate, one array
    "alpha_dropout": alpha_dropout,
    "continuous_dropout": continuous_dropout,
    "feature_alpha_dropout": feature_alpha_dropout,
    "fixed_count_dropout": fixed_count_dropout,
    "gaussian_dropout": gaussian_dropout,
    "shakeout": shakeout,
}
ALL = SINGLE_RATE | {
    "classic_dropout": classic_dropout,
    "gaussian_noise": gaussian_noise,
    "information_dropout": information_dropout,
}
LAYERS = [
    noise_layers.GaussianDropout(0.3),
    noise_layers.GaussianNoise(0.3),
    noise_layers.AlphaDropout(0.3, mean=0.5, variance=2.0, saturation=-1.0),
    noise_layers.FeatureAlphaDropout(0.3),
    noise_layers.ClassicDropout(0.3),
    noise_layers.ContinuousDropout(0.3),
    noise_layers.ContinuousDropout(0.3, distribution="normal"),
    noise_layers.FixedCountDropout(0.3),
]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# ------------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize("name", SINGLE_RATE)
def test_variants_of_one_rate_refuse_an_array_of_rates(name):
    with pytest.raises(TypeError, match=rf"{name}: p must be one number in \[0, 1\], got an array of shape \(4,\)"):
        SINGLE_RATE[name](X, np.full(4, 0.5), key=KEY)


@pytest.mark.parametrize("name", ALL)
def test_no_key_and_no_mask(name):
    with pytest.raises(ValueError, match=rf"{name}: nothing to draw with; give key=Key\(seed\), or mask="):
        ALL[name](X, 0.5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("training", [True, False])
def test_things_that_are_no_keys(name, training):
    with pytest.raises(TypeError, match=rf"{name}: key must be a Key"):
        ALL[name](X, 0.5, key=7, training=training)


@pytest.mark.parametrize("name", ALL)
def test_an_index_of_another_shape(name):
    with pytest.raises(ValueError, match=rf"{name}: an index of shape \(2, 4\).*does not fit x of shape \(3, 4\)"):
        ALL[name](X, 0.5, key=KEY, index=Index.whole((2, 4), shared=0 if name == "shakeout" else ()))


@pytest.mark.parametrize("name", ["classic_dropout", "alpha_dropout", "shakeout", "fixed_count_dropout"])
def test_masks_that_do_not_fit(name):
    with pytest.raises(TypeError, match="a mask must be boolean"):
        ALL[name](X, 0.5, mask=X)
    with pytest.raises(ValueError, match=r"a mask of shape \(2, 4\) does not broadcast"):
        ALL[name](X, 0.5, mask=np.ones((2, 4), bool))


@pytest.mark.parametrize("name", ["gaussian_dropout", "continuous_dropout", "gaussian_noise", "information_dropout"])
def test_noise_that_does_not_fit(name):
    with pytest.raises(ValueError, match=rf"{name}: the noise handed in must be real numbers of shape \(3, 4\)"):
        ALL[name](X, 0.5, mask=np.ones((3, 4), bool))
    with pytest.raises(ValueError, match=r"got float64 of shape \(4, 3\)"):
        ALL[name](X, 0.5, mask=np.ones((4, 3)))


@pytest.mark.parametrize("bad", [-0.1, math.nan, -math.inf])
@pytest.mark.parametrize("wrap", [float, np.float32, lambda v: np.array([1, 1, 1, v]), lambda v: Tensor([v])])
@pytest.mark.parametrize(("f", "name"), [(gaussian_noise, "sigma"), (information_dropout, "alpha")])
def test_levels_that_are_negative_or_nan(f, name, wrap, bad):
    with pytest.raises(ValueError, match=rf"{f.__name__}: {name} must (be finite and )?not"):
        f(X, wrap(bad), key=KEY)


@pytest.mark.parametrize(("f", "name"), [(gaussian_noise, "sigma"), (information_dropout, "alpha")])
def test_levels_that_are_no_numbers_infinite_or_of_another_shape(f, name):
    for bad in (True, np.True_, "0.5", None, 1j):
        with pytest.raises(TypeError, match=rf"{f.__name__}: {name} must be a number, got"):
            f(X, bad, key=KEY)
    with pytest.raises(TypeError, match=rf"{name} must be floating-point, got dtype int64"):
        f(X, np.arange(4), key=KEY)
    with pytest.raises(ValueError, match=rf"{name} must be finite and not negative, got values from 1.0 to inf"):
        f(X, np.array([1, math.inf, 1, 1]), key=KEY)
    for shape in ((3,), (2, 3, 4), (3, 2)):
        with pytest.raises(ValueError, match=rf"{name} of shape .* does not broadcast to x of shape \(3, 4\)"):
            f(X, np.ones(shape), key=KEY)


def test_options_of_single_variants():
    with pytest.raises(ValueError, match="distribution must be 'uniform' or 'normal', got 'cauchy'"):
        continuous_dropout(X, 0.5, distribution="cauchy", key=KEY)
    with pytest.raises(ValueError, match="information_dropout: max_alpha must not be negative or NaN, got nan"):
        information_dropout(X, 0.5, max_alpha=math.nan, key=KEY)
    for f in (gaussian_dropout, continuous_dropout):
        with pytest.raises(ValueError, match=r"p must lie below 1, got 1: the variance p / \(1 - p\) would be infin"):
            f(X, 1, key=KEY)


@pytest.mark.parametrize("f", [alpha_dropout, feature_alpha_dropout])
@pytest.mark.parametrize("name", ["mean", "variance", "saturation"])
def test_the_moments_of_alpha_dropout_are_finite_numbers(f, name):
    for bad in (True, "1", None):
        with pytest.raises(TypeError, match=rf"{f.__name__}: {name} must be a number, got {bad!r}"):
            f(X, 0.5, key=KEY, **{name: bad})
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"{f.__name__}: {name} must be finite, got"):
            f(X, 0.5, key=KEY, **{name: bad})
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=rf"{f.__name__}: variance must be positive, got {bad}"):
            f(X, 0.5, key=KEY, variance=bad)


def test_channels_need_two_axes_and_stay_whole():
    for shape in ((), (4,)):
        with pytest.raises(ValueError, match=r"feature_alpha_dropout: x must have the shape \(N, C, ...\), got"):
            feature_alpha_dropout(np.ones(shape), 0.5, key=KEY)
    with pytest.raises(ValueError, match=r"the index must share the axes after the channels: Index.whole\(\(2, 3, 4\)"):
        feature_alpha_dropout(np.ones((2, 3, 4)), 0.5, key=KEY, index=Index.whole((2, 3, 4)))


def test_shakeout_refuses_what_it_cannot_use():
    w = np.ones((3, 4))
    for bad in (2, -3, (0, 0), (1, -1), ()):
        with pytest.raises(ValueError, match=r"shakeout: axis .* must name different axes of an array with 2"):
            shakeout(w, 0.5, axis=bad, key=KEY)
    with pytest.raises(TypeError, match=r"shakeout: axis must be a whole number or several, got 1\.5"):
        shakeout(w, 0.5, axis=1.5, key=KEY)
    with pytest.raises(ValueError, match="shakeout: axis 1 must name different axes of an array with 1"):
        shakeout(np.ones(3), 0.5, key=KEY)
    for bad, error in ((-0.1, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="shakeout: c must be"):
            shakeout(w, 0.5, bad, key=KEY)
    with pytest.raises(ValueError, match=r"shakeout: the index must share all axes but \(1,\)"):
        shakeout(w, 0.5, key=KEY, index=Index.whole(w.shape))


def test_fixed_counts_refuse_what_they_cannot_count():
    for bad in (2, -3, (1, 1)):
        with pytest.raises(ValueError, match=r"fixed_count_dropout: axis .* must name different axes"):
            fixed_count_dropout(X, 0.5, axis=bad, key=KEY)
    with pytest.raises(ValueError, match="axis 1 is shared; elements that share one draw cannot be counted apart"):
        fixed_count_dropout(X, 0.5, axis=1, shared=1, key=KEY)
    with pytest.raises(ValueError, match="a mask must keep exactly 2 of each group, this one keeps from 1 to 3"):
        fixed_count_dropout(X, 0.5, mask=np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], bool))
    with pytest.raises(ValueError, match="a mask must keep exactly 2 of each group"):
        list(enumerate_masks(lambda: fixed_count_dropout(X, 0.5)))


def test_flipout_refuses_weights_that_do_not_fit():
    message = r"flipout: needs x \(..., I\) and two weights \(O, I\), got shapes"
    for shapes in (((3, 4), (2, 5), (2, 5)), ((3, 4), (2, 4), (4, 2)), ((3, 4), (4,), (4,)), ((), (2, 4), (2, 4))):
        with pytest.raises(ValueError, match=message):
            flipout(*(np.ones(s) for s in shapes), key=KEY)
    x, w = np.ones((3, 4)), np.ones((2, 4))
    with pytest.raises(ValueError, match=r"flipout: nothing to draw with"):
        flipout(x, w, w)
    with pytest.raises(TypeError, match=r"flipout: key must be a Key"):
        flipout(x, w, w, key=3)
    with pytest.raises(TypeError, match=r"flipout: x must be floating-point, got dtype int64"):
        flipout(x.astype(int), w, w, key=KEY)
    with pytest.raises(ValueError, match=r"flipout: an index of shape \(3, 4\) .* does not fit x of shape \(3, 6\)"):
        flipout(x, w, w, key=KEY, index=Index.whole((3, 4)))


# ------------------------------------------------------------------------------------------------- classic
def test_classic_and_inverted_dropout_differ_by_the_scale_alone(backend):
    x = normal(20, 30)
    assert relative_error(classic_dropout(x, 0.3, key=KEY, backend=backend) / 0.7, dropout(x, 0.3, key=KEY)) < 1e-15


def test_a_classic_model_becomes_an_inverted_one_with_its_next_weights_scaled(backend):
    x, w = normal(20, 30), normal(30, 5)
    classic = [classic_dropout(x, 0.3, key=KEY, training=t, backend=backend) @ w for t in (True, False)]
    inverted = [dropout(x, 0.3, key=KEY, training=t, backend=backend) @ (0.7 * w) for t in (True, False)]
    assert all(relative_error(a, b) < 1e-14 for a, b in zip(classic, inverted, strict=True))


def test_classic_evaluation_is_the_mean_over_all_masks_and_has_its_gradient(backend):
    x = normal(2, 3)
    mean = sum(q * y for q, y in enumerate_masks(lambda: classic_dropout(x, 0.3, backend=backend)))
    leaf = Tensor(x, backend, requires_grad=True)
    y = classic_dropout(leaf, 0.3, training=False)
    assert relative_error(y, mean) < 1e-15
    y.backward(x)
    assert relative_error(leaf.grad, 0.7 * x) < 1e-15


def test_classic_evaluation_at_the_ends_of_the_range(backend):
    x = np.array([1.0, np.nan, np.inf, -2.0], np.float32)
    leaf = Tensor(x, backend, requires_grad=True)
    y = classic_dropout(leaf, 1.0, training=False)
    y.backward(np.array([1, np.inf, np.nan, 1], np.float32))
    assert np.array_equal(y.numpy(), np.zeros(4))
    assert not np.signbit(y.numpy()).any()
    assert np.array_equal(leaf.grad, np.zeros(4))
    assert classic_dropout(leaf, 0.0, training=False) is leaf
    assert classic_dropout(leaf, 0.0, key=KEY) is leaf
    y, keep = classic_dropout(x, 0.5, training=False, return_mask=True)
    assert keep.all()
    assert y.dtype == np.float32


@pytest.mark.parametrize("p", [0, 0.1, 0.3, 1 / 65536 + 1e-7, 1 - 1e-7, 1])  # at 0.1 and 0.3 there are ties
@pytest.mark.parametrize(
    "index", [*map(Index.whole, (0, 1, 7, 8, 127, 129, 99_999)), Index.whole((90, 7))[3:, 2:]], ids=str
)
def test_masks_as_bits_are_the_masks(index, p, backend):
    for keys in (KEY, (KEY, Key(9))):
        mask = puredrop.keep_mask(keys, index, p)
        expected = np.packbits(mask.reshape(1 + isinstance(keys, tuple), index.size), axis=1, bitorder="little")
        bits = puredrop.keep_mask(keys, index, p, packed=True, backend=backend)
        assert bits.dtype == np.uint8
        assert np.array_equal(bits, expected if isinstance(keys, tuple) else expected[0])


def test_classic_rates_for_each_column(backend):
    p = np.array([0.0, 0.25, 1.0])
    x = np.full((2, 3), np.nan, np.float32)
    x[:, :2] = 8
    y = classic_dropout(x, p, training=False, backend=backend)
    assert np.array_equal(y, [[8, 6, 0]] * 2)
    assert y.dtype == np.float32
    keep = puredrop.keep_mask(KEY, (2, 3), p)
    assert np.array_equal(classic_dropout(x, p, key=KEY, backend=backend), np.where(keep, x, 0))


# ------------------------------------------------------------------------------------------------- real noise
@pytest.mark.parametrize("name", ["gaussian_dropout", "continuous_dropout", "gaussian_noise", "information_dropout"])
def test_real_noise_shared_parts_and_several_keys(name, backend):
    """Shared axes share, others do not; a shard is a slice; keys on the leading axis are the keys one by one."""
    f, x = ALL[name], np.ones((6, 5, 4))
    y = f(x, 0.3, key=KEY, shared=(0, 2), backend=backend)
    assert np.array_equal(y, np.broadcast_to(y[:1, :, :1], x.shape))
    assert len(set(y[0, :, 0].tolist())) == 5
    whole, index = f(x, 0.3, key=KEY, backend=backend), Index.whole(x.shape)
    part = slice(1, 6, 2), slice(2, 5)
    assert np.array_equal(f(x[part], 0.3, key=KEY, index=index[part], backend=backend), whole[part])
    assert len(np.unique(whole)) == whole.size
    keys = tuple(Key(1, sample=t) for t in range(3))
    one_by_one = [f(x[2 * t : 2 * t + 2], 0.3, key=keys[t], shared=1, backend=backend) for t in range(3)]
    index = Index.whole((2, 5, 4), shared=1)
    together, noise = f(x, 0.3, key=keys, index=index, return_mask=True, backend=backend)
    assert np.array_equal(together, np.concatenate(one_by_one))
    assert np.array_equal(f(x, 0.3, key=keys, index=index, mask=noise, backend=backend), together)
    rows = f(x[:3], 0.3, key=keys, backend=backend)
    assert np.array_equal(rows, [f(x[t], 0.3, key=keys[t], backend=backend) for t in range(3)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_number_widens_real_noise(dtype, backend):
    x = np.ones((2, 3), dtype)
    for level in (0.5, np.float64(0.5), np.full(3, 0.5), np.array(0.5), Tensor(np.full(3, 0.5), backend)):
        for f in (gaussian_noise, information_dropout):
            y, e = f(x, level, key=KEY, return_mask=True, backend=backend)
            assert y.dtype == e.dtype == dtype
    for distribution in ("uniform", "normal"):
        assert continuous_dropout(x, 0.5, distribution=distribution, key=KEY, backend=backend).dtype == dtype


def test_the_level_of_additive_noise_is_not_bounded_by_1_and_is_the_standard_deviation(backend):
    y = gaussian_noise(np.zeros(200_000), 25.0, key=KEY, backend=backend)
    assert abs(y.std() / 25 - 1) < 5 / math.sqrt(2 * y.size)
    assert abs(y.mean()) < 5 * 25 / math.sqrt(y.size)


def test_the_gradient_by_sigma_is_the_sum_of_g_times_noise(backend):
    x, g = normal(4, 3), normal(4, 3, seed=1)
    sigma = Tensor(np.array([0.5, 1.0, 2.0]), backend, requires_grad=True)
    y, e = gaussian_noise(Tensor(x, backend), sigma, key=KEY, return_mask=True)
    y.backward(g)
    assert relative_error(sigma.grad, (g * e).sum(axis=0)) < 1e-15
    single = Tensor(np.array(0.5), backend, requires_grad=True)
    y, e = gaussian_noise(x, single, key=KEY, return_mask=True)
    y.backward(g)
    assert relative_error(single.grad, (g * e).sum()) < 1e-14


def test_levels_with_a_gradient_in_every_shape(backend):
    for shape in ((), (3,), (4, 1), (4, 3)):
        for f in (gaussian_noise, information_dropout):
            errors = gradcheck(
                lambda x, s, f=f: f(x, s * s, key=KEY, **({"mean_one": True} if f is information_dropout else {})) ** 2,
                np.abs(normal(4, 3)) + 0.1,
                np.abs(normal(*shape, seed=2)) + 0.1,
                backend=backend,
            )
            assert errors.first < 1e-6
            assert errors.second < 1e-5


def test_levels_at_zero_leave_x(backend):
    x = Tensor(X, backend)
    assert gaussian_noise(x, 0.0, key=KEY) is x
    assert information_dropout(x, 0, key=KEY) is x
    assert information_dropout(x, 0.5, max_alpha=0.0, key=KEY) is x
    y, e = continuous_dropout(X, 0.0, key=KEY, return_mask=True)
    assert np.array_equal(e, np.full(X.shape, 0.5))  # the noise that gives x
    assert np.array_equal(y, X)


def test_continuous_dropout_at_a_quarter_is_the_uniform_number_of_the_paper_over_its_mean(backend):
    x = normal(30, 40)
    y, u = continuous_dropout(x, 0.25, key=KEY, return_mask=True, backend=backend)
    assert relative_error(y, x * u / 0.5) < 1e-14
    assert 0 < u.min() < 0.01
    assert 0.99 < u.max() < 1


def test_gaussian_dropout_keeps_no_array_and_draws_its_noise_again(backend):
    x = Tensor(np.random.default_rng(0).standard_normal((30, 40)), backend, requires_grad=True)
    y, _ = gaussian_dropout(x.data, 0.4, key=KEY, return_mask=True, backend=backend)
    again = gaussian_dropout(x, 0.4, key=KEY)
    assert np.array_equal(again.data, y)
    assert not any(isinstance(part, np.ndarray) for part in again.node.saved[0])
    again.backward(x.data)
    assert np.array_equal(x.grad, y)


def test_continuous_dropout_with_normal_numbers_is_gaussian_dropout(backend):
    x = normal(30, 40)
    a, e = continuous_dropout(x, 0.4, distribution="normal", key=KEY, return_mask=True, backend=backend)
    b, f = gaussian_dropout(x, 0.4, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(a, b)
    assert np.array_equal(e, f)
    spread = 0.3  # the paper's N(1/2, spread^2)
    y = continuous_dropout(x, 4 * spread**2 / (1 + 4 * spread**2), distribution="normal", mask=e, backend=backend)
    assert relative_error(y, x * (0.5 + spread * e) / 0.5) < 1e-14


def test_the_mean_of_information_dropout(backend):
    """1.28 at alpha = 0.7, and 1 only where asked for."""
    x, alpha = np.ones(400_000), 0.7
    raw_mean = information_dropout(x, alpha, key=KEY, backend=backend).mean()
    one = information_dropout(x, alpha, mean_one=True, key=KEY, backend=backend)
    deviation = math.sqrt((math.exp(alpha**2) - 1) / x.size)  # of the mean of `one`
    assert abs(raw_mean / math.exp(alpha**2 / 2) - 1) < 5 * deviation
    assert abs(one.mean() - 1) < 5 * deviation
    assert abs(math.exp(alpha**2 / 2) - 1.28) < 0.005


def test_the_gradients_of_information_dropout_in_closed_form(backend):
    x, g = normal(4, 3), normal(4, 3, seed=1)
    leaf = Tensor(x, backend, requires_grad=True)
    alpha = Tensor(np.abs(normal(4, 3, seed=2)), backend, requires_grad=True)
    y, e = information_dropout(leaf, alpha, max_alpha=0.7, key=KEY, return_mask=True)
    y.backward(g)
    a = np.minimum(alpha.data, 0.7)
    assert 0 < (alpha.data > 0.7).sum() < 12
    assert relative_error(leaf.grad, g * np.exp(a * e)) < 1e-14
    assert relative_error(alpha.grad, np.where(alpha.data < 0.7, g * y.data * e, 0)) < 1e-14


def test_a_positive_factor_keeps_signs():
    y = information_dropout(np.array([-0.0, 0.0, -1.0]), 2.0, key=KEY)
    assert np.signbit(y).tolist() == [True, False, True]


# ------------------------------------------------------------------------------------------------- alpha
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_is_pytorchs(torch, backend, dtype, p):
    x, g = normal(50, 40).astype(dtype), normal(50, 40, seed=1).astype(dtype)
    torch.manual_seed(3)
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.alpha_dropout(theirs, p, training=True)
    y.backward(torch.tensor(g))
    ours = Tensor(x, backend, requires_grad=True)
    keep = theirs.grad.numpy() != 0
    z = alpha_dropout(ours, p, mask=keep)
    z.backward(g)
    bound = 1e-6 if dtype == "float32" else 1e-12
    assert 0 < keep.sum() < keep.size
    assert relative_error(z, y.detach().numpy()) < bound
    assert relative_error(ours.grad, theirs.grad.numpy()) < bound


@pytest.mark.parametrize("shape", [(6, 50), (6, 50, 4), (6, 50, 2, 3)])
def test_feature_alpha_dropout_is_pytorchs(torch, backend, shape):
    x = normal(*shape)
    torch.manual_seed(3)
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.feature_alpha_dropout(theirs, 0.4, training=True)
    y.sum().backward()
    keep = theirs.grad.numpy() != 0
    assert np.array_equal(
        keep, np.broadcast_to(keep.reshape(6, 50, -1)[..., :1].reshape(6, 50, *[1] * (x.ndim - 2)), shape)
    )
    assert relative_error(feature_alpha_dropout(x, 0.4, mask=keep, backend=backend), y.detach().numpy()) < 1e-12


def test_the_saturation_is_the_limit_of_pytorchs_selu(torch):
    limit = torch.nn.functional.selu(torch.tensor(-1e3, dtype=torch.float64)).item()
    assert abs(SELU_SATURATION / limit - 1) < 1e-15


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
@pytest.mark.parametrize(("mean", "variance", "saturation"), [(0, 1, SELU_SATURATION), (0.5, 4, -1), (-3, 0.1, 7)])
def test_any_mean_and_variance_are_restored_exactly(p, mean, variance, saturation):
    """In closed form: z has mean q m + p s and second moment q (m^2 + v) + p s^2, and y = a z + b."""
    a, b, fill = restoring(p, mean, variance, saturation)
    q = 1 - p
    mean_z = q * mean + p * saturation
    variance_z = q * variance + p * q * (saturation - mean) ** 2
    assert abs(a * mean_z + b - mean) < 1e-12 * max(1, abs(mean), abs(a * saturation))
    assert abs(a * a * variance_z / variance - 1) < 1e-12
    assert abs(a * saturation + b - fill) < 1e-12 * max(1, abs(a * saturation))


def test_alpha_dropout_at_1_is_its_limit(backend):
    """The mean of x, with a zero gradient, whatever x holds."""
    bad = np.array([[1.0, np.nan, np.inf], [-1.0, 0.0, 2.0]])
    for f in (alpha_dropout, feature_alpha_dropout):
        for mean in (0.0, 2.0):
            x = Tensor(bad, backend, requires_grad=True)
            y = f(x, 1.0, key=KEY, mean=mean)
            y.backward(bad)
            assert np.array_equal(y.numpy(), np.full(bad.shape, mean))
            assert np.array_equal(x.grad, np.zeros(bad.shape))
        assert np.abs(f(np.ones((2, 3)), 1 - 1e-14, key=KEY, mean=2.0) - 2).max() < 1e-6


def test_dropped_nan_is_the_saturation_and_stops_gradients(backend):
    x = normal(16, 16)
    keep = alpha_dropout(x, 0.5, key=KEY, return_mask=True)[1]
    for bad in (np.nan, np.inf, -np.inf):
        leaf = Tensor(np.where(keep, x, bad), backend, requires_grad=True)
        y = alpha_dropout(leaf, 0.5, key=KEY)
        y.backward(np.where(keep, 1.0, bad))
        a, b, fill = restoring(0.5, 0.0, 1.0, SELU_SATURATION)
        assert np.array_equal(y.numpy()[~keep], np.full((~keep).sum(), fill))
        assert relative_error(y.numpy()[keep], x[keep] * a + b) < 1e-15
        assert np.array_equal(leaf.grad, np.where(keep, a, 0))


def test_channels_share_their_draw_and_shards_are_slices(backend):
    x = normal(8, 10, 3, 2)
    y, keep = feature_alpha_dropout(x, 0.5, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, np.broadcast_to(keep[:, :, :1, :1], x.shape))
    assert np.array_equal(keep[..., 0, 0], puredrop.keep_mask(KEY, (8, 10), 0.5))
    index = Index.whole(x.shape, shared=(2, 3))
    part = slice(2, 7), slice(1, 9, 2), slice(1, 3)
    assert np.array_equal(feature_alpha_dropout(x[part], 0.5, key=KEY, index=index[part], backend=backend), y[part])
    keys = tuple(Key(t) for t in range(8))
    together = feature_alpha_dropout(x, 0.5, key=keys[:4], index=Index.whole((2, 10, 3, 2), (2, 3)), backend=backend)
    parts = [feature_alpha_dropout(x[2 * t : 2 * t + 2], 0.5, key=keys[t], backend=backend) for t in range(4)]
    assert np.array_equal(together, np.concatenate(parts))
    rows = feature_alpha_dropout(x, 0.5, key=keys, backend=backend)  # each key draws for an array (10, 3, 2)
    assert np.array_equal(rows, [feature_alpha_dropout(x[t], 0.5, key=keys[t], backend=backend) for t in range(8)])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 4), (2, 3, 0), (2, 3, 1, 2, 2)])
def test_channel_shapes(shape, backend):
    assert feature_alpha_dropout(np.ones(shape, np.float32), 0.5, key=KEY, backend=backend).shape == shape


# ------------------------------------------------------------------------------------------------- shakeout
def test_shakeout_without_c_is_dropout_of_input_units(backend):
    w = normal(5, 7)
    y, keep = shakeout(w, 0.4, 0.0, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(y, dropout(w, 0.4, key=KEY, shared=0, backend=backend))
    assert np.array_equal(keep, np.broadcast_to(keep[:1], w.shape))
    assert not np.signbit(y[~keep]).any()


def test_shakeout_keeps_the_mean_of_weights_and_zero_at_zero(backend):
    w = np.array([[0.0, -2.0, 0.5]])
    values = list(enumerate_masks(lambda: shakeout(w, 0.3, 0.7, backend=backend)))
    assert relative_error(sum(q * y for q, y in values), w) < 1e-15
    assert all(y[0, 0] == 0 for _, y in values)


def test_a_shaken_weight_that_is_nan_does_not_reach_a_dropped_place(backend):
    w = np.array([[np.nan, np.nan, np.inf, -np.inf]])
    y = shakeout(w, 0.5, 0.25, mask=np.array([[False, True, False, False]]), backend=backend)
    assert np.array_equal(y, [[0, np.nan, -0.25, 0.25]], equal_nan=True)


def test_shakeout_of_convolutions_shards_and_several_keys(backend):
    w = normal(4, 6, 3, 3)
    y, keep = shakeout(w, 0.5, key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, np.broadcast_to(keep[:1, :, :1, :1], w.shape))
    assert 0 < keep[0, :, 0, 0].sum() < 6
    index = Index.whole(w.shape, shared=(0, 2, 3))[:, 2:5]
    assert np.array_equal(shakeout(w[:, 2:5], 0.5, key=KEY, index=index, backend=backend), y[:, 2:5])
    keys = tuple(Key(t) for t in range(4))
    together = shakeout(w, 0.5, axis=0, key=keys, backend=backend)  # axis 0 of what each key draws
    assert np.array_equal(together, [shakeout(w[t], 0.5, axis=0, key=keys[t], backend=backend) for t in range(4)])


# ------------------------------------------------------------------------------------------------- fixed counts
@pytest.mark.parametrize("p", [0.0, 0.05, 0.25, 0.5, 0.75, 0.97, 1.0])
@pytest.mark.parametrize("axis", [-1, 0, (0, 2), (2, 1), None])
def test_counts_are_exact(p, axis, backend):
    x = normal(6, 5, 8)
    axes = (0, 1, 2) if axis is None else axis
    n = math.prod(x.shape[a] for a in ((axes,) if isinstance(axes, int) else axes))
    k = round((1 - p) * n)
    y, keep = fixed_count_dropout(x, p, axis=axis, key=KEY, return_mask=True, backend=backend)
    assert (keep.sum(axis=axes) == k).all()
    assert relative_error(y, np.where(keep, x * n / max(k, 1), 0)) < 1e-15
    if 0 < k < n and axis is not None:
        assert len(np.unique(keep.reshape(-1, 8), axis=0)) > 1


def test_every_mask_of_a_count_is_equally_likely(backend):
    keep = fixed_count_dropout(np.ones((60_000, 5)), 0.6, key=KEY, return_mask=True, backend=backend)[1]
    _, counts = np.unique(keep @ (1 << np.arange(5)), return_counts=True)
    assert len(counts) == math.comb(5, 2)
    chi_square = ((counts - 6000) ** 2 / 6000).sum()
    assert chi_square < 9 + 5.5 * math.sqrt(18)
    covariance = np.cov(keep[:, 0], keep[:, 1])[0, 1]
    assert abs(covariance + 0.6 * 0.4 / 4) < 0.005


def test_the_count_is_drawn_by_rank_of_words_of_equal_ones_the_later(backend):
    words = backend.words(KEY, Index.whole((50, 8)), puredrop.random.MASK)
    keep = fixed_count_dropout(np.ones((50, 8)), 0.625, key=KEY, return_mask=True, backend=backend)[1]
    expected = np.argsort(np.argsort(words, axis=-1, kind="stable"), axis=-1) >= 5
    assert np.array_equal(keep, expected)
    from puredrop.variants.counts import _largest

    assert _largest(np.array([[7, 7, 7, 9], [0, 0, 0, 0]], np.uint32), (-1,), 2).tolist() == [
        [False, False, True, True],
        [False, False, True, True],
    ]


def test_fixed_counts_of_channels(backend):
    x = normal(4, 10, 3, 2)
    y, keep = fixed_count_dropout(x, 0.3, axis=1, shared=(2, 3), key=KEY, return_mask=True, backend=backend)
    assert np.array_equal(keep, np.broadcast_to(keep[:, :, :1, :1], x.shape))
    assert (keep[:, :, 0, 0].sum(axis=1) == 7).all()
    assert relative_error(y, np.where(keep, x / 0.7, 0)) < 1e-14
    everything = fixed_count_dropout(x, 0.3, axis=None, shared=(2, 3), key=KEY, return_mask=True, backend=backend)[1]
    assert everything[:, :, 0, 0].sum() == 28


def test_small_groups_where_nothing_is_kept(backend):
    x = Tensor(np.array([np.nan, 1.0]), backend, requires_grad=True)
    y = fixed_count_dropout(x, 0.9, key=KEY)
    y.backward(np.array([np.inf, 1.0]))
    assert np.array_equal(y.numpy(), [0, 0])
    assert np.array_equal(x.grad, [0, 0])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (1,), (2, 3, 1, 2, 2)])
def test_fixed_count_shapes(shape, backend):
    x = np.ones(shape, np.float32)
    for axis in (-1, 0, None):
        y = fixed_count_dropout(x, 0.25, axis=axis, key=KEY, backend=backend)
        assert y.shape == shape
        assert y.dtype == np.float32
    assert fixed_count_dropout(np.ones(()), 0.25, axis=None, key=KEY, backend=backend) == 1


def test_fixed_counts_of_several_keys_and_given_masks(backend):
    x = normal(6, 8)
    keys = tuple(Key(t) for t in range(3))
    together = fixed_count_dropout(x, 0.5, key=keys, index=Index.whole((2, 8)), backend=backend)
    parts = [fixed_count_dropout(x[2 * t : 2 * t + 2], 0.5, key=keys[t], backend=backend) for t in range(3)]
    assert np.array_equal(together, np.concatenate(parts))
    keep = np.arange(8) < 4
    with puredrop.draw_from(Given([keep])):
        assert np.array_equal(fixed_count_dropout(x, 0.5, backend=backend), np.where(keep, 2 * x, 0))
    with puredrop.draw_from(Given([~keep | True])), pytest.raises(ValueError, match="must keep exactly 4 of each"):
        fixed_count_dropout(x, 0.5, backend=backend)


# ------------------------------------------------------------------------------------------------- flipout
def test_flipout_is_a_linear_layer_of_its_own_for_each_example(backend):
    x, w, d = normal(4, 5, 3), normal(2, 3), normal(2, 3, seed=1)
    y, positive = flipout(x, w, d, key=KEY, return_mask=True, backend=backend)
    assert positive.shape == (4, 5, 3 + 2)
    for at in np.ndindex(4, 5):
        sign = np.where(positive[at], 1, -1)
        assert relative_error(y[at], (w + d * np.outer(sign[3:], sign[:3])) @ x[at]) < 1e-13
    assert np.array_equal(flipout(x, w, d, mask=positive, backend=backend), y)
    assert relative_error(flipout(x, w, d, mask=np.ones(5, bool), backend=backend), x @ (w + d).T) < 1e-13
    assert np.array_equal(flipout(x, w, d * 0, key=KEY, backend=backend), x @ w.T + 0)


def test_flipout_in_evaluation_is_the_linear_layer(backend):
    x, w, d = (Tensor(a, backend) for a in (normal(4, 3), normal(2, 3), normal(2, 3, seed=1)))
    y, positive = flipout(x, w, d, training=False, return_mask=True)
    assert np.array_equal(y.numpy(), puredrop.ops.linear(x, w, 0.0).numpy())
    assert positive.all()
    assert flipout(X, X, X, key=KEY, backend=backend).dtype == np.float32


def test_the_signs_of_flipout_are_fair_and_independent(backend):
    n, o = 256, 1024
    x, w = np.ones((n, o), np.float32), np.ones((o, o), np.float32)
    positive = flipout(x, w, w, key=KEY, return_mask=True, backend=backend)[1]
    assert positive.shape == (n, 2 * o)
    assert binomial_p_value(int(positive.sum()), positive.size, 0.5) > 1e-6
    for lag in (1, 2, 8, 32, 64, o):
        assert _agreement(positive[:, lag:], positive[:, :-lag], 0.5, "columns") < Z_LIMIT
    for lag in (1, 2, 32, 128):
        assert _agreement(positive[lag:], positive[:-lag], 0.5, "rows") < Z_LIMIT


def test_flipout_decorrelates_examples(backend):
    """One perturbation for all examples correlates them completely; flipout not at all (exactly, over all signs)."""
    x, w, d = np.array([[1.0, 2.0], [1.0, 2.0]]), np.zeros((1, 2)), np.array([[0.5, -1.0]])
    values = list(enumerate_masks(lambda: flipout(x, w, d, backend=backend)))
    assert len(values) == 2**6
    mean = sum(q * y for q, y in values)
    covariance = sum(q * (y @ y.T) for q, y in values)  # (2, 2) over examples
    assert np.abs(mean).max() < 1e-15
    assert relative_error(covariance, np.eye(2) * (0.5**2 + 2.0**2)) < 1e-15


def test_parts_of_flipout_and_several_keys(backend):
    x, w, d = normal(6, 3), normal(2, 3), normal(2, 3, seed=1)
    whole = flipout(x, w, d, key=KEY, backend=backend)
    index = Index.whole((6, 5))[2:5]
    assert relative_error(flipout(x[2:5], w, d, key=KEY, index=index, backend=backend), whole[2:5]) < 1e-14
    keys = tuple(Key(t) for t in range(3))
    together = flipout(x, w, d, key=keys, index=Index.whole((2, 5)), backend=backend)
    parts = [flipout(x[2 * t : 2 * t + 2], w, d, key=keys[t], backend=backend) for t in range(3)]
    assert relative_error(together, np.concatenate(parts)) < 1e-14


# ------------------------------------------------------------------------------------------------- layers
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_layers_train_evaluate_and_sample(layer, backend):
    layer.seed(3).to(backend)
    x = normal(6, 10).astype(np.float32)
    first, second = layer.train()(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    assert first.dtype == np.float32
    assert np.array_equal(layer.seed(3)(x).numpy(), first)
    expected = x * np.float32(0.7) if isinstance(layer, noise_layers.ClassicDropout) else x
    assert np.array_equal(layer.eval()(x).numpy(), expected)
    layer.sample()
    loop = np.array([layer(x).numpy() for _ in range(7)])
    assert np.array_equal(predict_samples(layer, x, samples=7), loop)
    assert np.array_equal(predict_samples(layer, x, samples=7, batch_size=4), loop)
    assert len({one.tobytes() for one in loop}) == 7
    together = predict_samples(layer, np.ones((6, 10), np.float32), samples=3, masks="pass")
    assert np.array_equal(together, np.broadcast_to(together[:, :1], together.shape))
    layer.train()


def test_layers_draw_what_their_functions_draw():
    x, key = normal(6, 10).astype(np.float32), Key(9)
    expected = [
        gaussian_dropout(x, 0.3, key=key),
        gaussian_noise(x, 0.3, key=key),
        alpha_dropout(x, 0.3, mean=0.5, variance=2.0, saturation=-1.0, key=key),
        feature_alpha_dropout(x, 0.3, key=key),
        classic_dropout(x, 0.3, key=key),
        continuous_dropout(x, 0.3, key=key),
        continuous_dropout(x, 0.3, distribution="normal", key=key),
        fixed_count_dropout(x, 0.3, key=key),
    ]
    for layer, y in zip(LAYERS, expected, strict=True):
        assert np.array_equal(layer.train().seed(9)(x).numpy(), y), layer


def test_the_channels_of_the_layer_share():
    y = noise_layers.FeatureAlphaDropout(0.5).seed(0)(np.zeros((8, 9, 4, 3), np.float32)).numpy()
    assert np.array_equal(y, np.broadcast_to(y[:, :, :1, :1], y.shape))
    assert len(np.unique(y)) == 2
    y = predict_samples(noise_layers.FeatureAlphaDropout(0.5).seed(0), np.zeros((2, 9, 4), np.float32), samples=3)
    assert np.array_equal(y, np.broadcast_to(y[..., :1], y.shape))


def test_layers_take_schedules_and_name_their_options():
    layer = noise_layers.AlphaDropout(lambda step: float(step > 0)).seed(0)
    assert np.array_equal(layer(X).numpy(), X)
    assert np.array_equal(layer(X).numpy(), np.zeros_like(X))
    assert repr(noise_layers.FixedCountDropout(0.5, axis=(1, 2))) == "FixedCountDropout(p=0.5, axis=(1, 2))"
    assert repr(noise_layers.ClassicDropout(0.5)) == "ClassicDropout(p=0.5)"
    assert repr(noise_layers.GaussianNoise(2.0)) == "GaussianNoise(sigma=2.0)"


def test_layers_check_their_options_where_they_are_made():
    for layer in (
        noise_layers.GaussianDropout,
        noise_layers.ContinuousDropout,
        noise_layers.AlphaDropout,
        noise_layers.FeatureAlphaDropout,
        noise_layers.FixedCountDropout,
        noise_layers.ClassicDropout,
    ):
        with pytest.raises(ValueError, match=rf"{layer.__name__}: p must lie in \[0, 1\], got 1.1"):
            layer(1.1)
        with pytest.raises(TypeError, match=rf"{layer.__name__}: p must be a number in \[0, 1\], got True"):
            layer(True)
    with pytest.raises(ValueError, match="variance must be positive"):
        noise_layers.AlphaDropout(0.5, variance=0.0)
    with pytest.raises(ValueError, match="distribution must be"):
        noise_layers.ContinuousDropout(0.5, distribution="cauchy")
    with pytest.raises(ValueError, match="must name different axes"):
        noise_layers.FixedCountDropout(0.5, axis=(1, 1))
    with pytest.raises(ValueError, match="sigma must not be negative"):
        noise_layers.GaussianNoise(-0.1)
    with pytest.raises(ValueError, match=r"FixedCountDropout: axis -2 of x \(3, 4\) counts along the batch axis"):
        noise_layers.FixedCountDropout(0.5, axis=-2).seed(0)(X)


class Noisy(Module):
    """A model whose noise level is learned."""

    def __init__(self):
        self.noise = noise_layers.GaussianNoise(Parameter((4,), lambda key, shape: np.full(shape, 0.5)))

    def forward(self, x):
        return self.noise(x)


def test_a_learned_noise_level(backend):
    model = Noisy().to(backend).seed(0)
    assert [name for name, _ in model.named_parameters()] == ["noise.sigma"]
    y = model(np.zeros((3, 4), np.float32))
    y.backward(X)
    assert relative_error(model.noise.sigma.grad, (y.numpy() / 0.5).sum(axis=0)) < 1e-6
