"""The counter-based generators behind the streams: known answers, kernels beside NumPy, counters that carry."""

import numpy as np
import pytest

from puredrop import backends
from puredrop.streams.philox import blocks_from, composed_philox4x32, philox2x32, philox_blocks
from puredrop.streams.threefry import composed_threefry2x32, threefry2x32, threefry4x32

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)
ONES = (0xFFFFFFFF,) * 8
ZEROS = (0,) * 8
# The file kat_vectors of Random123: counter and key lie one after the other in ZEROS, ONES and the digits of pi.
KNOWN_ANSWERS = {
    "threefry2x32-20": ("6b200159 99ba4efe", "1cb996fc bb002be7", "c4923a9c 483df7a0"),
    "threefry4x32-20": (
        "9c6ca96a e17eae66 fc10ecd4 5256a7d8",
        "2a881696 57012287 f6c7446e a16a6732",
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
    "philox2x32-10": ("ff1dae59 6cd10df2", "2c3f628b ab4fd7ad", "dd7ce038 f62a4c12"),
    "philox4x32-10": (
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}
GENERATORS = {
    "threefry2x32-20": lambda digits: threefry2x32(digits[2:4], digits[:2]),
    "threefry4x32-20": lambda digits: threefry4x32(digits[4:8], [[word] for word in digits[:4]]),
    "philox2x32-10": lambda digits: philox2x32(digits[2], [[word] for word in digits[:2]]),
    "philox4x32-10": lambda digits: philox_blocks(digits[4:6], digits[:4]),
}


@pytest.mark.parametrize("which", [0, 1, 2], ids=["zeros", "ones", "pi"])
@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("backend", backends.available())
def test_known_answers_of_random123(name, which, backend, choose_backend):
    choose_backend(backend)
    words = GENERATORS[name]((ZEROS, ONES, PI)[which])
    assert " ".join(f"{int(np.squeeze(word)):08x}" for word in words) == KNOWN_ANSWERS[name][which]


@pytest.fixture
def counters(rng):
    return rng.integers(0, 1 << 32, (4, 70_001), dtype=np.uint32)


def test_threefry_in_tiles_and_kernels_is_threefry(counters):
    key = (0xDEADBEEF, 0x12345678)
    for ours, reference in zip(threefry2x32(key, counters[:2]), composed_threefry2x32(key, *counters[:2]), strict=True):
        assert np.array_equal(ours, reference)


def test_philox_in_tiles_and_kernels_is_philox(counters):
    key = (0xDEADBEEF, 0x12345678)
    assert np.array_equal(philox_blocks(key, counters), composed_philox4x32(key, counters))


@pytest.mark.parametrize("counter", [slice(None, None, 2), slice(None, None, -3)])
def test_counters_may_be_views(counters, counter):
    views = counters[:, counter]
    assert np.array_equal(philox_blocks((1, 2), views), philox_blocks((1, 2), views.copy()))
    assert np.array_equal(threefry2x32((1, 2), views[:2]), threefry2x32((1, 2), views[:2].copy()))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3)])
def test_words_have_the_shape_of_their_counters(shape):
    counter = np.zeros(shape, np.uint32)
    assert [word.shape for word in threefry2x32((0, 0), (counter, 7))] == [shape, shape]
    assert philox_blocks((0, 0), (counter, 1, 2, 3)).shape == (*shape, 4)


@pytest.mark.parametrize("bits", [32, 64, 96, 128])
def test_counters_of_128_bits_carry(bits):
    across = blocks_from((3, 4), (1 << bits) - 2, 4)
    after = [(1 << bits) + i for i in range(2)]
    words = [[block >> shift & 0xFFFFFFFF for block in after] for shift in (0, 32, 64, 96)]
    assert np.array_equal(across[2:], philox_blocks((3, 4), words))
