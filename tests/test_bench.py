"""The benchmarks run, compute what they say, and form their ratios right. Nothing here asserts a time."""

import builtins
import gc
import json
import multiprocessing
import sys

import numpy as np
import pytest

from puredrop import backends, bench, cli
from puredrop.bench import kernels, measure, predict, scaling, streams, tape, timing
from puredrop.bench.plot import apart
from puredrop.bench.suite import Contender, Suite, UnavailableError


class FakeTime:
    """A clock that only fake work moves."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def work(self, *durations):
        """A call that takes these nanoseconds in turn, the last one from then on."""
        left = list(durations)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def fake_suite(clock, **durations):
    """Contenders that take so many nanoseconds an element, and twice that in their second pass."""

    def contender(name, ns):
        return Contender(name, lambda n: {"once": clock.work(ns * n), "twice": clock.work(2 * ns * n)})

    contenders = tuple(contender(name, ns) for name, ns in durations.items())
    return Suite("fake", ("once", "twice"), contenders, inputs=lambda n: (n,), p=0.1, dtype="float32", floor="copy")


@pytest.fixture(scope="module")
def result():
    """A real run, small; with the contenders that are installed."""
    told = []
    result = bench.run(sizes=[1000, 64], rounds=2, seconds=0, progress=lambda *args: told.append(args))
    return result | {"told": told}


# ------------------------------------------------------------------------------------------ timing
def test_calls_are_interleaved_in_rotating_order():
    clock, order = FakeTime(), []
    calls = {name: lambda name=name: (order.append(name), clock.work(timing.LONG + 1)()) for name in "abc"}
    timing.interleaved(calls, rounds=4, seconds=1e9, clock=clock)
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab" + "abc"


def test_times_are_of_one_call_each_and_short_calls_are_repeated():
    clock = FakeTime()
    calls = {"short": clock.work(30), "long": clock.work(10**12)}
    times = timing.interleaved(calls, rounds=7, seconds=1e9, clock=clock)
    assert {name: each.tolist() for name, each in times.items()} == {"short": [30.0] * 7, "long": [10.0**12] * 7}
    assert 30 * timing.enough_repeats(calls["short"], clock) >= timing.SHORTEST


def test_the_first_call_is_not_timed():
    clock = FakeTime()
    times = timing.interleaved({"compiles": clock.work(10**9, 200_000)}, rounds=3, seconds=1e9, clock=clock)
    assert times["compiles"].tolist() == [200_000] * 3


@pytest.mark.parametrize(
    ("rounds", "seconds", "expected"),
    [(50, 1e9, 50), (50, 0, timing.LEAST_ROUNDS), (2, 0, 2), (50, 12.0, 10)],
)
def test_rounds_fit_the_time_but_five_are_the_least(rounds, seconds, expected):
    clock = FakeTime()
    times = timing.interleaved({"second": clock.work(10**9)}, rounds, seconds, clock)  # two seconds before the rounds
    assert len(times["second"]) == expected


def test_spread_is_the_median_and_the_quartiles():
    assert timing.spread(np.array([5.0, 1.0, 2.0, 3.0, 4.0])) == {"median": 3, "low": 2, "high": 4}


def test_garbage_collection_pauses_and_comes_back_after_an_error():
    seen = []

    def call():
        seen.append(gc.isenabled())
        if not seen[-1]:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        timing.interleaved({"one": call}, 1, 1.0)
    assert seen[0]
    assert gc.isenabled()


def test_torch_runs_on_one_thread_and_gets_its_threads_back(torch):
    torch.set_num_threads(2)
    try:
        with timing.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# ------------------------------------------------------------------------------------------ rows
def test_rows_hold_times_and_ratios():
    clock, rows = FakeTime(), []
    suite = fake_suite(clock, copy=2, torch=40, mine=5)
    assert measure.measure(suite, measure.planned("full", [10**9, 10**6], 3, 1e12), rows, clock=clock)
    assert [(row["size"], row["pass"], row["contender"]) for row in rows] == [
        (size, which, name)
        for size in (10**6, 10**9)
        for which in ("once", "twice")
        for name in ("copy", "torch", "mine")
    ]
    mine = rows[5]
    assert mine["rounds"] == 3
    assert mine["ns_per_element"] == {"median": 10, "low": 10, "high": 10}
    assert mine["ratio_to_floor"] == {"median": 2.5, "low": 2.5, "high": 2.5}
    assert mine["ratio_to_torch"] == {"median": 0.125, "low": 0.125, "high": 0.125}


def test_a_ratio_is_formed_within_a_round():
    """The machine slows down tenfold in the middle: times spread, ratios do not."""
    clock = FakeTime()
    speeds = np.array([1, 1, 10, 10, 10]) * 10**9
    calls = {name: clock.work(0, 10**9, *(speeds * factor)) for name, factor in (("copy", 1), ("mine", 3))}
    times = timing.interleaved(calls, 5, 1e9, clock)
    suite = fake_suite(clock, copy=1, mine=3)
    _, mine = measure.measured_rows(suite, 10**9, "once", calls, times)
    assert mine["ns_per_element"] == {"median": 30, "low": 3, "high": 30}
    assert mine["ratio_to_floor"] == {"median": 3, "low": 3, "high": 3}


def test_without_a_floor_or_torch_there_are_no_ratios():
    clock, rows = FakeTime(), []
    measure.measure(fake_suite(clock, mine=5), measure.Preset((10**6,), 1, 1e12), rows, clock=clock)
    assert {(row["ratio_to_floor"], row["ratio_to_torch"]) for row in rows} == {(None, None)}


def test_ctrl_c_leaves_what_was_finished(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    def prepare(n):
        return {"once": lambda: None, "twice": interrupt if n == 20 else lambda: None}

    suite = Suite("fake", ("once", "twice"), (Contender("copy", prepare),), lambda n: (n,), 0.1, "float32", "copy")
    monkeypatch.setitem(measure.SUITES, "fake", lambda backends: suite)
    result = bench.run(sizes=[10, 20, 30], rounds=1, suite="fake")
    assert result["interrupted"]
    assert [(row["size"], row["pass"]) for row in result["rows"]] == [(10, "once"), (10, "twice"), (20, "once")]
    assert "interrupted" in bench.table(result)
    assert bench.figure(result | {"rows": []}) is not None


def test_arguments_replace_what_a_preset_says():
    full, quick = bench.PRESETS["full"], bench.PRESETS["quick"]
    assert (full.sizes[0], full.sizes[-1]) == (1 << 10, 1 << 24)
    assert set(quick.sizes) < set(full.sizes)
    assert measure.planned("quick", None, None, None) == quick
    assert measure.planned("quick", [30, 10, 30], 3, 0.0) == measure.Preset((10, 30), 3, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": []}, "sizes must be"),
        ({"sizes": [10, 0]}, "sizes must be"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"preset": "slow"}, "unknown preset 'slow'; known are full, quick"),
        ({"suite": "none"}, "unknown suite 'none'; known are scaling, kernels"),
        ({"backends": ["abacus"]}, "unknown backend 'abacus'"),
    ],
)
def test_what_cannot_be_is_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        bench.run(**{"sizes": [8], "rounds": 1, **arguments})


# ------------------------------------------------------------------------------------------ a real run
def test_the_result_is_json_and_complete(result):
    assert json.loads(json.dumps(result["rows"])) == result["rows"]
    assert json.dumps(result["environment"])
    assert {"cpu", "cores", "python", "numpy", "numba", "torch", "threads", "blas"} <= set(result["environment"])
    assert not result["interrupted"]
    contenders = {row["contender"] for row in result["rows"]}
    assert contenders | {one["contender"] for one in result["skipped"]} == {
        "copy",
        "copy into out=",
        "masks alone",
        "numpy generator",
        "torch",
        "puredrop[numpy]",
        "puredrop[numba]",
    }
    assert len(result["rows"]) == len(contenders) * 2 * 2
    for row in result["rows"]:
        assert row["rounds"] == 2
        assert row["size"] in (64, 1000)
        assert row["pass"] in ("forward", "forward+backward")
        assert 0 < row["ns_per_element"]["low"] <= row["ns_per_element"]["median"] <= row["ns_per_element"]["high"]
        if row["contender"] == "copy":
            assert row["ratio_to_floor"] == {"median": 1, "low": 1, "high": 1}


def test_progress_is_told_before_each_measurement_and_at_the_end(result):
    assert result["told"] == [
        (0, 4, "2^6 elements, forward"),
        (1, 4, "2^6 elements, forward+backward"),
        (2, 4, "1,000 elements, forward"),
        (3, 4, "1,000 elements, forward+backward"),
        (4, 4, ""),
    ]


def test_torch_is_skipped_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = bench.run(sizes=[64], backends=["numpy"], rounds=1, seconds=0)
    [skipped] = result["skipped"]
    assert skipped["contender"] == "torch"
    assert "PyTorch cannot be imported" in skipped["reason"]
    assert result["environment"]["torch"] is None
    assert {row["ratio_to_torch"] is None for row in result["rows"]} == {True}
    assert "skipped: torch: PyTorch cannot be imported" in bench.table(result)


def test_backends_that_cannot_take_part_are_skipped_by_name(monkeypatch):
    monkeypatch.setattr(backends, "_installed", lambda name: name == "numpy")
    _, skipped = scaling.suite().here()
    assert any(one["contender"] == "puredrop[numba]" and "pip install" in one["reason"] for one in skipped)
    with pytest.raises(ImportError, match="pip install"):  # asked for by name
        bench.run(sizes=[8], backends=["numba"])


@pytest.mark.parametrize(
    "contender",
    [one for one in scaling.suite().contenders if one.name != "masks alone"],
    ids=lambda one: one.name.replace(" ", "-"),
)
def test_contenders_compute_what_they_say(contender):
    x, g = scaling.inputs(10_000)
    before = x.copy(), g.copy()
    try:
        calls = contender.prepare(x, g)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    for _ in range(2):
        y, dx = map(np.asarray, calls["forward+backward"]())
        kept = y != 0
        np.testing.assert_allclose(y, np.where(kept, x * scaling.SCALE, 0), rtol=1e-6)
        np.testing.assert_allclose(dx, np.where(kept, g * scaling.SCALE, 0), rtol=1e-6)
        rate = 0.0 if contender.name.startswith("copy") else scaling.P
        assert abs(np.mean(~kept) - rate) <= 6 * np.sqrt(rate * (1 - rate) / x.size)
    once, again = (np.asarray(calls["forward"]()).copy() for _ in range(2))
    assert np.array_equal(once, again) == contender.name.startswith("copy")  # drawn anew at every call
    assert np.array_equal(x, before[0])
    assert np.array_equal(g, before[1])


# ------------------------------------------------------------------------------------------ table and picture
def test_the_table_has_every_contender_and_size(result):
    text = bench.table(result)
    for row in result["rows"]:
        assert row["contender"] in text
        assert f"elements, {row['pass']}, 2 rounds" in text
    assert "1,000 elements" in text
    assert "2^6 elements" in text


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_picture_is_written(result, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture.{ending}"
    bench.picture(result, path)
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml"}[ending])
    if ending == "svg":
        assert all(row["contender"] in path.read_text() for row in result["rows"])


def test_the_figure_has_a_panel_for_each_pass_and_a_label_for_each_line(result):
    pytest.importorskip("matplotlib")
    figure = bench.figure(result)
    contenders = {row["contender"] for row in result["rows"]}
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["forward", "forward+backward"]
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == contenders
        assert len(axes.lines) == len(contenders)


def test_labels_move_apart_and_no_further():
    assert apart([0.0, 0.1, 5.0], 1.0) == [-0.45, 0.55, 5.0]
    spread = np.diff(apart([0.0, 0.5, 0.6, 1.2, 9.0], 1.0))
    assert spread.min() == pytest.approx(1.0)


def test_a_picture_that_cannot_be_is_refused_before_the_run(monkeypatch):
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg, got 'picture\.gif'"):
        bench.check_picture("picture.gif")
    original = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"pip install puredrop\[demo\]"):
        bench.figure({"rows": []})


@pytest.mark.parametrize("contender", streams.suite().contenders, ids=lambda one: one.name.replace(" ", "-"))
def test_contenders_of_the_suite_of_streams_draw_masks(contender):
    try:
        draw = contender.prepare(10_000)["mask"]
    except UnavailableError as reason:
        pytest.skip(str(reason))
    once, again = (np.asarray(draw()).copy() != 0 for _ in range(2))
    if contender.name == "zeros":
        assert not once.any()
    else:
        assert abs(once.mean() - (1 - streams.P)) < 0.02
        assert not np.array_equal(once, again)


# ------------------------------------------------------------------------------------------ the other suites
def calls_of(contender, *inputs):
    try:
        return contender.prepare(*inputs)
    except UnavailableError as reason:
        pytest.skip(str(reason))


def by_name(contender):
    return contender.name.replace(" ", "-").replace(",", "")


@pytest.mark.parametrize("contender", kernels.suite().contenders, ids=by_name)
def test_contenders_of_the_suite_of_kernels_compute_what_they_say(contender):
    x, g = kernels.inputs(1 << 14)
    calls = calls_of(contender, x, g)
    assert set(calls) <= set(kernels.OPERATIONS)
    dropped = {
        "dropout": x,
        "dropout into out=": x,
        "alpha dropout": x,
        "dropout2d": x.reshape(-1, 256),
        "softmax and dropout": np.exp(x.reshape(-1, 128)) / np.exp(x.reshape(-1, 128)).sum(-1, keepdims=True),
    }
    if contender.name == "copy":
        assert set(calls) == set(kernels.OPERATIONS)
        return
    for name, call in calls.items():
        y, again = (np.asarray(call()).copy() for _ in range(2))
        assert not np.array_equal(y, again), f"{name} draws once"
        if name == "keep mask":
            assert abs(y.mean() - (1 - kernels.P)) < 0.02
        elif name == "Gaussian dropout":
            assert abs((y / x).mean() - 1) < 0.02
            assert abs((y / x).std() - kernels.SPREAD) < 0.02
        elif name == "concrete dropout":
            factor = y / x  # (1 - z) / (1 - p)
            assert 0 <= factor.min() <= factor.max() < kernels.SCALE * 1.001
            assert abs((factor < kernels.SCALE / 2).mean() - kernels.P) < 0.02
            assert ((factor > 0.01) & (factor < 0.99)).any(), "a hard mask"
        elif name == "dropout, forward+backward":
            y, dx = map(np.asarray, call())
            assert np.array_equal(y == 0, dx == 0)
        else:
            kept = np.isclose(y.reshape(dropped[name].shape), dropped[name] * kernels.SCALE, rtol=1e-5)
            if name != "alpha dropout":  # it shifts
                assert abs(kept.mean() - (1 - kernels.P)) < 0.1


@pytest.mark.parametrize("contender", tape.suite().contenders, ids=by_name)
def test_the_chains_of_the_tape_are_the_same_function(contender):
    calls = calls_of(contender, 3)
    assert list(calls) == list(tape.ARRAY_STEPS)
    for call in calls.values():
        assert np.isfinite(np.asarray(call())).all()
    if contender.name != "numpy, no tape":
        a, b = tape._operands()
        np.testing.assert_allclose(np.asarray(calls["multiply"]()), b**3, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(calls["tanh"]()), slope_of_three_tanh(a), rtol=1e-5)


def slope_of_three_tanh(a):
    first, second, third = np.tanh(a), np.tanh(np.tanh(a)), np.tanh(np.tanh(np.tanh(a)))
    return (1 - first**2) * (1 - second**2) * (1 - third**2)


@pytest.mark.parametrize("contender", predict.suite().contenders, ids=by_name)
def test_predictions_are_as_many_as_the_samples(contender):
    for call in calls_of(contender, 3).values():
        samples = np.asarray(call())
        assert (len(samples), samples.shape[-1]) == (3, 10)
        assert not np.array_equal(samples[0], samples[1])


def test_a_busy_machine_is_timed_and_left_alone():
    result = bench.run_load(calls=20, threads=(1,), processes=1, size=64)
    assert [(row["what"], row["threads"], row["busy"]) for row in result["rows"]] == [
        (what, 1, busy) for busy in (0, 1) for what in ("dropout", "copy")
    ]
    assert all(0 < row["median_us"] <= row["p99_us"] <= row["max_us"] for row in result["rows"])
    assert len(bench.load_table(result).splitlines()) == 8
    assert multiprocessing.active_children() == []


# ------------------------------------------------------------------------------------------ compared with an older run
def measured(median, low, high, contender="puredrop[numba]", suite="scaling", torch=True):
    ratio = {"median": median, "low": low, "high": high}
    row = {"contender": contender, "pass": "forward", "size": 8, "dtype": "float32"}
    return {"suite": suite, "rows": [row | {"ratio_to_floor": ratio, "ratio_to_torch": ratio if torch else None}]}


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (measured(0.5, 0.45, 0.55), "slower"),
        (measured(0.05, 0.04, 0.06), "quicker"),
        (measured(0.105, 0.104, 0.106), "same"),  # apart, and less than a tenth
        (measured(0.5, 0.05, 0.9), "same"),  # much, and the quartiles overlap
    ],
)
def test_a_change_is_one_where_it_is_large_and_clear(new, verdict):
    (row,) = bench.compare(new, measured(0.1, 0.099, 0.101))
    assert (row["verdict"], row["to"]) == (verdict, "torch")
    assert (verdict == "same") == bench.comparison_table([row]).startswith("1 of 1")


def test_what_has_no_pytorch_in_both_is_compared_by_the_floor():
    (row,) = bench.compare(measured(3.0, 2.9, 3.1, torch=False), measured(1.5, 1.4, 1.6))
    assert (row["verdict"], row["to"], row["change"]) == ("slower", "the floor", 2.0)


def test_results_that_have_nothing_in_common_are_refused():
    with pytest.raises(ValueError, match="the older result is of suite 'tape', this one of 'scaling'"):
        bench.compare(measured(1, 1, 1), measured(1, 1, 1, suite="tape"))
    with pytest.raises(ValueError, match="no measurement in common"):
        bench.compare(measured(1, 1, 1, contender="torch"), measured(1, 1, 1, contender="torch"))


def test_the_command_compares(monkeypatch, tmp_path, capsys):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(measured(0.1, 0.099, 0.101)))
    for new, code in ((measured(0.5, 0.45, 0.55), 1), (measured(0.1, 0.09, 0.11), 0)):
        monkeypatch.setattr(bench, "run", lambda new=new, **options: new)
        monkeypatch.setattr(bench, "table", lambda result: "")
        assert cli.main(["bench", "--compare", str(old)]) == code
    assert "slower: puredrop[numba], forward, 8, float32: 0.1 -> 0.5 of torch" in capsys.readouterr().out
