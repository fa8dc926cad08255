"""What the catalogue takes from a variant's docstring and row: nothing is written a second time by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from ..case import Case
from ..checks import why_not

SECTIONS = ("Math", "Shapes", "Dtypes", "Draws", "Raises", "Reference")
RULE = re.compile(r"Evaluation\b[^.;:]*? gives? (.+?)(?=[.;:](?:\s|$)|, (?:which|with|also) )")
SOURCE = re.compile(r"(?P<authors>.+?),? (?:\".+?\"[^(]*)?\((?P<year>\d{4})\)")


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """The parts of a variant's docstring: its first line as "Summary", and each section as one line of text.

    >>> from puredrop import dropout
    >>> sections(dropout)["Summary"]
    'Drop each element with probability p and scale the rest by 1 / (1 - p).'
    """
    doc = inspect.getdoc(function) or ""
    text = doc.split(">>> ")[0]
    parts = re.split(rf"^({'|'.join(SECTIONS)}):", text, flags=re.MULTILINE)
    found = {"Summary": " ".join(parts[0].split("\n\n")[0].split())}
    return found | {name: " ".join(body.split()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def brief(summary: str) -> str:
    """The part of a first line that a table has room for, and that says enough.

    >>> brief("Drop the largest activations: those in the upper share p of the range of the whole tensor.")
    'Drop the largest activations'
    """
    clause = re.split(r"[:;.](?:\s|$)", summary)[0]
    return clause if len(clause) > 20 else summary.removesuffix(".")


def citation(reference: str) -> str:
    """The first author and the year of the first source.

    >>> citation('Wan et al., "Regularization of neural networks using DropConnect" (2013).')
    'Wan et al., 2013'
    >>> citation('Kang, Li & Tao, "Shakeout" (2018).')
    'Kang et al., 2018'
    """
    found = SOURCE.match(reference)
    if found is None:
        raise ValueError(f'catalogue: expected a reference as Author et al., "Title" (year), got {reference!r}')
    authors = found["authors"]
    if "," in authors:
        authors = authors.split(",")[0] + " et al."
    return f"{authors}, {found['year']}"


def evaluation(case: Case) -> str:
    """What evaluation gives: "identity", or what the docstring says it gives.

    >>> from puredrop.conformance import CASES
    >>> evaluation(CASES["dropout"]), evaluation(CASES["zoneout"])
    ('identity', 'p * old + (1 - p) * new')
    """
    if case.evaluation == "identity" and why_not(case, "evaluation") is None:
        return "identity"
    found = RULE.search(sections(case.function)["Math"])
    if found is None:
        raise ValueError(f"catalogue: the docstring of {case.name} has no sentence 'Evaluation gives ...' under Math")
    return found[1]


def elsewhere(case: Case) -> dict[str, tuple[str, str]]:
    """library -> (the name there, what is different or "")."""
    return {name: (text.partition(": ")[0], text.partition(": ")[2]) for name, text in case.elsewhere.items()}
