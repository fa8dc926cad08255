"""What docs/conformance.md shows runs as written."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from mutants import MUTANTS

from puredrop import cli
from puredrop.conformance import CASES
from puredrop.conformance.foreign.masks import REVEALING, decoder_of
from puredrop.conformance.libraries import LIBRARIES, row_named

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "conformance.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
PYTHON = [block for kind, block in BLOCKS if kind == "python"]
PLAIN = [block for kind, block in BLOCKS if kind == ""]
TOML = [block for kind, block in BLOCKS if kind == "toml"]

PLUGIN = ("-p", "no:hypothesispytest", "-p", "puredrop.conformance.pytest_plugin")  # Hypothesis takes a second a run


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv(
        "PUREDROP_BACKEND", "numpy"
    )  # pytester forgets what is imported inside, which Numba does not bear
    pytester.makepyfile(mine=PYTHON[0])
    pytester.syspathinsert()
    return pytester


def test_the_first_finding(project, capsys):
    exec(PYTHON[1], {})
    assert capsys.readouterr().out == PLAIN[1]


def test_the_plugin_on_the_command_line(project):
    [command] = [block for block in PLAIN if block.startswith("pytest")]
    arguments = command.split()[1:]
    result = project.runpytest_inprocess(*PLUGIN, *arguments)
    assert result.ret == 1
    assert "it is not scaled by 1 / (1 - p)" in result.stdout.str()


def test_the_fixture_with_known_deviations(project):
    project.makepyfile(test_mine=PYTHON[2])
    project.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=1)


def test_the_list_of_known_deviations(project):
    project.makefile(".toml", known=TOML[0])
    arguments = ("--puredrop", "mine:dropout", "--puredrop-known", "known.toml", "-k", "scale and not gradient")
    result = project.runpytest_inprocess(*PLUGIN, *arguments)
    assert result.parseoutcomes()["xfailed"] == 1


def test_the_commands_are_commands(monkeypatch, capsys):
    [block] = [block for block in PLAIN if block.startswith("puredrop conform")]
    asked = []
    monkeypatch.setattr("puredrop.conformance.libraries.conform", lambda *names, **_: asked.append(names) or 1 / 0)
    for line in block.strip().splitlines():
        with pytest.raises(ZeroDivisionError):
            cli.main(line.split()[1:])
    assert [names[0] for names in asked] == [["torch"], ["flax", "equinox"]]


def test_the_table_of_published_errors_names_rows_and_versions():
    rows = re.findall(r"^\| \d+ \| (\S+) ([\d.]+).*? \| `(.+?)` \| (.+?) \|", TEXT, flags=re.MULTILINE)
    assert len(rows) == 24
    for library, stated, operation, _ in rows:
        row = row_named(library, operation)
        if row.installed():
            assert version(row.distribution or row.package or row.library).split("+")[0] == stated


def test_what_it_says_of_itself():
    blind = [name for name, case in CASES.items() if decoder_of(case) is None and name not in REVEALING]
    assert f"for {len(blind)} of the variants" in TEXT
    assert f"{len(MUTANTS)} wrong dropouts" in TEXT
    assert all(library in TEXT for library in LIBRARIES)
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
