"""Learned noise: its penalties against other ways to compute them, its gradients against expectations; layers."""

import itertools
import math
import tracemalloc
from functools import partial

import numpy as np
import pytest

import puredrop
from puredrop import Index, Key, Tensor, ops
from puredrop.gradcheck import gradcheck, relative_error
from puredrop.nn.learned import (
    ConcreteDropout,
    SparseVariationalLinear,
    SpatialConcreteDropout,
    Standout,
    VariationalGaussianDropout,
)
from puredrop.streams import enumerate_masks
from puredrop.tensor import grad, raw
from puredrop.uncertainty import predict_samples
from puredrop.variants import (
    concrete_dropout,
    dropout,
    local_reparametrisation_linear,
    masksembles,
    sparse_variational_linear,
    spatial_concrete_dropout,
    variational_gaussian_dropout,
)
from puredrop.variants.estimators import (
    arm_gradient,
    dropout_moments,
    fast_dropout_linear,
    gaussian_relu_moments,
    score_function_gradient,
)
from puredrop.variants.special import (
    concrete_regulariser,
    dawson,
    log_uniform_kl,
    mean_kept,
    sparse_log_alpha,
)

X = np.ones((3, 4), np.float32)
W = np.ones((2, 4), np.float32)
LOG_ALPHAS = np.linspace(math.log(1e-3), math.log(1e3), 61)


# ------------------------------------------------------------------------------------------- the log-uniform divergence
def by_quadrature(f, low, high, nodes=60, pieces=40):
    """Gauss-Legendre on pieces."""
    at, weights = np.polynomial.legendre.leggauss(nodes)
    edges = np.linspace(low, high, pieces + 1)
    half = np.diff(edges)[:, None] / 2
    return float((f(edges[:-1, None] + half * (at + 1)) * weights * half).sum())


def dawson_by_quadrature(x):
    """exp(-x^2) int_0^x exp(t^2) dt, with no term above 1."""
    return by_quadrature(lambda t: np.exp((t - x) * (t + x)), 0.0, x)


def test_dawson_is_its_integral():
    xs = [1e-3, 0.1, 0.29, 0.31, 0.924, 1.5, 3.0, 6.0, 12.0, 22.4, 29.9, 30.1]
    expected = np.array([dawson_by_quadrature(x) for x in xs])
    assert np.abs(dawson(np.array(xs)) / expected - 1).max() < 1e-12
    assert np.array_equal(dawson(-np.array(xs)), -dawson(np.array(xs)))


def test_dawson_is_scipys():
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed: nothing to compare with")
    x = np.concatenate([np.linspace(0, 60, 6001)[1:], 10.0 ** np.linspace(-8, 8, 801)])
    assert np.abs(dawson(x) / special.dawsn(x) - 1).max() < 1e-12


def test_dawson_at_the_ends():
    assert np.array_equal(dawson(np.array([0.0, np.inf, -np.inf])), [0, 0, 0])
    assert np.isnan(dawson(np.array([np.nan]))).all()
    assert dawson(np.zeros((0, 2))).shape == (0, 2)


def test_the_divergence_is_the_integral_of_the_dawson_function():
    expected = [2 * by_quadrature(dawson, 0.0, math.sqrt(0.5 * math.exp(-a))) for a in LOG_ALPHAS]
    assert np.abs(log_uniform_kl(LOG_ALPHAS) / expected - 1).max() < 1e-12


def test_the_divergence_is_the_hypergeometric_function():
    mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: nothing to compare with")
    mpmath.mp.dps = 40
    u = [mpmath.exp(-mpmath.mpf(float(a))) / 2 for a in LOG_ALPHAS]
    expected = np.array([float(v * mpmath.hyper([1, 1], [mpmath.mpf(3) / 2, 2], -v)) for v in u])
    assert np.abs(log_uniform_kl(LOG_ALPHAS) / expected - 1).max() < 1e-12


def test_the_divergence_is_what_the_prior_means():
    """KL(N(1, a) | 1 / |w|) = E log|w| - log(a) / 2 + a constant, so that differences are known."""
    at = np.linspace(-14, 14, 400000)  # an even number: the nodes avoid w = 0 in the case of a = 1
    density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi) * (at[1] - at[0])
    kl = [float(density @ np.log(np.abs(1 + a**0.5 * at + 1e-12))) - 0.5 * math.log(a) for a in (0.3, 1.0, 5.0)]
    ours = log_uniform_kl(np.log([0.3, 1.0, 5.0]))
    assert np.abs(np.diff(ours) - np.diff(kl)).max() < 1e-4


def test_the_gradient_of_the_divergence():
    x = Tensor(LOG_ALPHAS, "numpy", requires_grad=True)
    [first] = grad(log_uniform_kl(x).sum(), [x])
    s = np.sqrt(0.5 * np.exp(-LOG_ALPHAS))
    assert np.abs(first / (-s * [dawson_by_quadrature(v) for v in s]) - 1).max() < 1e-12
    far = Tensor(np.array([-2000.0, -40.0, 40.0, 2000.0]), "numpy", requires_grad=True)
    assert np.allclose(grad(log_uniform_kl(far).sum(), [far])[0], [-0.5, -0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("method", ["exact", "molchanov", "kingma"])
def test_second_gradients_of_the_divergence(method):
    at = np.array([-12.0, -9.01, -8.99, -4.0, -0.5] + ([] if method == "kingma" else [0.5, 6.0]))
    errors = gradcheck(lambda a: log_uniform_kl(a, method) * log_uniform_kl(a, method), at, backend="numpy")
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_how_good_the_approximations_are():
    wide = np.linspace(-12, 12, 4001)
    exact, ours = log_uniform_kl(wide), log_uniform_kl(wide, "molchanov")
    assert 0.0090 < np.abs(ours - exact).max() < 0.0094
    assert 0.0130 < np.abs(np.diff(ours - exact) / np.diff(wide)).max() < 0.0138
    low = np.linspace(-12, 0, 4001)
    assert 0.040 < np.abs(log_uniform_kl(low, "kingma") - log_uniform_kl(low)).max() < 0.041
    with pytest.raises(ValueError, match="'kingma' holds for alpha <= 1 only; use method='exact'"):
        log_uniform_kl(np.array([-1.0, 0.1]), "kingma")
    with pytest.raises(ValueError, match="method must be 'exact', 'molchanov' or 'kingma', got 'best'"):
        log_uniform_kl(low, "best")


def test_the_divergence_in_float32():
    single = log_uniform_kl(LOG_ALPHAS.astype(np.float32))
    assert single.dtype == np.float32
    assert relative_error(single, log_uniform_kl(LOG_ALPHAS)) < 1e-6


# -------------------------------------------------------------------------------------------------- variational layers
def test_local_reparametrisation_has_the_moments_of_sampled_weights(rng):
    """Type B against weights drawn for each example."""
    x, w, la = rng.standard_normal(3), rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    n = 100000
    drawn = w + np.exp(la / 2) * w * rng.standard_normal((n, 2, 3))
    sampled = drawn @ x
    y = local_reparametrisation_linear(np.broadcast_to(x, (n, 3)), w, la, key=Key(0))
    assert np.abs(y.mean(0) - sampled.mean(0)).max() < 5 * (sampled.std(0) * (2 / n) ** 0.5).max()
    assert np.abs(y.var(0) / sampled.var(0) - 1).max() < 5 * (4 / n) ** 0.5


def test_local_reparametrisation_gradients_are_the_texts(rng):
    x, w, la, g, e = (rng.standard_normal(s) for s in ((5, 3), (2, 3), (1, 1), (5, 2), (5, 2)))
    tensors = [Tensor(a, requires_grad=True) for a in (x, w, la)]
    local_reparametrisation_linear(*tensors, mask=e).backward(g)
    alpha = math.exp(la[0, 0])
    pull = g * e / np.sqrt(x**2 @ (alpha * w**2).T)
    assert relative_error(tensors[0].grad, g @ w + (pull @ (alpha * w**2)) * x) < 1e-12
    assert relative_error(tensors[1].grad, g.T @ x + alpha * w * (pull.T @ x**2)) < 1e-12
    assert relative_error(tensors[2].grad, [[0.5 * np.sum((pull.T @ x**2) * alpha * w**2)]]) < 1e-12


def test_no_variance_has_no_gradient_of_its_root(backend):
    x = Tensor(np.zeros((2, 4)), backend, requires_grad=True)
    w = Tensor(np.ones((2, 4)), backend, requires_grad=True)
    y = local_reparametrisation_linear(x, w, 0.0, key=Key(0))
    y.backward(np.ones((2, 2)))
    assert np.array_equal(y, np.zeros((2, 2)))
    assert np.array_equal(x.grad, np.full((2, 4), 2.0))
    assert np.array_equal(w.grad, np.zeros((2, 4)))


def test_sparse_evaluation_prunes_and_stops_nan_there():
    w, ls = np.array([[2.0, 0.1, 1.0]]), np.array([[0.0, 0.0, 3.1]])
    assert np.array_equal(sparse_log_alpha(w, ls) > 3, [[False, True, True]])
    y = sparse_variational_linear(np.ones((2, 3)), w, ls, training=False)
    assert np.array_equal(y, np.full((2, 1), 2.0))
    leaf = Tensor(w, requires_grad=True)
    sparse_variational_linear(np.ones((2, 3)), leaf, ls, training=False).sum().backward()
    assert np.array_equal(leaf.grad, [[2.0, 0.0, 0.0]])


def test_a_weight_of_zero_is_safe():
    w, ls = Tensor(np.zeros((1, 3)), requires_grad=True), Tensor(np.zeros((1, 3)), requires_grad=True)
    y = sparse_variational_linear(np.ones((2, 3)), w, ls, key=Key(0))
    (y.sum() + log_uniform_kl(sparse_log_alpha(w, ls)).sum()).backward()
    assert np.isfinite(w.grad).all()
    assert np.isfinite(ls.grad).all()


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4), (0, 4)])
def test_dense_layers_of_any_rank(shape):
    x = np.random.default_rng(1).standard_normal(shape)
    y, e = local_reparametrisation_linear(x, W.astype(float), 0.0, key=Key(1), return_mask=True)
    assert y.shape == e.shape == (*shape[:-1], 2)
    assert relative_error(y, x @ W.T + np.sqrt(x**2 @ W.T) * e) < 1e-12
    assert np.array_equal(local_reparametrisation_linear(x, W.astype(float), 0.0, max_alpha=0), x @ W.T)


def test_parts_draw_their_part_of_the_whole(rng):
    x, la = rng.standard_normal((8, 6)), rng.standard_normal(6)
    index = Index.whole((8, 6))
    for f in (variational_gaussian_dropout, concrete_dropout):
        assert np.array_equal(f(x[2:5], la, key=Key(1), index=index[2:5]), f(x, la, key=Key(1))[2:5])
    w, ls = rng.standard_normal((2, 2, 6))
    outputs = Index.whole((8, 2))
    for f in (local_reparametrisation_linear, sparse_variational_linear):
        part = f(x[2:5], w, ls, key=Key(1), index=outputs[2:5])
        assert np.allclose(part, f(x, w, ls, key=Key(1))[2:5], rtol=1e-13)
    images = rng.standard_normal((8, 6, 2, 2))
    whole = spatial_concrete_dropout(images, la, key=Key(1))
    part = Index.whole(images.shape, (2, 3))[3:6]
    assert np.array_equal(spatial_concrete_dropout(images[3:6], la, key=Key(1), index=part), whole[3:6])


def test_several_keys_enumerate_a_leading_axis(rng):
    keys = (Key(0), Key(1))
    x, images = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4, 2))
    for f in (variational_gaussian_dropout, concrete_dropout):
        y, noise = f(x, 0.3, key=keys, return_mask=True)
        assert np.array_equal(y, np.stack([f(x[i], 0.3, key=keys[i]) for i in (0, 1)]))
        assert np.array_equal(f(x, 0.3, key=keys, mask=noise), y)
    y = spatial_concrete_dropout(images[..., None], np.zeros(4), key=keys)
    each = [spatial_concrete_dropout(images[i, ..., None], np.zeros(4), key=keys[i]) for i in (0, 1)]
    assert np.array_equal(y, np.stack(each))


def test_shared_axes_share_their_noise():
    for f in (variational_gaussian_dropout, concrete_dropout):
        y = f(np.ones((5, 6)), 0.0, key=Key(0), shared=0)
        assert (y == y[:1]).all()
        assert len(set(y[0])) == 6


# ------------------------------------------------------------------------------------------------------------- concrete
def test_concrete_gradients_are_the_texts(rng):
    x, g, rho, t = rng.standard_normal((6, 4)), rng.standard_normal((6, 4)), -0.7, 0.3
    leaf, logit = Tensor(x, requires_grad=True), Tensor(np.array(rho), requires_grad=True)
    y, u = concrete_dropout(leaf, logit, t, key=Key(3), return_mask=True)
    y.backward(g)
    p, z = 1 / (1 + math.exp(-rho)), 1 / (1 + np.exp(-(rho + np.log(u / (1 - u))) / t))
    assert relative_error(leaf.grad, g * (1 - z) / (1 - p)) < 1e-12
    expected = np.sum(g * x * (-z * (1 - z) / (t * (1 - p)) + (1 - z) * p / (1 - p)))
    assert abs(logit.grad / expected - 1) < 1e-12


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("logit", [np.float32(-0.7), np.array([1.5], np.float32)])
def test_concrete_in_float32_is_concrete_in_float64(rng, backend, logit):
    """One map with a kernel, where the backend has it, against the steps in float64."""
    x, g = (rng.standard_normal((3, 50, 7)).astype(np.float32) for _ in "xg")
    index, keys = Index.whole((90, 7))[11:61], (Key(1), Key(2), Key(3))
    answers = []
    for dtype in (np.float32, np.float64):
        leaf, rho = (Tensor(a.astype(dtype), backend, requires_grad=True) for a in (x, logit))
        y, u = concrete_dropout(leaf, rho, 0.1, key=keys, index=index, return_mask=True)
        assert np.array_equal(
            y.data, concrete_dropout(leaf.data, rho.data, 0.1, key=keys, index=index, backend=backend)
        )
        y.backward(g.astype(dtype))
        assert {a.dtype for a in (y, leaf.grad, rho.grad)} == {np.dtype(dtype)}
        assert rho.grad.shape == logit.shape
        answers.append((y.data, leaf.grad, rho.grad, u))
    for ours, wide in zip(*answers, strict=True):
        np.testing.assert_allclose(ours, wide, rtol=1e-5, atol=2e-6)


def test_concrete_keeps_no_noise():
    x = Tensor(np.ones(100_000, np.float32), "numba", requires_grad=True)
    logit = Tensor(np.float32(-1.0), "numba", requires_grad=True)
    concrete_dropout(x, logit, key=Key(0)).sum().backward()  # kernels are there
    tracemalloc.start()
    y = concrete_dropout(x, logit, key=Key(0))
    alive = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert alive < 1.1 * y.data.nbytes, "only the result is alive"


@pytest.mark.parametrize(("t", "p", "share"), [(0.1, 0.1, 0.9987), (2 / 3, 0.1, 0.950), (2 / 3, 0.9, 1.453)])
def test_how_far_off_the_relaxation_is(t, p, share):
    rho = np.array(math.log(p / (1 - p)))
    at = np.linspace(-60, 60, 400001)
    density = np.exp(-abs(at)) / (1 + np.exp(-abs(at))) ** 2 * (at[1] - at[0])
    expected = float(density @ (1 / (1 + np.exp((rho + at) / t))))
    assert abs(mean_kept(rho, t) / expected - 1) < 1e-9
    assert abs(expected / (1 - p) - share) < 6e-4


@pytest.mark.parametrize("t", [0.01, 0.1, 2 / 3, 1.0, 4.0])
def test_the_kept_mean_and_its_derivatives(t):
    rho = np.array([-30.0, -3.0, -0.5, 0.0, 2.0, 30.0])
    errors = gradcheck(lambda r: mean_kept(r, t), rho[1:-1], backend="numpy")
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_the_kept_mean_in_closed_form():
    """At temperature 1 it is int (1 - u) / (1 - u + c u) du, c = exp(logit_p)."""
    rho = np.array([-3.0, -0.5, 0.7, 4.0])
    c = np.exp(rho)
    assert np.abs(mean_kept(rho, 1.0) / ((c * rho - (c - 1)) / (c - 1) ** 2) - 1).max() < 1e-12


@pytest.mark.parametrize("function", [concrete_dropout, spatial_concrete_dropout])
@pytest.mark.parametrize("option", ["correct_mean", "hard"])
def test_corrected_and_hard_masks_have_mean_x(function, option):
    for p in (0.1, 0.9):
        x = np.ones((200, 400, 1))
        y = function(x, math.log(p / (1 - p)), 2 / 3, key=Key(5), **{option: True})
        assert abs(y.mean() - 1) < 5 * y.std() / y.size**0.5


def test_corrected_gradients():
    def f(x, rho):
        return concrete_dropout(x, rho, 0.5, key=Key(4), correct_mean=True)

    errors = gradcheck(f, np.arange(1.0, 7).reshape(2, 3), np.array([-1.0, 0.3, 1.5]), backend="numpy")
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_hard_masks_are_dropout_with_a_relaxed_gradient(rng, backend):
    x, g, rho = rng.standard_normal((6, 4)), rng.standard_normal((6, 4)), np.array(0.4)
    leaf, logit = Tensor(x, backend, requires_grad=True), Tensor(rho, backend, requires_grad=True)
    y, u = concrete_dropout(leaf, logit, 0.5, key=Key(3), hard=True, return_mask=True)
    keep = np.log(u / (1 - u)) + rho < 0
    expected = Tensor(x, backend, requires_grad=True)
    reference = dropout(expected, 1 / (1 + math.exp(-0.4)), mask=keep)
    y.backward(g)
    reference.backward(g)
    assert 0 < keep.sum() < keep.size
    assert relative_error(y, reference) < 1e-15
    assert relative_error(leaf.grad, expected.grad) < 1e-15
    relaxed = Tensor(rho, backend, requires_grad=True)
    concrete_dropout(x, relaxed, 0.5, mask=u).backward(g)
    assert logit.grad == relaxed.grad


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: Tensor(a, requires_grad=True)])
def test_hard_masks_select(wrap):
    x = -np.ones((20, 20), np.float32)
    _, u = concrete_dropout(x, 0.0, key=Key(0), hard=True, return_mask=True)
    dropped = np.log(u / (1 - u)) >= 0
    with_nan = np.where(dropped, np.float32(np.nan), x)
    y = raw(concrete_dropout(with_nan, wrap(np.zeros(1, np.float32)), mask=u, hard=True))
    assert np.array_equal(y, np.where(dropped, np.float32(0), np.float32(-2)))
    assert not np.signbit(y[dropped]).any()
    zeros = raw(concrete_dropout(np.full((20, 20), -0.0), wrap(np.zeros(1)), mask=u, hard=True))
    assert np.array_equal(np.signbit(zeros), ~dropped)


def test_relaxed_masks_keep_signed_zeros_and_inputs():
    x = np.full((5, 5), -0.0)
    x.flags.writeable = False
    assert np.signbit(concrete_dropout(x, 0.0, key=Key(0))).all()


def test_rates_far_out_stay_finite():
    for rho in (-500.0, -50.0, 50.0, 500.0):
        for dtype in (np.float32, np.float64):
            for options in ({}, {"hard": True}, {"correct_mean": True} if abs(rho) < 100 else {}):
                logit = Tensor(np.array(rho, dtype), requires_grad=True)
                y = concrete_dropout(np.ones(50, dtype), logit, key=Key(0), **options)
                y.sum().backward()
                assert y.dtype == dtype
                assert np.isfinite(y.data).all()
                assert np.isfinite(logit.grad).all()
                assert rho > 0 or np.allclose(y, 1)


def test_the_regulariser_is_the_texts(rng):
    w, rho, a, d = rng.standard_normal((5, 7)), 0.6, 0.3, 0.2
    weight, logit = Tensor(w, requires_grad=True), Tensor(np.array(rho), requires_grad=True)
    r = concrete_regulariser(weight, logit, weight_scale=a, dropout_scale=d)
    r.backward()
    p = 1 / (1 + math.exp(-rho))
    assert (
        abs(float(r.data) - (a * (w**2).sum() / (1 - p) + 7 * d * (p * math.log(p) + (1 - p) * math.log(1 - p))))
        < 1e-12
    )
    assert abs(float(logit.grad) - (a * (w**2).sum() * p / (1 - p) + 7 * d * p * (1 - p) * rho)) < 1e-12
    assert relative_error(weight.grad, 2 * a * w / (1 - p)) < 1e-12
    small = Tensor(np.array(-200.0), requires_grad=True)
    concrete_regulariser(w, small, weight_scale=a, dropout_scale=d).backward()
    assert abs(small.grad) < 1e-80


def test_one_rate_for_each_input_is_the_sum_of_single_ones(rng):
    w, rho = rng.standard_normal((5, 3)), np.array([-1.0, 0.0, 2.0])
    scales = {"weight_scale": 0.3, "dropout_scale": 0.2}
    single = sum(concrete_regulariser(w[:, i : i + 1], rho[i : i + 1], **scales) for i in range(3))
    assert abs(concrete_regulariser(w, rho, **scales) - single) < 1e-12


# ----------------------------------------------------------------------------------------------------------- estimators
LOGITS = np.array([-0.8, 0.3, 1.1])
TARGETS = np.array([0.3, -1.0, 2.0])


def loss(mask):
    """No sum of single units."""
    return float((mask @ TARGETS - 0.4) ** 2 + mask.prod())


def true_gradient(f=loss):
    """The derivative of the sum over all masks."""
    p = 1 / (1 + np.exp(-LOGITS))
    total = np.zeros(3)
    for bits in itertools.product((False, True), repeat=3):
        m = np.array(bits)
        total += f(m) * np.prod(np.where(m, 1 - p, p)) * (~m - p)
    return total


def test_the_score_function_is_unbiased():
    for baseline in (0.0, 3.7):
        every = enumerate_masks(lambda b=baseline: score_function_gradient(loss, LOGITS, baseline=b))
        assert relative_error(sum(q * g for q, g in every), true_gradient()) < 1e-12


def test_arm_is_unbiased():
    """Both masks are constant on boxes, and u - 1/2 is linear there: their centres give the integral."""
    p = 1 / (1 + np.exp(-LOGITS))
    edges = [sorted((0.0, a, 1 - a, 1.0)) for a in p]
    boxes = itertools.product(*(list(itertools.pairwise(e)) for e in edges))
    total = np.zeros(3)
    for box in map(np.array, boxes):
        total += np.prod(box[:, 1] - box[:, 0]) * arm_gradient(loss, LOGITS, noise=box.mean(1)[None])
    assert relative_error(total, true_gradient()) < 1e-12


def test_estimators_draw_what_they_say():
    mean = arm_gradient(loss, LOGITS, key=Key(0), samples=20000)
    assert np.abs(mean - true_gradient()).max() < 0.1
    assert np.array_equal(arm_gradient(loss, LOGITS, key=Key(0)), arm_gradient(loss, LOGITS, key=Key(0)))
    keep = puredrop.keep_mask(Key(2), 3, 1 / (1 + np.exp(-LOGITS)))
    expected = score_function_gradient(loss, LOGITS, mask=keep)
    assert np.array_equal(score_function_gradient(loss, LOGITS, key=Key(2)), expected)


def test_estimators_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="loss must give one number, got shape"):
        score_function_gradient(lambda m: np.ones(2), LOGITS, key=Key(0))
    with pytest.raises(ValueError, match="samples must be a whole number of at least 1, got 0"):
        arm_gradient(loss, LOGITS, key=Key(0), samples=0)
    with pytest.raises(ValueError, match="nothing to draw with"):
        arm_gradient(loss, LOGITS)
    with pytest.raises(TypeError, match="must be floating-point"):
        score_function_gradient(loss, np.arange(3), key=Key(0))


# -------------------------------------------------------------------------------------------------------------- moments
def test_fast_dropout_is_exact_over_all_masks(rng):
    x, w, b = rng.standard_normal(4), rng.standard_normal((3, 4)), rng.standard_normal(3)
    every = list(enumerate_masks(lambda: dropout(x, 0.3) @ w.T + b))
    mean = sum(q * y for q, y in every)
    m, v = fast_dropout_linear(x, w, b, 0.3)
    assert relative_error(m, mean) < 1e-12
    assert relative_error(v, sum(q * (y - mean) ** 2 for q, y in every)) < 1e-12
    assert np.array_equal(fast_dropout_linear(np.full(4, np.inf), w, b, 1.0), (b, np.zeros(3)))


def test_moments_of_a_dropped_random_number():
    """x is 1 or 4: all four cases."""
    mean, var, p = 2.5, 2.25, 0.3
    values, chances = np.array([0, 0, 1.0, 4.0]), np.array([p, p, 1 - p, 1 - p]) / 2
    first = chances @ values
    expected = first, chances @ values**2 - first**2
    q = 1 - p
    assert np.allclose(expected[1], q * (var + mean**2) - q**2 * mean**2)
    assert np.allclose(dropout_moments(np.array(mean), np.array(var), p, scaled=False), expected)
    assert np.allclose(dropout_moments(np.array(mean), np.array(var), p), (first / q, expected[1] / q**2))


def test_relu_moments_against_quadrature():
    for mu, s in itertools.product((-2.0, -1.0, 0.0, 0.4, 9.0), (0.3, 1.0, 2.5)):

        def power(t, n, mu=mu, s=s):
            return t**n * np.exp(-0.5 * ((t - mu) / s) ** 2) / (s * math.sqrt(2 * math.pi))

        first, second = (by_quadrature(partial(power, n=n), 0.0, max(mu, 0) + 14 * s) for n in (1, 2))
        e, v = gaussian_relu_moments(np.array([mu]), np.array([s * s]))
        assert abs(e[0] / first - 1) < 1e-9
        assert abs(v[0] / (second - first**2) - 1) < 1e-9


def test_relu_moments_gradients_and_the_edge_of_no_variance():
    errors = gradcheck(lambda m, v: sum(gaussian_relu_moments(m, v), start=0.0), [-2.0, 0.1, 3.0], [0.5, 1.0, 2.0])
    assert errors.first < 1e-6
    assert errors.second < 1e-5
    mu, var = (Tensor(np.array(a), requires_grad=True) for a in ([-1.0, 2.0], [0.0, 0.0]))
    e, v = gaussian_relu_moments(mu, var)
    (e.sum() + v.sum()).backward()
    assert np.array_equal(e, [0, 2])
    assert np.array_equal(v, [0, 0])
    assert np.array_equal(mu.grad, [0, 1])
    assert np.array_equal(var.grad, [0, 0])


def test_the_normal_distribution_in_both_tails():
    x = np.array([-30.0, -8.0, -1.0, 0.0, 2.0, 9.0])
    expected = [0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    assert np.abs(ops.normal_cdf(x) / expected - 1).max() < 1e-12
    assert ops.normal_cdf(x.astype(np.float32)).dtype == np.float32
    errors = gradcheck(ops.normal_cdf, x[1:5] / 2)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_moments_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        dropout_moments(np.ones(2), np.ones(2), 1.5)
    with pytest.raises(ValueError, match=r"fast_dropout_linear: weight must be \(outputs, inputs\)"):
        fast_dropout_linear(np.ones(3), np.ones((2, 2)))
    with pytest.raises(ValueError, match="variance must have the shape of x"):
        fast_dropout_linear(np.ones(2), np.ones((2, 2)), variance=np.ones(3))
    with pytest.raises(ValueError, match="variance must not be negative"):
        gaussian_relu_moments(np.ones(2), -np.ones(2))
    with pytest.raises(ValueError, match="mean and variance must have one shape"):
        gaussian_relu_moments(np.ones(2), np.ones(3))


# ---------------------------------------------------------------------------------------------------------- masksembles
@pytest.mark.parametrize(("members", "scale"), [(1, 3.0), (4, 1.0), (4, 2.0), (8, 1.7), (3, 6.0)])
@pytest.mark.parametrize("features", [10, 64, 301])
def test_members_keep_equally_many_and_all_features_together(members, scale, features):
    _, masks = masksembles(np.ones((members, features)), members, scale, key=Key(1), return_mask=True)
    kept = masks.sum(axis=1)
    assert masks.shape == (members, features)
    assert len(set(kept)) == 1
    assert masks.any(axis=0).all()
    assert abs(kept[0] - features / (scale * (1 - (1 - 1 / scale) ** members))) <= 1
    assert masks.all() == (scale == 1 or members == 1)


def test_members_share_one_part_in_scale():
    _, masks = masksembles(np.ones((4, 4000)), 4, 2.5, key=Key(1), return_mask=True)
    for a, b in itertools.combinations(masks, 2):
        assert abs((a & b).sum() / a.sum() - 1 / 2.5) < 0.05


def test_masksembles_parts_of_the_batch(rng):
    x = rng.standard_normal((6, 12, 2))
    y, masks = masksembles(x, 3, key=Key(0), return_mask=True)
    assert np.array_equal(y, np.where(np.repeat(masks, 2, axis=0)[:, :, None], x, 0))
    assert np.array_equal(masksembles(x, 3, key=Key(0), training=False), y)
    assert not np.array_equal(masksembles(x, 3, key=Key(1), return_mask=True)[1], masks)
    with_nan = np.where(np.repeat(masks, 2, axis=0)[:, :, None], x, np.nan)
    leaf = Tensor(with_nan, requires_grad=True)
    z = masksembles(leaf, 3, mask=masks)
    z.backward(np.where(np.isnan(with_nan), np.nan, 1.0))
    assert np.array_equal(z, y)
    assert np.array_equal(leaf.grad, ~np.isnan(with_nan))


def test_masks_that_stay_are_a_choice_of_key(rng):
    """The same key again; and rows of an index named by example, wherever the example lies in its batch."""
    x, ids = np.ones((4, 50)), np.array([7, 3, 90, 3])
    assert np.array_equal(dropout(x, key=Key(5)), dropout(x, key=Key(5)))
    tied = dropout(x, key=Key(5), index=Index.whole((100, 50))[ids])
    other = dropout(x, key=Key(5), index=Index.whole((100, 50))[ids[::-1]])
    assert np.array_equal(tied[1], tied[3])
    assert np.array_equal(tied, other[::-1])
    assert not np.array_equal(tied[0], tied[1])


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: variational_gaussian_dropout(X, np.nan, key=Key(0)), ValueError, "log_alpha must be finite"),
        (lambda: variational_gaussian_dropout(X, "0", key=Key(0)), TypeError, "log_alpha must be a number, got '0'"),
        (lambda: variational_gaussian_dropout(X, np.ones(3), key=Key(0)), ValueError, r"\(3,\) does not broadcast"),
        (lambda: variational_gaussian_dropout(X, np.ones(4, int), key=Key(0)), TypeError, "must be floating-point"),
        (lambda: variational_gaussian_dropout(X, 0.0), ValueError, "nothing to draw with; give key"),
        (lambda: local_reparametrisation_linear(X, W[:, :3], 0.0, key=Key(0)), ValueError, "last axis of x inputs"),
        (
            lambda: local_reparametrisation_linear(X, W, 0.0, W[0], key=Key(0)),
            ValueError,
            r"bias must have shape \(2,\)",
        ),
        (lambda: local_reparametrisation_linear(X, W.astype(float), 0.0, key=Key(0)), TypeError, "must have one dtype"),
        (lambda: local_reparametrisation_linear(X, W, np.ones(3), key=Key(0)), ValueError, "does not broadcast"),
        (lambda: sparse_variational_linear(X, W, W, limit=math.inf, key=Key(0)), ValueError, "limit must be finite"),
        (lambda: sparse_variational_linear(X, W, W, threshold=math.nan), ValueError, "threshold must be a number"),
        (lambda: sparse_variational_linear(X, W, W * np.inf, key=Key(0)), ValueError, "log_sigma2 must be finite"),
        (lambda: concrete_dropout(X, 0.0, 0.0, key=Key(0)), ValueError, "temperature must be positive and finite, got"),
        (lambda: concrete_dropout(X, math.inf, key=Key(0)), ValueError, "logit_p must be finite"),
        (lambda: concrete_dropout(X, 0.0, hard=True, correct_mean=True), ValueError, "either hard or correct_mean"),
        (lambda: concrete_dropout(X, 0.0, mask=np.ones((3, 4))), ValueError, "must lie between 0 and 1, both excluded"),
        (lambda: concrete_dropout(X, 0.0, mask=np.ones((3, 3))), ValueError, "must be real numbers of shape"),
        (lambda: spatial_concrete_dropout(X, 0.0, key=Key(0)), ValueError, r"x must be \(N, C, positions ...\)"),
        (
            lambda: spatial_concrete_dropout(X[None], 0.0, key=Key(0), index=Index.whole((1, 3, 4))),
            ValueError,
            "an index must share the axes from 2 on",
        ),
        (lambda: spatial_concrete_dropout(X[None], np.ones(4), key=Key(0)), ValueError, "does not broadcast to shape"),
        (
            lambda: concrete_regulariser(W[0], np.zeros(1), weight_scale=1.0, dropout_scale=1.0),
            ValueError,
            r"weight must be \(outputs, inputs, ...\)",
        ),
        (
            lambda: concrete_regulariser(W, np.zeros(3), weight_scale=1.0, dropout_scale=1.0),
            ValueError,
            r"logit_p must be one number, or \(4,\)",
        ),
        (lambda: masksembles(X, 2, key=Key(0)), ValueError, "N a multiple of the 2 members, got shape"),
        (lambda: masksembles(X, 0, key=Key(0)), ValueError, "members must be a whole number of at least 1, got 0"),
        (lambda: masksembles(X, 3, 0.5, key=Key(0)), ValueError, r"scale must lie in \[1, 6\], got 0.5"),
        (lambda: masksembles(X, 3, True, key=Key(0)), TypeError, "scale must be a number, got True"),
        (lambda: masksembles(X, 3, key=Key(0)), ValueError, "masks need 10 features or more, got 4; give mask="),
        (lambda: masksembles(X, 3), ValueError, "masksembles: nothing to draw with; give key"),
        (lambda: masksembles(X, 3, key=(Key(0), Key(1))), ValueError, "fixed by one key, got 2 keys"),
        (lambda: masksembles(X.astype(int), 3, key=Key(0)), TypeError, "masksembles: x must be floating-point"),
        (lambda: masksembles(X, 3, mask=np.ones((2, 4), bool)), ValueError, "does not broadcast"),
        (lambda: ConcreteDropout(p=0.0), ValueError, "ConcreteDropout: p must be one number between 0 and 1"),
        (lambda: SpatialConcreteDropout(temperature=-1.0), ValueError, "temperature must be positive"),
        (lambda: VariationalGaussianDropout(p=1.0), ValueError, "VariationalGaussianDropout: p must be one number"),
        (lambda: VariationalGaussianDropout(max_alpha=-1.0), ValueError, "max_alpha must not be negative"),
        (lambda: Standout(beta="0"), TypeError, "beta must be a number"),
        (lambda: SparseVariationalLinear(3, 2).seed(0)(X), ValueError, "the last axis of x must be 3"),
        (lambda: SpatialConcreteDropout().seed(0)(X), ValueError, r"x must be \(N, C, positions ...\)"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("value", [Tensor(np.zeros(4)), np.zeros(4), np.zeros(4, np.float32), np.float64(0), 0])
def test_parameters_of_every_kind(value):
    expected = variational_gaussian_dropout(X, 0.0, key=Key(0))
    y = variational_gaussian_dropout(X, value, key=Key(0))
    assert y.dtype == np.float32
    assert np.array_equal(np.asarray(y.data), expected)


# --------------------------------------------------------------------------------------------------------------- layers
LAYERS = [
    (lambda: ConcreteDropout(p=0.3), (6, 5)),
    (lambda: ConcreteDropout(p=0.3, hard=True), (6, 5)),
    (lambda: SpatialConcreteDropout(p=0.3, correct_mean=True), (6, 5, 2, 2)),
    (lambda: VariationalGaussianDropout(p=0.3, shape=5), (6, 5)),
    (lambda: SparseVariationalLinear(5, 3), (6, 5)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_modes_of_layers(make, shape, backend):
    layer = make().to(backend).seed(3)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    first, second = layer(x), layer(x)
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)
    assert np.array_equal(make().to(backend).seed(3)(x), first)
    layer.eval()
    assert np.array_equal(layer(x), layer(x))
    assert layer.sample()(x).shape == first.shape
    first.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    assert type(layer).__name__ in repr(layer)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_samples_in_flight_equal_samples_one_by_one(make, shape):
    layer = make().seed(3)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    together = predict_samples(layer, x, samples=3)
    layer.sample()
    one_by_one = [layer(x).numpy() for _ in range(3)]
    assert np.allclose(together, one_by_one, rtol=1e-5, atol=1e-6)


def test_concrete_dropout_learns_a_rate():
    """Without data, the best rate has dR / dlogit_p = 0: w |W|^2 / (1 - p)^2 = -d K logit_p."""
    layer = ConcreteDropout(p=0.1, weight_scale=0.02, dropout_scale=0.1).seed(0)
    weight = np.ones((2, 5), np.float32)
    for _ in range(400):
        layer.zero_grad()
        layer.regulariser(weight).backward()
        layer.logit_p.fill(layer.logit_p.numpy() - 5 * layer.logit_p.grad)
    p, rho = layer.p, float(layer.logit_p.numpy())
    assert 0.1 < p < 0.5
    assert abs(0.02 * 10 / (1 - p) ** 2 + 0.1 * 5 * rho) < 1e-4


def test_a_sparse_layer_forgets_what_is_noise():
    layer = SparseVariationalLinear(3, 2, bias=False).seed(0)
    layer.weight.fill([[1.0, 0.01, 1.0], [1.0, 1.0, 0.01]])
    layer.log_sigma2.fill(np.full((2, 3), -4.0))
    assert layer.sparsity() == pytest.approx(1 / 3)
    assert np.array_equal(layer.eval()(np.ones((1, 3), np.float32)), [[2.0, 2.0]])
    low = float(layer.regulariser().data)
    layer.log_sigma2.fill(np.full((2, 3), 0.0))
    assert float(layer.regulariser().data) < low


def test_type_a_and_b_agree_where_they_must():
    """One alpha for the layer, one input: both are the same normal number."""
    x, w = np.full((4, 1), 3.0), np.array([[2.0]])
    e = np.array([[0.3], [-1.0], [0.0], [2.0]])
    b = local_reparametrisation_linear(x, w, -0.5, mask=e)
    assert relative_error(b, variational_gaussian_dropout(x, -0.5, mask=e) @ w.T) < 1e-15
    assert relative_error(sparse_variational_linear(x, w, np.array([[math.log(4) - 0.5]]), mask=e), b) < 1e-8
