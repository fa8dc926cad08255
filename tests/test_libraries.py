"""The dropouts of other libraries in front of the kit: what is found, and how it is told."""

import dataclasses
import json
from importlib.util import find_spec

import numpy as np
import pytest

from puredrop import cli
from puredrop.conformance import libraries
from puredrop.conformance.libraries import ROWS, Conformance, LibraryRow, conform, row_named
from puredrop.conformance.libraries.run import Cell

# Published errors, by the row and the check that find them, and words of the sentence. Those of libraries that the
# tests do not install are in docs/conformance.md.
PUBLISHED = [
    ("torch", "_refs.alpha_dropout", "values", "does not have the values of the formula"),
    ("torch", "_refs.alpha_dropout", "moments", "the mean of y is off by"),
    ("torch", "nn.RNN, exported in training", "p = 1", "leaves 100% of the elements that must be dropped"),
    ("torch", "functional.scaled_dot_product_attention", "rate errors", "p = -0.1 is accepted"),
    ("torch", "functional.scaled_dot_product_attention", "evaluation", "evaluation still drops"),
    ("flax", "linen.Dropout", "rate gradient", "it goes through 1 / (1 - p) alone and is biased"),
    ("flax", "linen.dot_product_attention", "p = 1", "not finite"),
    ("equinox", "nn.Dropout", "gradient at p = 1", "is NaN"),
    ("keras", "AlphaDropout", "p = 1", "ZeroDivisionError"),
    ("keras", "GaussianDropout", "p = 1", "ZeroDivisionError"),
    ("keras", "Dropout", "whole numbers", "int64 in gives int64 out"),
    ("keras", "LSTM(dropout=)", "p = 1", "leaves 100% of the elements"),
    ("keras", "GRU(dropout=)", "p = 1", "leaves 100% of the elements"),
    ("keras", "LSTM(dropout=, implementation=1)", "runs", "an ordinary call raises"),
    ("onnx", "Dropout, reference", "p = 1", "not finite"),
    ("onnx", "Dropout, reference", "half precision", "float16 in gives float32 out"),
]


@pytest.fixture(autouse=True)
def keras_on_numpy(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")


def require(row):
    if row.installed() is None:
        pytest.skip(f"{row.library} is not installed")
    if row.library == "keras":
        import keras

        if keras.backend.backend() != "numpy":
            pytest.skip("Keras already runs on another backend")


@pytest.mark.filterwarnings("ignore")  # those of the libraries are not ours
@pytest.mark.parametrize(("library", "operation", "check", "words"), PUBLISHED)
def test_published_errors_are_found(library, operation, check, words):
    row = row_named(library, operation)
    require(row)
    only = ("values", "moments") if check == "moments" else (check,)
    report = row.report(only=only)
    [finding] = [one for one in report.findings if one.check == check]
    assert words in finding.sentence
    assert finding.target == f"{library}: {operation}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("library", "operation", "check"),
    [
        ("torch", "functional.dropout", "nonfinite"),
        ("torch", "functional.scaled_dot_product_attention", "rate errors"),
        ("equinox", "nn.Dropout", "rate errors"),
        ("keras", "LSTM(dropout=)", "p = 1"),
        ("onnx", "Dropout, reference", "signed zero"),
    ],
)
def test_reproducers_show_what_the_finding_says_it_got(library, operation, check, capsys):
    row = row_named(library, operation)
    require(row)
    [finding] = row.report(only=(check,)).findings
    lines = row.reproducer(finding)
    assert "puredrop" not in lines
    assert f"# got:      {finding.got}" in lines
    with np.errstate(all="ignore"):
        exec(lines, {})
    assert capsys.readouterr().out


def test_a_reproducer_of_chance_is_the_kit_itself(capsys):
    wrong = LibraryRow("ours", "unscaled", "dropout", "x * 1", arrays="numpy")
    [finding] = wrong.report(only=("rate",)).findings
    assert 'row_named("ours", "unscaled").report(only=("rate",))' in wrong.reproducer(finding)


def wrong_matrix():
    rows = (
        LibraryRow("ours", "wrong", "dropout", "x * 1", arrays="numpy", documented={"p = 1": "for the test"}),
        LibraryRow("absent", "dropout", "dropout", "absent.dropout(x, p)", arrays="numpy"),
    )
    report = rows[0].report(only=("runs", "values", "p = 1", "rate errors", "layout"))
    return Conformance((Cell(rows[0], "1.0", report), Cell(rows[1], None, None, "absent is not installed")), "here")


def test_the_matrix_as_text():
    text = libraries.as_text(wrong_matrix())
    assert "ours 1.0" in text
    assert "p = 1               known" in text
    assert "rate errors         FAILED" in text
    assert "absent: dropout: skipped: absent is not installed" in text
    assert "ours: wrong: rate errors: p = -0.1 is accepted" in text
    assert text.splitlines()[-1].endswith("1 documented deviations, 1 operations skipped")


def test_the_matrix_as_json():
    data = json.loads(json.dumps(libraries.as_json(wrong_matrix())))
    ours, absent = data["rows"]
    assert ours["checks"]["rate errors"] == "failed"
    assert {one["status"] for one in ours["findings"]} == {"finding", "documented"}
    assert all(one["reproducer"] and one["sentence"] and one["input"] for one in ours["findings"])
    assert (absent["version"], absent["skipped"]) == (None, "absent is not installed")


def test_the_matrix_as_pages(tmp_path):
    matrix = wrong_matrix()
    index = libraries.write_html(matrix, tmp_path / "pages")
    text = index.read_text()
    pages = {path.name for path in index.parent.iterdir()}
    for cell in matrix.cells:
        for finding in cell.all_findings:
            name = libraries.html.page_name(cell, finding)
            assert f'href="{name}"' in text
            assert name in pages
            assert "Reproducer" in (index.parent / name).read_text()
    assert len(pages) == 1 + len(matrix.cells[0].all_findings)


def test_libraries_that_are_not_installed_are_named_and_skipped(monkeypatch, capsys):
    monkeypatch.setattr("puredrop.conformance.libraries.row.find_spec", lambda name: None)
    result = conform(["haiku", "timm"])
    assert {cell.reason for cell in result.cells} == {"haiku is not installed", "timm is not installed"}
    assert result.findings == []


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown library 'pytorch'; known are torch, torchvision"):
        conform(["pytorch"])
    with pytest.raises(ValueError, match=r"unknown operation 'dropout' of torch; known are functional\.dropout"):
        row_named("torch", "dropout")


def test_names_are_distinct():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_command(tmp_path, capsys, torch, monkeypatch):
    few = ("evaluation", "rate errors", "signed zero")
    rows = tuple(dataclasses.replace(row, only=few) for row in ROWS if row.library == "torch")
    monkeypatch.setattr(libraries.run, "ROWS", rows)
    where = [f"--json={tmp_path / 'matrix.json'}", f"--html={tmp_path / 'pages'}"]
    attention = "functional.scaled_dot_product_attention"
    assert cli.main(["conform", "torch", "--operation", attention, *where]) == 1
    assert "evaluation still drops" in capsys.readouterr().out
    assert json.loads((tmp_path / "matrix.json").read_text())["rows"][0]["operation"] == attention
    assert (tmp_path / "pages" / "index.html").exists()
    assert cli.main(["conform", "torch", "--operation", "nn.Dropout"]) == 0  # documented deviations alone
    assert cli.main(["conform", "nothing"]) == 2
    assert "unknown library 'nothing'" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_documented_deviations_are_strict():
    """What a library no longer does must leave the list."""
    for operation in ("functional.dropout", "native_dropout"):
        row = row_named("torch", operation)
        found = {finding.check for finding in row.report(only=tuple(row.documented)).findings}
        assert found == set(row.documented)
