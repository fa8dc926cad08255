"""Optimisers step for step against PyTorch; clipping; schedules; max-norm."""

import numpy as np
import pytest

from puredrop import nn, optim
from puredrop.gradcheck import relative_error


def parameter(values):
    p = nn.Parameter(values.shape, nn.init.zeros, values.dtype)
    p.fill(values)
    return p


OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-6}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_thirty_steps_equal_pytorchs(torch, name, options):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal((3, 4)), rng.standard_normal(5), np.array(0.7)]
    ours, theirs = [parameter(v) for v in start], [torch.tensor(v, requires_grad=True) for v in start]
    mine, yours = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for _ in range(30):
        for a, b in zip(ours, theirs, strict=True):
            g = np.asarray(rng.standard_normal(a.shape))
            a.grad, b.grad = g[()], torch.tensor(g)  # [()]: a number where there are no axes, as backward gives it
        mine.step(), yours.step()
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a, b.detach().numpy()) < 1e-12


def test_float32_parameters_and_memory_stay_float32():
    p = parameter(np.ones((2, 2), np.float32))
    for optimiser in (optim.SGD([p], 0.1, momentum=0.9, max_norm=1.0), optim.AdamW([p])):
        p.grad = np.ones((2, 2), np.float32)
        optimiser.step()
        assert {p.dtype, *(a.dtype for kept in optimiser.kept.values() for a in kept)} == {np.dtype(np.float32)}


def test_max_norm_limits_each_units_incoming_weights():
    p, bias = parameter(np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])), parameter(np.full(3, 9.0))
    for each in (p, bias):
        each.grad = np.zeros(each.shape)
    optim.SGD([p, bias], lr=1.0, max_norm=1.0).step()
    assert np.allclose(p.data, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])
    assert (bias.data == 9).all(), "a bias has no incoming weights"


def test_clip_grad_norm_equals_pytorch(torch):
    grads = [np.array([3.0, 0.0]), np.array([[4.0]]), np.array(12.0)]
    ps = [parameter(np.zeros(g.shape)) for g in grads]
    qs = [torch.zeros(g.shape, requires_grad=True) for g in grads]
    for p, q, g in zip(ps, qs, grads, strict=True):
        p.grad, q.grad = g.copy()[()], torch.tensor(g, dtype=torch.float32)
    assert optim.clip_grad_norm(ps, 1.0) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(qs, 1.0)))
    assert all(np.allclose(p.grad, q.grad.numpy()) for p, q in zip(ps, qs, strict=True))
    assert optim.clip_grad_norm(ps, 10.0) == pytest.approx(1.0)
    optim.clip_grad_value(ps, 0.5)
    assert max(abs(p.grad).max() for p in ps) == 0.5


def test_clipping_refuses_what_has_overflowed():
    p = parameter(np.zeros(2))
    p.grad = np.array([1.0, np.inf])
    with pytest.raises(ValueError, match="norm is inf"):
        optim.clip_grad_norm([p], 1.0)
    assert p.grad[0] == 1.0


@pytest.mark.parametrize("make", [optim.cosine, optim.linear])
def test_schedules_rise_then_fall(make):
    rate = make(0.4, steps=14, warmup=4, final=0.1)
    values = [rate(step) for step in range(20)]
    assert values[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert values[4] == pytest.approx(0.4)
    assert values[4:] == sorted(values[4:], reverse=True)
    assert values[14:] == pytest.approx([0.1] * 6)


def test_a_schedule_has_no_state_of_its_own():
    p = parameter(np.zeros(1))
    p.grad = np.ones(1)
    optimiser = optim.SGD([p], lr=lambda step: 10.0**-step)
    rates = []
    for _ in range(3):
        rates.append(optimiser.rate)
        optimiser.step()
    assert rates == [1.0, 0.1, 0.01]
    assert np.isclose(p.data[0], -1.11)


def test_bad_arguments():
    with pytest.raises(ValueError, match="SGD: no parameters"):
        optim.SGD([], 0.1)
    p = parameter(np.zeros(1))
    with pytest.raises(ValueError, match="SGD: a parameter is listed twice"):
        optim.SGD([p, p], 0.1)
    with pytest.raises(TypeError, match=r"Adam: params must be tensors; write model\.parameters\(\)"):
        optim.Adam(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"betas must lie in \[0, 1\)"):
        optim.Adam([p], betas=(1.5, 0.9))
    with pytest.raises(ValueError, match="max_norm must be above 0, got -1"):
        optim.clip_grad_norm([p], -1)
    with pytest.raises(ValueError, match="Adam: lr must be at least 0, got -1"):
        optim.Adam([parameter(np.zeros(1))], -1)


def test_parameters_without_gradient_stand_still():
    p = parameter(np.ones(2))
    optim.Adam([p], 0.1).step()
    assert (p.data == 1).all()
