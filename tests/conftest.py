"""What all tests share."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

from puredrop import backends

pytest_plugins = ["pytester"]  # for the tests of our own plugin

if os.environ.get("PUREDROP_REQUIRE_TORCH") and find_spec("torch") is None:
    raise RuntimeError("PUREDROP_REQUIRE_TORCH is set and PyTorch is not installed: its comparisons would be skipped")


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    """Every installed backend in turn."""
    return backends.get(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def torch():
    """PyTorch on one thread; the test is skipped by name where it is not installed."""
    module = pytest.importorskip("torch", reason="PyTorch 2.13.0 is not installed: nothing to compare with")
    module.set_num_threads(1)
    return module
