"""The plugin of pytest: a test for each check, a fixture, and known deviations that are strict."""

import pytest

import puredrop.conformance.pytest_plugin  # noqa: F401  # once, for pytester forgets what is imported inside

PLUGIN = ("-p", "no:hypothesispytest", "-p", "puredrop.conformance.pytest_plugin")  # Hypothesis takes a second a run
MODULE = """
import numpy as np

def draw(x, seed):
    return np.random.default_rng(seed).random(x.shape, np.float32).astype(np.float64)

def right(x, p, seed):
    if not 0 <= p <= 1:
        raise ValueError("p must lie in [0, 1]")
    y = np.where(draw(x, seed) >= p, x.astype(np.float64) / (1 - p), 0) if p < 1 else np.zeros(x.shape)
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float64)

def wrong(x, p, seed):
    return right(x, p, seed) * x.dtype.type(1 - p)
"""
KNOWN = """
[[known]]
check = "scale"
reason = "as the paper of 2012"
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv(
        "PUREDROP_BACKEND", "numpy"
    )  # pytester forgets what is imported inside, which Numba does not bear
    pytester.makepyfile(mine=MODULE)
    return pytester


def test_a_right_dropout_passes_and_what_cannot_be_said_is_skipped(project):
    result = project.runpytest_inprocess(*PLUGIN, "--puredrop", "mine:right", "--like", "dropout")
    outcomes = result.parseoutcomes()
    assert result.ret == 0
    assert outcomes["passed"] >= 20
    assert set(outcomes) <= {"passed", "skipped", "warnings"}


def test_a_wrong_dropout_fails_with_the_finding_and_no_traceback(project):
    result = project.runpytest_inprocess(*PLUGIN, "--puredrop", "mine:wrong", "-k", "scale and not gradient")
    assert result.ret == 1
    text = result.stdout.str()
    assert "mine:wrong is not a dropout (masks: recovered)" in text
    assert "it is not scaled by 1 / (1 - p)" in text
    assert "expected: [[1.111111]]" in text
    assert "Traceback" not in text


def test_known_deviations_are_expected_failures_and_strict(project):
    project.makefile(".toml", known=KNOWN)
    only = ("-k", "scale and not gradient", "--puredrop-known", "known.toml")
    wrong = project.runpytest_inprocess(*PLUGIN, "--puredrop", "mine:wrong", *only)
    assert (wrong.ret, wrong.parseoutcomes()["xfailed"]) == (0, 1)
    right = project.runpytest_inprocess(*PLUGIN, "--puredrop", "mine:right", *only)
    assert right.ret == 1
    assert "known as 'as the paper of 2012', and no longer so; take it off the list" in right.stdout.str()


def test_the_fixture_in_three_lines(project):
    project.makepyfile(
        test_mine="""
from mine import right, wrong

def test_right(conforms):
    assert conforms(right, like="dropout", only=["scale", "rows"]).passed

def test_wrong(conforms):
    conforms(wrong, only=["scale"])

def test_known(conforms):
    conforms(wrong, only=["scale"], known={"scale": "as the paper of 2012"})

def test_no_longer_so(conforms):
    conforms(right, only=["scale"], known={"scale": "as the paper of 2012"})
"""
    )
    result = project.runpytest_inprocess(*PLUGIN)
    result.assert_outcomes(passed=2, failed=2)
    text = result.stdout.str()
    assert "it is not scaled by 1 / (1 - p)" in text
    assert "known deviations that are no longer there; take them off the list: scale" in text


def test_the_list_may_stand_in_the_configuration(project):
    project.makefile(".toml", known=KNOWN)
    project.makeini("[pytest]\npuredrop_known = known.toml\n")
    project.makepyfile(test_mine="from mine import wrong\ndef test(conforms):\n    conforms(wrong, only=['scale'])")
    project.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ('[[known]]\ncheck = "scale"\n', "has check and reason"),
        ('[[known]]\ncheck = "speed"\nreason = "x"\n', "unknown check 'speed'"),
        ("[[known]\n", "known.toml|Expected"),
    ],
)
def test_lists_that_are_wrong_are_refused_in_words(project, known, message):
    project.makefile(".toml", known=known)
    result = project.runpytest_inprocess(*PLUGIN, "--puredrop", "mine:right", "--puredrop-known", "known.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.re_match_lines([f".*puredrop: .*({message}).*"])


@pytest.mark.parametrize("name", ["mine:nothing", "nothing:mine", "mine"])
def test_targets_that_are_not_there_are_refused_in_words(project, name):
    result = project.runpytest_inprocess(*PLUGIN, "--puredrop", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.re_match_lines([f".*--puredrop takes module:function, got '{name}'.*"])
