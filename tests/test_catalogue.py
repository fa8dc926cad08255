"""The catalogue in docs/ is the one that the code makes."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from puredrop import conformance
from puredrop.conformance import catalogue
from puredrop.conformance.case import LAYER_FAMILIES

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


@pytest.mark.parametrize("name", conformance.CASES)
def test_every_row_says_where_the_variant_is_used(name):
    families = conformance.CASES[name].applies_to
    assert families
    assert len(set(families)) == len(families)
    assert set(families) <= set(LAYER_FAMILIES)


@pytest.mark.parametrize("name", [name for name, case in conformance.CASES.items() if "PyTorch" in case.elsewhere])
def test_what_a_row_names_in_pytorch_is_there(name, torch):
    path, _, _ = conformance.CASES[name].elsewhere["PyTorch"].partition(": ")
    path, _, argument = path.removesuffix("=)").partition("(")
    module, _, attribute = path.rpartition(".")
    assert argument in getattr(import_module(module), attribute).__doc__


def test_names_in_other_libraries_are_names():
    pattern = re.compile(r"[A-Za-z_][\w.]*(\(\w+=\))?(: \S.*[^.])?")
    values = [value for case in conformance.CASES.values() for value in case.elsewhere.values()]
    assert values
    assert [value for value in values if not pattern.fullmatch(value)] == []
