"""Plain functions: which argument is what, by its name; and functions of arrays of any library."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...case import Case
from ..target import Call, Target

RATES = ("p", "rate", "ratio", "dropout_p", "drop_prob", "drop_probability", "prob", "dropout_rate", "dropout")
SEEDS = ("seed",)
KEYS = ("key", "rng", "generator", "rngs", "prng_key")
TRAINING = ("training", "train", "is_training", "training_mode")
NOT_TRAINING = ("deterministic", "inference")
MASKS = ("mask", "keep")


class Style(NamedTuple):
    """The names of a function's parameters, None for those that it has not. inputs: how many stand before the rate."""

    rate: str | None = None
    seed: str | None = None
    key: str | None = None
    training: str | None = None
    not_training: str | None = None
    mask: str | None = None
    positional: tuple[str, ...] = ()

    def words(self, call: Call, key: Callable[[int], Any]) -> dict[str, Any]:
        """The keyword arguments of a call."""
        given = {
            self.rate: call.p,
            self.seed: call.seed,
            self.key: key(call.seed) if self.key else None,
            self.training: call.training,
            self.not_training: not call.training,
            self.mask: call.mask,
        }
        if call.mask is None:
            given.pop(self.mask, None)
        return {name: value for name, value in given.items() if name is not None}


def style_of(function: Callable[..., Any]) -> Style:
    """What its parameters are for, by name. Raises TypeError for a function that does not show its parameters."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise TypeError(
            f"check: {name_of(function)} does not show its parameters; wrap it: lambda x, p, seed: ..."
        ) from None

    def named(names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in parameters), None)

    positional = tuple(
        name for name, one in parameters.items() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    )
    kinds = (RATES, SEEDS, KEYS, TRAINING, NOT_TRAINING, MASKS)
    rate, seed, key, training, not_training, mask = map(named, kinds)
    return Style(rate, seed, key, training, not_training, mask, positional)


def caller(function: Callable[..., Any], case: Case) -> tuple[Style, Callable[..., Any]]:
    """How to call it: (style, run(call, inputs, key)). Raises TypeError where it cannot be called with the inputs."""
    style, count = style_of(function), len(case.inputs(2, 2))
    free = [name for name in style.positional if name not in style[:6]]
    if style.rate is None and len(style.positional) in (count + 1, count + 2):  # (x, p, seed) by position
        seeded = len(style.positional) == count + 2 and style.seed is None and style.key is None

        def by_position(call: Call, inputs: Any, key: Callable[[int], Any]) -> Any:
            return function(*inputs, call.p, *([call.seed] if seeded else []), **style.words(call, key))

        return style._replace(seed="seed" if seeded else style.seed), by_position
    if style.rate is None or len(free) < count:
        raise TypeError(
            f"check: {name_of(function)}{inspect.signature(function)} cannot be called for {case.name}, which has "
            f"{count} input(s); a target takes ({', '.join(['x', 'x2', 'x3', 'x4'][:count])}, p, seed)"
        )
    return style, lambda call, inputs, key: function(*inputs, **style.words(call, key))


def function(target: Callable[..., Any], case: Case, arrays: str | ModuleType = "numpy") -> Target:
    """A function of NumPy arrays, or of those of a module with `from_dlpack` or `asarray`."""
    module = import_module(arrays) if isinstance(arrays, str) else arrays
    style, run_with = caller(target, case)
    convert = _convert(module)

    def run(call: Call) -> Any:
        seed_the_world(call.seed)
        return run_with(call, [convert(a) for a in call.inputs], np.random.default_rng)

    return Target(
        name_of(target),
        run,
        has_seed=bool(style.seed or style.key),
        evaluates=bool(style.training or style.not_training),
        takes_mask=style.mask is not None,
        in_place=module is np,
    )


def _convert(module: ModuleType) -> Callable[[np.ndarray], Any]:
    if module is np:
        return lambda a: a
    if hasattr(module, "from_dlpack"):
        return lambda a: module.from_dlpack(np.array(a, order="C"))  # a copy: what is read-only has no DLPack
    if hasattr(module, "asarray"):
        return lambda a: module.asarray(a)
    raise TypeError(f"check: {module.__name__} has neither from_dlpack nor asarray")


def seed_the_world(seed: int) -> None:
    """The generators that a function without a seed may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)


def name_of(target: Any) -> str:
    """What a target is called."""
    name = getattr(target, "__qualname__", None) or getattr(target, "__name__", None) or type(target).__name__
    home = (getattr(target, "__module__", None) or "").split(".")[0]
    foreign = home not in ("", "__main__", "builtins")
    return f"{home}.{name}" if foreign and "<locals>" not in name else str(name).rsplit(".", 1)[-1]


def with_rate(instance: Any, p: float, names: Mapping[str, Any]) -> bool:
    """Set the rate of an object, where it has one under a known name. Whether it has."""
    for name in (*RATES, "drop_rate"):
        if isinstance(getattr(instance, name, None), (int, float)) and name in names:
            setattr(instance, name, p)
            return True
    return False
