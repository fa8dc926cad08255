"""The one intrinsic: keep decisions as vectors, and the two kernels around it, which give a map and a mask.

One idea makes them fast. A *step* computes LANES Philox blocks at once, in 64-bit lanes so that the 32 x 32 -> 64 bit
multiply is one instruction, and turns them into STEP = 8 * LANES keep decisions, compared and selected as vectors of
16-bit halfwords. LLVM's portable vector types carry it, so one text serves AVX-512, AVX2, SSE and NEON. Ten Philox
rounds are long enough that the loads of x would stall behind them; asking for x 4 KB ahead hides the memory entirely.
A halfword that equals the threshold's first 16 bits (once in 65,536) is kept by the step and settled by `_settle`.

All functions that share the step live in this file, because Numba's cache notices edits of a function's own file only.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types, uint64
from numba.extending import intrinsic

from ...random.philox import MULTIPLIERS, ROUNDS, WEYL
from .compiling import kernel
from .lanes import I32, I64, pointer, prefetch, splat, vector
from .philox import philox

I8, I16 = ir.IntType(8), ir.IntType(16)
M0, M1 = MULTIPLIERS
W0, W1 = WEYL
_AVX512 = bool(llvm.get_host_cpu_features().get("avx512bw")) and not os.environ.get("NUMBA_CPU_NAME")
LANES = 32 if _AVX512 else 16  # Philox blocks a step: several independent chains hide the latency of the multiply
CHUNK = 32 if _AVX512 else 16  # elements a compare: one full register of halfwords; wider masks are slow below AVX-512
STEP = 8 * LANES  # elements a step


def _philox_lanes(b: ir.IRBuilder, block: ir.Value, address: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
    """LANES consecutive blocks -> their words (0, 1) and (2, 3), each pair packed in a 64-bit lane."""
    k0, k1, c1, c2, c3 = address
    low, s32 = vector(I64, [0xFFFFFFFF] * LANES), vector(I64, [32] * LANES)
    number = b.add(splat(b, block, LANES), vector(I64, list(range(LANES))))
    x0, x1, x2, x3 = (
        number,
        b.or_(b.lshr(number, s32), splat(b, c1, LANES)),
        splat(b, c2, LANES),
        splat(b, c3, LANES),
    )
    for _ in range(ROUNDS):
        # The high halves of x1 and x3 are left dirty: the next multiply reads low halves only.
        p0 = b.mul(b.and_(x0, low), vector(I64, [M0] * LANES))
        p1 = b.mul(b.and_(x2, low), vector(I64, [M1] * LANES))
        x0, x1 = b.xor(b.xor(b.lshr(p1, s32), x1), splat(b, k0, LANES)), p1
        x2, x3 = b.xor(b.xor(b.lshr(p0, s32), x3), splat(b, k1, LANES)), p0
        k0 = b.and_(b.add(k0, I64(W0)), I64(0xFFFFFFFF))
        k1 = b.and_(b.add(k1, I64(W1)), I64(0xFFFFFFFF))
    return b.or_(b.and_(x0, low), b.shl(x1, s32)), b.or_(b.and_(x2, low), b.shl(x3, s32))


def _halfwords(b: ir.IRBuilder, pairs: tuple[ir.Value, ir.Value], j: int) -> ir.Value:
    """Chunk j of the step: CHUNK halfwords in the order of the elements."""
    per = CHUNK // 8
    lanes = [lane for q in range(per) for lane in (per * j + q, LANES + per * j + q)]
    return b.bitcast(b.shuffle_vector(*pairs, vector(I32, lanes)), ir.VectorType(I16, CHUNK))


def _decide(b: ir.IRBuilder, address: list[ir.Value], block: ir.Value, hi: ir.Value, write: Any) -> ir.Value:
    """Call write(chunk, keep) for each chunk of the step at `block`; nonzero if some halfword equals hi."""
    pairs = _philox_lanes(b, block, address)
    limit = splat(b, hi, CHUNK)
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
        xp, yp = (pointer(context, b, sig.args[i], args[i], at) for i in (0, 1))
        part = ir.VectorType(scale.type, CHUNK).as_pointer()
        scales, fills = splat(b, scale, CHUNK), splat(b, fill, CHUNK)
        shifts = None
        if not isinstance(sig.args[-2], types.NoneType):  # a Python number: float64
            shifts = splat(b, b.fptrunc(shift, scale.type) if size == 4 else shift, CHUNK)

        def write(j: int, keep: ir.Value) -> None:
            source, target = (b.bitcast(b.gep(p, [I64(CHUNK * j)]), part) for p in (xp, yp))
            kept = b.fmul(b.load(source, align=size), scales)
            kept = kept if shifts is None else b.fadd(kept, shifts)
            b.store(b.select(keep, kept, fills), target, align=size)

        prefetch(b, xp, STEP * size)
        return _decide(b, address, block, hi, write)

    return sig, codegen


@intrinsic
def _keep_step(typingctx, out, at, block, k0, k1, c1, c2, c3, hi):  # type: ignore[no-untyped-def]
    """out[at : at + STEP] = keep as bytes; nonzero if a tie must be settled."""
    sig = types.uint32(out, at, *[types.uint64] * 6, types.uint16)
    return sig, _masks(CHUNK, lambda b, keep: b.zext(keep, ir.VectorType(I8, CHUNK)))


@intrinsic
def _bits_step(typingctx, out, at, block, k0, k1, c1, c2, c3, hi):  # type: ignore[no-untyped-def]
    """out[at : at + STEP / 8] = keep as bits, the first in the lowest; nonzero if a tie must be settled."""
    sig = types.uint32(out, at, *[types.uint64] * 6, types.uint16)
    return sig, _masks(CHUNK // 8, lambda b, keep: b.bitcast(keep, ir.IntType(CHUNK)))


def _masks(size: int, form: Any) -> Any:
    """The code of a step that stores the decisions of each chunk, in another form, in `size` bytes."""

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        at, block, *address, hi = args[1:]
        start = pointer(context, b, sig.args[0], args[0], at)

        def write(j: int, keep: ir.Value) -> None:
            value = form(b, keep)
            b.store(value, b.bitcast(b.gep(start, [I64(size * j)]), value.type.as_pointer()), align=1)

        return _decide(b, address, block, hi, write)

    return codegen


@intrinsic
def words_step(typingctx, words, at, block, k0, k1, c1, c2, c3):  # type: ignore[no-untyped-def]
    """words[at : at + 4 * LANES] = the words of the blocks from `block` on."""
    sig = types.void(words, at, *[types.uint64] * 6)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        at, block, *address = args[1:]
        target = pointer(context, b, sig.args[0], args[0], at)
        pairs = _philox_lanes(b, block, address)
        for j in range(STEP // CHUNK):
            part = b.bitcast(_halfwords(b, pairs, j), ir.VectorType(I32, CHUNK // 2))
            b.store(part, b.bitcast(b.gep(target, [I64(CHUNK // 2 * j)]), part.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return sig, codegen


@kernel
def _settle(y, at, block, address, hi, lo, dropped):  # type: ignore[no-untyped-def]
    """Write `dropped` at those ties of the step at `block` that the second draw drops. Never reads x: it may be y."""
    k0, k1, c1, c2, c3 = address
    tie_c3 = c3 | uint64(1 << 24)  # the purpose table: kind 1 instead of 0
    for i in range(STEP):
        here = block + uint64(i >> 3)
        low, high = philox(here, k0, k1, c1, c2, c3)
        word = low if i & 4 == 0 else high
        if (word >> uint64(16 * (i & 3))) & uint64(0xFFFF) == uint64(hi):
            low, high = philox(uint64(4) * here + uint64((i & 7) >> 1), k0, k1, c1, c2, tie_c3)
            if (low if i & 1 == 0 else high) >> uint64(16) < lo:
                y[at + i] = dropped


@kernel
def drop_runs(x, y, addresses, starts, length, hi, lo, scale, shift, fill):  # type: ignore[no-untyped-def]
    """The map over flat x and y: for each key, for each run, `length` elements numbered from the run's start.

    Numbers come as Python's, which are quicker to hand over, and become those of the arrays here.
    """
    number = x.dtype.type
    factor, other, first, rest = number(scale), number(fill), np.uint16(hi), uint64(lo)
    source, target = np.empty(STEP, x.dtype), np.empty(STEP, x.dtype)
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
                    if _drop_step(x, y, at, block, k0, k1, c1, c2, c3, first, factor, shift, other) and rest:
                        _settle(y, at, block, address, first, rest, other)
                else:
                    source[lead : lead + n] = x[at : at + n]
                    if _drop_step(source, target, 0, block, k0, k1, c1, c2, c3, first, factor, shift, other) and rest:
                        _settle(target, 0, block, address, first, rest, other)
                    y[at : at + n] = target[lead : lead + n]
                at += n
                e += n


@kernel
def drop_runs_each(x, y, addresses, starts, length, hi, lo, scale, shift, fill):  # type: ignore[no-untyped-def]
    """`drop_runs` with a rate and a scale for each key."""
    n = len(starts) * length
    for k in range(len(addresses)):
        part = slice(k * n, (k + 1) * n)
        drop_runs(x[part], y[part], addresses[k : k + 1], starts, length, hi[k], lo[k], scale[k], shift, fill)


@kernel
def keep_runs(out, addresses, starts, length, hi, lo):  # type: ignore[no-untyped-def]
    """The mask alone, as bytes; the same walk as `drop_runs`."""
    first, rest = np.uint16(hi), uint64(lo)
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
                    if _keep_step(out, at, block, k0, k1, c1, c2, c3, first) and rest:
                        _settle(out, at, block, address, first, rest, 0)
                else:
                    if _keep_step(padded, 0, block, k0, k1, c1, c2, c3, first) and rest:
                        _settle(padded, 0, block, address, first, rest, 0)
                    out[at : at + n] = padded[lead : lead + n]
                at += n
                e += n


@kernel
def keep_bits_runs(out, addresses, start, length, hi, lo):  # type: ignore[no-untyped-def]
    """The mask of one run that starts with a block, one bit an element; a row of `out` for each key."""
    first, rest = np.uint16(hi), uint64(lo)
    mask, last = np.empty(STEP, np.uint8), np.empty(STEP // 8, np.uint8)
    for k in range(len(addresses)):
        row = out[k]
        k0, k1, c1, c2, c3 = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3], addresses[k, 4]
        for at in range(0, length, STEP):
            block, n = uint64((start + at) >> 3), min(STEP, length - at)
            to, place = (row, at >> 3) if n == STEP else (last, 0)
            if _bits_step(to, place, block, k0, k1, c1, c2, c3, first) and rest:
                _keep_step(mask, 0, block, k0, k1, c1, c2, c3, first)
                _settle(mask, 0, block, (k0, k1, c1, c2, c3), first, rest, 0)
                for i in range(STEP // 8):
                    to[place + i] = 0
                for i in range(STEP):
                    to[place + (i >> 3)] |= mask[i] << (i & 7)
            if n < STEP:
                for i in range(n, STEP):  # beyond the end no bit is set
                    last[i >> 3] &= ~(1 << (i & 7))
                row[at >> 3 :] = last[: (n + 7) >> 3]
