"""Exchange with PyTorch: the twin of a module, its weights, and the way back. PyTorch is never imported here.

What a module is, is read off the name of its class and its attributes; parameters have PyTorch's names and layouts, so
that weights are copied by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import attention, cells, convolution, embedding, layers, normalisation, pooling, recurrent, transformer
from .dropout import Dropout
from .module import Module
from .noise_layers import AlphaDropout, FeatureAlphaDropout
from .structured import Dropout1d, Dropout2d, Dropout3d

Build = Callable[[Any], Module]


def from_torch(module: Any) -> Module:
    """The puredrop twin of a `torch.nn` module, with its weights, dtype and mode.

    Supported are the layers named in the error for others, in `Sequential` and on their own; parameters that are
    frozen stay so. Call `.seed(s)` before the twin draws: masks are puredrop's own. For a module of one's own, write
    its forward as a `Module` with the same names and hand it the weights: model.load_state_dict(...).
    Raises: TypeError for a layer, ValueError for an option, hook or shared weight, that has no twin here.

    >>> from_torch("resnet18")
    Traceback (most recent call last):
    TypeError: from_torch: expected a module of torch.nn, got 'resnet18'
    """
    _check(module)
    twin = _twin(module, "")
    state = {name: _array(name, value) for name, value in module.state_dict().items()}
    for dtype in {value.dtype for value in state.values() if value.dtype.kind == "f"}:
        twin.astype(dtype)
    try:
        twin.load_state_dict(state)
    except ValueError as error:
        raise ValueError(
            f"from_torch: {type(module).__name__} holds other weights than its layers have; {error}"
        ) from None
    frozen = {name for name, value in module.named_parameters() if not value.requires_grad}
    for name, parameter in twin.named_parameters():
        parameter.requires_grad = name not in frozen
    return twin.train() if module.training else twin.eval()


def to_torch_state_dict(model: Module) -> dict[str, Any]:
    """The weights of a model as tensors, for `load_state_dict` of the same model in PyTorch.

    Raises: RuntimeError where PyTorch has not been imported by whoever wants its tensors, or for weights not drawn yet.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        raise RuntimeError("to_torch_state_dict: PyTorch is not imported; write import torch, or use state_dict()")
    model.require_parameters()
    return {name: torch.tensor(np.array(value)) for name, value in model.state_dict().items()}


def _check(module: Any) -> None:
    """What a twin would silently be without."""
    if not all(hasattr(module, name) for name in ("named_modules", "state_dict", "training")):
        raise TypeError(f"from_torch: expected a module of torch.nn, got {module!r}")
    places: dict[int, str] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        if part._forward_hooks or part._forward_pre_hooks:
            raise ValueError(f"from_torch: {type(part).__name__} at {name or 'the top'} has hooks, which have no twin")
        if id(part) in places and any(True for _ in part.parameters()):
            raise ValueError(
                f"from_torch: one {type(part).__name__} stands at {places[id(part)]} and at {name}; "
                f"shared weights have no twin"
            )
        places[id(part)] = name


def _array(name: str, tensor: Any) -> np.ndarray:
    try:
        return tensor.detach().cpu().numpy().copy()
    except TypeError:  # NumPy has no bfloat16
        raise TypeError(f"from_torch: {name} is {tensor.dtype}, which NumPy lacks; write module.float()") from None


def _twin(module: Any, where: str) -> Module:
    name = type(module).__name__
    if name == "Sequential":
        parts = {
            name: _twin(child, f"{where}{name}.") for name, child in module._modules.items()
        }  # a layer twice is two
        in_order = list(parts) == list(map(str, range(len(parts))))
        return layers.Sequential(*parts.values()) if in_order else _Named(parts)
    if name not in _BUILD:
        place = f" (at {where.rstrip('.')})" if where else ""
        raise TypeError(
            f"from_torch: no twin for {name}{place}; there is one for {', '.join(sorted({*_BUILD, 'Sequential'}))}"
        )
    try:
        return _BUILD[name](module)
    except ValueError as error:
        raise ValueError(f"from_torch: {name} at {where.rstrip('.') or 'the top'}: {error}") from None


class _Named(Module):
    """Layers one after the other that have names and no numbers."""

    def __init__(self, parts: dict[str, Module]) -> None:
        for name, part in parts.items():
            setattr(self, name, part)
        self.order = tuple(parts)

    def forward(self, x: Any) -> Any:
        for name in self.order:
            x = getattr(self, name)(x)
        return x


def _require(module: Any, **expected: Any) -> None:
    for name, value in expected.items():
        if getattr(module, name, value) != value:
            raise ValueError(f"{name}={getattr(module, name)!r} has no twin here; only {value!r} has")


def _linear(m: Any) -> Module:
    return layers.Linear(m.in_features, m.out_features, bias=m.bias is not None)


def _convolution(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        _require(m, padding_mode="zeros")
        options = {"stride": m.stride, "padding": m.padding, "dilation": m.dilation, "groups": m.groups}
        if m.transposed:
            options["output_padding"] = m.output_padding
        return make(m.in_channels, m.out_channels, m.kernel_size, bias=m.bias is not None, **options)

    return build


def _max_pool(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        _require(m, ceil_mode=False, return_indices=False)
        return make(m.kernel_size, m.stride, m.padding, m.dilation)

    return build


def _average_pool(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        _require(m, ceil_mode=False, divisor_override=None)
        return make(m.kernel_size, m.stride, m.padding, m.count_include_pad)

    return build


def _adaptive(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        _require(m, return_indices=False)
        return make(m.output_size)

    return build


def _batch_norm(make: Callable[..., Module]) -> Build:
    return lambda m: make(m.num_features, m.eps, m.momentum, m.affine, m.track_running_stats)


def _embedding(m: Any) -> Module:
    _require(m, max_norm=None, scale_grad_by_freq=False, sparse=False)
    return embedding.Embedding(m.num_embeddings, m.embedding_dim, padding=m.padding_idx)


def _dropout(make: Callable[..., Module]) -> Build:
    return lambda m: make(float(m.p))


def _recurrent(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        options: dict[str, Any] = {"bidirectional": m.bidirectional, "batch_first": m.batch_first, "bias": m.bias}
        if m.proj_size:
            options["projection"] = m.proj_size
        if hasattr(m, "nonlinearity"):
            options["nonlinearity"] = m.nonlinearity
        # With one layer PyTorch's dropout has no place to act, and does nothing.
        rate = float(m.dropout) if m.num_layers > 1 else 0.0
        return make(m.input_size, m.hidden_size, m.num_layers, dropout=rate, **options)

    return build


def _cell(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        options = {"nonlinearity": m.nonlinearity} if hasattr(m, "nonlinearity") else {}
        return make(m.input_size, m.hidden_size, bias=m.bias, **options)

    return build


def _attention(m: Any) -> Module:
    _require(m, bias_k=None, bias_v=None, add_zero_attn=False)
    options = {"key_width": m.kdim, "value_width": m.vdim, "batch_first": m.batch_first}
    options["bias"] = m.in_proj_bias is not None
    return attention.MultiheadAttention(m.embed_dim, m.num_heads, float(m.dropout), **options)


def _transformer_layer(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        return make(m.self_attn.embed_dim, m.self_attn.num_heads, m.linear1.out_features, **_layer_options(m))

    return build


def _layer_options(m: Any) -> dict[str, Any]:
    """Of an encoder or decoder layer; its sites may have rates of their own, which the twin's layer has not."""
    rates = {m.self_attn.dropout, *(getattr(m, name).p for name in ("dropout", "dropout1", "dropout2"))}
    if len(rates) > 1:
        raise ValueError(f"dropout rates that differ within the layer, {sorted(rates)}, have no twin here")
    return {
        "p": float(m.dropout.p),
        "activation": _activation_name(m.activation),
        "norm_first": m.norm_first,
        "eps": m.norm1.eps,
        "bias": m.linear1.bias is not None,
        "causal": False,  # in PyTorch a mask of the call says so
        "batch_first": m.self_attn.batch_first,
    }


def _activation_name(activation: Any) -> str:
    name = (getattr(activation, "__name__", "") or type(activation).__name__).lower()
    if name not in ("relu", "gelu") or getattr(activation, "approximate", "none") != "none":
        raise ValueError(f"the activation {activation!r} has no twin here; relu and gelu have")
    return name


def _stack(make: Callable[..., Module]) -> Build:
    def build(m: Any) -> Module:
        first = m.layers[0]
        options = [_layer_options(layer) for layer in m.layers]
        if any(one != options[0] for one in options):
            raise ValueError("layers with different options have no twin here")
        sizes = first.self_attn.embed_dim, first.self_attn.num_heads, len(m.layers), first.linear1.out_features
        stack: Any = make(*sizes, final_norm=False, **options[0])
        stack.norm = None if m.norm is None else _twin(m.norm, "norm.")
        return stack

    return build


def _plain(make: Callable[[], Module]) -> Build:
    return lambda m: make()


def _flatten(m: Any) -> Module:
    _require(m, start_dim=1, end_dim=-1)
    return layers.Flatten()


def _softmax(m: Any) -> Module:
    _require(m, dim=-1)
    return layers.Softmax()


def _layer_norm(m: Any) -> Module:
    return normalisation.LayerNorm(m.normalized_shape, m.eps, m.elementwise_affine, bias=m.bias is not None)


_PLAIN = (layers.Identity, layers.ReLU, layers.Tanh, layers.Sigmoid, layers.SiLU, layers.SELU)
_DROPOUTS = (Dropout, Dropout1d, Dropout2d, Dropout3d, AlphaDropout, FeatureAlphaDropout)
_NUMBERED: tuple[tuple[Any, str, Callable[..., Build]], ...] = (  # one for each number of spatial axes
    (convolution, "Conv{}d", _convolution),
    (convolution, "ConvTranspose{}d", _convolution),
    (pooling, "MaxPool{}d", _max_pool),
    (pooling, "AvgPool{}d", _average_pool),
    (pooling, "AdaptiveAvgPool{}d", _adaptive),
    (pooling, "AdaptiveMaxPool{}d", _adaptive),
    (normalisation, "BatchNorm{}d", _batch_norm),
)
_BUILD: dict[str, Build] = {
    "Linear": _linear,
    "Embedding": _embedding,
    "MultiheadAttention": _attention,
    "LayerNorm": _layer_norm,
    "GroupNorm": lambda m: normalisation.GroupNorm(m.num_groups, m.num_channels, m.eps, m.affine),
    "Flatten": _flatten,
    "Softmax": _softmax,
    "GELU": lambda m: layers.GELU(m.approximate),
    "LeakyReLU": lambda m: layers.LeakyReLU(m.negative_slope),
    "ELU": lambda m: layers.ELU(m.alpha),
    "TransformerEncoderLayer": _transformer_layer(transformer.TransformerEncoderLayer),
    "TransformerDecoderLayer": _transformer_layer(transformer.TransformerDecoderLayer),
    "TransformerEncoder": _stack(transformer.TransformerEncoder),
    "TransformerDecoder": _stack(transformer.TransformerDecoder),
    **{layer.__name__: _plain(layer) for layer in _PLAIN},
    **{layer.__name__: _dropout(layer) for layer in _DROPOUTS},
    **{layer.__name__: _recurrent(layer) for layer in (recurrent.RNN, recurrent.LSTM, recurrent.GRU)},
    **{layer.__name__: _cell(layer) for layer in (cells.RNNCell, cells.LSTMCell, cells.GRUCell)},
    **{name.format(n): build(getattr(family, name.format(n))) for family, name, build in _NUMBERED for n in (1, 2, 3)},
}
