"""Where a benchmark ran: numbers without their machine mean nothing."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def environment() -> dict[str, Any]:
    """Machine, versions (None where a package is absent) and thread counts as they are at this moment."""
    from .. import __version__

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "puredrop": __version__,
        **{package: installed_version(package) for package in ("numpy", "numba", "torch")},
        "threads": {"puredrop": 1, "torch": sys.modules["torch"].get_num_threads() if _loaded("torch") else None},
        "blas": blas(),
    }


def cpu_name() -> str:
    """What the system calls the processor; the architecture where it does not say."""
    described = Path("/proc/cpuinfo")  # Linux; elsewhere Python has to know
    if described.exists():
        for line in described.read_text().splitlines():
            field, _, value = line.partition(":")
            if field.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def installed_version(package: str) -> str | None:
    """The version of a package that can be imported, without importing it."""
    try:
        return version(package) if find_spec(package) else None
    except PackageNotFoundError:
        return None


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries loaded: name, core they were built for, threads. Empty where threadpoolctl is absent."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [
        {"library": one["internal_api"], "core": one.get("architecture"), "threads": one["num_threads"]}
        for one in threadpool_info()
        if one["user_api"] == "blas"
    ]


def _loaded(package: str) -> bool:
    return sys.modules.get(package) is not None
