"""The loop of active learning: what it asks for, and that an interruption changes nothing."""

import json

import numpy as np
import pytest

from puredrop import Key, nn, ops, optim, uncertainty
from puredrop.uncertainty import ActiveLoop

POOL = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
LABELS = (POOL[:, 0] > 0).astype(np.int64)


def train(rows, number):
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).seed(number)
    opt = optim.Adam(net.parameters(), lr=0.05)
    for _ in range(15):
        opt.zero_grad()
        nn.cross_entropy(net(POOL[rows]), LABELS[rows]).backward()
        opt.step()
    return net


def bald(net, rows, number):
    samples = ops.softmax(uncertainty.predict_samples(net, POOL[rows], 10).astype(np.float64), backend="numpy")
    return uncertainty.top_rows(uncertainty.mutual_information(samples), 5)


def error(net):
    return {"error": float((net.eval()(POOL).numpy().argmax(axis=1) != LABELS).mean())}


def loop(**options):
    return ActiveLoop(60, [0, 1, 2], **{"train": train, "acquire": bald, "measure": error, **options})


def test_rows_are_asked_for_once_and_counted():
    whole = loop()
    whole.run(labels=20)
    assert [round.labels for round in whole.history] == [3, 8, 13, 18, 23]
    assert len(set(whole.labelled.tolist())) == 28  # those of the last round are not trained on yet
    assert whole.labelled[:3].tolist() == [0, 1, 2]
    assert whole.history[-1].measured["error"] < whole.history[0].measured["error"]


def test_what_is_asked_for_is_what_the_scores_say():
    one = loop()
    one.round()
    others = np.arange(3, 60)
    assert one.history[0].asked == others[bald(train([0, 1, 2], 0), others, 0)].tolist()


@pytest.mark.parametrize("stage", ["train", "measure", "acquire"])
def test_an_interrupted_loop_goes_on_bit_for_bit(tmp_path, stage):
    whole = loop()
    whole.run(labels=18)
    real, calls = {"train": train, "acquire": bald, "measure": error}[stage], []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    first = loop(checkpoint=tmp_path / "loop.json", **{stage: stopped})
    with pytest.raises(KeyboardInterrupt):
        first.run(labels=18)
    again = loop(checkpoint=tmp_path / "loop.json")
    assert len(again.history) == 2
    again.run(labels=18)
    assert again.history == whole.history
    assert np.array_equal(again.labelled, whole.labelled)
    assert [path.name for path in tmp_path.iterdir()] == ["loop.json"]


def test_the_whole_pool_can_be_labelled():
    everything = loop(acquire=lambda net, rows, number: np.arange(len(rows)))
    everything.run(labels=60)
    assert [(round.labels, len(round.asked)) for round in everything.history] == [(3, 57), (60, 0)]
    with pytest.raises(ValueError, match="cannot have 61 labels of 60 rows"):
        everything.run(labels=61)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": [0, 0]}, r"start must be one or more rows from 0 to 59, each once, got \[0 0\]"),
        ({"start": [60]}, "start must be one or more rows from 0 to 59"),
        ({"start": []}, "start must be"),
        ({"start": [0.5]}, "start must be a list of whole numbers, got float64"),
        ({"pool": 0}, "pool must be 1 or more"),
        ({"acquire": lambda net, rows, number: [57]}, "the places acquired must be one or more rows from 0 to 56"),
        ({"acquire": lambda net, rows, number: []}, "the places acquired must be"),
    ],
)
def test_wrong_calls_are_explained(options, message):
    arguments = {"pool": 60, "start": [0, 1, 2], "train": train, "acquire": bald, "measure": error} | options
    with pytest.raises((TypeError, ValueError), match=message):
        ActiveLoop(arguments.pop("pool"), np.array(arguments.pop("start")), **arguments).round()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no checkpoint of a loop; remove it"),
        (json.dumps({"pool": 61, "start": [0, 1, 2], "rounds": []}), "is of a pool of 61 rows"),
        (json.dumps({"pool": 60, "start": [0, 1, 3], "rounds": []}), "this one has 60 and 3"),
    ],
)
def test_checkpoints_of_another_loop_are_refused(tmp_path, content, message):
    (tmp_path / "loop.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        loop(checkpoint=tmp_path / "loop.json")


def test_random_rows_are_drawn_from_a_key():
    drawn = [
        uncertainty.stochastic_rows(np.zeros(57), 5, kind="softmax", key=Key(0, step=number)).tolist()
        for number in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
