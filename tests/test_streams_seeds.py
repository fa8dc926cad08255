"""Streams of libraries whose layers have seeds of their own: who draws from what, when it moves on, what is refused."""

import random

import numpy as np
import pytest

import puredrop
from puredrop import nn
from puredrop.conformance.streams import golden
from puredrop.conformance.streams.keras import stream as keras_stream
from puredrop.streams import MLX, ONNX, Keras, TensorFlow, Tinygrad, draw_from

X = np.ones((6, 8), np.float32)


def two_layers():
    return nn.Sequential(nn.Dropout(0.4), nn.Dropout(0.4)).seed(0)


def kept_by(stream, calls=1):
    """Where both layers of a network keep, call after call."""
    network = two_layers()
    with draw_from(stream):
        return [np.asarray(network(X)) != 0 for _ in range(calls)]


@pytest.mark.parametrize(
    ("file", "stream"),
    [
        ("tensorflow", lambda made: TensorFlow(**made)),
        ("keras_numpy", keras_stream),
        ("keras_jax", keras_stream),
        ("keras_torch", keras_stream),
        ("keras_tensorflow", keras_stream),
        ("mlx", lambda made: MLX(**made)),
        ("tinygrad", lambda made: Tinygrad(**made)),
    ],
)
def test_masks_of_another_seed_are_seen(file, stream):
    def other(made):
        name = "default_seed" if "default_seed" in made else "seed"
        seed = made[name]
        return stream({**made, name: [seed[0] ^ 1, seed[1]] if isinstance(seed, list) else seed ^ 1})

    elements, mismatches = golden.compared(file, other)
    assert mismatches > elements // 3


def test_onnx_draws_the_same_mask_in_every_run():
    stream = ONNX({0: 5, 1: 6})
    first, second = kept_by(stream, 2)
    assert np.array_equal(first, second)
    assert np.array_equal(first, ONNX(5).mask(X.shape, 0.4) & ONNX(6).mask(X.shape, 0.4))


def test_onnx_multiplies():
    x = np.array([-1.0, np.nan, 2.0] * 9, np.float32)
    with draw_from(ONNX(0)):
        y, keep = puredrop.dropout(x, 0.5, return_mask=True)
        nothing = puredrop.dropout(x, 1.0)
    assert np.isnan(y[1::3]).all()
    assert np.signbit(y[::3]).all()
    assert not keep[::3].all()
    assert np.isnan(nothing).all()


def test_tensorflow_stateless_layers_have_pairs():
    kept = kept_by(TensorFlow({0: (1, 2), 1: (3, 4)}), 2)
    alone = [TensorFlow(pair).mask(X.shape, 0.4) for pair in ((1, 2), (3, 4))]
    assert np.array_equal(kept, [alone[0] & alone[1]] * 2)
    with pytest.raises(LookupError, match=r"no seed was given for site 1; given are sites \[0\]"):
        kept_by(TensorFlow({0: (1, 2)}))


def test_tensorflow_operation_seeds_have_counters():
    kept = kept_by(TensorFlow(9, {0: 5, 1: 6}), 2)
    first, second = TensorFlow(9, 5), TensorFlow(9, 6)
    assert np.array_equal(kept, [first.mask(X.shape, 0.4) & second.mask(X.shape, 0.4) for _ in range(2)])


def test_tensorflow_without_operation_seeds_takes_pythons():
    stream, python = TensorFlow(9), random.Random(9)
    for p in (0.4, 0.0, 0.4):  # a rate of 0 takes one too
        given = TensorFlow(9, python.randint(0, 2**31 - 1)).mask(X.shape, p)
        assert np.array_equal(stream.mask(X.shape, p), given)


def test_tensorflow_counts_each_dtype_for_itself():
    stream = TensorFlow(1, 2)
    first = stream.mask(99, 0.5)
    stream.mask(99, 0.5, dtype="float64")
    second = stream.mask(99, 0.5)
    alone = TensorFlow(1, 2)
    assert np.array_equal([first, second], [alone.mask(99, 0.5) for _ in range(2)])


def test_keras_layers_have_counters_of_their_own():
    seeds = {0: 5, 1: 6}
    first, second = Keras(5, backend="numpy"), Keras(6, backend="numpy")
    expected = [first.mask(X.shape, 0.4) & second.mask(X.shape, 0.4) for _ in range(3)]
    assert np.array_equal(kept_by(Keras(seeds, backend="numpy"), 3), expected)
    same = Keras(5, backend="numpy")
    twice = Keras({0: 5, 1: 5}, backend="numpy")
    assert np.array_equal(kept_by(twice, 2), [same.mask(X.shape, 0.4) for _ in range(2)])


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch", "tensorflow"])
def test_keras_drops_channels_and_along_a_noise_shape(backend):
    maps = np.ones((3, 4, 5, 7), np.float32)
    with draw_from(Keras(1, backend=backend)):
        y = puredrop.spatial_dropout(maps, 0.4, spatial_dims=2, channel_axis=3)
        z = puredrop.dropout(maps[0], 0.4, shared=1)
    alone = Keras(1, backend=backend)
    assert np.array_equal(y != 0, np.broadcast_to(alone.mask((3, 1, 1, 7), 0.4), y.shape))
    assert np.array_equal(z != 0, np.broadcast_to(alone.mask((4, 1, 7), 0.4), z.shape))


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch", "tensorflow"])
def test_a_keras_layer_at_rate_1_does_not_count_and_one_without_elements_does(backend):
    stream, alone = Keras(1, backend=backend), Keras(1, backend=backend)
    stream.mask(9, 1.0)
    assert np.array_equal(stream.mask(99, 0.5), alone.mask(99, 0.5))
    stream.mask(0, 0.5)
    alone.mask(5, 0.5)
    assert np.array_equal(stream.mask(99, 0.5), alone.mask(99, 0.5))


def test_mlx_and_tinygrad_go_on():
    for make in (MLX, Tinygrad):
        stream = make(3)
        first, second = stream.mask(64, 0.5), stream.mask(64, 0.5)
        assert not np.array_equal(first, second)
        assert np.array_equal(make(3).mask(64, 0.5), first)
    assert not np.array_equal(Tinygrad(3, device=1).mask(64, 0.5), Tinygrad(3).mask(64, 0.5))


def masks(stream, p=0.5, **options):
    return stream.mask((3, 4), p, **options)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: masks(TensorFlow((1, 2)), 1.0), NotImplementedError, "p = 1, at which TensorFlow raises"),
        (lambda: masks(MLX(0), 1.0), NotImplementedError, "p = 1, which MLX refuses"),
        (lambda: masks(Keras(0, backend="jax"), dtype="float64"), NotImplementedError, "float64 on jax"),
        (lambda: masks(Keras(0, backend="numpy"), operation="alpha_dropout"), NotImplementedError, "alpha_dropout"),
        (lambda: masks(Tinygrad(0), dtype="bfloat16"), NotImplementedError, "masks for bfloat16"),
        (lambda: masks(Tinygrad(0), operation="dropout2d"), NotImplementedError, "cannot reproduce dropout2d"),
        (lambda: TensorFlow((1, 2), 3), ValueError, "op_seed goes with one seed"),
        (lambda: TensorFlow((1, 2**63)), ValueError, r"must lie in \[-2\^63, 2\^63\)"),
        (lambda: TensorFlow(1, 2.5), TypeError, "op_seed must be a whole number"),
        (lambda: TensorFlow(True), TypeError, "must be a whole number, got True"),
        (lambda: Keras(0, backend="mxnet"), ValueError, "numpy, jax, torch, tensorflow"),
        (lambda: Keras(-1, backend="jax"), ValueError, r"\[0, 2\^32\)"),
        (lambda: Keras(2**31, backend="torch"), ValueError, r"\[-2\^31, 2\^31\)"),
        (lambda: ONNX(2**32), ValueError, r"\[0, 2\^32\)"),
        (lambda: MLX(-1), ValueError, r"\[0, 2\^64\)"),
        (lambda: Tinygrad(0, device=-1), ValueError, "device"),
    ],
)
def test_what_is_not_known_is_refused(ask, error, words):
    with pytest.raises(error, match=words):
        ask()


@pytest.mark.parametrize("make", [lambda: Keras(0, backend="numpy"), lambda: TensorFlow((1, 2)), lambda: MLX(0)])
def test_real_noise_is_refused(make):
    with draw_from(make()), pytest.raises(NotImplementedError, match="the real noise of gaussian_dropout"):
        puredrop.gaussian_dropout(X, 0.5)
