"""The demonstration: same seed, same numbers; resumable; nothing half-written; a page that needs nothing else."""

import json
import re
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from puredrop import demo
from puredrop.demo import command, data, findings, guarantee, page, plots, sentences, training

SMALL = {"repeats": 2, "samples": 6, "train_per_class": 10}


@pytest.fixture(scope="module")
def small():
    """A demo of seconds: two seeds, six samples, a hundred digits for training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "Settings", partial(training.Settings, **SMALL))
        yield


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """(result, folder) of one run of two epochs."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "report"
    return demo.run(folder, seed=3, epochs=2, quiet=True), folder


@pytest.fixture
def undrawn(monkeypatch):
    """Only the numbers: drawing takes longer than such a training."""
    monkeypatch.setattr(command, "page", lambda result: "")


def numbers(result):
    """All that must not differ between runs."""
    return {name: value for name, value in result.items() if name not in ("seconds", "report")}


# ------------------------------------------------------------------------------------------ same seed, same numbers
def test_same_seed_gives_the_same_numbers_and_another_seed_others(finished, small, undrawn, tmp_path):
    assert numbers(demo.run(tmp_path, seed=3, epochs=2, quiet=True)) == numbers(finished[0])
    other = demo.run(tmp_path, seed=9, epochs=2, quiet=True)
    assert other["curves"] != finished[0]["curves"]
    assert other["inputs"][0]["examples"] == finished[0]["inputs"][0]["examples"]  # the split is not the seed's


def test_results_file_holds_what_run_returns(finished):
    result, folder = finished
    assert json.loads((folder / "results.json").read_text()) == json.loads(
        json.dumps({name: value for name, value in result.items() if name != "report"})
    )
    assert result["report"] == str(folder / "index.html")
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "results.json"]


def stopping(monkeypatch, epochs):
    """Ctrl-C in the middle of training, once so many epochs are complete."""
    complete = iter(range(epochs))
    real = training.train_epoch

    def train_epoch(*args):
        real(*args)
        if next(complete, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_epoch", train_epoch)


@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_an_interrupted_run_goes_on_bit_for_bit(finished, small, undrawn, tmp_path, monkeypatch, epochs):
    with monkeypatch.context() as patch:
        stopping(patch, epochs)
        with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
            demo.run(tmp_path, seed=3, epochs=2, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]  # no page, not even half of one
    assert not list(tmp_path.rglob("*.part"))

    trained = []
    monkeypatch.setattr(training, "train_epoch", lambda *args, real=training.train_epoch: trained.append(real(*args)))
    assert numbers(demo.run(tmp_path, seed=3, epochs=2, quiet=True)) == numbers(finished[0])
    assert len(trained) == 2 * 2 * SMALL["repeats"] - epochs  # finished epochs are not repeated
    assert not (tmp_path / "checkpoints").exists()


def test_a_damaged_checkpoint_is_trained_anew(finished, small, undrawn, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            demo.run(tmp_path, seed=3, epochs=2, quiet=True)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert numbers(demo.run(tmp_path, seed=3, epochs=2, quiet=True)) == numbers(finished[0])


@pytest.mark.parametrize("change", [{"epochs": 3}, {"hidden": 8}, {"learning_rate": 0.1}, {"batch_size": 7}])
def test_checkpoints_of_other_settings_are_not_resumed(change):
    name = training.checkpoint_name(training.Settings(), 0.5, 0)
    assert training.checkpoint_name(training.Settings(**change), 0.5, 0) != name
    assert training.checkpoint_name(training.Settings(), 0.4, 0) != name
    assert training.checkpoint_name(training.Settings(), 0.5, 1) != name


def test_a_run_that_is_stopped_leaves_an_older_report_alone(finished, small, monkeypatch):
    _, folder = finished
    before = (folder / "index.html").read_bytes()
    with monkeypatch.context() as patch:
        stopping(patch, 0)
        with pytest.raises(KeyboardInterrupt, match="no report was written"):
            demo.run(folder, seed=4, epochs=2, quiet=True)
    assert (folder / "index.html").read_bytes() == before
    (folder / "checkpoints").rmdir()


def test_checkpoints_of_another_seed_survive_a_finished_run(small, undrawn, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            demo.run(tmp_path, seed=7, epochs=2, quiet=True)
    kept = set((tmp_path / "checkpoints").iterdir())
    demo.run(tmp_path, seed=3, epochs=1, quiet=True)
    assert len(kept) == 2
    assert set((tmp_path / "checkpoints").iterdir()) == kept


# ------------------------------------------------------------------------------------------ bad input, before training
@pytest.fixture
def no_training(monkeypatch):
    def train(*args):
        raise AssertionError("training has started")

    monkeypatch.setattr(command, "train", train)


def test_a_report_folder_that_cannot_be_written_is_refused(no_training, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(OSError, match=r"demo: the report cannot be written to .*file.*choose another folder"):
            demo.run(folder, quiet=True)
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OSError, match=r"index.html is a folder"):
        demo.run(tmp_path, quiet=True)


def test_missing_packages_are_named(no_training, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=re.escape("scikit-learn and matplotlib: pip install puredrop[demo]")):
        demo.run(tmp_path / "report", quiet=True)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "3"])
def test_epochs_must_be_a_whole_number(no_training, tmp_path, epochs):
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1"):
        demo.run(tmp_path, epochs=epochs, quiet=True)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (2**64, ValueError), (0.5, TypeError)])
def test_seeds_out_of_range_are_refused(no_training, tmp_path, seed, error):
    with pytest.raises(error, match="seed"):
        demo.run(tmp_path, seed=seed, quiet=True)


def test_the_last_seed_is_followed_by_the_first():
    assert training.Settings(seed=np.uint64(2**64 - 1)).seeds == (2**64 - 1, 0, 1)


# ------------------------------------------------------------------------------------------ data
def test_the_split_is_stratified_and_complete():
    digits = data.load_digits(60)
    assert np.bincount(digits.y_train).tolist() == [60] * 10
    assert len(digits.y_train) + len(digits.y_test) == 1797
    assert digits.x_train.dtype == np.float32
    assert digits.x_test.shape == (1197, 64)
    assert (digits.x_test.min(), digits.x_test.max()) == (0, 1)
    assert np.array_equal(digits.x_test, data.load_digits(60).x_test)


def test_inputs_that_are_no_digits_are_what_their_names_say():
    digits = data.load_digits(60)
    x, y = digits.x_test, digits.y_test
    kinds = data.no_digits(x, y, seed=0)
    assert {a.dtype for a in kinds.values()} == {np.dtype(np.float32)}
    noise = kinds["uniform noise"]
    assert noise.shape == x.shape
    assert abs(noise.mean() - 0.5) < 0.005
    shuffled = kinds["digits with shuffled pixels"]
    assert np.array_equal(np.sort(shuffled, axis=1), np.sort(x, axis=1))
    assert not (shuffled == x).all(axis=1).any()
    halves = kinds["halves of two digits"].reshape(-1, 8, 8)
    lefts = {left.tobytes() for left in x.reshape(-1, 8, 8)[:, :, :4]}
    assert all(half.tobytes() in lefts for half in halves[:, :, :4])
    assert 0.8 * len(x) < len(halves) < len(x)


# ------------------------------------------------------------------------------------------ numbers and words
def test_comparison_is_paired_over_digits():
    labels = np.array([0, 0, 1])
    first, second = np.array([[0.5, 0.5]] * 3), np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]])
    run = findings.Answers(first, second, SimpleNamespace(mean=second))
    found = findings.comparison([run, run], labels, "without", "with")["nll"]
    change = np.log(0.5) - np.log([0.8, 0.4, 0.9])
    assert found["difference"] == pytest.approx(change.mean())
    assert found["standard_error"] == pytest.approx(change.std(ddof=1) / np.sqrt(3))


@pytest.mark.parametrize(
    ("difference", "error", "said"),
    [
        (-0.05, 0.01, "the NLL is lower by 0.050 (standard error 0.010)"),
        (0.05, 0.01, "the NLL is higher by 0.050 (standard error 0.010)"),
        (-0.01, 0.01, "the NLL shows no clear difference: lower by 0.010 (standard error 0.010)"),
        (0.0, 0.0, "the NLL shows no clear difference: they are equal"),
    ],
)
def test_a_difference_is_called_one_only_where_it_is_clear(difference, error, said):
    found = {"difference": difference, "standard_error": error}
    assert sentences.difference(found, "the NLL", "{:.3f}".format) == said


def row(name, mutual_information, entropy):
    auroc = {"mutual_information": mutual_information, "entropy_samples": entropy, "entropy_without": entropy}
    return {"name": name, "auroc": auroc, "rejected": [0.25, 0.75]}


def test_the_words_about_no_digits_follow_the_numbers():
    rows = [row("a", [0.9, 0.9], [0.8, 0.7]), row("b", [0.4, 0.3], [0.6, 0.5]), row("c", [0.5, 0.6], [0.6, 0.5])]
    assert sentences.against(rows, "entropy_without") == (
        "worse in every seed for a, better in every seed for b, sometimes better and sometimes worse for c"
    )
    assert "between 0.35 (b, which it tells worst) and 0.90 (a, which it tells best)" in sentences.ranking(rows)
    assert "turns away 50% of a, 50% of b and 50% of c" in sentences.rejection(rows)


def test_percentages_are_not_rounded_to_none_or_all():
    assert [sentences.percent(v) for v in (0, 0.004, 0.05, 0.996, 1)] == ["0%", "0.4%", "5%", "99.6%", "100%"]


def test_both_backends_draw_what_the_guarantee_claims(finished):
    assert [check["passed"] for check in finished[0]["guarantee"]] == [True] * 5


def test_a_broken_guarantee_is_shown(finished, monkeypatch):
    def elsewhere(key, shape, p, backend=None, real=guarantee.keep_mask):
        return real(key, shape, p) if backend != "numba" else ~real(key, shape, p)

    monkeypatch.setattr(guarantee, "keep_mask", elsewhere)
    claim, detail, passed = guarantee.same_on_backends(guarantee.Key(0))
    checks = [{"claim": claim, "detail": detail, "passed": passed}]
    assert not passed
    assert "FAILED" in page.page({**finished[0], "guarantee": checks})
    assert "FAILED" in command.summary({**finished[0], "guarantee": checks})


# ------------------------------------------------------------------------------------------ the page
class Outline(HTMLParser):
    """Which ids there are, which elements are left open, and what is fetched from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.open, self.tags, self.links = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.note(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.note(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def note(self, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]


def test_the_page_is_one_file_that_needs_nothing_else(finished):
    text = (finished[1] / "index.html").read_text(encoding="utf-8")
    outline = Outline(text)
    assert not outline.open
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.tags.isdisjoint({"script", "link", "iframe", "img", "image"})
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(outline.ids)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_every_colour_of_the_figures_follows_the_background(finished):
    style, body = (finished[1] / "index.html").read_text(encoding="utf-8").split("</style>", 1)
    assert not re.findall(r"(?:fill|stroke)[:=][ \"]*#[0-9a-f]{6}", body)
    light, dark = style.split("prefers-color-scheme: dark", 1)
    for role in plots.ROLES.values():
        assert f"--{role}:" in light
        assert f"--{role}:" in dark


def test_the_page_says_what_was_left_out(finished):
    text = (finished[1] / "index.html").read_text(encoding="utf-8")
    assert "Not part of this run; <code>puredrop verify</code> does it." in text
    assert "Not part of this run; <code>puredrop bench</code> does it." in text


def check_row(variant, status, **more):
    return {"variant": variant, "backend": "numpy", "check": "gradient", "status": status, "error": None, **more}


def bench_row(size, contender, part, median):
    spread = {"median": median, "low": 0.9 * median, "high": 1.2 * median}
    measured = {"ns_per_element": spread, "ratio_to_floor": spread, "ratio_to_torch": None}
    return {"size": size, "dtype": "float32", "pass": part, "contender": contender, **measured}


def test_verify_and_bench_are_run_and_shown(small, tmp_path, capsys):
    rows = [check_row("dropout", "passed"), check_row("zoneout", "failed", error="off by <2>", reason=None)]
    rows += [check_row("zoneout", "skipped", reason="no PyTorch")]
    names = ("a copy", "puredrop numba", "torch")
    bars = [
        bench_row(size, c, part, 1.5) for size in (10, 1000) for c in names for part in ("forward", "forward+backward")
    ]
    progress_seen = []

    def bench(progress):
        progress(1, 2, "half of it")
        progress_seen.append(True)
        return {"rows": bars, "floor": "a copy", "skipped": [{"contender": "jax", "reason": "not installed"}]}

    result = demo.run(tmp_path, epochs=1, verify=lambda: {"rows": rows}, bench=bench, quiet=True)
    assert progress_seen
    assert capsys.readouterr() == ("", "")  # quiet is quiet
    assert result["verify"]["counts"] == {"passed": 1, "failed": 1, "skipped": 1, "not_applicable": 0}
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "dropout, zoneout on numpy. Checks passed: 1; failed: 1; skipped: 1; not applicable: 0." in text
    assert "failed: zoneout on numpy, gradient: off by &lt;2&gt;" in text
    assert "1,000 elements, float32" in text
    assert "puredrop numba takes 1.5 times as long as a copy (quartiles 1.4 to 1.8)." in text
    assert "Not taking part: jax (not installed)." in text
    assert not Outline(text).open


def test_a_bench_that_was_stopped_at_once_says_so(finished):
    nothing = {"rows": [], "floor": "copy", "skipped": [], "interrupted": True}
    assert "It was interrupted; what was finished is shown." in page.bench({**finished[0], "bench": nothing})


def test_pictures_are_written(finished, tmp_path):
    paths = plots.save_pictures(finished[0], tmp_path / "docs")
    assert [path.name for path in paths] == [
        "demo-training.png",
        "demo-uncertain.png",
        "demo-inputs.png",
        "demo-masks.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


# ------------------------------------------------------------------------------------------ the terminal
def test_the_terminal_shows_progress_and_where_the_page_is(small, undrawn, tmp_path, capsys):
    result = demo.run(tmp_path, epochs=1)
    printed = capsys.readouterr().out
    assert "training" in printed
    assert f"report: {tmp_path / 'index.html'}" in printed
    assert f"{np.mean(result['table'][2]['nll']):.3f}" in printed


def test_the_settings_that_users_get():
    s = training.Settings()
    assert (s.seed, s.p, s.samples, s.epochs) == (0, 0.5, 100, 100)
    assert repr(training.mlp(s, s.p)).count("Dropout(p=0.5)") == 2
    assert "Dropout" not in repr(training.mlp(s, 0.0))
