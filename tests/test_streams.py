"""What all streams have in common, on a generator that is easy to follow; and how they are asked."""

import numpy as np
import pytest

import puredrop
from puredrop import Index, Key, nn, variants
from puredrop.conformance.case import Skipped
from puredrop.conformance.streams import Counts, Row, as_text
from puredrop.conformance.streams.run import outcome
from puredrop.streams import Stream, contiguous, draw_from, lying_as


class EverySecond(Stream):
    """Keeps elements 0, 2, 4, ... of all that it has drawn, and notes what it was asked."""

    library, verified = "a library", "a library 1.0"
    operations = ("dropout", "dropout2d", "alpha_dropout")

    def __init__(self):
        self.drawn, self.asked = 0, []

    def draw(self, wanted):
        self.asked.append(wanted)
        n = int(np.prod(wanted.shape))
        keep = np.arange(self.drawn, self.drawn + n) % 2 == 0
        self.drawn += n
        return keep.reshape(wanted.shape)


def test_masks_follow_one_another():
    stream = EverySecond()
    assert stream.mask(3, 0.5).tolist() == [True, False, True]
    assert stream.mask((1, 2), 0.25, dtype=np.float64).tolist() == [[False, True]]
    assert [(w.shape, w.p, w.dtype) for w in stream.asked] == [((3,), 0.5, "float32"), ((1, 2), 0.25, "float64")]


@pytest.mark.parametrize(("shape", "p", "kept"), [((3,), 0.0, True), ((3,), 1.0, False), ((2, 0), 0.5, True)])
def test_where_a_library_draws_nothing_the_stream_does_not_move(shape, p, kept):
    stream = EverySecond()
    keep = stream.mask(shape, p)
    assert keep.shape == shape
    assert (keep == kept).all()
    assert not stream.asked


def test_a_source_for_every_variant_that_the_library_has():
    stream = EverySecond()
    x = np.ones((2, 2, 3))
    with draw_from(stream):
        y = variants.dropout(x, 0.5)
        z = variants.dropout2d(x[..., None], 0.5)
    assert y.ravel().tolist() == [2, 0] * 6
    assert z[:, :, 0, 0].tolist() == [[2, 0], [2, 0]]
    assert [(w.operation, w.shape) for w in stream.asked] == [("dropout", (2, 2, 3)), ("dropout2d", (2, 2, 1, 1))]


def test_the_site_and_the_layout_are_told():
    stream = EverySecond()
    x = np.ones((2, 3, 4))
    with draw_from(stream):
        puredrop.dropout(x.transpose(1, 0, 2), 0.5, key=Key(0, site=5))
        with lying_as((2, 0, 1)):
            puredrop.dropout(x, 0.5)
    first, second = stream.asked
    assert (first.site, first.data, first.strides) == (5, (3, 2, 4), (4, 12, 1))
    assert (second.site, second.strides) == (None, (3, 1, 6))
    assert contiguous((2, 0, 4)) == (4, 4, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: puredrop.zoneout(x, x, 0.5), "cannot reproduce zoneout; known to work .a library 1.0.: dropout, d"),
        (lambda x: puredrop.dropout(x.astype(np.float16), 0.5), "cannot reproduce masks for float16; .* float32, flo"),
        (lambda x: puredrop.dropout(x, np.full(6, 0.5)), "a rate for each element"),
        (lambda x: puredrop.dropout(x, 0.5, key=(Key(0),), index=Index.whole(6)), "1 samples at once"),
        (lambda x: puredrop.dropout(x, 0.5, index=Index.whole(8)[1:7]), "a part of a noise tensor"),
        (lambda x: puredrop.dropout(x, 0.5, index=Index.whole(8)[[5, 4, 3, 2, 1, 0]]), "a part of a noise tensor"),
        (lambda x: puredrop.gaussian_dropout(x, 0.5, key=Key(0)), "the real noise of gaussian_dropout"),
    ],
)
def test_what_is_not_known_is_refused(call, words):
    stream = EverySecond()
    with draw_from(stream), pytest.raises(NotImplementedError, match=words):
        call(np.ones(6))
    assert not stream.asked


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_rate_outside_0_and_1_is_refused(p):
    with pytest.raises(ValueError, match=r"EverySecond: p must lie in \[0, 1\]"):
        EverySecond().mask(3, p)


def test_feature_maps_lie_as_in_the_library():
    """Ours have the batch last in memory; a generator that fills memory must not see that."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout(0.5)).seed(0)
    stream = EverySecond()
    with draw_from(stream):
        net(np.ones((4, 2, 6, 6), np.float32))
    assert stream.asked[0].strides == contiguous((4, 3, 2, 2))


def test_rows_of_the_comparison():
    def raises(error):
        raise error

    rows = {
        "equal": lambda: Counts(5, 0) + Counts(2, 0),
        "wrong": lambda: Counts(5, 1),
        "nothing": lambda: Counts(0, 0),
        "absent": lambda: raises(Skipped("abacus is not installed")),
        "broken": lambda: raises(KeyError("x")),
    }
    outcomes = [outcome(Row("abacus", name, "live", compare)) for name, compare in rows.items()]
    assert [one.status for one in outcomes] == ["passed", "failed", "failed", "skipped", "failed"]
    text = as_text(outcomes)
    assert "12 elements compared, 1 mismatches; 1 rows passed, 3 failed, 1 skipped" in text
    assert "skipped: abacus is not installed" in text
    assert "FAILED: KeyError: 'x'" in text


def test_a_recomputation_outside_of_the_context_gets_the_same_masks():
    stream, x = EverySecond(), puredrop.Tensor(np.ones(3), requires_grad=True)
    with draw_from(stream):
        y = puredrop.checkpoint(lambda x: puredrop.dropout(x, 0.5), x)
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 2]
    assert stream.drawn == 3
