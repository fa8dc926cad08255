"""Normalisation: values, gradients and running statistics are PyTorch's; modes and recomputation are this package's."""

import copy
import pickle

import numpy as np
import pytest

import puredrop
from puredrop import Tensor, gradcheck, nn, ops
from puredrop.gradcheck import relative_error
from puredrop.random.passes import Pass, entered
from puredrop.uncertainty import predict_samples

R = np.random.default_rng(0)
SHAPES = {"BatchNorm1d": [(6, 4), (3, 4, 5)], "BatchNorm2d": [(2, 4, 3, 5)], "BatchNorm3d": [(2, 4, 3, 2, 2)]}
BATCH_NORMS = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]
STATISTICS = ("running_mean", "running_var")


def in_float64(layer):
    """The layer with all its numbers redrawn, in float64."""
    for _, array in layer.seed(0).named_state():
        if array.dtype == np.float32:
            wanted, array.requires_grad = array.requires_grad, False
            array.data = 0.5 + R.random(array.shape)
            array.requires_grad = wanted
    return layer


def like_pytorch(torch, layer, name, *arguments, **options):
    """PyTorch's layer with the same numbers."""
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in layer.state_dict().items()})
    return theirs


def assert_same_step(torch, ours, theirs, x):
    """One pass and its gradients; the loss weighs the elements unequally, for the plain sum has no gradient."""
    weights = R.standard_normal(x.shape)
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    ours.zero_grad(), theirs.zero_grad()
    (y * weights).sum().backward(), (z * torch.tensor(weights)).sum().backward()
    pairs = [(y.data, z.detach().numpy()), (a.grad, b.grad.numpy())]
    pairs += [(p.grad, q.grad.numpy()) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    pairs += list(zip(ours.state_dict().values(), (v.numpy() for v in theirs.state_dict().values()), strict=True))
    assert max(relative_error(mine, yours) for mine, yours in pairs) < 1e-12


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"momentum": 0.3, "eps": 1e-2}, {"affine": False}])
@pytest.mark.parametrize(("name", "shape"), BATCH_NORMS)
def test_batch_norm_equals_pytorchs(torch, name, shape, options):
    ours = in_float64(getattr(nn, name)(4, **options))
    theirs = like_pytorch(torch, ours, name, 4, **options)
    for _ in range(3):
        assert_same_step(torch, ours, theirs, 3 + 2 * R.standard_normal(shape))
    assert int(ours.num_batches_tracked) == 3
    ours.eval(), theirs.eval()
    assert_same_step(torch, ours, theirs, R.standard_normal(shape))
    assert int(ours.num_batches_tracked) == 3


def test_batch_norm_without_running_statistics_equals_pytorchs(torch):
    ours = in_float64(nn.BatchNorm1d(4, track_running_stats=False))
    theirs = like_pytorch(torch, ours, "BatchNorm1d", 4, track_running_stats=False)
    assert list(ours.state_dict()) == ["weight", "bias"]
    for mode in ("train", "eval"):
        getattr(ours, mode)(), getattr(theirs, mode)()
        assert_same_step(torch, ours, theirs, R.standard_normal((5, 4)))


@pytest.mark.parametrize("options", [{}, {"eps": 0.1}, {"affine": False}])
@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 5), (2, 6, 3, 2)])
def test_group_norm_equals_pytorchs(torch, shape, options):
    ours = in_float64(nn.GroupNorm(3, 6, **options))
    assert_same_step(torch, ours, like_pytorch(torch, ours, "GroupNorm", 3, 6, **options), R.standard_normal(shape))


@pytest.mark.parametrize("options", [{}, {"eps": 0.1}, {"elementwise_affine": False}, {"bias": False}])
@pytest.mark.parametrize("normalized", [4, (3, 4)])
def test_layer_norm_equals_pytorchs(torch, normalized, options):
    ours = in_float64(nn.LayerNorm(normalized, **options))
    theirs = like_pytorch(torch, ours, "LayerNorm", normalized, **options)
    assert_same_step(torch, ours, theirs, 5 + R.standard_normal((2, 3, 4)))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (4, 3)),
        (nn.BatchNorm2d(2), (2, 2, 2, 2)),
        (nn.BatchNorm1d(3).eval(), (4, 3)),
        (nn.LayerNorm((2, 3)), (2, 2, 3)),
        (nn.GroupNorm(2, 4), (2, 4, 3)),
    ],
)
def test_first_and_second_gradients(layer, shape, backend):
    layer.seed(0)

    def f(x, weight, bias):
        layer.weight, layer.bias = weight, bias
        return layer.forward(x)

    inputs = R.standard_normal(shape), R.random(layer.weight.shape), R.random(layer.weight.shape)
    errors = gradcheck(f, *inputs, backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_float32_stays_float32(backend):
    for layer in (nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=None), nn.LayerNorm(4), nn.GroupNorm(2, 4)):
        layer.to(backend).seed(0)
        x = Tensor(R.standard_normal((5, 4)).astype(np.float32), backend, requires_grad=True)
        y = layer(x)
        y.sum().backward()
        assert {y.dtype, x.grad.dtype, *(p.grad.dtype for p in layer.parameters())} == {np.dtype(np.float32)}
        assert {value.dtype for value in layer.state_dict().values()} <= {np.dtype(np.float32), np.dtype(np.int64)}
        assert y.backend is backend


def model():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).seed(1)
    for _ in range(3):
        net(X)
    return net


X = (2 + R.standard_normal((16, 4))).astype(np.float32)


def statistics(net):
    return {name: buffer.numpy().tobytes() for name, buffer in net.named_buffers()}


def test_the_running_statistics_move_in_train_mode_only():
    net = model()
    before = statistics(net)
    net.eval()(X), net.sample()(X)
    with entered(Pass(mode="sample")):
        net.train()(X)
    predict_samples(net, X, samples=5)
    assert statistics(net) == before
    net(X)
    moved = statistics(net)
    assert all(moved[name] != before[name] for name in before)


def test_a_pass_of_another_mode_counts_before_the_layers_own():
    net = model()
    expected = net.eval()[1](net[0](X)).numpy()
    with entered(Pass(mode="eval")):
        assert np.array_equal(net.train()[1](net[0](Tensor(X))).numpy(), expected)
    assert not np.array_equal(net[1](net[0](X)).numpy(), expected)


def test_samples_differ_by_dropout_alone():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5)).seed(0)
    net(X)
    y = predict_samples(net, X, samples=20)
    kept = 2 * net.eval()(X).numpy()
    assert np.array_equal(y, np.where(y == 0, 0, np.broadcast_to(kept, y.shape)))


def test_predicting_in_the_middle_of_training_changes_nothing():
    plain, disturbed = model(), model()
    predict_samples(disturbed, X, samples=3)
    assert np.array_equal(plain(X).numpy(), disturbed(X).numpy())
    assert statistics(plain) == statistics(disturbed)


def test_a_recomputation_moves_no_running_statistics():
    plain, thrifty = model(), model()
    plain(X).sum().backward()
    x = Tensor(X, requires_grad=True)
    with entered(Pass()):
        y = puredrop.checkpoint(thrifty, x).sum()
    assert statistics(plain) == statistics(thrifty)
    thrifty.eval()  # what counts is how the first run went
    y.backward()
    assert statistics(plain) == statistics(thrifty)
    for p, q in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert np.array_equal(p.grad, q.grad)


def test_a_recomputation_uses_the_statistics_of_the_first_run():
    net = model().eval()
    gradients = []
    for disturb in (False, True):
        x = Tensor(X, requires_grad=True)
        with entered(Pass()):
            y = puredrop.checkpoint(net, x).sum()
        if disturb:
            net.train()(5 * X)
        y.backward()
        gradients.append(x.grad)
    assert np.array_equal(*gradients)


def test_buffers_are_state_and_not_learned(torch):
    net = model()
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout())
    assert list(net.state_dict())[:7] == list(theirs.state_dict())
    assert [name for name, _ in net.named_buffers()] == [f"1.{n}" for n in (*STATISTICS, "num_batches_tracked")]
    assert not any(isinstance(p, nn.Buffer) for p in net.parameters())
    assert int(net.state_dict()["1.num_batches_tracked"]) == 3


def test_buffers_are_loaded_checked_and_reset():
    net, other = model(), nn.Sequential(*(layer for layer in model())).reset_parameters(0)
    fresh = nn.BatchNorm1d(8).state_dict()
    assert all(np.array_equal(other.state_dict()[f"1.{name}"], fresh[name]) for name in STATISTICS)
    other.load_state_dict(net.state_dict())
    assert statistics(other) == statistics(net)
    assert np.array_equal(net.eval()(X).numpy(), other.eval()(X).numpy())
    state = net.state_dict()
    del state["1.running_mean"]
    state["1.running_var"] = np.ones(7)
    with pytest.raises(ValueError, match=r"missing 1\.running_mean; 1\.running_var has shape \(7,\), expected \(8,\)"):
        other.load_state_dict(state)
    assert statistics(other) == statistics(net)


def test_a_state_dict_does_not_follow_the_running_statistics():
    net = model()
    state = net.state_dict()
    before = {name: value.copy() for name, value in state.items()}
    net(X)
    assert all(np.array_equal(state[name], before[name]) for name in state)


def test_a_later_seed_leaves_the_running_statistics():
    net = model()
    before = statistics(net)
    assert statistics(net.seed(9)) == before


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_running_statistics_of_its_own(again):
    net = model()
    twin = again(net)
    before = statistics(net)
    twin(X)
    assert statistics(net) == before
    net(X)
    assert statistics(net) == statistics(twin)
    fresh = nn.BatchNorm1d(8).state_dict()
    assert np.array_equal(twin.reset_parameters(0)[1].running_var.numpy(), fresh["running_var"])


def test_they_move_with_the_model_and_stay_when_saved(backend, tmp_path):
    net = model()
    moved = copy.deepcopy(net).to(backend)
    assert {buffer.backend for _, buffer in moved.named_buffers()} == {backend}
    assert relative_error(moved(X).numpy(), net(X).numpy()) < 1e-5
    nn.save(tmp_path / "model.safetensors", moved)
    loaded = model().reset_parameters(5)
    nn.load(tmp_path / "model.safetensors", loaded)
    assert statistics(loaded) == statistics(moved)
    assert loaded[1].num_batches_tracked.shape == ()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm1d(4), (2, 4, 3, 3), r"BatchNorm1d: x must be \(N, C\) or \(N, C, L\), got shape \(2, 4, 3, 3\)"),
        (nn.BatchNorm2d(4), (2, 4), r"BatchNorm2d: x must be \(N, C, H, W\), got shape \(2, 4\)"),
        (nn.BatchNorm3d(4), (4,), r"BatchNorm3d: x must be \(N, C, D, H, W\), got shape \(4,\)"),
        (nn.BatchNorm1d(4), (2, 5), r"BatchNorm1d: axis 1 of x must have 4 channels, got shape \(2, 5\)"),
        (nn.BatchNorm1d(4), (1, 4), r"two values or more for each channel, got x of shape \(1, 4\); give more"),
        (nn.BatchNorm2d(4), (0, 4, 2, 2), "two values or more for each channel"),
        (nn.GroupNorm(2, 4), (4,), r"GroupNorm: x must be \(N, C, ...\), got shape \(4,\)"),
        (nn.GroupNorm(2, 4), (2, 6), "GroupNorm: axis 1 of x must have 4 channels"),
        (nn.LayerNorm((3, 4)), (2, 4), r"LayerNorm: the last axes of x must be \(3, 4\), got shape \(2, 4\)"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, message):
    before = statistics(layer.seed(0))
    with pytest.raises(ValueError, match=message):
        layer(np.ones(shape, np.float32))
    assert statistics(layer) == before


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features must be 1 or more, got 0"),
        (lambda: nn.BatchNorm1d(4, eps=-1), ValueError, r"BatchNorm1d: eps must lie in \[0, inf\], got -1"),
        (lambda: nn.LayerNorm(4, eps=None), TypeError, "LayerNorm: eps must be a number, got None"),
        (lambda: nn.BatchNorm1d(4, momentum=1.5), ValueError, r"BatchNorm1d: momentum must lie in \[0, 1\], got 1.5$"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "GroupNorm: 4 channels do not make 3 equal groups"),
        (lambda: nn.LayerNorm(()), ValueError, "LayerNorm: normalized_shape must have one axis or more"),
        (lambda: nn.IndependentComponent(nn.Linear(2, 2)), TypeError, "norm must be batch normalisation, got Linear"),
    ],
)
def test_options_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="BatchNorm1d: x must be floating-point, got dtype int64"):
        nn.BatchNorm1d(4).seed(0)(np.ones((2, 4), np.int64))


def test_one_example_is_enough_in_eval_mode():
    net = model().eval()
    assert np.allclose(net(X[:1]).numpy(), net(X).numpy()[:1], rtol=1e-5)


def test_group_norm_of_one_channel_a_group_is_its_own_batch_norm():
    x = R.standard_normal((1, 4, 6))
    y, _, _ = ops.standardise(x, (0, 2))
    assert relative_error(ops.group_norm(x, 4), y) < 1e-14


def test_the_independent_component_layer_is_batch_norm_and_then_dropout():
    layer = nn.IndependentComponent(nn.BatchNorm1d(4), p=0.5).seed(3)
    y = layer(X).numpy()
    norm = nn.BatchNorm1d(4).seed(0)
    expected = norm(X)
    keep = puredrop.keep_mask(puredrop.Key(3), X.shape, 0.5)
    assert np.array_equal(y, np.where(keep, 2 * expected.numpy(), 0))
    assert statistics(layer.norm) == statistics(norm)
    assert np.array_equal(layer.eval()(X).numpy(), norm.eval()(X).numpy())
