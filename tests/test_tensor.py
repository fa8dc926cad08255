"""The tape: walking, accumulating, freeing, recording."""

import copy
import gc
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import puredrop
from puredrop import Key, Tensor, checkpoint, dropout, grad, no_grad, ops
from puredrop.tensor import PRIMITIVES, Node, operation, primitive


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def test_a_chain_of_20000_nodes():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
    y.backward()
    assert np.allclose(x.grad, 1.0001**20_000)


def test_a_long_chain_is_freed_without_recursion():
    y = leaf(1.0)
    for _ in range(200_000):
        y = y + 1.0
    del y  # would overflow the C stack if nodes were freed one inside the other
    assert sum(type(thing) is Node for thing in gc.get_objects()) < 100


def test_diamonds_accumulate():
    x = leaf(3.0)
    y = x * x
    (y * y + y + x).sum().backward()
    assert np.allclose(x.grad, 4 * 27 + 6 + 1)


def test_backward_adds_up_until_zeroed():
    x = leaf(1.0, 2.0)
    for _ in range(2):
        (x * 3).sum().backward()
    assert np.array_equal(x.grad, [6.0, 6.0])
    x.grad = None
    (x * 3).sum().backward()
    assert np.array_equal(x.grad, [3.0, 3.0])


def test_gradients_of_two_leaves_are_never_the_same_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = np.ones(2)
    (a + b).backward(g)
    assert not np.shares_memory(a.grad, b.grad)
    assert not np.shares_memory(a.grad, g)
    a.grad += 1
    assert np.array_equal(b.grad, [1.0, 1.0])


def test_a_broadcast_gradient_is_writable():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad += 1
    assert np.array_equal(x.grad, [2.0, 2.0])


def test_accumulation_never_writes_into_a_saved_array():
    """g reaches x by two ways; neither the gradient handed in nor a saved activation may change."""
    x, w = leaf(1.0, 2.0), np.array([5.0, 7.0])
    g = np.array([1.0, 1.0])
    (x + x * w + x * w).backward(g)
    assert np.array_equal(x.grad, [11.0, 15.0])
    assert np.array_equal(g, [1.0, 1.0])
    assert np.array_equal(w, [5.0, 7.0])


def test_grad_gives_arrays_that_nobody_else_holds():
    u, v, g = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    by_u, by_v = grad(u + v, [u, v], g)
    by_u += 1
    assert np.array_equal(by_v, [1.0, 1.0])
    assert np.array_equal(g, [1.0, 1.0])
    [by_sum] = grad(u.sum(), [u])
    by_sum += 1
    with pytest.raises(TypeError, match=r"xs must be a list of tensors; write grad\(y, \[x\]\)"):
        grad(u.sum(), u)
    with pytest.raises(TypeError, match="xs must be a list of tensors"):
        grad(u.sum(), [np.ones(2)])


@pytest.mark.parametrize("gradient", [Tensor([1.0, 2.0]), [1.0, 2.0], np.array([1.0, 2.0])])
def test_a_gradient_may_be_a_tensor_or_a_list(gradient):
    x = leaf(3.0, 4.0)
    (x * 2).backward(gradient)
    assert np.array_equal(x.grad, [2.0, 4.0])


def test_a_gradient_that_is_a_scalar_stays_an_array_of_numpy():
    """The gradient of a sum is an np.float64: the walk must not take it for a constant of the user's."""
    x = leaf(1.0, 2.0)
    (x.sum() * 2.0).backward()
    assert np.array_equal(x.grad, [2.0, 2.0])
    [first] = grad((x[0] * x.sum() * 3.0), [x], create_graph=True)
    [second] = grad((first * first).sum(), [x])
    assert np.array_equal(second, [162.0, 72.0])


def test_scalars_of_numpy_do_not_widen():
    x = Tensor([1.0, 2.0])
    for y in (x * np.int64(2), x ** np.float64(2), np.float64(2) * x, x / np.int32(3), x[Tensor([0, 0])]):
        assert y.dtype == np.float32
    with pytest.raises(TypeError, match="power: the exponent must be a number, got Tensor"):
        x**x


def test_third_derivative():
    x = leaf(0.3)
    y = x.tanh().sum()
    for _ in range(3):
        [y] = grad(y, [x], create_graph=True)
        y = y.sum()
    t = np.tanh(0.3)
    assert np.isclose(y.item(), (1 - t * t) * (6 * t * t - 2))


def test_grad_of_an_intermediate_and_of_an_unrelated_tensor():
    x, other = leaf(2.0), leaf(1.0)
    h = x * x
    by_h, by_x, by_other = grad((h * h).sum(), [h, x, other])
    assert (by_h[0], by_x[0], by_other[0]) == (8.0, 32.0, 0.0)


def test_float64_constants_do_not_widen_a_float32_leaf():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = x * np.float64(2) + np.sqrt(2.0) * x
    assert y.dtype == np.float32
    (x * np.ones(2)).sum().backward()
    assert x.grad.dtype == np.float32


def test_lists_become_float32_and_arrays_stay():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(np.ones(2)).dtype == np.float64
    assert Tensor([1, 2]).dtype.kind == "i"


@pytest.mark.parametrize("data", [[1, 2], np.ones(2, bool)])
def test_only_floats_have_gradients(data):
    with pytest.raises(TypeError, match="only floating-point data has a gradient"):
        Tensor(data, requires_grad=True)


def test_a_freed_graph_says_so():
    y = (leaf(1.0) * leaf(2.0)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="earlier backward pass freed this graph"):
        y.backward()


def test_a_result_of_many_elements_needs_a_gradient():
    with pytest.raises(RuntimeError, match=r"result of shape \(2,\) needs a gradient"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(ValueError, match=r"gradient's shape \(3,\) is not the result's shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(np.ones(3))


def test_a_constant_has_no_backward():
    with pytest.raises(RuntimeError, match="does not depend on any tensor with requires_grad"):
        Tensor([1.0]).sum().backward()


def test_grad_cannot_be_set_off_a_leaf():
    with pytest.raises(AttributeError, match="only a leaf"):
        Tensor([1.0]).grad = np.ones(1)


def test_no_grad_is_per_thread():
    x, seen = leaf(1.0), []
    with no_grad():
        assert not (x * 2).requires_grad
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]
    assert (x * 2).requires_grad


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_drop_the_graph(again):
    x = leaf(1.0, 2.0)
    y = again(x * 2)
    assert np.array_equal(y.data, [2.0, 4.0])
    (y * y).sum().backward()
    assert np.array_equal(y.grad, [4.0, 8.0])
    assert x.grad is None


def test_an_activation_before_a_dropout_is_free_at_once(backend):
    """After add -> dropout -> sum, the input is all that lives: a dropout keeps its key and no array."""
    dropout(Tensor(np.ones(10, np.float32), backend), 0.5, key=Key(1))  # compiles
    tracemalloc.start()
    x = Tensor(np.ones((500, 500), np.float32), backend, requires_grad=True)
    h = x + 1.0
    d = dropout(h, 0.5, key=Key(1))
    del h
    total = d.sum()
    del d
    alive = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert alive < 1.05 * x.data.nbytes
    total.backward()
    assert x.grad.shape == x.shape


def test_backward_leaves_no_reference_cycles():
    def step():
        x = leaf(1.0, 2.0)
        dropout((x * x).tanh(), 0.5, key=Key(0)).sum().backward()

    step()  # compiles, which leaves cycles of its own
    gc.collect()
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_backward_frees_as_it_goes():
    """Twenty tanh of one size: the walk must not hold all their gradients."""
    x = Tensor(np.ones(100_000), requires_grad=True)
    y = x
    for _ in range(20):
        y = y.tanh()
    y = y.sum()
    tracemalloc.start()
    y.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * x.data.nbytes


def test_rules_name_what_they_save():
    """A rule that asks for something the primitive does not have is refused when it is written."""
    with pytest.raises(ValueError, match="nothing"):
        primitive(x=lambda g, nothing: g)(lambda backend, x: x)
    assert "relu" in PRIMITIVES


def test_what_a_numpy_or_pytorch_user_tries_first():
    x = Tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], requires_grad=True)
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2, 3), 2, 6, 2, np.float32)
    assert x.T.shape == (3, 2)
    assert x.reshape(3, 2).shape == x.view((3, 2)).shape == (3, 2)
    assert x.flatten().shape == (6,)
    assert x.unsqueeze(0).squeeze().shape == (2, 3)
    assert [row.tolist() for row in x][1] == [4.0, 5.0, -6.0]
    assert x.sum().item() == float(x.sum()) == 5.0
    assert x.argmax(1).tolist() == [2, 1]
    assert (x > 0).sum() == 4
    assert (x == 1.0).any()
    assert np.asarray(x).shape == (2, 3)
    assert x.double().dtype == np.float64
    assert bool(x.sum() > 0)
    assert (np.ones((2, 3)) * x).requires_grad
    assert (2 - x + x / 2 - x**2 + abs(x)).requires_grad
    assert not x.detach().requires_grad
    assert x.to("numpy").backend.name == "numpy"
    assert "requires_grad=True" in repr(x)
    assert {x: 1}[x] == 1
    assert f"{x.sum():.2f}" == "5.00"
    assert int(x.sum()) == 5
    assert "sum over" in Tensor.sum.__doc__
    for nonsense in ("abc", None):
        with pytest.raises(TypeError, match="data must be numbers"):
            Tensor(nonsense)


# ------------------------------------------------------------------------------------------------------- checkpoint
def test_checkpoint_reaches_captured_parameters_and_keeps_no_activation():
    w = Tensor(np.full(1000, 2.0), requires_grad=True)
    x = Tensor(np.full(1000, 3.0), requires_grad=True)

    def f(x):
        return dropout((x * w).tanh().exp() * w, 0.5, key=Key(1))

    plain = grad(f(x).sum(), [x, w])
    tracemalloc.start()
    y = checkpoint(f, x)
    alive = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert alive < 1.5 * x.data.nbytes, "only the result is alive"
    for a, b in zip(plain, grad(y.sum(), [x, w]), strict=True):
        assert np.array_equal(a, b)


def test_checkpoint_gives_partial_derivatives_where_inputs_depend_on_each_other():
    x = leaf(0.5)

    def f(x, h):
        return x * h.exp()

    [plain] = grad(f(x, x * x).sum(), [x])
    [again] = grad(checkpoint(f, x, x * x).sum(), [x])
    assert np.array_equal(plain, again)


def test_checkpoint_second_derivative():
    x = leaf(0.7)
    [first] = grad(checkpoint(lambda x: x * x * x, x).sum(), [x], create_graph=True)
    [second] = grad(first.sum(), [x])
    assert np.isclose(second[0], 6 * 0.7)


def test_nested_checkpoints_of_a_model_draw_once():
    from puredrop import nn

    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4), nn.Dropout(0.5)).seed(3)
    x = Tensor(np.ones((5, 4), np.float32), requires_grad=True)
    plain = grad(net(x).sum(), [x, *net.parameters()])
    net.seed(3)
    y = checkpoint(lambda x: checkpoint(net, x) * 1.0, x)
    after = net.random_state()
    again = grad(y.sum(), [x, *net.parameters()])
    assert net.random_state() == after == {"1": (3, 0, 1), "3": (3, 1, 1)}
    assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))


def test_checkpoint_replays_masks_of_other_sources_after_they_are_gone():
    x = leaf(1.0, 2.0, 3.0)
    mask = np.array([True, False, True])
    with puredrop.draw_from(puredrop.streams.Given([mask])):
        y = checkpoint(lambda x: dropout(x * x, 0.5), x)
    y.sum().backward()
    assert np.array_equal(x.grad, [4.0, 0.0, 12.0])


def test_checkpoint_replays_an_rng():
    rng, x = puredrop.Rng(3), Tensor(np.ones(50), requires_grad=True)
    y = checkpoint(lambda x: dropout(x, 0.5, key=rng.next_key()), x)
    y.sum().backward()
    assert np.array_equal(x.grad, y.data)
    assert rng.step == 1


@pytest.mark.parametrize(("first", "second", "word"), [(1, 2, "more"), (2, 1, "less")])
def test_checkpoint_notices_a_function_that_draws_otherwise_the_second_time(first, second, word):
    rng, counts = puredrop.Rng(3), iter((first, second))

    def f(x):
        for _ in range(next(counts)):
            x = dropout(x, 0.5, key=rng.next_key())
        return x

    y = checkpoint(f, leaf(1.0, 2.0))
    with pytest.raises(RuntimeError, match=f"the function drew {word} when it was run again"):
        y.sum().backward()


def test_checkpoint_needs_one_tensor():
    with pytest.raises(TypeError, match="must return one tensor, got tuple"):
        checkpoint(lambda x: (x, x), leaf(1.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: a + b, r"add: .*; got shapes \(2,\), \(3,\)"),
        (lambda a, b: a @ b, r"matmul: .*; got shapes \(1, 2\), \(3, 1\)"),
        (lambda a, b: a.reshape(3), r"reshape: .*; got shapes \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_name_the_operation(call, message):
    with pytest.raises(ValueError, match=message):
        call(leaf(1.0, 2.0), leaf(1.0, 2.0, 3.0))


def test_ops_are_listed():
    assert set(ops.__all__) <= set(dir(ops))


def test_a_node_knows_the_name_of_its_primitive():
    x = leaf(1.0, 2.0)
    named = [x + x, x @ x, dropout(x, 0.5, key=Key(1)), checkpoint(lambda x: x * x, x), x]
    assert [operation(y.node) for y in named] == ["add", "reshape", "drop", "", ""]
