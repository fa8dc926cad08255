"""The CuPy backend in the host emulation: the contract of a backend, its own kernels, its errors, whole models."""

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from test_backends import INDICES, REFERENCE

import puredrop
from puredrop import Index, Key, Tensor, backends, conformance, dropout, keep_mask, nn, optim
from puredrop.conformance import layers
from puredrop.conformance.layers.checks import CHECKS as LAYER_CHECKS
from puredrop.random import MASK, NORMAL, UNIFORM, bernoulli, threshold

KEYS = {"one key": Key(1), "three keys": (Key(1), Key(2, sample=5), Key(1, step=9))}
HALF = threshold(0.5)


@pytest.fixture(scope="module")
def b(cupy_backend):
    return cupy_backend


@pytest.fixture(scope="module")
def module(b):
    """The backend's module: fused kernels and stored keys."""
    from puredrop.backends import cupy

    return cupy


def numbers(*shape, dtype=np.float32, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ------------------------------------------------------------------------------------------------ the contract
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_every_drawing_function_follows_the_index_rule(b, index, key):
    full = index.shape if isinstance(key, Key) else (len(key), *index.shape)
    assert np.array_equal(b.words(key, index, 2).get(), REFERENCE.words(key, index, 2))
    for dtype, bound in ((np.float64, 1e-14), (np.float32, 1e-6)):
        assert np.abs(b.normal(key, index, dtype).get() - REFERENCE.normal(key, index, dtype)).max() <= bound
        assert np.array_equal(b.uniform(key, index, dtype).get(), REFERENCE.uniform(key, index, dtype))
    rates = np.linspace(0, 1, index.shape[1] if index.noise_shape[1] > 1 else 1)
    for p in (0.0, 0.3, 1.0, rates):
        assert np.array_equal(b.keep(key, index, threshold(p)).get(), REFERENCE.keep(key, index, threshold(p)))
        for dtype in (np.float16, np.float32, np.float64):
            x = numbers(*full, dtype=dtype)
            for arguments in ((1.5, 0.25, -1.75), (1.0, None, x[::-1]), (np.linspace(1, 2, x.shape[-1]),)):
                y = b.drop(b.place(x), key, index, threshold(p), *map(b.place, arguments))
                expected = REFERENCE.drop(x, key, index, threshold(p), *arguments)
                assert (y.dtype, y.shape, y.get().tobytes()) == (x.dtype, x.shape, expected.tobytes())


@pytest.mark.parametrize("n", [1, 7, 8, 9, 255, 2049])
@pytest.mark.parametrize("start", [0, 1, 7, 8, 250])
def test_runs_may_begin_and_end_in_the_middle_of_a_block(b, start, n):
    part, key = Index.whole(4096)[start : start + n], Key(5)
    assert np.array_equal(b.keep(key, part, HALF).get(), REFERENCE.keep(key, part, HALF))
    y = b.drop(b.place(np.ones(n, np.float32)), key, part, HALF, 2.0)
    assert np.array_equal(y.get() != 0, REFERENCE.keep(key, part, HALF))


def test_ties_are_settled_as_the_reference_settles_them(b):
    """About one in 65,536 elements needs the second draw: at a rate whose last bits decide, over a million elements."""
    key, index, p = Key(11), Index.whole(1 << 20), threshold(0.5 + 2.0**-17)
    halfwords = REFERENCE.words(key, Index.whole(1 << 19), MASK).view("<u2")
    assert (halfwords == p.hi).sum() > 5
    assert np.array_equal(b.keep(key, index, p).get(), REFERENCE.keep(key, index, p))


def test_any_layout_shape_and_number_of_axes(b):
    x = numbers(6, 10)
    expected = REFERENCE.drop(x, Key(2), Index.whole(x.shape), HALF, 2.0)
    wide = b.place(np.zeros((12, 20), np.float32))
    wide[::2, ::2] = b.place(x)
    for same in (b.place(np.asfortranarray(x)), wide[::2, ::2], b.place(x[::-1].copy())[::-1]):
        assert np.array_equal(b.drop(same, Key(2), Index.whole(x.shape), HALF, 2.0).get(), expected)
    alternating = Index.whole((2,) * 18, shared=tuple(range(1, 18, 2)))  # no two axes can be merged
    for index in (Index.whole(()), Index.whole((0,)), Index.whole((3, 0, 2)), alternating):
        x = np.ones(index.shape, np.float32)
        assert np.array_equal(
            b.drop(b.place(x), Key(3), index, HALF, 2.0).get(), REFERENCE.drop(x, Key(3), index, HALF, 2.0)
        )


def test_an_input_is_left_alone_and_the_output_is_new(b):
    x = b.place(numbers(100))
    before = x.get()
    for p in (0.0, 0.5, 1.0):
        y = b.drop(x, Key(1), Index.whole(100), threshold(p), 2.0)
        assert np.array_equal(x.get(), before)
        assert y.data.ptr != x.data.ptr


def test_pickled_by_name_frozen_and_said_to_be_an_emulation(b):
    assert pickle.loads(pickle.dumps(b)) is b is backends.get("cupy")
    assert "host emulation" in repr(Tensor([1.0], b))
    with pytest.raises(dataclasses.FrozenInstanceError):
        b.name = "other"
    subject = conformance.own(conformance.CASES["dropout"], b)
    assert conformance.run_check(subject, "formula", conformance.CHECKS["formula"]).backend == "cupy, host emulation"


# ------------------------------------------------------------------------------------------------ fused kernels
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_saved_bits_are_the_mask_and_give_the_same_map(b, module, key):
    index, keys = Index.whole((7, 13)), 1 if isinstance(key, Key) else len(key)
    x = numbers(*(() if keys == 1 else (keys,)), 7, 13)
    y, bits = module.drop_and_bits(b.place(x), key, index, HALF, 2.0)
    keep = REFERENCE.keep(key, index, HALF).reshape(keys, -1)
    assert np.array_equal(bits.get(), np.packbits(keep, axis=-1, bitorder="little"))
    assert bits.nbytes == keys * 12
    assert y.get().tobytes() == REFERENCE.drop(x, key, index, HALF, 2.0).tobytes()
    assert module.drop_saved(b.place(x), bits, keys, 2.0).get().tobytes() == y.get().tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bias_dropout_residual_is_rounded_once(b, module, dtype):
    x, bias, residual = numbers(5, 24, dtype=dtype), numbers(24, dtype=dtype), numbers(5, 24, dtype=dtype, seed=2)
    index, wide = Index.whole(x.shape), np.promote_types(dtype, np.float32)
    keep = REFERENCE.keep(Key(4), index, HALF)
    scaled = (x.astype(wide) + bias.astype(wide)) * wide.type(2.0)
    expected = (np.where(keep, scaled, 0).astype(wide) + residual.astype(wide)).astype(dtype)
    y = module.bias_drop_residual(*map(b.place, (x, bias, residual)), Key(4), index, HALF, 2.0)
    assert y.get().tobytes() == expected.tobytes()
    alone = module.bias_drop_residual(b.place(x), None, None, Key(4), index, HALF, 2.0)
    assert np.array_equal(alone.get(), REFERENCE.drop(x, Key(4), index, HALF, 2.0))


@pytest.mark.parametrize("width", [3, 8, 20])
def test_rows_are_gathered_and_added_up_with_their_mask(b, module, width):
    table, ids = numbers(11, width), np.array([[4, 0, 3], [0, 10, 4]])
    keep = REFERENCE.keep(Key(6), Index.whole(11), HALF)  # of words
    rows = module.gather_rows(b.place(table), b.place(ids), Key(6), HALF, 2.0)
    assert np.array_equal(rows.get(), np.where(keep[:, None], table * 2, 0)[ids])
    g = numbers(6, width, dtype=np.float64)
    expected = np.zeros((11, width))
    np.add.at(expected, ids.reshape(-1), g)
    sums = module.add_rows(b.place(g), b.place(ids.reshape(-1)), 11)
    assert np.allclose(sums.get(), expected, rtol=1e-15, atol=0)
    kept = module.add_rows(b.place(g), b.place(ids.reshape(-1)), 11, Key(6), HALF, 2.0)
    assert np.allclose(kept.get(), np.where(keep[:, None], expected * 2, 0), rtol=1e-15, atol=0)
    assert not module.add_rows(b.place(g[:0]), b.place(ids.reshape(-1)[:0]), 11).get().any()


def test_rows_of_several_keys(b, module):
    table, ids, keys = numbers(5, 8), np.array([[0, 1, 2], [0, 1, 2]]), (Key(1), Key(2))
    keep = REFERENCE.keep(keys, Index.whole(5), HALF)
    rows = module.gather_rows(b.place(table), b.place(ids), keys, HALF, 2.0)
    expected = [np.where(keep[k][:, None], table * 2, 0)[ids[k]] for k in range(2)]
    assert np.array_equal(rows.get(), np.stack(expected))


@pytest.mark.parametrize("block", [(3, 3), (2, 5)])
def test_blocks_are_those_of_drop_block(b, module, block):
    x = np.ones((2, 3, 17, 40), np.float32)
    _, keep = puredrop.drop_block(
        x, 0.2, block_size=block, gamma="exact", key=Key(3), return_mask=True, backend="numpy"
    )
    seeds = Index.whole((2, 3, 17 - block[0] + 1, 40 - block[1] + 1))
    from puredrop.variants.blocks import _gamma

    rate = threshold(_gamma("exact", 0.2, block, (17, 40)))
    mask = module.block_mask(Key(3), seeds, rate, (17, 40), block)
    assert np.array_equal(mask.get().reshape(x.shape), keep)
    assert not keep.all()


@pytest.mark.parametrize("width", [8, 13])
def test_softmax_and_its_dropout(b, module, width):
    x, index, key = numbers(6, width, dtype=np.float64), Index.whole((6, width)), Key(8)
    x[2] = -np.inf
    p, y = module.softmax_drop(b.place(x), key, index, HALF, 2.0)
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
    expected = np.where(np.isnan(e), 0, e / np.where(e.sum(axis=1, keepdims=True) > 0, e.sum(axis=1, keepdims=True), 1))
    expected[2] = 0
    keep = REFERENCE.keep(key, index, HALF)
    assert np.allclose(p.get(), expected, rtol=1e-13)
    assert np.array_equal(y.get(), np.where(keep, p.get() * 2, 0))
    g = numbers(6, width, dtype=np.float64, seed=3)
    d = np.where(keep, g * 2, 0)
    gradient = expected * (d - (expected * d).sum(axis=1, keepdims=True))
    assert np.allclose(module.softmax_drop_grad(b.place(g), p, key, index, HALF, 2.0).get(), gradient, atol=1e-14)


def test_bfloat16_is_passed_as_its_bits(b):
    x = numbers(1000)
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    index = Index.whole(1000)
    y = b.drop(b.place(bits), Key(2), index, HALF, 1.5).get()
    wide = (bits.astype(np.uint32) << 16).view(np.float32) * np.float32(1.5)
    raw = wide.view(np.uint32)
    rounded = ((raw + 0x7FFF + (raw >> 16 & 1)) >> 16).astype(np.uint16)
    assert np.array_equal(y, np.where(REFERENCE.keep(Key(2), index, HALF), rounded, 0))


def test_a_stored_key_is_read_when_a_kernel_runs(b, module):
    """What a CUDA graph replays: the same launch, another mask."""
    index, stored = Index.whole(999), module.store(Key(7))
    for key in (Key(7), Key(7, step=1), Key(1 << 63, site=3, sample=1 << 20)):
        module.overwrite(stored, key)
        for draw in (0, 31):
            one, same = (k.draw(draw) if draw else k for k in (stored, key))
            assert np.array_equal(b.keep(one, index, HALF).get(), REFERENCE.keep(same, index, HALF))
            assert np.array_equal(b.uniform(one, index, np.float64).get(), bernoulli.uniform(same, index, UNIFORM))
            assert np.abs(b.normal(one, index, np.float64).get() - bernoulli.normal(same, index, NORMAL)).max() < 1e-14
    assert np.array_equal(dropout(b.place(np.ones(999)), 0.5, key=stored).get() != 0, REFERENCE.keep(key, index, HALF))


# ------------------------------------------------------------------------------------------------ errors
def test_arrays_of_other_devices_are_named(b, module):
    import cupy

    x = b.place(np.ones(8, np.float32))
    with cupy.cuda.Device(1):
        far = cupy.empty(8, np.float32)
        with pytest.raises(ValueError, match="lies on device 0, the current device is 1; move it there, or call"):
            b.drop(x, Key(0), Index.whole(8), HALF)
    with pytest.raises(ValueError, match=r"argument 2 lies on device 1, the current device is 0"):
        b.drop(x, Key(0), Index.whole(8), HALF, 1.0, None, far)


def test_no_room_on_the_device(b, monkeypatch):
    from puredrop.backends.emulation.memory import heap

    x = b.place(np.ones(1000, np.float32))
    monkeypatch.setattr(heap, "limit", 1000)
    with pytest.raises(MemoryError, match=r"no room on the device for an array of shape \(1000,\), float32") as error:
        b.drop(x, Key(0), Index.whole(1000), HALF)
    assert type(error.value.__cause__).__name__ == "OutOfMemoryError"


@pytest.mark.parametrize(
    ("driver", "error", "sentence"),
    [
        (0, "cudaErrorInsufficientDriver", "no NVIDIA driver was found"),
        (12040, "cudaErrorInsufficientDriver", r"built for CUDA 13\.\d+, the driver knows CUDA 12\.4; .*cupy-cuda12x"),
        (13000, "cudaErrorNoDevice", "no CUDA device is visible; see nvidia-smi, and CUDA_VISIBLE_DEVICES"),
        (13000, "cudaErrorUnknown", "CUDA does not start: cudaErrorUnknown"),
    ],
)
def test_why_there_is_no_device(module, monkeypatch, driver, error, sentence):
    import cupy

    runtime = cupy.cuda.runtime

    class Refused(runtime.CUDARuntimeError):
        def __init__(self):
            pass

        def __str__(self):
            return error

    def refuse():
        raise Refused

    monkeypatch.setattr(runtime, "getDeviceCount", refuse)
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: driver)
    with pytest.raises(backends.BackendError, match=sentence) as raised:
        module.require_device()
    assert isinstance(raised.value.__cause__, Refused)


def test_too_old_a_device(module, monkeypatch):
    from puredrop.backends.emulation import device

    module.require_device()
    monkeypatch.setattr(device.Device, "compute_capability", "61")
    with pytest.raises(backends.BackendError, match=r"capability 7\.5 and above, found 6\.1, 6\.1; older ones"):
        module.require_device()


def test_without_a_driver_it_is_said_before_cupy_is_imported(monkeypatch):
    monkeypatch.setattr(backends, "_has_driver", lambda: False)
    monkeypatch.setattr(backends, "_stand_ins", {})
    monkeypatch.setattr(backends, "_installed", lambda name: True)
    assert "no NVIDIA driver was found" in backends.why_not("cupy")
    assert "cupy" not in backends.available()
    monkeypatch.setattr(backends, "_installed", lambda name: name != "cupy")
    assert backends.why_not("cupy") == (
        "the package 'cupy' is not installed: pip install cupy-cuda13x (cupy-cuda12x for a driver of CUDA 12)"
    )


def test_what_is_no_array_of_cupy_is_refused_by_the_backend(b):
    with pytest.raises(TypeError, match=r"expected an array of CuPy, got <class 'numpy.ndarray'>; write cupy.asarray"):
        b.drop(np.ones(3, np.float32), Key(0), Index.whole(3), HALF)
    with pytest.raises(TypeError, match="int64"):
        b.drop(b.place(np.ones(3, np.int64)), Key(0), Index.whole(3), HALF)


# ------------------------------------------------------------------------------------------------ whole things
def test_arrays_of_numpy_go_to_the_device_and_tensors_come_back(b):
    x, key = numbers(4, 50), Key(7)
    on_device = dropout(x, 0.3, key=key, backend="cupy")
    assert np.array_equal(on_device.get(), dropout(x, 0.3, key=key, backend="numpy"))
    assert np.array_equal(dropout(b.place(x), 0.3, key=key).get(), on_device.get())  # the array says where it belongs
    assert np.array_equal(keep_mask(key, x.shape, 0.3, backend="cupy").get(), on_device.get() != 0)
    t = Tensor(x, "cupy", requires_grad=True)
    dropout(t, 0.3, key=key).sum().backward()
    assert np.array_equal(backends.on_host(t.grad) != 0, on_device.get() != 0)
    assert t.to("numpy").backend.name == "numpy"
    assert np.array_equal(np.asarray(t.to("numpy").to("cupy")), x)


# Those whose rows give functions or edges of NumPy themselves.
OF_NUMPY = ("layer_drop", "hard_concrete_penalty", "drop_edge", "drop_node", "drop_path_edges")


@pytest.mark.parametrize("name", [name for name in conformance.CASES if name not in OF_NUMPY])
def test_every_variant_takes_arrays_of_numpy_where_cupy_is_asked_for(b, name):
    case = conformance.CASES[name]
    y, noise = case.call(*case.example(6, 8), case.rates[-2 % len(case.rates)], key=Key(1), return_mask=True, backend=b)
    assert backends.is_on_device(y)
    assert backends.is_on_device(noise)


# Rows that between them use every kind of noise, and of bookkeeping, that variants have.
ROWS = ("dropout", "alpha_dropout", "drop_block", "embedding_dropout", "gaussian_dropout", "zoneout")
SLOW = (*conformance.STATISTICAL, "same bits", "enumeration", "second gradient", "pytorch autograd")


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_table_of_variants(b, name):
    """A part of `puredrop verify --host-emulation`, which takes minutes."""
    subject = conformance.own(conformance.CASES[name], b)
    rows = [conformance.run_check(subject, k, check) for k, check in conformance.CHECKS.items() if k not in SLOW]
    assert [row for row in rows if row.status == "failed"] == []
    assert sum(row.status == "passed" for row in rows) >= 10


@pytest.mark.parametrize("layer", ["LSTM", "MultiheadAttention", "BatchNorm2d"])
def test_layers_beside_pytorch(b, torch, layer):
    case = next(case for case in layers.CASES if case.layer == layer)
    assert LAYER_CHECKS["forward"](case, "cupy") < 1e-12
    assert LAYER_CHECKS["parameter gradient"](case, "cupy") < 1e-12


def trained(backend, folder):
    """Losses, and predictions, of a small model that is trained, saved, loaded and copied."""
    x = numbers(96, 8, seed=0)
    labels = (x[:, 0] > 0).astype(int)
    net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))
    net.to(backend).seed(0)
    opt, batches = optim.AdamW(net.parameters(), lr=1e-2), nn.Batches(x, labels, batch_size=32)
    losses = []
    for _ in range(2):
        for rows, answers in batches:
            opt.zero_grad()
            loss = nn.cross_entropy(net(rows), answers)
            loss.backward()
            optim.clip_grad_norm(net.parameters(), 1.0)
            opt.step()
            losses.append(float(loss))
    nn.save(folder / "model.safetensors", net, opt, batches)
    nn.load(folder / "model.safetensors", net, opt, batches)
    return losses, puredrop.uncertainty.predict(copy.deepcopy(net), x[:20], samples=5).mean


def test_a_model_trains_and_predicts_as_on_numpy(b, tmp_path):
    """The same arithmetic on the same memory: equal to the last bit here, which a device need not be."""
    ours, theirs = trained("cupy", tmp_path), trained("numpy", tmp_path)
    assert ours[0] == theirs[0]
    assert np.array_equal(ours[1], theirs[1])


# What they do with arrays of NumPy beside, an array of CuPy does not take.
EXAMPLES = {
    "a transformer with DropKey": ("README.md", "DropKey"),
    "diagnosis": ("README.md", "diagnose"),
    "UniDrop": ("docs/recipes.md", "def unidrop"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_as_written_where_cupy_is_the_default(b, name, monkeypatch):
    page, line = EXAMPLES[name]
    text = (Path(__file__).parent.parent / page).read_text()
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if line in block]
    monkeypatch.setenv("PUREDROP_BACKEND", "cupy")
    exec(block, {"__name__": "example"})


def test_a_rate_may_lie_on_the_device(b):
    x, p, key = numbers(6, 4), np.linspace(0, 1, 4), Key(3)
    on_device = dropout(b.place(x), b.place(p), key=key)
    assert np.array_equal(on_device.get(), dropout(x, p, key=key, backend="numpy"))


@pytest.mark.parametrize("what", ["DLPack", "streams", "CUDA graphs", "the memory pool", "two devices"])
def test_what_the_emulation_does_not_cover(what):
    pytest.skip("needs a device: make gpu")
