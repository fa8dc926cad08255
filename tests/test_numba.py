"""What only the kernels in Numba have: layouts of masks, arrays to write to, caches that fail, threads."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import puredrop
from puredrop import Index, Key, backends, ops
from puredrop.backends import threads
from puredrop.backends.select import select
from puredrop.gradcheck import relative_error
from puredrop.random import threshold
from puredrop.streams import TorchCPU

if "numba" not in backends.available():
    pytest.skip("numba is not installed", allow_module_level=True)

from puredrop.backends.numba import draws
from puredrop.backends.numba.step import drop_runs

NUMBA, REFERENCE = backends.get("numba"), backends.get("numpy")
MASKS = {
    "like x": ((3, 4, 5), (3, 4, 5)),
    "channels": ((6, 4, 1, 1), (6, 4, 3, 5)),
    "first": ((1, 4, 5), (7, 4, 5)),
    "middle": ((3, 1, 5), (3, 4, 5)),
    "two apart": ((2, 1, 3, 1), (2, 4, 3, 5)),
    "too many for a layout": ((1, 2, 1, 3), (4, 2, 3, 3)),
    "all": ((1, 1), (5, 7)),
    "fewer axes": ((5,), (3, 5)),
    "one": ((1,), (1,)),
    "empty": ((0, 1), (0, 5)),
    "a vector's remainder": ((1, 37), (11, 37)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("mask", "shape"), MASKS.values(), ids=MASKS)
def test_a_mask_at_hand_is_applied_as_the_reference_does(mask, shape, dtype, rng):
    x, keep = rng.standard_normal(shape).astype(dtype), np.asarray(rng.random(mask) < 0.6)
    x[x > 1.5], x[x < -1.5] = np.nan, -0.0
    other = rng.standard_normal(shape[1:]).astype(dtype)
    for strided in (x, x.copy(order="F")):
        for scale, shift, fill in (
            (1.25, None, 0.0),
            (1.25, 0.5, -2.0),
            (1.0, None, other),
            (1.0, 0.5, x[..., ::-1]),
        ):
            y = NUMBA.fused["select"](strided, keep, scale, shift, fill)
            expected = select(np, x, keep, scale, shift, fill)
            assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
            assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shared", [(), 0, 1, (2,), (0, 2), (1, 2)])
def test_an_array_may_be_dropped_where_it_lies(shared, rng):
    index = Index.whole((6, 5, 7), shared=shared)
    x = rng.standard_normal(index.shape).astype(np.float32)
    y = x.copy()
    for shift, fill in ((None, 0.0), (0.5, -1.0)):
        expected = REFERENCE.drop(y.copy(), Key(1), index, threshold(0.4), 1.5, shift, fill)
        NUMBA.fused["drop_into"](y, y, Key(1), index, threshold(0.4), 1.5, shift, fill)
        assert y.tobytes() == expected.tobytes()


# ------------------------------------------------------------------------------------------ out=
X = np.random.default_rng(3).standard_normal((40, 30)).astype(np.float32)
EXPECTED = puredrop.dropout(X, 0.4, key=Key(1), backend="numpy")


@pytest.mark.parametrize("shared", [(), 0, 1])
def test_a_result_is_written_where_it_is_asked_for(backend, shared):
    for out in (np.empty_like(X), np.empty((40, 60), np.float32)[:, ::2], np.empty((30, 40), np.float32).T):
        expected = puredrop.dropout(X, 0.4, key=Key(1), shared=shared, backend=backend)
        assert puredrop.dropout(X, 0.4, key=Key(1), shared=shared, out=out, backend=backend) is out
        assert np.array_equal(out, expected)


def test_out_may_be_x_or_overlap_it(backend):
    x = X.copy()
    assert puredrop.dropout(x, 0.4, key=Key(1), out=x, backend=backend) is x
    assert np.array_equal(x, EXPECTED)
    for source, target in ((slice(0, 40), slice(1, 41)), (slice(1, 41), slice(0, 40))):
        memory = np.zeros((41, 30), np.float32)
        memory[source] = X
        puredrop.dropout(memory[source], 0.4, key=Key(1), out=memory[target], backend=backend)
        assert np.array_equal(memory[target], EXPECTED)
    memory = X.copy()
    puredrop.dropout(memory, 0.4, key=Key(1), out=memory[::-1], backend=backend)  # back to front in its own memory
    assert np.array_equal(memory[::-1], EXPECTED)


def test_out_in_evaluation_at_the_ends_and_with_a_mask(backend):
    out = np.empty_like(X)
    assert np.array_equal(puredrop.dropout(X, 0.4, training=False, out=out, backend=backend), X)
    assert np.array_equal(puredrop.dropout(X, 0.0, key=Key(0), out=out, backend=backend), X)
    assert not puredrop.dropout(X, 1.0, key=Key(0), out=out, backend=backend).any()
    mask = X > 0
    assert np.array_equal(puredrop.dropout(X, 0.5, mask=mask, out=out, backend=backend), np.where(mask, X * 2, 0))
    half = X.astype(np.float16)
    written = puredrop.dropout(half, 0.4, key=Key(1), out=np.empty_like(half), backend=backend)
    assert np.array_equal(written, puredrop.dropout(half, 0.4, key=Key(1), backend="numpy"))


def test_a_source_is_asked_once_for_what_is_written_to_an_array():
    x = np.ones(40, np.float32)
    with puredrop.draw_from(TorchCPU(0)):
        expected = [puredrop.dropout(x, 0.5) for _ in range(2)]
    with puredrop.draw_from(TorchCPU(0)):
        found = [puredrop.dropout(x, 0.5, out=np.empty_like(x)) for _ in range(2)]
    assert np.array_equal(expected, found)


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (read_only(np.zeros_like(X)), ValueError, "out cannot be written to"),
        (np.lib.stride_tricks.as_strided(np.zeros(30, np.float32), X.shape, (0, 4)), ValueError, "share memory"),
        (np.lib.stride_tricks.as_strided(np.zeros(99, np.float32), X.shape, (4, 4)), ValueError, "share memory"),
        (np.zeros((30, 40), np.float32), ValueError, r"out must be float32 of shape \(40, 30\), got float32 of shape"),
        (np.zeros(X.shape), ValueError, "out must be float32"),
        ([1.0], TypeError, "out must be an array, got list"),
        (puredrop.Tensor(X.copy()), TypeError, "out= is for arrays"),
    ],
)
def test_what_cannot_be_written_to_is_refused_before_anything_is(out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=f"^dropout: .*{message}"):
        puredrop.dropout(X, 0.4, key=Key(1), out=out)
    assert np.array_equal(np.array(out), before)


def test_out_is_for_arrays_without_their_mask():
    with pytest.raises(TypeError, match="out= is for arrays"):
        puredrop.dropout(puredrop.Tensor(X), 0.4, key=Key(1), out=np.empty_like(X))
    with pytest.raises(ValueError, match="either out or return_mask"):
        puredrop.dropout(X, 0.4, key=Key(1), out=np.empty_like(X), return_mask=True)


# ------------------------------------------------------------------------------------------ threads
@pytest.fixture
def small_parts(monkeypatch):
    """Threads take part in small work too, for the length of a test."""
    monkeypatch.setattr(threads, "LEAST", 1 << 12)
    monkeypatch.setattr(threads, "PART", 1 << 10)
    yield
    puredrop.set_num_threads(1)


BIG = {
    "one run": Index.whole(20_000),
    "from the middle of a block": Index.whole(40_000)[13:20_001],
    "short runs": Index.whole((700, 50))[:, 3:33],
    "long runs": Index.whole((5, 9000))[:, 1:5000],
}


@pytest.mark.parametrize("keys", [Key(3), (Key(3), Key(4), Key(5))], ids=["one key", "three keys"])
@pytest.mark.parametrize("index", BIG.values(), ids=BIG)
def test_results_do_not_depend_on_threads(small_parts, index, keys):
    x = np.ones(index.shape if isinstance(keys, Key) else (3, *index.shape))
    results = []
    for n in (1, 2, 5):
        puredrop.set_num_threads(n)
        results.append((NUMBA.keep(keys, index, threshold(0.3)), NUMBA.drop(x, keys, index, threshold(0.3), 2.0)))
    for keep, y in results[1:]:
        assert keep.tobytes() == results[0][0].tobytes()
        assert y.tobytes() == results[0][1].tobytes()
    assert np.array_equal(results[0][0], REFERENCE.keep(keys, index, threshold(0.3)))


def test_threads_work_in_executors(small_parts):
    puredrop.set_num_threads(2)
    expected = _dropped(0)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(_dropped, range(6))) == [expected] * 6
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_dropped, range(2))) == [expected] * 2


FORKED = """
import os, warnings
import numpy as np, puredrop
from puredrop.backends import threads

def dropped():
    return puredrop.dropout(np.ones(20_000, np.float32), 0.5, key=puredrop.Key(9), backend="numba").tobytes()

threads.LEAST = threads.PART = 4096
puredrop.set_num_threads(2)
expected = dropped()
assert threads._pool is not None
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads
child = os.fork()
if child == 0:
    os._exit(0 if puredrop.get_num_threads() == 2 and dropped() == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_threads_work_after_a_fork():
    """In a process of its own: other libraries that a test has imported may not bear a fork."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _dropped(_):
    return puredrop.dropout(np.ones(20_000, np.float32), 0.5, key=Key(9)).tobytes()


def test_an_error_in_a_part_reaches_the_caller(small_parts):
    puredrop.set_num_threads(3)

    def work(part):
        if part == 5:
            raise KeyError(part)

    with pytest.raises(KeyError, match="5"):
        threads.work_through(range(10), work)


@pytest.mark.parametrize(("given", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_a_number_of_threads_is_a_whole_number(given, error):
    with pytest.raises(error, match=r"^set_num_threads: threads must be"):
        puredrop.set_num_threads(given)
    assert puredrop.get_num_threads() == 1


# ------------------------------------------------------------------------------------------ normal numbers
EDGES = [0, 1, 2, 3, 255, 2**23 - 1, 2**23, 2**24 - 1, 2**24, 2**24 + 1, 2**29 - 1, 2**29, 2**30, 2**31 - 1, 2**31]
EDGES += [0xB504F333, 0xB504F334, 3 * 2**30, 7 * 2**29, 2**32 - 2**29 - 1, 2**32 - 2**24, 2**32 - 2, 2**32 - 1]


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_normal_numbers_of_all_words_lie_close_to_the_reference(dtype, error):
    """Ends, neighbourhoods of the quarters of a turn, and where the logarithm changes its form; and half a million."""
    radii, angles = map(np.ravel, np.meshgrid(EDGES, EDGES))
    random = np.random.default_rng(0).integers(0, 2**32, (2, 1 << 19))
    # The longest radii and, of those close to 1, the shortest: both are rare.
    random[0, : 1 << 17] >>= np.arange(1 << 17) % 32
    random[0, 1 << 17 : 1 << 18] = 2**32 - 1 - (random[0, 1 << 17 : 1 << 18] >> np.arange(1 << 17) % 32)
    u, v = np.concatenate([(radii, angles), random], axis=1)  # (pairs,) each
    u, v = (np.resize(a, -(-len(u) // draws.WORDS) * draws.WORDS) for a in (u, v))
    words, found = np.stack([u, v], axis=1).astype(np.uint32).ravel(), np.empty(2 * len(u), dtype)
    for at in range(0, len(words), draws.WORDS):
        draws._make_all(words[at : at + draws.WORDS], None, found, at, draws.WORDS, dtype(1))
    radius, angle = np.sqrt(-2 * np.log((u + 0.5) / 2**32)), 2 * np.pi * (v + 0.5) / 2**32
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    assert np.abs(found - expected).max() < error


@pytest.mark.parametrize("keys", [Key(3), (Key(3), Key(4), Key(5))], ids=["one key", "three keys"])
@pytest.mark.parametrize("index", BIG.values(), ids=BIG)
def test_the_fused_map_is_the_composed_one_for_every_cut(small_parts, index, keys):
    shape = index.shape if isinstance(keys, Key) else (3, *index.shape)
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(2).standard_normal(shape).astype(dtype)
        expected = x * (0.7 * NUMBA.normal(keys, index, dtype) + 1)
        for n in (1, 3):
            puredrop.set_num_threads(n)
            for given in (x, np.asfortranarray(x)):
                assert NUMBA.fused["times_normal"](given, keys, index, 0.7).tobytes() == expected.tobytes()
            assert np.array_equal(NUMBA.uniform(keys, index, dtype), REFERENCE.uniform(keys, index, dtype))
            assert np.array_equal(NUMBA.words(keys, index, 2), REFERENCE.words(keys, index, 2))


@pytest.mark.parametrize("keys", [Key(3), (Key(3), Key(4), Key(5))], ids=["one key", "three keys"])
@pytest.mark.parametrize("index", BIG.values(), ids=BIG)
def test_relaxed_masks_are_those_of_the_formula_for_every_cut(small_parts, index, keys):
    x = np.random.default_rng(2).standard_normal(
        index.shape if isinstance(keys, Key) else (3, *index.shape), np.float32
    )
    u = REFERENCE.uniform(keys, index, np.float64)
    for logit_p, t in ((-1.4, 0.1), (2.0, 2 / 3), (-9.0, 1.0), (70.0, 0.05)):
        with np.errstate(over="ignore"):
            z = 1 / (1 + np.exp(-(logit_p + np.log(u) - np.log1p(-u)) / t))
        results = []
        for n in (1, 3):
            puredrop.set_num_threads(n)
            results.append(NUMBA.fused["times_relaxed"](x, keys, index, (logit_p, 1 / t, 0.25, 1.5)))
        assert results[0].tobytes() == results[1].tobytes()
        np.testing.assert_allclose(results[0], x * (0.25 + 1.5 * (1 - z)), rtol=5e-6)


@pytest.mark.parametrize("t", [0.01, 0.1, 1.0])
def test_relaxed_masks_of_the_first_and_the_last_words(t):
    """u is as close to 0 and 1 as it can be, and to 1/2."""
    w = np.concatenate([np.arange(256), 2**31 - 128 + np.arange(256), 2**32 - 256 + np.arange(256)]).astype(np.uint64)
    words, found = np.resize(w, draws.WORDS * 3).astype(np.uint32), np.ones(draws.WORDS * 3, np.float32)
    of = tuple(map(np.float32, (0.3, 1 / t, 0, 1)))
    for at in range(0, len(words), draws.WORDS):
        draws._make_all(words[at : at + draws.WORDS], found, found, at, draws.WORDS, of)
    u = (words + 0.5) / 2**32
    with np.errstate(over="ignore"):
        kept = 1 / (1 + np.exp((np.float64(of[0]) + np.log(u) - np.log1p(-u)) * np.float64(of[1])))
    assert np.abs(found - kept).max() < 1e-6 / min(t, 1)
    assert found[words == 2**32 - 1] < 1e-7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_only_arrays_need_no_kernels_of_their_own(dtype):
    x, index = np.random.default_rng(2).standard_normal((40, 50)).astype(dtype), Index.whole((40, 50))
    locked, mask = x.copy(), np.broadcast_to(NUMBA.keep(Key(1), index, threshold(0.3)), (40, 50))
    locked.flags.writeable = False
    kernels = drop_runs, draws.times_normal_runs, sys.modules["puredrop.backends.numba.spread"]._spread
    answers = []
    for given, keep in ((x, mask.copy()), (locked, mask)):
        y = NUMBA.drop(given, Key(1), index, threshold(0.3), 2.0)
        more = NUMBA.fused["times_normal"](given, Key(1), index, 0.5), NUMBA.fused["select"](given, keep, 2.0)
        answers.append([len(kernel.signatures) for kernel in kernels] + [a.tobytes() for a in (y, *more)])
    assert answers[0] == answers[1]
    assert not locked.flags.writeable


# ------------------------------------------------------------------------------------------ the cache on disk
DRAWING = """
import sys
import numpy as np
from puredrop import Index, Key, backends
from puredrop.backends.numba import draws

draw = backends.get("numba"), Key(1), Index.whole(50)
draw[0].words(*draw[1:], 3)
for dtype in (np.float32, np.float64):
    draw[0].uniform(*draw[1:], dtype)
    draw[0].normal(*draw[1:], dtype)
    draw[0].fused["times_normal"](np.ones(50, dtype), *draw[1:], 0.5)
    draw[0].fused["times_relaxed"](np.ones(50, dtype), *draw[1:], (0.5, 1.0, 0.0, 1.0))
kernels = (
    draws.whole_words,
    draws.uniform_numbers,
    draws.normal_numbers,
    draws.times_normal_runs,
    draws.times_relaxed_runs,
)
sys.exit(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


def test_what_was_compiled_is_found_by_the_next_process():
    """A kernel that encloses another function, or is given one, is compiled anew by each."""
    runs = [subprocess.run([sys.executable, "-c", DRAWING], capture_output=True, text=True) for _ in range(2)]
    assert runs[1].returncode == 0, runs[1].stderr


def test_a_corrupted_cache_is_compiled_anew(tmp_path):
    code = "import numpy as np, puredrop; print(puredrop.dropout(np.ones(999), 0.5, key=puredrop.Key(0)).sum())"
    expected = f"{puredrop.dropout(np.ones(999), 0.5, key=Key(0)).sum()}\n"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PUREDROP_BACKEND": "numba"}
    run = partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run().stdout == expected
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    for garbage in (b"", b"not a pickle", None):
        for path in kept:
            path.write_bytes(path.read_bytes()[:-40] if garbage is None else garbage)
        again = run()
        assert (again.returncode, again.stdout, again.stderr) == (0, expected, "")


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path):
    code = """
import numba.core.caching as caching
def refuse(*args): raise PermissionError("read-only")
caching.IndexDataCacheFile._save_data = refuse
import numpy as np, puredrop
for dtype in ("float32", "float64"):
    print(puredrop.dropout(np.ones(999, dtype), 0.5, key=puredrop.Key(0), backend="numba").sum())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.split() == [str(puredrop.dropout(np.ones(999), 0.5, key=Key(0)).sum())] * 2
    assert result.stderr.count("compiled kernels cannot be kept; set NUMBA_CACHE_DIR") == 1


# ------------------------------------------------------------------------------------------ fused kernels
def in_float32(backend, f, *arrays):
    """f of tensors on a backend, and the gradients of all arguments for one incoming gradient."""
    leaves = [puredrop.Tensor(a, backend, requires_grad=True) for a in arrays]
    y = f(*leaves)
    y.backward(np.random.default_rng(5).standard_normal(y.shape).astype(np.float32))
    return [y.data, *(leaf.grad for leaf in leaves)]


FUSED = {
    "gelu": (ops.gelu, [(7, 501)]),
    "softmax": (ops.softmax, [(3, 5, 37)]),
    "softmax of one": (ops.softmax, [(4, 1)]),
    "layer norm": (ops.layer_norm, [(6, 9, 33), (33,), (33,)]),
    "layer norm over two axes": (partial(ops.layer_norm, dims=2), [(6, 9, 5), (9, 5), (9, 5)]),
}


@pytest.mark.parametrize(("f", "shapes"), FUSED.values(), ids=FUSED)
def test_fused_kernels_are_what_they_are_composed_of(f, shapes):
    rng = np.random.default_rng(0)
    arrays = [(3 * rng.standard_normal(shape)).astype(np.float32) for shape in shapes]
    exact = in_float32("numpy", f, *(a.astype(np.float64) for a in arrays))
    for found, expected in zip(in_float32("numba", f, *arrays), exact, strict=True):
        assert found.dtype == np.float32
        assert relative_error(found, expected) < 2e-6


def test_fused_functions_keep_to_their_ends():
    """Far tails, infinities and NaN, as NumPy gives them."""
    x = np.array([0.0, -0.0, 1e-30, 5.0, -5.0, 13.0, -13.0, 40.0, -40.0, 1e30, -1e30, np.nan], np.float32)
    with np.errstate(all="ignore"):
        expected = ops.activations._gelu(x, backend="numpy")
    found = ops.activations._gelu(x, backend="numba")
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-36)
    for row in ([-np.inf, 0, 1], [np.nan, 0, 1], [-200, 0, 1], [3e38, -3e38, 0], [np.inf, 0, 1]):
        row = np.array([row, [1, 2, 3]], np.float32)
        with np.errstate(all="ignore"):
            expected = ops.softmax(row, backend="numpy")
        np.testing.assert_allclose(ops.softmax(row, backend="numba"), expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100, 128])
@pytest.mark.parametrize(
    "special", [[], [np.nan], [np.inf], [-np.inf], [3e38, -3e38], [-200.0], [1e30, np.nan]], ids=str
)
def test_softmax_of_rows_of_any_length(columns, special, rng):
    """At the beginning, in the middle and at the end of a row; a row of minus infinity beside it, and in place."""
    for at in (0, columns // 2, max(0, columns - len(special))):
        x = (3 * rng.standard_normal((3, columns))).astype(np.float32)
        x[0, at : at + len(special)] = special[: columns - at]
        x[1] = -np.inf
        with np.errstate(all="ignore"):
            expected = ops.softmax(x.astype(np.float64), backend="numpy")
        found = ops.softmax(x, backend="numba")
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-37)
        assert NUMBA.fused["softmax"](x, None, x)
        assert x.tobytes() == found.tobytes()


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"max_norm": 1.0}],
    ids=str,
)
def test_a_fused_step_of_sgd_has_the_bits_of_the_composed_one(options):
    results = []
    for backend in ("numpy", "numba"):
        layer = puredrop.nn.Linear(7, 5).seed(0).to(backend)
        optimizer = puredrop.optim.SGD(layer.parameters(), lr=0.1, **options)
        for step in range(3):
            for p in layer.parameters():
                p.grad = np.random.default_rng(step).standard_normal(p.shape).astype(np.float32)
            optimizer.step()
        results.append([p.data.tobytes() for p in layer.parameters()])
    assert results[0] == results[1]
