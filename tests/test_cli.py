"""The commands, as a user types them."""

import json
import subprocess
import sys

import pytest

from puredrop import backends, conformance
from puredrop.cli import main


def test_backends_are_listed(capsys):
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(backends.KNOWN)
    for name, line in zip(backends.KNOWN, lines, strict=True):
        reason = backends.why_not(name)
        assert (f"{name} not usable: {reason}" if reason else f"{name} usable") in " ".join(line.split())


def test_verify_prints_a_table_and_json(capsys, monkeypatch):
    rows = [conformance.Row("dropout", "numpy", "rate", "passed", 0.5)]
    monkeypatch.setattr(conformance, "verify", lambda *args, **options: rows)
    assert main(["verify"]) == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out
    assert main(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == conformance.as_json(rows)


def test_verify_exits_1_on_a_failure(capsys, monkeypatch):
    rows = [conformance.Row("dropout", "numpy", "rate", "failed", reason="too many dropped")]
    monkeypatch.setattr(conformance, "verify", lambda *args, **options: rows)
    assert main(["verify"]) == 1
    assert "FAILED: dropout [numpy] rate: too many dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "dropuot"], "unknown variant 'dropuot'"),
        (["verify", "--backend", "abacus"], "unknown backend 'abacus'"),
    ],
)
def test_wrong_names_exit_2_with_a_sentence(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_command_is_installed():
    result = subprocess.run([sys.executable, "-m", "puredrop", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("puredrop ")
