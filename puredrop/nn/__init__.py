"""Layers, losses, and what trains and saves them."""

from . import (
    attention,
    blocks,
    cells,
    convolution,
    embedding,
    init,
    learned,
    models,
    noise_layers,
    normalisation,
    packing,
    pooling,
    positions,
    recurrent,
    recurrent_dropout,
    recurrent_state,
    residual,
    stacked,
    stacked_batches,
    stacked_training,
    structured,
    transformer,
    weights,
)
from .attention import *  # noqa: F403  # each family lists its layers in its own __all__
from .blocks import *  # noqa: F403  # each family lists its layers in its own __all__
from .cells import *  # noqa: F403
from .convolution import *  # noqa: F403
from .data import Batches
from .diagnosis import Finding, diagnose
from .dropout import Dropout
from .embedding import *  # noqa: F403
from .exchange import from_torch, to_torch_state_dict
from .files import load, save
from .layers import (
    ELU,
    GELU,
    SELU,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from .learned import *  # noqa: F403
from .losses import cross_entropy, gaussian_nll, mse
from .module import Buffer, Module, Parameter, Site
from .noise_layers import *  # noqa: F403
from .normalisation import *  # noqa: F403
from .packing import *  # noqa: F403
from .pooling import *  # noqa: F403
from .positions import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .recurrent_dropout import *  # noqa: F403
from .recurrent_state import *  # noqa: F403
from .residual import *  # noqa: F403
from .stacked import *  # noqa: F403
from .stacked_batches import *  # noqa: F403
from .stacked_training import *  # noqa: F403
from .structured import *  # noqa: F403
from .transformer import *  # noqa: F403
from .weights import *  # noqa: F403

__all__ = [
    "Batches",
    "Buffer",
    "Dropout",
    "ELU",
    "Finding",
    "Flatten",
    "GELU",
    "Identity",
    "LeakyReLU",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Site",
    "Softmax",
    "Tanh",
    "cross_entropy",
    "diagnose",
    "from_torch",
    "gaussian_nll",
    "init",
    "load",
    "mse",
    "models",
    "save",
    "to_torch_state_dict",
    *noise_layers.__all__,
    *normalisation.__all__,
    *convolution.__all__,
    *pooling.__all__,
    *blocks.__all__,
    *structured.__all__,
    *weights.__all__,
    *residual.__all__,
    *learned.__all__,
    *embedding.__all__,
    *positions.__all__,
    *attention.__all__,
    *transformer.__all__,
    *cells.__all__,
    *recurrent.__all__,
    *recurrent_dropout.__all__,
    *recurrent_state.__all__,
    *packing.__all__,
    *stacked.__all__,
    *stacked_batches.__all__,
    *stacked_training.__all__,
]
