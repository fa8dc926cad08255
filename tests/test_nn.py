"""Modules: the tree, modes, seeds, the pass; layers against PyTorch; losses; initial numbers."""

import copy
import pickle
import threading

import numpy as np
import pytest

import puredrop
from puredrop import Key, Rng, Tensor, keep_mask, nn
from puredrop.gradcheck import relative_error
from puredrop.nn.module import by_sample
from puredrop.random.passes import Pass, Window, entered
from puredrop.uncertainty import predict_samples

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def mlp(p=0.5):
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(p), nn.Linear(8, 8), nn.Dropout(p), nn.Linear(8, 3))


class Twice(nn.Module):
    """A model with a list, a shared layer and a parameter of its own."""

    def __init__(self):
        self.blocks = [nn.Linear(4, 4), nn.Dropout(0.5)]
        self.shared = self.blocks[1]
        self.gain = nn.Parameter((4,), nn.init.ones)

    def forward(self, x):
        return self.shared(self.blocks[1](self.blocks[0](x))) * self.gain


def test_names_are_the_tree():
    assert [name for name, _ in mlp().named_parameters()] == [
        "0.weight",
        "0.bias",
        "3.weight",
        "3.bias",
        "5.weight",
        "5.bias",
    ]
    assert [name for name, _ in Twice().named_modules()] == ["", "blocks.0", "blocks.1"]
    assert [name for name, _ in Twice().named_parameters()] == ["gain", "blocks.0.weight", "blocks.0.bias"]
    assert repr(mlp()).splitlines()[1] == "  (0): Linear(4 -> 8)"


class Nested(nn.Module):
    def __init__(self):
        self.heads = {"a": nn.Linear(4, 2), "b": [nn.Dropout(0.5), (nn.Linear(2, 2),)]}
        self.parent = self  # a cycle

    def forward(self, x):
        return self.heads["b"][1][0](self.heads["b"][0](self.heads["a"](x)))


def test_modules_in_dicts_and_nested_lists_are_found():
    net = Nested()
    assert [n for n, _ in net.named_parameters()] == [
        "heads.a.weight",
        "heads.a.bias",
        "heads.b.1.0.weight",
        "heads.b.1.0.bias",
    ]
    with pytest.raises(RuntimeError, match="has no numbers yet"):
        net(X)
    assert net.seed(0)(X).data.any()
    assert list(net.random_state()) == ["heads.b.0"]


def test_a_layer_added_after_the_first_pass_is_noticed():
    net = nn.Sequential(nn.Linear(4, 4)).seed(0)
    net(X)
    setattr(net, "1", nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match=r"parameter '1\.weight' has no numbers yet"):
        net(X)


def test_frozen_parameters_stay_frozen():
    net = mlp().seed(0)
    net.parameters()[0].requires_grad = False
    before = net.parameters()[0].data.copy()
    net.zero_grad()
    net.to("numpy").seed(1)
    nn.cross_entropy(net(X), np.zeros(6, int)).backward()
    puredrop.optim.SGD(net.parameters(), 0.1).step()
    assert not net.parameters()[0].requires_grad
    assert np.array_equal(net.parameters()[0].data, before)
    net.load_state_dict(net.state_dict())
    net.reset_parameters(5)
    assert not net.parameters()[0].requires_grad


def test_a_state_dict_is_a_copy():
    net = mlp().seed(0)
    state = net.state_dict()
    net.parameters()[0].data += 1
    assert not np.array_equal(state["0.weight"], net.parameters()[0].data)


def test_calling_forward_by_hand_says_what_to_call():
    with pytest.raises(RuntimeError, match=r"call the layer itself, layer\(x\), not its forward"):
        nn.Dropout(0.5).seed(0).forward(np.ones(3))


def test_an_unseeded_model_raises_and_names_seed():
    with pytest.raises(RuntimeError, match=r"parameter '0.weight' has no numbers yet; call \.seed\(s\)"):
        mlp()(X)
    with pytest.raises(RuntimeError, match=r"Dropout has nothing to draw with; call \.seed\(s\) on the model"):
        nn.Dropout(0.5)(X)


def test_loaded_weights_still_need_a_seed_to_draw():
    net = mlp()
    net.load_state_dict(mlp().seed(1).state_dict())
    net.eval()(X)
    with pytest.raises(RuntimeError, match="nothing to draw with"):
        net.train()(X)
    weights = net.state_dict()["0.weight"].copy()
    net.seed(5)(X)
    assert np.array_equal(net.state_dict()["0.weight"], weights), "a seed after a load changes masks only"


def test_the_first_seed_draws_parameters_later_ones_only_masks():
    net = mlp().seed(1)
    weights, first = net.state_dict()["0.weight"].copy(), net(X).numpy()
    assert not np.array_equal(net.seed(2)(X).numpy(), first)
    assert np.array_equal(net.state_dict()["0.weight"], weights)
    assert np.array_equal(net.seed(1)(X).numpy(), first)
    net.reset_parameters(3)
    assert not np.array_equal(net.state_dict()["0.weight"], weights)
    assert np.array_equal(mlp().seed(1).state_dict()["0.weight"], weights), "the same seed, the same parameters"


def test_parameters_are_equal_on_every_backend(backend):
    assert np.array_equal(mlp().to(backend).seed(1).state_dict()["3.weight"], mlp().seed(1).state_dict()["3.weight"])


def test_sites_are_numbered_in_tree_order_and_steps_advance():
    net = mlp().seed(9)
    assert net.random_state() == {"2": (9, 0, 0), "4": (9, 1, 0)}
    net(X), net(X)
    assert net.random_state() == {"2": (9, 0, 2), "4": (9, 1, 2)}


def test_a_layer_draws_at_its_address():
    net = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.5)).seed(4)
    ones = np.ones((5, 7), np.float32)
    net(ones)
    both = keep_mask(Key(4, site=0, step=1), (5, 7), 0.3) & keep_mask(Key(4, site=1, step=1), (5, 7), 0.5)
    assert np.array_equal(net(ones).data != 0, both), "the second training step"
    net.sample()
    for t in range(3):
        keys = [Key(4, site=site, step=0, sample=t + 1) for site in (0, 1)]
        both = keep_mask(keys[0], (5, 7), 0.3) & keep_mask(keys[1], (5, 7), 0.5)
        assert np.array_equal(net(ones).data != 0, both), f"sample {t}"


def test_a_shared_layer_counts_its_calls_within_a_pass():
    net = Twice().seed(1).sample()
    first, again = net(X).numpy(), net.sample()(X).numpy()
    assert np.array_equal(first, again)
    ones, layer = np.ones((3, 50), np.float32), nn.Dropout(0.5).seed(0).sample()
    run = Pass(mode="sample")
    with entered(run):
        masks = [layer(ones) != 0 for _ in range(2)]
    expected = [keep_mask(Key(0, step=step, sample=1), (3, 50), 0.5) for step in (0, 1)]
    assert np.array_equal(masks, expected)


def test_modes():
    net = mlp().seed(1)
    x = Tensor(X)
    assert np.array_equal(net.eval()(x).data, net(x).data)
    assert nn.Dropout(0.5).seed(0).eval()(x) is x
    assert not np.array_equal(net.train()(x).data, net(x).data)
    state = net.random_state()
    net.sample()(x), net(x)
    assert net.random_state() == state, "sampling touches no saved counter"
    assert {module.mode for module in net.modules()} == {"sample"}


def test_predicting_in_the_middle_of_training_changes_nothing():
    plain, disturbed = mlp().seed(1), mlp().seed(1)
    outputs = []
    for net in (plain, disturbed):
        net(X)
        if net is disturbed:
            predict_samples(net, X, samples=3)
        outputs.append(net(X).numpy())
    assert np.array_equal(*outputs)
    assert disturbed.mode == "train"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_continues_where_its_original_stood(again):
    net = mlp().seed(1)
    net(X)
    twin = again(net)
    assert np.array_equal(net(X).numpy(), twin(X).numpy())
    twin.parameters()[0].data[...] = 0
    assert net.parameters()[0].data.any(), "and shares nothing"


def test_passes_of_threads_are_apart():
    net, results = mlp().seed(1), {}

    def work(i):
        results[i] = predict_samples(net, X, samples=5, first=i * 5)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert np.array_equal(np.concatenate([results[i] for i in range(4)]), predict_samples(net, X, samples=20))


def test_a_chunk_of_a_batch_draws_its_rows_of_the_whole():
    layer = nn.Dropout(0.5).seed(0)
    ones = np.ones((10, 8), np.float32)
    with entered(Pass(mode="sample")):
        whole = layer(ones)
    for start, stop in ((0, 3), (3, 10)):
        with entered(Pass(mode="sample", window=Window(start, stop, 10))):
            assert np.array_equal(layer(ones[start:stop]), whole[start:stop])
        with entered(Pass(mode="sample", window=Window(start, stop, 10))):
            merged = layer(ones[start:stop].reshape(-1, 4))  # two rows an example
            assert np.array_equal(merged, whole.reshape(20, 4)[2 * start : 2 * stop])


def test_a_layer_that_lost_the_batch_axis_says_so():
    layer = nn.Dropout(0.5).seed(0)
    run = Pass(mode="sample", samples=range(2), window=Window(0, 3, 10))
    with entered(run), pytest.raises(ValueError, match=r"\(5, 4\) does not hold 2 samples of 3 rows on axis 0"):
        layer(np.ones((5, 4), np.float32))


def test_random_state_of_another_model_is_refused():
    net = mlp().seed(1)
    before = net.random_state()
    with pytest.raises(ValueError, match=r"layers that draw nothing here: \['0'\]"):
        net.load_random_state({"0": (1, 0, 0)})
    assert net.random_state() == before


def test_an_option_is_an_attribute_that_every_call_reads():
    layer = nn.StochasticDepth(0.5, mode="batch").seed(7)
    zero, one = np.zeros((64, 1), np.float32), np.ones((64, 1), np.float32)
    assert np.unique(layer(zero, one).numpy()).size == 1
    layer.gate_mode = "row"
    assert np.unique(layer(zero, one).numpy()).size == 2
    pool = nn.StochasticPool(size=2).eval()
    pool.stride = (1, 1)
    assert pool(np.ones((1, 1, 4, 4), np.float32)).shape == (1, 1, 3, 3)
    assert repr(pool) == "StochasticPool(size=(2, 2), stride=(1, 1), spatial_dims=2)"


def test_layers_name_their_inputs():
    layer = nn.Zoneout(0.25).eval()
    assert layer(np.ones(1, np.float32), old=nn.Parameter((1,), nn.init.ones)).tolist() == [0.75]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'old'"):
        layer(np.ones(1, np.float32))


def test_a_site_used_by_hand_is_an_rng():
    assert nn.Dropout(0.5).seed(3).rng.next_key() == Rng(3).next_key()


def test_linear_equals_pytorch(torch):
    ours, theirs = nn.Linear(4, 3).seed(0), torch.nn.Linear(4, 3).double()
    for mine, name in ((ours.weight, "weight"), (ours.bias, "bias")):
        values = getattr(theirs, name).detach().numpy()
        mine.data = values.copy()
        mine.requires_grad = False
        mine.requires_grad = True
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    mine, yours = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(yours)
    (y * y).sum().backward(), (z * z).sum().backward()
    pairs = [
        (y.data, z.detach()),
        (mine.grad, yours.grad),
        (ours.weight.grad, theirs.weight.grad),
        (ours.bias.grad, theirs.bias.grad),
    ]
    for a, b in pairs:
        assert relative_error(a, b.numpy()) < 1e-12


@pytest.mark.parametrize(
    ("layer", "name"), [(nn.ReLU, "ReLU"), (nn.Tanh, "Tanh"), (nn.Sigmoid, "Sigmoid"), (nn.Flatten, "Flatten")]
)
def test_activations_equal_pytorchs(torch, layer, name):
    x = np.random.default_rng(1).standard_normal((3, 4, 2))
    assert np.allclose(layer()(x).data, getattr(torch.nn, name)()(torch.tensor(x)).numpy(), rtol=1e-14)
    assert np.allclose(nn.Softmax()(x).data, torch.softmax(torch.tensor(x), -1).numpy(), rtol=1e-14)


def test_cross_entropy_equals_pytorch(torch):
    logits, labels = np.random.default_rng(0).standard_normal((7, 5)) * 4, np.array([0, 4, 2, 2, 1, 3, 0])
    ours, theirs = Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    a, b = nn.cross_entropy(ours, labels), torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    a.backward(), b.backward()
    assert np.isclose(a.item(), b.item(), rtol=1e-13)
    assert np.allclose(ours.grad, theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([0.0, 1.0]), TypeError, "whole numbers, got dtype float64"),
        (np.array([0, 3]), ValueError, r"must lie in \[0, 3\), got 0 to 3"),
        (np.array([-1, 0]), ValueError, r"must lie in \[0, 3\)"),
        (np.array([0]), ValueError, r"expected logits \(N, C\) and labels \(N,\)"),
        (np.array([[0], [1]]), ValueError, r"expected logits \(N, C\) and labels \(N,\)"),
    ],
)
def test_labels_that_do_not_fit(labels, error, message):
    with pytest.raises(error, match=f"cross_entropy: .*{message}"):
        nn.cross_entropy(np.zeros((2, 3)), labels)


def test_mse_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"mse: shapes differ, prediction \(3, 1\) and target \(3,\)"):
        nn.mse(np.zeros((3, 1)), np.zeros(3))


def test_linear_names_the_axis_that_does_not_fit():
    with pytest.raises(ValueError, match=r"Linear: the last axis of x must be 4, got shape \(6, 5\)"):
        nn.Linear(4, 2).seed(0)(np.zeros((6, 5), np.float32))


def test_sequential_takes_modules_only():
    with pytest.raises(TypeError, match="layer 1 must be a Module, got function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    net = mlp()
    assert net[-1] is net[5]
    with pytest.raises(IndexError, match="no layer 6 among 6"):
        net[6]


@pytest.mark.parametrize(
    ("init", "variance"),
    [(nn.init.he_normal(50), 2 / 50), (nn.init.glorot_uniform(50, 30), 2 / 80), (nn.init.fan_in_uniform(50), 1 / 150)],
)
def test_initial_numbers_have_the_variance_of_their_paper(init, variance):
    w = init(Key(0), (300, 200))
    assert abs(w.mean()) < 5 * (variance / w.size) ** 0.5
    assert abs(w.var() / variance - 1) < 0.03


def test_batches_cover_every_row_once_an_epoch_and_differ_between_epochs():
    data = nn.Batches(np.arange(10), batch_size=3, seed=1)
    epochs = [np.concatenate([b for (b,) in data]) for _ in range(2)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert not np.array_equal(*epochs)
    assert len(data) == 4
    unshuffled = nn.Batches(np.arange(4), batch_size=2, shuffle=False)
    assert [b.tolist() for (b,) in unshuffled] == [[0, 1], [2, 3]]


def test_batches_that_do_not_fit():
    with pytest.raises(ValueError, match=r"equally many rows, got \[3, 2\]"):
        nn.Batches(np.ones(3), np.ones(2), batch_size=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        nn.Batches(np.ones(3), batch_size=0)


def test_by_sample_makes_samples_a_leading_axis_wherever_the_batch_is():
    x = np.arange(2 * 6 * 3.0).reshape(2, 6, 3)  # (L, K * N, D), K = 2, N = 3
    keys = (Key(1, sample=1), Key(1, sample=2))
    seen = []

    def f(apart):
        seen.append(apart.shape)
        return apart * np.array([1.0, 10.0])[:, None, None, None]

    y = by_sample(f, x, keys, batch_axis=1)
    assert seen == [(2, 2, 3, 3)]
    assert np.array_equal(y[:, :3], x[:, :3])
    assert np.array_equal(y[:, 3:], x[:, 3:] * 10)
    assert by_sample(lambda one: one, x, keys[0], batch_axis=1) is x


def test_astype_converts_every_parameter():
    net = mlp().seed(0)
    assert net.astype(np.float64)(np.ones((2, 4))).dtype == np.float64
    assert all(p.requires_grad and p.dtype == np.float64 for p in net.parameters())


def test_astype_converts_running_statistics_and_leaves_whole_numbers():
    norm = nn.BatchNorm1d(4).astype(np.float64)
    assert [buffer.dtype for _, buffer in norm.named_buffers()] == [np.float64, np.float64, np.int64]
    assert not any(buffer.requires_grad for _, buffer in norm.named_buffers())
