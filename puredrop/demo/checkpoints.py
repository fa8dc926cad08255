"""Checkpoints of a training: what they are called, and what is found there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import backends, nn


def checkpoint_file(prefix: str, facts: Any) -> str:
    """A name that differs wherever anything that the numbers depend on differs, so that a match may be resumed."""
    from .. import __version__

    facts = [facts, __version__, np.__version__, backends.default_name()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return f"{prefix}-{digest}.safetensors"


def resumed(path: Path, beginning: dict[str, Any], *parts: Any) -> dict[str, Any]:
    """The notes at `path`, with the parts (model, optimiser, batches) where they stood; else those of the beginning."""
    if path.exists():
        try:
            return nn.load(path, *parts)
        except ValueError:  # damaged; nothing was loaded, and the next checkpoint replaces it
            pass
    return beginning
