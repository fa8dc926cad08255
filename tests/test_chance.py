"""The exact tests: equal to SciPy's, silent on clean masks, and with the power that the documentation states."""

import math
from itertools import product

import numpy as np
import pytest

from puredrop import Key, backends
from puredrop.conformance import chance
from puredrop.conformance.chance.correction import LEVEL
from puredrop.conformance.chance.power import pairs_to_see_repetition
from puredrop.random import Index, threshold


def mask(rows, columns, p, seed):
    return np.asarray(backends.get("numba").keep(Key(seed), Index.whole((rows, columns)), threshold(p)))


def all_observations(keep, p):
    yield from chance.totals(keep, p)
    for axis in (0, 1):
        yield from chance.lags(keep, p, axis)
        yield from chance.repeats(keep, p, axis)
    yield from chance.patterns(keep, p)
    yield from chance.shards(keep, p)


# ---------------------------------------------------------------------------------------------------------------- exact
def test_binomial_p_values_are_those_of_scipy():
    scipy = pytest.importorskip("scipy.stats")
    for k, n, q in ((0, 10, 0.5), (7, 10, 0.3), (480, 1000, 0.5), (99_000, 100_000, 0.99), (0, 5, 0.0), (5, 5, 1.0)):
        tails = min(scipy.binom.cdf(k, n, q), scipy.binom.sf(k - 1, n, q))
        assert np.isclose(chance.binomial_p_value(k, n, q), min(1, 2 * tails), rtol=1e-6)
    for k, upper in product((450, 500, 560), (True, False)):
        exact = scipy.binom.sf(k - 1, 1000, 0.5) if upper else scipy.binom.cdf(k, 1000, 0.5)
        if exact < 0.6:
            assert np.isclose(chance.binomial_tail(k, 1000, 0.5, upper), exact, rtol=1e-9)
    with pytest.raises(ValueError, match=r"a count must lie in \[0, 3\], got 4"):
        chance.binomial_p_value(4, 3, 0.5)


def test_a_multinomial_p_value_is_at_most_u_with_probability_at_most_u():
    """By all outcomes of eight draws from three categories."""
    chances, n = (0.5, 0.3, 0.2), 8
    outcomes = [(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)]
    weights = [
        math.factorial(n) / math.prod(map(math.factorial, o)) * math.prod(q**k for q, k in zip(chances, o, strict=True))
        for o in outcomes
    ]
    p_values = np.array([chance.multinomial_p_value(o, chances) for o in outcomes])
    for u in np.unique(p_values):
        assert np.sum(np.array(weights)[p_values <= u]) <= u + 1e-12
    assert chance.multinomial_p_value([0, 0, 8], (0.5, 0.5, 0.0)) == 0


def test_correction_for_many_tests():
    statsmodels_example = [0.01, 0.04, 0.03, 0.005]
    assert chance.holm(statsmodels_example) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    seen = [chance.Observation(str(i), 0, 0, 1e-10 if i == 7 else 0.5) for i in range(90)]
    assert chance.surprising(seen).what == "7"
    assert chance.surprising(seen).p_value == pytest.approx(90e-10)
    assert chance.surprising(seen * 2) is None  # twice as many tests
    assert chance.surprising([]) is None


# -------------------------------------------------------------------------------------------------- clean, and at power
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_clean_masks_are_not_surprising(p):
    for seed in range(15):
        assert chance.surprising(all_observations(mask(128, 256, p, seed), p)) is None
    masks = [mask(64, 64, p, seed) for seed in range(12)]
    assert chance.surprising(chance.across_calls(masks, p)) is None


def test_p_values_are_spread_as_they_must_be():
    """Of 2,000 clean masks about one in a hundred has a total with a p-value below one in a hundred."""
    small = sum(next(iter(chance.totals(mask(1, 4096, 0.5, seed), 0.5))).p_value < 0.01 for seed in range(2000))
    assert chance.binomial_p_value(small, 2000, 0.01) > 1e-4


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_a_rate_off_by_one_per_cent_is_seen_at_the_stated_sample_size(p):
    n = chance.sample_size(p, relative=0.01)
    for truth in (p * 1.01, p * 0.99):
        assert chance.power(n, p, min(1.0, truth)) >= 0.999
        for seed in range(5):
            kept = int(mask(1, n, truth, seed).sum())
            assert chance.binomial_p_value(n - kept, n, p) < LEVEL
    assert chance.power(n // 2, p, p * 1.01) < 0.9


def test_the_sizes_that_the_documentation_states():
    assert [round(chance.sample_size(p), -4) for p in (0.1, 0.5, 0.9)] == [7_140_000, 790_000, 90_000]
    assert chance.sample_size(0.1, relative=0.1) < 512 * 2048  # ten per cent at 0.1 with what the kit draws
    assert [pairs_to_see_repetition(p, share=1.0) for p in (0.5, 0.9)] == [78, 457]


def test_a_mask_repeated_every_32_rows_is_seen_at_the_stated_sample_size():
    for p in (0.5, 0.9):
        columns = -(-pairs_to_see_repetition(p, share=1.0) * 2 // 32)
        keep = np.tile(mask(32, columns, p, 3), (2, 1))
        assert chance.surprising(chance.lags(keep, p, 0, distances=(32,))) is not None
        assert chance.surprising(chance.lags(mask(64, columns, p, 3), p, 0, distances=(32,))) is None


def odd_fourth(keep):
    """Each fourth decision is the parity of three: any two, and any three, are independent."""
    fourth = keep[:, 0::4] ^ keep[:, 1::4] ^ keep[:, 2::4]
    return np.stack([keep[:, 0::4], keep[:, 1::4], keep[:, 2::4], fourth], axis=-1).reshape(keep.shape)


@pytest.mark.parametrize(
    ("observe", "wrong"),
    [
        (chance.totals, lambda m: np.where(np.arange(len(m))[:, None] == 5, True, m)),
        (lambda m, p: chance.lags(m, p, 1), lambda m: np.repeat(m[:, ::2], 2, axis=1)),
        (lambda m, p: chance.repeats(m, p, 0), lambda m: np.concatenate([m[:-1], m[:1]])),
        (chance.patterns, odd_fourth),
        (chance.patterns, lambda m: np.repeat(m[:, ::2], 2, axis=1)),
        (chance.shards, lambda m: np.concatenate([m[: len(m) // 2]] * 2)),
    ],
)
def test_each_kind_of_observation_sees_what_it_is_for(observe, wrong):
    keep = mask(128, 512, 0.5, 7)
    assert chance.surprising(observe(keep, 0.5)) is None
    assert chance.surprising(observe(wrong(keep), 0.5)) is not None


def test_masks_of_calls_that_are_one_mask_moved_are_seen():
    keep = mask(64, 64, 0.5, 1)
    for other in (keep, np.roll(keep, 1, 0), np.roll(keep, -1, 1)):
        assert chance.surprising(chance.across_calls([keep, other], 0.5)) is not None
