"""The shell that the layers over functions share: where to draw, at which rate, with which options."""

from __future__ import annotations

from typing import Any, ClassVar

from ..random import Index, Keys
from ..variants.door import Shape, checked_rate, one_rate
from ..variants.schedules import Schedule
from .module import Site


class Shell(Site):
    """A function of inputs and options as a layer: it draws in train and sample mode.

    function: puredrop's, of the same name, as a static method.
    named: the names of its options. Each is an attribute of the layer, and read at every call.
    shown: those of them that the repr shows; None: all.
    shared: the axes along which there is one draw.
    """

    function: ClassVar[Any]
    named: tuple[str, ...]
    shown: ClassVar[tuple[str, ...] | None] = None
    shared: tuple[int, ...] = ()

    def __init__(self, **options: Any) -> None:
        self.named = tuple(options)
        vars(self).update(options)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments that every call passes on."""
        return {name: getattr(self, name) for name in self.named}

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        """The shape of what is drawn for a first input of `shape`, and its shared axes."""
        return shape, self.shared

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        """What the function takes after the inputs, for the draw at `key`; None: in evaluation."""
        return ()

    def forward(self, x: Any) -> Any:
        return self.called(x)

    def called(self, *inputs: Any) -> Any:
        """The function of these inputs, the first of which says what is drawn."""
        return self.applied(self.address(*self.noise(tuple(inputs[0].shape))), *inputs)

    def applied(self, where: tuple[Keys, Index] | None, *inputs: Any, **more: Any) -> Any:
        """The function of these inputs, drawing at this address, or in evaluation where there is none."""
        if where is None:
            return self.function(*inputs, *self.arguments(None), training=False, **self.options, **more)
        key, index = where
        return self.function(*inputs, *self.arguments(key), key=key, index=index, **self.options, **more)

    def extra_repr(self) -> str:
        shown = self.options.items() if self.shown is None else [(name, self.options[name]) for name in self.shown]
        return ", ".join(f"{name}={value!r}" for name, value in shown)


class Rated(Shell):
    """A shell whose function takes the rate after the inputs. p: a number or a schedule."""

    def __init__(self, p: float | Schedule, **options: Any) -> None:
        super().__init__(**options)
        self.p: Any = p if callable(p) else checked_rate(type(self).__name__, p)

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return (0.0 if key is None else self.rate(self.p, key),)  # in evaluation any will do

    def is_idle(self) -> bool:
        return self.has_no_rate(self.p)

    def extra_repr(self) -> str:
        return ", ".join(filter(None, (f"p={self.p}", super().extra_repr())))


class Expectation(Rated):
    """A shell whose evaluation is an expectation, and so depends on the rate: a schedule says that of the next step."""

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return (self.eval_rate(),) if key is None else super().arguments(key)

    def eval_rate(self) -> Any:
        """The rate of the expectation."""
        if not callable(self.p):
            return self.p
        if self.rng is None:
            raise RuntimeError(
                f"{type(self).__name__}: a schedule needs the step it stands at; call .seed(s) on the model, "
                f"or load its random state"
            )
        return one_rate(type(self).__name__, self.p(self.rng.step))
