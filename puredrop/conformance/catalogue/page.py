"""The catalogue of variants as a page, made from their docstrings and rows: it cannot go out of date."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from ..case import Case
from ..cases import FAMILIES
from ..checks import CHECKS, why_not
from ..pictures import PICTURES
from .other_names import OTHER_NAMES, SETUP
from .parts import brief, citation, elsewhere, evaluation, sections

JAX = ("Flax", "Equinox", "Haiku")
OWN_COLUMN = ("PyTorch", "Keras", *JAX)
PREFIXES = ("torch.nn.functional.", "torch.nn.", "keras.layers.", "flax.", "equinox.nn.", "haiku.")
INTRODUCTION = """\
# Every variant

Made by `puredrop variants --markdown` from the docstrings and the case table; do not edit.

`p` is the probability of dropping. *Evaluation* is what `training=False` gives: the identity, or a formula in the
symbols of the variant's section, to which its name leads. A name of another library with * means something that
differs; the section says how. Whole recipes are in [recipes.md](recipes.md).
"""


def as_markdown() -> str:
    """A table of all variants, what else they are called, and a section for each: what it does, formula and source."""
    parts = [INTRODUCTION, table(), other_names()]
    for family in FAMILIES:
        if family.CASES:
            parts += [f"## {title(family)}\n", *pictures(family), *(entry(case) for case in family.CASES)]
    return "\n".join(parts)


def pictures(family: ModuleType) -> list[str]:
    """The pictures that belong to a family, each with its variants as the text in its place."""
    own = [name for name, picture in PICTURES.items() if picture.family == family.__name__.rpartition(".")[2]]
    return [f"![Masks of {_and(PICTURES[name].variants)}]({name})\n" for name in own]


def _and(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1]


def title(family: ModuleType) -> str:
    """The first sentence of a family's docstring."""
    first = (family.__doc__ or "").strip().splitlines()[0].split(". ")[0]
    return first.removeprefix("Rows for ").rstrip(".").capitalize()


def table() -> str:
    """One row for each variant, grouped by family."""
    header = "name", "what it does", "source", "evaluation", "where", "PyTorch", "Keras", "JAX", "others"
    rows = [_row(header), _row(["---"] * len(header))]
    for family in FAMILIES:
        if family.CASES:
            rows += [_row([f"**{title(family)}**"] + [""] * (len(header) - 1))]
            rows += [_row(_cells(case)) for case in family.CASES]
    return "\n".join(rows) + "\n"


def _cells(case: Case) -> Iterable[str]:
    parts = sections(case.function)
    rule = evaluation(case)
    others = [library for library in case.elsewhere if library not in OWN_COLUMN]
    return (
        f"[`{case.name}`](#{case.name})",
        brief(parts["Summary"]),
        citation(parts["Reference"]),
        f"`{rule}`" if set(rule) & set("*+^/()[]") else rule,
        ", ".join(case.applies_to),
        _names(case, "PyTorch"),
        _names(case, "Keras"),
        ", ".join(f"{library} {_names(case, library)}" for library in JAX if library in case.elsewhere),
        ", ".join(f"{library} {_names(case, library)}" for library in others),
    )


def _names(case: Case, library: str) -> str:
    """The short name, and a star where something differs."""
    if library not in case.elsewhere:
        return ""
    name, differs = elsewhere(case)[library]
    return f"`{_short(name)}`" + (" *" if differs else "")


def _short(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    path, bracket, argument = name.partition("(")
    return path.rpartition(".")[2] + bracket + argument


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def other_names() -> str:
    """What is a composition and no function of its own, with the line that does it."""
    rows = [_row(("known as", "from", "here", "the line")), _row(["---"] * 4)]
    rows += [_row((other.name, other.source, other.meaning, f"`{other.line}`")) for other in OTHER_NAMES]
    text = "Names of things that need no function of their own. The lines run after this (a test runs them):"
    return "\n".join(["## Known under other names", "", text, "", f"```python\n{SETUP}```", "", *rows]) + "\n"


def entry(case: Case) -> str:
    """The section of a variant."""
    parts = sections(case.function)
    skipped = [name for name in CHECKS if why_not(case, name) is not None]
    lines: dict[str, str] = {name: parts[name] for name in ("Math", "Shapes", "Draws", "Reference") if name in parts}
    lines["In evaluation"] = evaluation(case)
    lines["Where"] = ", ".join(case.applies_to)
    drawn = [name for name, picture in PICTURES.items() if case.name in picture.variants]
    if drawn:
        lines["Picture"] = ", ".join(f"[{name}]({name})" for name in drawn)
    if case.elsewhere:
        lines["Elsewhere"] = "; ".join(
            f"{library} `{name}`" + (f" ({differs})" if differs else "")
            for library, (name, differs) in elsewhere(case).items()
        )
    lines["Checked"] = f"{len(CHECKS) - len(skipped)} of {len(CHECKS)} checks apply" + (
        f"; not {', '.join(skipped)}" if skipped else ""
    )
    body = [f"- **{name}**: {text}" for name, text in lines.items()]
    return "\n".join([f"### `{case.name}`", "", parts["Summary"], "", *body]) + "\n"


def as_text() -> str:
    """One line for each variant."""
    cases = [case for family in FAMILIES for case in family.CASES]
    width = max(len(case.name) for case in cases)
    return "\n".join(f"{case.name:{width}}  {sections(case.function)['Summary']}" for case in cases)
