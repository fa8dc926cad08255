"""Beside masks that an H100 drew (`bench/gpu/verify_torch_cuda.py --golden`), and what other people's GPUs printed."""

from __future__ import annotations

import numpy as np

from ...streams import TorchCUDA
from .golden import compared
from .row import Counts, Row

# What was printed of `F.dropout` of ones with this seed: the sum, twice the number of kept ones at p = 0.5, or
# where the first and last three zeros lie. Sources: pytorch/pytorch issue 25690 (2019), intel/torch-xpu-ops issue 2926
# (2026).
SUMS = (("Tesla P100", 56, 999826), ("Tesla K80", 13, 999100))
ZEROS = (8, 14, 20, 2097121, 2097140, 2097151)


def published_sums() -> Counts:
    """A million ones at p = 0.5, seed 0: their sum after dropout."""
    wrong = 0
    for _, sm_count, total in SUMS:
        stream = TorchCUDA(0, sm_count=sm_count, threads_per_sm=2048, alignment=4)  # no vectors in PyTorch 1.2
        wrong += int(2 * stream.mask(1_000_000, 0.5).sum() != total)
    return Counts(len(SUMS), wrong)


def places_of_zeros() -> Counts:
    """2^21 elements at p = 0.1, seed 1, on a GeForce RTX 4080 SUPER."""
    keep = TorchCUDA(1, sm_count=80, threads_per_sm=1536).mask(2_097_152, 0.1)
    zeros = np.flatnonzero(~keep)[[0, 1, 2, -3, -2, -1]]
    return Counts(len(ZEROS), int((zeros != ZEROS).sum()))


def golden() -> Counts:
    """Masks that a GPU drew."""
    return compared("torch_cuda", lambda made: TorchCUDA(**made))


ROWS = (
    Row("torch.cuda", "dropout", "golden", golden),
    Row("torch.cuda", "dropout: sums that were published", "golden", published_sums),
    Row("torch.cuda", "dropout: zeros that were published", "golden", places_of_zeros),
)
