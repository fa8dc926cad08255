"""What only the kernels in Numba have: layouts of masks, arrays to write to, caches that fail, threads."""

import numpy as np
import pytest

from puredrop import Index, Key, backends
from puredrop.backends.select import select
from puredrop.random import threshold

if "numba" not in backends.available():
    pytest.skip("numba is not installed", allow_module_level=True)

NUMBA, REFERENCE = backends.get("numba"), backends.get("numpy")
MASKS = {
    "like x": ((3, 4, 5), (3, 4, 5)),
    "channels": ((6, 4, 1, 1), (6, 4, 3, 5)),
    "first": ((1, 4, 5), (7, 4, 5)),
    "middle": ((3, 1, 5), (3, 4, 5)),
    "two apart": ((2, 1, 3, 1), (2, 4, 3, 5)),
    "too many for a layout": ((1, 2, 1, 3), (4, 2, 3, 3)),
    "all": ((1, 1), (5, 7)),
    "fewer axes": ((5,), (3, 5)),
    "one": ((1,), (1,)),
    "empty": ((0, 1), (0, 5)),
    "a vector's remainder": ((1, 37), (11, 37)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("mask", "shape"), MASKS.values(), ids=MASKS)
def test_a_mask_at_hand_is_applied_as_the_reference_does(mask, shape, dtype, rng):
    x, keep = rng.standard_normal(shape).astype(dtype), np.asarray(rng.random(mask) < 0.6)
    x[x > 1.5], x[x < -1.5] = np.nan, -0.0
    other = rng.standard_normal(shape[1:]).astype(dtype)
    for strided in (x, x.copy(order="F")):
        for scale, shift, fill in (
            (1.25, None, 0.0),
            (1.25, 0.5, -2.0),
            (1.0, None, other),
            (1.0, 0.5, x[..., ::-1]),
        ):
            y = NUMBA.fused["select"](strided, keep, scale, shift, fill)
            expected = select(np, x, keep, scale, shift, fill)
            assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
            assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shared", [(), 0, 1, (2,), (0, 2), (1, 2)])
def test_an_array_may_be_dropped_where_it_lies(shared, rng):
    index = Index.whole((6, 5, 7), shared=shared)
    x = rng.standard_normal(index.shape).astype(np.float32)
    y = x.copy()
    for shift, fill in ((None, 0.0), (0.5, -1.0)):
        expected = REFERENCE.drop(y.copy(), Key(1), index, threshold(0.4), 1.5, shift, fill)
        NUMBA.fused["drop_into"](y, y, Key(1), index, threshold(0.4), 1.5, shift, fill)
        assert y.tobytes() == expected.tobytes()
