"""CPU kernels in Numba: dropout at the speed of a copy.

One idea makes them fast. A *step* computes LANES Philox blocks at once, in 64-bit lanes so that the 32 x 32 -> 64 bit
multiply is one instruction, and turns them into STEP = 8 * LANES keep decisions, compared and selected as vectors of
16-bit halfwords. LLVM's portable vector types carry it, so one text serves AVX-512, AVX2, SSE and NEON. Ten Philox
rounds are long enough that the loads of x would stall behind them; asking for x 4 KB ahead hides the memory entirely.
A halfword that equals the threshold's first 16 bits (once in 65,536) is kept by the step and settled by `_settle`.

Everything around the step is plain Numba: serial, without the GIL, cached on disk. All functions that share the step
live in this file, because Numba's cache notices edits of a function's own file only.
"""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types, uint32, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from ..random import MASK, NORMAL, UNIFORM, Index, Keys, Threshold
from ..random.philox import MULTIPLIERS, ROUNDS, WEYL
from . import Backend
from . import numpy as reference
from .select import composed_drop

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
M0, M1 = MULTIPLIERS
W0, W1 = WEYL
_AVX512 = bool(llvm.get_host_cpu_features().get("avx512bw")) and not os.environ.get("NUMBA_CPU_NAME")
LANES = 32 if _AVX512 else 16  # Philox blocks a step: several independent chains hide the latency of the multiply
CHUNK = 32 if _AVX512 else 16  # elements a compare: one full register of halfwords; wider masks are slow below AVX-512
STEP = 8 * LANES  # elements a step
AHEAD = 4096  # bytes of x asked for in advance; anything from 512 to 65536 measures the same


def _kernel(function: Any) -> Any:
    """Compile on first use, without the GIL, and keep the result on disk where a place for it can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as error:  # Numba finds no place: a read-only installation and no home folder
        if "locator" not in str(error):
            raise
        _say_uncached()
        return njit(nogil=True)(function)


@cache
def _say_uncached() -> None:
    text = "puredrop: compiled kernels cannot be kept; set NUMBA_CACHE_DIR to a folder that can be written"
    print(text, file=sys.stderr)


# ------------------------------------------------------------------------------------------ the step, as vector code
def _vector(element: ir.Type, values: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, len(values)), [ir.Constant(element, v) for v in values])


def _splat(b: ir.IRBuilder, scalar: ir.Value, n: int) -> ir.Value:
    vector = ir.VectorType(scalar.type, n)
    first = b.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
    return b.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _vector(I32, [0] * n))


def _philox_lanes(b: ir.IRBuilder, block: ir.Value, address: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
    """LANES consecutive blocks -> their words (0, 1) and (2, 3), each pair packed in a 64-bit lane."""
    k0, k1, c1, c2, c3 = address
    low, s32 = _vector(I64, [0xFFFFFFFF] * LANES), _vector(I64, [32] * LANES)
    number = b.add(_splat(b, block, LANES), _vector(I64, list(range(LANES))))
    x0, x1, x2, x3 = (
        number,
        b.or_(b.lshr(number, s32), _splat(b, c1, LANES)),
        _splat(b, c2, LANES),
        _splat(b, c3, LANES),
    )
    for _ in range(ROUNDS):
        # The high halves of x1 and x3 are left dirty: the next multiply reads low halves only.
        p0 = b.mul(b.and_(x0, low), _vector(I64, [M0] * LANES))
        p1 = b.mul(b.and_(x2, low), _vector(I64, [M1] * LANES))
        x0, x1 = b.xor(b.xor(b.lshr(p1, s32), x1), _splat(b, k0, LANES)), p1
        x2, x3 = b.xor(b.xor(b.lshr(p0, s32), x3), _splat(b, k1, LANES)), p0
        k0 = b.and_(b.add(k0, I64(W0)), I64(0xFFFFFFFF))
        k1 = b.and_(b.add(k1, I64(W1)), I64(0xFFFFFFFF))
    return b.or_(b.and_(x0, low), b.shl(x1, s32)), b.or_(b.and_(x2, low), b.shl(x3, s32))


def _halfwords(b: ir.IRBuilder, pairs: tuple[ir.Value, ir.Value], j: int) -> ir.Value:
    """Chunk j of the step: CHUNK halfwords in the order of the elements."""
    per = CHUNK // 8
    lanes = [lane for q in range(per) for lane in (per * j + q, LANES + per * j + q)]
    return b.bitcast(b.shuffle_vector(*pairs, _vector(I32, lanes)), ir.VectorType(I16, CHUNK))


def _prefetch(b: ir.IRBuilder, pointer: ir.Value, nbytes: int) -> None:
    byte = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    prefetch = cgutils.get_or_insert_function(b.module, signature, "llvm.prefetch.p0")
    for line in range(0, nbytes, 64):
        b.call(prefetch, [b.gep(b.bitcast(pointer, byte), [I64(AHEAD + line)]), I32(0), I32(3), I32(1)])


def _pointer(context: Any, b: ir.IRBuilder, array_type: Any, array: ir.Value, at: ir.Value) -> ir.Value:
    return b.gep(context.make_array(array_type)(context, b, array).data, [at])


def _decide(b: ir.IRBuilder, address: list[ir.Value], block: ir.Value, hi: ir.Value, write: Any) -> ir.Value:
    """Call write(chunk, keep) for each chunk of the step at `block`; nonzero if some halfword equals hi."""
    pairs = _philox_lanes(b, block, address)
    limit = _splat(b, hi, CHUNK)
    ties = ir.Constant(ir.IntType(CHUNK), 0)
    for j in range(STEP // CHUNK):
        h = _halfwords(b, pairs, j)
        write(j, b.icmp_unsigned(">=", h, limit))
        ties = b.or_(ties, b.bitcast(b.icmp_unsigned("==", h, limit), ir.IntType(CHUNK)))
    return ties if CHUNK == 32 else b.zext(ties, I32)


@intrinsic
def _drop_step(typingctx, x, y, at, block, k0, k1, c1, c2, c3, hi, scale, shift, fill):  # type: ignore[no-untyped-def]
    """y[at : at + STEP] = where(keep, x[...] * scale [+ shift], fill); nonzero if a tie must be settled."""
    sig = types.uint32(x, y, at, *[types.uint64] * 6, types.uint16, scale, shift, fill)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        at, block, *address, hi, scale, shift, fill = args[2:]
        size = {ir.FloatType: 4, ir.DoubleType: 8}[type(scale.type)]
        xp, yp = (_pointer(context, b, sig.args[i], args[i], at) for i in (0, 1))
        vector = ir.VectorType(scale.type, CHUNK).as_pointer()
        scales, fills = _splat(b, scale, CHUNK), _splat(b, fill, CHUNK)
        shifts = None if isinstance(sig.args[-2], types.NoneType) else _splat(b, shift, CHUNK)

        def write(j: int, keep: ir.Value) -> None:
            source, target = (b.bitcast(b.gep(p, [I64(CHUNK * j)]), vector) for p in (xp, yp))
            kept = b.fmul(b.load(source, align=size), scales)
            kept = kept if shifts is None else b.fadd(kept, shifts)
            b.store(b.select(keep, kept, fills), target, align=size)

        _prefetch(b, xp, STEP * size)
        return _decide(b, address, block, hi, write)

    return sig, codegen


@intrinsic
def _keep_step(typingctx, out, at, block, k0, k1, c1, c2, c3, hi):  # type: ignore[no-untyped-def]
    """out[at : at + STEP] = keep as bytes; nonzero if a tie must be settled."""
    sig = types.uint32(out, at, *[types.uint64] * 6, types.uint16)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        at, block, *address, hi = args[1:]
        pointer = _pointer(context, b, sig.args[0], args[0], at)
        vector = ir.VectorType(ir.IntType(8), CHUNK)

        def write(j: int, keep: ir.Value) -> None:
            target = b.bitcast(b.gep(pointer, [I64(CHUNK * j)]), vector.as_pointer())
            b.store(b.zext(keep, vector), target, align=1)

        return _decide(b, address, block, hi, write)

    return sig, codegen


# ------------------------------------------------------------------------------------------ plain Numba around the step
@njit(inline="always")
def _philox(block, k0, k1, c1, c2, c3):  # type: ignore[no-untyped-def]
    """One block, as two 64-bit words in the order of the contract."""
    low, s = uint64(0xFFFFFFFF), uint64(32)
    c0, c1 = block & low, (block >> s) | c1
    for _ in range(ROUNDS):
        p0, p1 = c0 * uint64(M0), c2 * uint64(M1)
        c0, c1, c2, c3 = (p1 >> s) ^ c1 ^ k0, p1 & low, (p0 >> s) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + uint64(W0)) & low, (k1 + uint64(W1)) & low
    return c0 | (c1 << s), c2 | (c3 << s)


@_kernel
def _settle(y, at, block, address, hi, lo, dropped):  # type: ignore[no-untyped-def]
    """Write `dropped` at those ties of the step at `block` that the second draw drops. Never reads x: it may be y."""
    k0, k1, c1, c2, c3 = address
    tie_c3 = c3 | uint64(1 << 24)  # the purpose table: kind 1 instead of 0
    for i in range(STEP):
        here = block + uint64(i >> 3)
        low, high = _philox(here, k0, k1, c1, c2, c3)
        word = low if i & 4 == 0 else high
        if (word >> uint64(16 * (i & 3))) & uint64(0xFFFF) == uint64(hi):
            low, high = _philox(uint64(4) * here + uint64((i & 7) >> 1), k0, k1, c1, c2, tie_c3)
            if (low if i & 1 == 0 else high) >> uint64(16) < lo:
                y[at + i] = dropped


@_kernel
def _drop(x, y, addresses, starts, length, hi, lo, scale, shift, fill):  # type: ignore[no-untyped-def]
    """The map over flat x and y: for each key, for each run, `length` elements numbered from the run's start."""
    padded_x, padded_y = np.empty(STEP, x.dtype), np.empty(STEP, x.dtype)
    at = 0
    for k in range(len(addresses)):
        k0, k1, c1, c2, c3 = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3], addresses[k, 4]
        address = (k0, k1, c1, c2, c3)
        for start in starts:
            e, stop = start, at + length
            while at < stop:
                lead, block = e & 7, uint64(e >> 3)  # a run may begin in the middle of a block
                n = min(STEP - lead, stop - at)
                if n == STEP:
                    if _drop_step(x, y, at, block, k0, k1, c1, c2, c3, hi, scale, shift, fill) and lo:
                        _settle(y, at, block, address, hi, lo, fill)
                else:
                    padded_x[lead : lead + n] = x[at : at + n]
                    if _drop_step(padded_x, padded_y, 0, block, k0, k1, c1, c2, c3, hi, scale, shift, fill) and lo:
                        _settle(padded_y, 0, block, address, hi, lo, fill)
                    y[at : at + n] = padded_y[lead : lead + n]
                at += n
                e += n


@_kernel
def _drop_each(x, y, addresses, starts, length, hi, lo, scale, shift, fill):  # type: ignore[no-untyped-def]
    """The same with a rate and a scale for each key."""
    n = len(starts) * length
    for k in range(len(addresses)):
        part = slice(k * n, (k + 1) * n)
        _drop(x[part], y[part], addresses[k : k + 1], starts, length, hi[k], lo[k], scale[k], shift, fill)


@_kernel
def _keep(out, addresses, starts, length, hi, lo):  # type: ignore[no-untyped-def]
    """The mask alone, as bytes; the same walk as `_drop`."""
    padded = np.empty(STEP, out.dtype)
    at = 0
    for k in range(len(addresses)):
        k0, k1, c1, c2, c3 = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3], addresses[k, 4]
        address = (k0, k1, c1, c2, c3)
        for start in starts:
            e, stop = start, at + length
            while at < stop:
                lead, block = e & 7, uint64(e >> 3)
                n = min(STEP - lead, stop - at)
                if n == STEP:
                    if _keep_step(out, at, block, k0, k1, c1, c2, c3, hi) and lo:
                        _settle(out, at, block, address, hi, lo, 0)
                else:
                    if _keep_step(padded, 0, block, k0, k1, c1, c2, c3, hi) and lo:
                        _settle(padded, 0, block, address, hi, lo, 0)
                    out[at : at + n] = padded[lead : lead + n]
                at += n
                e += n


@njit(inline="always")
def _word(e, address):  # type: ignore[no-untyped-def]
    """The 32-bit word of element e: word `e mod 4` of block `e div 4`."""
    low, high = _philox(uint64(e >> 2), address[0], address[1], address[2], address[3], address[4])
    return ((low if e & 2 == 0 else high) >> uint64(32 * (e & 1))) & uint64(0xFFFFFFFF)


@_kernel
def _words(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    at = 0
    for k in range(len(addresses)):
        for start in starts:
            for e in range(start, start + length):
                out[at] = _word(e, addresses[k])
                at += 1


@_kernel
def _normal(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    at = 0
    for k in range(len(addresses)):
        for start in starts:
            for e in range(start, start + length):
                even = e & ~1
                radius = math.sqrt(-2.0 * math.log((_word(even, addresses[k]) + 0.5) * 2.0**-32))
                angle = 2.0 * math.pi * ((_word(even + 1, addresses[k]) + 0.5) * 2.0**-32)
                out[at] = radius * (math.sin(angle) if e & 1 else math.cos(angle))
                at += 1


@_kernel
def _add_rows(out, ids, x):  # type: ignore[no-untyped-def]
    for i in range(len(ids)):
        row = out[ids[i]]
        for j in range(x.shape[1]):
            row[j] += x[i, j]


# ------------------------------------------------------------------------------------------ other generators
@njit(inline="always")
def _twist(new, first, second, far):  # type: ignore[no-untyped-def]
    for i in range(len(new)):
        y = (first[i] & uint32(0x80000000)) | (second[i] & uint32(0x7FFFFFFF))
        new[i] = far[i] ^ (y >> uint32(1)) ^ (uint32(0x9908B0DF) & (uint32(0) - (y & uint32(1))))


@njit(inline="always")
def _refill(state):  # type: ignore[no-untyped-def]
    """The next 624 words of MT19937, in stretches that depend on nothing within themselves."""
    old = state.copy()
    _twist(state[:227], old[:227], old[1:228], old[397:])
    _twist(state[227:454], old[227:454], old[228:455], state[:227])
    _twist(state[454:623], old[454:623], old[455:], state[227:396])
    _twist(state[623:], old[623:], state[:1], state[396:397])


@njit(inline="always")
def _temper(state, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        y = state[i]
        y ^= y >> uint32(11)
        y ^= (y << uint32(7)) & uint32(0x9D2C5680)
        y ^= (y << uint32(15)) & uint32(0xEFC60000)
        out[i] = y ^ (y >> uint32(18))


@njit(inline="always")
def _mersenne_words(state, position, out):  # type: ignore[no-untyped-def]
    at = 0
    while at < len(out):
        if position == 624:
            _refill(state)
            position = 0
        n = min(len(out) - at, 624 - position)
        _temper(state[position : position + n], out[at : at + n])
        at += n
        position += n
    return position


@_kernel
def _mersenne_below(state, position, high, low, out):  # type: ignore[no-untyped-def]
    words = np.empty(4096, np.uint32)
    for start in range(0, len(out), 2048):
        part = out[start : start + 2048]
        position = _mersenne_words(state, position, words[: 2 * len(part)])
        for i in range(len(part)):
            first = words[2 * i] & uint32(0x1FFFFF)
            part[i] = (first < high) | ((first == high) & (words[2 * i + 1] < low))
    return position


@njit(inline="always")
def _mixed(a, b, by):  # type: ignore[no-untyped-def]
    a = uint32(a + b)
    return a, uint32(uint32(uint32(b << uint32(by)) | uint32(b >> uint32(32 - by))) ^ a)


@njit(inline="always")
def _four_rounds(a, b, r, k0, k1, s):  # type: ignore[no-untyped-def]
    """Four rounds of Threefry, and the key added for the s-th time."""
    a, b = _mixed(a, b, r[0])
    a, b = _mixed(a, b, r[1])
    a, b = _mixed(a, b, r[2])
    a, b = _mixed(a, b, r[3])
    return uint32(a + k0), uint32(b + uint32(k1 + uint32(s)))


@_kernel
def _threefry2x32(y0, y1, k0, k1, x0, x1):  # type: ignore[no-untyped-def]
    k2 = uint32(k0 ^ k1 ^ uint32(0x1BD11BDA))
    odd, even = (13, 15, 26, 6), (17, 29, 16, 24)
    for i in range(len(x0)):
        a, b = uint32(x0[i] + k0), uint32(x1[i] + k1)
        a, b = _four_rounds(a, b, odd, k1, k2, 1)
        a, b = _four_rounds(a, b, even, k2, k0, 2)
        a, b = _four_rounds(a, b, odd, k0, k1, 3)
        a, b = _four_rounds(a, b, even, k1, k2, 4)
        y0[i], y1[i] = _four_rounds(a, b, odd, k2, k0, 5)


@_kernel
def _philox4x32(out, k0, k1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """Blocks at any counters. The rounds write the four words side by side: only so are they vectorised."""
    low, s = uint64(0xFFFFFFFF), uint64(32)
    words = np.empty((4, len(out)), np.uint32)
    y0, y1, y2, y3 = words[0], words[1], words[2], words[3]
    for i in range(len(out)):
        block = uint64(c0[i]) | (uint64(c1[i]) << s)
        first, second = _philox(block, k0, k1, uint64(0), uint64(c2[i]), uint64(c3[i]))
        y0[i], y1[i] = first & low, first >> s
        y2[i], y3[i] = second & low, second >> s
    for i in range(len(out)):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = y0[i], y1[i], y2[i], y3[i]


# ------------------------------------------------------------------------------------------ the record's functions
def _addresses(key: Keys, kind: int) -> np.ndarray:
    keys = key if isinstance(key, tuple) else (key,)
    return np.array([one.address(kind) for one in keys], np.uint64)  # (keys, 5)


def _new(key: Keys, index: Index, dtype: Any) -> np.ndarray:
    shape = index.noise_shape
    return np.empty((len(key), *shape) if isinstance(key, tuple) else shape, dtype)


def words(key: Keys, index: Index, kind: int) -> np.ndarray:
    out = _new(key, index, np.uint32)
    _words(out.reshape(-1), _addresses(key, kind), *index.runs)
    return out


def keep(key: Keys, index: Index, threshold: Threshold) -> np.ndarray:
    if isinstance(threshold.hi, np.ndarray):  # a rate for each element: no kernel of its own yet
        return reference.BACKEND.keep(key, index, threshold)
    if threshold.hi == 1 << 16:  # p = 1: the one threshold beyond 16 bits
        return np.zeros_like(_new(key, index, np.bool_))
    out = _new(key, index, np.bool_)
    hi, lo = np.uint16(threshold.hi), np.uint64(threshold.lo)
    _keep(out.reshape(-1).view(np.uint8), _addresses(key, MASK), *index.runs, hi, lo)
    return out


def drop(
    x: np.ndarray,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> np.ndarray:
    one_rate = not isinstance(threshold.hi, np.ndarray) and not np.ndim(scale)
    for_each = not one_rate and _one_a_key(key, index, threshold.hi) and _one_a_key(key, index, scale)
    shared = index.noise_shape != index.shape
    all_dropped = threshold.hi == 1 << 16 if one_rate else for_each and threshold.hi.max() == 1 << 16
    if shared or not (one_rate or for_each) or np.ndim(fill) or all_dropped or x.dtype.char not in "fd":
        # Shared axes, rates by element, a tensor to fill with, float16: the mask from the kernel, the map from NumPy.
        return composed_drop(keep, np, x, key, index, threshold, scale, shift, fill)
    x = np.ascontiguousarray(x).reshape(x.shape)  # ascontiguousarray makes 0-d arrays 1-d
    y = np.empty(x.shape, x.dtype)
    number = x.dtype.type
    rates = _flat(threshold.hi, np.uint16), _flat(threshold.lo, np.uint64), _flat(scale, number)
    shift = None if shift is None else number(shift)
    flat = x.reshape(-1), y.reshape(-1)
    kernel = _drop_each if for_each else _drop
    kernel(*flat, _addresses(key, MASK), *index.runs, *rates, shift, number(fill))
    return y


def _one_a_key(key: Keys, index: Index, a: Any) -> bool:
    """Whether an array has one number for each key, on an axis in front of those of the noise."""
    return isinstance(key, tuple) and np.ndim(a) == 1 + len(index.shape) and len(a) == np.size(a) == len(key)


def _flat(number: Any, dtype: Any) -> Any:
    """A number in this dtype, or several in a row."""
    return number.reshape(-1).astype(dtype) if isinstance(number, np.ndarray) else dtype(number)


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> np.ndarray:
    return ((words(key, index, kind) + 0.5) * 2.0**-32).astype(dtype)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> np.ndarray:
    out = _new(key, index, np.float64)
    _normal(out.reshape(-1), _addresses(key, kind), *index.runs)
    return out.astype(dtype, copy=False)


def add_rows(x: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """The sums of those rows of x (n, D) that have equal numbers, ids (n,). (count, D)"""
    out = np.zeros((count, x.shape[1]), x.dtype)
    _add_rows(out, ids, np.ascontiguousarray(x))
    return out


def mersenne_below(state: np.ndarray, position: int, threshold: int, count: int) -> tuple[np.ndarray, int]:
    """Whether the next pairs of words of MT19937, of which the low 53 bits count, are below the threshold: (count,).

    And the new position; the state (624,) is written to.
    """
    out = np.empty(count, np.bool_)
    high, low = np.uint32(threshold >> 32), np.uint32(threshold & 0xFFFFFFFF)
    return out, _mersenne_below(state, position, high, low, out)


def threefry2x32(key: tuple[int, int], x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry2x32-20 at counters x0, x1 (n,) of uint32: two words each. See `streams.threefry`."""
    y0, y1 = np.empty((2, len(x0)), np.uint32)
    k0, k1 = map(np.uint32, key)
    _threefry2x32(y0, y1, k0, k1, np.ascontiguousarray(x0), np.ascontiguousarray(x1))
    return y0, y1


def philox4x32(key: tuple[int, int], counter: tuple[np.ndarray, ...]) -> np.ndarray:
    """Philox4x32-10 at counters of four arrays (n,) of uint32: the blocks, (n, 4). See `streams.philox`."""
    out = np.empty((len(counter[0]), 4), np.uint32)
    k0, k1 = map(np.uint64, key)
    _philox4x32(out, k0, k1, *map(np.ascontiguousarray, counter))
    return out


FUSED: MappingProxyType[str, Any] = MappingProxyType(
    {
        "add_rows": add_rows,
        "mersenne_below": mersenne_below,
        "threefry2x32": threefry2x32,
        "philox4x32": philox4x32,
    }
)

BACKEND = Backend("numba", np, words, keep, drop, uniform, normal, FUSED)
