"""What CuPy computes on arrays, done by NumPy on the same memory, and refused where CuPy refuses.

Genuine CuPy code remains what needs no device: shapes, strides, views, basic slices, dtypes, flags, pointers. Replaced
are the universal functions, the functions of the module that NumPy has too, and the methods that launch kernels.
Arguments are bound to CuPy's own signature first, so that a keyword which NumPy alone has is an error here as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

import cupy
import numpy as np

from .memory import on_device, seen

_Base = cupy.ndarray.__mro__[1]
Replacement = tuple[Any, str, Any]  # an owner, the name of its attribute, what stands there meanwhile

# What works without a device: answers about shapes and dtypes, and views.
GENUINE = frozenset(
    """atleast_1d atleast_2d atleast_3d broadcast_arrays broadcast_shapes broadcast_to can_cast common_type dtype empty
    empty_like expand_dims finfo iinfo moveaxis ndim result_type rollaxis shape size squeeze swapaxes
    transpose""".split()  # noqa: SIM905
)
TAKE_HOST_ARRAYS = frozenset(["array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"])
TRUTHS = frozenset(["allclose", "array_equal", "array_equiv"])  # NumPy's give Python's bool, CuPy's an array
NUMPY_ALONE = frozenset(["initial", "where", "mean", "correction", "stable"])  # keywords of NumPy's methods
# Methods of universal functions that CuPy has for some of them only.
UFUNC_METHODS = {
    "reduce": ("add", "multiply"),
    "accumulate": ("add", "multiply"),
    "reduceat": ("add",),
    "at": ("add", "maximum", "minimum"),
}


def given(a: Any, refuse: bool = True) -> Any:
    """An argument as NumPy shall see it. Raises TypeError for an array of NumPy, which CuPy does not take."""
    if isinstance(a, cupy.ndarray):
        return seen(a)
    if refuse and isinstance(a, np.ndarray):
        raise TypeError(f"Unsupported type {type(a)}")  # CuPy's words
    if isinstance(a, (list, tuple)) and type(a) in (list, tuple):
        return type(a)([given(one, refuse) for one in a])
    return a


def returned(result: Any, truth: bool = False) -> Any:
    """A result of NumPy as CuPy would give it: arrays, also of one number."""
    if isinstance(result, (np.ndarray, np.generic)) or (truth and isinstance(result, bool)):
        return on_device(result)
    if isinstance(result, (list, tuple)) and any(isinstance(one, np.ndarray) for one in result):
        parts = [returned(one) for one in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def _run(function: Callable[..., Any], args: Any, keywords: Any, refuse: bool = True, truth: bool = False) -> Any:
    out = keywords.get("out")
    args = [given(a, refuse) for a in args]
    with np.errstate(all="ignore"):  # a device raises no floating-point warnings
        result = function(*args, **{name: given(a, refuse) for name, a in keywords.items()})
    return out if out is not None else returned(result, truth)


class Ufunc:
    """A universal function of CuPy by NumPy's of the same name."""

    def __init__(self, numpy_ufunc: np.ufunc) -> None:
        self._numpy = numpy_ufunc
        self.__name__, self.nin, self.nout = numpy_ufunc.__name__, numpy_ufunc.nin, numpy_ufunc.nout

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        unknown = set(keywords) - {"out", "dtype", "casting"}
        if unknown:
            raise TypeError(f"Wrong arguments {unknown}")
        if keywords.get("out") is not None and not isinstance(keywords["out"], (cupy.ndarray, tuple)):
            raise TypeError("output arguments must be cupy.ndarray")
        return _run(self._numpy, args, keywords)

    def __getattr__(self, name: str) -> Any:
        if name not in UFUNC_METHODS and name != "outer":
            raise AttributeError(name)
        if name != "outer" and self.__name__ not in UFUNC_METHODS[name]:
            raise NotImplementedError(f"`cupy_{self.__name__}.{name}` is not supported yet")  # CuPy's words
        method = getattr(self._numpy, name)
        return lambda *args, **keywords: _run(method, args, keywords)


def _routed(name: str, real: Any) -> Callable[..., Any]:
    """A function of CuPy's module by NumPy's of the same name."""
    function, refuse, truth = getattr(np, name), name not in TAKE_HOST_ARRAYS, name in TRUTHS
    try:
        signature = inspect.signature(real)
    except (TypeError, ValueError):  # written in C: it does not say
        signature = None

    def call(*args: Any, **keywords: Any) -> Any:
        if signature is not None:
            signature.bind(*args, **keywords)
        keywords.pop("blocking", None)  # of a copy; there is nothing to wait for
        return _run(function, args, keywords, refuse, truth)

    call.__name__ = name
    return call


def _array(obj: Any, dtype: Any = None, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0) -> Any:
    """`cupy.array`: takes what NumPy takes, and device arrays, also in lists."""
    same = isinstance(obj, cupy.ndarray) and (dtype is None or obj.dtype == dtype)
    if same and not copy and order in (None, "K", "A") and ndmin <= obj.ndim:
        return obj
    host = np.array(given(obj, refuse=False), dtype, order=order or "K", ndmin=ndmin)
    if not isinstance(obj, (cupy.ndarray, np.ndarray)) and host.dtype == object:
        raise ValueError("Unsupported dtype object")
    return on_device(host)


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    return _array(a, dtype, copy=bool(copy), order=order)


def _contiguous(a: Any, dtype: Any = None) -> Any:
    device = _asarray(a, dtype)
    kept = device if device.ndim else device.reshape(1)  # as NumPy's
    return kept if kept.flags.c_contiguous else _array(kept, order="C")


def _asnumpy(a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get(stream, order, out, blocking) if isinstance(a, cupy.ndarray) else np.asarray(a, order=order)


def _scatter_into(real: Any, slices: Any, value: Any) -> None:
    """`array[slices] = value`. Raises TypeError for an array of NumPy."""
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    seen(real)[_places(slices)] = given(value, refuse=False)


def _places(slices: Any) -> Any:
    """Subscripts as NumPy shall see them; CuPy takes NumPy's arrays here. Raises where CuPy cannot follow."""
    parts = slices if isinstance(slices, tuple) else (slices,)
    masks = [part for part in parts if getattr(part, "dtype", None) == np.bool_ and getattr(part, "ndim", 0)]
    if len(masks) > 1:
        raise ValueError("host emulation: CuPy does not support several boolean arrays as subscripts")
    return given(slices, refuse=False)


def _gathered(real: Any, slices: Any) -> Any:
    """`array[slices]`: a view by CuPy's own code where the subscripts are basic."""
    parts = slices if isinstance(slices, tuple) else (slices,)
    if all(_is_basic(part) for part in parts):
        return _Base.__getitem__(real, slices)
    return on_device(np.array(seen(real)[_places(slices)]))


def _is_basic(part: Any) -> bool:
    kinds = slice, int, np.integer
    return part is None or part is Ellipsis or (isinstance(part, kinds) and not isinstance(part, (bool, np.bool_)))


def _reshaped(real: Any, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    """A view by CuPy's own code where there can be one, else of a copy."""
    wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if real.size and (copy or not np.shares_memory(seen(real).reshape(wanted, order=order), seen(real))):
        real = _array(real, order=order)
    return _Base.reshape(real, *shape, order=order)


def _raveled(real: Any, order: Any = "C") -> Any:
    return _reshaped(real, -1, order=order)


def _got(real: Any, stream: Any = None, order: Any = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
    host = np.array(seen(real), order=order)
    if out is None:
        return host
    out[...] = host
    return out


def _set(real: Any, array: Any, stream: Any = None) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != real.dtype or array.shape != real.shape:
        raise TypeError("Only numpy.ndarray of the same dtype and shape can be set to cupy.ndarray")
    seen(real)[...] = array


def _truth(real: Any) -> bool:
    if real.size != 1:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")
    return bool(seen(real))


def _astype(real: Any, dtype: Any, order: Any = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
    if not copy and real.dtype == dtype:
        return real
    with np.errstate(all="ignore"):
        return on_device(np.array(seen(real).astype(dtype, order=order)))


def _deep_copied(real: Any, memo: Any) -> Any:
    return _array(real, order="C")


def _reduced(real: Any) -> Any:
    return _array, (seen(real).copy(),)


def _interface(real: Any) -> dict[str, Any]:
    names = {"shape": real.shape, "typestr": real.dtype.str, "strides": real.strides, "descr": real.dtype.descr}
    return {"data": (real.data.ptr, False), "version": 3, "stream": 1, **names}


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        if alone := NUMPY_ALONE & set(keywords):
            raise TypeError(f"{name}() got an unexpected keyword argument {min(alone)!r}")
        return _run(getattr(seen(self), name), args, keywords)

    call.__name__ = name
    return call


def _operator(name: str) -> Callable[..., Any]:
    """A binary operator; NumPy's arrays are refused, and what CuPy does not know is asked itself."""

    def call(self: Any, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim:
            raise TypeError(f"Unsupported type {type(other)}")
        if not isinstance(other, (cupy.ndarray, np.ndarray, np.generic, int, float, complex)):
            return NotImplemented
        with np.errstate(all="ignore"):
            result = getattr(seen(self), name)(given(other, refuse=False))
        return self if name.startswith("__i") and name != "__invert__" else returned(result)

    call.__name__ = name
    return call


_OPERATORS = (
    ["add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor"],
    ["lt", "le", "eq", "ne", "gt", "ge"],
)
_METHODS = """
    __neg__ __pos__ __abs__ __invert__ __int__ __float__ __complex__ all any argmax argmin argpartition argsort choose
    clip compress conj conjugate cumprod cumsum diagonal dot fill flatten item max mean min nonzero partition prod put
    repeat round searchsorted sort std sum take tobytes tolist trace var
    """.split()  # noqa: SIM905


def _array_attributes() -> Iterator[tuple[str, Any]]:
    for name in _OPERATORS[0]:
        for full in (f"__{name}__", f"__r{name}__", f"__i{name}__"):
            if hasattr(_Base, full) or full.startswith("__r"):  # before CuPy 14 these have no names of their own
                yield full, _operator(full)
    for name in _OPERATORS[1]:
        yield f"__{name}__", _operator(f"__{name}__")
    for name in _METHODS:
        yield name, _method(name)
    yield "__hash__", None
    yield "__cuda_array_interface__", property(_interface)  # CuPy's own asks for the stream of this thread
    yield from {
        "__bool__": _truth,
        "__getitem__": _gathered,
        "__setitem__": _scatter_into,
        "__copy__": lambda self: _array(self, order="K"),
        "__deepcopy__": _deep_copied,
        "__reduce__": _reduced,
        "__repr__": lambda self: repr(seen(self)),
        "__str__": lambda self: str(seen(self)),
        "__format__": lambda self, spec: format(seen(self), spec),
        "astype": _astype,
        "copy": lambda self, order="C": _array(self, order=order),
        "get": _got,
        "set": _set,
        "ravel": _raveled,
        "reshape": _reshaped,
    }.items()


def replacements() -> Iterator[Replacement]:
    """All that must be put in place of CuPy's own."""
    for name in dir(cupy):
        real, ours = getattr(cupy, name), getattr(np, name, None)
        if name.startswith("_") or name in GENUINE or ours is None:
            continue
        if isinstance(ours, np.ufunc):
            yield cupy, name, Ufunc(ours)
        elif callable(ours) and isinstance(real, (FunctionType, BuiltinFunctionType)):
            yield cupy, name, _routed(name, real)
    for name, function in {
        "array": _array,
        "asarray": _asarray,
        "asanyarray": _asarray,
        "ascontiguousarray": _contiguous,
        "asnumpy": _asnumpy,
    }.items():
        yield cupy, name, function
    for name, function in _array_attributes():
        yield cupy.ndarray, name, function
