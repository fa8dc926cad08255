"""All checks of the kernels, on the CPU: `python -m puredrop.backends.cuda.host [--sanitizer address | thread]`.

A sanitizer's run-time library must be there when Python starts: Python is then started anew, with it.
`--mutants` runs the checks on kernels with deliberate bugs instead, each of which must be seen.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from .. import instances, source
from . import checks, host
from .mutants import MUTANTS, spoiled

STARTED = "PUREDROP_SANITIZER"  # set in the process that has a sanitizer in it
RUNTIMES = {"address": "libasan.so", "thread": "libtsan.so"}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0:exitcode=9",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "exitcode=9:halt_on_error=1:report_signal_unsafe=0",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; 0 where all hold (of mutants: where all are seen)."""
    parser = argparse.ArgumentParser(prog="python -m puredrop.backends.cuda.host", description=__doc__)
    parser.add_argument("--sanitizer", choices=[*host.SANITIZERS])
    parser.add_argument("--checks", nargs="*", default=[*checks.CHECKS], help="only these")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="all of them where none is named")
    parser.add_argument("--mutant", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    reason = host.missing() or (chosen.sanitizer and _missing_runtime(chosen.sanitizer))
    if reason:
        print(f"skipped: {reason}")
        return 0
    if chosen.mutants is not None:
        return sum(seen(name) is False for name in chosen.mutants or MUTANTS)
    if chosen.sanitizer and not os.environ.get(STARTED):
        command, environment = _with(chosen.sanitizer, ["--checks", *chosen.checks])
        return subprocess.run(command, env=environment, check=False).returncode
    return run(spoiled(chosen.mutant) if chosen.mutant else source(), chosen.checks, chosen.sanitizer)


def seen(name: str) -> bool | None:
    """Whether the check of a mutant fails on it, in a process of its own, which may crash; None where it cannot run."""
    mutant = MUTANTS[name]
    if mutant.sanitizer and (reason := _missing_runtime(mutant.sanitizer)):
        print(f"{name}: skipped: {reason}")
        return None
    command, environment = _with(mutant.sanitizer, ["--mutant", name, "--checks", mutant.check])
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        print(f"{name}: seen: it does not end")
        return True
    said = re.search(r"SUMMARY: .*|.*runtime error: .*|FAILED: .*", result.stderr + result.stdout)
    print(f"{name}: {f'seen: {said[0] if said else result.returncode}' if result.returncode else 'NOT SEEN'}")
    return result.returncode != 0


def run(text: str, names: Sequence[str], sanitizer: str | None = None) -> int:
    """Those checks on the kernels of a source; how many of them fail."""
    needed = tuple(name for name in instances() if any(name in checks.needed(check) for check in names))
    module, failed = host.load(text, needed, sanitizer), 0
    for name in names:
        bench = checks.Bench(module, canaries=sanitizer != "address")
        try:
            checks.CHECKS[name](bench)
            print(f"{name}: {bench.launches} launches agree with the reference")
        except (AssertionError, RuntimeError) as error:
            failed += 1
            print(f"{name}: FAILED: {error}")
    return failed


def _missing_runtime(sanitizer: str) -> str | None:
    found = os.path.isabs(_runtime(sanitizer))
    return None if found else f"{RUNTIMES[sanitizer]} is not installed: kernels cannot be run under this sanitizer"


def _runtime(sanitizer: str) -> str:
    """The path of the run-time library, or its bare name where the compiler has none."""
    command = [host.COMPILER, f"-print-file-name={RUNTIMES[sanitizer]}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _with(sanitizer: str | None, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command that is this program, and its environment, with the sanitizer in it from the start."""
    command, environment = [sys.executable, "-m", str(__package__), *arguments], dict(os.environ)
    if sanitizer is None:
        return command, environment
    setarch = shutil.which("setarch") if sanitizer == "thread" else None  # it needs addresses that are not random
    environment = {**OPTIONS, **environment, "LD_PRELOAD": _runtime(sanitizer), STARTED: sanitizer}
    return [*([setarch, "-R"] if setarch else []), *command, "--sanitizer", sanitizer], environment


if __name__ == "__main__":
    sys.exit(main())
