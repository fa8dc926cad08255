"""Attention, dropped keys and heads: doors, closed forms, PyTorch, layers; the rest is in the conformance table."""

import numpy as np
import pytest

from puredrop import (
    Index,
    Key,
    Tensor,
    drop_head,
    drop_key,
    dropout,
    gradcheck,
    keep_mask,
    ops,
    scaled_dot_product_attention,
)
from puredrop.gradcheck import relative_error
from puredrop.nn.residual import DropHead, DropKey, ScaledDotProductAttention
from puredrop.random import passes
from puredrop.streams import enumerate_masks

R = np.random.default_rng(0)
N, H, T, S, D, E = 2, 3, 4, 5, 6, 7
Q, KEYS, V = (R.standard_normal(shape) for shape in ((N, H, T, D), (N, H, S, D), (N, H, S, E)))
LOGITS = R.standard_normal((3, 4, 6))
K = Key(5)
attend = scaled_dot_product_attention


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ------------------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"q": Q[0, 0, 0]},
            ValueError,
            r"expected q \(..., T, D\), k \(..., S, D\), v \(..., S, E\), D > 0; got q \(6,",
        ),
        ({"k": KEYS[..., :5]}, ValueError, r"expected q .* got q \(2, 3, 4, 6\), k \(2, 3, 5, 5\)"),
        ({"v": V[..., :4, :]}, ValueError, r"expected q .* v \(2, 3, 4, 7\)"),
        (
            {"k": KEYS[:, :2]},
            ValueError,
            r"the leading axes must agree or be 1 .*; got q \(2, 3, 4, 6\), k \(2, 2, 5, 6\)",
        ),
        ({"v": V[:, :2]}, ValueError, "the leading axes must agree or be 1"),
        ({"v": V.astype(np.float32)}, TypeError, "v must have the dtype of q, float64, got float32"),
        ({"k": np.ones((S, D), int)}, TypeError, "k: x must be floating-point, got dtype int64"),
        ({"allowed": np.ones((T, S))}, TypeError, r"allowed must be boolean \(True = may attend\), got dtype float64"),
        ({"allowed": np.ones((S, T), bool)}, ValueError, r"allowed must broadcast to .* \(2, 3, 4, 5\), got \(5, 4\)"),
        ({"allowed": np.ones((9, N, H, T, S), bool)}, ValueError, r"allowed must broadcast to the weights' shape"),
        ({"bias": np.ones((T, S), int)}, TypeError, r"bias must be floating-point \(it is added\), got dtype int64"),
        ({"bias": np.ones((T, 2))}, ValueError, r"bias must broadcast to the weights' shape"),
        ({"return_weights": True}, ValueError, r"return_weights must be None, 'before' or 'after', got True"),
        ({"shared": 4}, ValueError, r"shared axes \(4,\) do not exist"),
        ({"index": Index.whole((T, S))}, ValueError, r"an index of shape \(4, 5\) with 1 key\(s\) does not fit"),
        ({"index": Index.whole((N, H, T, S)), "shared": 1}, ValueError, "give either index or shared"),
        ({"key": None}, ValueError, r"nothing to draw with; give key=Key\(seed\), or mask="),
        ({"key": 3}, TypeError, "key must be a Key"),
    ],
)
def test_arguments_of_attention(change, error, message):
    arguments = {"q": Q, "k": KEYS, "v": V, "p": 0.5, "key": K, **change}
    with pytest.raises(error, match=message):
        attend(**arguments)


def test_arguments_of_keys_and_heads():
    with pytest.raises(ValueError, match="drop_key: all_dropped must be 'keep' or 'zero', got 'nan'"):
        drop_key(LOGITS, 0.5, all_dropped="nan", key=K)
    with pytest.raises(ValueError, match=r"drop_key: logits need an axis of keys, got shape \(\)"):
        drop_key(np.float64(1).reshape(()), 0.5, key=K)
    with pytest.raises(ValueError, match="drop_key: nothing to draw with"):
        drop_key(LOGITS, 0.5)
    with pytest.raises(ValueError, match=r"drop_head: head_axis 3 does not exist in x of shape \(3, 4, 6\)"):
        drop_head(LOGITS, 0.5, head_axis=3, key=K)
    with pytest.raises(TypeError, match=r"drop_head: p must be one number in \[0, 1\], got an array"):
        drop_head(LOGITS, np.full(4, 0.5), key=K)
    with pytest.raises(ValueError, match=r"drop_head: an index must share all axes but the batch and the heads, got"):
        drop_head(LOGITS, 0.5, key=K, index=Index.whole(LOGITS.shape))
    with pytest.raises(
        ValueError, match=r"a mask of shape \(3, 4, 6\) does not broadcast to the array's shape \(3, 4, 1"
    ):
        drop_head(LOGITS, 0.5, mask=np.ones(LOGITS.shape, bool))
    with pytest.raises(ValueError, match="drop_head: nothing to draw with"):
        drop_head(LOGITS, 0.5)


# ------------------------------------------------------------------------------------------------------ regressions
def test_regression_xdropout_p1_divides_by_zero():
    """DeBERTa's XDropout raises ZeroDivisionError at rate 1. Nothing is divided, and backward keeps no float mask."""
    x = Tensor(LOGITS, requires_grad=True)
    y = dropout(x, 1.0, key=K)
    assert not any(isinstance(part, np.ndarray) for part in y.node.saved[0]), "the key, and no array"
    y.sum().backward()
    assert np.array_equal(x.grad, np.zeros(LOGITS.shape))


# ------------------------------------------------------------------------------------------------------- attention
def test_gradients_are_the_closed_form(backend):
    """dS = P (dP - D) with D = rowsum(g y): the D of attention without dropout, for y holds the mask already."""
    p, g = 0.4, R.standard_normal((N, H, T, E))
    q, k, v = (Tensor(a, backend, requires_grad=True) for a in (Q, KEYS, V))
    y, before, after, keep = (
        *attend(q, k, v, p, key=K, return_weights="before"),
        *attend(Q, KEYS, V, p, key=K, return_weights="after", return_mask=True, backend=backend)[1:],
    )
    y.backward(g)
    weights = softmax(Q @ KEYS.swapaxes(-1, -2) / D**0.5)  # (N, H, T, S)
    dropped = np.where(keep, weights / (1 - p), 0)
    assert np.allclose(before.numpy(), weights, rtol=1e-12)
    assert np.allclose(after, dropped, rtol=1e-12)
    assert np.array_equal(keep, keep_mask(K, (N, H, T, S), p, backend=backend))
    dp = np.where(keep, g @ V.swapaxes(-1, -2) / (1 - p), 0)
    ds = weights * (dp - (g * y.numpy()).sum(-1, keepdims=True))
    assert relative_error(v.grad, dropped.swapaxes(-1, -2) @ g) < 1e-12
    assert relative_error(q.grad, ds @ KEYS / D**0.5) < 1e-12
    assert relative_error(k.grad, ds.swapaxes(-1, -2) @ Q / D**0.5) < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
def test_pytorchs_attention_with_its_mask_read_off(torch, dtype, causal):
    """With v the identity PyTorch's result is its dropped weights, so its mask can be seen, and the run repeated."""
    from torch.nn.functional import scaled_dot_product_attention as theirs

    inputs = [torch.tensor(a.astype(dtype), requires_grad=True) for a in (Q, KEYS, V)]
    q, k, v = inputs
    p = 0.3
    torch.manual_seed(1)
    weights = theirs(q, k, torch.eye(S, dtype=q.dtype).expand(N, H, S, S), dropout_p=p, is_causal=causal)
    torch.manual_seed(1)
    y = theirs(q, k, v, dropout_p=p, is_causal=causal)
    g = R.standard_normal(y.shape).astype(dtype)
    y.backward(torch.tensor(g))
    ours = [Tensor(a.astype(dtype), requires_grad=True) for a in (Q, KEYS, V)]
    keep = weights.detach().numpy() != 0
    assert 0 < keep.mean() < 1
    z = attend(*ours, p, mask=keep, causal=causal)
    z.backward(g)
    bound = 2e-6 if dtype == "float32" else 1e-12
    assert relative_error(z.numpy(), y.detach().numpy()) < bound
    for mine, yours in zip(ours, inputs, strict=True):
        assert relative_error(mine.grad, yours.grad.numpy()) < bound


def test_pytorchs_attention_with_masks_and_biases(torch):
    from torch.nn.functional import scaled_dot_product_attention as theirs

    allowed = R.random((N, 1, T, S)) > 0.3
    allowed[..., 0] = True
    bias = R.standard_normal((H, T, S))
    q, k, v = (torch.tensor(a) for a in (Q, KEYS, V))
    for ours, yours in (
        ({"allowed": allowed}, torch.tensor(allowed)),
        ({"bias": bias}, torch.tensor(bias)),
        ({"allowed": allowed, "bias": bias}, torch.tensor(np.where(allowed, bias, -np.inf))),
        ({"bias": np.where(allowed, bias, -np.inf)}, torch.tensor(np.where(allowed, bias, -np.inf))),
    ):
        expected = theirs(q, k, v, attn_mask=yours, scale=0.7).numpy()
        assert relative_error(attend(Q, KEYS, V, scale=0.7, **ours), expected) < 1e-12


def test_keys_that_are_not_allowed_get_no_weight_whatever_they_hold(backend):
    lengths = np.array([3, 5])
    allowed = (np.arange(S) < lengths[:, None])[:, None, None]  # (N, 1, 1, S)
    bad_k, bad_v = KEYS.copy(), V.copy()
    bad_k[0, :, 3:], bad_v[0, :, 3:] = np.nan, np.inf
    tensors = [Tensor(a, backend, requires_grad=True) for a in (Q, bad_k, bad_v)]
    y, weights = attend(*tensors, 0.5, allowed=allowed, key=K, return_weights="after")
    y.sum().backward()
    assert np.array_equal(y.numpy(), attend(Q, KEYS, V, 0.5, allowed=allowed, key=K, backend=backend))
    assert (weights.numpy()[0, ..., 3:] == 0).all()
    assert all(np.isfinite(t.grad).all() for t in tensors)
    assert (tensors[2].grad[0, :, 3:] == 0).all()
    alone = attend(Q[:1], KEYS[:1, :, :3], V[:1, :, :3])
    assert np.allclose(attend(Q, KEYS, V, allowed=allowed)[:1], alone, rtol=1e-13)


def test_a_query_without_any_key_gets_zeros(backend):
    allowed = np.ones((T, S), bool)
    allowed[1] = False
    bad_q = Q.copy()
    bad_q[..., 1, :] = np.nan
    for options in ({"allowed": allowed}, {"bias": np.where(allowed, 0.5, -np.inf)}):
        for p in (0.0, 0.5):
            tensors = [Tensor(a, backend, requires_grad=True) for a in (bad_q, KEYS, V)]
            y = attend(*tensors, p, key=K, **options)
            y.sum().backward()
            assert (y.numpy()[..., 1, :] == 0).all()
            assert np.isfinite(y.numpy()).all()
            assert all(np.isfinite(t.grad).all() for t in tensors)
            assert (tensors[0].grad[..., 1, :] == 0).all()


def test_gradients_of_masks_biases_and_causal_attention(backend):
    allowed = R.random((T, S)) > 0.4
    allowed[2] = False
    inputs = (Q[0, :1], KEYS[0, :1], V[0, :1], R.standard_normal((T, S)))
    errors = gradcheck(
        lambda q, k, v, b: attend(q, k, v, 0.3, allowed=allowed, bias=b, causal=True, key=K), *inputs, backend=backend
    )
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_causal_queries_see_keys_up_to_their_own():
    weights = attend(Q, KEYS, V, causal=True, return_weights="before")[1]
    assert np.array_equal(weights != 0, np.broadcast_to(np.tri(T, S, dtype=bool), weights.shape))
    assert np.allclose(weights.sum(-1), 1, rtol=1e-14)


def test_one_mask_for_all_heads_or_all_of_the_batch(backend):
    for axis in (0, 1, -3):
        keep = attend(Q, KEYS, V, 0.5, shared=axis, key=K, return_mask=True, backend=backend)[-1]
        assert (keep == np.take(keep, [0], axis=axis)).all()
        other = np.take(keep, [0], axis=1 - axis % 4)
        assert not (keep == other).all()


def test_shapes_without_batch_with_more_axes_and_empty():
    assert attend(Q[0, 0], KEYS[0, 0], V[0, 0]).shape == (T, E)
    assert attend(Q[None], KEYS[None], V[None]).shape == (1, N, H, T, E)
    shared_keys = attend(Q, KEYS[:, :1], V[:, :1], 0.5, key=K)  # one key and value head for all queries
    assert np.array_equal(shared_keys, attend(Q, *(np.repeat(a[:, :1], H, 1) for a in (KEYS, V)), 0.5, key=K))
    assert attend(Q[:0], KEYS[:0], V[:0], 0.5, key=K).shape == (0, H, T, E)
    assert attend(Q[..., :0, :], KEYS, V, 0.5, key=K).shape == (N, H, 0, E)
    assert np.array_equal(attend(Q, KEYS[..., :0, :], V[..., :0, :], 0.5, key=K), np.zeros((N, H, T, E)))


def test_what_is_returned_beside_the_result():
    y, before = attend(Q, KEYS, V, 0.5, key=K, return_weights="before")
    again, after, keep = attend(Q, KEYS, V, 0.5, key=K, return_weights="after", return_mask=True)
    assert np.array_equal(y, again)
    assert np.array_equal(after, np.where(keep, before * 2, 0))
    assert np.allclose(before.sum(-1), 1, rtol=1e-14)
    assert not np.allclose(after.sum(-1), 1), "rows do not sum to one, by design"
    assert len(attend(Q, KEYS, V, 0.5, training=False, return_weights="after", return_mask=True)) == 3
    assert np.array_equal(attend(Q, KEYS, V, 0.5, mask=keep), y)


def test_parts_and_several_keys(backend):
    whole, index = attend(Q, KEYS, V, 0.5, key=K, backend=backend), Index.whole((N, H, T, S))
    for part in ((slice(1, 2),), (slice(None), slice(1, 3)), (slice(None), slice(None), slice(2, 4))):
        k, v = (a[part[:2]] for a in (KEYS, V))
        y = attend(Q[part], k, v, 0.5, key=K, index=index[part], backend=backend)
        assert relative_error(y, whole[part]) < 1e-14
    keys = tuple(Key(1, sample=t) for t in range(N))
    y = attend(Q, KEYS, V, 0.5, key=keys, shared=0, backend=backend)  # axes without the axis of the keys
    for t in range(N):
        expected = attend(Q[t], KEYS[t], V[t], 0.5, key=keys[t], shared=0, backend=backend)
        assert relative_error(y[t], expected) < 1e-14


# ------------------------------------------------------------------------------------------------ keys and heads
def test_dropkey_renormalises_and_is_softmax_in_evaluation(backend):
    y, keep = drop_key(LOGITS, 0.5, key=K, return_mask=True, backend=backend)
    assert np.array_equal(keep, keep_mask(K, LOGITS.shape, 0.5, backend=backend))
    assert np.allclose(y.sum(-1), 1, rtol=1e-14)
    assert (y[~keep & keep.any(-1, keepdims=True)] == 0).all()
    assert np.allclose(drop_key(LOGITS, 0.5, training=False), softmax(LOGITS), rtol=1e-14)
    assert np.allclose(drop_key(LOGITS, 1.0, key=K), softmax(LOGITS), rtol=1e-14)


def test_dropkey_gradient_is_the_closed_form_and_zero_where_dropped(backend):
    x, g = Tensor(LOGITS, backend, requires_grad=True), R.standard_normal(LOGITS.shape)
    y, keep = drop_key(x, 0.4, key=K, return_mask=True)
    y.backward(np.where(keep, g, np.nan))
    y, clean = y.numpy(), np.where(keep, g, 0)
    assert relative_error(x.grad, y * (clean - (y * clean).sum(-1, keepdims=True))) < 1e-13
    assert (x.grad[~keep] == 0).all()


def test_dropkey_with_keys_that_are_masked_already(backend):
    """A row is dropped whole when none of the keys that it has is kept; masked keys never come back."""
    x = LOGITS.copy()
    x[0, 0, 2:] = -np.inf
    x[1, 1] = -np.inf
    keep = np.ones(x.shape, bool)
    keep[0, 0, :2] = False
    leaf = Tensor(x, backend, requires_grad=True)
    y = drop_key(leaf, 0.5, mask=keep)
    y.sum().backward()
    assert np.allclose(y.numpy()[0, 0, :2], softmax(x[0, 0, :2]), rtol=1e-14)
    assert (y.numpy()[0, 0, 2:] == 0).all()
    assert (y.numpy()[1, 1] == 0).all()
    assert np.isfinite(leaf.grad).all()
    zero = drop_key(x, 0.5, mask=keep, all_dropped="zero", backend=backend)
    assert (zero[0, 0] == 0).all()


def test_dropkey_shares_keys_over_queries_and_draws_parts(backend):
    y, keep = drop_key(LOGITS, 0.5, shared=-2, key=K, return_mask=True, backend=backend)
    assert keep.shape == (3, 1, 6)
    some = np.broadcast_to(keep.any(-1, keepdims=True), y.shape)
    assert np.array_equal((y != 0)[some], np.broadcast_to(keep, y.shape)[some])
    index = Index.whole(LOGITS.shape, 1)
    part = drop_key(LOGITS[1:, 2:], 0.5, key=K, index=index[1:, 2:], backend=backend)
    assert np.array_equal(part, y[1:, 2:])
    keys = tuple(Key(1, sample=t) for t in range(3))
    expected = [drop_key(LOGITS[t], 0.5, shared=0, key=keys[t], backend=backend) for t in range(3)]
    assert np.array_equal(drop_key(LOGITS, 0.5, shared=0, key=keys, backend=backend), expected)
    assert drop_key(LOGITS[:0], 0.5, key=K).shape == (0, 4, 6)
    assert drop_key(LOGITS[..., :0], 0.5, key=K).shape == (3, 4, 0)


def test_heads_are_dropped_whole_and_scaled_by_what_is_left(backend):
    x = np.ones((500, 4, 3, 2))
    y, keep = drop_head(x, 0.5, key=K, return_mask=True, backend=backend)
    assert keep.shape == (500, 4, 1, 1)
    assert np.array_equal(keep[..., 0, 0], keep_mask(K, (500, 4), 0.5, backend=backend))
    count = keep.sum(1, keepdims=True)
    assert np.array_equal(y, np.where(keep, 4 / np.maximum(count, 1), 0) * x)
    assert (count == 0).any()
    assert np.allclose(y.mean(1)[count[:, 0, 0, 0] > 0], 1, rtol=1e-15), (
        "the mean over heads is exact where one is left"
    )


def test_the_expectation_of_drophead_is_one_minus_p_to_the_h():
    values = list(enumerate_masks(lambda: drop_head(np.ones((1, 3)), 0.3)))
    assert np.allclose(sum(q * y for q, y in values), 1 - 0.3**3, rtol=1e-14)


def test_head_axes_parts_and_several_keys(backend):
    x = R.standard_normal((4, 5, 3, 2))
    y = drop_head(x, 0.5, key=K, backend=backend)
    assert np.array_equal(drop_head(x.swapaxes(1, 2), 0.5, head_axis=2, key=K, backend=backend).swapaxes(1, 2), y)
    assert np.array_equal(drop_head(x, 0.5, head_axis=-3, key=K, backend=backend), y)
    assert np.array_equal(drop_head(x[0], 0.5, head_axis=0, key=K, backend=backend), y[0])
    index = Index.whole(x.shape, (2, 3))
    assert np.array_equal(drop_head(x[2:], 0.5, key=K, index=index[2:], backend=backend), y[2:])
    keys = tuple(Key(1, sample=t) for t in range(4))
    expected = [drop_head(x[t][None], 0.5, key=keys[t], backend=backend)[0] for t in range(4)]
    merged = drop_head(x, 0.5, key=keys, index=Index.whole((1, 5, 3, 2), (2, 3)), backend=backend)
    assert np.array_equal(merged, expected)
    assert drop_head(x[:, :0], 0.5, key=K, backend=backend).shape == (4, 0, 3, 2)


# ------------------------------------------------------------------------------------------------------- the layers
LAYERS = {
    "ScaledDotProductAttention": (ScaledDotProductAttention(0.5), (Q, KEYS, V), attend(Q, KEYS, V)),
    "causal, one mask for all heads": (
        ScaledDotProductAttention(0.5, causal=True, scale=0.3, shared=-3),
        (Q, KEYS, V),
        attend(Q, KEYS, V, causal=True, scale=0.3),
    ),
    "DropKey": (DropKey(0.5, shared=-2), (LOGITS,), softmax(LOGITS)),
    "DropHead": (DropHead(0.5), (Q,), Q),
    "DropHead on another axis": (DropHead(0.5, head_axis=-1), (Q,), Q),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_their_modes(name):
    layer, inputs, evaluated = LAYERS[name]
    rows = len(inputs[0])
    layer.seed(3).train()
    first = [layer(*inputs).numpy() for _ in range(8)]
    assert any(not np.array_equal(y, first[0]) for y in first), "each step draws anew"
    layer.seed(3)
    assert all(np.array_equal(layer(*inputs).numpy(), y) for y in first)
    assert np.allclose(layer.eval()(*inputs).numpy(), evaluated, rtol=1e-13)
    layer.sample()
    samples = np.array([layer(*inputs).numpy() for _ in range(4)])
    with passes.entered(passes.Pass(mode="sample", samples=range(4))):
        together = layer.forward(*(Tensor(np.concatenate([a] * 4)) for a in inputs)).numpy()
    assert relative_error(together.reshape(samples.shape), samples) < 1e-14, "together as one by one"
    with passes.entered(passes.Pass(mode="sample", window=passes.Window(1, rows, rows))):
        chunk = layer.forward(*(Tensor(a[1:]) for a in inputs)).numpy()
    assert relative_error(chunk, samples[0][1:]) < 1e-14, "a chunk of the batch is its part of the whole"


def test_the_attention_layer_takes_masks_and_a_schedule():
    allowed = np.arange(S) < 3
    layer = ScaledDotProductAttention(lambda step: float(step > 0)).seed(0)
    assert np.array_equal(layer(Q, KEYS, V, allowed).numpy(), attend(Q, KEYS, V, allowed=allowed))
    assert not layer(Q, KEYS, V, allowed).numpy().any()
    biased = ScaledDotProductAttention(0.0).eval()(Q, KEYS, V, bias=np.zeros((T, S)) + np.arange(S))
    assert np.array_equal(biased.numpy(), attend(Q, KEYS, V, bias=np.zeros((T, S)) + np.arange(S)))


def test_layers_check_what_they_are_made_of():
    for make in (ScaledDotProductAttention, DropKey, DropHead):
        with pytest.raises(ValueError, match=rf"{make.__name__}: p must lie in \[0, 1\]"):
            make(1.5)
        with pytest.raises(TypeError, match=rf"{make.__name__}: p must be a number in \[0, 1\]"):
            make("0.5")
    with pytest.raises(ValueError, match="drop_key: all_dropped must be"):
        DropKey(0.5, all_dropped="nan")
    with pytest.raises(ValueError, match=r"DropHead: head_axis 4 does not exist in x of shape \(2, 3, 4, 6\)"):
        DropHead(0.5, head_axis=4).seed(0)(Q)
    assert repr(DropKey(0.25)) == "DropKey(p=0.25)"


def test_attention_is_softmax_then_dropout(backend):
    weights = ops.softmax(Q @ KEYS.swapaxes(-1, -2) * D**-0.5)
    y = attend(Q, KEYS, V, 0.5, key=K, backend=backend)
    assert relative_error(y, dropout(weights, 0.5, key=K, backend=backend) @ V) < 1e-14
