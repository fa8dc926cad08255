"""Every primitive: first and second derivatives against finite differences, values against NumPy, dtype kept."""

from dataclasses import replace

import numpy as np
import pytest

from puredrop import Key, Tensor, backends, grad, gradcheck, ops
from puredrop.backends.select import select
from puredrop.ops import pooling
from puredrop.ops.convolution import correlate
from puredrop.ops.weights import straight_through
from puredrop.ops.windows import window_of
from puredrop.random import Draw, Index, threshold
from puredrop.tensor import PRIMITIVES

R = np.random.default_rng(0)
LABELS = np.array([0, 2, 3])
KEEP = R.random((3, 4)) > 0.4
FACTORS = np.float32([[0.5], [-1.0], [0.0]])
WINDOW = window_of("test", axes=1, kernel=2)
MAP = R.standard_normal((2, 1, 4))
LARGEST = ops.max_pool(MAP, 2, stride=1)
DRAW = Draw(Key(3), Index.whole((3, 4)), threshold(0.4))
CONNECTED = Draw(Key(3), Index.whole((2, 3, 4)), threshold(0.4))  # weights of two examples
DROPPED = ops.Selection(1.7, Draw(Key(3), Index.whole((1, 2, 3, 3)), threshold(0.4)))  # of the weights of two heads
TURNS = np.cos([[1.0, 2.0]] * 3), np.sin([[1.0, 2.0]] * 3)  # (T, D / 2) each


def normal(*shape):
    return R.standard_normal(shape)


def positive(*shape):
    return 0.5 + R.random(shape)


LSTM = [normal(3, 2, 2), normal(2, 3), normal(2, 3), normal(12, 2), normal(12, 3), normal(12)]
UNITS = R.random((2, 3)) > 0.4
AT_STEPS = R.random((4, 3, 2, 3)) > 0.4  # masks that are fresh at each of the 3 steps
LSTM_NOISE = [
    {"state": (UNITS, 1.7)},
    {"update": (UNITS, 1.7)},
    {"update": (AT_STEPS[0], 1.7)},
    {"update": (None, 0.7)},
    {"memory": (UNITS, 1.0)},
    {"zoneout": AT_STEPS[1]},
    {"zoneout_memory": AT_STEPS[2]},
    {"zoneout": 0.3, "zoneout_memory": 0.6},
    {"state": (UNITS, 1.7), "update": (AT_STEPS[0], 1.7), "zoneout": AT_STEPS[1], "zoneout_memory": AT_STEPS[2]},
    {"state": (UNITS, 1.7), "memory": (~UNITS, 1.0), "zoneout": AT_STEPS[1], "zoneout_memory": AT_STEPS[2]},
]
QKV = [normal(1, 2, 3, 2), normal(1, 2, 3, 2), normal(1, 2, 3, 2)]

# name of the primitive -> (function, inputs): at least one case for each primitive, several where shapes matter
CASES = {
    "add": [(lambda a, b: a + b, [normal(3, 4), normal(4)]), (lambda a: 2 + a, [normal(3)])],
    "subtract": [(lambda a, b: a - b, [normal(3, 1), normal(2, 1, 4)]), (lambda a: 2 - a, [normal(3)])],
    "multiply": [(lambda a, b: a * b, [normal(3, 1), normal(2, 1, 4)]), (lambda a: a * a, [normal(3)])],
    "divide": [(lambda a, b: a / b, [normal(3, 4), positive(4)]), (lambda a: 1 / a, [positive(3)])],
    "negative": [(lambda a: -a, [normal(3)])],
    "power": [
        (lambda a: a**3, [normal(4)]),
        (lambda a: a**0.5, [positive(4)]),
        (lambda a: a**0, [normal(4)]),
        (lambda a: a**-2, [positive(3)]),
    ],
    "_matmul": [
        (lambda a, b: a @ b, [normal(3, 4), normal(4, 2)]),
        (lambda a, b: a @ b, [normal(2, 3, 4), normal(4, 5)]),
        (lambda a, b: a @ b, [normal(4), normal(4, 2)]),
        (lambda a, b: a @ b, [normal(2, 3, 4), normal(4)]),
        (lambda a, b: a @ b, [normal(4), normal(4)]),
    ],
    "reshape": [(lambda a: (a * a).reshape(4, 3), [normal(3, 4)]), (lambda a: (a * a).flatten(1), [normal(2, 3, 2)])],
    "transpose": [(lambda a: (a * a).transpose(2, 0, 1), [normal(2, 3, 4)]), (lambda a: (a * a).T, [normal(2, 3)])],
    "swap": [(lambda a: ops.shape.swap(a * a), [normal(2, 3)])],
    "in_order": [(lambda a: ops.memory.in_order((a * a).T), [normal(2, 3)])],
    "swapaxes": [(lambda a: (a * a).swapaxes(0, 2), [normal(2, 3, 4)])],
    "broadcast_to": [(lambda a: ops.broadcast_to(a * a, shape=(2, 3, 4)), [normal(3, 1)])],
    "take": [
        (lambda a: (a * a)[1:, 0], [normal(3, 2)]),
        (lambda a: (a * a)[np.array([0, 2, 0])], [normal(3, 2)]),
        (lambda a: (a * a)[..., None, -1], [normal(3, 2)]),
        (lambda a: (a * a)[a.data > 0], [normal(3, 2)]),
    ],
    "scatter": [
        (lambda a: ops.scatter(a * a, index=np.array([1, 1, 0]), shape=(4,)), [normal(3)]),
    ],
    # One node for any number of arguments: no primitive, but held to the same.
    "concatenate": [
        (lambda a, b: ops.concatenate([a * a, b * b], axis=1), [normal(2, 3), normal(2, 1)]),
        (lambda a, b: ops.stack([a * b, b, a], axis=-1), [normal(2, 3), normal(2, 3)]),
    ],
    "astype": [(lambda a: (a * a).astype(np.float64), [normal(3)])],
    "exp": [(lambda a: a.exp(), [normal(4)])],
    "expm1": [(lambda a: ops.expm1(a), [normal(4)])],
    "normal_cdf": [(lambda a: ops.normal_cdf(a), [normal(4)])],
    "log": [(lambda a: a.log(), [positive(4)])],
    "sqrt": [(lambda a: a.sqrt(), [positive(4)])],
    "_gelu": [(lambda a: ops.gelu(a * a), [normal(4)])],
    "tanh": [(lambda a: a.tanh(), [normal(4)])],
    "sigmoid": [(lambda a: a.sigmoid(), [normal(4)])],
    "softplus": [(lambda a: ops.softplus(a), [normal(4)])],
    "relu": [(lambda a: (a * a * a).relu(), [normal(9)])],
    "absolute": [(lambda a: abs(a * a * a), [normal(4)])],
    "maximum": [
        (lambda a, b: ops.maximum(a * a, b * a), [normal(3, 4), normal(4)]),
        (lambda a, b: ops.minimum(a * b, b), [normal(5), normal(5)]),
    ],
    "clip": [(lambda a: (a * a).clip(0.2, 1.5), [normal(7)])],
    "_where": [(lambda a, b: ops.where(KEEP, a * b, b * b), [normal(3, 4), normal(4)])],
    "_standardise": [
        (lambda a: ops.standardise(a, (0, 2))[0], [normal(3, 2, 4)]),
        (lambda a: ops.standardise(a * a, (1,), eps=0.5)[0], [normal(2, 5)]),
    ],
    "_layer_norm": [
        (lambda x, w, b: ops.layer_norm(x * x, w, b), [normal(3, 4), normal(4), normal(4)]),
        (lambda x, w: ops.layer_norm(x, w, dims=2), [normal(2, 3, 2), normal(3, 2)]),
    ],
    "sum": [
        (lambda a: (a * a).sum(), [normal(3, 4)]),
        (lambda a: (a * a).sum(1), [normal(3, 4)]),
        (lambda a: (a * a).sum((0, -1), keepdims=True), [normal(3, 4, 2)]),
        (lambda a: (a * a).mean(0), [normal(3, 4)]),
        (lambda a: a.var(1, ddof=1), [normal(3, 4)]),
        (lambda a: a.std(0), [normal(3, 4)]),
    ],
    "max": [
        (lambda a: (a * a).max(1), [normal(3, 4)]),
        (lambda a: (a * a).max(), [normal(3, 4)]),
        (lambda a: (a * a * a).min(0, keepdims=True), [normal(3, 4)]),
    ],
    "softmax": [(lambda a: a.softmax(), [normal(3, 4)]), (lambda a: a.softmax(0), [normal(3, 4)])],
    "log_softmax": [(lambda a: a.log_softmax(), [normal(3, 4)]), (lambda a: a.log_softmax(axis=1), [normal(2, 3, 2)])],
    "cross_entropy": [(lambda a: ops.cross_entropy(a, labels=LABELS), [normal(3, 4)])],
    "linear": [
        (lambda x, w, b: ops.linear(x, w, b), [normal(3, 4), normal(2, 4), normal(2)]),
        (lambda x, w: ops.linear(x, w, 0.0), [normal(2, 3, 4), normal(5, 4)]),
    ],
    "stacked_linear": [
        (lambda x, w, b: ops.stacked_linear(x, w, b), [normal(2, 3, 4), normal(2, 5, 4), normal(2, 5)]),
        (lambda x, w, b: ops.stacked_linear(x, w, b), [normal(2, 2, 3, 4), normal(2, 5, 4), normal(2, 5)]),
        (lambda x, w, b: ops.stacked_linear(x, w, b), [normal(2, 4), normal(2, 5, 4), normal(2, 5)]),
    ],
    "lstm_sequence": [
        (lambda *a: ops.lstm_sequence(*a), LSTM),
        (lambda *a: ops.lstm_sequence(*a, reverse=True), LSTM),
        *((lambda *a, noise=noise: ops.lstm_sequence(*a, **noise), LSTM) for noise in LSTM_NOISE),
        *((lambda *a, noise=noise: ops.lstm_sequence(*a, **noise, reverse=True), LSTM) for noise in LSTM_NOISE),
        (lambda x, h, w: ops.lstm_sequence(x, h, h, w, w, 0.0), [normal(3, 2, 3), normal(2, 3), normal(12, 3)]),
    ],
    "convolve": [
        (lambda x, w: ops.convolution(x, w, stride=2, padding=1, groups=2), [normal(2, 2, 6), normal(4, 1, 3)]),
        (lambda x, w, b: ops.convolution(x, w, b), [normal(2, 2, 3, 4), normal(1, 2, 2, 3), normal(1)]),
    ],
    "spread": [
        (
            lambda x, w: ops.transposed_convolution(x, w, stride=2, padding=1, output_padding=1, groups=2),
            [normal(2, 2, 3), normal(2, 1, 3)],
        ),
        (lambda x, w: ops.transposed_convolution(x, w, stride=2), [normal(1, 2, 2, 2), normal(2, 1, 2, 2)]),
    ],
    "correlate": [
        (lambda y, x: correlate(y, x, shape=(2, 3, 2), window=WINDOW, groups=1), [normal(2, 2, 3), normal(2, 3, 4)])
    ],
    "largest": [
        (lambda x: ops.max_pool(x * x, (2, 3), stride=1), [normal(2, 1, 3, 4)]),
        (lambda x: ops.max_pool(x * x, 2, padding=1), [normal(2, 1, 5)]),
    ],
    "to_largest": [(lambda g: pooling.to_largest(g * g, inputs=MAP, maxima=LARGEST, window=WINDOW), [normal(2, 1, 3)])],
    "from_largest": [
        (lambda x: pooling.from_largest(x * x, inputs=MAP, maxima=LARGEST, window=WINDOW), [normal(2, 1, 4)])
    ],
    "window_sum": [
        (lambda x: ops.avg_pool(x * x, (2, 3), stride=1), [normal(2, 1, 3, 4)]),
        (lambda x: ops.avg_pool(x * x, 2, padding=1, count_include_pad=False), [normal(2, 1, 5)]),
        (lambda x: ops.adaptive_avg_pool(x * x, (2, 3)), [normal(2, 1, 4, 4)]),
        (lambda x: ops.adaptive_max_pool(x * x, (2, 3)), [normal(2, 1, 4, 4)]),
    ],
    "window_spread": [
        (lambda g: pooling.window_spread(g * g, shape=(2, 1, 4), window=WINDOW), [normal(2, 1, 3)]),
    ],
    "rows": [(lambda t: ops.rows(t * t, ids=np.array([[2, 0], [2, 1]])), [normal(4, 2)])],
    "add_rows": [(lambda x: ops.add_rows(x * x, ids=np.array([2, 0, 2]), count=4), [normal(3, 2)])],
    "turn": [(lambda x: ops.turn(x * x, cos=TURNS[0], sin=TURNS[1]), [normal(2, 3, 4)])],
    "attend": [
        (lambda q, k, v, b: ops.attend(q, k, v, b, scale=0.7), [*QKV, normal(3, 3)]),
        (lambda q, k, v: ops.attend(q, k, v, 0.0, sight=ops.Sight(causal=True), drop=DROPPED, tile=2), QKV),
    ],
    "self_attend": [
        (lambda x, b: ops.self_attend(x, b, heads=2, kv_heads=1), [normal(1, 3, 8), normal(3, 3)]),
        (lambda x: ops.self_attend(x, 0.0, heads=2, drop=DROPPED, tile=2), [normal(1, 3, 12)]),
    ],
    "connect": [
        (lambda x, w: ops.connect(x, w, draw=CONNECTED, scale=1.7), [normal(2, 3, 4), normal(3, 4)]),
    ],
    "drop": [
        (lambda x: ops.drop(x * x, 0.0, draw=DRAW, scale=1.7), [normal(3, 4)]),
        (lambda x, v: ops.drop(x * v, v * v, draw=DRAW, scale=0.7, shift=0.3), [normal(3, 4), normal(4)]),
    ],
    "drop_given": [
        (lambda x, v: ops.drop_given(x * v, v * v, keep=KEEP, rule=select, scale=0.7), [normal(3, 4), normal(4)])
    ],
    "times_normal": [
        (lambda x: ops.times_normal(x * x, key=Key(3), index=Index.whole((3, 4)), spread=0.8), [normal(3, 4)]),
        (lambda x: ops.times_normal(x * x, key=Key(3), index=Index.whole((3, 4), 1), spread=0.8), [normal(3, 4)]),
    ],
    "times_relaxed": [
        (
            lambda x, a: ops.times_relaxed(x * x, a, key=Key(3), index=Index.whole((3, 4)), t=0.5),
            [normal(3, 4), normal()],
        ),
        (
            lambda x, a: ops.times_relaxed(x, a * a, key=Key(3), index=Index.whole((3, 4)), t=2.0),
            [normal(3, 4), normal(1)],
        ),
    ],
    # With one factor for both ways the gradient is true; tests/test_residual.py has two.
    "straight_through": [(lambda x: straight_through(x * x, value=(x * x).data), [normal(4)])],
    "shake": [(lambda x: ops.residual.shake(x * x, forward=FACTORS, backward=FACTORS), [normal(3, 4)])],
}


def test_every_primitive_has_a_case():
    """Those of other packages have theirs in the tests of their family."""
    primitives = {name for name, f in PRIMITIVES.items() if f.__module__.startswith("puredrop.ops.")}
    assert primitives | {"concatenate"} == set(CASES)


EACH = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
# Written with operators and functions only, not with methods that only tensors have.
PLAIN = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "power",
    "linear",
    "stacked_linear",
    "drop",
    "drop_given",
    "lstm_sequence",
    "maximum",
    "_where",
)


@pytest.mark.parametrize(("name", "number"), EACH)
def test_derivatives(name, number, backend):
    f, inputs = CASES[name][number]
    errors = gradcheck(f, *inputs, backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


@pytest.mark.parametrize(("name", "number"), [one for one in EACH if one[0] != "astype"])
def test_float32_stays_float32(name, number, backend):
    f, inputs = CASES[name][number]
    leaves = [Tensor(x.astype(np.float32), backend, requires_grad=True) for x in inputs]
    y = f(*leaves)
    assert y.dtype == np.float32
    before = [leaf.data.copy() for leaf in leaves]
    y.sum().backward()
    assert all(leaf.grad.dtype == np.float32 and leaf.grad.shape == leaf.shape for leaf in leaves)
    assert all(np.array_equal(leaf.data, old) for leaf, old in zip(leaves, before, strict=True)), "an input was mutated"


@pytest.mark.parametrize(("name", "number"), [one for one in EACH if one[0] in PLAIN])
def test_arrays_in_arrays_out(name, number):
    f, inputs = CASES[name][number]
    y = f(*inputs)
    assert not isinstance(y, Tensor)
    assert np.allclose(y, f(*(Tensor(x) for x in inputs)).data, rtol=1e-15)


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (ops.exp, np.exp, normal(5)),
        (ops.expm1, np.expm1, normal(5)),
        (ops.log, np.log, positive(5)),
        (ops.sqrt, np.sqrt, positive(5)),
        (ops.tanh, np.tanh, normal(5)),
        (ops.sigmoid, lambda x: 1 / (1 + np.exp(-x)), normal(5)),
        (ops.softplus, lambda x: np.log1p(np.exp(x)), normal(5)),
        (ops.relu, lambda x: np.maximum(x, 0), normal(5)),
        (ops.var, np.var, normal(5, 3)),
        (ops.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), normal(3, 4)),
        (ops.log_softmax, lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)), normal(3, 4)),
        (lambda x: ops.squeeze(ops.unsqueeze(x, 1)), lambda x: x, normal(2, 3)),
        (lambda x: ops.matmul(x, x), lambda x: np.dot(x, x), normal(4)),
        (lambda x: ops.matmul(x, x[0]), lambda x: np.dot(x, x[0]), normal(4, 4)),
    ],
)
def test_values_are_numpys(ours, theirs, x):
    assert np.allclose(ours(x), theirs(x), rtol=1e-14)


def test_softmax_family_is_stable_for_large_inputs():
    x = np.array([[1e4, 0.0, -1e4]])
    assert np.array_equal(ops.softmax(x), [[1.0, 0.0, 0.0]])
    assert np.array_equal(ops.log_softmax(x), [[0.0, -1e4, -2e4]])
    assert ops.cross_entropy(x, labels=np.array([2])) == 2e4
    assert np.array_equal(ops.sigmoid(np.array([-1e4, 1e4])), [0.0, 1.0])


def test_a_tensor_cut_into_slices_gathers_its_gradient_in_one_buffer():
    """Not in a buffer for each slice: a loop over n steps of a sequence costs n, not n squared."""

    class Counting:
        zeros_made = 0

        def __getattr__(self, name):
            return getattr(np, name)

        def zeros(self, *args):
            self.zeros_made += 1
            return np.zeros(*args)

    xp = Counting()
    x = Tensor(normal(50, 2), replace(backends.get("numpy"), xp=xp), requires_grad=True)
    sum((x[t] * (t + 1.0) for t in range(50)), start=x[::-2].sum()).sum().backward()
    assert np.array_equal(x.grad[:, 0], np.arange(1.0, 51) + 2 * (np.arange(50) % 2))
    assert xp.zeros_made == 1


def test_a_slice_s_gradient_never_goes_into_an_array_of_somebody_else():
    g = np.ones((3, 2))
    x = Tensor(normal(3, 2), requires_grad=True)
    y = x + 0.0
    (ops.concatenate([y[1:], y[:1]]) + ops.add(y, 0.0)).backward(g)  # y receives g itself first, then slices
    assert np.array_equal(x.grad, np.full((3, 2), 2.0))
    assert np.array_equal(g, np.ones((3, 2)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("noise", [{}, *LSTM_NOISE], ids=", ".join)
def test_the_fused_lstm_is_its_reference(noise, reverse):
    composed = ops.lstm_sequence.reference(*LSTM, **noise, reverse=reverse)
    np.testing.assert_allclose(ops.lstm_sequence(*LSTM, **noise, reverse=reverse), composed, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("not_finite", [np.nan, np.inf])
@pytest.mark.parametrize("sequence", [ops.lstm_sequence, ops.lstm_sequence.reference])
def test_what_an_lstm_drops_cannot_spread(sequence, not_finite):
    """Unit 0 holds NaN or infinity where it is not selected, and nothing else shows it."""
    x, h, c, *weights = LSTM
    others = np.broadcast_to([False, True, True], (2, 3))
    bad = np.where(others, 0.0, not_finite)
    clean, fresh = sequence(x, h, c, *weights, memory=(others, 1.0)), np.broadcast_to(others, (3, 2, 3))
    assert np.array_equal(sequence(x, h, c + bad, *weights, memory=(others, 1.0)), clean)
    clean = sequence(x, h, c, *weights, zoneout=fresh)
    assert np.array_equal(sequence(x, h, c + bad, *weights, zoneout=fresh)[:-1], clean[:-1]), "zoned out in h, not in c"
    drop = {"state": (others, 2.0), "zoneout": ~np.zeros((3, 2, 3), bool)}
    assert np.array_equal(sequence(x, h + bad, c, *weights, **drop)[1:], sequence(x, h, c, *weights, **drop)[1:])


def test_joining_keeps_signs_and_names_what_does_not_fit():
    assert np.signbit(ops.concatenate([np.array([-0.0]), np.array([1.0])])[0])
    with pytest.raises(ValueError, match=r"concatenate: .*got shapes \(2,\), \(2, 1\)"):
        ops.concatenate([np.ones(2), np.ones((2, 1))])
    with pytest.raises(ValueError, match="concatenate: axis 1 does not exist"):
        ops.concatenate([np.ones(2), np.ones(2)], axis=1)
    with pytest.raises(TypeError, match="concatenate: tensors of two backends meet, numba and numpy"):
        ops.concatenate([Tensor(np.ones(2), "numpy"), Tensor(np.ones(2), "numba")])


def test_where_selects_and_does_not_multiply():
    a = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    ops.where(np.array([True, False]), a, 0.0).backward(np.array([1.0, np.inf]))
    assert np.array_equal(a.grad, [1.0, 0.0])


def test_activations_in_the_tails_and_at_the_kink():
    x = np.array([-np.inf, -40.0, 0.0, 40.0, np.inf])
    assert np.allclose(ops.normal_cdf(x), [0.0, 0.0, 0.5, 1.0, 1.0], rtol=1e-15)
    assert np.isnan(ops.normal_cdf(np.array(np.nan)))
    zero = Tensor(np.zeros(1), requires_grad=True)
    slopes = [grad(f(zero), [zero])[0].item() for f in (ops.leaky_relu, lambda x: ops.elu(x, 0.7), ops.gelu, ops.silu)]
    assert np.allclose(slopes, [0.01, 0.7, 0.5, 0.5], rtol=1e-15)  # PyTorch's at 0
    with pytest.raises(ValueError, match="gelu: approximate must be 'none' or 'tanh', got 'exact'"):
        ops.gelu(x, "exact")
