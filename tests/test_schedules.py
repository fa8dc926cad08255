"""Schedules: their laws, and that layers ask them at the step of the draw."""

import pickle

import numpy as np
import pytest

from puredrop import Key, Tensor, checkpoint, grad, keep_mask, nn, schedules
from puredrop.variants.schedules import depth_rates

TIMED = (
    schedules.LinearRamp,
    schedules.Annealed,
    schedules.Curriculum,
    schedules.Early,
    schedules.EarlyLinear,
    schedules.Late,
    schedules.VShape,
    schedules.Cosine,
)


@pytest.mark.parametrize("kind", TIMED)
def test_rates_stay_rates(kind):
    values = [kind(0.7, steps=10)(step) for step in range(40)]
    assert all(0 <= value <= 0.7 for value in values)
    assert len(set(values)) > 1
    assert pickle.loads(pickle.dumps(kind(0.7, steps=10))) == kind(0.7, steps=10)


@pytest.mark.parametrize(
    ("kind", "start", "middle", "end"),
    [
        (schedules.LinearRamp, 0.0, 0.3, 0.6),
        (schedules.Annealed, 0.6, 0.3, 0.0),
        (schedules.Early, 0.6, 0.6, 0.0),
        (schedules.EarlyLinear, 0.6, 0.3, 0.0),
        (schedules.Late, 0.0, 0.0, 0.6),
        (schedules.VShape, 0.6, 0.0, 0.6),
        (schedules.Cosine, 0.0, 0.3, 0.6),
        (schedules.Curriculum, 0.0, 0.6 * (1 - np.exp(-5)), 0.6 * (1 - np.exp(-10))),
    ],
)
def test_laws(kind, start, middle, end):
    schedule = kind(0.6, steps=100)
    assert [schedule(step) for step in (0, 50, 100)] == pytest.approx([start, middle, end])


def test_depth_over_one_layer_and_wrong_names():
    assert [depth_rates(0.5, 1, i)[0] for i in ("l/L", "i/L", "i/(L-1)", "uniform", "decreasing")] == [
        0.5,
        0,
        0,
        0.5,
        0,
    ]
    assert depth_rates(0.4, 4, "decreasing") == pytest.approx([0.3, 0.2, 0.1, 0.0])
    with pytest.raises(ValueError, match=r"unknown indexing 'l'; known are l/L, i/L"):
        depth_rates(0.5, 4, "l")
    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        depth_rates(0.5, 0, "l/L")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.LinearRamp(1.5, 10), r"LinearRamp: p must lie in \[0, 1\]"),
        (lambda: schedules.VShape(0.5, 0), "VShape: steps must be at least 1, got 0"),
        (lambda: schedules.Steps((0.1,), (1,)), "needs rising boundaries and one rate more"),
        (lambda: schedules.Steps((0.1, 0.2, 0.3), (5, 1)), "needs rising boundaries"),
        (lambda: schedules.common_rates("vision"), "unknown scenario 'vision'; known are large pre-training"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_common_rate_is_a_rate_with_a_source():
    for low, high, source in schedules.COMMON_RATES.values():
        assert 0 <= low <= high <= 1
        assert source


def test_a_layer_asks_at_the_step_of_its_draw():
    layer = nn.Dropout(schedules.LinearRamp(0.8, steps=4)).seed(5)
    ones = np.ones((20, 30), np.float32)
    for step in range(6):
        p = 0.8 * min(1, step / 4)
        expected = np.where(keep_mask(Key(5, step=step), ones.shape, p), np.float32(1 / (1 - p)), 0)
        assert np.array_equal(layer(ones).data, expected)


def test_a_schedule_stands_still_in_eval_sample_and_recomputation():
    layer = nn.Dropout(schedules.LinearRamp(0.8, steps=4)).seed(5)
    ones = np.ones((20, 30), np.float32)
    layer(ones), layer(ones)
    layer.eval()(ones)
    layer.sample()
    rates = [1 - (layer(ones).data != 0).mean() for _ in range(5)]
    assert np.abs(np.array(rates) - 0.4).max() < 0.1, "samples are drawn at the rate of the next training step"
    layer.train()
    x = Tensor(ones, requires_grad=True)
    y = checkpoint(layer, x)
    [g] = grad(y.sum(), [x])
    assert np.array_equal(g, y.data), "the recomputation used the rate of the first time"
    assert layer.rng.step == 3


def test_a_schedule_may_be_any_function_but_must_give_rates():
    layer = nn.Dropout(lambda step: 2.0).seed(0)
    with pytest.raises(ValueError, match=r"Dropout: p must lie in \[0, 1\], got 2.0"):
        layer(np.ones(3, np.float32))
