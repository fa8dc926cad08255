"""Twins of PyTorch's modules: same names, same numbers, there and back; and what has no twin is named."""

import builtins
import collections

import numpy as np
import pytest

from puredrop import nn
from puredrop.conformance.layers.case import normal
from puredrop.gradcheck import relative_error

IDS = np.array([[3, 1, 0], [4, 2, 2]])
LAYERS = {  # what makes it of torch.nn, and what it is called with
    "Linear": (lambda n: n.Linear(4, 3, bias=False), (2, 4)),
    "Conv1d": (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 9)),
    "Conv2d": (lambda n: n.Conv2d(2, 3, (3, 5), padding="same"), (2, 2, 5, 4)),
    "Conv3d": (lambda n: n.Conv3d(1, 2, 2), (2, 1, 3, 4, 3)),
    "ConvTranspose1d": (lambda n: n.ConvTranspose1d(2, 3, 3, stride=2), (2, 2, 4)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(2, 4, 3, 2, 1, output_padding=1, groups=2), (2, 2, 3, 3)),
    "ConvTranspose3d": (lambda n: n.ConvTranspose3d(1, 2, 2, bias=False), (1, 1, 2, 2, 2)),
    "MaxPool1d": (lambda n: n.MaxPool1d(2), (2, 2, 6)),
    "MaxPool2d": (lambda n: n.MaxPool2d(3, 2, 1), (2, 2, 6, 5)),
    "MaxPool3d": (lambda n: n.MaxPool3d(2, dilation=1), (1, 2, 4, 4, 4)),
    "AvgPool1d": (lambda n: n.AvgPool1d(2), (2, 2, 6)),
    "AvgPool2d": (lambda n: n.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 2, 6, 5)),
    "AvgPool3d": (lambda n: n.AvgPool3d(2), (1, 2, 4, 4, 4)),
    "AdaptiveAvgPool1d": (lambda n: n.AdaptiveAvgPool1d(3), (2, 2, 7)),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d((3, None)), (2, 2, 7, 4)),
    "AdaptiveAvgPool3d": (lambda n: n.AdaptiveAvgPool3d(1), (2, 2, 3, 3, 2)),
    "AdaptiveMaxPool1d": (lambda n: n.AdaptiveMaxPool1d(3), (2, 2, 7)),
    "AdaptiveMaxPool2d": (lambda n: n.AdaptiveMaxPool2d(2), (2, 2, 7, 4)),
    "AdaptiveMaxPool3d": (lambda n: n.AdaptiveMaxPool3d(1), (2, 2, 3, 3, 2)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(3, momentum=None), (4, 3)),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(3, eps=1e-3, affine=False), (4, 3, 2, 2)),
    "BatchNorm3d": (lambda n: n.BatchNorm3d(3, track_running_stats=False), (2, 3, 2, 2, 2)),
    "GroupNorm": (lambda n: n.GroupNorm(2, 4, eps=1e-4), (2, 4, 3)),
    "LayerNorm": (lambda n: n.LayerNorm((2, 3), bias=False), (4, 2, 3)),
    "LayerNorm, no weight": (lambda n: n.LayerNorm(3, elementwise_affine=False), (4, 3)),
    "Flatten": (lambda n: n.Flatten(), (2, 3, 4)),
    "Softmax": (lambda n: n.Softmax(dim=-1), (2, 3)),
    "Identity": (lambda n: n.Identity(), (2, 3)),
    "ReLU": (lambda n: n.ReLU(inplace=True), (2, 3)),
    "Tanh": (lambda n: n.Tanh(), (2, 3)),
    "Sigmoid": (lambda n: n.Sigmoid(), (2, 3)),
    "SiLU": (lambda n: n.SiLU(), (2, 3)),
    "SELU": (lambda n: n.SELU(), (2, 3)),
    "GELU": (lambda n: n.GELU(approximate="tanh"), (2, 3)),
    "LeakyReLU": (lambda n: n.LeakyReLU(0.2), (2, 3)),
    "ELU": (lambda n: n.ELU(0.7), (2, 3)),
    "Embedding": (lambda n: n.Embedding(5, 3, padding_idx=2), None),
    "RNN": (lambda n: n.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True, batch_first=True), (2, 5, 3)),
    "LSTM": (lambda n: n.LSTM(3, 4, 2, bias=False), (5, 2, 3)),
    "GRU": (lambda n: n.GRU(3, 4), (5, 2, 3)),
    "RNNCell": (lambda n: n.RNNCell(3, 4, nonlinearity="relu"), (2, 3)),
    "LSTMCell": (lambda n: n.LSTMCell(3, 4), (2, 3)),
    "GRUCell": (lambda n: n.GRUCell(3, 4, bias=False), (2, 3)),
    "TransformerEncoderLayer": (
        lambda n: n.TransformerEncoderLayer(4, 2, 5, 0.1, "gelu", batch_first=True, norm_first=True),
        (2, 3, 4),
    ),
    "TransformerEncoder": (
        lambda n: n.TransformerEncoder(
            n.TransformerEncoderLayer(4, 2, 5, batch_first=True, layer_norm_eps=1e-3), 2, n.LayerNorm(4)
        ),
        (2, 3, 4),
    ),
}
DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")


def first(y):
    """What a recurrent layer or cell gives, without its last state."""
    return y[0] if isinstance(y, tuple) else y


def outputs(torch, module, twin, shape):
    x = IDS if shape is None else normal(*shape)
    theirs = first(module(torch.tensor(x))).detach().numpy()
    return first(twin(x)).numpy(), theirs


@pytest.mark.parametrize("name", LAYERS)
def test_a_twin_gives_the_same_numbers(torch, name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    module = make(torch.nn).double().eval()
    ours, theirs = outputs(torch, module, nn.from_torch(module), shape)
    assert relative_error(ours, theirs) < 1e-12


@pytest.mark.parametrize("name", LAYERS)
def test_weights_go_there_and_back(torch, name):
    make, _ = LAYERS[name]
    torch.manual_seed(1)
    module, other = make(torch.nn), make(torch.nn)
    other.load_state_dict(nn.to_torch_state_dict(nn.from_torch(module)))
    for (key, weight), (_, back) in zip(module.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(weight, back), key
        assert weight.dtype == back.dtype, key


def test_every_layer_with_a_twin_is_tried(torch):
    with pytest.raises(TypeError) as caught:
        nn.from_torch(torch.nn.Hardswish())
    named = str(caught.value).split("there is one for ")[1].split(", ")
    tried = {name.split(",")[0] for name in LAYERS} | set(DROPOUTS)
    assert set(named) == tried | {"Sequential", "MultiheadAttention", "TransformerDecoderLayer", "TransformerDecoder"}


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropouts_keep_their_rate_and_draw_masks_of_their_own(torch, name):
    twin = nn.from_torch(getattr(torch.nn, name)(0.25)).seed(0)
    assert type(twin) is getattr(nn, name)
    assert twin.p == 0.25
    shape = {"Dropout1d": (2, 3, 4), "Dropout3d": (2, 3, 2, 2, 2)}.get(name, (2, 3, 4, 4))
    x = np.ones(shape, np.float32)
    assert not np.array_equal(twin(x).numpy(), x)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 5}, {"bias": False}])
def test_attention(torch, options, batch_first):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=batch_first, **options).double().eval()
    twin = nn.from_torch(module)
    q, k, v = normal(2, 3, 4), normal(2, 5, options.get("kdim", 4)), normal(2, 5, options.get("vdim", 4))
    if not batch_first:
        q, k, v = (x.swapaxes(0, 1) for x in (q, k, v))
    theirs, _ = module(*map(torch.tensor, (q, k, v)))
    assert relative_error(twin(q, k, v).numpy(), theirs.detach().numpy()) < 1e-12
    assert twin.drop_weights.p == 0.3
    module.load_state_dict(nn.to_torch_state_dict(twin))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layers", [None, 2])
def test_decoders(torch, layers, batch_first):
    torch.manual_seed(0)
    module = torch.nn.TransformerDecoderLayer(4, 2, 5, batch_first=batch_first)
    module = module if layers is None else torch.nn.TransformerDecoder(module, layers)
    module = module.double().eval()
    x, memory = (normal(2, 3, 4), normal(2, 4, 4)) if batch_first else (normal(3, 2, 4), normal(4, 2, 4))
    theirs = module(torch.tensor(x), torch.tensor(memory)).detach().numpy()
    twin = nn.from_torch(module)
    assert relative_error(twin(x, memory).numpy(), theirs) < 1e-12
    module.load_state_dict(nn.to_torch_state_dict(twin))


def test_models_of_several_layers_with_their_buffers(torch):
    n = torch.nn
    torch.manual_seed(0)
    head = n.Sequential(n.Flatten(), n.Linear(16, 3), n.Dropout(0.5))
    module = n.Sequential(n.Conv2d(1, 4, 3, bias=False), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2), head).double()
    module(torch.tensor(normal(5, 1, 6, 6)))  # running statistics of its own
    twin = nn.from_torch(module.eval())
    ours, theirs = outputs(torch, module, twin, (2, 1, 6, 6))
    assert relative_error(ours, theirs) < 1e-12
    assert twin.mode == "eval"
    assert nn.from_torch(module.train()).mode == "train"
    assert list(twin.state_dict()) == list(module.state_dict())


def test_layers_with_names_keep_them(torch):
    n = torch.nn
    torch.manual_seed(0)
    parts = {"first": n.Linear(4, 3), "between": n.Tanh(), "last": n.Linear(3, 2)}
    module = n.Sequential(collections.OrderedDict(parts)).double()
    twin = nn.from_torch(module)
    ours, theirs = outputs(torch, module, twin, (5, 4))
    assert relative_error(ours, theirs) < 1e-12
    assert list(twin.state_dict()) == list(module.state_dict())


def test_dtypes_are_the_modules(torch):
    assert nn.from_torch(torch.nn.Linear(3, 2)).weight.dtype == np.float32
    assert nn.from_torch(torch.nn.Linear(3, 2).double()).weight.dtype == np.float64
    assert nn.to_torch_state_dict(nn.from_torch(torch.nn.Linear(3, 2)))["weight"].dtype == torch.float32


def test_dropout_between_the_layers_of_a_stack_and_none_where_pytorch_has_no_place_for_it(torch):
    assert nn.from_torch(torch.nn.LSTM(3, 4, 2, dropout=0.3)).between_l0.p == 0.3
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        single = torch.nn.LSTM(3, 4, dropout=0.3)
    assert not list(nn.from_torch(single).named_sites())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: n.Sequential(n.ReLU(), n.Bilinear(2, 2, 2)), r"no twin for Bilinear \(at 1\)"),
        (lambda n: n.Sequential(n.Sequential(n.Hardswish())), r"no twin for Hardswish \(at 0.0\)"),
    ],
)
def test_layers_without_a_twin_are_named_with_their_place(torch, make, message):
    with pytest.raises(TypeError, match=message):
        nn.from_torch(make(torch.nn))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: n.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect' has no twin here"),
        (lambda n: n.MaxPool2d(2, ceil_mode=True), "ceil_mode=True"),
        (lambda n: n.AvgPool2d(2, divisor_override=3), "divisor_override=3"),
        (lambda n: n.AdaptiveMaxPool2d(2, return_indices=True), "return_indices=True"),
        (lambda n: n.Flatten(0), "start_dim=0"),
        (lambda n: n.Sequential(n.Softmax(dim=1)), "Softmax at 0: dim=1"),
        (lambda n: n.Embedding(3, 2, max_norm=1.0), "max_norm=1.0"),
        (lambda n: n.MultiheadAttention(4, 2, batch_first=True, add_zero_attn=True), "add_zero_attn=True"),
        (lambda n: n.TransformerEncoderLayer(4, 2, 5, batch_first=True, activation=n.SiLU()), "the activation SiLU"),
    ],
)
def test_options_without_a_twin_are_named(torch, make, message):
    with pytest.raises(ValueError, match="from_torch: .*" + message):
        nn.from_torch(make(torch.nn))


def test_what_a_twin_would_lack_is_refused(torch):
    n = torch.nn
    hooked, shared = n.Sequential(n.Linear(2, 2)), n.Linear(2, 2)
    hooked[0].register_forward_hook(lambda module, inputs, output: output * 3)
    with pytest.raises(ValueError, match="Linear at 0 has hooks"):
        nn.from_torch(hooked)
    with pytest.raises(ValueError, match="one Linear stands at 0 and at 1; shared weights have no twin"):
        nn.from_torch(n.Sequential(shared, shared))
    with pytest.raises(TypeError, match="no twin for ParametrizedLinear"):
        nn.from_torch(n.utils.parametrizations.weight_norm(n.Linear(2, 2)))
    with pytest.raises(TypeError, match=r"weight is torch.bfloat16, which NumPy lacks; write module.float\(\)"):
        nn.from_torch(n.Linear(2, 2).bfloat16())
    with pytest.raises(TypeError, match=r"expected a module of torch\.nn, got OrderedDict"):
        nn.from_torch(n.Linear(2, 2).state_dict())


def test_a_layer_without_weights_may_stand_twice(torch):
    act = torch.nn.Tanh()
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), act, torch.nn.Linear(3, 2), act).double()
    ours, theirs = outputs(torch, module, nn.from_torch(module), (5, 4))
    assert relative_error(ours, theirs) < 1e-12


def test_frozen_weights_stay_frozen(torch):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    module[0].requires_grad_(False)
    assert [p.requires_grad for p in nn.from_torch(module).parameters()] == [False, False, True, True]


def test_weights_not_drawn_yet_are_not_given_away(torch):
    with pytest.raises(RuntimeError, match="has no numbers yet"):
        nn.to_torch_state_dict(nn.Linear(2, 3))


def test_rates_that_differ_within_a_layer_have_no_twin(torch):
    layer = torch.nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)
    layer.dropout1.p = 0.5
    with pytest.raises(ValueError, match=r"dropout rates that differ within the layer, \[0.1, 0.5\]"):
        nn.from_torch(layer)


def test_stacks_of_different_layers_have_no_twin(torch):
    stack = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), 2)
    stack.layers[1].norm_first = True
    with pytest.raises(ValueError, match="layers with different options"):
        nn.from_torch(stack)


def test_without_pytorch_there_are_no_tensors(monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "torch", raising=False)
    with pytest.raises(RuntimeError, match="write import torch, or use state_dict"):
        nn.to_torch_state_dict(nn.Linear(2, 3).seed(0))


def test_the_package_does_not_import_pytorch(torch, monkeypatch):
    real = builtins.__import__

    def guarded(name, *args, **kwargs):
        assert name.split(".")[0] != "torch"
        return real(name, *args, **kwargs)

    module = torch.nn.Linear(3, 2)
    monkeypatch.setattr(builtins, "__import__", guarded)
    assert nn.from_torch(module).inputs == 3
