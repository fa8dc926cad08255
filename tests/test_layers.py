"""Every layer and option: equal to PyTorch with the same weights and draws, and its gradients to finite differences."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from puredrop import gradcheck, nn, ops
from puredrop.conformance.layers import CASES, as_text, verify_layers
from puredrop.conformance.layers.case import normal
from puredrop.conformance.layers.checks import BOUND, STEPS_BOUND, after_steps, compared

IDS = [case.name for case in CASES]
NUMBERS = 50  # beyond so many, derivatives are taken in random directions and not by every number
SOME_STEPS = 10  # `puredrop verify --layers` takes 200


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", BOUND)
def test_values_and_gradients_are_pytorchs(torch, case, dtype, backend):
    assert max(compared(case, backend, dtype).values()) < BOUND[dtype]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_weights_stay_pytorchs_over_steps(torch, case):
    assert after_steps(case, "numpy", SOME_STEPS) < STEPS_BOUND


@contextmanager
def lent(model, tensors):
    """The parameters of a model, replaced by other tensors for a while."""
    own = [(p.data, p.node) for p in model.parameters()]
    for p, t in zip(model.parameters(), tensors, strict=True):
        p.data, p.node = t.data, t.node
    try:
        yield
    finally:
        for p, (data, node) in zip(model.parameters(), own, strict=True):
            p.data, p.node = data, node


def along(f, arrays):
    """f of large arrays as a function of three numbers: how far to go in three random directions.

    Its three results are random sums over those of f. A wrong derivative anywhere shows in all of them.
    """
    ways = [[normal(*a.shape, seed=10 * k + i) for i, a in enumerate(arrays)] for k in range(3)]

    def run(s):
        moved = [a + sum(s[k] * ways[k][i] for k in range(3)) for i, a in enumerate(arrays)]
        y = f(*moved)
        return ops.stack([(y * normal(*y.shape, seed=40 + k)).sum() for k in range(3)])

    return run


@pytest.mark.parametrize("case", [c for c in CASES if c.smooth], ids=[c.name for c in CASES if c.smooth])
def test_derivatives_are_those_of_finite_differences(case):
    model = case.built("numpy")
    start, arrays = model.state_dict(), case.example()
    streams = model.random_state()
    real = [a for a in arrays if a.dtype.kind == "f"]

    def run(*given):
        getattr(model, model.mode)().load_random_state(streams)  # the same draws every time, also in sample mode
        xs, parameters = iter(given[: len(real)]), given[len(real) :]
        with lent(model, parameters):
            return model(*(next(xs) if a.dtype.kind == "f" else a for a in arrays))

    f, numbers = run, [*real, *(start[name] for name, _ in model.named_parameters())]
    if sum(a.size for a in numbers) > NUMBERS:
        f, numbers = along(run, numbers), [np.zeros(3)]
    errors = gradcheck(f, *numbers, second=case.second is None, backend="numpy")
    assert errors.first < 1e-6
    assert errors.second is None or errors.second < 1e-5


class Off(nn.Linear):
    """A linear layer with a small mistake in its bias."""

    def forward(self, x):
        return super().forward(x) + self.bias * 1e-6


class Detached(nn.Linear):
    """Right values, no gradient for the weight."""

    def forward(self, x):
        return x @ self.weight.detach().T + self.bias


@pytest.mark.parametrize("sides", [(4, 3), (40, 30)])
def test_finite_differences_see_what_is_wrong(sides):
    """By every number, and in random directions."""
    wrong = replace(CASES[0], make=lambda: Detached(*sides), inputs=lambda: (normal(2, sides[0]),))
    with pytest.raises(AssertionError):
        test_derivatives_are_those_of_finite_differences(wrong)


@pytest.mark.parametrize(
    ("layer", "failing"),
    [(Off, {"forward", "200 steps"}), (Detached, {"parameter gradient", "200 steps", "float32"})],
)
def test_the_checks_see_what_is_wrong(torch, monkeypatch, layer, failing):
    wrong = replace(CASES[0], make=lambda: layer(4, 3))
    monkeypatch.setattr("puredrop.conformance.layers.matrix.CASES", (wrong,))
    rows = verify_layers(on=["numpy"])
    assert {row.check for row in rows if row.status == "failed"} >= failing
    assert "differs from PyTorch by" in as_text(rows)


def test_draws_that_the_reference_does_not_use_are_an_error(torch):
    dropped = next(case for case in CASES if case.option == "MLP with dropout")
    forgetful = replace(dropped, reference=lambda torch, w, noise, x: torch.nn.functional.linear(x, w["0.weight"]))
    with pytest.raises(LookupError, match="left 1 draws unused, the next of shape"):
        compared(forgetful, "numpy")
    greedy = replace(dropped, reference=lambda torch, w, noise, x: (noise.take(), noise.take()))
    with pytest.raises(LookupError, match="more draws than the layer made"):
        compared(greedy, "numpy")


def test_unknown_layers_are_named(torch):
    with pytest.raises(ValueError, match="unknown layer Convolutoin; known are Linear"):
        verify_layers(["Convolutoin"])
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        verify_layers(["Linear"], on=["cuda"])
