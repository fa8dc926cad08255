"""A wheel, installed elsewhere: it imports, holds every data file, and passes its doctests."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

DOCTESTS = """
import doctest, importlib, pathlib, pkgutil, sys
import puredrop
assert pathlib.Path(puredrop.__file__).is_relative_to(sys.argv[1]), puredrop.__file__
failed = attempted = 0
for info in pkgutil.walk_packages(puredrop.__path__, "puredrop."):
    result = doctest.testmod(importlib.import_module(info.name))
    failed, attempted = failed + result.failed, attempted + result.attempted
assert failed == 0 and attempted > 50, (failed, attempted)
from puredrop import conformance
rows = conformance.verify(on=["numpy"])
assert all(row.status != "failed" for row in rows), conformance.as_text(rows)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    [path] = folder.glob("puredrop-*.whl")
    return path


def test_it_holds_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("puredrop/")}
        metadata = archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "puredrop").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == tracked
    assert {"puredrop/py.typed", "puredrop/conformance/golden/pytorch_dropout.npz"} <= packed
    assert "License-Expression: BSD-3-Clause" in metadata


def test_installed_elsewhere_it_passes_its_doctests(wheel, tmp_path):
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel], check=True
    )
    script = tmp_path / "doctests.py"
    script.write_text(DOCTESTS)
    environment = {**os.environ, "PYTHONPATH": str(target), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-W", "error", script, target], check=True, cwd=tmp_path, env=environment)
