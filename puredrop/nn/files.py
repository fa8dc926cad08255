"""Saving and resuming: weights, random state, optimiser and order of the data in one safetensors file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .data import Batches
from .module import Module
from .stacked_batches import StackedBatches

FORMAT = "puredrop 1"
Data: TypeAlias = Batches | StackedBatches


def save(path: str | Path, model: Module, optimizer: Any = None, batches: Data | None = None, **notes: Any) -> None:
    """Write all that resuming needs; `notes` are JSON values kept beside it (an epoch, a history of losses).

    The file is complete or absent: it is written beside its place and then moved there.
    """
    from safetensors.numpy import save_file

    model.require_parameters()
    arrays = {f"model.{name}": value for name, value in model.state_dict().items()}
    if optimizer is not None:
        arrays |= {f"optimizer.{name}": value for name, value in optimizer.state_dict().items()}
    state = {
        "random": model.random_state(),
        "batches": None if batches is None else batches.state_dict(),
        "notes": notes,
    }
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: no such folder {path.parent}")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        contiguous = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in arrays.items()}
        save_file(contiguous, unfinished, metadata={"format": FORMAT, "state": json.dumps(state, default=_number)})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _number(note: Any) -> Any:
    """A NumPy number or array of the notes, for JSON."""
    if isinstance(note, (np.generic, np.ndarray)):
        return note.tolist()
    raise TypeError(f"save: notes must be JSON values, got {note!r}")


def load(path: str | Path, model: Module, optimizer: Any = None, batches: Data | None = None) -> dict[str, Any]:
    """Continue where `save` stood; returns the notes. The backends of model and optimiser stay as they are.

    Raises: FileNotFoundError; ValueError for a truncated or foreign file, or one that does not fit: nothing is
    changed then.
    """
    arrays, state = _read(Path(path))
    parts: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    model.check_state(parts["model"])
    if optimizer is not None:
        optimizer.check_state(parts["optimizer"])
    if batches is not None:
        batches.check_state(state["batches"])
    model.load_random_state(state["random"])  # the last that may refuse; it checks before it changes
    model.load_state_dict(parts["model"])
    if optimizer is not None:
        optimizer.load_state_dict(parts["optimizer"])
    if batches is not None:
        batches.load_state_dict(state["batches"])
    return state["notes"]


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a weights file")
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except SafetensorError as error:
        raise ValueError(f"{path}: truncated, or not a safetensors file ({error}); nothing was loaded") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not written by puredrop.nn.save; nothing was loaded. For weights alone, "
            f"use model.load_state_dict(safetensors.numpy.load_file(path))"
        )
    return arrays, json.loads(metadata["state"])
