"""Every kernel against the NumPy reference, on the CPU: bit for bit, but for what takes logarithms and exponentials.

A check takes a `Bench`, on which kernels are launched, and raises AssertionError. The arrays of a bench lie between
canaries, aligned to 16 bytes or not; it launches with grids too small for the work as well as large enough ones, and
turns the order of blocks and threads from launch to launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....random import MASK, NORMAL, TIE, UNIFORM, Index, Key, Keys, Threshold, philox, threshold
from ... import numpy as reference
from ...select import select
from .. import instances, plan
from .host import Module

CANARY, GUARD = 0xA5, 64  # its byte, and how many lie on each side of an array
KEYS: tuple[Keys, ...] = (Key(1), (Key(1), Key(2**64 - 1, 2**16 - 1, 2**32 - 1, 2**24 - 1), Key(1, step=9)))
INDICES = {
    "run": Index.whole((9, 83)),
    "run of whole blocks": Index.whole((9, 88)),
    "from a block on": Index.whole((9, 88))[3:],
    "within a block": Index.whole(700)[5:],
    "one": Index.whole(()),
    "shared first": Index.whole((9, 83), shared=0),
    "shared last": Index.whole((9, 83), shared=1),
    "shared in the middle": Index.whole((3, 5, 16), shared=1),
    "all shared": Index.whole((9, 83), shared=(0, 1)),
    "columns": Index.whole((9, 200))[:, 100:183],
    "strided": Index.whole((18, 249))[1::2, ::3],
    "rows": Index.whole((50, 83))[np.array([3, 49, 0, 3, 7, 8, 9, 1, 2])],
    "rows alone": Index.whole(50)[np.array([3, 49, 0, 3, 7, 8, 9, 1, 2, 2, 1])],
    "far": Index.whole((1 << 40, 83))[(1 << 40) - 9 :],
}
NEVER = Threshold(0, 0)
ELEMENTS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass
class Bench:
    """Where kernels are launched. canaries=False leaves the edges of arrays to AddressSanitizer."""

    module: Module
    canaries: bool = True
    launches: int = 0
    arrays: list[np.ndarray] = field(default_factory=list)  # the bytes of each array with its canaries

    def empty(self, shape: Any, dtype: Any, skew: int = 0) -> np.ndarray:
        """A new array full of canaries, `skew` elements off an address that 16 divides."""
        dtype = np.dtype(dtype)
        guard = GUARD if self.canaries else 0
        nbytes = int(np.prod(shape)) * dtype.itemsize
        raw = np.full(nbytes + 2 * guard + skew * dtype.itemsize + 15 * self.canaries, CANARY, np.uint8)
        start = (-raw.ctypes.data % 16 if self.canaries else 0) + guard + skew * dtype.itemsize
        array = raw[start : start + nbytes].view(dtype).reshape(shape)
        if self.canaries:
            self.arrays += [raw[:start], raw[start + nbytes :]]
        return array

    def holding(self, values: Any, skew: int = 0) -> np.ndarray:
        """A new array of those values."""
        values = np.asarray(values)
        array = self.empty(values.shape, values.dtype, skew)
        array[...] = values
        return array

    def launch(self, name: str, arguments: Sequence[Any], tasks: int, keys: int = 1, threads: int = 1) -> None:
        """Launch, sometimes on one block only, and look after the canaries."""
        self.launches += 1
        grid, block = plan.launch(tasks, keys, threads=threads)
        grid = (1, 1) if self.launches % 3 == 0 else grid
        self.module.launch(name, grid, block, arguments, order=self.launches)
        assert all((canary == CANARY).all() for canary in self.arrays), f"{name} writes beside its arrays"
        self.arrays.clear()

    def drawn(
        self, key: Keys, kind: int, where: plan.Where, limit: Threshold = NEVER, from_memory: bool = False
    ) -> list[Any]:
        """The arguments DRAW; the addresses of several keys, or of one that a graph may change, lie in memory."""
        keys = key if isinstance(key, tuple) else (key,)
        address, memory = keys[0].address(kind), None
        if len(keys) > 1 or from_memory:
            memory = self.holding(np.array([one.address(kind) for one in keys], np.uint32))
            address = (0,) * 5
        return [plan.draw(address, limit), memory, np.uint32(len(keys)), where.value, where.rows]

    def rates(self, limit: Threshold) -> list[Any]:
        """The arguments RATES."""
        if np.ndim(limit.hi) == 0:
            return [None, None]
        return [self.holding(limit.hi), self.holding(limit.lo)]


Check = Callable[[Bench], None]


def cases() -> Iterator[tuple[str, Index, Keys]]:
    for name, index in INDICES.items():
        for key in KEYS:
            yield name, index, key


def limits(index: Index, key: Keys) -> Iterator[Threshold]:
    """Thresholds: of common rates, of rates at the ends, of one rate an element; and those that some element ties."""
    for p in (0.0, 1e-9, 0.3, 1 - 2.0**-53, 1.0):
        yield threshold(p)
    last = index.noise_shape[-1:]
    yield threshold(np.linspace(0, 1, last[0]) if last else np.array(0.25))
    one, e = key[0] if isinstance(key, tuple) else key, index.elements().reshape(-1)
    for at in {0, len(e) // 2, len(e) - 1}:
        hi, lo = decisive(one, int(e[at]))
        yield from (Threshold(hi, lo), Threshold(hi, lo + 1), Threshold(hi, 0), Threshold(hi + 1, 0))


def decisive(key: Key, e: int) -> tuple[int, int]:
    """The 16 bits, and the 48 after them, that element e is compared with."""
    words = philox.blocks(key, MASK, np.array([e >> 3])).view(np.uint16).reshape(-1)
    tie = philox.blocks(key, TIE, np.array([e >> 1])).view(np.uint64).reshape(-1)
    return int(words[e & 7]), int(tie[e & 1]) >> 16


def full_shape(index: Index, key: Keys, noise: bool = False) -> tuple[int, ...]:
    """The shape of an array for each key, those of several keys one after the other."""
    shape = index.noise_shape if noise else index.shape
    return (len(key), *shape) if isinstance(key, tuple) else shape


def count(key: Keys) -> int:
    return len(key) if isinstance(key, tuple) else 1


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bits; all NaN are one."""
    return bool(((a == b) & (np.signbit(a) == np.signbit(b)) | (a != a) & (b != b)).all())


def widened(x: np.ndarray) -> np.ndarray:
    """A uint16 array holds bfloat16 numbers."""
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


def narrowed(wide: np.ndarray, dtype: Any) -> np.ndarray:
    """Round once, to the nearest and to even. NaN become one."""
    if dtype != np.uint16:
        with np.errstate(over="ignore"):
            return wide.astype(dtype)
    bits = wide.view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(wide), 0x7FFF, rounded).astype(np.uint16)


def expected_drop(x: np.ndarray, keep: Any, scale: Any, shift: float | None, fill: Any) -> np.ndarray:
    """The map, by the reference; bfloat16 by way of float32."""
    if x.dtype != np.uint16:
        return select(np, x, keep, scale, shift, fill)
    fill = widened(fill) if np.ndim(fill) else fill
    return narrowed(select(np, widened(x), keep, scale, shift, fill), np.uint16)


def numbers(shape: Any, dtype: Any, seed: int = 0) -> np.ndarray:
    """Numbers of every kind: normal, subnormal, -0, infinite, NaN."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 3, shape)
    flat = np.atleast_1d(x).reshape(-1)
    specials = (-0.0, 0.0, np.inf, -np.inf, np.nan, 1e-40, -6e-8, 3e38, 65504.0, 1e-310)
    for i, special in enumerate(specials):
        flat[i :: max(37, len(specials))] = special
    x = flat.reshape(shape)
    return narrowed(x.astype(np.float32), dtype) if dtype == np.uint16 else narrowed(x, dtype)


def check_keep(bench: Bench) -> None:
    """Masks as bytes and as bits, at every kind of threshold, ties included."""
    for name, index, key in cases():
        for i, limit in enumerate(limits(index, key)):
            expected = reference.BACKEND.keep(key, index, limit)
            where = plan.where(index, noise=True, rates=np.shape(limit.hi), walk=np.ndim(limit.hi) > 0)
            size = int(where.value["size"][0])
            arguments = [*bench.drawn(key, MASK, where, limit, i % 2 == 0), *bench.rates(limit)]
            out = bench.empty(full_shape(index, key, noise=True), np.bool_, skew=i % 2)
            bench.launch(f"keep_bytes<{where.name}>", [out, *arguments], -(-size // 8), count(key))
            assert np.array_equal(out, expected), f"keep_bytes: {name}, {limit}"
            bits = bench.empty((count(key), -(-size // 8)), np.uint8)
            bench.launch(f"keep_bits<{where.name}>", [bits, *arguments], -(-size // 8), count(key))
            packed = np.packbits(expected.reshape(count(key), -1), axis=1, bitorder="little")
            assert np.array_equal(bits, packed), f"keep_bits: {name}, {limit}"


def check_words(bench: Bench) -> None:
    """Words, and what is made of them: uniform numbers bit for bit, normal ones as near as the contract says."""
    for name, index, key in cases():
        where = plan.where(index, noise=True)
        shape, tasks = full_shape(index, key, noise=True), -(-int(where.value["size"][0]) // 4)
        for skew in (0, 1):
            out = bench.empty(shape, np.uint32, skew)
            bench.launch(f"words<{where.name}>", [out, *bench.drawn(key, 5, where)], tasks, count(key))
            assert np.array_equal(out, reference.BACKEND.words(key, index, 5)), f"words: {name}"
        for element, tolerance in (("F64", 1e-14), ("F32", 1e-6), ("F16", 4e-3)):
            dtype = ELEMENTS[element]
            noise = bench.empty(shape, dtype)
            bench.launch(
                f"uniform<{element}, {where.name}>", [noise, *bench.drawn(key, UNIFORM, where)], tasks, count(key)
            )
            assert np.array_equal(noise, reference.BACKEND.uniform(key, index, dtype)), f"uniform: {name}, {element}"
            noise = bench.empty(shape, dtype)
            bench.launch(
                f"normal<{element}, {where.name}>", [noise, *bench.drawn(key, NORMAL, where)], tasks, count(key)
            )
            distance = np.abs(noise.astype(np.float64) - reference.BACKEND.normal(key, index, dtype))
            assert distance.max() <= tolerance, f"normal: {name}, {element}"


def check_drop(bench: Bench) -> None:
    """The map in every type: scale, shift, fill as a number and as an array, saved bits and what is made of them."""
    for turn, (name, index, key) in enumerate(cases()):
        for element, dtype in ELEMENTS.items():
            x = numbers(full_shape(index, key), dtype, turn)
            for i, (p, scale, shift, fill) in enumerate(
                ((0.3, 1 / 0.7, None, 0.0), (0.5, 1.7, 0.3, -1.75), (0.2, 1.0, None, x[::-1] if x.ndim else x))
            ):
                what = f"drop: {name}, {element}, scale {scale}, shift {shift}"
                _check_one_drop(bench, element, x, key, index, threshold(p), scale, shift, fill, (i + turn) % 2, what)


def _check_one_drop(
    bench: Bench, element: str, x: np.ndarray, key: Keys, index: Index, limit: Threshold, *rest: Any
) -> None:
    scale, shift, fill, skew, what = rest
    where = plan.where(index)
    keep = np.broadcast_to(reference.BACKEND.keep(key, index, limit), x.shape)
    a_map = plan.the_map(element, scale, shift, 0.0 if np.ndim(fill) else fill)
    other = bench.holding(fill, skew) if np.ndim(fill) else None
    source, y = bench.holding(x, skew), bench.empty(x.shape, x.dtype, skew)
    bits = bench.empty((count(key), -(-index.size // 8)), np.uint8)
    tasks = -(-index.size // 8)
    arguments = [source, y, other, bits, None, a_map, *bench.drawn(key, MASK, where, limit), None, None]
    bench.launch(f"drop<{element}, {where.name}>", arguments, tasks, count(key))
    expected = expected_drop(x, keep, scale, shift, fill)
    assert same(widened(y), widened(expected)), what
    assert np.array_equal(bits, np.packbits(keep.reshape(count(key), -1), axis=1, bitorder="little")), what
    again = bench.empty(x.shape, x.dtype, skew)
    sizes = [np.uint64(index.size), np.uint32(count(key))]
    bench.launch(f"drop_saved<{element}>", [source, again, other, bits, *sizes, a_map], tasks, count(key))
    assert same(widened(again), widened(expected)), f"{what}, saved"


def check_patterns(bench: Bench) -> None:
    """All bits that a 16-bit number can have, and many of the longer ones."""
    rng = np.random.default_rng(0)
    index, key, limit = Index.whole(1 << 16), Key(8), threshold(0.25)
    where, keep = plan.where(index), reference.BACKEND.keep(key, index, limit)
    for element, dtype in ELEMENTS.items():
        width = np.dtype(dtype).itemsize
        x = np.arange(1 << 16, dtype=np.uint16) if width == 2 else rng.integers(0, 256, width << 16, np.uint8)
        x, y = bench.holding(x.view(dtype)), bench.empty(1 << 16, dtype)
        for scale in (4 / 3, 1.0, 1e-3):
            arguments = [x, y, None, None, None, plan.the_map(element, scale), *bench.drawn(key, MASK, where, limit)]
            bench.launch(f"drop<{element}, Run>", [*arguments, None, None], index.size // 8)
            assert same(widened(y), widened(expected_drop(x, keep, scale, None, 0.0))), (
                f"drop: {element}, times {scale}"
            )


def check_rates(bench: Bench) -> None:
    """A rate and a scale for each column, each row, each element."""
    key, index = Key(4), Index.whole((6, 5, 11))
    for shape in ((11,), (6, 1, 1), (5, 1), (6, 5, 11), (6, 1, 11)):
        p = np.random.default_rng(1).random(shape)
        limit, scale = threshold(p), 1 / (1 - p)
        where = plan.where(index, rates=shape, walk=True)
        keep = reference.BACKEND.keep(key, index, limit)
        for element, dtype in ELEMENTS.items():
            x = numbers(index.shape, dtype)
            y, wide = bench.empty(x.shape, dtype), np.float64 if element == "F64" else np.float32
            scales = bench.holding(scale.astype(wide))
            arguments = [bench.holding(x), y, None, None, scales, plan.the_map(element)]
            arguments += [*bench.drawn(key, MASK, where, limit), *bench.rates(limit)]
            bench.launch(f"drop<{element}, Walk>", arguments, -(-index.size // 8))
            assert same(widened(y), widened(expected_drop(x, keep, scale, None, 0.0))), (
                f"drop: {element}, rates {shape}"
            )


def check_residual(bench: Bench) -> None:
    """Bias, dropout and residual: the steps one by one in the type of the arithmetic, rounded at the end."""
    for name in ("run", "run of whole blocks", "shared first", "columns"):
        for (element, dtype), key in zip(ELEMENTS.items(), KEYS * 2, strict=True):
            index, limit = INDICES[name], threshold(0.3)
            x, residual = (numbers(full_shape(index, key), dtype, seed) for seed in (1, 2))
            bias = numbers(index.shape[-1:], dtype, 3)
            for b, r in ((bias, residual), (None, residual), (bias, None)):
                _check_one_residual(bench, element, x, b, r, key, index, limit, name)


def _check_one_residual(
    bench: Bench, element: str, x: np.ndarray, bias: Any, residual: Any, key: Keys, index: Index, *rest: Any
) -> None:
    limit, name = rest
    where, wide = plan.where(index), widened(x).dtype if x.dtype != np.float16 else np.dtype(np.float32)
    arrays = [None if a is None else bench.holding(a) for a in (x, bias, residual)]
    y = bench.empty(x.shape, x.dtype)
    arguments = [*arrays, y, np.uint64(index.shape[-1]), plan.the_map(element, 1 / 0.7)]
    arguments += [*bench.drawn(key, MASK, where, limit), None, None]
    bench.launch(f"bias_drop_residual<{element}, {where.name}>", arguments, -(-index.size // 8), count(key))
    with np.errstate(all="ignore"):
        a = widened(x).astype(wide)
        b, r = (None if one is None else widened(one).astype(wide) for one in (bias, residual))
        moved = a if b is None else a + b
        keep = reference.BACKEND.keep(key, index, limit)
        dropped = np.where(keep, moved * wide.type(1 / 0.7), wide.type(0))
        expected = narrowed(dropped if r is None else dropped + r, x.dtype)
    assert same(widened(y), widened(expected)), f"bias_drop_residual: {name}, {element}"


def check_rows(bench: Bench) -> None:
    """Rows looked up and dropped by number, and added up by number."""
    rng = np.random.default_rng(5)
    for width in (1, 11, 24):
        for (element, dtype), key in zip(ELEMENTS.items(), KEYS * 2, strict=True):
            ids = rng.integers(0, 13, (count(key), 40))
            _check_gather(bench, element, numbers((13, width), dtype, width), ids, key)
            _check_add(bench, element, narrowed(rng.standard_normal((40, width)).astype(np.float32), dtype), ids[0])


def _check_gather(bench: Bench, element: str, table: np.ndarray, ids: np.ndarray, key: Keys) -> None:
    width, limit = table.shape[1], threshold(0.4)
    y = bench.empty((*ids.shape, width), table.dtype)
    nowhere = plan.where(Index.whole(()))
    drawn = bench.drawn(key, MASK, nowhere, limit)[:3]
    sizes = [np.uint64(ids.shape[1]), np.uint64(width)]
    arguments = [bench.holding(table), bench.holding(ids), y, *sizes, plan.the_map(element, 1 / 0.6, None, 0.5), *drawn]
    bench.launch(f"gather_rows<{element}>", arguments, ids.shape[1] * -(-width // 8), count(key))
    keep = reference.BACKEND.keep(key, Index.whole(len(table)), limit).reshape(len(ids), -1)
    kept = np.take_along_axis(keep, ids, 1)[..., None]
    assert same(widened(y), widened(expected_drop(table[ids], kept, 1 / 0.6, None, 0.5))), (
        f"gather_rows: {element}, {width}"
    )


def _check_add(bench: Bench, element: str, x: np.ndarray, ids: np.ndarray) -> None:
    width, key, limit = x.shape[1], Key(6), threshold(0.4)
    order = np.argsort(ids, kind="stable")
    words, starts = np.unique(ids[order], return_index=True)
    held = [bench.holding(a.astype(np.int64)) for a in (order, np.append(starts, len(ids)), words)]
    out = bench.holding(np.zeros((13, width), x.dtype))
    sizes = [np.uint64(len(words)), np.uint64(width)]
    drawn = [plan.draw(key.address(MASK), limit), None]
    arguments = [bench.holding(x), *held, out, *sizes, plan.the_map(element, 1 / 0.6), *drawn]
    bench.launch(f"add_rows<{element}>", arguments, len(words) * -(-width // 8))
    wide = widened(x).astype(np.float64 if element == "F64" else np.float32)
    sums = np.zeros((13, width), wide.dtype)
    for i, word in enumerate(ids):
        sums[word] += wide[i]
    keep = reference.BACKEND.keep(key, Index.whole(13), limit)[:, None]
    expected = narrowed(np.where(keep, sums * wide.dtype.type(1 / 0.6), wide.dtype.type(0)), x.dtype)
    assert same(widened(out), widened(expected)), f"add_rows: {element}, {width}"


def check_blocks(bench: Bench) -> None:
    """Blocks on maps smaller and larger than a tile, odd and even, wide and high."""
    for size, block in (
        ((5, 7), (2, 3)),
        ((40, 33), (7, 7)),
        ((33, 70), (1, 64)),
        ((64, 64), (33, 2)),
        ((1, 9), (1, 4)),
    ):
        for key in KEYS:
            places = tuple(n - b + 1 for n, b in zip(size, block, strict=True))
            seeds, limit = Index.whole((4, 2, *places))[1:], threshold(0.05)
            where, maps = plan.maps(seeds), 6 * count(key)
            keep, kept = bench.empty((maps, *size), np.bool_), bench.holding(np.zeros(maps, np.uint32))
            arguments = [
                keep,
                kept,
                plan.blocks(*size, block, *seeds.strides[-2:]),
                *bench.drawn(key, MASK, where, limit),
            ]
            bench.launch("block_mask", arguments, 6 * plan.tiles(*size), count(key), threads=plan.THREADS)
            dropped = ~reference.BACKEND.keep(key, seeds, limit).reshape(maps, *places)
            covered = np.zeros(keep.shape, np.bool_)
            for i, j in np.ndindex(block):
                covered[:, i : i + places[0], j : j + places[1]] |= dropped
            assert np.array_equal(keep, ~covered), f"block_mask: {block} on {size}"
            assert np.array_equal(kept, (~covered).sum(axis=(1, 2))), f"block_mask: kept of {block} on {size}"


def check_softmax(bench: Bench) -> None:
    """Softmax within the rounding of its sums; what is dropped from it, bit for bit; and its gradient."""
    for index in (
        Index.whole((5, 83)),
        Index.whole((3, 300))[1:],
        Index.whole((5, 83), shared=0),
        Index.whole((2, 2056)),
    ):
        for (element, tolerance), key in zip(
            {"F64": 1e-14, "F32": 2e-6, "F16": 1e-3, "BF16": 1e-2}.items(), KEYS * 2, strict=True
        ):
            _check_one_softmax(bench, element, tolerance, index, key)


def _check_one_softmax(bench: Bench, element: str, tolerance: float, index: Index, key: Keys) -> None:
    rng, width, dtype, limit = np.random.default_rng(2), index.shape[-1], ELEMENTS[element], threshold(0.3)
    x, g = (narrowed(rng.standard_normal(full_shape(index, key)).astype(np.float32), dtype) for _ in range(2))
    x[..., 0, :] = narrowed(np.full(width, -np.inf, np.float32), dtype)  # a query that sees nothing
    p, y, dx = (bench.empty(x.shape, dtype) for _ in range(3))
    where, a_map = plan.where(index, row_width=width), plan.the_map(element, 1 / 0.7)
    rest = [np.uint64(width), a_map, *bench.drawn(key, MASK, where, limit), None, None]
    rows = index.size // width
    bench.launch(
        f"softmax_drop<{element}, {where.name}>", [bench.holding(x), p, y, *rest], rows, count(key), plan.THREADS
    )
    with np.errstate(invalid="ignore"):
        e = np.exp(widened(x).astype(np.float64) - widened(x).astype(np.float64).max(-1, keepdims=True))
        weights = np.nan_to_num(e / e.sum(-1, keepdims=True))
    keep = reference.BACKEND.keep(key, index, limit)
    assert np.abs(widened(p) - weights).max() <= tolerance, f"softmax_drop: {element}"
    assert same(widened(y), widened(expected_drop(p, keep, 1 / 0.7, None, 0.0))), f"softmax_drop: {element}, dropped"
    held = bench.holding(p)
    bench.launch(
        f"softmax_drop_grad<{element}, {where.name}>",
        [bench.holding(g), held, dx, *rest],
        rows,
        count(key),
        plan.THREADS,
    )
    wide = widened(p).astype(np.float64)
    arriving = np.where(keep, widened(g) / 0.7, 0.0)
    expected = wide * (arriving - (wide * arriving).sum(-1, keepdims=True))
    assert np.abs(widened(dx) - expected).max() <= 4 * tolerance, f"softmax_drop_grad: {element}"


def check_far(bench: Bench) -> None:
    """Positions beyond 2^35 in arrays that exist only around them: no index may be cut to 32 bits on its way."""
    index, limit, n = Index.whole((1 << 35) + 2048), threshold(0.3), 2048
    for element, dtype in ELEMENTS.items():
        for shared, name in ((index, "Run"), (Index.whole(((1 << 35) // 2048 + 1, 2048), shared=1), "Walk")):
            where, x = plan.where(shared), numbers(n, dtype)
            before = (index.size - n) * x.itemsize
            source, y, bits = bench.holding(x), bench.empty(n, dtype), bench.empty(n // 8, np.uint8)
            moved = [plan_pointer(a, by) for a, by in ((source, before), (y, before), (bits, (index.size - n) // 8))]
            arguments = [moved[0], moved[1], None, moved[2], None, plan.the_map(element, 1.5)]
            arguments += [*bench.drawn(Key(3), MASK, where, limit), None, None]
            grid = index.size // n  # a block of 256 threads takes 2048 elements
            bench.module.launch(f"drop<{element}, {name}>", (grid, 1), (256,), arguments, blocks=(grid - 1, grid))
            bench.launches += 1
            part = shared[-1:] if name == "Walk" else shared[index.size - n :]
            keep = np.broadcast_to(reference.BACKEND.keep(Key(3), part, limit).reshape(-1), n)
            assert same(widened(y), widened(expected_drop(x, keep, 1.5, None, 0.0))), f"drop: {element}, {name}, far"
            assert np.array_equal(bits, np.packbits(keep, bitorder="little")), f"drop: {element}, {name}, far bits"


def plan_pointer(array: np.ndarray, bytes_before: int) -> Any:
    """Where an array would begin of which this one is the end."""
    return ("p", (array.ctypes.data - bytes_before).to_bytes(8, "little", signed=True))


CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): function for name, function in list(globals().items()) if name.startswith("check_")
}
NEEDS = {  # the kernels of a check, by the beginning of their names
    "keep": ("keep_",),
    "words": ("words", "uniform", "normal"),
    "drop": ("drop",),
    "patterns": ("drop<",),
    "rates": ("drop<",),
    "residual": ("bias",),
    "rows": ("gather", "add"),
    "blocks": ("block",),
    "softmax": ("softmax",),
    "far": ("drop<",),
}


def needed(check: str) -> tuple[str, ...]:
    """The instances that a check launches."""
    return tuple(name for name in instances() if name.startswith(NEEDS[check]))
