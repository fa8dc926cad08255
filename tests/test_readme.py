"""What the README shows runs as written."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run_as_written(number, tmp_path, monkeypatch, capsys, request):
    if "torch" in EXAMPLES[number]:
        request.getfixturevalue("torch")  # skipped by name where it is not installed
    monkeypatch.chdir(tmp_path)
    exec(EXAMPLES[number], {"__name__": "readme"})
    assert capsys.readouterr().out.strip() in README, "the README shows what the example prints"


def test_its_examples_are_there_and_its_pictures_exist():
    assert len(EXAMPLES) == 7
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parent.parent / link).exists()] == []
