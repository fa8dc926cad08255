"""The conformance kit: green on ours, red on mutants, in plain words on other people's code."""

import dataclasses
import itertools
import json
from functools import partial

import numpy as np
import pytest

import puredrop
from puredrop import Key, Tensor, backends, conformance
from puredrop.backends.select import composed_drop
from puredrop.conformance import CASES, CHECKS, STATISTICAL, own, run_check
from puredrop.random import Index


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("variant", CASES)
def test_every_cell_passes(variant, check, backend):
    row = run_check(own(CASES[variant], backend), check, CHECKS[check])
    if row.status == "skipped":
        pytest.skip(row.reason)
    assert row.status in ("passed", "not_applicable"), row.reason


def test_every_public_variant_has_a_row():
    """A variant without a row fails here. keep_mask is the mask of dropout, not a variant."""
    assert set(puredrop.variants.__all__) - {"keep_mask"} == set(CASES)


# --------------------------------------------------------------------------------------------------------- mutants
def off_by_one_per_cent(key, index, threshold):
    hi = min(65536, round(threshold.hi * 1.01))
    return backends.get("numba").keep(key, index, threshold._replace(hi=hi))


def repeating_every_32_rows(key, index, threshold):
    """The mask of a published kernel, whose tests did not see it."""
    if len(index.shape) < 2:
        return backends.get("numba").keep(key, index, threshold)
    small = Index.whole((32, *index.shape[1:]))
    mask = backends.get("numba").keep(key, small, threshold)
    return mask[np.arange(index.shape[0]) % 32]


def mutant(keep):
    return dataclasses.replace(backends.get("numpy"), keep=keep, drop=partial(composed_drop, keep, np))


@pytest.mark.parametrize("keep", [off_by_one_per_cent, repeating_every_32_rows])
@pytest.mark.parametrize("check", STATISTICAL)
def test_every_statistical_check_fails_on_the_mutants(check, keep):
    row = run_check(own(CASES["dropout"], mutant(keep)), check, CHECKS[check])
    assert row.status == "failed", f"{check} does not see {keep.__name__}"


@pytest.mark.parametrize("check", STATISTICAL)
def test_the_mutants_frame_is_sound(check):
    """The same frame around the right mask passes: the mutants fail for their mutation."""
    row = run_check(own(CASES["dropout"], mutant(backends.get("numba").keep)), check, CHECKS[check])
    assert row.status == "passed", row.reason


def detached(x):
    return x.detach() if isinstance(x, Tensor) else x


def other_key(options):
    return {**options, "key": options["key"].draw(2)} if options["backend"].name == "numba" else options


def on_y(change, answer):
    """The answer with another y, whether the noise came back too or not."""
    return (change(answer[0]), answer[1]) if isinstance(answer, tuple) else change(answer)


# check -> our dropout with one thing wrong: call is the right one, o its keywords
WRONG = {
    "formula": lambda call, x, p, o: call(x * 1.01, p, **o),
    "gradient": lambda call, x, p, o: call(x, p, **o) + 0.5 * (x - detached(x)),
    "second gradient": lambda call, x, p, o: call(x, p, **o) * detached(x) / x,
    "same bits": lambda call, x, p, o: call(x, p, **other_key(o)),
    "identity": lambda call, x, p, o: call(x, p or 0.01, **o),
    "all dropped": lambda call, x, p, o: call(x, p, **o) + x * 0,
    "nonfinite": lambda call, x, p, o: call(x, p, **o) + x * 0,
    "nonfinite gradient": lambda call, x, p, o: call(x, p, **o) + x * 0,
    "signed zero": lambda call, x, p, o: on_y(lambda y: y + 0.0, call(x, p, **o)),
    "shapes": lambda call, x, p, o: call(np.atleast_1d(x), p, **o),
    "untouched": lambda call, x, p, o: x,
    "layout": lambda call, x, p, o: call(x, p, **o) * (1 if x.flags.c_contiguous else 2),
    "enumeration": lambda call, x, p, o: call(x, p, **o) * 0.99,
    "shard": lambda call, x, p, o: call(x, p, **{**o, "index": None}),
    "recomputation": lambda call, x, p, o: call(x, p, **o) * next(COUNTER),
    "injected mask": lambda call, x, p, o: call(x, p, **{**o, "mask": None, "key": o.get("key") or Key(0)}),
    "evaluation": lambda call, x, p, o: x,
    "nested": lambda call, x, p, o: call(x, p, **{**o, "key": o["key"].draw(int(10 * p))}),
    "huge index": lambda call, x, p, o: call(x, p, **{**o, "index": dataclasses.replace(o["index"], offset=0)}),
    "rate errors": lambda call, x, p, o: call(x, 0.5 if p is True else p, **o),
    "dtype errors": lambda call, x, p, o: call(x.astype(float) if x.dtype == bool else x, p, **o),
    "pytorch autograd": lambda call, x, p, o: on_y(lambda y: y + 0.001 * (x - detached(x)), call(x, p, **o)),
    "pytorch live": lambda call, x, p, o: call(x * 1.001, p, **o),
    "pytorch golden": lambda call, x, p, o: call(x * 1.001, p, **o),
}
COUNTER = itertools.count(1)


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in STATISTICAL])
def test_a_check_sees_what_it_is_for(check):
    if check in ("pytorch live", "pytorch autograd"):
        pytest.importorskip("torch", reason="PyTorch 2.13.0 is not installed: nothing to compare with")
    case = CASES["dropout"]
    changed = dataclasses.replace(case, call=lambda x, p, **options: WRONG[check](case.call, x, p, options))
    row = run_check(own(changed, backends.get("numba")), check, CHECKS[check])
    assert row.status == "failed", f"{check} does not see what it is for"
    assert "Error: " not in row.reason, "an exception is no verdict"


@pytest.mark.parametrize("variant", [name for name, case in CASES.items() if case.draws_several])
def test_a_variant_that_takes_the_draws_of_any_key_is_found(variant):
    """It would give the second draw of one key the noise of the first of another, or one draw twice."""
    case = CASES[variant]
    deaf = dataclasses.replace(
        case, call=lambda *inputs, key, **o: case.call(*inputs, key=dataclasses.replace(key, draw_index=0), **o)
    )
    row = run_check(own(deaf, backends.get("numpy")), "addresses", CHECKS["addresses"])
    assert (row.status, row.reason.split(";")[0]) == ("failed", "a key that is one of several draws was accepted")


# --------------------------------------------------------------------------------------------------------- the matrix
def test_skips_and_inapplicable_checks_are_never_passes(monkeypatch):
    case = dataclasses.replace(CASES["dropout"], not_applicable={"nested": "for the test"})
    assert run_check(own(case, backends.get("numpy")), "nested", CHECKS["nested"]).status == "not_applicable"
    monkeypatch.setattr("puredrop.conformance.checks.pytorch.find_spec", lambda name: None)
    row = run_check(own(CASES["dropout"], backends.get("numpy")), "pytorch live", CHECKS["pytorch live"])
    assert (row.status, row.error) == ("skipped", None)
    assert "PyTorch is not installed" in row.reason
    text = conformance.as_text([row])
    assert "0 passed, 0 failed, 1 skipped, 0 not applicable" in text
    assert "skipped: dropout [numpy] pytorch live: PyTorch is not installed; pip install torch==2.13.0" in text


def test_json_rows_have_the_promised_fields():
    rows = [conformance.Row("dropout", "numpy", "rate", "passed", 0.5)]
    again = json.loads(json.dumps(conformance.as_json(rows)))
    assert again == {
        "rows": [
            {
                "variant": "dropout",
                "backend": "numpy",
                "check": "rate",
                "status": "passed",
                "error": 0.5,
                "reason": None,
            }
        ]
    }


def test_progress_is_told_of_every_cell():
    told = []
    rows = conformance.verify(["dropout"], on=["numpy"], progress=lambda *args: told.append(args))
    assert [done for done, *_ in told] == list(range(1, len(rows) + 1))
    assert {total for _, total, _ in told} == {len(rows)}
