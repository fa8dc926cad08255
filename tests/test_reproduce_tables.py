"""The tables beside the regression sets: each in tiny, its protocol, and that an interruption changes nothing."""

import dataclasses
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from puredrop import Key, Tensor, cli, nn, optim, reproduce
from puredrop.reproduce import (
    active,
    choose_digits,
    choose_regression,
    command,
    concrete,
    costs,
    early_dropout,
    mnist,
    ood,
    recurrent,
    report,
    sets,
    table,
    training,
)
from puredrop.reproduce import variance_shift as shift
from puredrop.uncertainty import GaussianFunctionPrediction, fit_laplace
from puredrop.variants.objectives import variance_shift

TABLES = ("concrete", "mnist", "ood", "active", "recurrent", "variance-shift", "early-dropout", "choose")


@pytest.fixture
def folder(tmp_path):
    """Ten blurred patterns, a class each, in the files of MNIST; others in those of what is none."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 255, (10, 28, 28))
    place = tmp_path / "data"
    place.mkdir()
    for name, rows in (("mnist_train", 80), ("mnist_test", 120)):
        y = np.arange(rows) % 10
        write_images(place / f"{name}.npz", 0.5 * patterns[y] + 0.5 * rng.integers(0, 255, (rows, 28, 28)), y)
    for name in ("fashion_test", "letters"):
        write_images(place / f"{name}.npz", rng.integers(0, 255, (15, 28, 28)), np.zeros(15, int))
    for name, characters in (("train", 120), ("valid", 60)):
        (place / f"grimm_{name}.txt").write_text("".join(rng.choice(list("abc "), characters)))
    for name in ("yacht", "energy"):
        np.savez(place / f"uci_{name}.npz", **regression_set(rng))
    return place


def regression_set(rng):
    """Forty rows in three splits, with numbers as if they had been published."""
    x = rng.standard_normal((40, 3))
    found = {f"ref_{name}": rng.random(3) for name in ("mc_rmse", "onepass_rmse", "ll")}
    chosen = {"ref_p": np.full(3, 0.05), "ref_tau": np.array([0.5, 1.0, 2.0])}
    sizes = {name: np.array([n]) for name, n in (("n_splits", 3), ("n_hidden", 4), ("n_epochs", 1))}
    y = 100 + 7 * np.sin(x[:, 0]) + 0.1 * rng.standard_normal(40)
    return {"X": x, "y": y, **sizes, "grid_p": np.array([0.05]), "grid_tau": np.array([1.0]), **found, **chosen}


def write_images(path, x, y):
    np.savez(path, x=x.astype(np.uint8), y=y)


def small_net(p):
    """In place of the 256 units of the table "mnist"."""
    return nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, 10))


def small_concrete_net(rows):
    drop = nn.ConcreteDropout(0.1, 0.1, 1e-8 / rows, 1 / rows)
    return nn.Sequential(nn.Linear(784, 16), nn.ReLU(), drop, nn.Linear(16, 10))


concrete_net = choose_digits.concrete_net


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The tables in a second each."""
    one = concrete.PAPER[10]
    smaller = {
        (mnist, "VALIDATION"): 60,
        (mnist, "SEEDS"): 2,
        (ood, "SEEDS"): 2,
        (early_dropout, "SEEDS"): 2,
        (concrete, "PAPER"): {10: one, 100: concrete.PAPER[100]},
        (concrete, "UNITS"): 8,
        (concrete, "TEST_ROWS"): 20,
        (concrete, "REPETITIONS"): 2,
        (active, "POOL"): 60,
        (active, "END"): 40,
        (active, "AT"): (20, 40),
        (active, "REPETITIONS"): 2,
        (active, "REFERENCE"): dict.fromkeys(active.KINDS, (0.5, 0.4)),
        (recurrent, "HIDDEN"): 6,
        (recurrent, "EMBEDDING"): 4,
        (recurrent, "STREAMS"): 4,
        (recurrent, "STREAMS_OF_VALIDATION"): 4,
        (recurrent, "LENGTH"): 10,
        (recurrent, "REPETITIONS"): 2,
        (choose_digits, "SEEDS"): 1,
        (choose_digits, "MEMBERS"): 2,
        (choose_digits, "net"): small_net,
        (choose_digits, "concrete_net"): small_concrete_net,
        (choose_digits, "BATCH"): 5,
        (choose_regression, "NAMES"): ("yacht",),
        (choose_regression, "SPLITS"): 2,
        (choose_regression, "MEMBERS"): 2,
        (costs, "LONG_ENOUGH"): 0.0,
        (shift, "ROWS"): 500,
        (shift, "REPETITIONS"): 3,
    }
    for (module, name), value in smaller.items():
        monkeypatch.setattr(module, name, value)
    labels = {f"error{n}": f"error at {n} labels" for n in (20, 40)}
    monkeypatch.setitem(command.TABLES, "active", dataclasses.replace(active.TABLE, labels=labels))


quick = partial(reproduce.run, epochs=2, samples=4, quiet=True)


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """They take half a second each: drawn where they are looked at."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(command, "picture", lambda result, path: path.write_bytes(b""))


def scores(result):
    """The parts of a table, without what depends on the machine's speed."""
    return [{k: v for k, v in part.items() if k not in ("cpu_seconds", "costs")} for part in result["parts"]]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_written_and_comes_out_equal_again(folder, tmp_path, name):
    result = quick(name, data=folder, report=tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [f"{name}.json", f"{name}.png"]
    stored = json.loads((tmp_path / "one" / f"{name}.json").read_text())
    assert stored == json.loads(json.dumps(result))
    text = report.as_text(stored)
    assert all(label in text for part in result["parts"] for label in (part["set"], *part["notes"]))
    assert all(finding in text for finding in result["findings"])
    assert scores(quick(name, data=folder, report=tmp_path / "two")) == scores(result)
    assert scores(quick(name, data=folder, report=tmp_path / "three", seed=1)) != scores(result)


@pytest.mark.parametrize(
    ("name", "module", "function", "calls"),
    [
        ("concrete", training.nn, "save", 7),
        ("mnist", mnist, "_of_dropout", 1),
        ("ood", ood, "told_apart", 3),
        ("active", active, "chosen", 5),
        ("recurrent", recurrent.nn, "save", 3),
        ("variance-shift", shift, "ratio", 10),
        ("early-dropout", training.nn, "save", 1),
        ("choose", choose_digits, "_entry", 6),
        ("choose", choose_regression.Fold, "entry", 5),  # one net gives four
    ],
)
def test_an_interrupted_table_goes_on_bit_for_bit(folder, tmp_path, monkeypatch, name, module, function, calls):
    for methods in (choose_digits, choose_regression):
        monkeypatch.setattr(methods, "KINDS", {kind: methods.KINDS[kind] for kind in ("one net", "dropout")})
    whole = quick(name, data=folder, report=tmp_path / "whole")
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    counted = []
    real = getattr(module, function)

    def stopped(*arguments, **options):
        counted.append(1)
        if len(counted) == calls + 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(module, function, stopped)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        quick(name, data=folder, report=tmp_path / "parts")
    before = len(counted)
    assert scores(quick(name, data=folder, report=tmp_path / "parts")) == scores(whole)
    again = len(counted) - before
    quick(name, data=folder, report=tmp_path / "anew")
    assert again < len(counted) - before - again  # what was done is not done again
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [f"{name}.json", f"{name}.png"]


@pytest.mark.parametrize("name", ["variance-shift", "early-dropout", "choose"])
def test_the_picture_of_a_table(folder, tmp_path, name):
    quick(name, data=folder, report=tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_table_is_on_the_page():
    page = (Path(__file__).parent.parent / "docs" / "reproduce.md").read_text()
    assert re.findall(r"^\| \[`(.*?)`\]", page, flags=re.MULTILINE) == list(reproduce.TABLES)
    assert re.findall(r"^## (.*)$", page, flags=re.MULTILINE) == list(reproduce.TABLES)


def test_the_page_that_helps_to_choose_has_the_figures_of_the_table():
    """Means and costs, method by method; standard errors are with the table only."""
    docs = Path(__file__).parent.parent / "docs"
    table = (docs / "reproduce.md").read_text().split("\n## choose\n")[1].split("```")[1]
    methods = [re.split("  +", re.sub(r" \(.*?\)", "", line)) for line in table.splitlines() if " x " in line]
    page = (docs / "choosing.md").read_text().splitlines()
    assert [line.strip("| ").split(" | ") for line in page if line.startswith("| ") and " x " in line] == methods
    assert len(methods) == 13 + 6 + 6


# ------------------------------------------------------------------------------------------ what is asked for
@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("mnist", "mnist_test", r"holds neither mnist_test\*.npz nor the IDX files"),
        ("active", "mnist_train", r"holds neither mnist_train\*.npz"),
        ("ood", "letters", r"holds no letters\*.npz: letters, arrays x"),
        ("recurrent", "grimm_valid", "does not hold grimm_train.txt and grimm_valid.txt"),
        ("early-dropout", "mnist_train", r"holds neither mnist_train\*.npz"),
        ("choose", "fashion_test", r"holds no fashion_test\*.npz"),
    ],
)
def test_missing_files_are_named(folder, tmp_path, name, missing, message):
    [file] = folder.glob(f"{missing}.*")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        quick(name, data=folder, report=tmp_path / "r")


@pytest.mark.parametrize("name", ["mnist", "ood", "active", "recurrent", "early-dropout", "choose"])
def test_a_missing_folder_is_explained(tmp_path, monkeypatch, capsys, name):
    monkeypatch.delenv("PUREDROP_DATA", raising=False)
    assert cli.main(["reproduce", name, "--report", str(tmp_path)]) == 2
    assert "--data FOLDER or set PUREDROP_DATA. It holds " in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"sets": ["yacht"]}, {"grid": True}])
def test_options_of_other_tables_are_refused(options):
    with pytest.raises(ValueError, match=r"mnist has no (sets|grid)"):
        quick("mnist", **options)


# ------------------------------------------------------------------------------------------ how lines are compared
def test_one_run_scatters_as_ours_do():
    line = table.with_runs(np.array([1.0, 2.0, 3.0]), 1.0, runs=1)
    assert line.difference == pytest.approx((1.0, np.sqrt(1 / 3 + 1)))
    assert table.with_runs(np.array([1.0, 2.0, 3.0]), 1.0, runs=3).difference[1] == pytest.approx(np.sqrt(2 / 3))
    assert table.with_runs(np.array([1.0]), None, runs=1).difference is None
    assert table.with_runs(np.ones(3), 1.0, 3, last_digit=0.1).difference[1] == pytest.approx(0.1 / np.sqrt(12))


def test_a_formula_has_no_error():
    line = table.with_formula(np.array([1.0, 2.0, 3.0]), 2.5)
    assert line.difference == pytest.approx((-0.5, np.sqrt(1 / 3)))
    assert line.errors == pytest.approx(-0.5 / np.sqrt(1 / 3))


def test_two_means_of_runs():
    line = concrete.between(np.array([1.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert line.difference == pytest.approx((0.0, np.sqrt(1 + 1 / 3)))


def test_another_experiment_has_no_verdict(folder, tmp_path):
    assert "another experiment" in report.verdict(quick("early-dropout", data=folder, report=tmp_path))


# ------------------------------------------------------------------------------------------ the protocols
def test_the_first_examples_of_each_class_are_taken(folder):
    digits = mnist.load_digits(folder)
    assert digits.x_train.shape == (80, 784)
    assert digits.x_validation.shape == (60, 784)
    assert np.bincount(digits.y_train).tolist() == [8] * 10


def test_the_loss_of_concrete_dropout_is_that_of_the_notebooks():
    """Twice the negative log likelihood but for a constant, and K (p log p + (1 - p) log(1 - p)) of every layer."""
    model, (x, y) = concrete.Net(10, 8).seed(0), concrete.data(10, 0)
    model.eval()
    heads = model(x).numpy().astype(np.float64)
    fit = (np.exp(-heads[:, 1]) * (heads[:, 0] - y) ** 2 + heads[:, 1]).mean()
    p, units = 0.1, np.array([1, 8, 8, 8, 8])
    entropy = 2 / 10 * units.sum() * (p * np.log(p) + (1 - p) * np.log(1 - p))
    decay = 1e-8 / 10 * sum((layer.weight.numpy().astype(np.float64) ** 2).sum() for layer in model.layers) / (1 - p)
    assert concrete.loss(model, Tensor(x), Tensor(y)).item() == pytest.approx(fit + entropy + decay, rel=1e-5)


def test_the_noisy_line():
    x, y = concrete.data(20_000, 0)
    slope, offset = np.polyfit(x[:, 0], y, 1)
    assert abs(slope - 2) < 5 / np.sqrt(20_000)
    assert abs(offset - 8) < 5 / np.sqrt(20_000)
    assert abs((y - slope * x[:, 0] - offset).std() - 1) < 5 / np.sqrt(40_000)


def test_images_are_halved_by_means_of_four_pixels():
    x = np.arange(28 * 28, dtype=np.float32).reshape(1, 1, 28, 28)
    small = active.halved(x)
    assert small.shape == (1, 1, 14, 14)
    assert small[0, 0, 0, 1] == np.mean([x[0, 0, 0, 2], x[0, 0, 0, 3], x[0, 0, 1, 2], x[0, 0, 1, 3]])


def test_active_learning_begins_with_two_of_each_class():
    y = np.arange(200) % 10
    rows = active.first_rows(y, seed=3)
    assert np.bincount(y[rows]).tolist() == [2] * 10
    assert len(set(rows.tolist())) == 20


def test_labels_that_were_needed(monkeypatch):
    monkeypatch.setattr(active, "END", 50)
    assert active.needed([[0.3, 0.2, 0.1, 0.05], [0.3, 0.1, 0.1, 0.05]]) == "40"
    assert active.needed([[0.3, 0.3, 0.3, 0.3]]) == "more than 50"


@pytest.mark.parametrize("kind", early_dropout.KINDS)
def test_rates_over_the_steps(kind):
    rate = early_dropout.rate(kind, 12)
    rates = [rate(step) if callable(rate) else rate for step in range(12)]
    expected = {"none": [0.0] * 12, "standard": [0.1] * 12, "late": [0.0] * 2 + [0.1] * 10}
    assert rates == expected.get(kind, [0.1, 0.05] + [0.0] * 10)


def test_uout_has_the_variance_that_its_formula_says():
    x = np.maximum(np.random.default_rng(0).standard_normal((20_000, 16)), 0).astype(np.float32)
    model = shift.Uout(0.5)
    ratio = np.var(model.train()(x).numpy(), dtype=np.float64) / np.var(x, dtype=np.float64)
    assert abs(ratio - shift.cases()["Uout 0.5"][1]) < 0.02
    assert np.array_equal(model.eval()(x).numpy(), x)


def test_half_of_a_normal_has_the_moments_in_the_formula():
    x = np.maximum(np.random.default_rng(0).standard_normal(400_000), 0)
    assert abs(x.mean() - shift.MEAN) < 5 * x.std() / np.sqrt(len(x))
    assert abs(x.var() - shift.VARIANCE) < 0.01
    assert shift.cases()["dropout 0.5"][1] == variance_shift(0.5, shift.MEAN, shift.VARIANCE)


def test_a_net_trained_alone_is_trained_by_an_ordinary_loop(tmp_path):
    def loss(model, x, y):
        return nn.mse(model(x)[:, 0], y)

    x, y = concrete.data(12, 0)
    models = [nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1)).seed(0) for _ in range(2)]
    optimizers = [optim.Adam(model.parameters(), lr=0.01) for model in models]
    batches = [nn.Batches(x, y, batch_size=5, seed=0) for _ in models]
    training.trained_alone(models[0], optimizers[0], batches[0], 3, loss, tmp_path / "c", lambda done, total: None)
    for _ in range(3):
        for batch in batches[1]:
            optimizers[1].zero_grad()
            loss(models[1], *batch).backward()
            optimizers[1].step()
    assert np.array_equal(models[0].eval()(x).numpy(), models[1].eval()(x).numpy())


# ------------------------------------------------------------------------------------------ methods beside each other
def test_a_line_for_each_method_and_a_block_for_each_group(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(choose_digits, "SEEDS", 2)
    result = quick("choose", data=folder, report=tmp_path)
    assert [(part["group"], part["set"]) for part in result["parts"]] == [
        ("digits", "one pass"),
        ("digits", "temperature"),
        ("digits", "Laplace, last layer"),
        ("digits", "SWAG"),
        ("digits", "dropout, one pass"),
        ("digits", "dropout, temperature"),
        ("digits", "dropout, 4 samples"),
        ("digits", "concrete, 4 samples"),
        ("digits", "ensemble of 2"),
        ("digits", "ensemble, temperature"),
        ("digits", "dropout, ensemble of 2"),
        ("digits", "dropout, ensemble, temperature"),
        ("yacht", "one pass"),
        ("yacht", "Laplace, all layers"),
        ("yacht", "dropout, 4 samples"),
        ("yacht", "ensemble of 2"),
        ("yacht", "brief ensemble of 2"),
        ("yacht", "Gaussian process"),
    ]
    lines = report.as_text(result).splitlines()
    assert lines[1].split()[:4] == ["digits", "accuracy", "NLL", "ECE"]
    assert lines[14].split() == ["yacht", "RMSE", "NLL", "calibration", "training", "prediction", "memory"]
    first = result["parts"][0]
    mean, error = first["comparison"]["nll"]["ours"]
    assert lines[2].startswith("one pass")
    assert f" {mean:.3f} ({error:.3f}) " in lines[2]
    assert lines[2].endswith("x 1.00     x 1.00     x 1.00")
    check_what_methods_keep(result["parts"])


def check_what_methods_keep(parts):
    """In units of the weights of one net: 784 x 16 + 16 + 16 x 10 + 10, and 3 x 4 + 4 + 4 + 1."""
    kept = {(part["group"], part["set"]): part["costs"]["memory"] for part in parts}
    digits, last, numbers = 784 * 16 + 16 + 170, 170, 21
    assert kept["digits", "Laplace, last layer"] == pytest.approx(1 + (last + last**2) / digits)
    assert kept["digits", "SWAG"] == pytest.approx(2 + 2)  # mean, squares, two deviations
    assert kept["digits", "ensemble of 2"] == 2
    assert kept["yacht", "Laplace, all layers"] == pytest.approx(1 + (numbers + numbers**2) / numbers)
    assert kept["yacht", "ensemble of 2"] == 2
    assert kept["yacht", "brief ensemble of 2"] == pytest.approx(2 * (3 * 4 + 4 + 2 * 4 + 2) / numbers)
    assert kept["yacht", "Gaussian process"] == pytest.approx((36 * 3 + 36 + 36**2) / numbers)


def test_costs_are_in_units_of_the_first_method():
    one, other = ([costs.entry({"nll": float(i)}, 2.0 * f, 1.0, 1.0 * f) for i in range(3)] for f in (1, 3))
    first, second = costs.method_parts("group", {"one": one, "other": other})
    assert first["costs"] == {"training": 1.0, "prediction": 1.0, "memory": 1.0}
    assert second["costs"] == {"training": 3.0, "prediction": 1.0, "memory": 3.0}
    assert second["comparison"]["nll"]["ours"] == pytest.approx([1.0, 1 / np.sqrt(3)])


def test_the_last_layer_alone_has_the_posterior_of_the_last_layer(folder):
    """Its prior, and its predictions draw by draw, are those of `fit_laplace` and `Laplace.predict`."""
    data, model = ood.load(folder), small_net(0.0).seed(3)
    front, found = choose_digits.last_layer_laplace(model, data)
    whole = fit_laplace(model, data.digits.x_train, data.digits.y_train, weights="last_layer").optimised()
    assert found.prior_precision == pytest.approx(whole.prior_precision, rel=1e-4)
    same = found.with_prior(2.0)
    np.testing.assert_allclose(same.covariance, whole.with_prior(2.0).covariance, rtol=1e-3, atol=1e-5)
    x = data.digits.x_test[:5]
    features, key = mnist.logits(front, x), Key(7, choose_digits.OF_SAMPLES)
    expected = found.predict(features, "monte_carlo", samples=20, key=key).mean
    np.testing.assert_allclose(choose_digits.laplace_probabilities(front, found, 20, 7, x), expected, atol=1e-12)


def test_the_loss_of_the_net_that_learns_its_rates(folder):
    digits = mnist.load_digits(folder)
    x, y = digits.x_train[:6], digits.y_train[:6]
    model = concrete_net(50).seed(0)
    model.eval()
    p, weights = 0.1, [model[i].weight.numpy().astype(np.float64) for i in (3, 6)]
    entropy = 2 * 256 * (p * np.log(p) + (1 - p) * np.log(1 - p)) / 50
    decay = 1e-8 / 50 * sum((w**2).sum() for w in weights) / (1 - p)
    expected = nn.cross_entropy(model(x), y).item() + entropy + decay
    assert choose_digits.concrete_loss(model, x, y).item() == pytest.approx(expected, rel=1e-5)


def test_scores_of_regression_are_in_the_units_of_the_target(folder):
    """Who says the training mean, with a standard deviation of 1."""
    [data] = sets.load_sets(folder, ["yacht"])
    fold = choose_regression.Fold(data, 1)
    spread = float(fold.targets.spread)

    def predict(x):
        return GaussianFunctionPrediction.of(np.zeros((len(x), 1)), np.zeros((len(x), 1)), 1 / spread**2)

    found = fold.entry(predict, 0.0, 1.0)["scores"]
    error = data.y[fold.split.test] - data.y[fold.split.train].mean()
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["nll"] == pytest.approx((0.5 * error**2 + 0.5 * np.log(2 * np.pi)).mean())


def test_a_set_without_published_rates_is_refused(folder, tmp_path):
    with np.load(folder / "uci_energy.npz") as stored:
        left = {name: stored[name] for name in stored if not name.startswith("ref_")}
    np.savez(folder / "uci_energy.npz", **left)
    with pytest.raises(ValueError, match="'energy' has no published rates and precisions"):
        quick("choose", sets=["energy"], data=folder, report=tmp_path)
