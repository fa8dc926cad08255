"""Rules on single layers and the state they stand in: seeds, rates, modes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..module import Site
from .dropouts import Layers, rate_of
from .finding import Finding


def unseeded(layers: Layers) -> Iterator[Finding]:
    """A layer that draws, without a stream to draw from."""
    for name, layer in layers:
        if isinstance(layer, Site) and layer.rng is None:
            yield Finding(
                name,
                "nothing to draw with",
                "The layer has no seed, so a forward pass in train or sample mode raises",
                "Call .seed(s) on the model, or load its random state",
            )


def drops_everything(layers: Layers) -> Iterator[Finding]:
    """p = 1."""
    for name, layer in layers:
        if rate_of(layer) == 1.0:
            yield Finding(
                name,
                "p = 1 drops everything",
                "p is the probability of dropping; somebody may have meant the probability of keeping",
                "Give the layer 1 - p",
            )


def same_stream(layers: Layers) -> Iterator[Finding]:
    """Layers of one address draw the same bits: where parts of a model were seeded one by one."""
    streams: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, layer in layers:
        if isinstance(layer, Site) and layer.rng is not None:
            streams[layer.rng.seed, layer.rng.site].append(name)
    for first, *others in streams.values():
        for name in others:
            yield Finding(
                name,
                f"draws the same masks as {first or 'the model itself'}",
                "Both have the same seed and the same place in it, as parts that were seeded one by one, so what one "
                "drops the other drops too",
                "Call .seed(s) once, on the whole model",
            )


def mode(layers: Layers) -> Iterator[Finding]:
    """A mode in which a call is not the prediction. Layers that hold others do not count."""
    modes = {layer.mode for _, layer in layers if sum(1 for _ in layer.modules()) == 1}
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
            "Call .eval(), or predict with uncertainty.predict, which needs no mode",
        )
    elif modes == {"sample"} and any(isinstance(layer, Site) for _, layer in layers):
        yield Finding(
            "",
            "sample mode where a prediction is asked for",
            "One call draws one set of masks: its result is a single Monte-Carlo sample, and not the prediction",
            "Average many of them (uncertainty.predict, which needs no mode), or call .eval()",
        )
