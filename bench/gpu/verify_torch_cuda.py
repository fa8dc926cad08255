"""Hold `streams.TorchCUDA` beside PyTorch on a CUDA device: masks, values, offsets. About a minute.

    python bench/gpu/verify_torch_cuda.py [--golden]

Prints every comparison with its mismatches; `--golden` keeps masks of this GPU beside the other golden files. Then it
shows whether PyTorch gives the same random words twice, where a dropout draws more than it reserves. Exits with 1 where
anything differs.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden" / "streams")]

from puredrop.streams import TorchCUDA  # noqa: E402

DTYPES = "float32", "float64", "float16", "bfloat16"
RATES = (0.1, 0), (0.5, 42), (1 / 3, 2**32 + 5), (0.999, 2**63 + 9)  # with seeds
SMALL = 4096  # elements of a mask that is worth keeping


class Device:
    """PyTorch on a CUDA device. A test puts the CPU in its place."""

    name = "cuda"

    def __init__(self):
        import torch

        self.torch, self.functional = torch, torch.nn.functional

    def described(self):
        """What PyTorch and the device are, and the geometry."""
        properties = self.torch.cuda.get_device_properties(0)
        geometry = {
            "sm_count": properties.multi_processor_count,
            "threads_per_sm": properties.max_threads_per_multi_processor,
        }
        return f"torch {self.torch.__version__}, {properties.name}", geometry

    def wide_vectors(self):
        """Whether this PyTorch reads 16 bytes at once: 2.7 and later."""
        return tuple(map(int, self.torch.__version__.split(".")[:2])) >= (2, 7)

    def seed(self, seed, offset=0):
        """Set the generator of the device."""
        generator = self.torch.cuda.default_generators[0]
        generator.manual_seed(seed)
        if offset:
            generator.set_offset(offset)

    def offset(self):
        """Where the generator stands."""
        return self.torch.cuda.default_generators[0].get_offset()

    def dropout(self, x, p, inplace=False):
        """`F.dropout`."""
        return self.functional.dropout(x, p, True, inplace)

    def channels(self, x, p):
        """`feature_dropout`, which is under dropout1d, 2d and 3d."""
        return self.torch.feature_dropout(x, p, True)

    def alpha(self, x, p):
        """`F.alpha_dropout`."""
        return self.functional.alpha_dropout(x, p, True)

    def bernoulli(self, n, q, dtype):
        """`bernoulli_`."""
        return self.ones(n, dtype=dtype).bernoulli_(q)

    def ones(self, *shape, dtype="float32"):
        return self.torch.ones(shape, device=self.name, dtype=getattr(self.torch, dtype))


class Comparisons:
    """Streams beside the device, counted by name; masks kept on the way."""

    def __init__(self, device, geometry, golden=None):
        self.device, self.geometry, self.golden = device, geometry | {"wide_vectors": device.wide_vectors()}, golden
        self.elements, self.mismatches = Counter(), Counter()

    def begin(self, seed, offset=0, **options):
        """Both generators at the same place."""
        self.device.seed(seed, offset)
        made = {"seed": seed, "offset": offset, **self.geometry, **options}
        if self.golden is not None:
            self.golden.chain(**made)
        return TorchCUDA(**made)

    def count(self, name, ours, theirs):
        """One comparison."""
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.shape != theirs.shape:
            raise ValueError(f"{name}: ours has shape {ours.shape}, theirs {theirs.shape}")
        wrong = int((ours != theirs).sum())
        if wrong and not self.mismatches[name]:
            print(f"first mismatch: {name}, {wrong} of {ours.size}, shape {ours.shape}")
        self.elements[name] += ours.size
        self.mismatches[name] += wrong

    def mask(self, name, stream, p, x, y, operation="dropout"):
        """Our next mask for x beside where y is kept, and the offset after it."""
        dtype = str(x.dtype).removeprefix("torch.")
        keep = stream.mask(x.shape, p, operation=operation, dtype=dtype, strides=x.stride())
        theirs = (y != 0).cpu().numpy()
        self.count(f"{name} {dtype}", np.broadcast_to(keep, x.shape), theirs)
        self.count("offsets", [stream.offset], [self.device.offset()])
        if self.golden is not None and name == "dropout" and x.numel() <= SMALL:
            self.golden.mask(theirs, p, dtype=dtype)
        return keep

    def report(self):
        """The table, and the number of all mismatches."""
        for name in sorted(self.elements):
            print(f"{name:50} {self.mismatches[name]:>10,} of {self.elements[name]:>13,} differ")
        total = sum(self.mismatches.values())
        print(f"{sum(self.elements.values()):,} elements, {total:,} mismatches")
        return total


def alignment(x):
    """The largest power of two that divides the address of the data."""
    address = x.data_ptr()
    return address & -address


def sizes(full):
    """Numbers of elements about the places where kernels change what they do; `full`: threads of a full grid."""
    few = (1, 2, 3, 4, 5, 7, 8, 16, 255, 256, 257, 1000, 1024, 4096, 65536)
    many = (full - 1, full, full + 8, 4 * full, 4 * full + 4, 4 * full + 8, 8 * full, 8 * full + 8)
    return (*few, *many, 9 * full + 6, 12 * full + 3)


def fused(check, full):
    """`dropout` of contiguous arrays, twice in a row, so that offsets matter."""
    for dtype in DTYPES:
        for n in sizes(full):
            for p, seed in RATES:
                stream = check.begin(seed)
                for _ in range(2):
                    x = check.device.ones(n, dtype=dtype)
                    check.mask("dropout", stream, p, x, check.device.dropout(x, p))
        for start in (1, 2, 3, 4, 6, 8):
            x = check.device.ones(70_000, dtype=dtype)[start : start + 65_536]
            stream = check.begin(7, 4 * start, alignment=alignment(x))
            check.mask("dropout, not aligned,", stream, 0.3, x, check.device.dropout(x, 0.3))


def layouts(check):
    """Arrays that do not lie in C order, or not densely; in place too."""
    ones = check.device.ones
    for dtype in DTYPES:
        arrays = (
            ones(64, 48, dtype=dtype).t(),
            ones(33, 7, dtype=dtype).t(),
            ones(2, 6, 8, 10, dtype=dtype).to(memory_format=check.device.torch.channels_last),
            ones(40, 64, dtype=dtype)[:, 8:40],
            ones(8192, dtype=dtype)[::2],
            ones(1, 64, dtype=dtype).expand(32, 64),
            ones(4, 6, 8, dtype=dtype).permute(2, 0, 1),
            ones(8, 12, 16, dtype=dtype)[:, ::2].permute(2, 0, 1),
        )
        for x in arrays:
            stream = check.begin(5, alignment=alignment(x))
            check.mask("dropout, other layouts,", stream, 0.4, x, check.device.dropout(x, 0.4))
            own = x.contiguous() if 0 in x.stride() else x.clone()
            stream = check.begin(6)
            check.mask("dropout, in place,", stream, 0.4, own, check.device.dropout(own.clone(), 0.4, True), "dropout_")


def others(check, full):
    """The other kernel: channels, alpha, bernoulli_."""
    for dtype in DTYPES:
        for shape in ((3, 5, 4, 4), (8, 64, 7, 1), (512, 1024, 2, 1), (4096, 1030, 1, 1)):
            x = check.device.ones(*shape, dtype=dtype)
            stream = check.begin(9)
            check.mask("channels", stream, 0.25, x, check.device.channels(x, 0.25), "dropout2d")
        for n in (1, 5, 1000, full + 3, 4 * full + 1, 9 * full + 2):
            stream = check.begin(10)
            theirs = check.device.bernoulli(n, 0.37, dtype) != 0
            check.count(f"bernoulli_ {dtype}", stream.bernoulli_(n, 0.37, dtype), theirs.cpu().numpy())
            check.count("offsets", [stream.offset], [check.device.offset()])
        x = check.device.ones(5000, dtype=dtype) * 0  # a kept zero becomes positive, a dropped one negative
        stream = check.begin(12)
        check.mask("alpha_dropout", stream, 0.3, x, check.device.alpha(x, 0.3) > 0, "alpha_dropout")


def values(check):
    """Values of `dropout`, bit for bit, of numbers of every kind."""
    torch = check.device.torch
    for dtype in DTYPES:
        numbers = torch.sin(torch.arange(4096) * 1.7) * 9
        numbers[::7], numbers[3::11], numbers[5::13] = -0.0, float("inf"), float("-inf")
        x = numbers.to(device=check.device.name, dtype=getattr(torch, dtype))
        stream = check.begin(11)
        y = check.device.dropout(x, 0.3)
        keep = torch.from_numpy(stream.mask(x.shape, 0.3, dtype=dtype)).to(x.device)
        check.count(f"values {dtype}", bits(torch, as_computed(torch, x, keep, 0.3)), bits(torch, y))


def as_computed(torch, x, keep, p):
    """x keep / (1 - p) as the fused kernel computes it: `TorchCUDA.arithmetic`, for bfloat16 too."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    q = torch.tensor(1.0 - p, dtype=wide).item()
    return (x.to(wide) * keep.to(wide) * torch.tensor(1.0 / q, dtype=wide, device=x.device)).to(x.dtype)


def bits(torch, x):
    """The bits of a tensor; one NaN is as good as another."""
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    return torch.where(torch.isnan(x), torch.zeros_like(x) + 12345, x).view(whole).cpu().numpy()


def repeated(device, full):
    """Random words that two masks in a row have in common. Yields a sentence for each case.

    A thread that reads 8 elements at once calls the generator twice for them, and only one call is reserved: the next
    mask begins with the words of the second call. So does float64 beyond two rounds of a grid: one block for each pair.
    """
    for dtype in ("bfloat16", "float16"):
        a, b = two_masks(device, full, dtype)
        yield same_groups(f"{dtype}, {full:,} elements", a.reshape(-1, 8)[:, 4:], b.reshape(-1, 8)[:, :4])
    a, b = two_masks(device, 4 * full, "float64")
    yield same_groups(f"float64, {4 * full:,} elements", a[2 * full :].reshape(-1, 4), b[: 2 * full].reshape(-1, 4))


def two_masks(device, n, dtype):
    """Where two dropouts in a row keep, at p = 0.5."""
    device.seed(1234)
    x = device.ones(n, dtype=dtype)
    return [(device.dropout(x, 0.5) != 0).cpu().numpy() for _ in range(2)]


def same_groups(case, a, b):
    """What share of the groups of four is the same in both."""
    share = (a == b).all(axis=1).mean()
    verdict = "REPEATED: the same random words twice" if share == 1 else "not repeated" if share < 0.1 else "unclear"
    return f"{case}: {share:.4f} of the groups of four that may share words agree (by chance 0.0625): {verdict}"


def verify(device, golden=None):
    """All comparisons. The number of mismatches."""
    name, geometry = device.described()
    print(name, geometry)
    full = geometry["sm_count"] * (geometry["threads_per_sm"] // 256) * 256
    check = Comparisons(device, geometry, golden)
    fused(check, full)
    layouts(check)
    others(check, full)
    values(check)
    total = check.report()
    for sentence in repeated(device, full):
        print(sentence)
    return total


def main():
    parser = argparse.ArgumentParser(description="Hold streams.TorchCUDA beside PyTorch on a CUDA device.")
    parser.add_argument("--golden", action="store_true", help="keep masks of this GPU beside the other golden files")
    wanted = parser.parse_args()
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed here: nothing was verified"
    if not torch.cuda.is_available():
        return "PyTorch has no CUDA device here: nothing was verified"
    device = Device()
    golden = None
    if wanted.golden:
        from writing import Golden

        golden = Golden(device.described()[0])
    total = verify(device, golden)
    if golden:
        golden.save("torch_cuda")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
