"""The host emulation itself: that it refuses what CuPy refuses, sees what CuPy lets pass, and leaves nothing behind."""

import numpy as np
import pytest

from puredrop import backends
from puredrop.backends import emulation


@pytest.fixture(scope="module")
def cupy(cupy_backend):
    return pytest.importorskip("cupy")


@pytest.fixture
def x(cupy):
    return cupy.asarray(np.arange(12.0).reshape(3, 4))


def test_arrays_are_cupys_own(cupy, x):
    assert type(x) is cupy.ndarray
    assert type(x.sum()) is cupy.ndarray  # 0-d, where NumPy gives a number
    assert x.T.strides == (8, 32)
    assert x[1:].base is not None
    assert x[::-1, ::2].get().tolist() == [[8, 10], [4, 6], [0, 2]]
    assert x.data.ptr % 512 == 0


def test_computing_is_numpys(cupy, x):
    host = x.get()
    assert np.array_equal((np.float32(2) * x + 1).get(), np.float32(2) * host + 1)
    assert np.array_equal(cupy.where(x > 3, x, 0.0).get(), np.where(host > 3, host, 0.0))
    assert np.array_equal(np.where(x > 3, x, 0.0).get(), np.where(host > 3, host, 0.0))  # NumPy hands it on
    assert np.array_equal(cupy.einsum("ij,kj->ik", x, x).get(), host @ host.T)
    assert np.array_equal((x @ x.T).get(), host @ host.T)
    assert np.array_equal(x.T.reshape(-1).get(), host.T.reshape(-1))
    assert np.array_equal(x[cupy.asarray([2, 0])].get(), host[[2, 0]])
    x[1:, 1] = x[0, 3]
    x += 1
    assert x.get()[:, 1].tolist() == [2, 4, 4]
    assert float(x.max()) == 12.0
    assert "12." in repr(x)


REFUSED = {
    "an operand of NumPy": (TypeError, lambda cupy, x: x + np.ones((3, 4))),
    "an operand of NumPy on the left": (TypeError, lambda cupy, x: np.ones((3, 4)) * x),
    "an argument of NumPy": (TypeError, lambda cupy, x: cupy.where(np.ones((3, 4), bool), x, 0)),
    "an argument of NumPy in a list": (TypeError, lambda cupy, x: cupy.concatenate([x, np.ones((3, 4))])),
    "a value of NumPy": (TypeError, lambda cupy, x: x.__setitem__(slice(None), np.ones((3, 4)))),
    "a conversion nobody asked for": (TypeError, lambda cupy, x: np.asarray(x)),
    "a keyword that NumPy alone has": (TypeError, lambda cupy, x: cupy.sum(x, where=True)),
    "the same of a method": (TypeError, lambda cupy, x: x.max(initial=0.0)),
    "a function that NumPy alone has": (AttributeError, lambda cupy, x: cupy.fromregex),
    "an accumulation that CuPy lacks": (NotImplementedError, lambda cupy, x: cupy.logical_and.accumulate(x)),
    "the truth of several numbers": (ValueError, lambda cupy, x: bool(x)),
    "two boolean subscripts": (ValueError, lambda cupy, x: x[x[:, 0] > 0, x[0] > 0]),
    "strings": (TypeError, lambda cupy, x: cupy.asarray(["a"])),
    "long double": (TypeError, lambda cupy, x: cupy.zeros(3, np.longdouble)),
    "a call that nothing stands in for": (Exception, lambda cupy, x: cupy.random.default_rng(0).random(3)),
}


@pytest.mark.parametrize(("error", "call"), REFUSED.values(), ids=REFUSED)
def test_what_cupy_refuses_is_refused(cupy, x, error, call):
    with pytest.raises(error):
        call(cupy, x)


def launch(cupy, *arguments, name="words<Run>", grid=(1,), block=(256,)):
    from puredrop.backends import cuda

    cupy.RawModule(code=cuda.source(), name_expressions=(name,)).get_function(name).kernel(grid, block, arguments)


def words_arguments(cupy, n=16):
    from puredrop import Key
    from puredrop.backends.cuda import plan
    from puredrop.random import Index

    where = plan.where(Index.whole(n))
    return [cupy.empty(n, np.uint32), plan.draw(Key(7).address(2)), None, np.uint32(1), where.value, None]


MISUSES = {
    "an argument too few": (TypeError, lambda a: a.pop()),
    "a Python number": (TypeError, lambda a: a.__setitem__(3, 1)),
    "a number of another width": (TypeError, lambda a: a.__setitem__(3, np.uint64(1))),
    "a real for a whole number": (TypeError, lambda a: a.__setitem__(3, np.float32(1))),
    "a number for a pointer": (TypeError, lambda a: a.__setitem__(2, np.uint64(0))),
    "an array of NumPy": (TypeError, lambda a: a.__setitem__(0, np.empty(16, np.uint32))),
    "arguments that changed places": (TypeError, lambda a: a.insert(0, a.pop(1))),
    "an output too short": (MemoryError, lambda a: a.__setitem__(0, a[0][:1].copy())),
}


@pytest.mark.parametrize(("error", "spoil"), MISUSES.values(), ids=MISUSES)
def test_wrong_arguments_of_a_kernel_are_seen(cupy, error, spoil):
    from puredrop.backends.emulation.memory import heap

    arguments = words_arguments(cupy)
    spoil(arguments)
    with pytest.raises(error):
        launch(cupy, *arguments)
    if error is MemoryError:  # the fence is mended, so that what comes after is not blamed
        heap.mend(arguments[0].data.ptr)


def test_wrong_geometry_is_seen(cupy):
    arguments = words_arguments(cupy)
    launch(cupy, *arguments)
    assert arguments[0].get()[0] != 0xA5A5A5A5  # what a kernel did not write shows as poison
    assert cupy.empty(4, np.uint32).get().tolist() == [0xA5A5A5A5] * 4
    with pytest.raises(ValueError, match="no blocks"):
        launch(cupy, *arguments, grid=(0,))
    with pytest.raises(ValueError, match="launch bound"):
        launch(cupy, *arguments, block=(512,))
    with pytest.raises(KeyError, match="named symbol not found"):
        launch_unnamed(cupy)


def launch_unnamed(cupy):
    from puredrop.backends import cuda

    cupy.RawModule(code=cuda.source(), name_expressions=("words<Run>",)).get_function("words<Walk>")


def test_afterwards_cupy_is_as_before():
    if reason := emulation.missing():
        pytest.skip(reason)
    import cupy

    from puredrop.backends import emulation as package

    before = cupy.where, cupy.ndarray.__add__, cupy.cuda.Device, cupy.RawModule, backends.why_not("cupy")
    with package.host_emulation() as inner:
        assert cupy.RawModule is not before[3] or cupy.RawModule.__module__.startswith("puredrop")
        assert backends.get("cupy") is inner
    assert (cupy.where, cupy.ndarray.__add__, cupy.cuda.Device, cupy.RawModule, backends.why_not("cupy")) == before


def test_what_is_missing_is_named(monkeypatch):
    from puredrop.backends.cuda import host

    monkeypatch.setattr(host, "missing", lambda: "g++ is not installed")
    monkeypatch.setattr(emulation, "find_spec", lambda name: name)
    with (
        pytest.raises(backends.BackendError, match=r"host emulation: g\+\+ is not installed"),
        emulation.host_emulation(),
    ):
        pass
    monkeypatch.setattr(emulation, "find_spec", lambda name: None)
    assert "pip install cupy-cuda13x (no GPU is needed)" in emulation.missing()
