"""Layers, losses, and what trains and saves them."""

from . import init, learned, noise_layers, normalisation, residual, structured, weights
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
]
