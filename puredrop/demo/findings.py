"""What the nets know: the numbers of the report. Everything here is a pure function of nets and digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..uncertainty import Prediction, accuracy, auroc, ece, entropy, nll, predict, reliability
from .data import Digits
from .training import Net, Settings, probabilities

UNCERTAIN = 12  # how many uncertain digits are shown
REJECTED_DIGITS = 0.05  # the share of real digits that the threshold on the mutual information turns away
EXAMPLES = 4  # inputs of each sort that are shown

MODELS = {  # name in the result -> (what the model is, how it predicts)
    "without": ("without dropout", "one pass"),
    "with": ("with dropout", "one pass (eval mode)"),
    "samples": ("with dropout", "{samples} Monte-Carlo samples"),
}


class Answers(NamedTuple):
    """Class probabilities (N, 10) of one net of each sort, and of the Monte-Carlo samples."""

    without: np.ndarray
    with_: np.ndarray
    samples: Prediction


def answers(without: Net, with_: Net, x: np.ndarray, samples: int) -> Answers:
    return Answers(
        probabilities(without.model, x), probabilities(with_.model, x), predict(with_.model, x, samples=samples)
    )


# ------------------------------------------------------------------------------------------ how good the answers are
def table(settings: Settings, runs: Sequence[Answers], labels: np.ndarray) -> list[dict[str, Any]]:
    """A row for each model: accuracy, NLL and ECE, a number for each seed."""
    rows = []
    for name, (model, prediction) in MODELS.items():
        guesses = [probabilities_of(run, name) for run in runs]
        scores = {score.__name__: [score(p, labels) for p in guesses] for score in (accuracy, nll, ece)}
        rows.append({"name": name, "model": model, "prediction": prediction.format(samples=settings.samples), **scores})
    return rows


def probabilities_of(run: Answers, name: str) -> np.ndarray:
    return {"without": run.without, "with": run.with_, "samples": run.samples.mean}[name]


def comparison(runs: Sequence[Answers], labels: np.ndarray, first: str, second: str) -> dict[str, Any]:
    """By how much the second model differs from the first: per digit, averaged over seeds, so the digits pair up."""
    result = {}
    for metric, score in (("accuracy", is_right), ("nll", log_loss)):
        differences = [
            score(probabilities_of(r, second), labels) - score(probabilities_of(r, first), labels) for r in runs
        ]
        per_digit = np.mean(differences, axis=0)  # (N,)
        result[metric] = {
            "difference": float(per_digit.mean()),
            "standard_error": float(per_digit.std(ddof=1) / np.sqrt(len(per_digit))),
        }
    return result


def is_right(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (p.argmax(axis=1) == labels).astype(np.float64)


def log_loss(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.log(p[np.arange(len(labels)), labels])


def reliabilities(runs: Sequence[Answers], labels: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """The reliability diagram of each model, over the predictions of all seeds together."""
    everything = np.tile(labels, len(runs))
    bins = {n: reliability(np.concatenate([probabilities_of(run, n) for run in runs]), everything) for n in MODELS}
    return {name: {field: a.tolist() for field, a in b._asdict().items()} for name, b in bins.items()}


# ------------------------------------------------------------------------------------------ what the model doubts
def uncertain_digits(digits: Digits, prediction: Prediction) -> dict[str, Any]:
    """The test digits with the highest mutual information, and how many of the errors are among them."""
    order = np.argsort(-prediction.mutual_information, kind="stable")
    wrong = prediction.mean.argmax(axis=1) != digits.y_test
    top = round(REJECTED_DIGITS * len(order))
    return {
        "digits": [one_digit(digits, prediction, int(i)) for i in order[:UNCERTAIN]],
        "errors": int(wrong.sum()),
        "top": top,
        "errors_in_top": int(wrong[order[:top]].sum()),
    }


def one_digit(digits: Digits, prediction: Prediction, i: int) -> dict[str, Any]:
    return {
        "index": i,
        "pixels": digits.x_test[i].tolist(),
        "label": int(digits.y_test[i]),
        "predicted": int(prediction.mean[i].argmax()),
        "mean": prediction.mean[i].tolist(),
        "entropy": float(prediction.entropy[i]),
        "mutual_information": float(prediction.mutual_information[i]),
    }


class Inputs(NamedTuple):
    """Inputs of one sort, and what the nets of each seed answer."""

    pixels: np.ndarray
    runs: list[Answers]


def no_digit_rows(digits: Inputs, others: dict[str, Inputs]) -> list[dict[str, Any]]:
    """A row for each sort of input, the digits first. AUROC: how often a no-digit ranks above a digit; 0.5 is chance.

    The scores: mutual information, entropy of the mean of the samples, and entropy of the net without dropout.
    """
    thresholds = [float(np.quantile(run.samples.mutual_information, 1 - REJECTED_DIGITS)) for run in digits.runs]
    rows = [{**described("test digits", digits, thresholds), "threshold": thresholds}]
    for name, inputs in others.items():
        pairs = list(zip(digits.runs, inputs.runs, strict=True))
        rows.append(
            {
                **described(name, inputs, thresholds),
                "auroc": {score: [auroc(f(d), f(o), positive="ood") for d, o in pairs] for score, f in SCORES.items()},
            }
        )
    return rows


SCORES = {
    "mutual_information": lambda run: run.samples.mutual_information,
    "entropy_samples": lambda run: run.samples.entropy,
    "entropy_without": lambda run: entropy(run.without),
}


def described(name: str, inputs: Inputs, thresholds: Sequence[float]) -> dict[str, Any]:
    information = [run.samples.mutual_information for run in inputs.runs]
    return {
        "name": name,
        "count": len(inputs.pixels),
        "examples": inputs.pixels[:: len(inputs.pixels) // EXAMPLES][-EXAMPLES:].tolist(),
        "mutual_information": information[0].tolist(),
        "median": [float(np.median(mi)) for mi in information],
        "rejected": [float((mi > t).mean()) for mi, t in zip(information, thresholds, strict=True)],
        "confidence_without": [float(run.without.max(axis=1).mean()) for run in inputs.runs],
    }
