"""Losses built on dropout: closed forms, PyTorch, doors."""

import numpy as np
import pytest

from puredrop import Key, Tensor, dropout, grad, gradcheck, keep_mask, ops
from puredrop.gradcheck import relative_error
from puredrop.streams import enumerate_masks
from puredrop.variants.objectives import fraternal_loss, multi_sample_dropout_loss, r_drop_loss, variance_shift

R = np.random.default_rng(0)
N, C, D = 5, 4, 3
A, B, LABELS = R.standard_normal((N, C)), R.standard_normal((N, C)), np.array([0, 3, 1, 1, 2])
X, W = R.standard_normal((N, D)), R.standard_normal((D, C))
PAIRS = [r_drop_loss, fraternal_loss]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(logits, labels=LABELS):
    return -np.log(softmax(logits))[np.arange(len(labels)), labels].mean()


# ----------------------------------------------------------------------------------------------------- two passes
@pytest.mark.parametrize("loss", PAIRS)
def test_equal_passes_leave_the_cross_entropy(loss):
    assert np.isclose(loss(A, A, LABELS, 3.0), cross_entropy(A), rtol=1e-14)
    assert np.isclose(loss(A, B, LABELS, 0.0), (cross_entropy(A) + cross_entropy(B)) / 2, rtol=1e-14)
    assert np.isclose(loss(A, B, LABELS, 2.0), loss(B, A, LABELS, 2.0), rtol=1e-14)


def test_r_drop_is_the_mean_of_both_divergences():
    p, q = softmax(A), softmax(B)
    forward, back = (p * np.log(p / q)).sum(-1).mean(), (q * np.log(q / p)).sum(-1).mean()
    expected = (cross_entropy(A) + cross_entropy(B)) / 2 + 4.0 * (forward + back) / 2
    assert np.isclose(r_drop_loss(A, B, LABELS, 4.0), expected, rtol=1e-13)


def test_r_drop_gradient_is_the_closed_form_and_reaches_both_passes(backend):
    alpha = 4.0
    leaves = [Tensor(z, backend, requires_grad=True) for z in (A, B)]
    r_drop_loss(*leaves, LABELS, alpha).backward()
    one_hot = np.eye(C)[LABELS]
    for leaf, z, other in zip(leaves, (A, B), (B, A), strict=True):
        p, q = softmax(z), softmax(other)
        ratio = np.log(p / q)
        divergence = (p * ratio).sum(-1, keepdims=True)
        expected = ((p - one_hot) / 2 + alpha / 2 * (p * (ratio - divergence) + p - q)) / N
        assert relative_error(leaf.grad, expected) < 1e-13


def test_fraternal_gradient_is_the_closed_form(backend):
    leaves = [Tensor(z, backend, requires_grad=True) for z in (A, B)]
    loss = fraternal_loss(*leaves, LABELS, 0.7)
    loss.backward()
    assert np.isclose(loss.item(), (cross_entropy(A) + cross_entropy(B)) / 2 + 0.7 * ((A - B) ** 2).mean(), rtol=1e-14)
    expected = (softmax(A) - np.eye(C)[LABELS]) / (2 * N) + 2 * 0.7 * (A - B) / (N * C)
    assert relative_error(leaves[0].grad, expected) < 1e-13


@pytest.mark.parametrize("loss", PAIRS)
def test_first_and_second_derivatives(loss, backend):
    valid = np.array([True, False, True, True, True])
    errors = gradcheck(lambda a, b: loss(a * a, b * b, LABELS, 1.5, valid=valid), A, B, backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairs_equal_pytorchs_autograd(torch, dtype):
    functional = torch.nn.functional

    def r_drop(a, b, labels):
        p, q = functional.log_softmax(a, -1), functional.log_softmax(b, -1)
        kl = [functional.kl_div(s, t, log_target=True, reduction="batchmean") for s, t in ((p, q), (q, p))]
        return (functional.cross_entropy(a, labels) + functional.cross_entropy(b, labels)) / 2 + 4.0 * sum(kl) / 2

    def fraternal(a, b, labels):
        ce = (functional.cross_entropy(a, labels) + functional.cross_entropy(b, labels)) / 2
        return ce + 4.0 * functional.mse_loss(a, b)

    bound = 2e-6 if dtype == "float32" else 1e-12
    for ours, theirs in ((r_drop_loss, r_drop), (fraternal_loss, fraternal)):
        tensors = [torch.tensor(z.astype(dtype), requires_grad=True) for z in (A, B)]
        leaves = [Tensor(z.astype(dtype), requires_grad=True) for z in (A, B)]
        expected = theirs(*tensors, torch.tensor(LABELS))
        expected.backward()
        loss = ours(*leaves, LABELS, 4.0)
        loss.backward()
        assert loss.dtype == leaves[0].grad.dtype == dtype
        assert relative_error(loss.numpy(), expected.item()) < bound
        for mine, yours in zip(leaves, tensors, strict=True):
            assert relative_error(mine.grad, yours.grad.numpy()) < bound


def test_regression_rdrop_alpha_depends_on_the_batch_size():
    """The authors' code sums the divergence over the batch and averages the cross-entropy. A batch said twice over is
    the same loss."""
    twice = [np.concatenate([z, z]) for z in (A, B, LABELS)]
    assert np.isclose(r_drop_loss(*twice, 4.0), r_drop_loss(A, B, LABELS, 4.0), rtol=1e-13)
    assert np.isclose(fraternal_loss(*twice, 4.0), fraternal_loss(A, B, LABELS, 4.0), rtol=1e-13)


@pytest.mark.parametrize("loss", PAIRS)
def test_rows_that_do_not_count(loss):
    valid = np.array([True, True, False, True, False])
    bad, labels = A.copy(), LABELS.copy()
    bad[~valid], labels[~valid] = np.nan, -100
    leaf = Tensor(bad, requires_grad=True)
    y = loss(leaf, B, labels, 2.0, valid=valid)
    y.backward()
    assert np.isclose(y.item(), loss(A[valid], B[valid], LABELS[valid], 2.0), rtol=1e-14)
    assert np.array_equal(leaf.grad[~valid], np.zeros((2, C)))
    assert np.isfinite(leaf.grad).all()


@pytest.mark.parametrize("loss", PAIRS)
def test_sequences_are_rows(loss):
    a, b = R.standard_normal((2, 2, 3, C))
    labels = R.integers(0, C, (2, 3))
    assert np.isclose(
        loss(a, b, labels, 2.0), loss(a.reshape(6, C), b.reshape(6, C), labels.reshape(6), 2.0), rtol=1e-14
    )


def test_r_drop_with_a_class_that_neither_pass_allows():
    a, b = A.copy(), B.copy()
    a[:, 3] = b[:, 3] = -np.inf
    labels = np.array([0, 2, 1, 1, 2])
    leaf = Tensor(a, requires_grad=True)
    y = r_drop_loss(leaf, b, labels, 2.0)
    y.backward()
    assert np.isclose(y.item(), r_drop_loss(A[:, :3], B[:, :3], labels, 2.0), rtol=1e-14)
    assert np.isfinite(leaf.grad).all()
    assert (leaf.grad[:, 3] == 0).all()


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"logits2": B[:, :3]}, ValueError, r"logits2 must have the shape of logits1, \(5, 4\), got \(5, 3\)"),
        ({"logits2": B.astype(np.float32)}, TypeError, "logits2 must have the dtype of logits1"),
        ({"logits1": np.ones((N, C), int)}, TypeError, "logits1: x must be floating-point"),
        ({"labels": LABELS * 1.0}, TypeError, "labels must be whole numbers, got dtype float64"),
        ({"labels": LABELS[:4]}, ValueError, r"expected logits \(..., C\) and labels \(...\), got \(5, 4\) and \(4,\)"),
        (
            {"labels": LABELS + 1},
            ValueError,
            r"labels must lie in \[0, 4\), got 1 to 4; mark rows without a label in va",
        ),
        ({"labels": LABELS - 1}, ValueError, r"labels must lie in \[0, 4\), got -1 to 2"),
        ({"valid": np.ones(N)}, TypeError, r"valid must be boolean \(True = counts\), got dtype float64"),
        ({"valid": np.zeros(N, bool)}, ValueError, r"and one row that counts, got shape \(5,\) with 0"),
        ({"valid": np.ones(4, bool)}, ValueError, r"valid must have the shape of labels, \(5,\)"),
    ],
)
def test_arguments_of_pairs(loss, change, error, message):
    with pytest.raises(error, match=rf"{loss.__name__}.*{message}"):
        loss(**{"logits1": A, "logits2": B, "labels": LABELS, **change})


@pytest.mark.parametrize(("loss", "name"), [(r_drop_loss, "alpha"), (fraternal_loss, "kappa")])
def test_weights_of_pairs(loss, name):
    for bad in (True, "1", None):
        with pytest.raises(TypeError, match=rf"{loss.__name__}: {name} must be a number, got"):
            loss(A, B, LABELS, bad)
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=rf"{loss.__name__}: {name} must be finite and not negative"):
            loss(A, B, LABELS, bad)


# ---------------------------------------------------------------------------------------------------- many samples
def test_multi_sample_loss_is_the_mean_of_losses_not_the_loss_of_mean_logits(backend):
    p, count = 0.4, 6
    loss, masks = multi_sample_dropout_loss(
        X, lambda h: h @ W, LABELS, p, samples=count, key=Key(2), return_mask=True, backend=backend
    )
    assert np.array_equal(masks, keep_mask(Key(2), (count, N, D), p, backend=backend)), "one noise tensor (K, N, D)"
    logits = np.array([np.where(m, X / (1 - p), 0) @ W for m in masks])
    assert np.isclose(loss, np.mean([cross_entropy(z) for z in logits]), rtol=1e-13)
    assert not np.isclose(loss, cross_entropy(logits.mean(0)), rtol=1e-3)
    again = multi_sample_dropout_loss(X, lambda h: h @ W, LABELS, p, samples=count, mask=masks, backend=backend)
    assert again == loss


def test_multi_sample_gradient_is_the_mean_of_gradients(backend):
    p, count = 0.4, 5
    x, w = Tensor(X, backend, requires_grad=True), Tensor(W, backend, requires_grad=True)
    loss, masks = multi_sample_dropout_loss(x, lambda h: h @ w, LABELS, p, samples=count, key=Key(2), return_mask=True)
    ours = grad(loss, [x, w])
    each = [grad(ops.cross_entropy(dropout(x, p, mask=m) @ w, labels=LABELS), [x, w]) for m in masks]
    for i in range(2):
        assert relative_error(ours[i], np.mean([g[i] for g in each], axis=0)) < 1e-13
    errors = gradcheck(
        lambda x, w: multi_sample_dropout_loss(x, lambda h: (h @ w).tanh(), LABELS, p, samples=3, key=Key(2)),
        X,
        W,
        backend=backend,
    )
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_multi_sample_expectation_is_that_of_one_mask():
    x, w, labels = X[:1, :2], W[:2], LABELS[:1]

    def value(**options):
        return multi_sample_dropout_loss(x, lambda h: h @ w, labels, 0.3, **options)

    one = sum(q * y for q, y in enumerate_masks(lambda: value(samples=1)))
    two = sum(q * y for q, y in enumerate_masks(lambda: value(samples=2)))
    assert np.isclose(one, two, rtol=1e-13)


def test_multi_sample_runs_its_features_once_and_the_head_for_each_mask():
    calls = []
    multi_sample_dropout_loss(X, lambda h: calls.append(1) or h @ W, LABELS, 0.5, samples=7, key=Key(0))
    assert len(calls) == 7
    calls.clear()
    y = multi_sample_dropout_loss(X, lambda h: calls.append(1) or h @ W, LABELS, 0.5, samples=7, training=False)
    assert len(calls) == 1
    assert np.isclose(y, cross_entropy(X @ W), rtol=1e-14)
    assert multi_sample_dropout_loss(X, lambda h: h @ W, LABELS, 0.0) == y
    squared = multi_sample_dropout_loss(
        X, lambda h: h, X, 0.5, samples=2, loss=lambda a, b: ((a - b) ** 2).sum(), mask=np.ones((2, N, D), bool)
    )
    assert np.isclose(squared, (X**2).sum(), rtol=1e-14)


def test_arguments_of_multi_sample():
    def call(**change):
        return multi_sample_dropout_loss(
            **{"x": X, "head": lambda h: h @ W, "labels": LABELS, "p": 0.5, "key": Key(0), **change}
        )

    name = "multi_sample_dropout_loss"
    for bad in (0, -1, 2.0, True, None):
        with pytest.raises(ValueError, match=rf"{name}: samples must be a whole number of 1 or more, got"):
            call(samples=bad)
    with pytest.raises(ValueError, match=rf"{name}: mask must have shape \(8, 5, 3\), got \(5, 3\)"):
        call(mask=np.ones((N, D), bool))
    with pytest.raises(TypeError, match=rf"{name}: give one key, not several; samples= says how many"):
        call(key=(Key(0), Key(1)))
    with pytest.raises(ValueError, match=rf"{name}: p must lie in \[0, 1\]"):
        call(p=-0.5)
    with pytest.raises(TypeError, match=rf"{name}: x must be floating-point"):
        call(x=np.ones((N, D), int))
    with pytest.raises(ValueError, match=r"nothing to draw with"):
        call(key=None)


# --------------------------------------------------------------------------------------------------- variance shift
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_variance_shift_is_what_a_batch_norm_sees(p):
    """Two values of x, all masks: the variance behind the dropout over its variance in evaluation, exactly."""
    x = np.array([0.5, 3.0])
    values = [(q / 2, y) for q, ys in enumerate_masks(lambda: dropout(x, p)) for y in ys]
    mean = sum(q * y for q, y in values)
    training = sum(q * (y - mean) ** 2 for q, y in values)
    assert np.isclose(mean, x.mean(), rtol=1e-13)
    assert np.isclose(variance_shift(p, x.mean(), x.var()), training / x.var(), rtol=1e-13)


def test_variance_shift_by_channel_and_its_arguments():
    mean, variance = np.float32([0.0, 2.0]), np.float32([1.0, 4.0])
    shift = variance_shift(0.5, mean, variance)
    assert shift.tolist() == [2.0, 3.0]
    assert shift.dtype == np.float32
    assert variance_shift(0.0, mean, variance).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="variance_shift: p must lie below 1, got 1"):
        variance_shift(1.0, mean, variance)
    with pytest.raises(ValueError, match="variance_shift: variance must be positive, got"):
        variance_shift(0.5, mean, np.float32([1.0, 0.0]))
    with pytest.raises(TypeError, match="variance_shift: p must be a number"):
        variance_shift("0.5", mean, variance)
