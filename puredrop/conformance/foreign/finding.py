"""What a check found, and the report of all checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["wrong", "raised", "hung", "unlikely"]
Status = Literal["passed", "failed", "skipped", "not_applicable"]


@dataclass(frozen=True)
class Finding:
    """Something that a target does wrong.

    check: which of its duties.  verdict: "wrong" values, "raised", "hung", or "unlikely" by chance.
    input: the smallest call in which it was seen, as code.  expected, got: there.  sentence: for its maintainers.
    target: its name.  like: the variant.  call: the same as `input`, as a value; None for what is about many calls.
    """

    check: str
    verdict: Verdict
    input: str
    expected: str
    got: str
    sentence: str
    target: str = ""
    like: str = ""
    call: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.check}: {self.sentence}"


@dataclass(frozen=True)
class Result:
    """One check: its status, why it was not run or what it found, and the seconds it took."""

    check: str
    status: Status
    reason: str | None = None
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What the checks found on one target.

    masks: how the kit knew what was dropped: "returned" by the target, "recovered" from its result, "injected" into
    it, "replayed" from its seed by a stream, or "unknown"; then only what needs no mask was checked.
    """

    target: str
    like: str
    masks: str
    results: tuple[Result, ...]

    @property
    def findings(self) -> list[Finding]:
        """All findings; empty when all is well."""
        return [finding for result in self.results for finding in result.findings]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "target": self.target,
            "like": self.like,
            "masks": self.masks,
            "results": [
                {"check": r.check, "status": r.status, "reason": r.reason, "seconds": round(r.seconds, 3)}
                for r in self.results
            ],
            "findings": [finding_as_json(finding) for finding in self.findings],
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), f"{summary(self.results)}; masks: {self.masks}"])


def finding_as_json(finding: Finding) -> dict[str, str]:
    """A finding as JSON values."""
    names = ("target", "like", "check", "verdict", "input", "expected", "got", "sentence")
    return {name: getattr(finding, name) for name in names}


def summary(results: tuple[Result, ...]) -> str:
    """One sentence with the sums; what was skipped or does not apply is counted apart."""
    sums = Counter(result.status for result in results)
    return (
        f"{sums['passed']} passed, {sums['failed']} failed, {sums['skipped']} skipped, "
        f"{sums['not_applicable']} not applicable"
    )
