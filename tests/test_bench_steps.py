"""Training steps beside PyTorch's: the same work is timed, and the result is what it says."""

import json

import numpy as np
import pytest

from puredrop import bench, cli
from puredrop.bench import steps
from puredrop.gradcheck import relative_error


@pytest.fixture
def result(torch):
    return bench.run_steps(["mlp"], rounds=5, seconds=0.1)


def without_dropout(torch, model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize("name", steps.MODELS)
def test_both_sides_take_the_same_step(torch, monkeypatch, name):
    """Without dropout, for masks differ: after two long steps the weights are equal and no longer the first ones."""
    torch.manual_seed(0)
    model, x, loss = steps.MODELS[name](torch)
    model = without_dropout(torch, model).double()
    first = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    monkeypatch.setattr(steps, "LEARNING_RATE", 0.1)
    some = x[:, : x.shape[1] // 4] if name == "stack" else x[: len(x) // 4]
    calls = steps.step_calls(torch, model, some.astype(np.float64), quarter(loss, x, name), "numpy")
    twin = calls["puredrop"].args[1]
    for call in calls.values():
        call()
        call()
    for key, parameter in twin.named_parameters():
        theirs = dict(model.named_parameters())[key].detach().numpy()
        assert relative_error(parameter.numpy(), theirs) < 1e-9, key
    assert any(not np.array_equal(p.detach().numpy(), first[key]) for key, p in model.named_parameters())


def quarter(loss, x, name):
    """The loss of the first quarter of the examples, where it has labels."""
    return loss if name in ("lstm", "transformer", "stack") else steps._classes(len(x) // 4)


def test_a_row_holds_times_and_ratios(result):
    (row,) = result["rows"]
    assert row["model"] == "mlp"
    assert row["rounds"] >= 5
    for name in ("puredrop_ms", "torch_ms", "ratio"):
        assert 0 < row[name]["low"] <= row[name]["median"] <= row[name]["high"]
    assert json.loads(json.dumps(result)) == result


def test_the_table_says_which_kernels_ran(result):
    text = bench.steps_table(result)
    assert "one thread, float32" in text
    assert "with kernels for" in text
    assert "784-512-512-10" in result["rows"][0]["about"]


def test_unknown_models_are_named():
    with pytest.raises(ValueError, match="unknown model gru; known are mlp, lstm, lenet, transformer, stack"):
        bench.run_steps(["gru"])


def test_without_pytorch_there_is_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install torch==2.13.0"):
        bench.run_steps(["mlp"])


def test_ctrl_c_leaves_what_was_finished(torch, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "_row", interrupted)
    stopped = bench.run_steps(["mlp"])
    assert stopped["interrupted"]
    assert "interrupted: what was finished is above" in bench.steps_table(stopped)


def test_the_command(monkeypatch, capsys, result):
    monkeypatch.setattr(bench, "run_steps", lambda **options: result)
    assert cli.main(["bench", "layers"]) == 0
    assert "min / min" in capsys.readouterr().out
    assert cli.main(["bench", "layers", "--picture", "x.png"]) == 2
    assert "bench layers has no picture" in capsys.readouterr().err
