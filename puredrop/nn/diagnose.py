"""What is likely to be wrong with the dropout of a model, in plain words.

A rule looks at the model as a list of layers in the order of the tree, and yields findings. Rules for recurrent layers
come with those layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .layers import Linear
from .module import Module, Site

HIGH_RATE = 0.5


@dataclass(frozen=True)
class Finding:
    """Something that is likely to be wrong: where, what, why, and what to do."""

    layer: str
    problem: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer or 'the model'}: {self.problem}. {self.reason}. {self.remedy}."


Layers: TypeAlias = list[tuple[str, Module]]
Purpose: TypeAlias = Literal["training", "prediction"]


def diagnose(model: Module, purpose: Purpose = "training") -> list[Finding]:
    """Findings about the dropout of a model; empty when nothing looks wrong.

    purpose: "prediction" also asks whether the model stands in a mode for predicting.
    Raises: ValueError for another purpose.

    >>> from puredrop import nn
    >>> for finding in diagnose(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1))):
    ...     print(finding)
    1: nothing to draw with. The layer has no seed, so a forward pass in train or sample mode raises. Call .seed(s) on \
the model, or load its random state.
    1: drops the outputs of the model. No layer after it can learn to do without the dropped values, so the loss is \
computed on zeros. Move it before the last Linear.
    """
    if purpose not in ("training", "prediction"):
        raise ValueError(f"diagnose: purpose must be 'training' or 'prediction', got {purpose!r}")
    layers = [(name, module) for name, module in model.named_modules() if not _holds_modules(module)]
    findings = [finding for rule in _RULES for finding in rule(layers)]
    return [*findings, *(_mode(layers) if purpose == "prediction" else ())]


def _holds_modules(module: Module) -> bool:
    return sum(1 for _ in module.named_modules()) > 1


def _rate(layer: Any) -> float | None:
    p = getattr(layer, "p", None)
    return p if isinstance(p, float) and isinstance(layer, Site) else None


def _unseeded(layers: Layers) -> Iterator[Finding]:
    for name, layer in layers:
        if isinstance(layer, Site) and layer.rng is None:
            yield Finding(
                name,
                "nothing to draw with",
                "The layer has no seed, so a forward pass in train or sample mode raises",
                "Call .seed(s) on the model, or load its random state",
            )


def _drops_everything(layers: Layers) -> Iterator[Finding]:
    for name, layer in layers:
        if _rate(layer) == 1.0:
            yield Finding(
                name,
                "p = 1 drops everything",
                "p is the probability of dropping; somebody may have meant the probability of keeping",
                "Give the layer 1 - p",
            )


def _before_batch_norm(layers: Layers) -> Iterator[Finding]:
    """Dropout raises the variance that batch norm averages in training, and not in evaluation (Li et al. 2019)."""
    for i, (name, layer) in enumerate(layers):
        p = _rate(layer)
        later = [n for n, m in layers[i + 1 :] if type(m).__name__.startswith("BatchNorm")]
        if p and p < 1 and later:
            yield Finding(
                name,
                f"dropout before batch norm ({later[0]})",
                f"In training the variance that batch norm sees is {1 / (1 - p):.3g} times that of evaluation "
                "(for inputs of mean zero; more otherwise), so its running statistics do not fit",
                "Move the dropout behind the last batch norm",
            )


def _at_the_output(layers: Layers) -> Iterator[Finding]:
    linear = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, Linear)]
    if not linear:
        return
    for name, layer in layers[linear[-1] + 1 :]:
        if _rate(layer):
            yield Finding(
                name,
                "drops the outputs of the model",
                "No layer after it can learn to do without the dropped values, so the loss is computed on zeros",
                "Move it before the last Linear",
            )
    for name, layer in layers[(linear[-2] if len(linear) > 1 else 0) : linear[-1]]:
        p = _rate(layer)
        if p and HIGH_RATE < p < 1:
            yield Finding(
                name,
                f"a high rate (p = {p:g}) before the output",
                "The last layer sees few of its inputs at a time, and its bias has to do the rest",
                f"Rates before the output are commonly 0.1 to 0.3, seldom above {HIGH_RATE:g}",
            )


def _mode(layers: Layers) -> Iterator[Finding]:
    modes = {layer.mode for _, layer in layers}
    if len(modes) > 1:
        yield Finding(
            "",
            f"layers stand in different modes ({', '.join(sorted(modes))})",
            "Some draw and others do not",
            "Call .eval() on the whole model, or predict with uncertainty.predict, which needs no mode",
        )
    elif modes == {"train"}:
        yield Finding(
            "",
            "train mode where a prediction is asked for",
            "Layers draw, and their counters advance; batch norm would use the statistics of this batch",
            "Call .eval(), or .sample() for Monte-Carlo samples",
        )


_RULES: tuple[Callable[[Layers], Iterator[Finding]], ...] = (
    _unseeded,
    _drops_everything,
    _before_batch_norm,
    _at_the_output,
)
