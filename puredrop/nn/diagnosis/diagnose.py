"""The rules, one after the other."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from ..module import Module
from . import output, recurrence, rules, variance_shift
from .finding import Finding
from .trace import traced

Purpose: TypeAlias = Literal["training", "prediction"]

_RULES = (rules.unseeded, rules.same_stream, rules.drops_everything)
_RULES_OF_THE_TREE = (variance_shift.in_the_tree, output.in_the_tree)
_RULES_OF_THE_GRAPH = (
    variance_shift.in_the_graph,
    output.in_the_graph,
    recurrence.fresh_masks,
    recurrence.compounding_scales,
)


def diagnose(model: Module, *inputs: Any, purpose: Purpose = "training") -> list[Finding]:
    """Findings about the dropout of a model; empty when nothing looks wrong.

    inputs: what the model is called with. With them a copy of it is run once in train mode, and the graph of that run
        is looked at: dropout in a recurrence (of library layers and hand-written cells alike; give three time steps or
        more), before a batch norm, at the output. Without them the order of the layers must do for the last two, and
        recurrences are not seen. The model itself stays as it is.
    purpose: "prediction" also asks whether the model stands in a mode for predicting.
    Raises: TypeError for what is no Module; ValueError for another purpose; what the model raises for these inputs.

    >>> from puredrop import nn
    >>> for finding in diagnose(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1))):
    ...     print(finding)
    1: nothing to draw with. The layer has no seed, so a forward pass in train or sample mode raises. Call .seed(s) on \
the model, or load its random state.
    1: drops the outputs of the model. No layer after it can learn to do without the dropped values, so the loss is \
computed on zeros. Move it before the last Linear or convolution.
    """
    if not isinstance(model, Module):
        raise TypeError(f"diagnose: expected a puredrop.nn.Module, got {type(model)}; for PyTorch's see nn.from_torch")
    if purpose not in ("training", "prediction"):
        raise ValueError(f"diagnose: purpose must be 'training' or 'prediction', got {purpose!r}")
    layers = list(model.named_modules())
    findings = [finding for rule in _RULES for finding in rule(layers)]
    if inputs:
        trace = traced(model, inputs)
        findings += [finding for rule in _RULES_OF_THE_GRAPH for finding in rule(trace)]
    else:
        findings += [finding for rule in _RULES_OF_THE_TREE for finding in rule(layers)]
    if purpose == "prediction":
        findings += rules.mode(layers)
    first = {(finding.layer, finding.problem): finding for finding in reversed(findings)}  # a layer called many times
    return [finding for finding in findings if first[finding.layer, finding.problem] is finding]
