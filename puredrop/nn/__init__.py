"""Layers, losses, and what trains and saves them."""

from . import init
from .data import Batches
from .dropout import Dropout
from .files import load, save
from .layers import Flatten, Linear, ReLU, Sequential, Sigmoid, Softmax, Tanh
from .losses import cross_entropy, mse
from .module import Module, Parameter, Site

__all__ = [
    "Batches",
    "Dropout",
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
    "init",
    "load",
    "mse",
    "save",
]
