"""The contract of a backend, on every backend."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest

from puredrop import Index, Key, Tensor, backends, dropout
from puredrop.random import threshold

REFERENCE = backends.get("numpy")
INDICES = {
    "whole": Index.whole((9, 83)),
    "shared first": Index.whole((9, 83), shared=0),
    "shared last": Index.whole((9, 83), shared=1),
    "all shared": Index.whole((9, 83), shared=(0, 1)),
    "columns": Index.whole((9, 200))[:, 100:183],
    "strided": Index.whole((18, 249))[1::2, ::3],
    "rows": Index.whole((50, 83))[np.array([3, 49, 0, 3, 7, 8, 9, 1, 2])],
    "rows of columns": Index.whole((50, 90))[np.array([3, 49, 0, 3, 7, 8, 9, 1, 2])][:, 5:88],
    "far": Index.whole((1 << 40, 83))[(1 << 40) - 9 :],
}


@pytest.mark.parametrize("key", [Key(1), (Key(1), Key(2, sample=5), Key(1, step=9))], ids=["one key", "three keys"])
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_every_drawing_function_follows_the_index_rule(backend, index, key):
    full = index.shape if isinstance(key, Key) else (len(key), *index.shape)
    noise = index.noise_shape if isinstance(key, Key) else (len(key), *index.noise_shape)
    assert backend.words(key, index, 2).shape == noise
    assert np.array_equal(backend.words(key, index, 2), REFERENCE.words(key, index, 2))
    assert np.abs(backend.normal(key, index, np.float64) - REFERENCE.normal(key, index, np.float64)).max() <= 1e-14
    assert np.abs(backend.normal(key, index, np.float32) - REFERENCE.normal(key, index, np.float32)).max() <= 1e-6
    for p in (0.0, 0.3, 1.0, np.linspace(0, 1, index.shape[1] if index.noise_shape[1] > 1 else 1)):
        mask = backend.keep(key, index, threshold(p))
        assert mask.shape == noise
        assert np.array_equal(mask, REFERENCE.keep(key, index, threshold(p)))
        for dtype in (np.float16, np.float32, np.float64):
            x = np.random.default_rng(1).standard_normal(full).astype(dtype)
            for arguments in ((1.5,), (1.5, 0.25, -1.75), (1.0, None, x[::-1])):
                y = backend.drop(x, key, index, threshold(p), *arguments)
                expected = REFERENCE.drop(x, key, index, threshold(p), *arguments)
                assert (y.dtype, y.shape) == (x.dtype, x.shape)
                assert y.tobytes() == expected.tobytes()


def test_the_map_is_the_formula(backend):
    """The reference against the formula spelled out, element by element, with its rounding."""
    index, x = Index.whole((6, 11)), np.random.default_rng(0).standard_normal((6, 11)).astype(np.float32)
    keep = backend.keep(Key(3), index, threshold(0.4))
    y = backend.drop(x, Key(3), index, threshold(0.4), 1 / 0.6, 0.5, -2.0)
    for at in np.ndindex(x.shape):
        kept = np.float32(np.float32(x[at] * np.float32(1 / 0.6)) + np.float32(0.5))
        assert y[at] == (kept if keep[at] else np.float32(-2.0))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 127, 128, 255, 256, 257, 511, 512, 1000])
@pytest.mark.parametrize("start", [0, 1, 7, 8, 250, 256])
def test_runs_may_begin_and_end_in_the_middle_of_a_block(backend, start, n):
    whole = backend.keep(Key(5), Index.whole(2048), threshold(0.5))
    part = Index.whole(2048)[start : start + n]
    assert np.array_equal(backend.keep(Key(5), part, threshold(0.5)), whole[start : start + n])
    y = backend.drop(np.ones(n, np.float32), Key(5), part, threshold(0.5), 2.0)
    assert np.array_equal(y != 0, whole[start : start + n])


def test_unknown_and_uninstalled_backends(monkeypatch):
    with pytest.raises(ValueError, match="unknown backend 'abacus'; known are numpy, numba, cupy"):
        backends.get("abacus")
    monkeypatch.setattr(backends, "_installed", lambda name: name == "numpy")
    with pytest.raises(ImportError, match="backend 'numba' needs the package 'numba': pip install numba"):
        backends.get("numba")
    assert backends.available() == ("numpy",)
    assert backends.default_name.__wrapped__() == "numpy"  # the one in use was looked up before


def test_kernels_work_where_no_cache_can_be_written(tmp_path):
    """A read-only installation without a home folder: compiled anew, and said once."""
    if "numba" not in backends.available():
        pytest.skip("numba is not installed")
    code = """
import numba.core.caching as caching
caching._CacheLocator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError("read-only"))
import numpy as np, puredrop
print(puredrop.dropout(np.ones(1000), 0.5, key=puredrop.Key(0), backend="numba").sum())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert float(result.stdout) == dropout(np.ones(1000), 0.5, key=Key(0)).sum()
    assert result.stderr.count("compiled kernels cannot be kept; set NUMBA_CACHE_DIR") == 1


def test_an_unknown_default_backend_is_named(choose_backend):
    choose_backend("abacus")
    with pytest.raises(ValueError, match=r"^PUREDROP_BACKEND names the unknown backend 'abacus'"):
        dropout(np.ones(3), 0.5, key=Key(0))


def test_the_environment_chooses_the_default(choose_backend):
    choose_backend("numpy")
    assert backends.get() is REFERENCE
    assert Tensor([1.0]).backend is REFERENCE


def test_a_backend_pickles_by_name_and_is_frozen(backend):
    assert pickle.loads(pickle.dumps(backend)) is backend
    with pytest.raises(dataclasses.FrozenInstanceError):
        backend.name = "other"


def test_backward_uses_the_backend_of_the_forward(backend):
    """A gradient rule works on raw arrays, which have forgotten their backend: a spy counts the calls."""
    calls = []

    def spy(*args):
        calls.append(args)
        return backend.drop(*args)

    spying = dataclasses.replace(backend, drop=spy)
    x = Tensor(np.ones(5), spying, requires_grad=True)
    dropout(x, 0.5, key=Key(1)).sum().backward()
    assert len(calls) == 2


def test_mixed_backends_raise_with_both_names():
    a, b = Tensor([1.0], "numpy"), Tensor([1.0], "numba") if "numba" in backends.available() else None
    if b is None:
        pytest.skip("numba is not installed")
    with pytest.raises(TypeError, match=r"add: tensors of two backends meet, numba and numpy; move one with \.to"):
        a + b
    with pytest.raises(TypeError, match="two backends"):
        dropout(a, 0.5, key=Key(0), backend="numba")
