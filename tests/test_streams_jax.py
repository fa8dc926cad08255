"""Keys of JAX, and the streams of Flax, NNX and Equinox: whole networks from the seed alone, and what is refused.

Every mask beside the libraries': test_streams_libraries.py, which runs the rows of conformance.streams.
"""

from __future__ import annotations

import numpy as np
import pytest

import puredrop
from puredrop import Tensor, nn, optim
from puredrop.cli import main
from puredrop.conformance.streams import ROWS
from puredrop.conformance.streams.run import outcome
from puredrop.streams import JAX, NNX, Broadcast, Equinox, Flax, JAXKey, draw_from, named

STEPS, RATE = 200, 0.1  # of training; of learning


def rows_of(x):
    """Labels, one a row."""
    return np.arange(len(x)) % 3


def twin(weights):
    """The network of both tests, here: weights (in, out) and biases as Flax has them."""
    linear = [nn.Linear(*kernel.shape) for kernel, _ in weights]
    net = nn.Sequential(
        nn.Dropout(0.1), linear[0], nn.ReLU(), nn.Dropout(0.5), linear[1], nn.Tanh(), nn.Dropout(0.3), linear[2]
    )
    net.seed(0).astype(np.float64)
    for layer, (kernel, bias) in zip(linear, weights, strict=True):
        layer.weight.fill(np.array(kernel).T)
        layer.bias.fill(np.array(bias))
    return net, linear


def trained(net, x, stream_of_step):
    optimiser = optim.SGD(net.parameters(), lr=RATE)
    for step in range(STEPS):
        with draw_from(stream_of_step(step)):
            optimiser.zero_grad()
            nn.cross_entropy(net(Tensor(x)), rows_of(x)).backward()
            optimiser.step()


def assert_same_weights(linear, weights):
    for layer, (kernel, bias) in zip(linear, weights, strict=True):
        for ours, theirs in ((layer.weight.data.T, np.asarray(kernel)), (layer.bias.data, np.asarray(bias))):
            assert np.abs(ours - theirs).max() < 1e-9 * np.abs(theirs).max()


def test_a_flax_network_trains_alike_from_the_seed_alone():
    jax, linen = pytest.importorskip("jax"), pytest.importorskip("flax.linen")

    class MLP(linen.Module):
        @linen.compact
        def __call__(self, x):
            for rate, width, then in ((0.1, 16, linen.relu), (0.5, 16, linen.tanh)):
                x = then(linen.Dense(width)(linen.Dropout(rate, deterministic=False)(x)))
            return linen.Dense(3)(linen.Dropout(0.3, deterministic=False)(x))

    x = np.random.default_rng(0).standard_normal((8, 6))
    with jax.enable_x64(True):
        inputs, labels, key = jax.numpy.asarray(x), jax.numpy.asarray(rows_of(x)), jax.random.key(-7)

        def loss(parameters, key):
            logits = MLP().apply({"params": parameters}, inputs, rngs={"dropout": key})
            return -jax.numpy.mean(jax.nn.log_softmax(logits)[jax.numpy.arange(len(x)), labels])

        @jax.jit
        def step(parameters, i):
            gradients = jax.grad(loss)(parameters, jax.random.fold_in(key, i))
            return jax.tree.map(lambda w, g: w - RATE * g, parameters, gradients)

        start = MLP().init({"params": jax.random.key(0), "dropout": key}, inputs)["params"]
        parameters = jax.tree.map(lambda w: w.astype("float64"), start)
        net, linear = twin([(layer["kernel"], layer["bias"]) for layer in parameters.values()])
        for i in range(STEPS):
            parameters = step(parameters, np.uint32(i))
    paths = ["Dropout_0", "Dropout_1", "Dropout_2"]
    trained(net, x, lambda i: Flax(JAXKey(-7, x64=True).fold_in(i), paths, jit=True))
    assert_same_weights(linear, [(layer["kernel"], layer["bias"]) for layer in parameters.values()])


def test_an_nnx_network_trains_alike_from_the_seed_alone():
    jax, nnx = pytest.importorskip("jax"), pytest.importorskip("flax.nnx")
    x = np.random.default_rng(0).standard_normal((8, 6))
    with jax.enable_x64(True):
        inputs, labels = jax.numpy.asarray(x), jax.numpy.asarray(rows_of(x))
        rngs = nnx.Rngs(params=0, dropout=2**40 + 5)
        drops = [nnx.Dropout(rate, rngs=rngs) for rate in (0.1, 0.5, 0.3)]
        dense = [nnx.Linear(*io, param_dtype="float64", rngs=rngs) for io in ((6, 16), (16, 16), (16, 3))]
        model = nnx.Sequential(drops[0], dense[0], nnx.relu, drops[1], dense[1], nnx.tanh, drops[2], dense[2])

        def loss(model):
            logits = model(inputs)
            return -jax.numpy.mean(jax.nn.log_softmax(logits)[jax.numpy.arange(len(x)), labels])

        @nnx.jit
        def step(model):
            gradients = nnx.grad(loss)(model)
            nnx.update(model, jax.tree.map(lambda w, g: w - RATE * g, nnx.state(model, nnx.Param), gradients))

        net, linear = twin([(layer.kernel[...], layer.bias[...]) for layer in dense])
        for _ in range(STEPS):
            step(model)
        after = [(layer.kernel[...], layer.bias[...]) for layer in dense]
    stream = NNX(JAXKey(2**40 + 5, x64=True), [0, 1, 2], jit=True)
    trained(net, x, lambda _: stream)
    assert_same_weights(linear, after)


def test_a_wrong_path_is_seen(monkeypatch):
    """Golden masks differ where the calls of a module are counted from 0."""
    key_of = Flax.key_of

    def early(self, layer):
        self._calls[layer] -= not self._calls[layer]
        return key_of(self, layer)

    monkeypatch.setattr(Flax, "key_of", early)
    row = next(row for row in ROWS if row[:3] == ("flax", "linen.Dropout", "golden"))
    assert outcome(row).mismatches > 1_000


def test_without_the_libraries_live_rows_are_skipped_by_name(monkeypatch):
    monkeypatch.setattr("puredrop.conformance.streams.row.find_spec", lambda package: None)
    live = [row for row in ROWS if row.library in ("jax", "flax", "equinox") and row.source == "live"]
    outcomes = [outcome(row) for row in live]
    assert {one.status for one in outcomes} == {"skipped"}
    assert {one.reason for one in outcomes} <= {f"{name} is not installed" for name in ("jax", "flax", "equinox")}


@pytest.mark.parametrize("name", ["jax", "flax", "nnx", "equinox"])
def test_masks_are_printed_without_the_library(capsys, name):
    assert main(["masks", "--like", name, "--seed", "0", "--shape", "2x6", "--p", "0.5"]) == 0
    printed = np.array([line.split() for line in capsys.readouterr().out.splitlines()], int)
    assert np.array_equal(printed, named(name, 0).mask((2, 6), 0.5))


def test_a_key_is_spent_on_one_mask(capsys):
    stream = JAX(list(JAXKey(0).split()))
    assert not np.array_equal(stream.mask(99, 0.5), stream.mask(99, 0.5))
    with pytest.raises(LookupError, match=r"all 2 keys are spent; give a key for every dropout: key\.split\(n\)"):
        stream.mask(99, 0.5)
    assert main(["masks", "--like", "jax", "--shape", "3", "--count", "2"]) == 2
    assert "all 1 keys are spent" in capsys.readouterr().err


def test_keys_by_site_give_what_keys_in_order_give():
    x, keys = np.ones((5, 40), np.float32), JAXKey(1).split(3)
    net = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.5), nn.Dropout(0.7)).seed(0)
    with draw_from(JAX(list(keys))):
        in_order = net(Tensor(x)).numpy()
    with draw_from(JAX(dict(enumerate(keys)))):
        assert np.array_equal(net(Tensor(x)).numpy(), in_order)
        with pytest.raises(LookupError, match="the key of site 0 is spent"):
            net(Tensor(x))


def test_a_key_is_a_value():
    key = JAXKey([0, 7])
    assert key == JAXKey(7)
    assert len({key, JAXKey(7), JAXKey(7, x64=True), JAXKey(7, partitionable=False)}) == 3
    with pytest.raises(AttributeError, match="a key is a value"):
        key.words = (0, 8)


def test_gradients_at_dropped_places_are_zero_whatever_stands_there():
    x = Tensor(np.array([np.nan, np.inf, 1.0, 2.0] * 8, np.float32), requires_grad=True)
    with draw_from(Flax(0)):
        y = puredrop.dropout(x, 0.5)
    keep = Flax(0).mask(32, 0.5)
    assert np.array_equal(y.numpy()[~keep], np.zeros((~keep).sum(), np.float32))
    y.sum().backward()
    assert np.array_equal(x.grad, np.where(keep, np.float32(2), 0))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: JAXKey(0, impl="mersenne"),
            ValueError,
            "unknown key implementation 'mersenne'; known are threefry2x32",
        ),
        (lambda: JAXKey(1.5), TypeError, "seed must be a whole number"),
        (lambda: JAXKey(2**63), ValueError, r"seed must lie in \[-2\^63, 2\^63\)"),
        (lambda: JAXKey([1, 2, 3]), ValueError, r"a key of threefry2x32 has 2 words in \[0, 2\^32\)"),
        (lambda: JAXKey([1, 2], impl="rbg"), ValueError, "a key of rbg has 4 words"),
        (lambda: JAXKey([0, 2**32]), ValueError, r"write jax\.random\.key_data\(key\)"),
        (lambda: JAXKey(np.zeros((3, 2), np.uint32)), ValueError, r"of shape \(3, 2\)"),
        (lambda: JAXKey(0).fold_in(-1), ValueError, r"data must lie in \[0, 2\^32\)"),
        (lambda: JAXKey(0).bits(3, np.uint64), ValueError, "64-bit mode only; give the key x64=True"),
        (lambda: JAXKey(0).bits(3, np.int32), TypeError, "dtype must be an unsigned one"),
        (lambda: JAXKey(0).bernoulli(1.5, 3), ValueError, r"p must lie in \[0, 1\]"),
        (lambda: JAXKey(0).bernoulli(0.5, 3, "int8"), TypeError, "one of float64, float32, float16, bfloat16"),
        (lambda: JAXKey(0).uniform(3, "bfloat16"), TypeError, "NumPy has no bfloat16; bernoulli takes it"),
        (lambda: JAX(JAXKey(0), x64=True), TypeError, "a JAXKey knows its options"),
        (lambda: JAX("key"), TypeError, "seed must be a whole number"),
        (lambda: JAX([JAXKey(0, impl="rbg").split(3)]), NotImplementedError, "a key of rbg for each row"),
        (
            lambda: JAX([JAXKey(0).split(3)]).mask((4, 5), 0.5),
            ValueError,
            r"3 keys do not fit the rows of shape \(4, 5\)",
        ),
        (lambda: JAX(0).mask(3, 0.5, dtype="float64"), NotImplementedError, "keys made with x64=True"),
        (lambda: JAX(0).mask(3, 0.5, operation="alpha_dropout"), NotImplementedError, "cannot reproduce alpha_dropout"),
        (lambda: JAX(0).mask(3, 0.5, dtype="int32"), NotImplementedError, "masks for int32"),
        (lambda: Flax(0, 3), TypeError, "a path is a string such as 'Block_1/Dropout_0'"),
        (
            lambda: Flax(0, {4: "a"}).mask(3, 0.5),
            LookupError,
            r"no path was given for site None; given are sites \[4\]",
        ),
        (lambda: Flax(0, []).mask(3, 0.5), LookupError, "all 0 paths are used up; name one for every call"),
        (lambda: Flax(0, Broadcast("a", (2,))).mask((3, 4), 0.5), ValueError, "axis 2 does not exist"),
        (lambda: NNX(0, "Dropout_0"), TypeError, "fork must be a whole number"),
        (lambda: NNX(0, -1), ValueError, "fork must lie in"),
        (lambda: Equinox(0).arithmetic("dropout", 1.0), NotImplementedError, "Equinox's gradient is NaN"),
        (lambda: Flax(0).arithmetic("scaled_dot_product_attention", 1.0), NotImplementedError, "divides 0 by 0"),
        (
            lambda: named("flax", 0, backend="numpy"),
            ValueError,
            "flax has no option 'backend'; it has paths, separator, jit",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
