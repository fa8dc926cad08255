"""The catalogue in docs/ is the one that the code makes."""

from pathlib import Path

import pytest

from puredrop import conformance
from puredrop.conformance import catalogue

PAGE = Path(__file__).parent.parent / "docs" / "variants.md"


def test_the_page_is_current():
    assert PAGE.read_text() == catalogue.as_markdown() + "\n", "run: puredrop variants --markdown > docs/variants.md"


def test_it_has_an_entry_for_every_variant():
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("### ")]
    assert headings == [f"### `{name}`" for name in conformance.CASES]
    assert [line.split()[0] for line in catalogue.as_text().splitlines()] == list(conformance.CASES)


@pytest.mark.parametrize("name", conformance.CASES)
def test_every_variant_says_what_the_catalogue_needs(name):
    parts = catalogue.sections(conformance.CASES[name].function)
    assert set(parts) == {"Summary", *catalogue.SECTIONS}
    assert all(parts.values())
