"""The script for the day a GPU is at hand, run without one: a slip of the pen must not spoil that day."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from puredrop import backends
from puredrop.backends import emulation

ROOT = Path(__file__).parent.parent
RUN = [sys.executable, "-W", "error", "-m", "bench.gpu"]


def test_the_whole_day_on_the_host(tmp_path):
    if reason := emulation.missing():
        pytest.skip(reason)
    result = subprocess.run(
        [*RUN, "--host", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "host-emulation.json").read_text())
    assert found["environment"]["device"] == "host emulation"
    assert "host emulation" in result.stdout
    assert found["failed"] == []
    skipped = {one["name"]: one["reason"] for one in found["skipped"]}
    for name in ("graphs", "dlpack", "compute-sanitizer memcheck", "compute-sanitizer racecheck"):
        assert skipped[name] == "needs a device"
    assert found["rungs"]["table_of_variants"].startswith("3 passed, 0 failed")
    names = {(row["name"], row["element"]) for row in found["rows"]}
    assert {("device copy", "fp32"), ("puredrop forward = backward", "bf16")} <= names
    assert all(row["milliseconds"]["median"] > 0 and row["GB/s"] > 0 for row in found["rows"])
    assert len(found["targets"]) == 5


# No finder may find them, and no loader load them.
NUMPY_AND_CUPY_ALONE = """
import importlib.util, runpy, sys
absent = {"numba", "llvmlite", "scipy", "torch", "jax", "triton", "pytest", "hypothesis", "safetensors"}
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in absent else find_spec(name, package)
sys.modules |= dict.fromkeys(absent)
runpy.run_module("bench.gpu", run_name="__main__", alter_sys=True)
"""


def test_numpy_and_cupy_are_enough(tmp_path):
    if reason := emulation.missing():
        pytest.skip(reason)
    command = [sys.executable, "-W", "error", "-c", NUMPY_AND_CUPY_ALONE, "--host", "--out", str(tmp_path)]
    result = subprocess.run([*command, "--only", "times"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "host-emulation.json").read_text())
    assert {one["name"] for one in found["skipped"]} >= {"numba", "pytest", "hypothesis", "torch", "triton", "jax"}
    assert "skipped  times of PyTorch: the package 'torch' is not installed" in result.stdout
    assert {row["name"] for row in found["rows"]} >= {"device copy", "puredrop forward = backward"}


def test_without_a_device_it_says_why(tmp_path):
    if (reason := backends.why_not("cupy")) is None:
        pytest.skip("there is a device here")
    result = subprocess.run([*RUN, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, f"make gpu: {reason}\n")
    assert list(tmp_path.iterdir()) == []
