"""The door of dropout and keep_mask, injected masks, enumeration; the rest is in the conformance table."""

import numpy as np
import pytest

import puredrop
from puredrop import Index, Key, Tensor, dropout, keep_mask
from puredrop.streams import Given, enumerate_masks

X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize("p", [float("nan"), -0.1, 1.1, float("inf"), np.array([0.5, 1.5, 0.5, 0.5])])
@pytest.mark.parametrize(
    "call", [lambda p: dropout(X, p, key=Key(0)), lambda p: keep_mask(Key(0), 4, p), puredrop.nn.Dropout]
)
def test_rates_outside_0_to_1(call, p):
    with pytest.raises(ValueError, match=r"(?i)dropout|keep_mask: p must lie in \[0, 1\]"):
        call(p)


@pytest.mark.parametrize("p", [True, np.True_, "0.5", None, [0.5], 0.5j])
@pytest.mark.parametrize(
    "call", [lambda p: dropout(X, p, key=Key(0)), lambda p: keep_mask(Key(0), 4, p), puredrop.nn.Dropout]
)
def test_rates_that_are_no_numbers(call, p):
    with pytest.raises(TypeError, match=r"p must be a number in \[0, 1\], got .*; it is the probability of dropping"):
        call(p)


@pytest.mark.parametrize("x", [np.arange(3), np.ones(3, bool), Tensor([1, 2])])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_whole_numbers_are_refused_at_every_rate(x, p):
    with pytest.raises(TypeError, match=r"dropout: x must be floating-point, got dtype .*convert it first"):
        dropout(x, p, key=Key(0))


def test_no_key_says_what_to_give():
    with pytest.raises(ValueError, match=r"dropout: nothing to draw with; give key=Key\(seed\), or mask="):
        dropout(X, 0.5)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((3, 4)), TypeError, "a mask must be boolean"),
        (np.ones((2, 4), bool), ValueError, r"shape \(2, 4\) does not broadcast to the array's shape \(3, 4\)"),
        (np.ones((1, 3, 4), bool), ValueError, "does not broadcast"),
    ],
)
def test_masks_that_do_not_fit(mask, error, message):
    with pytest.raises(error, match=message):
        dropout(X, 0.5, mask=mask)


def test_an_index_that_does_not_fit():
    with pytest.raises(
        ValueError, match=r"an index of shape \(2, 2\) with 1 key\(s\) does not fit x of shape \(3, 4\)"
    ):
        dropout(X, 0.5, key=Key(0), index=Index.whole((2, 2)))


@pytest.mark.parametrize("key", [7, [Key(0), Key(1)], (), (Key(0), 1), "7", puredrop.Rng(7)])
@pytest.mark.parametrize(
    "call", [lambda k: dropout(X, 0.5, key=k), lambda k: dropout(X, 0.0, key=k), lambda k: keep_mask(k, 3, 0.5)]
)
def test_keys_that_are_none(key, call):
    with pytest.raises(TypeError, match=r"key must be a Key, or a tuple of Keys for a leading axis"):
        call(key)


@pytest.mark.parametrize("mask", [None, np.ones((3, 4), bool)])
def test_as_many_keys_as_rows_of_the_leading_axis(backend, mask):
    """Too few keys once left memory uninitialised, too many wrote beyond it."""
    for count in (1, 2, 4, 40):
        with pytest.raises(
            ValueError, match=rf"{count} keys need a leading axis of size {count}, got x of shape \(3, 4\)"
        ):
            dropout(X, 0.5, key=tuple(Key(i) for i in range(count)), mask=mask, backend=backend)


@pytest.mark.parametrize("index", [Index.whole((4, 3)), Index.whole(12), Index.whole((3, 4, 1))])
def test_an_index_of_the_same_size_but_another_shape(index):
    with pytest.raises(ValueError, match="does not fit x of shape"):
        dropout(X, 0.5, key=Key(0), index=index)


def test_index_and_shared_exclude_each_other():
    with pytest.raises(ValueError, match="give either index or shared"):
        dropout(X, 0.5, key=Key(0), index=Index.whole((3, 4)), shared=0)
    with pytest.raises(ValueError, match="an Index knows its shared axes"):
        keep_mask(Key(0), Index.whole((3, 4)), 0.5, shared=0)
    with pytest.raises(TypeError, match=r"index must be an Index, got \(3, 4\)"):
        dropout(X, 0.5, key=Key(0), index=(3, 4))
    with pytest.raises(TypeError, match=r"shape must be a whole number or several, got \(3.5, 2\)"):
        keep_mask(Key(0), (3.5, 2), 0.5)


def test_an_injected_mask_is_followed_at_p_0_too():
    keep = np.arange(12).reshape(3, 4) % 2 == 0
    y, used = dropout(X, 0.0, mask=keep[:1], return_mask=True)
    assert np.array_equal(y, np.broadcast_to(keep[:1], (3, 4)))
    assert used.shape == (3, 4)


def test_scale_rounding_names():
    with pytest.raises(ValueError, match="scale_rounding must be 'float32' or 'dtype', got 'float64'"):
        dropout(X, 0.5, key=Key(0), scale_rounding="float64")


def test_unusual_arrays(backend):
    expected = dropout(X, 0.5, key=Key(0))
    assert np.array_equal(dropout(X.astype(">f4"), 0.5, key=Key(0), backend=backend), expected)
    assert np.array_equal(dropout(X.tolist(), 0.5, key=Key(0), backend=backend), expected)
    with pytest.raises(TypeError, match="a masked array would lose its mask"):
        dropout(np.ma.array(X), 0.5, key=Key(0), backend=backend)


def test_accepts_every_kind_of_number():
    expected = dropout(X, 1.0, key=Key(0))
    for p in (1, np.int64(1), np.float32(1), np.array(1.0)):
        assert np.array_equal(dropout(X, p, key=Key(0)), expected)


def test_a_rate_for_each_column(backend):
    p = np.array([0.0, 0.3, 0.9, 1.0])
    x = np.ones((4000, 4))
    y = dropout(x, p, key=Key(1), backend=backend)
    keep = keep_mask(Key(1), x.shape, p, backend=backend)
    assert np.array_equal(y, np.where(keep, 1 / np.where(p < 1, 1 - p, 1), 0))
    assert np.array_equal(keep[:, 1], keep_mask(Key(1), x.shape, 0.3, backend=backend)[:, 1])
    assert abs(keep.mean(0) - (1 - p)).max() < 0.04


def test_shared_axes_share_and_others_do_not(backend):
    x = np.ones((40, 50, 6), np.float32)
    y = dropout(x, 0.5, key=Key(2), shared=2, backend=backend)
    assert (y == y[:, :, :1]).all()
    assert np.array_equal(y[..., 0] != 0, keep_mask(Key(2), (40, 50), 0.5, backend=backend))
    y = dropout(x, 0.5, key=Key(2), shared=(0, -1), backend=backend)
    assert (y == y[:1, :, :1]).all()
    assert 0 < (y[0, :, 0] != 0).sum() < 50


def test_keys_on_the_leading_axis_are_the_keys_one_by_one(backend):
    keys = tuple(Key(1, sample=t) for t in range(5))
    x = np.random.default_rng(0).standard_normal((5, 3, 7))
    together = dropout(x, 0.4, key=keys, backend=backend)
    assert np.array_equal(together, [dropout(x[t], 0.4, key=keys[t], backend=backend) for t in range(5)])


def test_the_scale_is_rounded_once_in_float32_or_as_pytorch_does():
    x = (1 + np.arange(4096) / 4096).astype(np.float16)
    keep = np.ones(4096, bool)
    exact = x.astype(np.float64) / 0.9
    ours = dropout(x, 0.1, mask=keep).astype(np.float64)
    theirs = dropout(x, 0.1, mask=keep, scale_rounding="dtype").astype(np.float64)
    assert np.array_equal(ours, (x.astype(np.float32) * np.float32(1 / 0.9)).astype(np.float16))
    assert np.array_equal(theirs, (x.astype(np.float32) * np.float32(np.float16(1 / 0.9))).astype(np.float16))
    assert abs((ours / exact).mean() - 1) < 2e-5 < abs((theirs / exact).mean() - 1)


def test_pytorch_rounds_its_half_precision_scale_as_we_say(torch):
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float16)
    torch.manual_seed(0)
    theirs = torch.nn.functional.dropout(torch.tensor(x), 0.1).numpy()
    ours = dropout(x, 0.1, mask=theirs != 0, scale_rounding="dtype")
    assert np.array_equal(ours, np.where(theirs != 0, theirs, 0))


def test_given_masks_in_order_by_site_and_used_up():
    a, b = np.array([True, False]), np.array([False, True])
    with puredrop.draw_from(Given([a, b])):
        assert dropout(np.ones(2), 0.5).tolist() == [2.0, 0.0]
        assert dropout(np.ones(2), 0.5).tolist() == [0.0, 2.0]
        with pytest.raises(LookupError, match="all 2 given masks are used up; this draw is number 3"):
            dropout(np.ones(2), 0.5)
    with puredrop.draw_from(Given({4: a})):
        assert dropout(np.ones(2), 0.5, key=Key(0, site=4)).tolist() == [2.0, 0.0]
        with pytest.raises(LookupError, match=r"no mask was given for site 5; given are sites \[4\]"):
            dropout(np.ones(2), 0.5, key=Key(0, site=5))


def test_enumeration_weighs_every_mask():
    weights = [q for q, _ in enumerate_masks(lambda: dropout(np.ones(3), np.array([0.25, 0.0, 1.0])))]
    assert sorted(weights) == [0.25, 0.75]
    with pytest.raises(ValueError, match=r"needs 2\^30 masks, more than the limit"):
        list(enumerate_masks(lambda: dropout(np.ones(30), 0.5)))


@pytest.mark.parametrize("wanted", [True, False])
def test_enumeration_where_later_draws_depend_on_earlier_ones(wanted):
    def f():
        first = dropout(np.ones(1), 0.25)[0]
        return first, (dropout(np.ones(2), 0.5).tolist() if (first > 0) == wanted else None)

    branches = list(enumerate_masks(f))
    assert len(branches) == 5
    assert sum(q for q, _ in branches) == 1
    assert sum(q for q, (first, _) in branches if first) == 0.75


def test_a_row_that_an_index_names_twice_is_one_decision_for_a_source_too():
    x, index = np.ones((4, 1)), Index.whole((9, 1))[[8, 3, 8, 8]]
    values = list(enumerate_masks(lambda: dropout(x, 0.25, index=index)))
    assert sorted(q for q, _ in values) == [0.25 * 0.25, 0.25 * 0.75, 0.75 * 0.25, 0.75 * 0.75]
    assert all(y[0] == y[2] == y[3] for _, y in values)


@pytest.mark.parametrize(("shape", "p"), [((2, 3, 1), np.array([[0.1], [0.2], [0.1]])), ((6, 1), 0.2)])
def test_beside_several_keys_a_source_is_asked_for_equal_rows_once(shape, p):
    """Whether the keys stand in front of the rows or are merged with them; rates belong to rows."""
    asked = []

    class Signs:
        rule, real = Given(()).rule, Given(()).real

        def keep(self, request):
            x, draw, p = request[1:4]
            asked.append((x.ravel().tolist(), draw.index.elements().ravel().tolist(), np.ravel(p).tolist()))
            return x > 0

    x = np.array([1.0, -2.0, 1.0, -3.0, 4.0, -3.0]).reshape(shape)
    with puredrop.draw_from(Signs()):
        y = dropout(x, p, key=(Key(0), Key(1)), index=Index.whole((9, 1))[[7, 2, 7]])
    assert asked == [([-2, 1, 4, -3], [2, 7], [0.2, 0.1] if np.ndim(p) else [0.2])]
    assert (y > 0).ravel().tolist() == [True, False, True, False, True, False]


def test_draw_from_needs_a_source():
    with (
        pytest.raises(TypeError, match=r"for masks write streams\.Given\(masks\)"),
        puredrop.draw_from([np.ones(2, bool)]),
    ):
        pass


def test_enumeration_of_something_without_dropout_is_one_value():
    assert list(enumerate_masks(lambda: 7)) == [(1.0, 7)]


def test_overflow_is_infinity_and_no_warning():
    y = dropout(np.full(64, 60000, np.float16), 0.5, key=Key(0))
    assert set(y.tolist()) == {0.0, float("inf")}
