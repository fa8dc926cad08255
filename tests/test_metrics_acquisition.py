"""Which inputs to label next: against enumeration, closed forms and exact binomial thresholds."""

import itertools

import numpy as np
import pytest
from scipy import stats

from puredrop import Key
from puredrop import uncertainty as u
from puredrop.uncertainty import acquisition

RNG = np.random.default_rng(4)
T, N, C = 6, 12, 3
SAMPLES = RNG.dirichlet(np.full(C, 0.4), (T, N))  # (T, N, C)


def information(rows):
    """The mutual information of the labels of some rows and the sample, by all labels."""
    joint = 0.0
    for labels in itertools.product(range(C), repeat=len(rows)):
        p = np.prod([SAMPLES[:, row, label] for row, label in zip(rows, labels, strict=True)], axis=0).mean()
        joint -= p * np.log(p)
    return joint - u.expected_entropy(SAMPLES)[list(rows)].sum()


def test_batchbald_takes_what_adds_most_by_all_labels():
    batch = u.batchbald(SAMPLES, 3, joint="exact")
    assert batch.rows[0] == u.mutual_information(SAMPLES).argmax()
    chosen = []
    for row, score in zip(batch.rows, batch.scores, strict=True):
        best = {n: information([*chosen, n]) for n in range(N) if n not in chosen}
        assert row == max(best, key=best.get)
        assert score == pytest.approx(best[row], rel=1e-12)
        chosen.append(row)


def test_batchbald_does_not_take_the_same_twice():
    """Of ten copies of the most informative row one is enough; the scores of single rows take them all."""
    pool = np.concatenate([np.repeat(SAMPLES[:, :1], 10, axis=1), SAMPLES[:, 1:]], axis=1)
    pool[:, :10] = np.eye(C)[np.arange(T) % C][:, None]  # its label says which third of the samples it is
    assert set(u.top_rows(u.mutual_information(pool), 3)) <= set(range(10))
    rows = u.batchbald(pool, 3, joint="exact").rows
    assert (rows < 10).sum() == 1


def test_the_sampled_entropy_is_unbiased():
    """Of the labels of two rows and one more: 40 estimates of 500 draws, within 4 standard errors of all."""
    pair, draws = SAMPLES[:, [0, 5]], 500
    everything = (pair[:, 0, :, None] * pair[:, 1, None, :]).reshape(T, -1)  # (T, 9)
    exact = acquisition._joint_entropy(everything, None, SAMPLES)
    estimates = []
    for i in range(40):
        likelihoods = acquisition._drawn(pair, draws, Key(i))
        estimates.append(acquisition._joint_entropy(likelihoods, 1 / (draws * likelihoods.mean(axis=0)), SAMPLES))
    error = np.mean(estimates, axis=0) - exact
    standard_error = np.std(estimates, axis=0, ddof=1) / np.sqrt(40)
    assert (np.abs(error) < 4 * standard_error).all()
    assert standard_error.max() < 0.01


def test_sampling_begins_where_there_is_too_much_to_enumerate():
    exact = u.batchbald(SAMPLES, 3, joint="exact")
    few = u.batchbald(SAMPLES, 3, joint="sampled", draws=9, key=Key(0))  # two rows have nine labels
    assert np.allclose(few.scores, exact.scores, rtol=1e-12)
    sampled = u.batchbald(SAMPLES, 3, joint="sampled", draws=8, key=Key(0))
    assert np.array_equal(sampled.scores[:2], exact.scores[:2])
    assert sampled.scores[2] != exact.scores[2]
    long = [u.batchbald(SAMPLES, 8, joint="sampled", draws=1000, key=Key(i)).scores for i in range(2)]
    assert np.allclose(*long, rtol=0.05)
    assert (np.diff(long[0]) > -0.02).all()


def test_labels_that_cannot_happen_are_not_drawn():
    """Softmaxes in float32 need not sum to one exactly, and the last class may have probability 0."""
    pool = np.tile([0.5, 0.49999, 0.0], (2, 6, 1))
    batch = u.batchbald(pool, 5, joint="sampled", draws=2000, key=Key(0))
    assert np.isfinite(batch.scores).all()
    assert np.abs(batch.scores).max() < 0.01


def test_epig_is_the_mean_mutual_information():
    pool, targets = SAMPLES[:, :4], SAMPLES[:, 4:]
    for n in range(4):
        by_target = []
        for m in range(N - 4):
            joint = np.einsum("tc,td->cd", pool[:, n], targets[:, m]) / T
            product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
            by_target.append((joint * np.log(joint / product)).sum())
        assert u.epig(pool, targets)[n] == pytest.approx(np.mean(by_target), rel=1e-10)
    with pytest.raises(ValueError, match="pool and targets must have the same samples, got 6 and 5"):
        u.epig(pool, targets[1:])


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("power", lambda s, coldness: s**coldness),
        ("softmax", lambda s, coldness: np.exp(coldness * s)),
        ("softrank", lambda s, coldness: (np.argsort(np.argsort(-s)) + 1.0) ** -coldness),
    ],
)
@pytest.mark.parametrize("coldness", [0.0, 1.0, 2.0])
def test_the_first_row_is_drawn_in_proportion(kind, weights, coldness):
    """400 keys, exact binomial thresholds at 1e-5 for each row."""
    scores = np.array([0.5, 2.0, 1.0])
    first = [u.stochastic_rows(scores, 1, kind=kind, coldness=coldness, key=Key(i))[0] for i in range(400)]
    chance = weights(scores, coldness) / weights(scores, coldness).sum()
    low, high = stats.binom.ppf([[1e-5], [1 - 1e-5]], 400, chance)
    assert (low <= np.bincount(first, minlength=3)).all()
    assert (np.bincount(first, minlength=3) <= high).all()


def test_rows_without_a_score_are_drawn_last_and_not_always_the_same():
    scores = np.array([-0.1, 0.0, 1e-9, 0.0])
    drawn = [u.stochastic_rows(scores, 2, kind="power", key=Key(i)).tolist() for i in range(50)]
    assert {rows[0] for rows in drawn} == {2}
    assert {rows[1] for rows in drawn} == {0, 1, 3}


def test_margins_and_tops():
    assert u.margin([[0.5, 0.5], [0.0, 1.0]]).tolist() == [0.0, -1.0]
    assert u.top_rows([1.0, 2.0, 2.0], 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: u.top_rows([1.0], 2), ValueError, "cannot choose 2 of 1 rows"),
        (lambda: u.top_rows([np.nan], 1), ValueError, "scores must be finite"),
        (lambda: u.margin([[1.0]]), ValueError, "needs two classes or more"),
        (lambda: u.batchbald(SAMPLES, 13, joint="exact"), ValueError, "cannot choose 13 of 12 rows"),
        (lambda: u.batchbald(SAMPLES, 12, joint="exact"), ValueError, "177,147 joint labels to enumerate"),
        (lambda: u.batchbald(SAMPLES, 2, joint="exact", draws=5), ValueError, "joint='exact' draws nothing"),
        (lambda: u.batchbald(SAMPLES, 2, joint="sampled", key=Key(0)), TypeError, "draws must be a whole number"),
        (lambda: u.batchbald(SAMPLES, 2, joint="sampled", draws=5), TypeError, "key must be a Key, got None"),
        (lambda: u.batchbald(3 * SAMPLES, 2, joint="exact"), ValueError, "sum to one"),
        (lambda: u.stochastic_rows([1.0], 1, kind="power", key=0), TypeError, "key must be a Key, got 0"),
        (lambda: u.stochastic_rows([1.0], 1, kind="gibbs", key=Key(0)), ValueError, "kind must be one of 'power'"),
        (lambda: u.stochastic_rows([1.0], 1, kind="power", key=Key(0), coldness=-1), ValueError, "coldness must not"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
