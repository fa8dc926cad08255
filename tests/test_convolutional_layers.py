"""Convolutional networks: the door, memory, modes, many samples at once, recomputation, all masks, known networks."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import puredrop
from puredrop import Tensor, nn, ops
from puredrop.gradcheck import relative_error
from puredrop.random.passes import Pass, entered
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import predict_samples
from puredrop.variants.schedules import LinearRamp

R = np.random.default_rng(0)
X = R.standard_normal((4, 2, 8, 8)).astype(np.float32)

DOOR = [
    (lambda: nn.Conv2d(0, 4, 3), ValueError, "Conv2d: inputs must be 1 or more, got 0"),
    (lambda: nn.Conv2d(2, 4, 0), ValueError, "Conv2d: kernel must be 1 or more, got 0"),
    (lambda: nn.Conv2d(2, 4, 2.0), TypeError, "Conv2d: kernel must be a whole number, or one for each spatial axis"),
    (lambda: nn.Conv2d(2, 4, True), TypeError, "Conv2d: kernel must be a whole number, or one for each spatial axis"),
    (lambda: nn.Conv2d(2, 4, (3, 3, 3)), ValueError, "Conv2d: kernel has 3 numbers for 2 spatial axes"),
    (lambda: nn.Conv2d(2, 4, 3, stride=0), ValueError, "Conv2d: stride must be 1 or more"),
    (lambda: nn.Conv2d(2, 4, 3, padding=-1), ValueError, "Conv2d: padding must be 0 or more, got -1"),
    (lambda: nn.Conv2d(2, 4, 3, padding="full"), ValueError, "padding must be whole numbers, 'same' or 'valid'"),
    (lambda: nn.Conv2d(2, 4, 3, stride=2, padding="same"), ValueError, "padding='same' needs stride 1, got (2, 2)"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "2 groups do not divide 3 input and 4 output channels"),
    (lambda: nn.Conv2d(2, 4, 3).seed(0)(X[0]), ValueError, "x must be (N, 2, and 2 spatial axes), got shape (2, 8, 8)"),
    (lambda: nn.Conv2d(3, 4, 3).seed(0)(X), ValueError, "axis 1 of x must have 3 channels"),
    (lambda: nn.Conv2d(2, 4, 9).seed(0)(X), ValueError, "extends over (9, 9) does not fit a map of (8, 8)"),
    (lambda: nn.Conv2d(2, 4, 5, dilation=2).seed(0)(X), ValueError, "extends over (9, 9) does not fit"),
    (lambda: nn.Conv2d(2, 4, 3).seed(0)(X.astype(int)), TypeError, "Conv2d: x must be floating-point"),
    (lambda: nn.ConvTranspose2d(2, 4, 3, padding="same"), TypeError, "padding must be whole numbers, got 'same'"),
    (
        lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=2).seed(0)(X),
        ValueError,
        "output_padding must be below stride or dilation, got (2, 2)",
    ),
    (lambda: nn.ConvTranspose2d(2, 4, 1, padding=4).seed(0)(X), ValueError, "nothing is left of x (4, 2, 8, 8)"),
    (lambda: nn.MaxPool2d(2)(X[0]), ValueError, "MaxPool2d: x must be (N, C, and 2 spatial axes)"),
    (lambda: nn.MaxPool2d(9)(X), ValueError, "MaxPool2d: a kernel that extends over (9, 9) does not fit"),
    (lambda: nn.AvgPool2d(2, padding=2)(X), ValueError, "padding must be at most half of what the kernel extends over"),
    (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "AdaptiveAvgPool2d: size must be 1 or more"),
    (lambda: nn.AdaptiveMaxPool2d((2, 2, 2)), ValueError, "size has 3 numbers for 2 spatial axes"),
    (lambda: nn.AdaptiveAvgPool2d(2)(X[:, :, :0]), ValueError, "the map is empty: x has shape (4, 2, 0, 8)"),
    (lambda: nn.BasicBlock(2, 2, depth_p=1.5), ValueError, "p must lie in [0, 1], got 1.5"),
    (lambda: nn.ResNet(nn.BasicBlock, (1, 0), 3), ValueError, "every number of blocks must be 1 or more, got 0"),
    (lambda: nn.ResNet(nn.BasicBlock, (), 3), ValueError, "ResNet: blocks must have one stage or more, got ()"),
    (lambda: nn.ResNet(nn.BasicBlock, (1,), 3, stem="x"), ValueError, "stem must be 'imagenet' or 'cifar', got 'x'"),
]


@pytest.mark.parametrize(("call", "error", "says"), DOOR, ids=[says for *_, says in DOOR])
def test_what_does_not_fit_is_said_at_the_door(call, error, says):
    with pytest.raises(error, match=re.escape(says)):
        call()


@st.composite
def convolutions(draw):
    """A layer's options and a map, of which some do not fit one another."""
    one_each = st.tuples(*(st.integers(1, 3),) * 2)
    groups = draw(st.integers(1, 2))
    options = {name: draw(one_each) for name in ("stride", "dilation")} | {"groups": groups}
    options["padding"] = draw(st.tuples(*(st.integers(0, 2),) * 2))
    channels = [groups * draw(st.integers(1, 2)) for _ in range(2)]
    return channels, draw(one_each), options, draw(st.tuples(*(st.integers(1, 6),) * 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions(), st.booleans(), st.booleans())
def test_any_options_give_pytorchs_values_and_gradients(case, transposed, batch_last):
    torch = pytest.importorskip("torch")
    (inputs, outputs), kernel, options, size = case
    name = "ConvTranspose2d" if transposed else "Conv2d"
    layer, theirs = (getattr(lib, name)(inputs, outputs, kernel, **options) for lib in (nn, torch.nn))
    layer.seed(0).astype(np.float64)
    theirs.double().load_state_dict({n: torch.tensor(v) for n, v in layer.state_dict().items()})
    data = R.standard_normal((*size, inputs, 2)).transpose(3, 2, 0, 1) if batch_last else None
    data = R.standard_normal((2, inputs, *size)) if data is None else data
    x, z = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    try:
        expected = theirs(z)
    except RuntimeError:
        with pytest.raises(ValueError, match=r"does not fit a map|nothing is left"):
            layer(x)
        return
    y = layer(x)
    g = R.standard_normal(y.shape)
    y.backward(g), expected.backward(torch.tensor(g))
    assert relative_error(y.data, expected.detach().numpy()) < 1e-12
    for ours, pytorchs in [(x, z), (layer.weight, theirs.weight), (layer.bias, theirs.bias)]:
        assert relative_error(ours.grad, pytorchs.grad.numpy()) < 1e-12


@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_maps_taken_in_parts_give_what_they_give_whole(rows, monkeypatch):
    """A large map goes through the cache some rows at a time."""
    layer, x = nn.Conv2d(2, 3, 3, stride=2, padding=1).seed(0).astype(np.float64), X.astype(np.float64)
    back = nn.ConvTranspose2d(3, 2, 3, stride=2).seed(0).astype(np.float64)

    def run():
        given = Tensor(x, requires_grad=True)
        y = back(layer(given))
        layer.zero_grad(), back.zero_grad()
        (y * y).sum().backward()
        return [y.data, given.grad, *(p.grad for p in (*layer.parameters(), *back.parameters()))]

    whole = run()
    monkeypatch.setitem(ops.convolution.__globals__, "ELEMENTS_AT_ONCE", rows * 2 * 9 * 4 * 4)
    assert max(relative_error(a, b) for a, b in zip(run(), whole, strict=True)) < 1e-13


LAYERS = [
    nn.Conv2d(2, 3, 3, padding=1),
    nn.Conv2d(2, 3, 1),
    nn.ConvTranspose2d(2, 3, 2, stride=2),
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.AvgPool2d(2),
    nn.AdaptiveAvgPool2d(3),
    nn.AdaptiveMaxPool2d(3),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_memory_layout_and_backend_make_no_difference_and_inputs_stay(layer, backend):
    expected = layer.to("numpy").seed(0)(X).numpy()
    flipped = np.ascontiguousarray(X[:, :, ::-1])[:, :, ::-1]
    channels_last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    layer.to(backend)
    for x in (X.copy(), flipped, channels_last, np.repeat(X, 2, axis=0)[::2]):
        x.setflags(write=False)
        y = layer(x)
        assert y.dtype == np.float32
        assert relative_error(y.numpy(), expected) < 1e-6
        assert np.array_equal(x, X)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_an_empty_batch_gives_an_empty_batch_and_zero_gradients(layer):
    layer.to("numpy").seed(0)
    x = Tensor(X[:0], "numpy", requires_grad=True)
    y = layer(x)
    assert y.shape == (0, *layer(X).shape[1:])
    layer.zero_grad()
    y.sum().backward()
    assert x.grad.shape == X[:0].shape
    assert all(p.grad.shape == p.shape and not p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 0)])
def test_among_equal_elements_the_first_has_the_gradient(torch, kernel, stride, padding):
    data = R.integers(0, 3, (2, 3, 6, 6)).astype(np.float64)
    x, z = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    nn.MaxPool2d(kernel, stride, padding)(x).sum().backward()
    torch.nn.functional.max_pool2d(z, kernel, stride, padding).sum().backward()
    assert np.array_equal(x.grad, z.grad.numpy())


def test_a_pooled_nan_stays_and_is_the_only_one_with_a_gradient():
    data = np.array([[[1.0, np.nan, 3.0, 4.0]]])
    x = Tensor(data, requires_grad=True)
    y = nn.MaxPool1d(2)(x)
    y.sum().backward()
    assert np.isnan(y.data[0, 0, 0])
    assert y.data[0, 0, 1] == 4
    assert x.grad.tolist() == [[[0.0, 1.0, 0.0, 1.0]]]


@pytest.mark.parametrize("padding", [0, 1])
def test_where_all_is_minus_infinity_the_map_and_not_its_padding_has_the_gradient(torch, padding):
    data = np.full((1, 1, 4), -np.inf)
    x, z = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    nn.MaxPool1d(2, 2, padding)(x).sum().backward()
    torch.nn.functional.max_pool1d(z, 2, 2, padding).sum().backward()
    assert np.array_equal(x.grad, z.grad.numpy())


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(nn.Conv2d(32, 64, 3), 32 * 9), (nn.Conv2d(32, 64, 3, groups=4), 8 * 9), (nn.ConvTranspose2d(32, 64, 3), 64 * 9)],
    ids=repr,
)
def test_first_numbers_are_uniform_as_pytorchs(layer, fan_in):
    layer.seed(0)
    bound = fan_in**-0.5
    for p in (layer.weight, layer.bias):
        assert np.abs(p.data).max() <= bound
        assert np.abs(p.data).max() > 0.9 * bound
    deviation = np.abs(np.mean(layer.weight.data**2) - bound**2 / 3)
    assert deviation < 5 * bound**2 * (4 / 45 / layer.weight.data.size) ** 0.5  # the variance of u^2 is 4/45


def test_residual_convolutions_begin_with_the_fan_out():
    weight = nn.BasicBlock(16, 32).seed(0).conv1.weight.data
    expected = 2 / (32 * 9)
    assert abs(np.mean(weight**2) / expected - 1) < 5 * (2 / weight.size) ** 0.5


def net(*dropout):
    """A small network with batch norm, its running statistics moved, and some dropout."""
    first = (nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    last = (nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    model = nn.Sequential(*first, *dropout, *last).seed(1)
    for _ in range(2):
        model(X)
    return model


def resnet(p=0.5, **options):
    """A residual network, its running statistics moved."""
    model = nn.ResNet(nn.BasicBlock, (1, 1), classes=3, inputs=2, width=4, stem="cifar", depth_p=p, **options).seed(1)
    for _ in range(2):
        model(X)
    return model


NETS = {
    "Dropout2d": lambda: net(nn.Dropout2d(0.5)),
    "Dropout": lambda: net(nn.Dropout(0.5)),
    "DropBlock": lambda: net(nn.DropBlock(0.3, block_size=3, normalize="sample")),
    "SpatialConcreteDropout": lambda: net(nn.SpatialConcreteDropout(0.3)),
    "Cutout": lambda: nn.Sequential(nn.Cutout(0.5, size=3), net()).seed(1),
    "MaxPoolDropout": lambda: net(nn.MaxPoolDropout(0.3, size=2, stride=1), nn.AdaptiveAvgPool2d(8)),
    "StochasticPool": lambda: net(nn.StochasticPool(size=2, stride=1), nn.AdaptiveAvgPool2d(8)),
    "DropPath": resnet,
    "StochasticDepth": lambda: resnet(join=lambda p: nn.StochasticDepth(p, "row")),
    "ShakeDrop": lambda: resnet(join=nn.ShakeDrop),
}


def statistics(model):
    return {name: buffer.numpy().tobytes() for name, buffer in model.named_buffers()}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_samples_in_flight_are_those_of_single_passes(make, backend):
    model = make().to(backend)
    together = predict_samples(model, X, samples=6)
    model.sample()
    alone = np.stack([model(X).numpy() for _ in range(6)])
    assert relative_error(together, alone) < 1e-5
    assert relative_error(predict_samples(model, X, samples=2, first=3), alone[3:5]) < 1e-5
    assert relative_error(predict_samples(model, X, samples=6, batch_size=3), alone) < 1e-5
    assert relative_error(alone[0], alone[1]) > 1e-3  # they do differ


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_one_mask_for_a_pass_treats_equal_examples_equally(make):
    model = make()
    same = np.repeat(X[:1], 4, axis=0)
    shared = predict_samples(model, same, samples=4, masks="pass")
    assert relative_error(shared, np.broadcast_to(shared[:, :1], shared.shape)) < 1e-5
    own = predict_samples(model, same, samples=4)
    assert relative_error(own, np.broadcast_to(own[:, :1], own.shape)) > 1e-3


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_running_statistics_move_in_training_only(make):
    model = make()
    before = statistics(model)
    model.eval()(X), model.sample()(X)
    predict_samples(model.train(), X, samples=5)
    with entered(Pass(mode="sample")):
        model(X)
    assert statistics(model) == before
    model(X)
    after = statistics(model)
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_evaluation_draws_nothing_and_uses_the_running_statistics(make):
    model = make().eval()
    whole = model(X).numpy()
    assert np.array_equal(model(X).numpy(), whole)
    one_by_one = np.concatenate([model(X[i : i + 1]).numpy() for i in range(len(X))])
    assert relative_error(one_by_one, whole) < 1e-5
    assert relative_error(model.train()(X).numpy(), whole) > 1e-3


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_a_checkpoint_replays_the_draws_and_moves_no_statistics(make):
    plain, thrifty = make(), make()
    plain(X).sum().backward()
    x = Tensor(X, requires_grad=True)
    with entered(Pass()):
        y = puredrop.checkpoint(thrifty, x).sum()
    before = statistics(thrifty)
    assert before == statistics(plain)
    y.backward()
    assert statistics(thrifty) == before
    assert any(p.grad.any() for p in plain.parameters())
    for p, q in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert np.array_equal(p.grad, q.grad)


def test_enumerated_masks_average_to_evaluation_where_all_is_linear():
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Dropout2d(0.3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 2))
    model.seed(0).astype(np.float64)
    x = R.standard_normal((2, 1, 3, 3))
    drawn = list(enumerate_masks(lambda: model(x).numpy()))
    assert len(drawn) == 2 ** (2 * 3)  # a decision for each example and channel
    mean = sum(q * y for q, y in drawn)
    assert relative_error(mean, model.eval()(x).numpy()) < 1e-12


def test_enumerated_paths_average_to_evaluation_before_the_last_relu():
    """The input is shifted and the branch small, so that the relu lets all through."""
    block = nn.BasicBlock(2, 2, depth_p=0.3).seed(0).astype(np.float64).sample()
    block.bn2.weight.fill([0.01, 0.02])
    x = 10 + R.standard_normal((3, 2, 4, 4))
    drawn = list(enumerate_masks(lambda: block(x).numpy()))
    assert len(drawn) == 8
    assert min(y.min() for _, y in drawn) > 0
    assert relative_error(sum(q * y for q, y in drawn), block.eval()(x).numpy()) < 1e-12


def test_a_dropped_branch_leaves_the_way_round():
    x = X[:, :2]
    block = nn.BasicBlock(2, 2, depth_p=1.0).seed(0)
    assert np.array_equal(block(x).numpy(), np.maximum(x, 0))
    changed = nn.BasicBlock(2, 3, 2, depth_p=1.0).seed(0)
    assert np.array_equal(changed(x).numpy(), np.maximum(changed.downsample(x).numpy(), 0))


def test_blocks_have_rates_by_their_depth():
    model = nn.ResNet(nn.BasicBlock, (1, 2), classes=3, width=2, depth_p=0.3)
    assert [block.join.p for block in model.blocks()] == pytest.approx([0.1, 0.2, 0.3])
    later = nn.ResNet(nn.BasicBlock, (1, 2), classes=3, width=2, depth_p=0.4, indexing="i/(L-1)")
    assert [block.join.p for block in later.blocks()] == pytest.approx([0.0, 0.2, 0.4])


def test_the_rate_of_a_block_may_rise():
    block = nn.BasicBlock(2, 2, depth_p=LinearRamp(1.0, steps=2)).seed(0)
    dropped = [np.array_equal(block(X).numpy(), np.maximum(X, 0)) for _ in range(4)]
    assert dropped[0] is False
    assert dropped[2:] == [True, True]


@pytest.mark.parametrize(
    ("block", "counts", "parameters", "last"),
    [
        (nn.BasicBlock, (2, 2, 2, 2), 11_689_512, "layer4.1.bn2.num_batches_tracked"),
        (nn.Bottleneck, (3, 4, 6, 3), 25_557_032, "layer4.2.bn3.num_batches_tracked"),
    ],
)
def test_known_networks_have_their_sizes_and_names(block, counts, parameters, last):
    """The numbers of parameters that torchvision states for resnet18 and resnet50."""
    model = nn.ResNet(block, counts, classes=1000)
    state = dict(model.named_state())
    assert sum(p.data.size for p in model.parameters()) == parameters
    assert {"conv1.weight", "bn1.running_mean", "layer2.0.downsample.1.weight", "fc.bias", last} <= set(state)
    assert ("layer1.0.downsample.0.weight" in state) is (block is nn.Bottleneck)
    assert state["layer2.0.conv2.weight"].shape == (128, 128, 3, 3)


def test_a_state_dict_goes_to_pytorch_and_back(torch):
    ours = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 2, 2, stride=2)).seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, groups=2), torch.nn.BatchNorm2d(4), torch.nn.ConvTranspose2d(4, 2, 2, stride=2)
    )
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    assert relative_error(ours(X).numpy(), theirs(torch.tensor(X)).detach().numpy()) < 1e-5
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    assert relative_error(ours.eval()(X).numpy(), theirs.eval()(torch.tensor(X)).detach().numpy()) < 1e-5
