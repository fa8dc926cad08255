"""One model in four forms: where it drops is the model's, what it drops with is an argument.

plain: nothing is dropped. mc: Bernoulli dropout at a fixed rate. variational: Gaussian noise that learns its variance
(Kingma et al. 2015). concrete: dropout that learns its rate (Gal et al. 2017). The weights have the same names in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from ..variants.special import concrete_regulariser
from .dropout import Dropout
from .layers import Identity
from .learned import ConcreteDropout, SpatialConcreteDropout, VariationalGaussianDropout
from .module import Module
from .structured import Dropout2d, LockedDropout

Form = Literal["plain", "mc", "variational", "concrete"]
Place = Literal["units", "channels", "sequence"]
FORMS: tuple[Form, ...] = get_args(Form)

_LAYERS: dict[str, dict[str, Any]] = {
    "mc": {
        "units": Dropout,
        "channels": Dropout2d,
        "sequence": lambda p: LockedDropout(p, time_axis=1),
    },
    "variational": {
        "units": VariationalGaussianDropout,
        "channels": lambda p: VariationalGaussianDropout(p, shared=(2, 3)),
        "sequence": lambda p: VariationalGaussianDropout(p, shared=(1,)),
    },
    "concrete": {
        "units": ConcreteDropout,
        "channels": SpatialConcreteDropout,
        "sequence": lambda p: ConcreteDropout(p, shared=(1,)),
    },
}


def noise(form: Form, p: float, place: Place = "units") -> Module:
    """The layer that drops in a model of this form, at the rate p, or from it on where the rate is learned.

    place: "units" (N, ...) one by one; whole "channels" (N, C, H, W); the units of a "sequence" (N, T, D), the same
    ones at every step.
    Raises: ValueError for another form.

    >>> noise("mc", 0.5), noise("plain", 0.5)
    (Dropout(p=0.5), Identity())
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    return Identity() if form == "plain" or p == 0 else _LAYERS[form][place](p)


class Noisy(Module):
    """A layer with a weight, and what drops its input."""

    def __init__(self, form: Form, p: float, layer: Module, place: Place = "units") -> None:
        self.noise = noise(form, p, place)
        self.layer = layer

    def forward(self, x: Any, *rest: Any) -> Any:
        return self.layer(self.noise(x), *rest)


class Model(Module):
    """Base of the models: what its learned noise adds to the loss."""

    def noisy_weights(self) -> Iterator[tuple[Module, Any]]:
        """Every layer that drops, with the weight behind it."""
        for module in self.modules():
            if isinstance(module, Noisy):
                weight = next(p for p in module.layer.parameters() if p.ndim > 1)
                yield module.noise, weight

    def regulariser(self, examples: int, length_scale: float = 1e-2) -> Any:
        """What to add to a loss that is a mean over `examples`; 0.0 where no noise is learned.

        Math: for concrete dropout l^2 |W|^2 / ((1 - p) N) less the entropy of the masks over N, for variational
        dropout the divergence from the log-uniform prior over N, summed over the layers.
        """
        return sum((_penalty(*pair, examples, length_scale) for pair in self.noisy_weights()), start=0.0)


def _penalty(layer: Module, weight: Any, examples: int, length_scale: float) -> Any:
    if isinstance(layer, ConcreteDropout):
        scales: dict[str, Any] = {"weight_scale": length_scale**2 / examples, "dropout_scale": 1 / examples}
        return concrete_regulariser(weight, layer.logit_p, **scales)
    return layer.regulariser() * (1 / examples) if isinstance(layer, VariationalGaussianDropout) else 0.0
