"""All checks of the kernels, on the CPU: `python -m puredrop.backends.cuda.host [--sanitizer address | thread]`.

A sanitizer's run-time library must be there when Python starts: Python is then started anew, with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from .. import instances, source
from . import checks, host

RUNTIMES = {"address": "libasan.so", "thread": "libtsan.so"}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0:exitcode=9",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "exitcode=9:halt_on_error=1:report_signal_unsafe=0",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; 0 where all hold."""
    parser = argparse.ArgumentParser(prog="python -m puredrop.backends.cuda.host", description=__doc__)
    parser.add_argument("--sanitizer", choices=[*host.SANITIZERS])
    parser.add_argument("--checks", nargs="*", default=[*checks.CHECKS], help="only these")
    chosen = parser.parse_args(arguments)
    reason = host.missing() or (chosen.sanitizer and _missing_runtime(chosen.sanitizer))
    if reason:
        print(f"skipped: {reason}")
        return 0
    if chosen.sanitizer and not os.environ.get("PUREDROP_SANITIZER"):
        return _again(chosen.sanitizer, chosen.checks)
    return run(source(), chosen.checks, chosen.sanitizer)


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


def _again(sanitizer: str, names: Sequence[str]) -> int:
    """This program in a new process, with the sanitizer in it."""
    setarch = shutil.which("setarch") if sanitizer == "thread" else None  # it needs addresses that are not random
    command = [*([setarch, "-R"] if setarch else []), sys.executable, "-m", __package__]
    environment = {**OPTIONS, **os.environ, "LD_PRELOAD": _runtime(sanitizer), "PUREDROP_SANITIZER": sanitizer}
    result = subprocess.run([*command, "--sanitizer", sanitizer, "--checks", *names], env=environment, check=False)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
