"""Deterministic primitives, each with its gradient beside it. Arrays in, arrays out; tensors in, tensors out."""

from . import methods as _methods  # noqa: F401  # binds the operators of Tensor
from .activations import elu, gelu, leaky_relu, normal_cdf, selu, silu
from .arithmetic import add, divide, matmul, multiply, negative, power, subtract
from .attention import attend, self_attend
from .connecting import connect
from .convolution import convolution, transposed_convolution
from .dense import linear, stacked_linear
from .elementwise import absolute, clip, exp, expm1, log, maximum, minimum, relu, sigmoid, softplus, sqrt, tanh, where
from .gaussian import times_normal
from .joining import concatenate, stack
from .lookup import add_rows, rows
from .masking import Selection, drop, drop_given
from .normalise import group_norm, layer_norm, standardise
from .pooling import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool
from .probability import cross_entropy, log_softmax, softmax
from .recurrent import lstm_sequence
from .reduce import max, mean, min, std, sum, var
from .relaxed import times_relaxed
from .rotation import turn
from .shape import (
    astype,
    broadcast_to,
    flatten,
    reshape,
    scatter,
    squeeze,
    swapaxes,
    take,
    transpose,
    unsqueeze,
)
from .sight import Sight

__all__ = [
    "add",
    "divide",
    "matmul",
    "multiply",
    "negative",
    "power",
    "subtract",
    "attend",
    "self_attend",
    "Sight",
    "Selection",
    "add_rows",
    "rows",
    "turn",
    "drop",
    "drop_given",
    "times_normal",
    "times_relaxed",
    "absolute",
    "clip",
    "exp",
    "expm1",
    "log",
    "maximum",
    "minimum",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
    "where",
    "elu",
    "gelu",
    "leaky_relu",
    "normal_cdf",
    "selu",
    "silu",
    "linear",
    "stacked_linear",
    "connect",
    "lstm_sequence",
    "convolution",
    "transposed_convolution",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "max_pool",
    "max",
    "mean",
    "min",
    "std",
    "sum",
    "var",
    "astype",
    "broadcast_to",
    "concatenate",
    "flatten",
    "reshape",
    "scatter",
    "squeeze",
    "stack",
    "swapaxes",
    "take",
    "transpose",
    "unsqueeze",
    "group_norm",
    "layer_norm",
    "standardise",
    "cross_entropy",
    "log_softmax",
    "softmax",
]
