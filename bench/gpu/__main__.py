"""The day a GPU is at hand: all rungs on the device, the table of variants, compute-sanitizer, then the times.

    make gpu                        # or python -m bench.gpu, from the checkout; NumPy and CuPy are enough
    python -m bench.gpu --host      # the same without a GPU, on a few elements: its times mean nothing

What is absent is named and passed over. Writes bench/results/<device>.json after every step; exit status 1 where
something does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "cupy", "numba", "pytest", "hypothesis", "torch", "triton", "jax")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
LONGEST = 75  # seconds for a tool


class Day:
    """What was found, kept on disk as it grows."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.host, self.budget, self.start = options.host, options.budget, time.monotonic()
        self.out = Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, Any] = {"environment": {}, "rungs": {}, "sanitizer": {}, "rows": [], "launch": {}}
        self.found |= {"skipped": [], "failed": []}

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Do something that may be absent, fail, or come too late."""
        from .rungs import NotHere

        began = time.monotonic()
        if began - self.start > self.budget:
            return self.skip(name, f"more than {self.budget:.0f} seconds had passed")
        try:
            result = work()
        except NotHere as absent:
            return self.skip(name, str(absent))
        except Exception as error:
            self.found["failed"].append({"name": name, "reason": f"{type(error).__name__}: {error}"})
            print(f"FAILED   {name}: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-4)
            result = None
        else:
            print(
                f"ok       {name} ({time.monotonic() - began:.1f} s){f': {result}' if isinstance(result, str) else ''}"
            )
        self.save()
        return result

    def skip(self, name: str, reason: str) -> None:
        """Note, by name, that something was not done."""
        self.found["skipped"].append({"name": name, "reason": reason})
        print(f"skipped  {name}: {reason}")

    def save(self) -> None:
        """Write what there is."""
        device = self.found["environment"].get("device", "unknown")
        self.found["seconds"] = round(time.monotonic() - self.start, 1)
        path = self.out / f"{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}.json"
        path.write_text(json.dumps(self.found, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the day."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="all rungs and times on a GPU")
    parser.add_argument("--host", action="store_true", help="without a GPU, on the host emulation")
    parser.add_argument("--only", nargs="*", choices=("rungs", "sanitizer", "times"), help="only these parts")
    parser.add_argument("--elements", type=int, default=1 << 28)
    parser.add_argument("--budget", type=float, default=420.0, help="seconds after which no step begins")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results"), help="the folder for the result")
    options = parser.parse_args(arguments)
    from puredrop.backends import why_not
    from puredrop.backends.emulation import host_emulation

    if not options.host and (reason := why_not("cupy")):
        print(f"make gpu: {reason}")
        return 2
    with host_emulation() if options.host else nullcontext():
        return run(Day(options), options)


def run(day: Day, options: argparse.Namespace) -> int:
    from . import rungs

    parts = options.only or ("rungs", "sanitizer", "times")
    day.step("environment", lambda: day.found["environment"].update(environment(day.host)))
    for package in PACKAGES:
        if day.found["environment"].get(package) is None:
            day.skip(package, "not installed; what needs it is passed over")
    names = rungs.SANITIZED if rungs.SANITIZED_BY in os.environ else tuple(rungs.RUNGS)
    for name in names if "rungs" in parts else ():
        day.found["rungs"][name] = day.step(name.replace("_", " "), lambda name=name: rungs.RUNGS[name](day.host))
    if "times" in parts:
        times(day, 1 << 12 if day.host else options.elements)
        launches(day)
        compared_with_targets(day)
    for tool in TOOLS if "sanitizer" in parts else ():
        day.found["sanitizer"][tool] = day.step(f"compute-sanitizer {tool}", lambda tool=tool: sanitized(tool, day))
    day.save()
    print("", table(day.found), sep="\n")
    return int(bool(day.found["failed"]))


def environment(host: bool) -> dict[str, Any]:
    """The device, the driver, the versions of what is installed."""
    import cupy

    from puredrop import __version__
    from puredrop.bench.environment import cpu_name, installed_version

    runtime = cupy.cuda.runtime
    found = {name: installed_version(name) for name in PACKAGES if name != "cupy"} | {"cupy": cupy.__version__}
    return {
        "device": runtime.getDeviceProperties(0)["name"].decode(),
        "compute capability": cupy.cuda.Device(0).compute_capability,
        "driver": runtime.driverGetVersion(),
        "CUDA": runtime.runtimeGetVersion(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "puredrop": __version__,
        **found,
    }


def sanitized(tool: str, day: Day) -> str:
    """The kernels under a tool of compute-sanitizer, in another process."""
    from . import rungs

    if day.host:
        raise rungs.NotHere("needs a device")
    program = shutil.which("compute-sanitizer")
    if program is None:
        raise rungs.NotHere("compute-sanitizer is not installed")
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "bench.gpu", "--only", "rungs"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = subprocess.run(
                [*command, "--out", folder], cwd=ROOT, env={**os.environ, rungs.SANITIZED_BY: tool},
                capture_output=True, text=True, timeout=LONGEST, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise rungs.NotHere(f"stopped after {LONGEST} seconds, without a finding so far") from None
    assert result.returncode == 0, f"exit status {result.returncode}: {(result.stdout + result.stderr)[-2000:]}"
    return "no errors"


def times(day: Day, n: int) -> None:
    """Every contender on n elements; fractions are of the device copy of the same type."""
    from . import peers
    from .device import Clock, free

    def measured(peer: Any, clock: Clock) -> str:
        count = 0
        for name, element, moved, work in peer(n, day.host):
            row = {"name": name, "element": element, "n": n, "milliseconds": clock.milliseconds(work)}
            row["bytes"], row["GB/s"] = int(moved * n), moved * n / row["milliseconds"]["median"] / 1e6
            day.found["rows"].append(row)
            count += 1
        return f"{count} rows"

    for name, peer in peers.PEERS.items():
        clock = Clock(day.host or name in peers.BY_HOST_CLOCK)
        day.step(f"times of {name}", lambda peer=peer, clock=clock: measured(peer, clock))
        if not day.host:
            free()
    copies = {row["element"]: row["GB/s"] for row in day.found["rows"] if row["name"] == "device copy"}
    for row in day.found["rows"]:
        row["of the copy"] = row["GB/s"] / copies[row["element"]] if row["element"] in copies else None


def launches(day: Day) -> None:
    """What a call costs the host, on 1,024 elements."""
    import cupy
    import numpy as np

    from puredrop import Index, Key, Tensor, dropout
    from puredrop.backends import cupy as backend
    from puredrop.random import threshold

    from .device import Clock
    from .peers import _torch

    clock, x, half = Clock(day.host), cupy.ones(1024, np.float32), threshold(0.5)
    t, index = Tensor(x, "cupy", requires_grad=True), Index.whole(1024)
    calls: dict[str, Callable[[], Callable[[], Any]]] = {
        "cupy.empty": lambda: lambda: cupy.empty(1024, np.float32),
        "backend.drop": lambda: lambda: backend.drop(x, Key(7), index, half, 2.0),
        "puredrop.dropout of an array": lambda: lambda: dropout(x, 0.5, key=Key(7)),
        "puredrop.dropout of a tensor": lambda: lambda: dropout(t, 0.5, key=Key(7)),
        "torch.native_dropout": lambda: _native(_torch(day.host), day.host),
    }
    for name, prepare in calls.items():
        cost = day.step(f"launch: {name}", lambda prepare=prepare: clock.microseconds_a_call(prepare()))
        day.found["launch"][name] = cost


def _native(torch: Any, host: bool) -> Callable[[], Any]:
    x = torch.ones(1024, device="cpu" if host else "cuda")
    return lambda: torch.native_dropout(x, 0.5, True)


def compared_with_targets(day: Day) -> None:
    """What was hoped for, and what came of it; no failure, for it is a measurement."""
    rows = {(row["name"], row["element"]): row for row in day.found["rows"]}

    def milliseconds(name: str, element: str) -> float | None:
        row = rows.get((name, element))
        return row and row["milliseconds"]["median"]

    targets = []
    for element in ("fp32", "fp16", "bf16"):
        row = rows.get(("puredrop forward = backward", element))
        targets.append((f"share of the device copy, {element}", 0.9, row and row["of the copy"]))
    ours = milliseconds("puredrop forward = backward", "fp16")
    both = [milliseconds(f"torch.native_dropout {way}", "fp16") for way in ("forward", "backward")]
    seeded = milliseconds("Triton, seeded", "fp16")
    targets.append(("times as fast as torch.native_dropout, fp16", 1.3, ours and all(both) and sum(both) / (2 * ours)))
    targets.append(("times as fast as the Triton kernel, fp16", 2.0, ours and seeded and seeded / ours))
    day.found["targets"] = [
        {"what": what, "wanted": wanted, "found": found or None, "reached": bool(found) and found >= wanted}
        for what, wanted, found in targets
    ]


def table(found: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{found['environment'].get('device')}, {found['seconds']} s"]
    for row in found["rows"]:
        share = "" if row.get("of the copy") is None else f"{row['of the copy']:7.1%} of the copy"
        milliseconds = row["milliseconds"]["median"]
        lines.append(f"{row['name']:34} {row['element']:5} {milliseconds:9.4f} ms {row['GB/s']:8.0f} GB/s {share}")
    for name, cost in found["launch"].items():
        if cost:
            lines.append(f"launch: {name:30} {cost['submitted']:8.2f} us submitted {cost['done']:8.2f} us done")
    for target in found.get("targets", []):
        value = "not measured" if target["found"] is None else f"{target['found']:.2f}"
        lines.append(f"target: {target['what']:46} {target['wanted']:.1f}, found {value}")
    lines += [f"skipped: {one['name']}: {one['reason']}" for one in found["skipped"]]
    lines += [f"FAILED: {one['name']}: {one['reason']}" for one in found["failed"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
