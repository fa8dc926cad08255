"""The index rule: an index behaves as an array of element numbers does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredrop import Index

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@st.composite
def slicings(draw):
    shape = draw(shapes)
    shared = tuple(axis for axis in range(len(shape)) if draw(st.booleans()))
    parts = tuple(slice(draw(st.integers(0, n)), draw(st.integers(0, n)), draw(st.integers(1, 3))) for n in shape)
    rows = draw(st.none() | st.lists(st.integers(0, shape[0] - 1), max_size=5))
    return shape, shared, parts, rows


@settings(max_examples=200, deadline=None, derandomize=True)
@given(slicings())
def test_slicing_an_index_is_slicing_the_array_of_its_elements(case):
    shape, shared, parts, rows = case
    index = Index.whole(shape, shared)
    noise_shape = tuple(1 if axis in shared else n for axis, n in enumerate(shape))
    elements = np.broadcast_to(np.arange(np.prod(noise_shape)).reshape(noise_shape), shape)
    if rows is not None:
        index, elements = index[np.array(rows, int)], elements[np.array(rows, int)]
    index, elements = index[parts], elements[parts]
    assert index.shape == elements.shape
    if elements.size:
        assert np.array_equal(np.broadcast_to(index.elements(), index.shape), elements)
    starts, length = index.runs
    assert np.array_equal((starts[:, None] + np.arange(length)).ravel(), index.elements().ravel())


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (2, 0, 3), (0,)])
def test_empty_axes_are_not_shared_ones(shape):
    assert Index.whole(shape).noise_shape == shape == Index.whole(shape).elements().shape


def test_whole_arrays_are_one_run():
    assert [Index.whole((4, 5, 6)).runs[1], Index.whole((4, 1, 6), shared=1).runs[1], Index.whole(()).runs[1]] == [
        120,
        24,
        1,
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Index.whole((2, 3), shared=2), "shared axes"),
        (lambda: Index.whole((-1,)), "negative"),
        (lambda: Index.whole((1 << 48, 2)), "beyond 2\\^48"),
        (lambda: Index((2,), (1,), offset=(1 << 48) - 1), "element number 281474976710656 is beyond 2\\^48"),
        (lambda: Index.whole((3,))[0:1, 0:1], "2 subscripts for 1 axes"),
        (lambda: Index.whole((3,))[::-1], "positive step"),
        (lambda: Index.whole((3, 3))[:, [0]], "only axis 0"),
        (lambda: Index.whole((3,))[[3]], "rows must lie in"),
        (lambda: Index.whole((3,))[[-1]], "rows must lie in"),
    ],
)
def test_bad_indices(make, message):
    with pytest.raises((IndexError, ValueError), match=message):
        make()
