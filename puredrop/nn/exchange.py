"""Exchange with PyTorch: the twin of a module, its weights, and the way back. PyTorch is never imported here.

What a module is, is read off the name of its class and its attributes; parameters have PyTorch's names and layouts, so
that weights are copied by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import attention, convolution, embedding, layers, normalisation, pooling, recurrent, transformer
from .dropout import Dropout
from .module import Module
from .noise_layers import AlphaDropout, FeatureAlphaDropout
from .structured import Dropout1d, Dropout2d, Dropout3d

Build = Callable[[Any], Module]


def from_torch(module: Any) -> Module:
    """The puredrop twin of a `torch.nn` module, with its weights, dtype and mode.

    Supported are the layers named in the error for others, in `Sequential` and on their own. Call `.seed(s)` before
    the twin draws: masks are puredrop's own.
    Raises: TypeError for a layer, ValueError for an option, that has no twin here; both name it and where it stands.

    >>> import types
    >>> nothing = types.SimpleNamespace(children=lambda: iter(()))
    >>> from_torch(nothing)                                            # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: from_torch: no twin for SimpleNamespace; there is one for AdaptiveAvgPool1d, ...
    """
    twin = _twin(module, "")
    state = {name: np.array(value.detach().cpu()) for name, value in module.state_dict().items()}
    dtypes = {value.dtype for value in state.values() if value.dtype.kind == "f"}
    for dtype in dtypes:
        twin.astype(dtype)
    twin.load_state_dict(state)
    return twin.train() if module.training else twin.eval()


def to_torch_state_dict(model: Module) -> dict[str, Any]:
    """The weights of a model as tensors, for `load_state_dict` of the same model in PyTorch.

    Raises: RuntimeError where PyTorch has not been imported by whoever wants its tensors.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        raise RuntimeError("to_torch_state_dict: PyTorch is not imported; import torch first, or use model.state_dict()")
    return {name: torch.tensor(np.array(value)) for name, value in model.state_dict().items()}


def _twin(module: Any, where: str) -> Module:
    name = type(module).__name__
    if name == "Sequential":
        return layers.Sequential(*(_twin(child, f"{where}{i}.") for i, child in enumerate(module.children())))
    if name not in _BUILD:
        place = f" (at {where.rstrip('.')})" if where else ""
        raise TypeError(
            f"from_torch: no twin for {name}{place}; there is one for {', '.join(sorted({*_BUILD, 'Sequential'}))}"
        )
    try:
        return _BUILD[name](module)
    except ValueError as error:
        raise ValueError(f"from_torch: {name} at {where.rstrip('.') or 'the top'}: {error}") from None


def _require(module: Any, **expected: Any) -> None:
    for name, value in expected.items():
        if getattr(module, name, value) != value:
            raise ValueError(f"{name}={getattr(module, name)!r} has no twin here; only {value!r} has")
