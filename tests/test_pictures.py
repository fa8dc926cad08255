"""Every structured variant has a picture, the page shows each, and they show what the variants draw."""

import re
from pathlib import Path

import numpy as np
import pytest

from puredrop import conformance
from puredrop.cli import main
from puredrop.conformance import catalogue, pictures
from puredrop.conformance.cases import FAMILIES
from puredrop.conformance.pictures import recurrent, regions

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (DOCS / "variants.md").read_text())


def test_every_variant_has_a_picture_or_a_reason_not_to():
    drawn = {name for picture in pictures.PICTURES.values() for name in picture.variants}
    assert drawn | set(pictures.PLAIN) == set(conformance.CASES)
    assert drawn & set(pictures.PLAIN) == set()


def test_the_page_shows_every_picture_and_they_are_there():
    assert sorted(SHOWN) == sorted(pictures.PICTURES)
    assert [name for name in SHOWN if not (DOCS / name).exists()] == [], "run: make docs"
    families = {family.__name__.rpartition(".")[2] for family in FAMILIES if family.CASES}
    assert {picture.family for picture in pictures.PICTURES.values()} <= families


def test_captions_fit_in_two_lines():
    panels = [panel for picture in pictures.PICTURES.values() for panel in picture.panels]
    assert [p.variant for p in panels if len(pictures.textwrap.wrap(p.caption, pictures.CAPTION)) > 2] == []


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no pictures")
    return catalogue.save_pictures(tmp_path_factory.mktemp("pictures"))


def test_they_are_drawn_in_black_and_white(saved):
    image = pytest.importorskip("matplotlib.image")
    assert [path.name for path in saved] == list(pictures.PICTURES)
    for path in saved:
        pixels = image.imread(path)[..., :3].reshape(-1, 3)
        ink = np.array([int(pictures.INK[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        share = (abs(pixels - ink).max(axis=1) < 0.01).mean()
        assert 0.01 < share < 0.5, f"{path.name}: {share:.3f} of it is ink"


def test_a_unit_that_zones_out_keeps_its_state():
    keep, states = recurrent.run(recurrent.zoned)  # (units, steps)
    before = np.concatenate([np.zeros((len(states), 1)), states[:, :-1]], axis=1)
    assert keep.any()
    assert not keep.all()
    assert np.array_equal(states == before, ~keep)
    assert np.array_equal(states[keep], recurrent.NEW.T[keep])


def test_windows_come_apart_and_together():
    x = np.arange(regions.SIZE**2).reshape(regions.SIZE, regions.SIZE)
    assert regions.in_windows(x)[0, 1].tolist() == [2, 3, 10, 11]
    assert np.array_equal(regions.from_windows(regions.in_windows(x)), x)


def test_without_matplotlib_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need matplotlib: pip install 'puredrop\[docs\]'"):
        catalogue.save_pictures(tmp_path)


def test_the_command_draws_them_into_a_folder_that_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "save_pictures", lambda folder: [Path(folder) / "masks-graph.png"])
    assert main(["variants", "--pictures", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'masks-graph.png'}\n"
    assert main(["variants", "--pictures", str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err
