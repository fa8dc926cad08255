"""Stopping and resuming is not stopping, bit for bit; files that are damaged or foreign change nothing."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from puredrop import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((90, 6)).astype(np.float32), RNG.integers(0, 3, 90)


def fresh(backend="numpy", seed=1):
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.4), nn.Linear(12, 3)).to(backend)
    if seed is not None:
        net.seed(seed)
    opt = optim.AdamW(net.parameters(), lr=optim.cosine(0.05, steps=100, warmup=5))
    return net, opt, nn.Batches(X, Y, batch_size=16, seed=2)


def train(net, opt, batches, until, save_at=None, path=None):
    while opt.steps < until:
        for x, y in batches:
            opt.zero_grad()
            nn.cross_entropy(net(x), y).backward()
            opt.step()
            if opt.steps == save_at:
                nn.save(path, net, opt, batches, loss=[0.5, 0.25])
            if opt.steps == until:
                break


def test_stopping_at_50_and_resuming_is_not_stopping(tmp_path, backend):
    path = tmp_path / "at50.safetensors"
    straight = fresh(backend)
    train(*straight, until=100, save_at=50, path=path)
    resumed = fresh(backend, seed=None)
    assert nn.load(path, *resumed) == {"loss": [0.5, 0.25]}
    assert resumed[1].steps == 50
    assert 0 < resumed[2].position < 90, "in the middle of an epoch"
    train(*resumed, until=100)
    for (name, a), b in zip(straight[0].state_dict().items(), resumed[0].state_dict().values(), strict=True):
        assert a.tobytes() == b.tobytes(), name
    assert straight[0].random_state() == resumed[0].random_state()
    assert straight[2].state_dict() == resumed[2].state_dict()


def snapshot(net, opt, batches):
    arrays = [*net.state_dict().values(), *opt.state_dict().values()]
    return [a.tobytes() for a in arrays], net.random_state(), batches.state_dict()


def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    nn.save(path, *fresh())
    return path


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def header_only(path):
    path.write_bytes(path.read_bytes()[:20])


def text(path):
    path.write_text("these are no weights")


def foreign(path):
    save_file({"0.weight": np.zeros((12, 6), np.float32)}, path)


def other_model(path):
    net = nn.Sequential(nn.Linear(6, 13), nn.Dropout(0.5), nn.Linear(13, 3)).seed(0)
    nn.save(path, net, optim.AdamW(net.parameters()), nn.Batches(X, Y, batch_size=16))


def other_optimiser(path):
    net, _, batches = fresh()
    nn.save(path, net, optim.SGD(net.parameters(), 0.1), batches)


def other_data(path):
    net, opt, _ = fresh()
    batches = nn.Batches(np.zeros(200), batch_size=100)
    next(iter(batches))
    nn.save(path, net, opt, batches)


def without_state(path):
    nn.save(path, fresh()[0])


def broken_state(path):
    raw = path.read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + n])
    state = json.loads(header["__metadata__"]["state"])
    state["random"] = {"nowhere": [0, 0, 0]}
    header["__metadata__"]["state"] = json.dumps(state)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + n :])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "truncated, or not a safetensors file"),
        (header_only, "truncated, or not a safetensors file"),
        (text, "truncated, or not a safetensors file"),
        (foreign, r"not written by puredrop\.nn\.save; nothing was loaded"),
        (
            other_model,
            r"missing 3\.weight; .*unexpected 2\.weight; .*0\.weight has shape \(13, 6\), expected \(12, 6\)",
        ),
        (other_optimiser, "AdamW: this state does not fit, nothing was loaded"),
        (other_data, "is not of these 90 rows"),
        (without_state, "does not fit"),
        (broken_state, r"layers that draw nothing here: \['nowhere'\]"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, damage, message):
    path = saved(tmp_path)
    damage(path)
    mine = fresh(seed=7)
    before = snapshot(*mine)
    with pytest.raises(ValueError, match=message):
        nn.load(path, *mine)
    assert snapshot(*mine) == before


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nothing.safetensors", fresh()[0])


def test_saving_leaves_the_old_file_where_it_fails(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        nn.save(path, fresh()[0], note=object())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_into_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        nn.save(tmp_path / "nowhere" / "model.safetensors", fresh()[0])


def test_an_unseeded_model_is_not_saved(tmp_path):
    with pytest.raises(RuntimeError, match="has no numbers yet"):
        nn.save(tmp_path / "model.safetensors", fresh(seed=None)[0])
    with pytest.raises(IsADirectoryError, match="a folder, not a weights file"):
        nn.load(tmp_path, fresh()[0])


def test_load_state_dict_lists_everything():
    net = fresh()[0]
    state = net.state_dict()
    del state["0.bias"]
    state |= {"extra": np.zeros(1), "3.bias": np.zeros(4)}
    with pytest.raises(
        ValueError, match=r"missing 0\.bias; unexpected extra; 3\.bias has shape \(4,\), expected \(3,\)"
    ):
        net.load_state_dict(state)


@pytest.mark.parametrize("optimiser", [optim.SGD, optim.Adam, optim.AdamW])
@pytest.mark.parametrize("form", ["concrete", "variational"])
def test_learned_noise_is_resumed_bit_for_bit(tmp_path, form, optimiser):
    """Its parameters have no axes."""
    x, labels = np.random.default_rng(0).random((8, 4), np.float32), np.arange(8) % 2

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (nn.cross_entropy(model(x), labels) + model.regulariser(8)).backward()
            optimizer.step()
        return model.state_dict()

    def made(seed):
        model = nn.models.MLP(4, 2, (3,), form=form, p=0.3).seed(seed)
        return model, optimiser(model.parameters(), lr=0.1)

    expected = train(*made(0), 6)
    first, second = made(0), made(1)
    train(*first, 3)
    nn.save(tmp_path / "half.safetensors", *first, loss=np.float32(0.5))
    assert nn.load(tmp_path / "half.safetensors", *second) == {"loss": 0.5}
    for name, value in train(*second, 3).items():
        np.testing.assert_array_equal(value, expected[name])
