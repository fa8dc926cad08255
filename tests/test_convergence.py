"""R-hat and effective sample sizes: equal to arviz's, and to what is known of autoregressive chains."""

import json
from pathlib import Path

import numpy as np
import pytest

from puredrop.uncertainty import convergence_of, effective_sample_size, split_r_hat
from puredrop.uncertainty.convergence import NotConvergedError, require_convergence

GOLDEN = json.loads((Path(__file__).parent / "golden" / "convergence.json").read_text())


@pytest.mark.parametrize("name", GOLDEN)
def test_equal_to_arviz(name):
    case = GOLDEN[name]
    draws = np.array(case["draws"])
    if name != "one":  # of a single chain arviz gives none; its halves are compared here
        np.testing.assert_allclose(split_r_hat(draws), case["r_hat"], rtol=1e-12)
    for of, key in (("bulk", "ess_bulk"), ("tail", "ess_tail"), ("mean", "ess")):
        np.testing.assert_allclose(effective_sample_size(draws, of), case[key], rtol=1e-12)


def test_many_numbers_at_once_are_as_one_by_one():
    cases = [np.array(GOLDEN[name]["draws"]) for name in ("white", "slow", "antithetic", "apart", "tied")]
    together = np.stack(cases, axis=-1).reshape(4, 120, 1, 5)
    for measure in (
        split_r_hat,
        lambda d: effective_sample_size(d, "bulk"),
        lambda d: effective_sample_size(d, "tail"),
    ):
        np.testing.assert_allclose(measure(together)[0], [measure(draws) for draws in cases], rtol=1e-12)


def test_the_effective_sample_size_of_an_autoregressive_chain(rng):
    """Its autocorrelation time is (1 + rho) / (1 - rho)."""
    for rho in (0.0, 0.5, 0.9, -0.5):
        noise = rng.standard_normal((4, 20_000))
        x = noise.copy()
        for t in range(1, x.shape[1]):
            x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
        share = float(effective_sample_size(x, "mean")) / x.size
        assert share == pytest.approx((1 - rho) / (1 + rho), rel=0.1)


def test_r_hat_of_normal_scores_by_hand():
    """Without ties and within chains of their own ranks: the formula on scores from scipy."""
    from scipy import stats

    x = np.random.default_rng(1).standard_normal((2, 20))
    halves = np.concatenate([x[:, :10], x[:, 10:]])

    def plain(values):
        scores = stats.norm.ppf((stats.rankdata(values).reshape(values.shape) - 3 / 8) / (values.size + 1 / 4))
        within, between = scores.var(axis=1, ddof=1).mean(), scores.mean(axis=1).var(ddof=1)
        return np.sqrt(0.9 + between / within)

    expected = max(plain(halves), plain(np.abs(halves - np.median(halves))))
    np.testing.assert_allclose(split_r_hat(x), expected, rtol=1e-12)


def test_chains_that_never_move_are_not_called_converged():
    stuck = np.repeat(np.arange(4.0)[:, None], 100, axis=1)
    still = np.ones((4, 100))
    for draws in (stuck, still):
        found = convergence_of(draws)
        assert not found.r_hat <= 1e6
        assert len(found.faults(ess=0)) >= 1
    moving = np.random.default_rng(0).standard_normal((4, 100))
    assert np.isnan(convergence_of(np.stack([moving, still], axis=-1)).r_hat)  # the worst of all


def test_the_refusal_says_what_is_wrong_and_how_to_accept_it():
    found = convergence_of(np.random.default_rng(0).standard_normal((4, 50)), divergent=3)
    with pytest.raises(
        NotConvergedError, match=r"op: .*sample size of the bulk is 1\d\d.*, below 400; .*; 3 trajectories"
    ):
        require_convergence("op", found, 1.1, 400, accept_unconverged=False)
    require_convergence("op", found, 1.1, 400, accept_unconverged=True)


@pytest.mark.parametrize("measure", [split_r_hat, lambda d: effective_sample_size(d, "bulk")])
def test_bad_draws_are_refused(measure):
    with pytest.raises(ValueError, match="D at least 8"):
        measure(np.zeros((4, 7)))
    with pytest.raises(ValueError, match="1 of 40 draws are not finite"):
        measure(np.where(np.arange(40).reshape(4, 10) == 3, np.nan, np.arange(40.0).reshape(4, 10)))
    with pytest.raises(ValueError, match="of must be"):
        effective_sample_size(np.ones((2, 10)), "median")
