"""The catalogue in docs/ is the one that the code makes, and says what is so."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from puredrop import conformance
from puredrop.conformance import catalogue
from puredrop.conformance.case import LAYER_FAMILIES
from puredrop.conformance.catalogue.parts import RULE
from puredrop.conformance.checks import why_not

PAGE = Path(__file__).parent.parent / "docs" / "variants.md"
OTHERS = {other.name: other for other in catalogue.OTHER_NAMES}


def test_the_page_is_current():
    assert PAGE.read_text() == catalogue.as_markdown() + "\n", "run: make docs"


def test_it_has_an_entry_for_every_variant():
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("### ")]
    assert headings == [f"### `{name}`" for name in conformance.CASES]
    assert [line.split()[0] for line in catalogue.as_text().splitlines()] == list(conformance.CASES)


def test_the_table_leads_to_every_entry():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| [")]
    assert [row.split(" | ")[0] for row in rows] == [f"| [`{name}`](#{name})" for name in conformance.CASES]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {11}  # nine cells in each, whatever they hold


@pytest.mark.parametrize("name", conformance.CASES)
def test_every_variant_says_what_the_catalogue_needs(name):
    parts = catalogue.sections(conformance.CASES[name].function)
    assert set(parts) == {"Summary", *catalogue.SECTIONS}
    assert all(parts.values())
    assert re.fullmatch(r"[A-Z][^,\"]+, (19|20)\d\d", catalogue.citation(parts["Reference"]))


@pytest.mark.parametrize("name", conformance.CASES)
def test_row_and_docstring_agree_on_evaluation(name):
    case = conformance.CASES[name]
    documented = RULE.search(catalogue.sections(case.function)["Math"])[1]
    identity = catalogue.evaluation(case) == "identity"
    assert identity == (case.evaluation == "identity" and why_not(case, "evaluation") is None)
    assert documented in ("x", "w", "ids") if identity else documented == catalogue.evaluation(case)


def test_a_docstring_that_lacks_what_the_page_needs_is_an_error():
    with pytest.raises(ValueError, match=r"expected a reference as .*got 'a folk theorem'"):
        catalogue.citation("a folk theorem")


# ------------------------------------------------------------------------------------------------ rows
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


# ------------------------------------------------------------------------------------------------ other names
@pytest.mark.parametrize("name", OTHERS)
def test_the_line_for_another_name_does_what_is_said(name):
    names = {}
    exec(catalogue.SETUP, names)
    names["y"] = eval(OTHERS[name].line, names)
    assert eval(OTHERS[name].holds, names), OTHERS[name].holds
    assert f"`{OTHERS[name].line}`" in PAGE.read_text()
