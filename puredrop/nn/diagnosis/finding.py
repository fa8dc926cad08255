"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is likely to be wrong: where, what, why, and what to do."""

    layer: str
    problem: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer or 'the model'}: {self.problem}. {self.reason}. {self.remedy}."
