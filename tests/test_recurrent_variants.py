"""Noise inside a recurrent cell: over time, over gates, at the limits; the rest is in the conformance table."""

import numpy as np
import pytest

from puredrop import (
    Index,
    Key,
    Tensor,
    dropout,
    keep_mask,
    locked_gate_dropout,
    memory_dropout,
    ops,
    update_dropout,
    zoneout,
)
from puredrop.gradcheck import gradcheck
from puredrop.streams import enumerate_masks

CELLS = [update_dropout, memory_dropout]
FOUR = [np.random.default_rng(i).standard_normal((5, 6)).astype(np.float32) for i in range(4)]
NAN = np.float32(np.nan)


# --------------------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize("cell", CELLS)
def test_memories_of_other_shapes_and_dtypes_are_refused(cell):
    u, c, f, i = FOUR
    with pytest.raises(ValueError, match=rf"{cell.__name__}: memory must have the shape of update, \(5, 6\)"):
        cell(u, c[:1], f, i, 0.5, key=Key(0))
    with pytest.raises(TypeError, match=rf"{cell.__name__}: input_gate must have the dtype of update, float32"):
        cell(u, c, f, i.astype(np.float64), 0.5, key=Key(0))
    with pytest.raises(TypeError, match=rf"{cell.__name__}, forget_gate: x must be floating-point"):
        cell(u, c, f.astype(int), i, 0.5, key=Key(0))
    with pytest.raises(TypeError, match=rf"{cell.__name__}: p must be one number"):
        cell(u, c, f, i, np.full(6, 0.5), key=Key(0))
    with pytest.raises(ValueError, match=rf"{cell.__name__}: nothing to draw with"):
        cell(u, c, f, i, 0.5)


def test_zoneout_refuses_what_does_not_fit():
    new, old = FOUR[:2]
    with pytest.raises(ValueError, match=r"zoneout: old must have the shape of new, \(5, 6\), got \(6,\)"):
        zoneout(new, old[0], 0.5, key=Key(0))
    with pytest.raises(TypeError, match="zoneout: old must have the dtype of new, float32, got float64"):
        zoneout(new, old.astype(np.float64), 0.5, key=Key(0))
    with pytest.raises(ValueError, match=r"zoneout: p must lie in \[0, 1\]"):
        zoneout(new, old, 1.5, key=Key(0))
    with pytest.raises(ValueError, match="zoneout: nothing to draw with"):
        zoneout(new, old, 0.5)


@pytest.mark.parametrize("gates", [0, -1, 2.0, True, None])
def test_gates_must_be_counted(gates):
    with pytest.raises(ValueError, match="locked_gate_dropout: gates must be a whole number, 1 or more"):
        locked_gate_dropout(FOUR[0], 0.5, gates=gates, key=Key(0))


def test_gates_take_one_key():
    with pytest.raises(TypeError, match="locked_gate_dropout: the leading axis is the gates', so it takes one key"):
        locked_gate_dropout(FOUR[0], 0.5, gates=2, key=(Key(0), Key(1)))
    with pytest.raises(ValueError, match="locked_gate_dropout: nothing to draw with"):
        locked_gate_dropout(FOUR[0], 0.5)


# --------------------------------------------------------------------------------------------------------- gates
def test_every_gate_has_its_own_mask_and_the_first_is_dropouts(backend):
    x = FOUR[0]
    y, keep = locked_gate_dropout(x, 0.5, gates=3, key=Key(4), return_mask=True, backend=backend)
    assert y.shape == keep.shape == (3, 5, 6)
    assert np.array_equal(keep, keep_mask(Key(4), (3, 5, 6), 0.5, backend=backend))
    assert len({mask.tobytes() for mask in keep}) == 3
    assert np.array_equal(y[0], dropout(x, 0.5, key=Key(4), backend=backend))


@pytest.mark.parametrize("shared", [0, (0,), -3])
def test_the_masks_of_a_sequence_are_those_of_its_steps(shared):
    x = np.random.default_rng(0).standard_normal((7, 3, 4)).astype(np.float32)  # (L, N, D)
    whole = locked_gate_dropout(x, 0.5, gates=4, key=Key(1), shared=shared)
    steps = [locked_gate_dropout(step, 0.5, gates=4, key=Key(1)) for step in x]
    assert np.array_equal(whole, np.stack(steps, axis=1))


def test_gates_edges():
    x = FOUR[0].copy()
    assert not locked_gate_dropout(np.full_like(x, np.nan), 1.0, key=Key(0)).any()
    assert np.array_equal(locked_gate_dropout(x, 0.5, gates=2, training=False), np.stack([x, x]))
    keep = np.random.default_rng(1).random((2, 5, 6)) < 0.5
    x[~keep.any(axis=0)] = np.nan  # dropped for both gates
    y = locked_gate_dropout(x, 0.5, gates=2, mask=keep)
    assert np.isfinite(y).all()
    assert not np.signbit(y[~keep]).any()
    leaf = Tensor(x, requires_grad=True)
    locked_gate_dropout(leaf, 0.5, gates=2, mask=keep).backward(np.where(keep, 1, NAN))
    assert np.array_equal(leaf.grad, 2 * keep.sum(axis=0))


# --------------------------------------------------------------------------------------------------------- over time
def test_a_forgotten_gate_of_one_keeps_a_memory_for_ever_under_update_dropout():
    """Without memory loss: what was written stays, however long and at whatever rate updates are dropped."""
    c = first = FOUR[0]
    one, nothing = np.ones_like(c), np.zeros_like(c)
    for t in range(50):
        c = update_dropout(nothing, c, one, one, 0.9, key=Key(0, step=t))
    assert np.array_equal(c, first)


def test_an_unscaled_locked_mask_does_not_let_the_memory_grow():
    c = np.ones((1, 8), np.float32)
    one, nothing = np.ones_like(c), np.zeros_like(c)
    for _ in range(20):  # one key for the sequence
        c = memory_dropout(nothing, c, one, one, 0.5, key=Key(3))
    assert np.array_equal(c, keep_mask(Key(3), (1, 8), 0.5))


def test_memory_dropout_evaluates_to_the_exact_expectation_over_locked_masks():
    """The sum over all masks of whole sequences equals one run in evaluation, at every step."""
    rng = np.random.default_rng(2)
    steps = [tuple(rng.standard_normal((1, 4)) for _ in range(3)) for _ in range(5)]  # update and two gates

    def run(**options):
        c, trace = np.zeros((1, 4)), []
        for u, f, i in steps:
            c = memory_dropout(u, c, f, i, 0.3, **options)
            trace.append(c)
        return np.array(trace)

    masks = list(enumerate_masks(lambda: dropout(np.ones((1, 4)), 0.3, return_mask=True)[1]))
    mean = sum(q * run(mask=mask) for q, mask in masks)
    np.testing.assert_allclose(run(training=False), mean, rtol=1e-12)


def test_zoneout_evaluates_to_the_exact_expectation_over_fresh_masks():
    rng = np.random.default_rng(3)
    news = [rng.standard_normal(2) for _ in range(4)]

    def run(**options):
        h = np.zeros(2)
        for new in news:
            h = zoneout(new, h, 0.3, **options)
        return h

    mean = sum(q * h for q, h in enumerate_masks(run))
    np.testing.assert_allclose(run(training=False), mean, rtol=1e-12)


# --------------------------------------------------------------------------------------------------------- zoneout
def test_zoneout_limits_are_the_tensors_themselves_or_their_values():
    new, old = Tensor(FOUR[0], requires_grad=True), Tensor(FOUR[1], requires_grad=True)
    assert zoneout(new, old, 0.0, key=Key(0)) is new
    assert zoneout(new, old, 0.0, training=False) is new
    assert zoneout(new, old, 1.0, training=False) is old
    y = zoneout(new, old, 1.0, key=Key(0))
    y.backward(np.ones_like(FOUR[0]))
    assert np.array_equal(y.data, FOUR[1])
    assert not new.grad.any()
    assert (old.grad == 1).all()
    hole = np.full_like(FOUR[0], np.nan)
    assert np.array_equal(zoneout(hole, FOUR[1], 1.0, training=False), FOUR[1])
    assert np.array_equal(zoneout(FOUR[0], hole, 0.0, training=False), FOUR[0])


def test_zoneout_shares_axes_and_draws_parts_of_a_whole(backend):
    new, old = np.ones((6, 8), np.float32), np.zeros((6, 8), np.float32)
    y = zoneout(new, old, 0.5, key=Key(1), shared=1, backend=backend)
    assert (y == y[:, :1]).all()
    assert 0 < y[:, 0].sum() < 6
    whole, index = zoneout(new, old, 0.5, key=Key(1), backend=backend), Index.whole((6, 8))
    part = zoneout(new[2:5], old[2:5], 0.5, key=Key(1), index=index[2:5], backend=backend)
    assert np.array_equal(part, whole[2:5])


@pytest.mark.parametrize("cell", CELLS)
def test_cells_draw_parts_of_a_whole(cell, backend):
    whole = cell(*FOUR, 0.5, key=Key(1), backend=backend)
    part = cell(*(a[1:4] for a in FOUR), 0.5, key=Key(1), index=Index.whole((5, 6))[1:4], backend=backend)
    assert np.array_equal(part, whole[1:4])


def test_gradients_through_three_steps_of_a_cell(backend):
    def three_steps(w, h):
        for t in range(3):
            x = locked_gate_dropout(h, 0.4, gates=2, key=Key(5), backend=backend)  # (2, N, H)
            gate, update = ops.sigmoid(x[0] @ w), ops.tanh(x[1] @ w)
            h_new = update_dropout(update, h, 1.0 - gate, gate, 0.4, key=Key(6, step=t), backend=backend)
            h = zoneout(h_new, h, 0.3, key=Key(7, step=t), backend=backend)
        return h * h

    rng = np.random.default_rng(0)
    errors = gradcheck(three_steps, rng.standard_normal((3, 3)), rng.standard_normal((2, 3)), backend=backend)
    assert errors.first < 1e-6
    assert errors.second < 1e-5


def test_a_semeniuta_lstm_and_a_zoned_state_equal_pytorchs_autograd(torch):
    rng = np.random.default_rng(8)
    a, c = rng.standard_normal((2, 12)), rng.standard_normal((2, 3))
    keep, zone = rng.random((2, 2, 3)) < 0.5

    def step(a, c, sigmoid, tanh, drop, mix):
        f, i, o, u = (a[:, 3 * k : 3 * k + 3] for k in range(4))
        new = drop(tanh(u), c, sigmoid(f), sigmoid(i))
        return mix(sigmoid(o) * tanh(new), c)

    ours = [Tensor(v, requires_grad=True) for v in (a, c)]
    y = step(
        *ours,
        ops.sigmoid,
        ops.tanh,
        lambda *cell: update_dropout(*cell, 0.5, mask=keep),
        lambda new, old: zoneout(new, old, 0.5, mask=zone),
    )
    theirs = [torch.tensor(v, requires_grad=True) for v in (a, c)]
    m, z = torch.tensor(keep), torch.tensor(zone)
    expected = step(
        *theirs,
        torch.sigmoid,
        torch.tanh,
        lambda u, c, f, i: f * c + i * u * m * 2,
        lambda new, old: torch.where(z, new, old),
    )
    g = rng.standard_normal((2, 3))
    y.backward(g)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-12)
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, yours.grad.numpy(), rtol=1e-12)


# --------------------------------------------------------------------------------------------------------- regressions
def test_regression_masks_do_not_linger_between_sequences():
    """Cached masks were the same for every sequence; here the key is the only thing that a mask depends on."""
    masks = [locked_gate_dropout(FOUR[0], 0.5, key=Key(0, step=n), return_mask=True)[1] for n in (0, 1, 0)]
    assert np.array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[1])
