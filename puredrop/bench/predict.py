"""Monte-Carlo prediction of whole models beside the loop that one writes in PyTorch. The size is the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import backends, nn
from ..uncertainty import predict_samples
from .scaling import P, pytorch
from .suite import Contender, Suite
from .timing import Call

Made = tuple[Any, np.ndarray]  # PyTorch's model, and its input


def mlp(torch: Any, rows: int) -> Made:
    """784-256-256-10 with ReLU and dropout."""
    n = torch.nn
    hidden = [n.Linear(784, 256), n.ReLU(), n.Dropout(P), n.Linear(256, 256), n.ReLU(), n.Dropout(P)]
    return n.Sequential(*hidden, n.Linear(256, 10)), _normal(rows, 784)


def small_cnn(torch: Any, rows: int) -> Made:
    """Two convolutions with pooling, dropout before both dense layers: the draws come late."""
    n = torch.nn
    maps = [n.Conv2d(1, 8, 3), n.ReLU(), n.MaxPool2d(2), n.Conv2d(8, 16, 3), n.ReLU(), n.MaxPool2d(2), n.Flatten()]
    dense = [n.Dropout(P), n.Linear(400, 64), n.ReLU(), n.Dropout(P), n.Linear(64, 10)]
    return n.Sequential(*maps, *dense), _normal(rows, 1, 28, 28)


MODELS: dict[str, Callable[[Any], Made]] = {
    "MLP, 1 row": partial(mlp, rows=1),
    "MLP, 128 rows": partial(mlp, rows=128),
    "small CNN, 16 rows": partial(small_cnn, rows=16),
}


def suite(names: Sequence[str] | None = None) -> Suite:
    """The contenders. Models are built in PyTorch, and `nn.from_torch` makes their twins, so nothing runs without it.

    Raises: ValueError or ImportError for a named backend that is unknown or not installed.
    """
    chosen = list(names or (backends.default_name(),))
    for name in chosen:
        backends.get(name)
    return Suite(
        name="predict",
        passes=tuple(MODELS),
        contenders=(
            Contender("torch", in_torch),
            *(Contender(f"puredrop[{name}]", partial(in_puredrop, name)) for name in chosen),
        ),
        inputs=lambda samples: (samples,),
        p=P,
        dtype="float32",
        floor="torch",
        sizes=(100,),
    )


def in_torch(samples: int) -> dict[str, Call]:
    """A forward pass for each sample, in training mode and without gradients."""
    torch = pytorch()

    def predict(model: Any, x: Any) -> Any:
        with torch.no_grad():
            return torch.stack([model(x) for _ in range(samples)])

    made = ((name, _made(torch, name)) for name in MODELS)
    return {name: partial(predict, model.train(), torch.from_numpy(x)) for name, (model, x) in made}


def in_puredrop(backend: str, samples: int) -> dict[str, Call]:
    """`uncertainty.predict_samples` of the twins."""
    made = ((name, _made(pytorch(), name)) for name in MODELS)
    twins = ((name, nn.from_torch(model).seed(0).to(backend), x) for name, (model, x) in made)
    return {name: partial(predict_samples, twin, x, samples) for name, twin, x in twins}


def _made(torch: Any, name: str) -> Made:
    torch.manual_seed(0)
    return MODELS[name](torch)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
