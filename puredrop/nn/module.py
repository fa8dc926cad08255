"""Modules: trees of layers with parameters, three modes, and one seed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from .. import backends, ops
from ..backends import Backend
from ..random import Index, Key, Keys, Rng, journal, passes
from ..random.passes import MODES, Mode, Pass
from ..tensor import Tensor, moved, raw
from ..variants.door import checked_rate
from .init import Initialiser

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A tensor that a model learns. Its numbers are drawn by the first `.seed` of the model, or filled by a load.

    `init(key, shape)` gives the first numbers. Until then `drawn` is False and a forward pass raises.
    """

    __slots__ = ("drawn", "init")
    stacked = False  # whether the first axis numbers the members of a stack

    def __init__(self, shape: tuple[int, ...], init: Initialiser, dtype: Any = np.float32) -> None:
        super().__init__(np.zeros(shape, dtype), requires_grad=True)
        self.init = init
        self.drawn = False

    def draw(self, key: Key) -> None:
        """Fill with first numbers: the same on every backend, for NumPy draws them."""
        self.fill(self.init(key, self.shape))

    def fill(self, values: Any) -> None:
        """Take these numbers, in the parameter's own dtype and on its backend."""
        self.data = self.backend.xp.array(values, self.dtype)
        self.grad = None
        self.drawn = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt_parameter, (type(self), self.data, self.backend, self.requires_grad, self.init, self.drawn)


def _rebuilt_parameter(
    cls: type[Parameter], data: Any, backend: Backend, requires_grad: bool, init: Initialiser, drawn: bool
) -> Parameter:
    new = cls._rebuilt(data, backend, requires_grad)
    assert isinstance(new, Parameter)
    new.init, new.drawn = init, drawn
    return new


class Buffer(Tensor):
    """State of a model that is not learned, such as a running mean: saved, loaded and moved with the parameters.

    It has its numbers from the start; `reset_parameters` gives it the first ones again. `fill` replaces the array, so
    a graph that uses the old one is not disturbed.
    """

    __slots__ = ("initial",)

    def __init__(self, initial: Any) -> None:
        super().__init__(np.array(initial))
        self.initial = np.array(initial)

    def reset(self) -> None:
        """Take the first numbers again."""
        self.fill(self.initial)

    def fill(self, values: Any) -> None:
        """Take these numbers, in the buffer's own dtype and on its backend."""
        self.data = self.backend.xp.array(values, self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt_buffer, (type(self), self.data, self.backend, self.initial)


def _rebuilt_buffer(cls: type[Buffer], data: Any, backend: Backend, initial: np.ndarray) -> Buffer:
    new = cls._rebuilt(data, backend, requires_grad=False)
    assert isinstance(new, Buffer)
    new.initial = initial
    return new


class Module:
    """Base of all layers and models: parameters, buffers and modules as attributes, and a `forward`.

    Modes: `train()` draws and advances; `eval()` is deterministic; `sample()` draws as Monte-Carlo samples 0, 1, ...
    with everything else as in eval.
    """

    mode: Mode = "train"
    backend: Backend | None = None
    _runs = 0  # how many passes were opened here since `.sample()`: the number of the next Monte-Carlo sample

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`. The outermost call opens a pass, and makes tensors of floating-point arrays."""
        if passes.current() is not None:
            return self.forward(*args, **kwargs)
        self.require_parameters()
        with passes.entered(journal.remembered(self._new_pass)):
            return self.forward(*(self.placed(a) for a in args), **kwargs)

    def _new_pass(self) -> Pass:
        self._runs += 1
        return Pass(samples=range(self._runs - 1, self._runs))

    def placed(self, x: Any) -> Any:
        """A floating-point array as a tensor on the backend of this model; anything else as it is."""
        is_float_array = not isinstance(x, Tensor) and getattr(getattr(x, "dtype", None), "kind", "") == "f"
        return Tensor(x, self.backend) if is_float_array else x

    def require_parameters(self) -> None:
        """Raise RuntimeError, naming the remedy, where a parameter has no numbers yet."""
        for name, parameter in self.named_parameters():
            if not parameter.drawn:
                raise RuntimeError(
                    f"{type(self).__name__}: parameter {name!r} has no numbers yet; "
                    f"call .seed(s) to draw them, or load weights"
                )

    # --------------------------------------------------------------------------------------------------- the tree
    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, in tree order, each once."""
        return self._walk(prefix, set())

    def _walk(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, value in _members(self):
            if isinstance(value, Module):
                yield from value._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """All modules, in tree order."""
        return (module for _, module in self.named_modules())

    def named_state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """All parameters and buffers with their dotted names, in tree order, each once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in _members(module):
                if isinstance(value, (Parameter, Buffer)) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, in tree order, each once."""
        return ((name, value) for name, value in self.named_state() if isinstance(value, Parameter))

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers with their dotted names, in tree order, each once."""
        return ((name, value) for name, value in self.named_state() if isinstance(value, Buffer))

    def parameters(self) -> list[Parameter]:
        """All parameters, in tree order."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_sites(self) -> Iterator[tuple[str, Site]]:
        """The layers that draw, in tree order: their place is their site number."""
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Site))

    # --------------------------------------------------------------------------------------------------- modes, seed
    def train(self: Self) -> Self:
        """Draw, and advance; batch statistics are used and updated."""
        return self._set_mode("train")

    def eval(self: Self) -> Self:
        """Deterministic: every layer follows its evaluation rule."""
        return self._set_mode("eval")

    def sample(self: Self) -> Self:
        """Draw as Monte-Carlo samples 0, 1, ... of a prediction; everything else as in eval. Advances nothing saved."""
        return self._set_mode("sample")

    def current_mode(self) -> Mode:
        """The mode that counts now: that of the pass under way if it has one, else this module's own."""
        run = passes.current()
        return run.mode if run and run.mode else self.mode

    def _set_mode(self: Self, mode: Mode) -> Self:
        assert mode in MODES
        for module in self.modules():
            module.mode = mode
            module._runs = 0
        return self

    def seed(self: Self, seed: int) -> Self:
        """Number the layers that draw, in tree order, and give each the random stream of `seed` from step 0.

        The first seed draws the parameters too; a later one changes masks only (`reset_parameters` redraws them).
        """
        for number, (_, site) in enumerate(self.named_sites()):
            site.rng = Rng(seed, site=number)
        return self._draw_parameters(seed, only_missing=True)

    def reset_parameters(self: Self, seed: int) -> Self:
        """Draw all parameters anew, and reset all buffers."""
        for _, buffer in self.named_buffers():
            buffer.reset()
        return self._draw_parameters(seed, only_missing=False)

    def _draw_parameters(self: Self, seed: int, only_missing: bool) -> Self:
        for number, parameter in enumerate(self.parameters()):
            if not (only_missing and parameter.drawn):
                parameter.draw(Key(seed, site=number))
        return self

    def to(self: Self, backend: str | Backend) -> Self:
        """Move all parameters and buffers to a backend; gradients are dropped."""
        target = backends.get(backend)
        for module in self.modules():
            module.backend = target
        for _, array in self.named_state():
            wanted, array.requires_grad = array.requires_grad, False
            array.data, array.backend = moved(array.data, target), target
            array.requires_grad = wanted
        return self

    def astype(self: Self, dtype: Any) -> Self:
        """Convert all parameters and floating-point buffers to another floating-point type; gradients are dropped."""
        for _, array in self.named_state():
            if array.dtype.kind == "f":
                wanted, array.requires_grad = array.requires_grad, False
                array.data = array.data.astype(dtype)
                array.requires_grad = wanted
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    # --------------------------------------------------------------------------------------------------- state
    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> a copy of the numbers of every parameter and buffer."""
        return {name: array.numpy().copy() for name, array in self.named_state()}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError, listing all that is missing, unexpected or misshapen, unless these weights fit."""
        own = dict(self.named_state())
        problems = [
            *(f"missing {name}" for name in own if name not in state),
            *(f"unexpected {name}" for name in state if name not in own),
            *(
                f"{name} has shape {np.shape(state[name])}, expected {array.shape}"
                for name, array in own.items()
                if name in state and np.shape(state[name]) != array.shape
            ),
        ]
        if problems:
            raise ValueError(
                f"{type(self).__name__}: these weights do not fit, nothing was loaded: {'; '.join(problems)}"
            )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Fill every parameter and buffer. Raises as `check_state`, and loads nothing then."""
        self.check_state(state)
        for name, array in self.named_state():
            array.fill(raw(state[name]))

    def random_state(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (seed, site, step) of every layer that draws."""
        return {name: (s.rng.seed, s.rng.site, s.rng.step) for name, s in self.named_sites() if s.rng is not None}

    def load_random_state(self, state: Mapping[str, Any]) -> None:
        """Continue drawing where that state stood. Raises ValueError, changing nothing, where the layers differ."""
        sites = dict(self.named_sites())
        unknown = sorted(set(state) - set(sites))
        if unknown:
            raise ValueError(f"{type(self).__name__}: the random state names layers that draw nothing here: {unknown}")
        streams = {name: Rng(*map(operator.index, numbers)) for name, numbers in state.items()}
        for name, site in sites.items():
            site.rng = streams.get(name)

    def extra_repr(self) -> str:
        """What the layer's line shows between its brackets."""
        return ""

    def __repr__(self) -> str:
        children = [(name, value) for name, value in _members(self) if isinstance(value, Module)]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({name}): {value!r}".replace("\n", "\n  ") for name, value in children]
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + "\n)"


class Site(Module):
    """A module that draws. Its address is (seed, its place among the sites of the model, step)."""

    rng: Rng | None = None
    batch_axis = 0

    def address(
        self, shape: tuple[int, ...], shared: tuple[int, ...] = (), keys: Keys | None = None
    ) -> tuple[Keys, Index] | None:
        """Where this site's next draw takes place, for an array of `shape`; None where it does not draw (eval).

        `keys` are those of an earlier draw that goes on: nothing advances then.
        """
        return journal.remembered(lambda: self._address(shape, shared, keys))

    def rate(self, p: Any, key: Keys) -> Any:
        """The rate of the draw at `key`: p itself, or what a schedule says at the step of the draw.

        A training key carries its step, also when it is replayed; samples are drawn at the rate of the next step.
        """
        if not callable(p):
            return p
        assert self.rng is not None
        first = key[0] if isinstance(key, tuple) else key
        return checked_rate(type(self).__name__, p(first.step if first.sample == 0 else self.rng.step))

    def is_idle(self) -> bool:
        """Whether samples draw nothing here, for the rate is 0 at the present step; False where that is not known."""
        return False

    def has_no_rate(self, p: Any) -> bool:
        """Whether p, a number, an array or a schedule, is 0 at the present step."""
        if callable(p):
            return self.rng is not None and not np.any(raw(p(self.rng.step)))
        return not np.any(raw(p))

    def _address(self, shape: tuple[int, ...], shared: tuple[int, ...], keys: Keys | None) -> tuple[Keys, Index] | None:
        run = passes.current()
        if run is None:
            raise RuntimeError(f"{type(self).__name__}: call the layer itself, layer(x), not its forward")
        mode = self.current_mode()
        if mode == "eval":
            return None
        if self.rng is None:
            raise RuntimeError(
                f"{type(self).__name__} has nothing to draw with; call .seed(s) on the model, or load its random state"
            )
        return run.address(self.rng, mode, shape, shared, self.batch_axis, keys)


def by_sample(function: Callable[[Any], Any], x: Any, keys: Keys, batch_axis: int) -> Any:
    """`function(x)` where the samples in flight, merged with the batch wherever that is, are a leading axis.

    Shapes: for K keys function takes (K, ..., N, ...) and gives the same; x and the result are (..., K * N, ...).
    """
    if not isinstance(keys, tuple) or batch_axis == 0:
        return function(x)
    apart = (*x.shape[:batch_axis], len(keys), x.shape[batch_axis] // len(keys), *x.shape[batch_axis + 1 :])
    order = (batch_axis, *(axis for axis in range(len(apart)) if axis != batch_axis))
    y = function(ops.transpose(ops.reshape(x, shape=apart), axes=order))
    return ops.reshape(ops.transpose(y, axes=tuple(np.argsort(order))), shape=x.shape)


def _members(module: Module) -> Iterator[tuple[str, Any]]:
    """Parameters, buffers and modules held as attributes, also in lists and dicts, however deep."""
    return _found(vars(module).items())


def _found(named: Iterable[tuple[Any, Any]], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in named:
        if isinstance(value, (Module, Parameter, Buffer)):
            yield f"{prefix}{name}", value
        elif isinstance(value, (list, tuple)):
            yield from _found(enumerate(value), f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield from _found(value.items(), f"{prefix}{name}.")
