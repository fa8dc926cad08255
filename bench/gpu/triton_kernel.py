"""Dropout as Triton users write it: nothing is stored but a seed. Imported where Triton is installed."""

import triton
import triton.language as tl


@triton.jit
def seeded_dropout(x_pointer, y_pointer, n, p, seed, BLOCK: tl.constexpr):
    """y = where(rand > p, x / (1 - p), 0)."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
    x = tl.load(x_pointer + place, mask=inside)
    kept = tl.rand(seed, place) > p
    tl.store(y_pointer + place, tl.where(kept, x / (1 - p), 0.0), mask=inside)
