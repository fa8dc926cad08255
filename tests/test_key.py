"""Addresses: validated, injective, immutable."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from puredrop import Key, Rng
from puredrop.random import INITIALISATION, MASK, TIE


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", -1), ("seed", 1 << 64), ("site", 1 << 16), ("step", 1 << 32), ("sample", 1 << 24), ("draw_index", 32)],
)
def test_out_of_range_names_the_field_and_the_range(field, value):
    with pytest.raises(ValueError, match=rf"Key: {field} must be a whole number in \[0, 2\^\d+\), got {value}"):
        Key(**{"seed": 0, field: value})


@pytest.mark.parametrize("value", [1.0, "1", None, True, np.True_])
def test_only_whole_numbers(value):
    with pytest.raises(TypeError, match="Key: seed must be a whole number"):
        Key(value)


def test_numpy_integers_become_python_integers():
    assert type(Key(np.uint64(7)).seed) is int
    assert Key(np.int32(7)) == Key(7)


def test_no_two_addresses_share_a_counter():
    """Injective: every field, at its smallest and largest values, leads to its own bits."""
    values = {
        "seed": (0, 1, 1 << 32, (1 << 64) - 1),
        "site": (0, 1, (1 << 16) - 1),
        "step": (0, 1, (1 << 32) - 1),
        "sample": (0, 1, 1 << 16, (1 << 24) - 1),
        "draw_index": (0, 1, 31),
    }
    keys = [Key(**dict(zip(values, combination, strict=True))) for combination in itertools.product(*values.values())]
    addresses = {key.address(kind) for key in keys for kind in (MASK, TIE, INITIALISATION)}
    assert len(addresses) == 3 * len(keys)
    assert all(0 <= word < 1 << 32 for address in addresses for word in address)
    assert all(c1 & 0xFFFF == 0 for _, _, c1, _, _ in addresses), "the low half of c1 is the block's"


def test_packing_is_that_of_the_contract():
    key = Key(seed=0x0123456789ABCDEF, site=0x1234, step=0x89ABCDEF, sample=0xABCDEF, draw_index=5)
    assert key.address(TIE) == (
        0x89ABCDEF,
        0x01234567,
        0xCDEF0000,
        0x89ABCDEF,
        0x1234 | 0xAB << 16 | (5 << 3 | 1) << 24,
    )


def test_keys_are_values():
    assert pickle.loads(pickle.dumps(Key(3).draw(1))) == Key(3).draw(1)
    assert len({Key(1), Key(1), Key(2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Key(1).seed = 2


def test_a_draw_has_no_draws():
    """draw(1).draw(2) could only be the draw 2 that its neighbours have too."""
    for number in (0, 1, 2):
        with pytest.raises(ValueError, match=r"Key\.draw: expected a key of which no draw was taken.*draw_index=1"):
            Key(3).draw(1).draw(number)
    assert Key(3).draw(0) == Key(3)


def test_rng_hands_out_steps_in_order_and_stops_at_the_last():
    rng = Rng(5, site=2, step=(1 << 32) - 1)
    assert rng.next_key() == Key(5, 2, (1 << 32) - 1)
    with pytest.raises(ValueError, match="step"):
        rng.next_key()
