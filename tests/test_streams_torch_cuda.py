"""TorchCUDA without a GPU: the counters of its kernels one by one, and the script that will run on a GPU."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import puredrop
from puredrop.conformance.streams import golden
from puredrop.random.philox import philox4x32
from puredrop.streams import TorchCUDA, draw_from

SCRIPT = Path(__file__).parent.parent / "bench" / "gpu" / "verify_torch_cuda.py"
GEOMETRY = {"sm_count": 1, "threads_per_sm": 1024}  # 1,024 threads in a full grid
FULL = 1024


def word(seed, offset, thread, call, lane):
    """One word of a thread, as cuRAND counts: curand_init(seed, thread, offset), the call, the lane."""
    place = offset // 4 + call
    return int(philox4x32((place & 0xFFFFFFFF, place >> 32, thread, 0), (seed & 0xFFFFFFFF, seed >> 32))[lane])


def number(w):
    return np.float32(w) * np.float32(2.0**-32) + np.float32(2.0**-33)


def fused_by_hand(seed, offset, n, q, width, limit):
    """The fused kernel, element by element."""
    threads = min(-(-n // 256) * 256, FULL)
    keep = []
    for e in range(n):
        if width == 1:
            call, rest = divmod(e, 4 * threads)
            lane, thread = divmod(rest, threads)
        else:
            step, rest = divmod(e, threads * width)
            thread, place = divmod(rest, width)
            call, lane = step * max(1, width // 4) + place // 4, place % 4
        keep.append(number(word(seed, offset, thread, call, lane)) < limit(q))
    return np.array(keep)


@pytest.mark.parametrize(
    ("dtype", "n", "alignment", "width"),
    [
        ("float32", 5, 512, 1),
        ("float32", 1028, 512, 4),
        ("float32", 2 * FULL + 2, 512, 2),
        ("float32", 4 * FULL + 4, 512, 4),
        ("float32", 4100, 4, 1),
        ("bfloat16", 9 * FULL, 512, 8),
        ("float16", 4100, 512, 4),
        ("float64", 2 * FULL + 6, 512, 2),
        ("float64", 1001, 512, 1),
    ],
)
def test_fused_kernel_by_hand(dtype, n, alignment, width):
    stream = TorchCUDA(2**40 + 3, 8, **GEOMETRY, alignment=alignment)
    assert stream.width(n, dtype) == width
    limit = np.float64 if dtype == "float64" else np.float32
    expected = fused_by_hand(2**40 + 3, 8, n, 1.0 - 0.3, width, limit)
    assert np.array_equal(stream.mask(n, 0.3, dtype=dtype), expected)
    threads = min(-(-n // 256) * 256, FULL)
    assert stream.offset == 8 + 4 * ((n - 1) // (4 * threads) + 1)


@pytest.mark.parametrize(("dtype", "unroll"), [("float32", 4), ("float64", 2)])
@pytest.mark.parametrize("by_unroll", [False, True])
def test_bernoulli_kernel_by_hand(dtype, unroll, by_unroll):
    n, seed = 2 * FULL * unroll + 77, 11
    stream = TorchCUDA(seed, 4, **GEOMETRY, grid_by_unroll=by_unroll)
    threads = min(-(-n // (256 * (unroll if by_unroll else 1))) * 256, FULL)
    expected = []
    for e in range(0, n, 5):
        call, rest = divmod(e, threads * unroll)
        place, thread = divmod(rest, threads)
        if unroll == 4:
            u, limit = number(word(seed, 4, thread, call, place)), np.float32(0.37)
        else:
            low, high = (word(seed, 4, thread, call, 2 * place + i) for i in (0, 1))
            u, limit = (low ^ high << 21) * 2.0**-53 + 2.0**-54, 0.37
        expected.append(u < limit)
    assert np.array_equal(stream.bernoulli_(n, 0.37, dtype)[::5], expected)
    assert stream.offset == 4 + 4 * ((n - 1) // (threads * unroll) + 1)


def test_the_grid_of_a_change_that_was_proposed_is_another_one():
    masks = [TorchCUDA(0, **GEOMETRY, grid_by_unroll=one).bernoulli_(1000, 0.5) for one in (False, True)]
    assert not np.array_equal(*masks)


def test_the_device_matters_only_beyond_a_full_grid():
    small, large = (TorchCUDA(0, sm_count=count, threads_per_sm=1536) for count in (1, 80))
    within = 1536 * 4
    assert np.array_equal(small.mask(within, 0.5), large.mask(within, 0.5))
    assert not np.array_equal(small.mask(4 * within, 0.5), large.mask(4 * within, 0.5))


def test_before_2_7_half_precision_was_read_four_at_a_time():
    old, new = (TorchCUDA(0, **GEOMETRY, wide_vectors=wide) for wide in (False, True))
    assert (old.width(800, "float16"), new.width(800, "float16")) == (4, 8)
    assert (old.width(800, "float64"), new.width(800, "float64")) == (4, 2)


def test_half_precision_reuses_words_in_the_next_mask():
    """What the reproducer on a GPU looks for: two calls made, one reserved."""
    stream = TorchCUDA(1234, sm_count=132, threads_per_sm=2048)
    a, b = (stream.mask(65_536, 0.5, dtype="bfloat16").reshape(-1, 8) for _ in range(2))
    assert np.array_equal(a[:, 4:], b[:, :4])
    assert not np.array_equal(a[:, :4], b[:, :4])


def test_values_are_products():
    x = np.array([-1.0, np.nan, np.inf, 3.3, -0.0] * 200, np.float32)
    stream = TorchCUDA(0, **GEOMETRY)
    keep = TorchCUDA(0, **GEOMETRY).mask(1000, 0.3)
    with draw_from(stream):
        y = puredrop.dropout(x, 0.3)
    with np.errstate(invalid="ignore"):
        expected = x * keep * np.float32(1.0 / float(np.float32(0.7)))
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(np.signbit(y[x == x]), np.signbit(expected[x == x]))
    with draw_from(stream):
        assert puredrop.alpha_dropout(np.ones(9, np.float32), 0.3).shape == (9,)
        with pytest.raises(NotImplementedError, match="values of alpha_dropout in float16"):
            puredrop.alpha_dropout(np.ones(9, np.float16), 0.3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"sm_count": 0}, ValueError, "sm_count"),
        ({"sm_count": 1.5}, TypeError, "sm_count"),
        ({"threads_per_sm": 512}, ValueError, "one of 1024, 1536, 2048"),
        ({"offset": 6}, ValueError, "multiples of 4"),
        ({"offset": -4}, ValueError, "offset"),
        ({"seed": 2**64}, ValueError, "seed"),
        ({"alignment": 12}, ValueError, "a power of two"),
    ],
)
def test_a_device_that_cannot_be_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        TorchCUDA(**{"seed": 0, **GEOMETRY, **options})


def test_what_is_not_known_is_refused():
    stream = TorchCUDA(0, **GEOMETRY)
    with draw_from(stream), pytest.raises(NotImplementedError, match="shared axes"):
        puredrop.dropout(np.ones((3, 4)), 0.5, shared=0)
    with pytest.raises(NotImplementedError, match="scaled_dot_product_attention"):
        stream.mask((3, 4), 0.5, operation="scaled_dot_product_attention")
    assert stream.offset == 0


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("verify_torch_cuda", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def stand_in(script, sm_count):
    """The script's device with tensors on the CPU, and masks from a stream with that many SMs."""

    class StandIn(script.Device):
        name = "cpu"

        def described(self):
            return "the CPU instead", GEOMETRY

        def seed(self, seed, offset=0):
            self.stream = TorchCUDA(seed, offset, sm_count=sm_count, threads_per_sm=1024)

        def offset(self):
            return self.stream.offset

        def keep(self, x, p, operation):
            self.stream.alignment = script.alignment(x) if operation == "dropout" else 512
            dtype = str(x.dtype).removeprefix("torch.")
            keep = self.stream.mask(x.shape, p, operation=operation, dtype=dtype, strides=x.stride())
            return self.torch.from_numpy(np.ascontiguousarray(keep))

        def dropout(self, x, p, inplace=False):
            keep = self.keep(x, p, "dropout_" if inplace else "dropout")
            return script.as_computed(self.torch, x, keep, p)

        def channels(self, x, p):
            return x * self.keep(x, p, "dropout2d")

        def alpha(self, x, p):
            return self.keep(x, p, "alpha_dropout").to(x.dtype) * 2 - 1

        def bernoulli(self, n, q, dtype):
            return self.torch.from_numpy(self.stream.bernoulli_(n, q, dtype))

    return StandIn()


@pytest.mark.parametrize(("sm_count", "agrees"), [(1, True), (2, False)])
def test_the_script_runs_and_sees_what_differs(script, torch, capsys, sm_count, agrees):
    """A device with more SMs than it says: masks differ beyond a full grid, and the script says so."""
    total = script.verify(stand_in(script, sm_count))
    printed = capsys.readouterr().out
    assert (total == 0) is agrees
    assert ("first mismatch" in printed) is not agrees
    assert "bfloat16, 1,024 elements: 1.0000" in printed
    assert ("float64, 4,096 elements: 1.0000" in printed) is agrees


def test_what_the_script_asks_of_pytorch_exists(script, torch):
    device = script.Device()
    device.name = "cpu"
    x = device.ones(4, 6, 2, 2, dtype="bfloat16")
    for y in (device.dropout(x, 0.5), device.dropout(x.clone(), 0.5, True), device.channels(x, 0.5)):
        assert set(y.unique().tolist()) <= {0.0, 2.0}
    assert device.alpha(x, 0.5).shape == x.shape
    assert set(device.bernoulli(50, 0.5, "float64").tolist()) == {0.0, 1.0}
    assert device.wide_vectors()
    assert callable(torch.Generator.set_offset)
    assert callable(torch.Generator.get_offset)


def test_golden_masks_that_the_script_keeps_are_read_back(script, torch, capsys, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPT.parents[2] / "tests" / "golden" / "streams"))
    writing = importlib.import_module("writing")
    monkeypatch.setattr(writing, "FOLDER", tmp_path)
    kept = writing.Golden("the CPU instead")
    check = script.Comparisons(stand_in(script, 1), GEOMETRY, kept)
    script.fused(check, FULL)
    kept.save("torch_cuda")
    monkeypatch.setattr(golden, "files", lambda package: tmp_path)
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "streams").symlink_to(tmp_path)
    elements, mismatches = golden.compared("torch_cuda", lambda made: TorchCUDA(**made))
    assert mismatches == 0
    assert elements > 100_000
    assert (tmp_path / "torch_cuda.npz").stat().st_size < 200_000


def test_the_script_says_that_nothing_was_verified_without_a_gpu(torch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no CUDA device here: nothing was verified" in done.stderr
