"""What all tests share."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from puredrop import backends
from puredrop.backends import emulation
from puredrop.backends.cuda import compiled

pytest_plugins = ["pytester"]  # for the tests of our own plugin

REQUIRED = {"PUREDROP_REQUIRE_TORCH": ("torch",), "PUREDROP_REQUIRE_JAX": ("jax", "flax", "equinox")}
for variable, packages in REQUIRED.items():
    missing = [package for package in packages if os.environ.get(variable) and find_spec(package) is None]
    if missing:
        raise RuntimeError(f"{variable} is set and {missing[0]} is not installed: its comparisons would be skipped")
LACKING = emulation.missing() or compiled.missing() or compiled.missing_disassembler()
if os.environ.get("PUREDROP_REQUIRE_CUPY") and LACKING:
    raise RuntimeError(f"PUREDROP_REQUIRE_CUPY is set; the tests of the CuPy backend would be skipped: {LACKING}")


# What works on arrays of NumPy. Arrays on a device have tests/test_cupy.py, where the same contract is held.
ON_HOST = tuple(name for name in backends.available() if backends.get(name).place is None)


@pytest.fixture(params=ON_HOST)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    """Every backend on arrays of NumPy in turn."""
    return backends.get(request.param)


def pytest_report_header() -> str:
    """Where the GPU backend's tests run, in words."""
    if backends.why_not("cupy") is None:
        return "cupy: on a device"
    return f"cupy: {emulation.missing() or 'host emulation; what that does not cover is skipped: needs a device'}"


@pytest.fixture(scope="module")
def cupy_backend() -> Iterator[backends.Backend]:
    """The CuPy backend on host memory, whether there is a device or not; skipped by name where something is missing."""
    if reason := emulation.missing():
        pytest.skip(reason)
    with emulation.host_emulation() as emulated:
        yield emulated


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def torch():
    """PyTorch on one thread; the test is skipped by name where it is not installed."""
    module = pytest.importorskip("torch", reason="PyTorch 2.13.0 is not installed: nothing to compare with")
    module.set_num_threads(1)
    return module


@pytest.fixture
def choose_backend(monkeypatch):
    """choose_backend(name) sets the environment variable, which is otherwise read once."""

    def choose(name):
        monkeypatch.setenv("PUREDROP_BACKEND", name)
        backends.default_name.cache_clear()

    yield choose
    backends.default_name.cache_clear()
