"""PyTorch's generator on the CPU: the state taken over and handed back, refusals, and how our arrays lie in memory."""

import numpy as np
import pytest

import puredrop
from puredrop import backends, nn, ops
from puredrop.conformance.streams import torch as rows
from puredrop.streams import TorchCompile, TorchCPU, draw_from, torch_mkl
from puredrop.streams.memory_order import in_memory_order, memory_order
from puredrop.streams.mersenne import Mersenne
from puredrop.streams.torch_values import ALPHA


def test_taken_over_in_the_middle_and_handed_back(torch):
    """PyTorch draws weights, a normal number waits in its state; we draw two masks; PyTorch goes on."""
    dropout = torch.nn.functional.dropout
    torch.manual_seed(-9)
    torch.randn(7)
    start = torch.get_rng_state()
    theirs = [dropout(torch.ones(333), 0.3).numpy() for _ in range(3)]
    after = torch.randn(5)
    torch.set_rng_state(start)
    stream = TorchCPU.from_state(start.numpy())
    assert np.array_equal(stream.state(), start.numpy()), "the waiting normal number too"
    with draw_from(stream):
        ours = [puredrop.dropout(np.ones(333, np.float32), 0.3) for _ in range(2)]
    torch.set_rng_state(torch.from_numpy(stream.state()))
    assert np.array_equal(ours, theirs[:2])
    assert np.array_equal(dropout(torch.ones(333), 0.3).numpy(), theirs[2])
    assert torch.equal(torch.randn(5), after)


def test_bytes_are_a_state_too():
    stream = TorchCPU(3)
    stream.mask(100, 0.5)
    other = TorchCPU.from_state(stream.state().tobytes())
    assert np.array_equal(other.mask(700, 0.5), stream.mask(700, 0.5))
    assert np.array_equal(TorchCompile.from_state(stream.state()).state(), stream.state())


@pytest.mark.parametrize("state", [np.zeros(5056), np.zeros((2, 2528), np.uint8), [0] * 5056])
def test_a_state_is_bytes(state):
    with pytest.raises(TypeError, match="expected bytes, or an array of uint8 with one axis"):
        TorchCPU.from_state(state)


def test_a_place_that_cannot_be_is_refused():
    state = TorchCPU(0).state()
    state[8] = 7  # left, where next is 0
    with pytest.raises(ValueError, match="left = 7 and next = 0 cannot be"):
        TorchCPU.from_state(state)


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 625])
def test_words_are_the_same_with_a_kernel_and_without(drawn, monkeypatch):
    ours, theirs = Mersenne.seeded(5), Mersenne.seeded(5)
    assert np.array_equal(ours.draw(drawn), theirs.draw(drawn))
    keep = ours.draw_below(1 << 51, 5001)
    numpy = backends.get("numpy")
    monkeypatch.setattr(backends, "get", lambda name=None: numpy)
    assert np.array_equal(theirs.draw_below(1 << 51, 5001), keep)
    assert np.array_equal(ours.draw(700), theirs.draw(700))


def test_mkls_numbers_are_computed_one_after_the_other():
    x, expected = 12345, []
    for _ in range(1000):
        expected.append(x)
        x = torch_mkl.MULTIPLIER * x % torch_mkl.MODULUS
    assert torch_mkl.numerators(12345, 1000).tolist() == expected
    assert torch_mkl.numerators(torch_mkl.MODULUS, 1).tolist() == [1]
    u = (np.array(expected) / torch_mkl.MODULUS).astype(np.float32)
    assert np.array_equal(torch_mkl.below(12345, 0.3, 1000), u < np.float32(0.3))
    stream = TorchCPU(1, path="mkl")
    assert not np.array_equal(stream.mask(50, 0.5), stream.mask(50, 0.5)), "each call has a seed of its own"


def test_an_affine_map_that_pytorch_does_not_have_is_refused():
    x = np.ones(5)
    with draw_from(TorchCPU(0)):
        puredrop.alpha_dropout(x, 0.3, saturation=-ALPHA)
        with pytest.raises(NotImplementedError, match="mean 0, variance 1"):
            puredrop.alpha_dropout(x, 0.3, mean=0.5)


@pytest.mark.parametrize("options", [{"shared": 0}, {"shared": 1}])
def test_shared_axes_are_not_pytorchs(options):
    with draw_from(TorchCPU(0)), pytest.raises(NotImplementedError, match="noise of shape"):
        puredrop.dropout(np.ones((3, 4)), 0.5, **options)


@pytest.mark.parametrize("q", [-0.1, 1.5, float("nan")])
def test_probabilities_outside_0_and_1_are_refused(q):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        TorchCPU(0).bernoulli_((3,), q)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        TorchCPU(0).bernoulli(np.full(3, q))


def test_other_dtypes_are_refused():
    with pytest.raises(NotImplementedError, match="rand of complex128"):
        TorchCPU(0).rand((2,), np.complex128)
    with pytest.raises(NotImplementedError, match="bernoulli of int64"):
        TorchCPU(0).bernoulli(np.ones(2, np.int64))


def test_the_order_of_memory_by_hand():
    assert memory_order((2, 3, 4), (12, 4, 1)) == (0, 1, 2)
    assert memory_order((2, 3, 4), (1, 8, 2)) == (1, 2, 0)
    assert memory_order((1, 3, 1), (0, 1, 77)) in {(1, 0, 2), (1, 2, 0), (0, 1, 2)}, "axes of size 1 do not count"
    assert memory_order((20, 6), (1, 0)) == (0, 1), "an expanded axis stays"
    assert in_memory_order(np.arange(6), (3, 2), (1, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_probe_names_what_it_does_not_know(torch, monkeypatch):
    assert rows.probe() == "mt19937"
    monkeypatch.setattr(torch.Tensor, "bernoulli_", lambda self, p: self)
    assert rows.probe() == "unknown"
    monkeypatch.setattr(torch.Tensor, "bernoulli_", lambda self, p: torch.empty(1).random_())
    assert rows.probe() == "mkl"


R = np.random.default_rng(0)
TOKENS, IMAGES = R.standard_normal((3, 5, 8)), R.standard_normal((2, 4, 6, 8))
# How what our layers give lies in memory must be as PyTorch has it: its generator fills memory, and dropout may follow.
LAYERS = {
    "Linear": (lambda n: n.Linear(8, 6), TOKENS),
    "LayerNorm": (lambda n: n.LayerNorm(8), TOKENS),
    "ReLU": (lambda n: n.ReLU(), TOKENS),
    "GELU": (lambda n: n.GELU(), TOKENS),
    "Tanh": (lambda n: n.Tanh(), TOKENS),
    "Softmax": (lambda n: n.Softmax(dim=-1), TOKENS),
    "Dropout": (lambda n: n.Dropout(0.5), TOKENS),
    "AlphaDropout": (lambda n: n.AlphaDropout(0.5), TOKENS),
    "MultiheadAttention": (lambda n: n.MultiheadAttention(8, 2, batch_first=True), TOKENS),
    "MultiheadAttention, tokens first": (lambda n: n.MultiheadAttention(8, 2), TOKENS),
    "TransformerEncoderLayer": (lambda n: n.TransformerEncoderLayer(8, 2, 9, batch_first=True), TOKENS),
    "TransformerEncoderLayer, norm first": (
        lambda n: n.TransformerEncoderLayer(8, 2, 9, batch_first=True, norm_first=True),
        TOKENS,
    ),
    "TransformerEncoderLayer, tokens first": (lambda n: n.TransformerEncoderLayer(8, 2, 9), TOKENS),
    "TransformerEncoderLayer, tokens first, norm first": (
        lambda n: n.TransformerEncoderLayer(8, 2, 9, norm_first=True),
        TOKENS,
    ),
    "LSTM": (lambda n: n.LSTM(8, 4, 2, bidirectional=True), TOKENS),
    "LSTM, batch first": (lambda n: n.LSTM(8, 4, 2, batch_first=True), TOKENS),
    "GRU, batch first": (lambda n: n.GRU(8, 4, bidirectional=True, batch_first=True), TOKENS),
    "Conv1d": (lambda n: n.Conv1d(5, 4, 3), TOKENS),
    "Conv2d": (lambda n: n.Conv2d(4, 6, 3), IMAGES),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(4, 6, 3), IMAGES),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(4), IMAGES),
    "GroupNorm": (lambda n: n.GroupNorm(2, 4), IMAGES),
    "MaxPool2d": (lambda n: n.MaxPool2d(2), IMAGES),
    "AvgPool2d": (lambda n: n.AvgPool2d(2), IMAGES),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d(3), IMAGES),
    "Dropout2d": (lambda n: n.Dropout2d(0.5), IMAGES),
}


def lies(shape, strides):
    """The axes of more than one element, slowest first."""
    return [axis for axis in sorted(range(len(shape)), key=lambda axis: -strides[axis]) if shape[axis] > 1]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_what_layers_give_lies_in_memory_as_in_pytorch(torch, name, turned):
    """Also where the input lies transposed."""
    make, x = LAYERS[name]
    torch.manual_seed(0)
    module = make(torch.nn).double()
    twin = nn.from_torch(module).seed(0)
    attention = isinstance(module, torch.nn.MultiheadAttention)
    if turned:
        x = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    theirs = module(*[torch.from_numpy(x)] * (3 if attention else 1))
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    with draw_from(TorchCPU(0)):
        ours = twin(x)
    ours = (ours[0] if isinstance(ours, tuple) else ours).data
    assert ours.shape == tuple(theirs.shape)
    assert lies(ours.shape, ours.strides) == lies(theirs.shape, theirs.stride())


def test_sums_lie_in_memory_as_in_pytorch(torch):
    """Of two arrays that lie differently: as the first does."""
    a, b = TOKENS, np.ascontiguousarray(TOKENS.swapaxes(0, 1)).swapaxes(0, 1)
    for x, y in ((a, b), (b, a), (b, b)):
        theirs = torch.from_numpy(x) + torch.from_numpy(y)
        with draw_from(TorchCPU(0)):
            ours = ops.add(x, y)
        assert lies(ours.shape, ours.strides) == lies(theirs.shape, theirs.stride())
