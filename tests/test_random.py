"""From counters to decisions: known answers, exactness in p, ties, and the frozen contract."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from puredrop import Index, Key, keep_mask
from puredrop.random import CONTRACT_VERSION, MASK, TIE, UNIFORM, bernoulli, threshold
from puredrop.random.philox import blocks, philox4x32

# Random123 1.14, kat_vectors, philox4x32 with 10 rounds
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
EXTREME = (1e-12, 1e-9, 2.0**-16, 1e-3, 0.1, 1 / 3, 0.5, 0.9, 1 - 1e-9, 1 - 1e-12)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, expected):
    assert tuple(int(word) for word in philox4x32(counter, key)) == expected


@pytest.mark.parametrize("p", EXTREME)
def test_threshold_is_p_to_64_bits(p):
    """The probability that the decision realises differs from p by less than 2^-64."""
    hi, lo = threshold(p)
    realised = Fraction(hi, 1 << 16) + Fraction(lo, 1 << 64)
    assert 0 <= Fraction(p) - realised < Fraction(1, 1 << 64)


def test_threshold_of_an_array_is_that_of_its_elements():
    hi, lo = threshold(np.array([0.0, *EXTREME, 1.0]))
    assert [(int(h), int(w)) for h, w in zip(hi, lo, strict=True)] == [threshold(p) for p in (0.0, *EXTREME, 1.0)]


def _tie_bits(e: int, key: Key) -> int:
    """The 48 bits of the second draw, read off the blocks one by one."""
    words = [int(w) for w in blocks(key, TIE, np.array([e // 2]))[0]]
    return (words[2 * (e % 2)] | words[2 * (e % 2) + 1] << 32) >> 16


@pytest.mark.parametrize("e", [0, 1, 2, 7, 8, 255, 256, 1001])
def test_a_tie_is_settled_by_48_further_bits(e, backend):
    """Force a tie at element e: with p just above its 64 bits it is dropped, with p just below it is kept."""
    key, n = Key(11, site=3), 1024
    h = int(blocks(key, MASK, np.array([e // 8]))[0].astype("<u4").view("<u2")[e % 8])
    t = _tie_bits(e, key)
    for lo, dropped in ((t, False), (t + 1, True), (0, False), ((1 << 48) - 1, True)):
        limit = bernoulli.Threshold(h, lo)
        keep = backend.keep(key, Index.whole(n), limit)
        assert keep[e] == (not dropped), f"tie bits {t} against lo = {lo}"
        y = backend.drop(np.ones(n, np.float32), key, Index.whole(n), limit, 2.0)
        assert np.array_equal(y != 0, keep)


@pytest.mark.parametrize("p", EXTREME)
def test_extreme_rates_drop_as_many_as_they_should(p, backend):
    """Of 2^22 elements: none at 1e-12, all at 1 - 1e-12, and a plausible number between."""
    keep = keep_mask(Key(1), 1 << 22, p, backend=backend)
    expected = p * keep.size
    deviation = abs((~keep).sum() - expected)
    assert deviation <= 5.5 * np.sqrt(expected * (1 - p)) + (1 if 0.5 < expected < keep.size - 0.5 else 0)


def test_rates_beyond_16_bits_are_seen(backend):
    """Two rates with the same first 16 bits differ exactly where the tie draw says."""
    p, q = 0.5 + 2.0**-17, 0.5
    n = 1 << 20
    first, second = (keep_mask(Key(4), n, rate, backend=backend) for rate in (p, q))
    differ = np.flatnonzero(first != second)
    h = blocks(Key(4), MASK, np.arange(n // 8)).astype("<u4").view("<u2").ravel()
    ties = np.flatnonzero(h == 1 << 15)
    assert ties.size > 5
    assert set(differ) == {e for e in ties if _tie_bits(int(e), Key(4)) < 1 << 47}
    assert 0 < differ.size < ties.size


def test_uniform_and_normal_have_their_moments(backend):
    u = backend.uniform(Key(2), Index.whole(1 << 18), np.float64)
    z = backend.normal(Key(2), Index.whole(1 << 18), np.float64)
    assert 0 < u.min() < u.max() < 1
    n = u.size
    for value, mean, deviation in (
        (u, 0.5, 12**-0.5),
        (u**2, 1 / 3, (4 / 45) ** 0.5),
        (z, 0, 1),
        (z**2, 1, 2**0.5),
        (z**4, 3, 96**0.5),
    ):
        assert abs(value.mean() - mean) < 5 * deviation / np.sqrt(n)
    assert abs((z[::2] * z[1::2]).mean()) < 5 / np.sqrt(n / 2)


def test_uniform_is_the_word_and_a_half(backend):
    index = Index.whole((5, 7))[1:, 2:6]
    words = backend.words(Key(8), index, UNIFORM)
    assert words.dtype == np.uint32
    assert np.array_equal(backend.uniform(Key(8), index, np.float64), (words.astype(float) + 0.5) / 2**32)


def test_permutation_is_one_and_ranks_words():
    order = bernoulli.permutation(Key(3), 1000, 4)
    assert sorted(order) == list(range(1000))
    words = bernoulli.words(Key(3), Index.whole(1000), 4)[order].astype(int)
    assert (np.diff(words) >= 0).all()


def test_contract_version_1_is_frozen(backend):
    """`tests/golden/native.npz` must never change without a new contract version."""
    golden = np.load(Path(__file__).parent / "golden" / "native.npz")
    assert CONTRACT_VERSION == int(golden["version"]) == 1
    from golden.make_native import draw

    drawn = draw(backend)
    assert set(drawn) | {"version"} == set(golden.files)
    for name, values in drawn.items():
        expected = golden[name]
        assert values.dtype == expected.dtype, name
        if name.startswith("normal"):
            assert np.abs(values - expected).max() <= (1e-6 if values.dtype == np.float32 else 1e-14), name
        else:
            assert np.array_equal(values, expected), name
