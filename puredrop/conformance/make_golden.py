"""Make the golden results of PyTorch: `python -m puredrop.conformance.make_golden`, with PyTorch installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .cases import CASES
from .checks.pytorch import VERIFIED_WITH, pytorch_runs


def main() -> None:
    """Write `golden/pytorch_<function>.npz` for every function of PyTorch that a row names, once."""
    import torch

    assert torch.__version__.split("+")[0] == VERIFIED_WITH, f"golden results are of PyTorch {VERIFIED_WITH}"
    rows = {case.pytorch: case for case in CASES.values() if case.pytorch is not None}
    for function, case in rows.items():
        runs = pytorch_runs(case)
        arrays: dict[str, Any] = {
            f"{i}.{name}": np.asarray(value) for i, run in enumerate(runs) for name, value in run.items()
        }
        path = Path(__file__).parent / "golden" / f"pytorch_{function}.npz"
        np.savez_compressed(path, runs=np.arange(len(runs)), **arrays)
        print(path)


if __name__ == "__main__":
    main()
