"""The door of the kit: point it at anybody's dropout."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from ..case import Case, Skipped
from ..matrix import _case
from .adapt import as_target
from .checks import DECISIVE, FOREIGN_CHECKS, why_not_foreign
from .finding import Finding, Report, Result
from .guard import Guard, Trouble
from .probe import Probe
from .target import Target

BROKEN = "the check could not cope with what came back"


def check(
    target: Any,
    like: str | Case = "dropout",
    *,
    arrays: Any = None,
    name: str | None = None,
    stream: Callable[[int], Any] | None = None,
    device: str | None = None,
    only: Collection[str] | None = None,
    seed: int = 0,
    time_limit: float = 20.0,
) -> Report:
    """Hold somebody's dropout against a variant, and say what is wrong with it.

    target: a function of (x, p, seed) and, if it likes, training and mask; x stands for all inputs of the variant.
        Parameters are known by name: p, rate, ratio, dropout_p, ...; seed, key (JAX), rng, generator; training,
        deterministic, inference; mask. It gives y, or (y, mask). Also: a `torch.nn.Module` or Keras layer (or a class
        or function of p that makes one), a function of PyTorch or JAX, an ONNX model, a pair (forward, backward) of
        kernels, or a `Target`.
    like: the name of the variant, or a `Case`.
    arrays: "numpy", "torch", "jax", or a module with `from_dlpack` or `asarray`; found out where it is not said.
    stream: seed -> the source of masks that replays the target, such as `puredrop.streams.TorchCPU`.
    device: where PyTorch's arrays go, such as "cuda".
    only: the names of some checks.
    seed: moves all draws of the report.
    time_limit: seconds after which a call counts as hung.
    Raises: TypeError or ValueError for a target that cannot be called, an unknown variant, check or device.

    >>> import numpy as np
    >>> def mine(x, p, seed):
    ...     keep = np.random.default_rng(seed).random(x.shape) >= p
    ...     return x * keep                                  # forgot to scale
    >>> report = check(mine, like="dropout")
    >>> [finding.check for finding in report.findings]
    ['scale', 'nonfinite', 'signed zero', 'shapes', 'whole numbers', 'half precision', 'rate errors']
    >>> print(report.findings[0].sentence)
    at p = 0.1 what is kept is 0.9 times what it must be: it is not scaled by 1 / (1 - p)
    """
    case = _case(like) if isinstance(like, str) else like
    chosen = _chosen(only)
    adapted = as_target(target, case, arrays=arrays, device=device)
    adapted = replace(adapted, name=name or adapted.name, stream=stream or adapted.stream)
    guard = Guard(time_limit)
    try:
        return run_checks(Probe(adapted, case, guard, seed), chosen)
    finally:
        guard.close()


def _chosen(only: Collection[str] | None) -> list[str]:
    for name in only or ():
        if name not in FOREIGN_CHECKS:
            raise ValueError(f"unknown check {name!r}; known are {', '.join(FOREIGN_CHECKS)}")
    return [name for name in FOREIGN_CHECKS if only is None or name in only]


def run_checks(probe: Probe, names: Collection[str]) -> Report:
    """Those checks of one target."""
    results: list[Result] = []
    decided: str | None = None
    for name in dict.fromkeys(("runs", *names)):
        result = Result(name, "skipped", decided) if decided else inspected(probe, name)
        if name == "runs":
            decided = "an ordinary call gives no result" if result.findings else None
            probe.masks = "unknown" if result.findings else _how_masks_are_known(probe)
        elif result.findings and name in ("scale", "values"):
            probe.distrust()
        elif result.findings and (name in DECISIVE or probe.guard.hung):
            decided = f"after the finding of {name!r}"
        if name in names or result.findings:
            results.append(result)
    return Report(probe.target.name, probe.case.name, probe.masks, tuple(results))


def _how_masks_are_known(probe: Probe) -> str:
    try:
        return probe.known()
    except (Skipped, Trouble):
        return "unknown"


def inspected(probe: Probe, name: str) -> Result:
    """One check. A target that raises or hangs where it must give a result is a finding of that check."""
    if (reason := why_not_foreign(probe.case, name)) is not None:
        return Result(name, "not_applicable", reason)
    began = time.perf_counter()
    try:
        findings = list(FOREIGN_CHECKS[name](probe))
    except Skipped as verdict:
        return Result(name, "skipped", str(verdict), seconds=time.perf_counter() - began)
    except Trouble as trouble:
        findings = [_of_trouble(probe, name, trouble)]
    except Exception as error:  # ours, and no verdict on the target
        reason = f"{BROKEN}: {type(error).__name__}: {error}"
        return Result(name, "skipped", reason, seconds=time.perf_counter() - began)
    named = tuple(replace(one, target=probe.target.name, like=probe.case.name) for one in findings)
    reason = named[0].sentence if named else None
    return Result(name, "failed" if named else "passed", reason, named, time.perf_counter() - began)


def _of_trouble(probe: Probe, name: str, trouble: Trouble) -> Finding:
    verb = "does not come back" if trouble.kind == "hung" else "raises"
    call = probe.last
    kind: Any = trouble.kind
    return Finding(name, kind, str(call), "a result", str(trouble), f"the call {verb}: {trouble}", call=call)


__all__ = ["Target", "check"]
