"""Layers, losses, and what trains and saves them."""

from . import (
    cells,
    init,
    learned,
    noise_layers,
    normalisation,
    packing,
    recurrent,
    recurrent_dropout,
    recurrent_state,
    residual,
    structured,
    weights,
)
from .cells import *  # noqa: F403
from .data import Batches
from .diagnosis import Finding, diagnose
from .dropout import Dropout
from .files import load, save
from .layers import Flatten, Linear, ReLU, Sequential, Sigmoid, Softmax, Tanh
from .learned import *  # noqa: F403  # each family lists its layers in its own __all__
from .losses import cross_entropy, mse
from .module import Buffer, Module, Parameter, Site
from .noise_layers import *  # noqa: F403
from .normalisation import *  # noqa: F403
from .packing import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .recurrent_dropout import *  # noqa: F403
from .recurrent_state import *  # noqa: F403
from .residual import *  # noqa: F403
from .structured import *  # noqa: F403
from .weights import *  # noqa: F403

__all__ = [
    "Batches",
    "Buffer",
    "Dropout",
    "Finding",
    "Flatten",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Site",
    "Softmax",
    "Tanh",
    "cross_entropy",
    "diagnose",
    "init",
    "load",
    "mse",
    "save",
    *noise_layers.__all__,
    *normalisation.__all__,
    *structured.__all__,
    *weights.__all__,
    *residual.__all__,
    *learned.__all__,
    *cells.__all__,
    *recurrent.__all__,
    *recurrent_dropout.__all__,
    *recurrent_state.__all__,
    *packing.__all__,
]
