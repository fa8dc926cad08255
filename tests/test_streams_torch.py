"""PyTorch's generator on the CPU: the state taken over and handed back, refusals, and how our arrays lie in memory."""

import numpy as np
import pytest

import puredrop
from puredrop import backends, nn, ops
from puredrop.conformance.streams import torch as rows
from puredrop.conformance.streams import torch_attention, torch_compiled
from puredrop.streams import TorchCompile, TorchCPU, draw_from, torch_mkl
from puredrop.streams.memory_order import in_memory_order, memory_order
from puredrop.streams.mersenne import Mersenne
from puredrop.streams.torch_values import ALPHA


@pytest.mark.parametrize(
    "row", [*torch_attention.ROWS, *torch_compiled.ROWS], ids=lambda row: f"{row.library}: {row.operation}"
)
def test_a_row(row):
    elements, mismatches = row.compare()
    assert mismatches == 0
    assert elements > 0


