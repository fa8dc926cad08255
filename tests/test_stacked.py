"""Stacks: each member is what it is alone, whatever the others are."""

import copy
import pickle

import numpy as np
import pytest

from puredrop import Key, Tensor, backends, dropout, keep_mask, nn, optim, streams, uncertainty
from puredrop.streams import draw_from


def net(p, width=7, dtype=np.float64, activation=nn.ReLU):
    layers = [nn.Dropout(p), nn.Linear(3, width), activation(), nn.Dropout(p), nn.Linear(width, 2)]
    return nn.Sequential(*layers).astype(dtype)


def data(rows, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 3)), rng.standard_normal((rows, 2))


RATES = (0.1, 0.5, 0.3, 0.0)
ROWS = (23, 17, 10, 5)  # with batches of 8: 3, 3, 2 and 1 an epoch, the last ones of 7, 1, 2 and 5
DECAYS = (0.0, 0.1, 0.01, 1.0)


def alone(m, epochs, optimizer, decay):
    model = net(RATES[m]).seed(100 + m)
    opt = optimizer(model.parameters(), [decay if p.ndim > 1 else 0.0 for p in model.parameters()])
    batches = nn.Batches(*data(ROWS[m], m), batch_size=8, seed=m)
    for _ in range(epochs):
        for x, y in batches:
            opt.zero_grad()
            nn.mse(model(x), y).backward()
            opt.step()
    return model


def stacked(epochs, optimizer):
    """All members at the end of their last epoch."""
    stack = nn.Stacked([net(p).seed(100 + m) for m, p in enumerate(RATES)])
    decays = np.array(DECAYS).reshape(-1, 1, 1)
    opt = optimizer(stack.parameters(), [decays if p.ndim > 2 else 0.0 for p in stack.parameters()])
    batches = nn.StackedBatches([nn.Batches(*data(n, m), batch_size=8, seed=m) for m, n in enumerate(ROWS)])
    ends, done = batches.steps_of(epochs), {}
    for x, y, weight in batches.steps(max(ends)):
        opt.zero_grad()
        nn.mse(stack(x), y, weight).backward()
        opt.step()
        done |= {m: stack.member(m) for m, end in enumerate(ends) if end == batches.step}
    return [done[m] for m in range(len(RATES))]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda params, decay: optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=decay),
        lambda params, decay: optim.Adam(params, lr=1e-2, weight_decay=decay),
        lambda params, decay: optim.AdamW(params, lr=1e-2, weight_decay=decay),
    ],
    ids=["SGD", "Adam", "AdamW"],
)
def test_members_train_as_they_do_alone(optimizer):
    """Own seeds, rates, decays, data and numbers of batches; weights to 1e-12 by norm, random state exactly."""
    for m, member in enumerate(stacked(20, optimizer)):
        expected = alone(m, 20, optimizer, DECAYS[m])
        for name, value in expected.state_dict().items():
            error = np.linalg.norm(member.state_dict()[name] - value) / np.linalg.norm(value)
            assert error < 1e-12, (m, name, error)
        assert member.random_state() == expected.random_state()


def test_the_norm_of_units_is_limited_in_each_member():
    x, y = data(16, 0)
    models = [net(p).seed(m) for m, p in enumerate(RATES)]
    stack = nn.Stacked(models)
    nn.mse(stack(np.broadcast_to(x, (4, 16, 3))), np.broadcast_to(y, (4, 16, 2)), np.full((4, 16), 1 / 16)).backward()
    optim.SGD(stack.parameters(), lr=0.1, max_norm=0.3).step()
    for m, model in enumerate(models):
        nn.mse(model(x), y).backward()
        optim.SGD(model.parameters(), lr=0.1, max_norm=0.3).step()
        for name, value in model.state_dict().items():
            np.testing.assert_allclose(stack.member(m).state_dict()[name], value, rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="join the members of a stack; use clip_grad_value"):
        optim.clip_grad_norm(stack.parameters(), 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("equal", [True, False], ids=["one rate", "a rate each"])
def test_masks_are_those_of_the_members_bit_for_bit(backend, dtype, equal):
    models = [nn.Sequential(nn.Dropout(0.4 if equal else p)).seed(m) for m, p in enumerate(RATES)]
    x = np.random.default_rng(0).standard_normal((4, 300, 5)).astype(dtype)
    stack = nn.Stacked(models).to(backend)
    for _ in range(2):  # the second draw of each site too
        tensor = Tensor(x, backend, requires_grad=True)
        y = stack(tensor)
        y.sum().backward()
        for m, model in enumerate(models):
            own = Tensor(x[m], backend, requires_grad=True)
            expected = model.to(backend)(own)
            expected.sum().backward()
            assert np.array_equal(y.numpy()[m], expected.numpy())
            assert np.array_equal(tensor.grad[m], own.grad)


def test_a_longer_batch_does_not_change_the_masks_of_a_member():
    build = lambda: nn.Stacked([nn.Sequential(nn.Dropout(p)).seed(m) for m, p in enumerate(RATES)])  # noqa: E731
    x = np.ones((4, 9, 5))
    assert np.array_equal(build()(x).numpy()[:, :6], build()(x[:, :6]).numpy())


def test_locked_dropout_in_a_stack():
    models = [nn.Sequential(nn.LockedDropout(p, time_axis=1)).seed(m) for m, p in enumerate(RATES)]
    x = np.random.default_rng(0).standard_normal((4, 6, 5, 3))
    y = nn.Stacked(models)(x).numpy()
    assert all(np.array_equal(y[m], model(x[m]).numpy()) for m, model in enumerate(models))


def test_a_rate_for_each_key(backend):
    keys, rates = tuple(Key(s) for s in range(3)), np.array([0.2, 1.0, 0.0])
    x = np.random.default_rng(0).standard_normal((3, 40, 7))
    y = dropout(x, rates.reshape(3, 1, 1), key=keys, backend=backend)
    keep = keep_mask(keys, (40, 7), rates.reshape(3, 1, 1), backend=backend)
    for k in range(3):
        assert np.array_equal(y[k], dropout(x[k], float(rates[k]), key=keys[k], backend=backend))
        assert np.array_equal(keep[k], keep_mask(keys[k], (40, 7), float(rates[k]), backend=backend))


def test_rates_by_element_are_not_taken_for_rates_by_key():
    """As many keys as rows, and a rate for each row of every key."""
    keys, rates = tuple(Key(s) for s in range(3)), np.array([[0.2], [0.5], [0.9]])
    x = np.ones((3, 3, 50))
    one, other = (dropout(x, rates, key=keys, backend=name) for name in ("numpy", backends.default_name()))
    assert np.array_equal(one, other)
    assert np.array_equal(one[1], dropout(x[1], rates, key=keys[1], backend="numpy"))


def test_schedules_follow_the_step_of_the_member():
    ramp = lambda step: min(1.0, step / 2)  # noqa: E731
    models = [nn.Sequential(nn.Dropout(ramp)).seed(0), nn.Sequential(nn.Dropout(0.5)).seed(1)]
    stack, x = nn.Stacked(models), np.ones((2, 4, 5))
    for _ in range(3):
        y = stack(x).numpy()
        assert all(np.array_equal(y[m], model(x[m]).numpy()) for m, model in enumerate(models))


def test_modes_and_samples_are_the_members():
    models = [net(p).seed(m) for m, p in enumerate(RATES)]
    stack, x = nn.Stacked(models), data(6, 0)[0]
    many = np.broadcast_to(x, (4, *x.shape))
    samples = [  # at rate 0 predict_samples has nothing to do, and says so
        uncertainty.predict_samples(model, x, samples=2) if p else 2 * [model.eval()(x).numpy()]
        for p, model in zip(RATES, models, strict=True)
    ]
    stack.sample()
    for t in range(2):
        y = stack(many).numpy()
        assert all(np.allclose(y[m], samples[m][t], rtol=1e-12) for m in range(4))
    y = stack.eval()(many).numpy()
    assert all(np.allclose(y[m], model.eval()(x).numpy(), rtol=1e-12) for m, model in enumerate(models))
    assert all(member.mode == "eval" for member in stack.members())


def test_many_samples_of_a_stack_are_refused_with_the_remedy():
    stack = nn.Stacked([net(0.5).seed(m) for m in range(4)])
    with pytest.raises(ValueError, match=r"predict_samples\(stack.member\(m\), x\)"):
        uncertainty.predict_samples(stack, np.ones((4, 6, 3)), samples=40)


def test_a_stack_is_copied_pickled_and_moved():
    stack = nn.Stacked([net(p, dtype=np.float32).seed(m) for m, p in enumerate(RATES)])
    x = np.ones((4, 5, 3), np.float32)
    twins = [copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))]
    expected = stack(x).numpy()
    assert all(np.array_equal(twin(x).numpy(), expected) for twin in twins)
    wide = stack.astype(np.float64).to("numpy").member(1)
    assert wide.parameters()[0].dtype == np.float64
    assert wide.parameters()[0].backend.name == "numpy"
    assert [p.dtype for p in optim_step(wide)] == [np.float64] * 4


def optim_step(model):
    nn.mse(model(np.ones((2, 3))), np.ones((2, 2))).backward()
    return [p.grad for p in model.parameters()]


def test_a_member_can_go_on_alone():
    stack = nn.Stacked([net(p).seed(m) for m, p in enumerate(RATES)])
    x = data(6, 0)[0]
    stack(np.broadcast_to(x, (4, 6, 3)))
    member = stack.member(1)
    expected = stack(np.broadcast_to(x, (4, 6, 3))).numpy()[1]
    np.testing.assert_allclose(member(x).numpy(), expected, rtol=1e-12)


def test_a_stack_is_saved_and_resumed(tmp_path):
    def made():
        stack = nn.Stacked([net(p).seed(100 + m) for m, p in enumerate(RATES)])
        batches = nn.StackedBatches([nn.Batches(*data(n, m), batch_size=8, seed=m) for m, n in enumerate(ROWS)])
        return stack, optim.Adam(stack.parameters()), batches

    def train(stack, opt, batches, steps):
        for x, y, weight in batches.steps(steps):
            opt.zero_grad()
            nn.mse(stack(x), y, weight).backward()
            opt.step()

    whole, parts, resumed = made(), made(), made()
    train(*whole, 9)
    train(*parts, 4)
    nn.save(tmp_path / "stack.safetensors", *parts)
    nn.load(tmp_path / "stack.safetensors", *resumed)
    train(*resumed, 5)
    for a, b in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_batches_are_those_of_the_members():
    members = [
        nn.Batches(*data(n, m), batch_size=size, seed=m) for m, (n, size) in enumerate([(23, 8), (5, 4), (9, 9)])
    ]
    alone = zip(copy.deepcopy(members), (3, 5, 9), strict=True)  # each has 9 batches
    drawn = [[batch for _ in range(epochs) for batch in member] for member, epochs in alone]
    for step, (x, y, weight) in enumerate(nn.StackedBatches(members).steps(9)):
        for m in range(3):
            rows = len(drawn[m][step][0])
            assert np.array_equal(x[m, :rows], drawn[m][step][0])
            assert np.array_equal(y[m, :rows], drawn[m][step][1])
            assert np.array_equal(weight[m], [1 / rows] * rows + [0] * (x.shape[1] - rows))


@pytest.mark.parametrize(
    ("loss", "arrays"),
    [
        (nn.mse, lambda r: (r.standard_normal((3, 5, 2)), r.standard_normal((3, 5, 2)))),
        (nn.cross_entropy, lambda r: (r.standard_normal((3, 5, 4)), r.integers(0, 4, (3, 5)))),
        (nn.gaussian_nll, lambda r: (r.standard_normal((3, 5)), 0.1 + r.random((3, 5)), r.standard_normal((3, 5)))),
    ],
    ids=["mse", "cross_entropy", "gaussian_nll"],
)
def test_weighted_losses_are_sums_of_the_members_means(rng, loss, arrays):
    arrays, rows = arrays(rng), (5, 2, 4)
    weight = np.array([[1 / n] * n + [0.0] * (5 - n) for n in rows])
    expected = sum(float(loss(*(a[m, :n] for a in arrays))) for m, n in enumerate(rows))
    assert float(loss(*arrays, weight)) == pytest.approx(expected, rel=1e-12)


def test_gaussian_nll_is_scipys(rng):
    stats = pytest.importorskip("scipy.stats")
    mean, variance, y = rng.standard_normal(9), 0.1 + rng.random(9), rng.standard_normal(9)
    expected = -stats.norm.logpdf(y, mean, np.sqrt(variance)).mean()
    assert float(nn.gaussian_nll(mean, variance, y)) == pytest.approx(expected, rel=1e-12)


def test_injected_masks_reach_a_stack():
    stack = nn.Stacked([nn.Sequential(nn.Dropout(p)).seed(m) for m, p in enumerate((0.5, 0.75))])
    keep = np.random.default_rng(0).random((2, 3, 4)) > 0.5
    with draw_from(streams.Given([keep])):
        y = stack(np.ones((2, 3, 4))).numpy()
    assert np.array_equal(y, np.where(keep, np.array([2.0, 4.0]).reshape(2, 1, 1), 0))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda m: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
            TypeError,
            "layer 1 of the model is a BatchNorm1d",
        ),
        (lambda m: nn.models.MLP(3, 2, hidden=(4,)), TypeError, "the model is a MLP, which cannot be stacked"),
        (
            lambda m: nn.Sequential(nn.LockedDropout(0.5, time_axis=0)),
            ValueError,
            "layer 0 .* time_axis behind the batch",
        ),
        (lambda m: nn.Sequential(nn.ELU(1.0 + m)), ValueError, "layer 0 of the model, ELU, has different settings"),
        (lambda m: nn.Sequential(nn.Linear(3, 4 + m)), ValueError, "parameters differ in shape"),
        (lambda m: nn.Sequential(nn.Linear(3, 4, bias=m > 0)), ValueError, "have a bias where others have none"),
        (lambda m: nn.Sequential(*[nn.ReLU()] * (1 + m)), ValueError, "different numbers of layers"),
        (lambda m: nn.Sequential((nn.ReLU, nn.Tanh)[m]()), ValueError, "not the same in all models: ReLU, Tanh"),
        (lambda m: nn.Sequential(*[nn.Linear(3, 3)] * 2), ValueError, "stands in the model twice"),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_name(build, error, message):
    with pytest.raises(error, match=message):
        nn.Stacked([build(m).seed(m) for m in range(2)])


def test_models_must_be_seeded_and_at_one_step():
    with pytest.raises(RuntimeError, match=r"call \.seed"):
        nn.Stacked([net(0.5)])
    models = [net(0.5).seed(0), net(0.5).seed(1)]
    models[1](np.ones((1, 3)))
    with pytest.raises(ValueError, match="different steps"):
        nn.Stacked(models)
    with pytest.raises(TypeError, match="expected a list of models"):
        nn.Stacked([])


def test_the_members_axis_is_asked_for():
    stack = nn.Stacked([net(0.5).seed(0), net(0.5).seed(1)])
    with pytest.raises(ValueError, match=r"np.broadcast_to\(x, \(2, \*x.shape\)\)"):
        stack(np.ones((5, 3)))
    with pytest.raises(TypeError, match="seed the models"):
        stack.seed(3)
    with pytest.raises(TypeError, match="reset the models"):
        stack.reset_parameters(3)


@pytest.mark.parametrize(
    ("decay", "message"),
    [
        ([0.1], "one for each of 2 parameters, got 1"),
        (-1.0, "at least 0"),
        ([np.ones((3, 1)), 0.0], "does not broadcast"),
    ],
)
def test_decays_that_do_not_fit(decay, message):
    with pytest.raises(ValueError, match=message):
        optim.Adam(nn.Linear(3, 2).seed(0).parameters(), weight_decay=decay)


def test_batches_that_do_not_go_together():
    with pytest.raises(ValueError, match="must agree but in their rows"):
        nn.StackedBatches([nn.Batches(np.ones((3, 2)), batch_size=2), nn.Batches(np.ones((3, 1)), batch_size=2)])
