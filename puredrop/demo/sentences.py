"""What the numbers say, in words that follow from the numbers: each sentence is right whatever they turn out to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

CLEAR = 2.0  # a difference is called one from twice its standard error on


def percent(share: float, digits: int = 0) -> str:
    """`digits` decimals; never rounded up to 100 % or down to 0 % of something that is neither."""
    text = f"{100 * share:.{digits}f}"
    inside = 0 < share < 1 and float(text) in (0.0, 100.0)
    return f"{100 * share:.{digits + 1}f}%" if inside and digits < 4 else f"{text}%"


def difference(found: dict[str, float], metric: str, shown: Callable[[float], str]) -> str:
    """'the NLL is lower by 0.05 (standard error 0.01)', or that no difference can be told."""
    d, error = found["difference"], found["standard_error"]
    if d == 0:
        return f"{metric} shows no clear difference: they are equal"
    size = f"{shown(abs(d))} (standard error {shown(error)})"
    if abs(d) <= CLEAR * error:
        return f"{metric} shows no clear difference: {'lower' if d < 0 else 'higher'} by {size}"
    return f"{metric} is {'lower' if d < 0 else 'higher'} by {size}"


def compared(result: dict[str, Any], pair: str) -> str:
    found = result["comparisons"][pair]
    nll = difference(found["nll"], "the NLL", lambda v: f"{v:.3f}")
    accuracy = difference(found["accuracy"], "accuracy", lambda v: f"{100 * v:.2f} points")
    return f"{nll}; {accuracy}."


def about_table(result: dict[str, Any]) -> list[str]:
    samples = result["settings"]["samples"]
    return [
        f"With dropout instead of without, one pass each: {compared(result, 'dropout')}",
        f"With {samples} Monte-Carlo samples instead of one pass: {compared(result, 'samples')}",
        "Each digit is compared with itself, averaged over the seeds; standard errors are over the test digits.",
    ]


def about_curves(result: dict[str, Any]) -> str:
    """The last epoch beside the best, so that early stopping gets its due."""
    parts = []
    for name, words in (("without", "without dropout"), ("with", "with dropout")):
        curve = np.mean([c["test_nll"] for c in result["curves"][name]], axis=0)
        best = int(curve.argmin())
        parts.append(
            f"the test NLL {words} is lowest after epoch {best + 1} ({curve[best]:.3f}) and ends at {curve[-1]:.3f}"
        )
    return (
        f"On average over the seeds, {'; '.join(parts)}. The lowest points are known with hindsight only; "
        f"the table takes the last epoch of each."
    )


def about_uncertain(result: dict[str, Any]) -> str:
    found = result["uncertain"]
    expected = found["errors"] * found["top"] / result["settings"]["test_digits"]
    return (
        f"Of {found['errors']} errors, {found['errors_in_top']} are among the {found['top']} digits "
        f"with the highest mutual information; {found['top']} digits picked blindly would hold {expected:.1f}."
    )


def about_no_digits(result: dict[str, Any]) -> list[str]:
    others = result["inputs"][1:]
    return [
        ranking(others),
        f"The entropy of the same samples ranks {against(others, 'entropy_samples')}; the entropy of the net without "
        f"dropout, which costs one pass, ranks {against(others, 'entropy_without')}.",
        rejection(others),
    ]


def ranking(others: list[dict[str, Any]]) -> str:
    """Which inputs the mutual information tells best and worst."""
    score = {row["name"]: float(np.mean(row["auroc"]["mutual_information"])) for row in others}
    best, worst = max(score, key=lambda n: score[n]), min(score, key=lambda n: score[n])
    return (
        f"The mutual information ranks such an input above a test digit with a probability between {score[worst]:.2f} "
        f"({worst}, which it tells worst) and {score[best]:.2f} ({best}, which it tells best); 0.5 would be chance."
    )


def against(others: list[dict[str, Any]], score: str) -> str:
    """Where this score ranks better than the mutual information in every seed, where worse, where it depends."""
    words = {(1,): "better in every seed for", (-1,): "worse in every seed for", (0,): "equally for"}
    groups: dict[str, list[str]] = {}
    for row in others:
        signs = np.sign(np.array(row["auroc"][score]) - np.array(row["auroc"]["mutual_information"]))
        word = words.get(tuple(np.unique(signs).astype(int).tolist()), "sometimes better and sometimes worse for")
        groups.setdefault(word, []).append(row["name"])
    if len(groups) == 1:
        return f"{next(iter(groups))} all of them"
    return ", ".join(f"{word} {listed(names)}" for word, names in groups.items())


def rejection(others: list[dict[str, Any]]) -> str:
    shares = [f"{percent(float(np.mean(row['rejected'])))} of {row['name']}" for row in others]
    return f"A threshold that turns away 5% of the test digits turns away {listed(shares)}; the rest would pass."


def about_bench(found: dict[str, Any]) -> list[str]:
    """How the fastest of puredrop stands at the largest size, and what is missing."""
    said = ["It was interrupted; what was finished is shown."] if found.get("interrupted") else []
    largest = max((row["size"] for row in found["rows"]), default=0)
    mine = [row for row in found["rows"] if row["size"] == largest and row["contender"].startswith("puredrop")]
    for which in dict.fromkeys(row["pass"] for row in mine):
        best = min((row for row in mine if row["pass"] == which), key=lambda row: row["ns_per_element"]["median"])
        ratios = {found.get("floor", "the floor"): best.get("ratio_to_floor"), "torch": best.get("ratio_to_torch")}
        times = [times_as_long(other, ratio) for other, ratio in ratios.items() if ratio]
        said += [f"{largest:,} elements, {which}: {best['contender']} takes {listed(times)}."] if times else []
    missing = [f"{one['contender']} ({one['reason']})" for one in found.get("skipped", ())]
    return said + ([f"Not taking part: {listed(missing)}."] if missing else [])


def times_as_long(other: str, ratio: dict[str, float]) -> str:
    low, high = ratio["low"], ratio["high"]
    return f"{ratio['median']:.2g} times as long as {other} (quartiles {low:.2g} to {high:.2g})"


def listed(names: Sequence[str]) -> str:
    """'a, b and c'"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
