"""Rows for gates on residual branches, paths and layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...random import Index
from ...variants import drop_path, fractal_join, layer_drop, shake_drop, shake_shake, stochastic_depth, swapout
from ..case import Arrays, Case, normal
from .elementwise import inverted

RUN = 12  # how many layers of the example stack do something; the statistics want more, and the others are identities
FALSE_GRADIENT = "the gradient is not that of y, by design; 'pytorch autograd' holds it"


def batches(count: int) -> Any:
    """`count` inputs of rows * columns examples, each with a gate of its own."""
    return lambda rows, columns: tuple(normal(rows * columns, 2, seed=i) for i in range(count))


def gates(noise: np.ndarray) -> np.ndarray:
    """One gate an example, as a matrix."""
    return noise[:, 0].reshape(512, -1)


def share_all_but_examples(x: np.ndarray, *_: np.ndarray) -> Index:
    """One gate an example."""
    return Index.whole(x.shape, shared=range(1, x.ndim))


# ------------------------------------------------------------------------------------------------------- layers
def stack_inputs(rows: int, columns: int) -> Arrays:
    """A number to work on, and what each of rows * columns layers does with it."""
    return normal(1), 1 + 0.2 * normal(rows, columns, seed=2)


def run_stack(x: Any, factors: Any, p: Any, **options: Any) -> Any:
    factors = factors.reshape(-1)  # (L,)

    def layer(number: int) -> Any:
        return lambda y: factors[number : number + 1] * y + 1.0

    layers = [layer(number) for number in range(min(RUN, factors.shape[0]))]
    return layer_drop(layers + [lambda y: y] * (factors.shape[0] - len(layers)), x, p, **options)


def stack_formula(xp: Any, x: Any, factors: Any, keep: Any, p: float) -> Any:
    for factor, open_gate in zip(factors.reshape(-1)[:RUN], keep[:RUN], strict=True):
        x = xp.where(open_gate, factor * x + 1, x)
    return x


def stack_moments(x: Any, factors: Any, p: float) -> tuple[Any, Any]:
    """Mean and mean square, layer by layer: the gates are independent."""
    mean, square = x, x**2
    for f in factors.reshape(-1)[:RUN]:
        square = p * square + (1 - p) * (f**2 * square + 2 * f * mean + 1)
        mean = p * mean + (1 - p) * (f * mean + 1)
    return mean, square


def stack_variance(x: Any, factors: Any, p: float) -> Any:
    mean, square = stack_moments(x, factors, p)
    return square - mean**2


# --------------------------------------------------------------------------------------------------------- joins
def join(a: Any, b: Any, c: Any, p: Any, **options: Any) -> Any:
    return fractal_join([a, b, c], p, mode="row", **options)


def join_formula(xp: Any, a: Any, b: Any, c: Any, keep: Any, p: float) -> Any:
    first, second, third = (
        xp.where(kept, path, xp.zeros_like(path)) for kept, path in zip(keep, (a, b, c), strict=True)
    )
    return (first + second + third) / keep.sum(0)


def join_variance(a: Any, b: Any, c: Any, p: float) -> Any:
    """With K paths kept of 3, E[w_j^2] = E[1/K] / 3 and E[w_i w_j] = (1 - E[1/K]) / 6; one is kept where none was."""
    inverse = sum(math.comb(3, k) * (1 - p) ** k * p ** (3 - k) / max(k, 1) for k in range(4))
    total, squares = a + b + c, a**2 + b**2 + c**2
    return squares * inverse / 3 + (total**2 - squares) * (1 - inverse) / 6 - (total / 3) ** 2


# --------------------------------------------------------------------------------------------------------- shaking
def false_gradient(x: Any, forward: Any, backward: Any) -> Any:
    """x * forward, whose gradient is g * backward. An array has no gradient."""
    y = x * backward
    rest = x * forward - y
    return y + (rest.detach() if hasattr(rest, "detach") else rest)


def shaken_moments(p: float) -> tuple[float, float]:
    """Mean and variance of the factor: 1, or with probability p uniform on (-1, 1)."""
    mean = 1 - p
    return mean, 1 - p + p / 3 - mean**2


CASES = (
    Case(
        name="drop_path",
        call=drop_path,
        formula=inverted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        inputs=batches(1),
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        noise_matrix=gates,
        applies_to=("residual", "conv", "attention"),
        elsewhere={
            "torchvision": 'torchvision.ops.StochasticDepth: mode="row"',
            "timm": "timm.layers.DropPath",
            "KerasCV": "keras_cv.layers.DropPath",
        },
    ),
    Case(
        name="stochastic_depth",
        call=lambda residual, x, p, **options: stochastic_depth(x, residual, p, mode="row", **options),
        formula=lambda xp, residual, x, keep, p: x + xp.where(keep, residual, xp.zeros_like(x)),
        mean=lambda residual, x, p: x + (1 - p) * residual,
        variance=lambda residual, x, p: residual**2 * p * (1 - p),
        inputs=batches(2),
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        noise_matrix=gates,
        at_one="formula",
        evaluation=lambda xp, residual, x, p: x + (1 - p) * residual,
        applies_to=("residual", "conv"),
        elsewhere={
            "torchvision": "torchvision.ops.StochasticDepth: scales in training, not in evaluation",
            "KerasCV": "keras_cv.layers.StochasticDepth",
            "AllenNLP": "allennlp.modules.ResidualWithLayerDropout",
        },
    ),
    Case(
        name="swapout",
        call=lambda x, residual, p, **options: swapout(x, residual, p, p, **options),
        formula=lambda xp, x, f, keep, p: (
            xp.where(keep[0], x, xp.zeros_like(x)) + xp.where(keep[1], f, xp.zeros_like(f))
        ),
        mean=lambda x, f, p: (1 - p) * (x + f),
        variance=lambda x, f, p: p * (1 - p) * (x**2 + f**2),
        inputs=lambda rows, columns: (normal(rows, max(1, columns // 2)), normal(rows, max(1, columns // 2), seed=1)),
        in_front=1,
        draws_several=True,
        noise_matrix=lambda noise: noise[0],
        evaluation=lambda xp, x, f, p: (1 - p) * (x + f),
        applies_to=("residual", "conv"),
    ),
    Case(
        name="layer_drop",
        call=run_stack,
        formula=stack_formula,
        mean=lambda x, factors, p: stack_moments(x, factors, p)[0],
        variance=stack_variance,
        inputs=stack_inputs,
        any_shape=False,
        index=None,
        noise_matrix=lambda noise: noise.reshape(512, -1),
        at_one="formula",
        evaluation=lambda xp, x, factors, p: stack_formula(xp, x, factors, np.ones(factors.size, np.bool_), p),
        not_applicable={
            "signed zero": "the result is a sum",
            "nonfinite gradient": "what is dropped is a function; tests/test_residual.py shows that it is not run",
            "shard": "a layer number is no address in x",
        },
        applies_to=("residual", "attention"),
        elsewhere={
            "fairseq": "fairseq.modules.LayerDropModuleList",
            "Transformers": "transformers.Wav2Vec2Config(layerdrop=): and other configurations",
        },
    ),
    Case(
        name="fractal_join",
        call=join,
        formula=join_formula,
        mean=lambda a, b, c, p: (a + b + c) / 3,
        variance=join_variance,
        inputs=lambda rows, columns: batches(3)(rows, columns // 4 or 1),  # five decisions an example
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        in_front=1,
        draws_several=True,
        noise_matrix=lambda noise: gates(noise[0]),
        drop_rate=lambda p: p - p**3 / 3,  # where all three are dropped, one of them is kept
        at_one="formula",
        evaluation=lambda xp, a, b, c, p: (a + b + c) / 3,
        not_applicable={
            "nested": "where a larger p drops all paths, one that a smaller p drops may be kept",
        },
        applies_to=("conv",),
    ),
    Case(
        name="shake_drop",
        call=shake_drop,
        formula=lambda xp, x, f, factors, p: x + false_gradient(f, factors[0], factors[1]),
        mean=lambda x, f, p: x + shaken_moments(p)[0] * f,
        variance=lambda x, f, p: shaken_moments(p)[1] * f**2,
        inputs=batches(2),
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        noise_matrix=lambda factors: gates(factors[0]) == 1,
        at_one="formula",
        evaluation=lambda xp, x, f, p: x + (1 - p) * f,
        real_noise="uniform",
        in_front=1,
        draws_several=True,
        not_applicable={
            "gradient": FALSE_GRADIENT,
            "second gradient": FALSE_GRADIENT,
            "signed zero": "the result is a sum",
        },
        applies_to=("residual", "conv"),
    ),
    Case(
        name="shake_shake",
        call=lambda x, a, b, p, **options: shake_shake(x, a, b, **options),
        formula=lambda xp, x, a, b, factors, p: (
            x + false_gradient(a, factors[0], factors[1]) + false_gradient(b, 1 - factors[0], 1 - factors[1])
        ),
        mean=lambda x, a, b, p: x + (a + b) / 2,
        variance=lambda x, a, b, p: (a - b) ** 2 / 12,
        inputs=batches(3),
        any_shape=False,
        index=share_all_but_examples,
        axes=1,
        noise_matrix=lambda factors: gates(factors[0]),
        rates=(0.5,),
        at_one="formula",
        evaluation=lambda xp, x, a, b, p: x + (a + b) / 2,
        real_noise="uniform",
        in_front=1,
        draws_several=True,
        not_applicable={
            "signed zero": "the result is a sum",
            "identity": "there is no rate",
            "rate errors": "there is no rate; tests/test_residual.py has the other arguments",
            "gradient": FALSE_GRADIENT,
            "second gradient": FALSE_GRADIENT,
        },
        applies_to=("residual", "conv"),
    ),
)
