"""Checks against PyTorch: live where it is installed, against results it once gave everywhere."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...gradcheck import relative_error
from ...random import Key
from ...tensor import Tensor
from ..case import Case, Failed, Skipped, Subject, called, normal
from .values import rates, require

RATES = (0.1, 0.5, 0.9)
BOUND = {"float32": 1e-6, "float64": 1e-12}
VERIFIED_WITH = "2.13.0"


def autograd(subject: Subject) -> float:
    """The formula in PyTorch, with what was drawn here: values, and by its autograd the gradient of every input."""
    _require_pytorch()
    return max(_autograd_error(subject, p) for p in rates(subject))


def _autograd_error(subject: Subject, p: float) -> float:
    import torch

    case, inputs = subject.case, subject.case.example(5, 8)
    noise = subject.noise(inputs, p, 17)
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    ours = [Tensor(a, subject.backend, requires_grad=True) if a.dtype.kind == "f" else a for a in inputs]
    z = case.formula(torch, *theirs, torch.tensor(np.array(noise)), p)
    y = called(case, *ours, p, key=Key(17), backend=subject.backend)
    g = normal(*y.shape, seed=1)
    y.backward(g)
    z.backward(torch.tensor(g))
    errors = [relative_error(y, z.detach().numpy())]
    for mine, yours in zip(ours, theirs, strict=True):
        if isinstance(mine, Tensor):
            expected = np.zeros(mine.shape) if yours.grad is None else yours.grad.numpy()
            errors.append(relative_error(np.zeros(mine.shape) if mine.grad is None else mine.grad, expected))
    return require(max(errors), BOUND["float64"], f"at p = {p} values or gradients differ from PyTorch's autograd")


def _require_pytorch() -> None:
    if find_spec("torch") is None:
        raise Skipped(f"PyTorch is not installed; pip install torch=={VERIFIED_WITH} (its CPU build is enough)")


def live(subject: Subject) -> float:
    """PyTorch's own operation and its gradient, its mask read off that and injected here."""
    _require_pytorch()
    return max(_compare(subject, run) for run in pytorch_runs(subject.case))


def golden(subject: Subject) -> float:
    """The same against results that PyTorch gave when this version of puredrop was made."""
    with (files("puredrop.conformance") / "golden" / f"pytorch_{subject.case.pytorch}.npz").open("rb") as file:
        stored = np.load(file)
        runs = [{name: stored[f"{i}.{name}"] for name in ("x", "p", "g", "keep", "y", "dx")} for i in stored["runs"]]
    return max(_compare(subject, run) for run in runs)


def pytorch_runs(case: Case) -> list[dict[str, Any]]:
    """What PyTorch's own operation gives: x, p, g, the mask, y and dx. Its gradient is 0 where it dropped."""
    import torch

    assert case.pytorch is not None
    shape = case.inputs(4, 8)[0].shape
    runs = []
    for seed, p in enumerate(RATES):
        for dtype in ("float32", "float64"):
            x, g = (normal(*shape, seed=s).astype(dtype) for s in (seed, seed + 100))
            torch.manual_seed(seed)
            leaf = torch.tensor(x, requires_grad=True)
            y = getattr(torch.nn.functional, case.pytorch)(leaf, p, training=True)
            y.backward(torch.tensor(g))
            dx = leaf.grad.numpy()
            runs.append({"x": x, "p": p, "g": g, "keep": dx != 0, "y": y.detach().numpy(), "dx": dx})
    return runs


def _compare(subject: Subject, run: dict[str, Any]) -> float:
    x = Tensor(run["x"], subject.backend, requires_grad=True)
    y = called(subject.case, x, float(run["p"]), mask=run["keep"], backend=subject.backend)
    y.backward(run["g"])
    error = max(relative_error(y, run["y"]), relative_error(x.grad, run["dx"]))
    bound = BOUND[str(run["x"].dtype)]
    if not error <= bound:
        raise Failed(f"with PyTorch's own mask at p = {run['p']} values differ by {error:.1e}, bound {bound:.0e}")
    return error
