"""Studies of one model: same seed, same numbers; resumable; nothing left behind; what goes wrong is said before."""

import gzip
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from puredrop import cli, demo, nn
from puredrop.demo.studies import MODELS, command, images, page, study, text


@pytest.fixture
def tiny(monkeypatch):
    """Two contenders of each study, on little data."""
    real = command.chosen

    def chosen(*args):
        whole = real(*args)
        return replace(whole, contenders=whole.contenders[:2])

    monkeypatch.setattr(command, "chosen", chosen)
    monkeypatch.setattr(images, "SAMPLES", 3)
    monkeypatch.setattr(text, "SAMPLES", 2)
    monkeypatch.setattr(text, "TRAIN", 3_000)
    monkeypatch.setattr(text, "VALID", 1_000)
    monkeypatch.setattr(text, "LENGTH", 16)


def numbers(result):
    """All that must not differ between runs."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in result["rows"]]
    return {name: value for name, value in result.items() if name not in ("report", "rows")} | {"rows": rows}


@pytest.mark.parametrize("model", MODELS)
def test_a_study_writes_its_page_and_its_numbers(tiny, tmp_path, model):
    result = demo.run_model(model, tmp_path, seed=3, epochs=1, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{model}.html", f"{model}.json"]
    stored = json.loads((tmp_path / f"{model}.json").read_text())
    assert stored == json.loads(json.dumps(result))
    written = (tmp_path / f"{model}.html").read_text()
    for row in result["rows"]:
        assert row["name"] in written
        assert page.SHOWN[result["metric"]].format(row["eval"][result["metric"]]) in written
    assert "http" not in written.replace("http://www.w3.org", "")  # of SVG's names; nothing is fetched


def stopping(monkeypatch, module, epochs):
    """Ctrl-C once so many epochs are complete."""
    complete = iter(range(epochs))
    real = module.train_epoch

    def train_epoch(*args):
        real(*args)
        if next(complete, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_epoch", train_epoch)


@pytest.mark.parametrize(("model", "module"), [("mlp", images), ("lstm", text)])
def test_an_interrupted_study_goes_on_bit_for_bit(tiny, tmp_path, monkeypatch, model, module):
    run = partial(demo.run_model, model, seed=1, epochs=2, quiet=True)
    whole = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stopping(patch, module, 3)
        with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
            run(tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["checkpoints"]
    trained = []
    real = module.train_epoch
    monkeypatch.setattr(module, "train_epoch", lambda *args: trained.append(real(*args)))
    assert numbers(run(tmp_path / "parts")) == numbers(whole)
    assert len(trained) == 1  # finished epochs are not repeated
    assert not (tmp_path / "parts" / "checkpoints").exists()


def test_a_damaged_checkpoint_is_trained_anew(tiny, tmp_path, monkeypatch):
    run = partial(demo.run_model, "mlp", tmp_path, seed=1, epochs=1, quiet=True)
    whole = run()
    with monkeypatch.context() as patch:
        stopping(patch, images, 1)
        with pytest.raises(KeyboardInterrupt):
            run()
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert numbers(run()) == numbers(whole)


def test_another_seed_gives_other_numbers(tiny, tmp_path):
    one, other = (demo.run_model("mlp", tmp_path, seed=s, epochs=1, quiet=True) for s in (1, 2))
    assert one["rows"][0]["curve"] != other["rows"][0]["curve"]


@pytest.mark.parametrize("change", [{"name": "cnn"}, {"data": "others"}, {"settings": {"streams": 1}}])
def test_checkpoints_of_another_study_are_not_resumed(change):
    whole = command.chosen("mlp", 1, None, None)
    name = whole.checkpoint_name(whole.contenders[0], 0)
    assert replace(whole, **change).checkpoint_name(whole.contenders[0], 0) != name
    assert whole.checkpoint_name(whole.contenders[1], 0) != name
    assert whole.checkpoint_name(whole.contenders[0], 1) != name


def test_a_model_learns(tmp_path):
    """Twelve epochs of the perceptron: far better than chance, which is an NLL of log 10 = 2.3."""
    whole = command.chosen("mlp", 12, None, None)
    result = study.run_study(replace(whole, contenders=whole.contenders[:1]), 0, tmp_path, lambda *told: None)
    assert result["rows"][0]["eval"]["nll"] < 0.5
    assert result["rows"][0]["samples"] is None  # nothing is drawn


def test_mnist_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        pixels = rng.integers(0, 256, (40, 28, 28), np.uint8)
        np.savez(tmp_path / f"mnist_{part}.npz", x=pixels, y=rng.integers(0, 10, 40))
    data, said = images.images(tmp_path)
    assert data.x_train.shape == (40, 1, 28, 28)
    assert said.endswith("40 for training, 40 for testing, 28 x 28 pixels")
    model = command.chosen("cnn", 1, tmp_path, None).contenders[0].build().seed(0)
    assert model(data.x_train[:2]).shape == (2, 10)


def test_a_text_of_ones_own(tiny, tmp_path):
    path = tmp_path / "mine.txt.gz"
    path.write_bytes(gzip.compress(("to be or not to be, that is the question. " * 100).encode()))
    result = demo.run_model("lstm", tmp_path, epochs=1, text_file=path, quiet=True)
    assert result["data"].startswith("mine.txt.gz: 3,000 characters for training, the next 1,000 for testing")


def test_samples_of_text_share_their_masks_over_all_chunks(tiny, monkeypatch):
    """So that a sample is one function: the same chunk twice, with no state between, gets the same probabilities."""
    train, _, letters, _ = text.corpus(None)
    model = nn.models.GPT(len(letters), 16, 8, 2, form="mc", p=0.5).seed(0).eval()
    monkeypatch.setattr(text, "_metrics", lambda probabilities, chunks: probabilities)
    found = text._sampled([train[0], train[0]], model)
    half = len(found) // 2
    np.testing.assert_array_equal(found[:half], found[half:])


def test_what_cannot_go_well_is_said_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match="model must be one of mlp, cnn, lstm, transformer, got 'gru'"):
        demo.run_model("gru", tmp_path)
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        demo.run_model("mlp", tmp_path, epochs=0)
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(ValueError, match=r"short\.txt has 9 characters, too few; use one of at least 5,000"):
        demo.run_model("lstm", tmp_path, text_file=tmp_path / "short.txt")
    with pytest.raises(FileNotFoundError, match="holds neither mnist_train"):
        demo.run_model("cnn", tmp_path, data=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["short.txt"]


def test_the_command(tiny, tmp_path, capsys):
    arguments = ["--report", str(tmp_path), "--pictures", str(tmp_path), "--epochs", "1"]
    assert cli.main(["demo", "--model", "mlp", *arguments]) == 0
    assert (tmp_path / "study-mlp.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "scikit-learn's digits: 600 for training" in said
    assert f"report: {tmp_path}/mlp.html" in said
    for arguments in (["--text", "x"], ["--data", "x"], ["--model", "cnn", "--text", "x"]):
        assert cli.main(["demo", *arguments]) == 2
        assert "is for --model" in capsys.readouterr().err
    assert cli.main(["demo", "--model", "lstm", "--text", str(tmp_path / "none.txt")]) == 2
    assert "none.txt" in capsys.readouterr().err
