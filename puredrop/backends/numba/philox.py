"""One Philox block at a time, and numbers made of whole words of it.

Numba's cache notices edits of a kernel's own file only. The generator is frozen by the contract, so it may be shared.
"""

from __future__ import annotations

from numba import njit, uint64

from ...random.philox import MULTIPLIERS, ROUNDS, WEYL

M0, M1 = MULTIPLIERS
W0, W1 = WEYL


@njit(inline="always")
def philox(block, k0, k1, c1, c2, c3):  # type: ignore[no-untyped-def]
    """One block, as two 64-bit words in the order of the contract."""
    low, s = uint64(0xFFFFFFFF), uint64(32)
    c0, c1 = block & low, (block >> s) | c1
    for _ in range(ROUNDS):
        p0, p1 = c0 * uint64(M0), c2 * uint64(M1)
        c0, c1, c2, c3 = (p1 >> s) ^ c1 ^ k0, p1 & low, (p0 >> s) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + uint64(W0)) & low, (k1 + uint64(W1)) & low
    return c0 | (c1 << s), c2 | (c3 << s)
