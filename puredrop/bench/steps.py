"""Training steps of whole models beside PyTorch's: forward, backward and the update, on one thread.

Each model is built in PyTorch, and `nn.from_torch` makes its twin (that of a stack from its members): the same layers,
weights and rates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import nn, optim
from .environment import environment
from .report import machine, remarks, spread_text, versions
from .stack import stacked_in_torch, twin_of
from .timing import Call, interleaved, one_thread, spread

LEARNING_RATE = 1e-3
Step = tuple[Any, np.ndarray, Callable[[Any, Any], Any]]  # PyTorch's model, the input, its loss in a library's terms


def mlp(torch: Any) -> Step:
    """784-512-512-10 with ReLU and dropout 0.5, 128 images."""
    n = torch.nn
    hidden = [n.Linear(784, 512), n.ReLU(), n.Dropout(0.5), n.Linear(512, 512), n.ReLU(), n.Dropout(0.5)]
    return n.Sequential(*hidden, n.Linear(512, 10)), _normal(128, 784), _classes(128)


def lstm(torch: Any) -> Step:
    """Two layers of 200 with dropout 0.5 between them, 32 sequences of 35 steps."""
    return torch.nn.LSTM(200, 200, num_layers=2, dropout=0.5), _normal(35, 32, 200), lambda lib, y: (y[0] * y[0]).mean()


def lenet(torch: Any) -> Step:
    """LeNet on 64 images of 28 x 28, dropout 0.5 before its last two layers."""
    n = torch.nn
    maps = [n.Conv2d(1, 6, 5), n.ReLU(), n.MaxPool2d(2), n.Conv2d(6, 16, 5), n.ReLU(), n.MaxPool2d(2), n.Flatten()]
    dense = [n.Linear(256, 120), n.ReLU(), n.Dropout(0.5), n.Linear(120, 84), n.ReLU(), n.Dropout(0.5)]
    return n.Sequential(*maps, *dense, n.Linear(84, 10)), _normal(64, 1, 28, 28), _classes(64)


def transformer(torch: Any) -> Step:
    """Two encoder layers of width 128 with 4 heads and dropout 0.1, 16 sequences of 64 tokens."""
    layer = torch.nn.TransformerEncoderLayer(128, 4, 512, dropout=0.1, activation="gelu", batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return model, _normal(16, 64, 128), lambda lib, y: (y * y).mean()


def stack(torch: Any) -> Step:
    """20 nets 6-50-1 with ReLU and dropout 0.05 before each layer, trained as one, 128 examples for each."""
    n = torch.nn
    nets = [
        n.Sequential(n.Dropout(0.05), n.Linear(6, 50), n.ReLU(), n.Dropout(0.05), n.Linear(50, 1)) for _ in range(20)
    ]
    return stacked_in_torch(torch, nets), _normal(20, 128, 6), lambda lib, y: (y * y).mean()


MODELS: dict[str, Callable[[Any], Step]] = {
    "mlp": mlp,
    "lstm": lstm,
    "lenet": lenet,
    "transformer": transformer,
    "stack": stack,
}


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _classes(rows: int) -> Callable[[Any, Any], Any]:
    labels = np.random.default_rng(1).integers(0, 10, rows)

    def loss(lib: Any, y: Any) -> Any:
        return lib.cross_entropy(y, lib.asarray(labels))

    return loss


def run_steps(
    models: Sequence[str] | None = None,
    backend: str | None = None,
    rounds: int = 101,
    seconds: float = 60.0,
    progress: Callable[[int, int, str], object] | None = None,
) -> dict[str, Any]:
    """Time a training step of each model (or of those named) against PyTorch, interleaved, on one thread.

    Returns, ready for JSON: "environment", "suite", "skipped", "interrupted" and "rows", each with "model", "about",
    "rounds", the spreads ({"median", "low", "high"}) of "puredrop_ms", "torch_ms" and "ratio", and "ratio_of_minima".
    Raises: ImportError without PyTorch; ValueError for a model that is not known.
    """
    if find_spec("torch") is None:
        raise ImportError("bench layers compares with PyTorch: pip install torch==2.13.0 (its CPU build is enough)")
    names = list(models or MODELS)
    if unknown := sorted(set(names) - set(MODELS)):
        raise ValueError(f"bench: unknown model {', '.join(unknown)}; known are {', '.join(MODELS)}")
    import torch
    from threadpoolctl import threadpool_limits

    rows: list[dict[str, Any]] = []
    interrupted = False
    tell = progress or (lambda done, total, text: None)
    with one_thread(), threadpool_limits(1, user_api="blas"):
        where = environment()
        try:
            for name in names:
                tell(len(rows), len(names), name)
                rows.append(_row(torch, name, backend, rounds, seconds / len(names)))
            tell(len(rows), len(names), "")
        except KeyboardInterrupt:
            interrupted = True
    return {"environment": where, "suite": "layers", "skipped": [], "interrupted": interrupted, "rows": rows}


def _row(torch: Any, name: str, backend: str | None, rounds: int, seconds: float) -> dict[str, Any]:
    torch.manual_seed(0)
    calls = step_calls(torch, *MODELS[name](torch), backend)
    times = interleaved(calls, rounds, seconds, time.perf_counter_ns)
    ours, theirs = times["puredrop"], times["torch"]
    return {
        "model": name,
        "about": (MODELS[name].__doc__ or "").rstrip("."),
        "rounds": len(ours),
        "puredrop_ms": spread(ours / 1e6),
        "torch_ms": spread(theirs / 1e6),
        "ratio": spread(ours / theirs),
        "ratio_of_minima": float(f"{ours.min() / theirs.min():.4g}"),
    }


def step_calls(torch: Any, model: Any, x: np.ndarray, loss: Callable[[Any, Any], Any], backend: Any) -> dict[str, Call]:
    """One step of puredrop's twin and one of PyTorch's model, as calls."""
    twin = twin_of(model)
    twin = twin.to(backend) if backend else twin
    return {
        "puredrop": partial(_step, _Ours, twin, optim.SGD(twin.parameters(), LEARNING_RATE), twin.placed(x), loss),
        "torch": partial(
            _step,
            _Theirs(torch),
            model,
            torch.optim.SGD(model.parameters(), LEARNING_RATE),
            torch.from_numpy(x),
            loss,
        ),
    }


def _step(library: Any, model: Any, optimizer: Any, x: Any, loss: Callable[[Any, Any], Any]) -> None:
    optimizer.zero_grad()
    loss(library, model(x)).backward()
    optimizer.step()


class _Ours:
    cross_entropy = staticmethod(nn.cross_entropy)
    asarray = staticmethod(np.asarray)


class _Theirs:
    def __init__(self, torch: Any) -> None:
        self.cross_entropy, self.asarray = torch.nn.functional.cross_entropy, torch.as_tensor


def steps_table(result: dict[str, Any]) -> str:
    """A line for each model: milliseconds of a step, and the ratio to PyTorch's with its quartiles."""
    cores = ", ".join(f"{one['library']} with kernels for {one['core']}" for one in result["environment"]["blas"])
    where = result["environment"]
    lines = [f"{machine(where)}, one thread, float32", versions(where), f"matrix products: {cores or 'unknown'}", ""]
    lines.append(f"{'model':<12}  {'puredrop, ms':<20}  {'torch, ms':<20}  {'/ torch':<20}  min / min")
    for row in result["rows"]:
        cells = (spread_text(row[name]) for name in ("puredrop_ms", "torch_ms", "ratio"))
        lines.append(
            f"{row['model']:<12}" + "".join(f"  {cell:<20}" for cell in cells) + f"  {row['ratio_of_minima']:.2f}"
        )
    return "\n".join([*lines, *remarks(result)])
