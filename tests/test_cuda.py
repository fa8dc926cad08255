"""The CUDA kernels without a GPU: compiled for every GPU, run on the CPU, and spoiled on purpose."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from puredrop import Index, Key
from puredrop.backends import cuda
from puredrop.backends.cuda import compiled, host, plan
from puredrop.backends.cuda.host import __main__ as program
from puredrop.backends.cuda.host import checks
from puredrop.backends.cuda.host.mutants import MUTANTS, spoiled
from puredrop.random import threshold

ROOT = Path(__file__).parent.parent
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120")
# What moves eight elements at a time, and gives the reference's bits; what stores four numbers at a time.
EXACT = ("drop", "drop_saved", "bias_drop_residual", "gather_rows", "add_rows")
DRAWN = ("words", "uniform", "normal")


def kernel(name):
    return name.split("<")[0]


@pytest.fixture(scope="module")
def nvrtc():
    if reason := compiled.missing() or compiled.missing_disassembler():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def module():
    if reason := host.missing():
        pytest.skip(reason)
    return host.load(cuda.source(), cuda.instances())


# ------------------------------------------------------------------------------------------------ compiled for a GPU
def problems(made):
    """What is wrong with a cubin, one sentence each."""
    for line in made.log.splitlines():
        if "warning" in line.lower():
            yield line
    for name, needs in made.resources().items():
        if needs.stack or needs.spilled:
            yield f"{name}: {needs.stack} bytes of stack, {needs.spilled} bytes spilled"
        if needs.registers > (64 if name.startswith("drop<") and "Run" in name else 80):
            yield f"{name}: {needs.registers} registers, too many for four blocks (three, of a Walk) at once"
        code = compiled.instructions(made, name) if accesses(name) else []
        for access in accesses(name):
            if not any(one.operation.startswith(access) for one in code):
                yield f"{name}: no {access}"
        if kernel(name) in EXACT:
            yield from (f"{name}: {problem}" for problem in inexact(code))


def accesses(name):
    """The widest accesses to memory that a kernel must have."""
    if kernel(name) in EXACT:
        return "LDG.E.128", "STG.E.128"
    if kernel(name) in DRAWN:
        return ("STG.E.64",) if "<F16" in name else ("STG.E.128",)
    return ()


def inexact(code):
    """Instructions that round otherwise than NumPy."""
    # HFMA2 of two zeros loads a constant, HADD2.F32 to a zero widens float16.
    operations = [one.operation for one in code if not re.search(r"HFMA2.* -RZ, RZ,|HADD2\.F32 .*-RZ\b", one.text)]
    for operation in sorted(set(operations)):
        if re.match(r"(FFMA|HFMA2|HMUL2|HADD2|DFMA)\b", operation):
            yield f"{operation}: contracted, or rounded to 16 bits on the way"
        if re.match(r"(FMUL|FADD|F2F|F2FP)\b.*\.(FTZ|RZ|RM|RP|SAT)\b", operation):
            yield f"{operation}: flushes subnormal numbers, or does not round to the nearest"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_for_every_gpu(nvrtc, architecture):
    made = compiled.compile_for(architecture, cuda.source(), cuda.instances())
    assert set(made.resources()) == set(cuda.instances())
    assert list(problems(made)) == []


def hot_loop(made, name):
    """Of plain dropout: the loop with the fewest instructions for each store of 16 bytes."""
    wide = [one for one in compiled.loops(compiled.instructions(made, name)) if all(moved(one.usual))]
    return min(wide, key=lambda loop: (len(loop.usual) / moved(loop.usual)[1], len(loop.aside)))


def moved(code):
    """How many 16-byte loads there are, and stores."""
    return [sum(i.operation.startswith(f"{access}.E.128") for i in code) for access in ("LDG", "STG")]


@pytest.mark.parametrize(
    ("element", "bytes_each", "groups", "most"),
    [("F16", 2, 2, 0.6), ("BF16", 2, 2, 0.6), ("F32", 4, 1, 0.32), ("F64", 8, 1, 0.18)],
)
def test_memory_is_the_limit_of_plain_dropout(nvrtc, element, bytes_each, groups, most):
    """Issue time over memory time on an H200, forward and backward alike; ties, once in 8,192 blocks, stand apart."""
    made = compiled.compile_for("sm_90", cuda.source(), cuda.instances())
    loop = hot_loop(made, f"drop<{element}, Run>")
    assert moved(loop.usual) == [groups * bytes_each // 2] * 2  # groups of eight elements, nothing else
    ratio = compiled.issue_over_memory(loop, 8 * groups, 2 * bytes_each)
    assert 0.5 * most < ratio <= most
    # One branch for each group leads aside, and what stands there draws once more.
    addresses = [one.address for one in loop.aside]
    assert sum(next_one - one > 16 for one, next_one in pairwise(addresses)) == groups - 1
    assert sum(one.operation.startswith("IMAD.WIDE.U32") for one in loop.aside) >= 18 * groups


SPOILED_FOR_THE_COMPILER = {
    "__fmul_rn, which CuPy's options flush": (
        'float r; asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r;',
        "return __fmul_rn(a, b);",
        "FTZ",
    ),
    "another rounding": ("cvt.rn.f16x2.f32", "cvt.rz.f16x2.f32", "RZ"),
    "a stack": (
        "Kept kept{{not_below(r.x, t)",
        "volatile u32 w[4] = {r.x, 0, 0, r.w}; r.x = w[lo & 3]; Kept kept{{not_below(r.x, t)",
        "bytes of stack",
    ),
    "element by element": (
        "store_sixteen((uint4*)to + i, ((const uint4*)&v)[i]);",
        "for (int k = 0; k < 4; ++k) ((volatile u32*)to)[4 * i + k] = ((const u32*)&v)[4 * i + k];",
        "no STG.E.128",
    ),
}


@pytest.mark.parametrize("what", SPOILED_FOR_THE_COMPILER)
def test_what_only_the_compiler_shows_is_seen(nvrtc, what):
    line, instead, said = SPOILED_FOR_THE_COMPILER[what]
    assert cuda.source().count(line) == 1
    made = compiled.compile_for("sm_90", cuda.source().replace(line, instead), ["drop<F16, Run>"])
    assert said in " ".join(problems(made))


# ------------------------------------------------------------------------------------------------ run on the CPU
@pytest.mark.parametrize("name", checks.CHECKS)
def test_every_kernel_gives_the_bits_of_the_reference(module, name):
    bench = checks.Bench(module)
    checks.CHECKS[name](bench)
    assert bench.launches >= 8


def test_every_kernel_has_a_check():
    assert {name for check in checks.CHECKS for name in checks.needed(check)} == set(cuda.instances())


CHEAP = [name for name, mutant in MUTANTS.items() if mutant.sanitizer is None]


@pytest.mark.parametrize("name", CHEAP)
def test_a_deliberate_bug_is_seen(module, name):
    """Under a sanitizer, the others are too: `make sanitize`."""
    assert program.seen(name)


def test_a_deliberate_bug_is_one(module, monkeypatch, capsys):
    """What stands in a mutant's place must fail by the bug: without one nothing is seen."""
    mutant = MUTANTS["uninitialised shared memory"]
    monkeypatch.setitem(MUTANTS, "no bug", mutant._replace(instead=mutant.line))
    assert program.run(spoiled("no bug"), [mutant.check]) == 0
    assert "agree with the reference" in capsys.readouterr().out
    monkeypatch.setitem(MUTANTS, "nowhere", mutant._replace(line="not a line"))
    with pytest.raises(ValueError, match="its line stands 0 times"):
        spoiled("nowhere")


def test_sanitizers_are_named_where_they_are_missing(monkeypatch, capsys):
    monkeypatch.setattr(program, "_runtime", lambda sanitizer: program.RUNTIMES[sanitizer])
    assert program.main(["--sanitizer", "thread"]) == 0
    assert "skipped: libtsan.so is not installed" in capsys.readouterr().out
    monkeypatch.setattr(program.host, "COMPILER", "no-such-compiler")
    assert program.main([]) == 0
    assert "skipped: no-such-compiler is not installed" in capsys.readouterr().out


WRONG = """
__global__ void __launch_bounds__(64, 1) divergent(u32* out) { if (threadIdx.x < 32) __syncthreads(); out[threadIdx.x] = 1; }
__global__ void __launch_bounds__(64, 1) exited(u32* out) { if (threadIdx.x < 40) out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, threadIdx.x, 1); }
__global__ void __launch_bounds__(64, 1) right(u32* out) { out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, threadIdx.x, 1); }
"""  # noqa: E501


def test_what_a_gpu_leaves_undefined_is_an_error(module):
    """Barriers that some threads do not reach, shuffles that name lanes which have exited, too large blocks."""
    wrong = host.load(cuda.source() + WRONG, ["divergent", "exited", "right"])
    out = np.zeros(64, np.uint32)
    with pytest.raises(RuntimeError, match=r"deadlock at __syncthreads: 32 of 64 threads wait"):
        wrong.launch("divergent", (1,), (64,), [out])
    with pytest.raises(RuntimeError, match="__shfl_xor_sync names a lane that has exited"):
        wrong.launch("exited", (1,), (64,), [out])
    with pytest.raises(ValueError, match="more than its launch bound of 64"):
        wrong.launch("right", (1,), (128,), [out])
    with pytest.raises(RuntimeError, match="no GPU takes a grid of 0,1,1"):
        wrong.launch("right", (0,), (64,), [out])
    wrong.launch("right", (1,), (64,), [out])
    assert out.tolist() == [i ^ 1 for i in range(64)]


# ------------------------------------------------------------------------------------------------ plans and names
def test_structures_have_the_sizes_of_the_kernels(module):
    """What Python packs is what the compiler lays out."""
    sizes = {"words<Run>": [plan.DRAW, plan.RUN], "words<Walk>": [plan.DRAW, plan.WALK]}
    sizes |= {"drop_saved<F32>": [plan.MAP32], "drop_saved<F64>": [plan.MAP64]}
    for name, structures in sizes.items():
        assert [n for kind, n in module.signature(name) if kind == "s"] == [one.itemsize for one in structures]
    assert ("s", plan.BLOCKS.itemsize) in module.signature("block_mask")


def test_the_readme_names_every_kernel():
    text = (Path(cuda.__file__).parent / "README.md").read_text()
    for name in {kernel(instance) for instance in cuda.instances()}:
        assert re.search(rf"^    {name}[<(]", text, re.M), name
    for structure in ("DRAW", "RUN", "WALK", "BLOCKS"):
        size = getattr(plan, structure).itemsize
        assert re.search(rf"\| `\w+` {size} B \| `plan\.{structure}`", text), (structure, size)


def test_no_kernel_includes_anything():
    assert "#include" not in cuda.source()
    assert len(set(cuda.instances())) == len(cuda.instances())


def test_an_index_takes_as_few_axes_as_it_can():
    assert plan.where(Index.whole((64, 8, 8))).value["size"] == 4096
    assert plan.where(Index.whole((6, 4, 5), shared=0)).value["axes"] == 2
    assert plan.where(Index.whole(100)[4:]).name == "Walk"  # it begins within a block
    with pytest.raises(ValueError, match="at most 8 axes"):
        plan.where(Index.whole((2,) * 18, shared=tuple(range(1, 18, 2))))


def test_a_grid_is_never_empty_nor_too_large():
    assert plan.launch(0) == ((1, 1), (256,))
    assert plan.launch(1 << 40, keys=1 << 20, processors=132) == ((132 * plan.BLOCKS_A_PROCESSOR, 65535), (256,))


def test_all_rates_of_one_and_none_are_told_in_16_bits():
    assert plan.draw(Key(1).address(0), threshold(1.0))["hi"] == 65535
    assert plan.draw(Key(1).address(0), threshold(0.0))["hi"] == 0
    with pytest.raises(TypeError, match="the kernels know float64, float32, float16, uint16, bfloat16, got int32"):
        plan.element(np.int32)


def test_the_program_runs_all_checks():
    if reason := host.missing():
        pytest.skip(reason)
    command = [sys.executable, "-m", "puredrop.backends.cuda.host", "--checks", "blocks"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "blocks: 10 launches agree with the reference" in result.stdout
