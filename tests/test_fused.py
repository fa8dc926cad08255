"""A fused primitive: its own gradient in the ordinary walk, its reference's under create_graph."""

import numpy as np
import pytest

from puredrop import Tensor, grad, gradcheck, no_grad, ops
from puredrop.tensor import PRIMITIVES, composed, fused, operation

R = np.random.default_rng(0)
CALLS = []


def squashed(a, b, *, scale):
    """tanh(a * b) * scale, composed."""
    return ops.tanh(a * b) * scale


@fused(squashed)
def _squash(backend, a, b, *, scale):
    t = backend.xp.tanh(a * b)

    def pull(g, needed):
        CALLS.append(needed)
        d = g * (1 - t * t) * scale
        return d * b if needed[0] else None, d * a if needed[1] else None

    return t * scale, pull


del PRIMITIVES["_squash"]  # it belongs to this file


def test_gradients_of_both_orders():
    errors = gradcheck(lambda a, b: _squash(a, b, scale=0.7), R.standard_normal((3, 4)), R.standard_normal((3, 4)))
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_second_order_is_right_where_inputs_depend_on_one_another():
    errors = gradcheck(lambda a: _squash(a, a * a, scale=0.7) * _squash(a, a, scale=2.0), R.standard_normal(5))
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_a_wrong_pull_is_seen_by_gradcheck_and_only_first_order_uses_it():
    @fused(squashed)
    def wrong(backend, a, b, *, scale):
        return backend.xp.tanh(a * b) * scale, lambda g, needed: (g, g)

    del PRIMITIVES["wrong"]
    x = R.standard_normal(4)
    assert gradcheck(lambda a: wrong(a, a, scale=0.7), x, second=False).first > 0.1
    a = Tensor(x, requires_grad=True)
    [first] = grad(wrong(a, a, scale=0.7).sum(), [a], create_graph=True)
    [expected] = grad(squashed(a, a, scale=0.7).sum(), [a])
    assert np.allclose(first.data, expected, rtol=1e-14)


def test_one_pull_serves_all_arguments_and_is_told_what_is_needed():
    a, b = Tensor(np.ones(2), requires_grad=True), Tensor(np.ones(2))
    CALLS.clear()
    _squash(a, b, scale=1.0).sum().backward()
    b.requires_grad = True
    _squash(a, b, scale=1.0).sum().backward()
    assert CALLS == [[True, False], [True, True]]


def test_broadcast_arguments_are_summed_out():
    errors = gradcheck(lambda a, b: _squash(a, b, scale=1.0), R.standard_normal((3, 4)), R.standard_normal(4))
    assert errors.first < 1e-6


def test_arrays_in_arrays_out_and_nothing_recorded_without_gradients():
    assert isinstance(_squash(np.ones(2), np.ones(2), scale=1.0), np.ndarray)
    with no_grad():
        assert _squash(Tensor(np.ones(2), requires_grad=True), np.ones(2), scale=1.0).node is None
    assert _squash(Tensor(np.ones(2)), np.ones(2), scale=1.0).node is None


def test_two_backends_must_not_meet():
    with pytest.raises(TypeError, match="squash: tensors of two backends meet, numba and numpy"):
        _squash(Tensor(np.ones(2), "numpy"), Tensor(np.ones(2), "numba"), scale=1.0)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"squash: .*got shapes \(2,\), \(3,\)"):
        _squash(Tensor(np.ones(2)), np.ones(3), scale=1.0)


def test_the_graph_of_a_composed_run_has_every_step():
    a = Tensor(np.ones(2), requires_grad=True)
    with composed():
        steps = _squash(a, a, scale=1.0)
        assert np.array_equal(_squash(np.ones(2), np.ones(2), scale=1.0), steps.data)
    assert operation(steps.node) == "multiply"
    assert operation(_squash(a, a, scale=1.0).node) == "_squash"


def test_a_graph_is_freed_by_backward():
    a = Tensor(np.ones(2), requires_grad=True)
    y = _squash(a, a, scale=1.0).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed this graph"):
        y.backward()
